//! Bytes held, counted where they are allocated and given back where they are freed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a byte of the store is used for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Use {
    /// Columns of sealed segments.
    Columns,
    /// Dictionaries, zone maps and the list of segments.
    Index,
    /// Payloads of sealed segments.
    Payload,
    /// The open segment and what sealing needs.
    Open,
    /// What is kept of the states of processes.
    Timelines,
}

const USES: usize = 5;

/// One account of memory.
#[derive(Debug, Default)]
pub struct Memory {
    used: [AtomicUsize; USES],
}

impl Memory {
    /// Bytes held for `what`.
    #[must_use]
    #[allow(clippy::indexing_slicing, reason = "one counter for each use")]
    pub fn of(&self, what: Use) -> usize {
        // Relaxed: a figure, it publishes nothing.
        self.used[what as usize].load(Ordering::Relaxed)
    }

    /// Bytes held in all.
    #[must_use]
    pub fn total(&self) -> usize {
        self.used
            .iter()
            .map(|used| used.load(Ordering::Relaxed))
            .sum()
    }

    /// Counts `bytes` until the answer is dropped.
    #[must_use]
    pub fn charge(self: &Arc<Self>, what: Use, bytes: usize) -> Charge {
        let mut charge = Charge {
            memory: Arc::clone(self),
            what,
            bytes: 0,
        };
        charge.set(bytes);
        charge
    }

    #[allow(clippy::indexing_slicing, reason = "one counter for each use")]
    fn counter(&self, what: Use) -> &AtomicUsize {
        &self.used[what as usize]
    }
}

/// Bytes on an account; given back on drop.
#[derive(Debug)]
pub struct Charge {
    memory: Arc<Memory>,
    what: Use,
    bytes: usize,
}

impl Charge {
    /// Corrects the number of bytes.
    pub fn set(&mut self, bytes: usize) {
        let counter = self.memory.counter(self.what);
        // Relaxed: a figure, it publishes nothing.
        if bytes >= self.bytes {
            counter.fetch_add(bytes - self.bytes, Ordering::Relaxed);
        } else {
            counter.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
    }

    /// The number of bytes counted.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_charge_is_given_back_when_dropped() {
        let memory = Arc::new(Memory::default());
        let mut columns = memory.charge(Use::Columns, 100);
        let index = memory.charge(Use::Index, 7);
        columns.set(40);
        assert_eq!((memory.of(Use::Columns), memory.total()), (40, 47));
        drop(columns);
        drop(index);
        assert_eq!(memory.total(), 0);
    }
}
