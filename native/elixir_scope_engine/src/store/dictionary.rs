//! The distinct values of a column in one segment, each with the rows where it stands: answers "can this segment hold
//! it, where, and how often" without looking at rows. Codes follow the order of the values.

use std::ops::Range;

use super::column::{Column, bounds, width};
use crate::memory::{Charge, Memory, Use};
use std::sync::Arc;

/// Where a value stands in the segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// Number of rows.
    pub count: u32,
    /// First row.
    pub first: u16,
    /// Last row.
    pub last: u16,
}

/// The dictionary of one column, and the column of codes.
#[derive(Debug)]
pub(crate) struct Dictionary {
    values: Box<[u64]>,
    spans: Box<[Span]>,
    codes: Column,
}

impl Dictionary {
    /// The code of `value`.
    pub(crate) fn code(&self, value: u64) -> Option<usize> {
        self.values.binary_search(&value).ok()
    }

    /// The value of `row`.
    #[inline]
    pub(crate) fn get(&self, row: usize) -> u64 {
        self.values
            .get(self.codes.get(row) as usize)
            .copied()
            .unwrap_or(0)
    }

    /// All distinct values, by code.
    pub(crate) fn values(&self) -> &[u64] {
        &self.values
    }

    /// The rows between the first and the last one with `code`, and how many of them have it.
    pub(crate) fn rows(&self, code: usize) -> (Range<usize>, usize) {
        self.spans.get(code).map_or((0..0, 0), |span| {
            (
                usize::from(span.first)..usize::from(span.last) + 1,
                span.count as usize,
            )
        })
    }

    /// The column of codes.
    pub(crate) fn codes(&self) -> &Column {
        &self.codes
    }

    /// Bytes allocated for values and spans.
    #[cfg(test)]
    pub(crate) fn index_bytes(&self) -> usize {
        self.values.len() * size_of::<u64>() + self.spans.len() * size_of::<Span>()
    }
}

/// Finds the distinct values of a column. One is kept for all segments; its room is fixed at its creation.
#[derive(Debug)]
pub(crate) struct Interner {
    /// Open addressing: index into `values` plus one.
    table: Vec<u32>,
    values: Vec<u64>,
    spans: Vec<Span>,
    /// Of each row, the index into `values`.
    codes: Vec<u16>,
    /// The indexes of `values` in the order of the values; then of each index its place in that order.
    order: Vec<u16>,
    places: Vec<u16>,
    _charge: Charge,
}

impl Interner {
    /// Room for `rows` rows, all of which may differ; at most 65,536.
    pub(crate) fn new(rows: usize, memory: &Arc<Memory>) -> Interner {
        let slots = (rows * 2).next_power_of_two();
        let interner = Interner {
            table: vec![0; slots],
            values: Vec::with_capacity(rows),
            spans: Vec::with_capacity(rows),
            codes: Vec::with_capacity(rows),
            order: Vec::with_capacity(rows),
            places: Vec::with_capacity(rows),
            _charge: memory.charge(Use::Open, Self::bytes(rows)),
        };
        debug_assert!(rows <= 1 << 16);
        interner
    }

    /// Bytes that [`Interner::new`] allocates.
    pub(crate) fn bytes(rows: usize) -> usize {
        (rows * 2).next_power_of_two() * 4 + rows * (8 + size_of::<Span>() + 3 * 2)
    }

    /// Takes in a column of one segment.
    #[allow(clippy::indexing_slicing, clippy::cast_possible_truncation)]
    #[allow(
        clippy::missing_panics_doc,
        reason = "slots are masked, indexes come from the table itself"
    )]
    pub(crate) fn take(&mut self, column: impl Iterator<Item = u64>) {
        self.table.fill(0);
        self.values.clear();
        self.spans.clear();
        self.codes.clear();
        let mask = self.table.len() - 1;
        let mut last = (0, usize::MAX);
        for (row, value) in column.enumerate() {
            let index = if last == (value, last.1) && last.1 != usize::MAX {
                last.1
            } else {
                // Fibonacci hashing: ids differ in low bits or, shifted, in middle ones.
                let mut slot = (value.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize & mask;
                loop {
                    match self.table[slot] {
                        0 => {
                            self.table[slot] = self.values.len() as u32 + 1;
                            self.values.push(value);
                            self.spans.push(Span {
                                count: 0,
                                first: row as u16,
                                last: 0,
                            });
                            break self.values.len() - 1;
                        }
                        found if self.values[found as usize - 1] == value => {
                            break found as usize - 1;
                        }
                        _ => slot = (slot + 1) & mask,
                    }
                }
            };
            last = (value, index);
            let span = &mut self.spans[index];
            span.count += 1;
            span.last = row as u16;
            self.codes.push(index as u16);
        }
    }

    /// Bytes of the columns, and of the index, that [`Interner::build`] will allocate.
    pub(crate) fn plan(&self) -> (usize, usize) {
        let distinct = self.values.len();
        let columns = self.codes.len() * width(distinct.saturating_sub(1) as u64);
        (columns, distinct * (size_of::<u64>() + size_of::<Span>()))
    }

    /// The dictionary of the column taken in last.
    #[allow(
        clippy::indexing_slicing,
        clippy::cast_possible_truncation,
        reason = "permutations"
    )]
    pub(crate) fn build(&mut self) -> Dictionary {
        let distinct = self.values.len();
        self.order.clear();
        self.order.extend((0..distinct).map(|index| index as u16));
        self.order
            .sort_unstable_by_key(|&index| self.values[index as usize]);
        self.places.clear();
        self.places.resize(distinct, 0);
        for (place, &index) in self.order.iter().enumerate() {
            self.places[index as usize] = place as u16;
        }
        let codes = self
            .codes
            .iter()
            .map(|&index| u64::from(self.places[index as usize]));
        let limits = bounds([0, distinct.saturating_sub(1) as u64].into_iter());
        Dictionary {
            values: self
                .order
                .iter()
                .map(|&index| self.values[index as usize])
                .collect(),
            spans: self
                .order
                .iter()
                .map(|&index| self.spans[index as usize])
                .collect(),
            codes: Column::new(codes, limits),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_dictionary_gives_back_its_column_and_tells_where_values_stand(
            values in prop::collection::vec(prop_oneof![0u64..5, any::<u64>()], 1..300)
        ) {
            let memory = Arc::new(Memory::default());
            let mut interner = Interner::new(300, &memory);
            interner.take([1, 2, 3].into_iter());
            interner.take(values.iter().copied());
            let plan = interner.plan();
            let dictionary = interner.build();
            prop_assert_eq!(plan, (dictionary.codes().bytes(), dictionary.index_bytes()));
            for (row, &value) in values.iter().enumerate() {
                prop_assert_eq!(dictionary.get(row), value);
                let (rows, count) = dictionary.rows(dictionary.code(value).unwrap());
                prop_assert!(rows.contains(&row));
                prop_assert_eq!(count, values.iter().filter(|&&v| v == value).count());
            }
        }
    }
}
