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

/// A varint of at most 21 bits, without a loop or a branch: its bytes from the low end, and how many they are.
#[inline(always)]
pub(crate) fn three_groups(value: u32) -> (u32, usize) {
    let (second, third) = (u32::from(value >> 7 != 0), u32::from(value >> 14 != 0));
    // every byte but the last says that more follow
    let bytes = spread(value) | second << 7 | third << 15;
    (bytes, (1 + second + third) as usize)
}

/// The same where it is known to take two bytes, or three.
#[inline(always)]
pub(crate) fn groups<const N: usize>(value: u32) -> u32 {
    const { assert!(N == 2 || N == 3) };
    spread(value) | if N == 2 { 0x80 } else { 0x8080 }
}

/// Three groups of seven bits, each in a byte of its own.
#[inline(always)]
fn spread(value: u32) -> u32 {
    value & 0x7f | (value & 0x7f << 7) << 1 | (value & 0x7f << 14) << 2
}

/// As [`three_groups`] of at most 56 bits: halves, quarters, and groups of seven bits move apart.
#[inline(always)]
pub(crate) fn eight_groups(value: u64) -> (u64, usize) {
    let size = ((63 - (value | 1).leading_zeros()) / 7) as usize;
    let halves = value & 0x0fff_ffff | (value & 0x0fff_ffff << 28) << 4;
    let quarters = halves & 0x3fff_0000_3fff | (halves & 0x3fff_0000_3fff << 14) << 2;
    let low = 0x007f_007f_007f_007f;
    let groups = quarters & low | (quarters & low << 7) << 1;
    let more = 0x8080_8080_8080_8080 & ((1 << (8 * size)) - 1);
    (groups | more, size + 1)
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
