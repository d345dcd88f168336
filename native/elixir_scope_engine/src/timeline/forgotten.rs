//! Of which processes, and in which modules, there was a state once, and nothing is kept any more.

use crate::event::{AtomId, ProcessId};

/// Two Bloom filters, an older and a newer one. When the newer one is full, the older one is emptied to become the newer. So
/// the processes that were forgotten last are known, and few others are taken for one of them.
#[derive(Debug)]
pub(super) struct Forgotten {
    /// Words of each filter.
    words: usize,
    newer: Vec<u64>,
    older: Vec<u64>,
    /// Entries of the newer one.
    count: usize,
}

/// Bits that are set for each entry.
const HASHES: usize = 4;
/// Bits of a filter for each entry in it: one in a hundred others is taken for one of them.
const BITS: usize = 10;

impl Forgotten {
    /// It will take `bytes` at most, as soon as there is something to remember.
    pub(super) fn new(bytes: usize) -> Forgotten {
        Forgotten {
            words: (bytes / 2 / size_of::<u64>()).max(1),
            newer: Vec::new(),
            older: Vec::new(),
            count: 0,
        }
    }

    /// Of a process without a module is known what was forgotten of it in any.
    pub(super) fn add(&mut self, process: ProcessId, module: AtomId) {
        self.add_one(process, None);
        self.add_one(process, Some(module));
    }

    fn add_one(&mut self, process: ProcessId, module: Option<AtomId>) {
        if self.newer.is_empty() {
            self.newer = vec![0; self.words];
            self.older = vec![0; self.words];
        }
        if self.count >= self.words * 64 / BITS {
            std::mem::swap(&mut self.newer, &mut self.older);
            self.newer.fill(0);
            self.count = 0;
        }
        for bit in self.bits(process, module) {
            if let Some(word) = self.newer.get_mut(bit / 64) {
                *word |= 1 << (bit % 64);
            }
        }
        self.count += 1;
    }

    /// Whether something was forgotten of a process, in this module or in any.
    pub(super) fn contains(&self, process: ProcessId, module: Option<AtomId>) -> bool {
        let is_in = |filter: &[u64]| {
            let mut bits = self.bits(process, module);
            bits.all(|bit| {
                let word = filter.get(bit / 64);
                word.is_some_and(|word| word & 1 << (bit % 64) != 0)
            })
        };
        is_in(&self.newer) || is_in(&self.older)
    }

    fn bits(
        &self,
        process: ProcessId,
        module: Option<AtomId>,
    ) -> impl Iterator<Item = usize> + use<> {
        let bits = self.words * 64;
        let seeds = ahash::RandomState::with_seeds(1, 2, 3, 4);
        let hash = seeds.hash_one((process, module));
        let (first, second) = (hash as u32 as usize, (hash >> 32) as usize | 1);
        (0..HASHES).map(move |n| first.wrapping_add(n.wrapping_mul(second)) % bits)
    }

    /// Bytes allocated.
    pub(super) fn bytes(&self) -> usize {
        (self.newer.capacity() + self.older.capacity()) * size_of::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_known_and_few_others() {
        let mut forgotten = Forgotten::new(4096);
        let (one, other) = (AtomId(1), AtomId(2));
        assert!(!forgotten.contains(ProcessId(1), None));
        // two entries each
        let most = 2048 * 8 / BITS as u64 / 2;
        for process in 0..10 * most {
            forgotten.add(ProcessId(process), one);
            assert!(forgotten.contains(ProcessId(process), None));
            assert!(forgotten.contains(ProcessId(process.saturating_sub(most - 1)), None));
            assert!(forgotten.contains(ProcessId(process), Some(one)));
        }
        assert!(forgotten.bytes() <= 4096);
        let known = |process, module| forgotten.contains(ProcessId(process), module);
        let others = (1_000_000..1_010_000).filter(|&process| known(process, None));
        assert!(others.count() < 500);
        let others = (9 * most..10 * most).filter(|&process| known(process, Some(other)));
        assert!(others.count() < most as usize / 20);
    }
}
