//! Causal roots that turned out to go back to others after events with them were stored.

use std::collections::{HashMap, VecDeque};

use ahash::RandomState;

use crate::event::CorrelationId;

/// Which root goes back to which; the oldest of them are forgotten when there is no more room.
#[derive(Debug, Default)]
pub(crate) struct Aliases {
    of: HashMap<u64, u64, RandomState>,
    order: VecDeque<u64>,
    room: usize,
}

impl Aliases {
    /// Bytes of one, at most: a hash table's size is a power of two of which an eighth stays empty, it keeps a byte beside
    /// each entry, and may double when many came and went.
    const EACH: usize = (size_of::<(u64, u64)>() + 1) * 32 / 7 + size_of::<u64>() + 1;
    /// A root goes back to one that goes back to another, so far. Not for ever: no table of a ring is trusted to have no rings.
    const STEPS: usize = 16;

    /// Makes room for as many as fit into `budget` bytes.
    pub(crate) fn reserve(&mut self, budget: usize) {
        self.room = budget / Self::EACH;
        self.of = HashMap::with_capacity_and_hasher(self.room, RandomState::default());
        self.order = VecDeque::with_capacity(self.room);
    }

    /// Bytes allocated.
    pub(crate) fn bytes(&self) -> usize {
        if self.room == 0 {
            return 0;
        }
        (self.of.capacity() * 8 / 7).next_power_of_two() * (size_of::<(u64, u64)>() + 1)
            + self.order.capacity() * size_of::<u64>()
    }

    /// From now on `root` goes back to `to`.
    pub(crate) fn add(&mut self, root: CorrelationId, to: CorrelationId) {
        // Room for none, and what would go back to itself.
        if self.room == 0 || self.resolve(to) == root || self.of.contains_key(&root.0) {
            return;
        }
        if self.order.len() >= self.room
            && let Some(oldest) = self.order.pop_front()
        {
            self.of.remove(&oldest);
        }
        self.of.insert(root.0, to.0);
        self.order.push_back(root.0);
    }

    /// What a root goes back to in the end: itself, mostly.
    #[inline]
    pub(crate) fn resolve(&self, root: CorrelationId) -> CorrelationId {
        if self.of.is_empty() {
            return root;
        }
        let mut now = root.0;
        for _ in 0..Self::STEPS {
            match self.of.get(&now) {
                Some(&next) => now = next,
                None => break,
            }
        }
        CorrelationId(now)
    }

    /// All roots that go back to the one that `root` goes back to, that one first.
    pub(crate) fn all(&self, root: CorrelationId) -> Vec<u64> {
        let wanted = self.resolve(root);
        let others = self.order.iter().copied();
        std::iter::once(wanted.0)
            .chain(others.filter(|&other| self.resolve(CorrelationId(other)) == wanted))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ROOT: fn(u64) -> CorrelationId = CorrelationId;

    proptest! {
        #[test]
        fn roots_resolve_as_they_were_told_and_none_goes_round(
            pairs in prop::collection::vec((1u64..20, 1u64..20), 0..60)
        ) {
            let mut aliases = Aliases::default();
            aliases.reserve(1 << 16);
            let mut naive: Vec<(u64, u64)> = Vec::new();
            let end = |naive: &[(u64, u64)], mut root| {
                while let Some((_, to)) = naive.iter().find(|(from, _)| *from == root) {
                    root = *to;
                }
                root
            };
            for (root, to) in pairs {
                aliases.add(ROOT(root), ROOT(to));
                if end(&naive, to) != root && !naive.iter().any(|(from, _)| *from == root) {
                    naive.push((root, to));
                }
            }
            for root in 1..20 {
                // Chains longer than STEPS are cut short; these are not.
                let wanted = end(&naive, root);
                prop_assume!(naive.len() < Aliases::STEPS);
                prop_assert_eq!(aliases.resolve(ROOT(root)), ROOT(wanted));
                let mut all = aliases.all(ROOT(root));
                prop_assert_eq!(all[0], wanted);
                all.sort_unstable();
                let others: Vec<u64> = (1..20).filter(|&other| end(&naive, other) == wanted).collect();
                prop_assert_eq!(all, others);
            }
        }
    }

    #[test]
    fn the_oldest_are_forgotten_within_the_budget() {
        let mut aliases = Aliases::default();
        aliases.add(ROOT(1), ROOT(2));
        assert_eq!((aliases.resolve(ROOT(1)), aliases.bytes()), (ROOT(1), 0));
        let budget = 10_000;
        aliases.reserve(budget);
        for root in 1..=10_000 {
            aliases.add(ROOT(root), ROOT(1 << 40));
            assert!(aliases.bytes() <= budget);
        }
        assert_eq!(aliases.resolve(ROOT(1)), ROOT(1));
        assert_eq!(aliases.resolve(ROOT(10_000)), ROOT(1 << 40));
    }
}
