//! Where each payload of a segment ends: a base for each block of rows, and narrow distances from it.

use super::column::{Column, bounds, width};

const BLOCK: usize = 64;

/// End offsets of payloads that lie one after another.
#[derive(Debug)]
pub(crate) struct Offsets {
    /// Where each block's first payload begins.
    bases: Box<[u32]>,
    /// Where each payload ends, from its block's base.
    ends: Column,
}

fn base(ends: &[u32], block: usize) -> u32 {
    (block * BLOCK)
        .checked_sub(1)
        .and_then(|before| ends.get(before))
        .copied()
        .unwrap_or(0)
}

fn distances(ends: &[u32]) -> impl Iterator<Item = u64> {
    ends.chunks(BLOCK)
        .enumerate()
        .flat_map(move |(block, chunk)| {
            let base = base(ends, block);
            chunk.iter().map(move |&end| u64::from(end - base))
        })
}

impl Offsets {
    /// Bytes that the offsets of `ends` will take.
    pub(crate) fn plan(ends: &[u32]) -> usize {
        let (low, high) = bounds(distances(ends));
        ends.len().div_ceil(BLOCK) * size_of::<u32>() + ends.len() * width(high - low)
    }

    /// Stores the offsets.
    pub(crate) fn new(ends: &[u32]) -> Offsets {
        Offsets {
            bases: (0..ends.len().div_ceil(BLOCK))
                .map(|block| base(ends, block))
                .collect(),
            ends: Column::new(distances(ends), bounds(distances(ends))),
        }
    }

    fn end(&self, row: usize) -> usize {
        let base = self.bases.get(row / BLOCK).copied().unwrap_or(0);
        base as usize + self.ends.get(row) as usize
    }

    /// Where the payload of `row` lies.
    #[inline]
    pub(crate) fn range(&self, row: usize) -> std::ops::Range<usize> {
        let start = row.checked_sub(1).map_or(0, |before| self.end(before));
        start..self.end(row)
    }

    /// Bytes allocated.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.bases.len() * size_of::<u32>() + self.ends.bytes()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn offsets_give_back_each_payload(lengths in prop::collection::vec(0u32..5_000, 1..300)) {
            let mut end = 0;
            let ends: Vec<u32> = lengths.iter().map(|l| { end += l; end }).collect();
            let offsets = Offsets::new(&ends);
            prop_assert_eq!(offsets.bytes(), Offsets::plan(&ends));
            let mut start = 0;
            for (row, &end) in ends.iter().enumerate() {
                prop_assert_eq!(offsets.range(row), start..end as usize);
                start = end as usize;
            }
        }
    }
}
