//! The causal roots that processes gave themselves when they were heard of first. The record that tells of a birth can come
//! after the first ones of the child: then these turn out to go back to the parent's root.

use std::collections::{HashMap, VecDeque};

use ahash::RandomState;

use crate::event::{CorrelationId, ProcessId, TimeNs};

/// Roots kept of one process. One that makes more calls before its birth is told keeps the others for itself.
const MOST: usize = 4;

/// The first roots of one process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Newcomer {
    /// When it was heard of.
    pub since: TimeNs,
    roots: [CorrelationId; MOST],
}

impl Newcomer {
    /// Its roots.
    pub(crate) fn roots(&self) -> impl Iterator<Item = CorrelationId> {
        self.roots.into_iter().filter_map(CorrelationId::some)
    }
}

/// Processes heard of lately, as many as there is room for.
#[derive(Debug)]
pub(crate) struct Newcomers {
    of: HashMap<ProcessId, Newcomer, RandomState>,
    order: VecDeque<ProcessId>,
    room: usize,
}

impl Newcomers {
    /// Bytes of one, at most: a hash table's size is a power of two of which an eighth stays empty, it keeps a byte beside
    /// each entry, and may double when many came and went.
    const EACH: usize =
        (size_of::<(ProcessId, Newcomer)>() + 1) * 32 / 7 + size_of::<ProcessId>() + 1;

    /// Room for as many as fit into `budget` bytes.
    pub(crate) fn new(budget: usize) -> Newcomers {
        let room = (budget / Self::EACH).max(8);
        Newcomers {
            of: HashMap::with_capacity_and_hasher(room, RandomState::default()),
            order: VecDeque::with_capacity(room),
            room,
        }
    }

    /// Bytes allocated.
    pub(crate) fn bytes(&self) -> usize {
        (self.of.capacity() * 8 / 7).next_power_of_two() * (size_of::<(ProcessId, Newcomer)>() + 1)
            + self.order.capacity() * size_of::<ProcessId>()
    }

    /// A process gave itself a root; whether one more would be kept.
    pub(crate) fn note(&mut self, process: ProcessId, root: CorrelationId, time: TimeNs) -> bool {
        if let Some(known) = self.of.get_mut(&process) {
            let Some(free) = known.roots.iter_mut().find(|kept| !kept.is_some()) else {
                return false;
            };
            *free = root;
            return known.roots.last().is_some_and(|last| !last.is_some());
        }
        if self.order.len() >= self.room
            && let Some(oldest) = self.order.pop_front()
        {
            self.of.remove(&oldest);
        }
        let mut newcomer = Newcomer {
            since: time,
            roots: [CorrelationId::NONE; MOST],
        };
        if let Some(first) = newcomer.roots.first_mut() {
            *first = root;
        }
        self.order.push_back(process);
        self.of.insert(process, newcomer);
        true
    }

    /// What is known of a process.
    pub(crate) fn get(&self, process: ProcessId) -> Option<Newcomer> {
        self.of.get(&process).copied()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_first_roots_of_the_latest_processes_are_kept_within_the_budget() {
        let budget = 20_000;
        let mut newcomers = Newcomers::new(budget);
        for process in 1..=5_000 {
            for root in 1..=6 {
                let root = CorrelationId(process * 10 + root);
                let more = newcomers.note(ProcessId(process), root, TimeNs(process as i64));
                assert_eq!(more, root.0 % 10 < 4);
            }
            assert!(newcomers.bytes() <= budget, "{}", newcomers.bytes());
        }
        assert!(newcomers.get(ProcessId(1)).is_none());
        let last = newcomers.get(ProcessId(5_000)).unwrap();
        let roots: Vec<u64> = last.roots().map(|root| root.0).collect();
        assert_eq!(roots, [50_001, 50_002, 50_003, 50_004]);
        assert_eq!(last.since, TimeNs(5_000));
    }
}
