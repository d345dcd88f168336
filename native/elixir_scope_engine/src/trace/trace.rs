//! One trace: its limits, and what it has used of them.

use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering};

use super::TraceConfig;
use crate::event::TimeNs;

/// Why a trace ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Ending {
    /// It has recorded as many events as it may.
    Max = 1,
    /// More events came in one second than may.
    Rate = 2,
    /// Its time was over.
    Time = 3,
    /// What it was to stop at has happened.
    StopWhen = 4,
    /// Somebody ended it.
    Stopped = 5,
    /// It was ended to spare the host.
    Guard = 6,
}

impl Ending {
    const ALL: [Ending; 6] = [
        Ending::Max,
        Ending::Rate,
        Ending::Time,
        Ending::StopWhen,
        Ending::Stopped,
        Ending::Guard,
    ];

    fn of(number: u8) -> Option<Ending> {
        Self::ALL.into_iter().find(|ending| *ending as u8 == number)
    }
}

/// How a trace stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceState {
    /// Why it ended, if it did.
    pub ending: Option<Ending>,
    /// Events that it has counted.
    pub recorded: u64,
    /// Events that came at its limits.
    pub skipped: u64,
    /// How often a process that belongs to it found no room among the members: of those nothing was recorded, or not all.
    pub missed: u64,
}

/// What became of an event.
pub(super) struct Counted {
    pub(super) is_recorded: bool,
    /// Its limit is reached, with this event or before it.
    pub(super) ending: Option<Ending>,
}

#[derive(Debug)]
pub(super) struct Trace {
    /// 0, or an [`Ending`].
    ending: AtomicU8,
    rate: AtomicU32,
    max: AtomicU64,
    recorded: AtomicU64,
    skipped: AtomicU64,
    missed: AtomicU64,
    /// The number of the current second since the beginning, and below it what `recorded` was when it began, in its lowest half: so an
    /// event counts itself once.
    second: AtomicU64,
    began: AtomicI64,
    until: AtomicI64,
}

const SECOND_NS: u64 = 1_000_000_000;

impl Trace {
    pub(super) const fn new() -> Trace {
        Trace {
            ending: AtomicU8::new(0),
            rate: AtomicU32::new(0),
            max: AtomicU64::new(0),
            recorded: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            second: AtomicU64::new(0),
            began: AtomicI64::new(0),
            until: AtomicI64::new(0),
        }
    }

    pub(super) fn begin(&self, config: &TraceConfig<'_>, now: TimeNs) {
        self.ending.store(0, Ordering::Relaxed);
        self.rate.store(config.rate, Ordering::Relaxed);
        self.max.store(config.max, Ordering::Relaxed);
        self.recorded.store(0, Ordering::Relaxed);
        self.skipped.store(0, Ordering::Relaxed);
        self.missed.store(0, Ordering::Relaxed);
        self.second.store(0, Ordering::Relaxed);
        self.began.store(now.0, Ordering::Relaxed);
        self.until.store(config.until.0, Ordering::Relaxed);
    }

    pub(super) fn end(&self, ending: Ending) {
        let _ = self
            .ending
            .compare_exchange(0, ending as u8, Ordering::Relaxed, Ordering::Relaxed);
    }

    pub(super) fn state(&self) -> TraceState {
        TraceState {
            ending: Ending::of(self.ending.load(Ordering::Relaxed)),
            recorded: self.recorded.load(Ordering::Relaxed),
            skipped: self.skipped.load(Ordering::Relaxed),
            missed: self.missed.load(Ordering::Relaxed),
        }
    }

    pub(super) fn miss(&self) {
        self.missed.fetch_add(1, Ordering::Relaxed);
    }

    #[inline(always)]
    pub(super) fn count(&self, now: TimeNs) -> Counted {
        if now.0 >= self.until.load(Ordering::Relaxed) {
            return self.refuse(Ending::Time);
        }
        let max = self.max.load(Ordering::Relaxed);
        let before = self.recorded.fetch_add(1, Ordering::Relaxed);
        if self.is_too_quick(now, before) || before >= max {
            self.recorded.fetch_sub(1, Ordering::Relaxed);
            return self.refuse(if before >= max {
                Ending::Max
            } else {
                Ending::Rate
            });
        }
        Counted {
            is_recorded: true,
            ending: (before + 1 == max).then_some(Ending::Max),
        }
    }

    #[cold]
    fn refuse(&self, ending: Ending) -> Counted {
        self.skipped.fetch_add(1, Ordering::Relaxed);
        Counted {
            is_recorded: false,
            ending: Some(ending),
        }
    }

    /// Whether an event, before which so many were recorded, is one too many in its second.
    #[inline(always)]
    fn is_too_quick(&self, now: TimeNs, before: u64) -> bool {
        let rate = self.rate.load(Ordering::Relaxed);
        let since = now.0.saturating_sub(self.began.load(Ordering::Relaxed));
        let second = since.max(0) as u64 / SECOND_NS;
        let mut word = self.second.load(Ordering::Relaxed);
        // A thread that comes late counts in the newer second.
        if second > word >> 32 {
            word = self.next_second(word, second << 32 | u64::from(before as u32));
        }
        // Below it where another thread began the second meanwhile.
        let in_second = (before as u32).wrapping_sub(word as u32) as i32;
        i64::from(in_second) >= i64::from(rate)
    }

    /// The second that holds, which is that of whoever came first.
    #[cold]
    fn next_second(&self, old: u64, new: u64) -> u64 {
        let (expected, relaxed) = (old, Ordering::Relaxed);
        match self
            .second
            .compare_exchange(expected, new, relaxed, relaxed)
        {
            Ok(_) => new,
            Err(found) => found.max(new),
        }
    }
}
