//! One step of a path into an encoded value, and what values contain.

use super::order::{equal, take};
use super::reader::{Malformed, Reader, Token, skip_in, split_first};

/// The part of the first value in `value` to which the key `step` leads: a map's (or struct's) value under that key, the
/// element of a tuple or list at that index (an integer, from 0), the value of a pair `{step, value}` in a list. `None` if
/// there is none, or if it was cut.
///
/// # Errors
/// [`Malformed`] for what is no value.
pub fn find_step<'a>(value: &'a [u8], step: &[u8]) -> Result<Option<&'a [u8]>, Malformed> {
    let mut reader = Reader::new(value);
    let key = Key::new(step)?;
    match (reader.token()?, key.index) {
        (Token::Map(n), _) => {
            for _ in 0..n {
                if key.is_next(&mut reader)? {
                    return take(&mut reader).map(Some);
                }
                if ended(&reader)? {
                    return Ok(None);
                }
                skip_in(&mut reader)?;
            }
            Ok(None)
        }
        (Token::Tuple(n), Some(index)) if index < u64::from(n) => element(&mut reader, index),
        (Token::List, Some(index)) => element(&mut reader, index),
        (Token::List, None) => {
            while !ended(&reader)? {
                let element = take(&mut reader)?;
                let mut inside = Reader::new(element);
                if inside.token()? == Token::Tuple(2)
                    && key.is_next(&mut inside)?
                    && !ended(&inside)?
                {
                    return take(&mut inside).map(Some);
                }
            }
            Ok(None)
        }
        _ => Ok(None),
    }
}

/// Whether `value` contains `part`: a binary these bytes, a list (or the elements before an improper tail) this element, a
/// map this key. Elements are compared as `===` does.
///
/// # Errors
/// [`Malformed`] for what is no value.
pub fn contains(value: &[u8], part: &[u8]) -> Result<bool, Malformed> {
    let mut reader = Reader::new(value);
    match reader.token()? {
        Token::Binary(bytes) => match Reader::new(part).token()? {
            Token::Binary(part) => Ok(memchr::memmem::find(bytes, part).is_some()),
            _ => Ok(false),
        },
        Token::List => {
            let key = Key::new(part)?;
            while !ended(&reader)? {
                if key.is_next(&mut reader)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Token::Map(_) => Ok(find_step(value, part)?.is_some()),
        _ => Ok(false),
    }
}

/// A value to look for.
struct Key<'k> {
    bytes: &'k [u8],
    /// Whether equal values have equal bytes.
    plain: bool,
    index: Option<u64>,
}

impl<'k> Key<'k> {
    fn new(step: &'k [u8]) -> Result<Self, Malformed> {
        let (bytes, _) = split_first(step)?;
        let token = Reader::new(bytes).token()?;
        let plain = matches!(
            token,
            Token::Int(_) | Token::Atom(_) | Token::Binary(_) | Token::Pid(_) | Token::Nil
        );
        let index = match token {
            // a negative one is an index as well, of nothing
            Token::Int(index) => Some(u64::try_from(index).unwrap_or(u64::MAX)),
            _ => None,
        };
        Ok(Key {
            bytes,
            plain,
            index,
        })
    }

    /// Moves past the next value, if there is one: whether it is this one.
    fn is_next(&self, reader: &mut Reader<'_>) -> Result<bool, Malformed> {
        if ended(reader)? {
            return Ok(false);
        }
        let value = reader.rest();
        skip_in(reader)?;
        if self.plain {
            Ok(value.starts_with(self.bytes))
        } else {
            equal(value, self.bytes)
        }
    }
}

/// Whether no further element of the container follows.
fn ended(reader: &Reader<'_>) -> Result<bool, Malformed> {
    Ok(matches!(
        reader.clone().token()?,
        Token::End | Token::Tail | Token::Cut(_)
    ))
}

fn element<'a>(reader: &mut Reader<'a>, index: u64) -> Result<Option<&'a [u8]>, Malformed> {
    for _ in 0..index {
        if ended(reader)? {
            return Ok(None);
        }
        skip_in(reader)?;
    }
    if ended(reader)? {
        Ok(None)
    } else {
        take(reader).map(Some)
    }
}
