//! The order of numbers: integers of any size and floats, by their mathematical value.

use std::cmp::Ordering;

use super::reader::Token;

/// Compares two numbers as `==` and `<` do. `None` if one is no number.
pub(crate) fn compare_numbers(a: &Token<'_>, b: &Token<'_>) -> Option<Ordering> {
    Some(match (*a, *b) {
        (Token::Int(a), Token::Int(b)) => a.cmp(&b),
        (Token::Float(a), Token::Float(b)) => a.partial_cmp(&b)?,
        (Token::Float(a), _) => compare_integer_to_float(b, a)?.reverse(),
        (_, Token::Float(b)) => compare_integer_to_float(a, b)?,
        _ => {
            let (mut left, mut right) = ([0; 8], [0; 8]);
            compare_magnitudes(signed(a, &mut left)?, signed(b, &mut right)?)
        }
    })
}

/// Sign and magnitude of an integer; `room` holds that of a small one.
fn signed<'a>(token: &Token<'a>, room: &'a mut [u8; 8]) -> Option<(bool, &'a [u8])> {
    let (negative, magnitude) = match *token {
        Token::Int(value) => {
            *room = value.unsigned_abs().to_le_bytes();
            (value < 0, room.as_slice())
        }
        Token::Big(negative, magnitude) => (negative, magnitude),
        _ => return None,
    };
    let significant = magnitude
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |last| last + 1);
    let magnitude = magnitude.get(..significant).unwrap_or_default();
    Some((negative && significant > 0, magnitude))
}

fn compare_magnitudes(a: (bool, &[u8]), b: (bool, &[u8])) -> Ordering {
    let by_size = || {
        a.1.len()
            .cmp(&b.1.len())
            .then_with(|| a.1.iter().rev().cmp(b.1.iter().rev()))
    };
    match (a.0, b.0) {
        (false, false) => by_size(),
        (true, true) => by_size().reverse(),
        (a, b) => b.cmp(&a),
    }
}

/// Exact: no integer is rounded to a float.
fn compare_integer_to_float(integer: &Token<'_>, float: f64) -> Option<Ordering> {
    let mut room = [0; 8];
    let (negative, magnitude) = signed(integer, &mut room)?;
    let whole = float.trunc();
    let mut bytes = [0; 136];
    let float_magnitude = float_magnitude(whole, &mut bytes);
    let order = compare_magnitudes((negative, magnitude), (whole < 0.0, float_magnitude));
    // equal up to the point: the fraction decides
    Some(order.then_with(|| whole.partial_cmp(&float).unwrap_or(Ordering::Equal)))
}

/// The magnitude of a whole finite float, in little-endian bytes without zeros at the end.
fn float_magnitude(whole: f64, out: &mut [u8; 136]) -> &[u8] {
    let bits = whole.abs().to_bits();
    let exponent = (bits >> 52) as i32 - 1075;
    let mantissa = bits & ((1 << 52) - 1) | 1 << 52;
    let value = if exponent < 0 {
        u128::from(mantissa.checked_shr(exponent.unsigned_abs()).unwrap_or(0))
    } else {
        u128::from(mantissa) << (exponent % 8)
    };
    let start = if exponent < 0 {
        0
    } else {
        exponent as usize / 8
    };
    for (to, from) in out.iter_mut().skip(start).zip(value.to_le_bytes()) {
        *to = from;
    }
    let significant = out
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |last| last + 1);
    out.get(..significant).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Ordering::{Equal, Greater, Less};

    #[test]
    fn integers_meet_floats_without_rounding() {
        let two_to_64: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 0, 1];
        for (a, b, expected) in [
            (Token::Int(1), Token::Float(1.0), Equal),
            (Token::Int(0), Token::Float(-0.0), Equal),
            (Token::Int(0), Token::Float(1e-300), Less),
            (Token::Int(0), Token::Float(-1e-300), Greater),
            (Token::Int(-1), Token::Float(-1.5), Greater),
            (Token::Int(2), Token::Float(1.999), Greater),
            (
                Token::Int((1 << 53) + 1),
                Token::Float(9_007_199_254_740_992.0),
                Greater,
            ),
            (
                Token::Int(i64::MAX),
                Token::Float(9_223_372_036_854_775_808.0),
                Less,
            ),
            (
                Token::Int(i64::MIN),
                Token::Float(-9_223_372_036_854_775_808.0),
                Equal,
            ),
            (
                Token::Big(false, two_to_64),
                Token::Float(18_446_744_073_709_551_616.0),
                Equal,
            ),
            (
                Token::Big(true, two_to_64),
                Token::Float(-18_446_744_073_709_551_616.0),
                Equal,
            ),
            (Token::Big(false, two_to_64), Token::Float(f64::MAX), Less),
            (Token::Big(true, two_to_64), Token::Float(f64::MIN), Greater),
            (Token::Big(false, two_to_64), Token::Int(i64::MAX), Greater),
            (Token::Big(true, two_to_64), Token::Int(i64::MIN), Less),
            (Token::Big(false, &[5, 0, 0]), Token::Int(5), Equal),
        ] {
            assert_eq!(compare_numbers(&a, &b), Some(expected), "{a:?} to {b:?}");
            assert_eq!(
                compare_numbers(&b, &a),
                Some(expected.reverse()),
                "{b:?} to {a:?}"
            );
        }
        assert_eq!(compare_numbers(&Token::Nil, &Token::Int(1)), None);
    }
}
