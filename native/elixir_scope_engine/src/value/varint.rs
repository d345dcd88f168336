//! LEB128 integers, and zigzag for signed ones.

/// Bytes that `value` takes.
#[inline]
pub(crate) const fn varint_size(value: u64) -> usize {
    // seven bits a byte: 9/64 is just above 1/7
    ((63 - (value | 1).leading_zeros()) * 9 + 73) as usize / 64
}

/// Puts `value` at the start of `out`; how many bytes it took.
#[inline]
#[allow(
    clippy::indexing_slicing,
    reason = "64 bits are ten groups of seven at most"
)]
pub(crate) fn put_varint(out: &mut [u8; 10], mut value: u64) -> usize {
    let mut at = 0;
    while value >= 0x80 {
        out[at] = value as u8 | 0x80;
        value >>= 7;
        at += 1;
    }
    out[at] = value as u8;
    at + 1
}

/// Folds the sign into the lowest bit.
#[inline(always)]
pub(crate) const fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

/// Undoes [`zigzag`].
#[inline]
pub(crate) const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_signs_are_right_at_every_edge() {
        let mut out = [0; 10];
        for bit in 0..64 {
            for value in [1u64 << bit, (1u64 << bit) - 1, (1u64 << bit) + 1] {
                assert_eq!(put_varint(&mut out, value), varint_size(value), "{value}");
                assert_eq!(zigzag(unzigzag(value)), value);
            }
        }
        assert_eq!(varint_size(u64::MAX), 10);
        assert_eq!(zigzag(-1), 1);
        assert_eq!(unzigzag(zigzag(i64::MIN)), i64::MIN);
    }
}
