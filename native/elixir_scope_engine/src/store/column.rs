//! A column of a sealed segment: unsigned numbers as offsets from the smallest one, in the narrowest width that holds
//! them all. A column whose values are all equal takes no room.

use std::ops::Range;

/// Offsets from the base of a [`Column`].
#[derive(Debug)]
pub(crate) enum Codes {
    /// All rows hold the base.
    Equal,
    U8(Box<[u8]>),
    U16(Box<[u16]>),
    U32(Box<[u32]>),
    U64(Box<[u64]>),
}

/// Numbers, narrowed.
#[derive(Debug)]
pub(crate) struct Column {
    base: u64,
    largest: u64,
    codes: Codes,
}

/// Bytes that one row of a column takes whose offsets reach up to `span`.
pub(crate) fn width(span: u64) -> usize {
    match span {
        0 => 0,
        1..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xffff_ffff => 4,
        _ => 8,
    }
}

/// The smallest and the largest of `values`; both 0 of none.
pub(crate) fn bounds(values: impl Iterator<Item = u64>) -> (u64, u64) {
    let (low, high) = values.fold((u64::MAX, 0), |(low, high), v| (low.min(v), high.max(v)));
    if low > high { (0, 0) } else { (low, high) }
}

impl Column {
    /// Narrows `values`, which lie within `bounds`.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the width was chosen to hold the span"
    )]
    pub(crate) fn new(values: impl Iterator<Item = u64>, bounds: (u64, u64)) -> Column {
        let (base, largest) = bounds;
        let offsets = values.map(|v| v.wrapping_sub(base));
        let codes = match width(largest.wrapping_sub(base)) {
            0 => Codes::Equal,
            1 => Codes::U8(offsets.map(|v| v as u8).collect()),
            2 => Codes::U16(offsets.map(|v| v as u16).collect()),
            4 => Codes::U32(offsets.map(|v| v as u32).collect()),
            _ => Codes::U64(offsets.collect()),
        };
        Column {
            base,
            largest,
            codes,
        }
    }

    /// The value of `row`.
    #[inline]
    pub(crate) fn get(&self, row: usize) -> u64 {
        let offset = match &self.codes {
            Codes::Equal => Some(0),
            Codes::U8(codes) => codes.get(row).map(|&c| u64::from(c)),
            Codes::U16(codes) => codes.get(row).map(|&c| u64::from(c)),
            Codes::U32(codes) => codes.get(row).map(|&c| u64::from(c)),
            Codes::U64(codes) => codes.get(row).copied(),
        };
        self.base.wrapping_add(offset.unwrap_or(0))
    }

    /// The largest value.
    pub(crate) fn largest(&self) -> u64 {
        self.largest
    }

    /// Bytes allocated.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        match &self.codes {
            Codes::Equal => 0,
            Codes::U8(codes) => codes.len(),
            Codes::U16(codes) => codes.len() * 2,
            Codes::U32(codes) => codes.len() * 4,
            Codes::U64(codes) => codes.len() * 8,
        }
    }

    /// Clears the marks of those of `rows` whose value is not `value`.
    pub(crate) fn keep_equal(&self, rows: Range<usize>, value: u64, marks: &mut [u8]) {
        if value < self.base || value > self.largest {
            marks.fill(0);
            return;
        }
        let code = value - self.base;
        match &self.codes {
            Codes::Equal => {}
            Codes::U8(codes) => keep(codes, rows, marks, |c| u64::from(c) == code),
            Codes::U16(codes) => keep(codes, rows, marks, |c| u64::from(c) == code),
            Codes::U32(codes) => keep(codes, rows, marks, |c| u64::from(c) == code),
            Codes::U64(codes) => keep(codes, rows, marks, |c| c == code),
        }
    }

    /// Clears the marks of those of `rows` whose value `wanted` does not hold (by index).
    pub(crate) fn keep_wanted(&self, rows: Range<usize>, wanted: &[bool], marks: &mut [u8]) {
        let base = self.base;
        let holds = |code: u64| wanted.get((base + code) as usize).copied().unwrap_or(false);
        match &self.codes {
            Codes::Equal => {
                if !holds(0) {
                    marks.fill(0);
                }
            }
            Codes::U8(codes) => keep(codes, rows, marks, |c| holds(u64::from(c))),
            Codes::U16(codes) => keep(codes, rows, marks, |c| holds(u64::from(c))),
            Codes::U32(codes) => keep(codes, rows, marks, |c| holds(u64::from(c))),
            Codes::U64(codes) => keep(codes, rows, marks, holds),
        }
    }
}

/// A loop that the compiler can vectorise: no branch, one narrow load a row.
#[inline]
pub(crate) fn keep<T: Copy>(
    values: &[T],
    rows: Range<usize>,
    marks: &mut [u8],
    test: impl Fn(T) -> bool,
) {
    for (mark, &value) in marks.iter_mut().zip(values.get(rows).unwrap_or(&[])) {
        *mark &= u8::from(test(value));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_column_gives_back_its_values_at_the_width_of_their_span(
            base in any::<u64>(), shift in 0u32..64, values in prop::collection::vec(any::<u64>(), 1..200)
        ) {
            let values: Vec<u64> = values.iter().map(|v| (base >> 1).saturating_add(v >> shift)).collect();
            let bounds = bounds(values.iter().copied());
            let column = Column::new(values.iter().copied(), bounds);
            prop_assert_eq!(column.bytes(), width(bounds.1 - bounds.0) * values.len());
            for (row, &value) in values.iter().enumerate() {
                prop_assert_eq!(column.get(row), value);
            }
            let wanted = values[0];
            let mut marks = vec![1; values.len()];
            column.keep_equal(0..values.len(), wanted, &mut marks);
            for (&value, &mark) in values.iter().zip(&marks) {
                prop_assert_eq!(mark == 1, value == wanted);
            }
        }
    }
}
