//! The processes that belong to traces, in a table of fixed size.

use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use super::set::TraceSet;
use crate::event::ProcessId;
use crate::host::Host;

/// A power of two.
const ROOM: usize = 1 << 17;
/// How far from its place a process may stand.
const WINDOW: usize = 16;

/// What is known of one process. All orderings are relaxed but those of the key: a process's events come one after another.
#[derive(Debug)]
#[repr(C, align(32))]
pub struct Member {
    process: AtomicU64,
    /// The traces that it is in, and in the upper half those that it is left out of.
    traces: AtomicU32,
    /// Calls that a trace saw begin, and that it waits for the ends of.
    calls: AtomicU16,
    /// The number of the record by which its own code told of a message that it was about to send, or 0.
    told: AtomicU16,
    /// By trace: how many calls of its enclosing function are open.
    inside: [AtomicU8; TraceSet::MOST],
}

impl Member {
    const fn new() -> Member {
        Member {
            process: AtomicU64::new(0),
            traces: AtomicU32::new(0),
            calls: AtomicU16::new(0),
            told: AtomicU16::new(0),
            inside: [const { AtomicU8::new(0) }; TraceSet::MOST],
        }
    }

    /// The traces that it belongs to, whether they run or not, of which `everyone` are those that all processes belong to.
    #[inline(always)]
    #[must_use]
    pub fn belongs(&self, everyone: TraceSet) -> TraceSet {
        let word = self.traces.load(Ordering::Relaxed);
        (TraceSet::from_bits(word) | everyone) & !TraceSet::from_bits(word >> TraceSet::MOST)
    }

    pub(super) fn leave_out(&self, traces: TraceSet) {
        self.traces
            .fetch_or(traces.bits() << TraceSet::MOST, Ordering::Relaxed);
    }

    pub(super) fn join(&self, traces: TraceSet) {
        self.traces.fetch_or(traces.bits(), Ordering::Relaxed);
    }

    pub(super) fn leave(&self, traces: TraceSet) {
        self.traces.fetch_and(!traces.bits(), Ordering::Relaxed);
    }

    pub(super) fn tell(&self, record: u16) {
        self.told.store(record, Ordering::Relaxed);
    }

    pub(super) fn take_told(&self) -> u16 {
        self.told.swap(0, Ordering::Relaxed)
    }

    /// A call begins whose end will be seen.
    pub fn enter(&self) {
        let calls = self.calls.load(Ordering::Relaxed);
        self.calls.store(calls.saturating_add(1), Ordering::Relaxed);
    }

    /// A call ends; whether its beginning was seen, as far as can be told by counting.
    pub fn leave_call(&self) -> bool {
        let calls = self.calls.load(Ordering::Relaxed);
        self.calls.store(calls.saturating_sub(1), Ordering::Relaxed);
        calls != 0
    }

    /// Of a set of traces those whose enclosing call is open.
    #[must_use]
    pub fn inside(&self, traces: TraceSet) -> TraceSet {
        traces.filter(|number| {
            let depth = self.inside.get(number as usize);
            depth.is_some_and(|depth| depth.load(Ordering::Relaxed) != 0)
        })
    }

    /// The call that encloses these traces begins, or ends.
    pub fn enclose(&self, traces: TraceSet, begins: bool) {
        for number in traces.numbers() {
            if let Some(depth) = self.inside.get(number as usize) {
                let now = depth.load(Ordering::Relaxed);
                let next = match begins {
                    true => now.saturating_add(1),
                    false => now.saturating_sub(1),
                };
                depth.store(next, Ordering::Relaxed);
            }
        }
    }

    /// These traces are no more.
    fn forget(&self, traces: TraceSet) {
        let bits = traces.bits() | traces.bits() << TraceSet::MOST;
        self.traces.fetch_and(!bits, Ordering::Relaxed);
    }

