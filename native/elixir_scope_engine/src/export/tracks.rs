//! What is known of each process while its events are written: whether its track has been described, and which calls are open on it.
//!
//! A viewer knows no ids of calls: the end of a slice ends the one that began last on its track. So what ends is checked against
//! what is open here, and a call whose end is missing is ended by the first event that shows it.

use std::collections::HashMap;

use ahash::RandomState;

use crate::event::{AtomId, EventId, ProcessId};

/// Processes that are kept in mind; those without an open call are forgotten beyond it, and described again.
const MOST_TRACKS: usize = 1 << 17;
/// Calls of one process within each other that become slices; deeper ones become instants.
const DEEPEST: usize = 512;
/// Open calls of all processes together.
const MOST_OPEN: usize = 1 << 20;
/// Births and names that are kept.
const MOST_BIRTHS: usize = 1 << 18;
/// Newborn processes that have not recorded anything yet.
const MOST_NEWBORN: usize = 1 << 16;

type Map<K, V> = HashMap<K, V, RandomState>;

/// How a process came to be, and what it is called.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Birth {
    pub parent: Option<ProcessId>,
    /// Module, function, number of arguments.
    pub function: Option<(AtomId, AtomId, u32)>,
    pub name: Option<AtomId>,
}

/// Whether an end ends a slice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// After so many slices that must have ended before.
    Of(usize),
    /// It began before anything was written.
    Unknown,
}

/// All processes.
#[derive(Debug, Default)]
pub(super) struct Tracks {
    /// The open calls of those that have been described.
    open: Map<ProcessId, Vec<EventId>>,
    births: Map<ProcessId, Birth>,
    /// The event of the birth of those that have been silent so far.
    newborn: Map<ProcessId, EventId>,
    open_calls: usize,
    described: u64,
}

impl Tracks {
    /// Takes note of a birth or a name, in the order of time.
    pub(super) fn learn(&mut self, process: ProcessId, learn: impl FnOnce(&mut Birth)) {
        if self.births.len() < MOST_BIRTHS || self.births.contains_key(&process) {
            learn(self.births.entry(process).or_default());
        }
    }

    /// What is known of it.
    pub(super) fn birth(&self, process: ProcessId) -> Birth {
        self.births.get(&process).copied().unwrap_or_default()
    }

    /// How many were described, each counted once unless it was forgotten.
    pub(super) fn described(&self) -> u64 {
        self.described
    }

    /// Whether it has been described.
    #[inline]
    pub(super) fn is_described(&self, process: ProcessId) -> bool {
        self.open.contains_key(&process)
    }

    /// It is described now.
    pub(super) fn describe(&mut self, process: ProcessId) {
        if self.open.len() >= MOST_TRACKS {
            self.open.retain(|_, calls| !calls.is_empty());
        }
        if self.open.insert(process, Vec::new()).is_none() {
            self.described += 1;
        }
    }

    /// A process was born; what it does first goes back to `event`.
    pub(super) fn born(&mut self, child: ProcessId, event: EventId) {
        if self.newborn.len() < MOST_NEWBORN {
            self.newborn.insert(child, event);
        }
    }

    /// The event of its birth, the first time that it is asked for.
    #[inline]
    pub(super) fn take_birth(&mut self, process: ProcessId) -> Option<EventId> {
        if self.newborn.is_empty() {
            return None;
        }
        self.newborn.remove(&process)
    }

    /// Something happened inside of `parent`, or outside of all calls: how many slices have ended before, though nothing told of it.
    /// A parent that is not open was not written, and says nothing.
    #[inline]
    pub(super) fn inside(&mut self, process: ProcessId, parent: EventId) -> usize {
        let Some(calls) = self.open.get_mut(&process) else {
            return 0;
        };
        if calls.last() == Some(&parent) {
            return 0;
        }
        let left = match calls.iter().rposition(|&call| call == parent) {
            Some(place) => place + 1,
            None if parent.is_some() => return 0,
            None => 0,
        };
        let ended = calls.len() - left;
        calls.truncate(left);
        self.open_calls -= ended;
        ended
    }

    /// A call begins; whether it becomes a slice.
    #[inline]
    pub(super) fn begin(&mut self, process: ProcessId, call: EventId) -> bool {
        let room = self.open_calls < MOST_OPEN;
        match self.open.get_mut(&process) {
            Some(calls) if room && calls.len() < DEEPEST => {
                calls.push(call);
                self.open_calls += 1;
                true
            }
            _ => false,
        }
    }

    /// A call ends.
    #[inline]
    pub(super) fn end(&mut self, process: ProcessId, call: EventId) -> End {
        let calls = self.open.get_mut(&process);
        let place = calls
            .as_ref()
            .and_then(|calls| calls.iter().rposition(|&open| open == call));
        let (Some(calls), Some(place)) = (calls, place) else {
            return End::Unknown;
        };
        let before = calls.len() - place - 1;
        calls.truncate(place);
        self.open_calls -= before + 1;
        End::Of(before)
    }

    /// A process ends: how many calls it was in.
    pub(super) fn exit(&mut self, process: ProcessId) -> usize {
        self.inside(process, EventId::NONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: ProcessId = ProcessId(1);

    fn opened(calls: &[u64]) -> Tracks {
        let mut tracks = Tracks::default();
        tracks.describe(ONE);
        for &call in calls {
            assert!(tracks.begin(ONE, EventId(call)));
        }
        tracks
    }

    #[test]
    fn an_end_ends_what_stands_inside_of_it() {
        let mut tracks = opened(&[1, 2, 3]);
        assert_eq!(tracks.end(ONE, EventId(9)), End::Unknown);
        assert_eq!(tracks.end(ONE, EventId(2)), End::Of(1));
        assert_eq!(tracks.end(ONE, EventId(1)), End::Of(0));
        assert_eq!(tracks.end(ONE, EventId(1)), End::Unknown);
        assert_eq!(tracks.open_calls, 0);
    }

    #[test]
    fn an_event_tells_which_calls_have_ended() {
        let mut tracks = opened(&[1, 2, 3]);
        assert_eq!(tracks.inside(ONE, EventId(3)), 0);
        // a call that was not written
        assert_eq!(tracks.inside(ONE, EventId(7)), 0);
        assert_eq!(tracks.inside(ONE, EventId(1)), 2);
        assert_eq!(tracks.inside(ONE, EventId::NONE), 1);
        assert_eq!(tracks.open_calls, 0);
    }

    #[test]
    fn memory_is_bounded() {
        let mut tracks = Tracks::default();
        for process in 1..=3 * MOST_TRACKS as u64 {
            tracks.describe(ProcessId(process));
            tracks.born(ProcessId(process + 1), EventId(process));
            tracks.learn(ProcessId(process), |birth| birth.parent = Some(ONE));
        }
        assert!(tracks.open.len() <= MOST_TRACKS);
        assert!(tracks.newborn.len() <= MOST_NEWBORN);
        assert!(tracks.births.len() <= MOST_BIRTHS);
        let mut tracks = opened(&[]);
        let slices = (1..=1_000_u64)
            .filter(|&call| tracks.begin(ONE, EventId(call)))
            .count();
        assert_eq!(slices, DEEPEST);
    }
}
