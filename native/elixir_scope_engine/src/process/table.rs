//! The slots of all processes: claimed without a lock, given back when their process is dead.

use super::slot::Slot;
use crate::event::ProcessId;
use crate::host::Host;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// The slots, found by hashing within a bounded window. How many they are is a power of two, from 2 on.
#[derive(Debug)]
pub struct ProcessSlots<S = Box<[Slot]>> {
    slots: S,
    claimed: AtomicU32,
    misses: AtomicU64,
    /// So many misses pass before a window is looked through again.
    passed: AtomicU32,
}

/// How far from its place a process may stand.
const WINDOW: usize = 32;
/// A full window is looked through for dead processes, and after one that had none at one miss in so many only.
const RECLAIM_EVERY: u32 = 8;
/// The key of a slot that is being cleared. No process: all ids of the host are words with some zero bit.
const CLEARING: u64 = u64::MAX;

/// The table that all recorders share. It stands in the library itself, and all of it is zeros at first: so a process's own
/// place is known but for its hash, and slots that are not used cost nothing.
#[cfg(not(loom))]
pub type SharedSlots = ProcessSlots<[Slot; ProcessSlots::SHARED_SLOTS]>;
/// Loom's atomics are made as the program runs.
#[cfg(loom)]
pub type SharedSlots = ProcessSlots;

#[cfg(not(loom))]
static SHARED: SharedSlots = ProcessSlots {
    slots: [const { Slot::new() }; ProcessSlots::SHARED_SLOTS],
    claimed: AtomicU32::new(0),
    misses: AtomicU64::new(0),
    passed: AtomicU32::new(0),
};

impl ProcessSlots {
    /// Slots of the table that all recorders share.
    pub const SHARED_SLOTS: usize = 131_072;

    /// `capacity` slots: a power of two, from 2 on.
    #[must_use]
    pub fn new(capacity: usize) -> ProcessSlots {
        let capacity = capacity.max(2).next_power_of_two();
        ProcessSlots {
            slots: std::iter::repeat_with(Slot::new).take(capacity).collect(),
            claimed: AtomicU32::new(0),
            misses: AtomicU64::new(0),
            passed: AtomicU32::new(0),
        }
    }

    /// The one table of this library, shared by all recorders. (Not for models: loom's atomics live as long as one run.)
    #[cfg(not(loom))]
    #[inline(always)]
    #[must_use]
    pub fn shared() -> &'static SharedSlots {
        &SHARED
    }

    /// Stands in for it where nobody asks.
    #[cfg(loom)]
    pub fn shared() -> &'static SharedSlots {
        static TABLE: std::sync::OnceLock<SharedSlots> = std::sync::OnceLock::new();
        TABLE.get_or_init(|| ProcessSlots::new(ProcessSlots::SHARED_SLOTS))
    }
}

impl<S: AsRef<[Slot]>> ProcessSlots<S> {
    #[inline(always)]
    fn slots(&self) -> &[Slot] {
        self.slots.as_ref()
    }

    /// The slot of `process`, claimed if it had none; called by that process only. `None` when there is no room, which is
    /// counted.
    #[inline]
    pub fn get(&self, process: ProcessId, host: &dyn Host) -> Option<&Slot> {
        match self.find(process) {
            Some(slot) => Some(slot),
            None => self.claim(process, host),
        }
    }

    /// The slot of `process`, if it has one; called from anywhere. It may be given to another process as soon as this one
    /// is dead.
    #[inline(always)]
    #[must_use]
    pub fn find(&self, process: ProcessId) -> Option<&Slot> {
        match self.slots().get(self.home(process)) {
            // Acquire: as in `find_further`.
            Some(slot) if slot.key.load(Ordering::Acquire) == process.0 => Some(slot),
            _ => self.find_further(process),
        }
    }

    /// Of a process that does not stand in its own place.
    #[inline(never)]
    fn find_further(&self, process: ProcessId) -> Option<&Slot> {
        // Acquire: pairs with the Release in `clear`, by way of the claim: the slot is seen as empty as it was given.
        self.window(process)
            .find(|slot| slot.key.load(Ordering::Acquire) == process.0)
    }

    #[inline(always)]
    fn home(&self, process: ProcessId) -> usize {
        // Fibonacci hashing: the ids of the host count up in their middle bits.
        let bits = self.slots().len().trailing_zeros();
        (process.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - bits)) as usize
    }

    #[cold]
    fn claim(&self, process: ProcessId, host: &dyn Host) -> Option<&Slot> {
        if process.0 == 0 || process.0 == CLEARING {
            return None;
        }
        if let Some(slot) = self.claim_empty(process) {
            return Some(slot);
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        // Relaxed, and two threads may take the same turn: no harm.
        let passed = self.passed.load(Ordering::Relaxed);
        if passed > 0 {
            self.passed.store(passed - 1, Ordering::Relaxed);
            return None;
        }
        for slot in self.window(process) {
            self.reclaim(slot, host);
        }
        let claimed = self.claim_empty(process);
        if claimed.is_none() {
            self.passed.store(RECLAIM_EVERY - 1, Ordering::Relaxed);
        }
        claimed
    }

    fn claim_empty(&self, process: ProcessId) -> Option<&Slot> {
        for slot in self.window(process) {
            // Acquire: pairs with the Release in `reclaim`; the slot was cleared before it became empty. Release: who
            // finds the process sees it cleared too.
            let claimed = slot.key.load(Ordering::Relaxed) == 0
                && slot
                    .key
                    .compare_exchange(0, process.0, Ordering::AcqRel, Ordering::Relaxed)
                    .is_ok();
            if claimed {
                self.claimed.fetch_add(1, Ordering::Relaxed);
                return Some(slot);
            }
        }
        None
    }

    /// Empties the slot if its process is dead.
    fn reclaim(&self, slot: &Slot, host: &dyn Host) -> bool {
        let key = slot.key.load(Ordering::Relaxed);
        if key == 0 || key == CLEARING || host.is_alive(ProcessId(key)) {
            return false;
        }
        // One of those that find it dead clears it. Relaxed: nobody else uses the slot of a dead process.
        if slot
            .key
            .compare_exchange(key, CLEARING, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            return false;
        }
        slot.clear();
        // Release: pairs with the Acquire of the next claim.
        slot.key.store(0, Ordering::Release);
        self.claimed.fetch_sub(1, Ordering::Relaxed);
        true
    }

    /// Gives back the slots of dead processes, and tells how many. For our own thread, now and then: it asks the host about
    /// each process that has a slot.
    pub fn sweep(&self, host: &dyn Host) -> usize {
        self.slots()
            .iter()
            .filter(|slot| self.reclaim(slot, host))
            .count()
    }

    /// Whether half of the slots are claimed, so that it is time for a [`sweep`](ProcessSlots::sweep).
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        self.claimed() * 2 >= self.slots().len()
    }

    /// Slots in use.
    #[must_use]
    pub fn claimed(&self) -> usize {
        self.claimed.load(Ordering::Relaxed) as usize
    }

    /// How often a process found no room.
    #[must_use]
    pub fn misses(&self) -> u64 {
        self.misses.load(Ordering::Relaxed)
    }

    /// Bytes reserved; touched only where a process has a slot.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of_val(self.slots())
    }

    #[inline]
    fn window(&self, process: ProcessId) -> impl Iterator<Item = &Slot> {
        let home = self.home(process);
        let mask = self.slots().len() - 1;
        (0..WINDOW.min(self.slots().len()))
            .filter_map(move |step| self.slots().get((home + step) & mask))
    }
}