    fn clear(&self) {
        self.traces.store(0, Ordering::Relaxed);
        self.calls.store(0, Ordering::Relaxed);
        self.told.store(0, Ordering::Relaxed);
        for depth in &self.inside {
            depth.store(0, Ordering::Relaxed);
        }
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct Members {
    entries: [Member; ROOM],
    used: AtomicU32,
}

impl Members {
    pub(super) const fn new() -> Members {
        Members {
            entries: [const { Member::new() }; ROOM],
            used: AtomicU32::new(0),
        }
    }

    #[inline(always)]
    fn home(process: ProcessId) -> usize {
        // Fibonacci hashing: the ids of the host count up in their middle bits.
        let hash = process.0.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (hash >> (64 - ROOM.trailing_zeros())) as usize
    }

    fn window(&self, process: ProcessId) -> impl Iterator<Item = &Member> {
        let home = Self::home(process);
        (0..WINDOW).filter_map(move |step| self.entries.get((home + step) & (ROOM - 1)))
    }

    #[inline(always)]
    pub(super) fn find(&self, process: ProcessId) -> Option<&Member> {
        match self.find_at_home(process) {
            Some(member) => Some(member),
            None => self.find_further(process),
        }
    }

    /// The entry of a process that stands in its own place.
    #[inline(always)]
    pub(super) fn find_at_home(&self, process: ProcessId) -> Option<&Member> {
        let entry = self.entries.get(Self::home(process))?;
        let is_its = process.is_some() && entry.process.load(Ordering::Acquire) == process.0;
        is_its.then_some(entry)
    }

    /// Of a process that does not stand in its own place.
    #[inline(never)]
    fn find_further(&self, process: ProcessId) -> Option<&Member> {
        if self.used.load(Ordering::Relaxed) == 0 || !process.is_some() {
            return None;
        }
        self.window(process)
            .find(|entry| entry.process.load(Ordering::Acquire) == process.0)
    }

    /// The entry of `process`; a free one if it has none, or that of a dead process. The dead keep theirs until it is needed.
    pub(super) fn get(&self, process: ProcessId, host: &dyn Host) -> Option<&Member> {
        if !process.is_some() {
            return None;
        }
        if let Some(member) = self.find(process) {
            return Some(member);
        }
        self.claim(process).or_else(|| {
            for entry in self.window(process) {
                let owner = entry.process.load(Ordering::Relaxed);
                if owner != 0 && !host.is_alive(ProcessId(owner)) {
                    self.release(entry, owner);
                }
            }
            self.claim(process)
        })
    }

    fn claim(&self, process: ProcessId) -> Option<&Member> {
        let mine = self.window(process).find(|entry| {
            entry.process.load(Ordering::Relaxed) == 0
                && entry
                    .process
                    .compare_exchange(0, process.0, Ordering::AcqRel, Ordering::Relaxed)
                    .is_ok()
        })?;
        self.used.fetch_add(1, Ordering::Relaxed);
        // Two threads may have claimed for one process: the entry that stands first is the one, as `find` sees it.
        match self.find(process) {
            Some(first) if !std::ptr::eq(first, mine) => {
                self.release(mine, process.0);
                Some(first)
            }
            _ => Some(mine),
        }
    }

    fn release(&self, entry: &Member, owner: u64) {
        entry.clear();
        // Release: whoever claims it sees it empty.
        let released =
            entry
                .process
                .compare_exchange(owner, 0, Ordering::Release, Ordering::Relaxed);
        if released.is_ok() {
            self.used.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// These traces have no members any more.
    pub(super) fn leave(&self, traces: TraceSet) {
        for entry in &self.entries {
            if entry.process.load(Ordering::Relaxed) != 0 {
                entry.forget(traces);
                for number in traces.numbers() {
                    if let Some(depth) = entry.inside.get(number as usize) {
                        depth.store(0, Ordering::Relaxed);
                    }
                }
            }
        }
    }

    /// Nobody belongs to anything.
    pub(super) fn clear(&self) {
        for entry in &self.entries {
            let owner = entry.process.load(Ordering::Relaxed);
            if owner != 0 {
                self.release(entry, owner);
            }
        }
    }
}
