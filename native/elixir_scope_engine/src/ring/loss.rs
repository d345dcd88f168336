//! What was lost: counted by writer and cause, with the time that it covers.

use crate::event::{Symbol, Ticks};
use crate::sync::{AtomicU64, Ordering};
use std::fmt;

/// A record that was not recorded. It has been counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lost {
    /// [`Symbol::DroppedNewest`], [`Symbol::TooBig`] or [`Symbol::Guard`].
    pub cause: Symbol,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the record was lost and counted: {}", self.cause.name())
    }
}

impl std::error::Error for Lost {}

/// Losses of one writer by one cause since the last report. All of them lie within `from..=until`; two reports of one
/// writer may overlap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LossReport {
    /// The writer's number.
    pub writer: u32,
    /// Why.
    pub cause: Symbol,
    /// How many records.
    pub count: u64,
    /// The earliest one.
    pub from: Ticks,
    /// The latest one.
    pub until: Ticks,
}

/// The causes that a ring counts, in the order of its cells.
pub(super) const CAUSES: [Symbol; 4] = [
    Symbol::DroppedOldest,
    Symbol::DroppedNewest,
    Symbol::TooBig,
    Symbol::Guard,
];

/// Losses by one cause. Written by the ring's writer; read, and acknowledged, by the drainer.
#[derive(Debug)]
pub(super) struct LossCell {
    count: AtomicU64,
    from: AtomicU64,
    until: AtomicU64,
    reported: AtomicU64,
}

impl LossCell {
    pub(super) fn new() -> LossCell {
        LossCell {
            count: AtomicU64::new(0),
            from: AtomicU64::new(0),
            until: AtomicU64::new(0),
            reported: AtomicU64::new(0),
        }
    }

    /// By the writer only.
    pub(super) fn add(&self, count: u64, from: u64, until: u64) {
        let before = self.count.load(Ordering::Relaxed);
        // Acquire: pairs with the Release in `take`; the drainer has read the range of what it reported before we set a
        // new one. Seen late, the range only gets wider than it had to be.
        if self.reported.load(Ordering::Acquire) == before {
            self.from.store(from, Ordering::Relaxed);
            self.until.store(until, Ordering::Relaxed);
        } else {
            self.from.store(
                from.min(self.from.load(Ordering::Relaxed)),
                Ordering::Relaxed,
            );
            self.until.store(
                until.max(self.until.load(Ordering::Relaxed)),
                Ordering::Relaxed,
            );
        }
        // Release: who sees the count sees a range that covers it.
        self.count.store(before + count, Ordering::Release);
    }

    /// By the drainer, under its lock: what has not been reported yet.
    pub(super) fn take(&self, writer: u32, cause: Symbol) -> Option<LossReport> {
        // Acquire: pairs with the Release in `add`.
        let count = self.count.load(Ordering::Acquire);
        let reported = self.reported.load(Ordering::Relaxed);
        if count == reported {
            return None;
        }
        let from = Ticks(self.from.load(Ordering::Relaxed));
        let until = Ticks(self.until.load(Ordering::Relaxed));
        // Release: our reads of the range come before the writer's next one.
        self.reported.store(count, Ordering::Release);
        Some(LossReport {
            writer,
            cause,
            count: count - reported,
            from,
            until,
        })
    }

    /// By the drainer: whether there is something to report.
    pub(super) fn has_news(&self) -> bool {
        self.count.load(Ordering::Acquire) != self.reported.load(Ordering::Relaxed)
    }

    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}
