//! Sets of traces as words, and the sorts of events that they want.

use std::ops::{BitAnd, BitOr, Not};
use std::sync::atomic::{AtomicU32, Ordering};

/// A sort of events that a trace can ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Group {
    /// Calls of functions.
    Call,
    /// Returns from them.
    Return,
    /// Exceptions out of them.
    Exception,
    /// Messages that are sent.
    Send,
    /// Messages that arrive.
    Receive,
    /// Births, deaths, links and names of processes.
    Procs,
    /// Garbage collections.
    Gc,
}

impl Group {
    /// How many there are.
    pub const COUNT: usize = 7;
    /// All of them, in their order.
    pub const ALL: &'static [Group] = &[
        Group::Call,
        Group::Return,
        Group::Exception,
        Group::Send,
        Group::Receive,
        Group::Procs,
        Group::Gc,
    ];
}

/// A set of traces, by their numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TraceSet(u32);

impl TraceSet {
    /// So many traces there can be at a time.
    pub const MOST: usize = 16;
    /// No trace.
    pub const EMPTY: TraceSet = TraceSet(0);
    const ALL: u32 = (1 << Self::MOST) - 1;

    /// The trace with this number; none for a number that no trace has.
    #[must_use]
    pub const fn of(number: u32) -> TraceSet {
        if number < Self::MOST as u32 {
            TraceSet(1 << number)
        } else {
            TraceSet::EMPTY
        }
    }

    /// Bit n stands for the trace n.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// As [`bits`](TraceSet::bits) gives it.
    #[must_use]
    pub const fn from_bits(bits: u32) -> TraceSet {
        TraceSet(bits & Self::ALL)
    }

    /// Whether there is none.
    #[inline(always)]
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether this one is there.
    #[must_use]
    pub const fn contains(self, number: u32) -> bool {
        self.0 & Self::of(number).0 != 0
    }

    /// The numbers in it, from the lowest.
    pub fn numbers(self) -> impl Iterator<Item = u32> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let number = left.trailing_zeros();
            left &= left.wrapping_sub(1);
            (number < u32::BITS).then_some(number)
        })
    }

    /// Those of which `keep` is true.
    #[inline(always)]
    #[must_use]
    pub fn filter(self, mut keep: impl FnMut(u32) -> bool) -> TraceSet {
        let (mut left, mut kept) = (self.0, 0);
        while left != 0 {
            let one = left & left.wrapping_neg();
            if keep(one.trailing_zeros()) {
                kept |= one;
            }
            left ^= one;
        }
        TraceSet(kept)
    }
}

impl BitAnd for TraceSet {
    type Output = TraceSet;
    #[inline(always)]
    fn bitand(self, other: TraceSet) -> TraceSet {
        TraceSet(self.0 & other.0)
    }
}

impl BitOr for TraceSet {
    type Output = TraceSet;
    #[inline(always)]
    fn bitor(self, other: TraceSet) -> TraceSet {
        TraceSet(self.0 | other.0)
    }
}

impl Not for TraceSet {
    type Output = TraceSet;
    #[inline(always)]
    fn not(self) -> TraceSet {
        TraceSet(!self.0 & Self::ALL)
    }
}

/// A set that threads share. All orderings are relaxed but where a trace begins: an event that happens beside the change may
/// see either.
#[derive(Debug)]
pub(super) struct SetWord(AtomicU32);

impl SetWord {
    pub(super) const fn new() -> SetWord {
        SetWord(AtomicU32::new(0))
    }

    #[inline(always)]
    pub(super) fn load(&self) -> TraceSet {
        // Acquire: who sees that a trace runs sees what it wants. Free where it matters.
        TraceSet(self.0.load(Ordering::Acquire))
    }

    pub(super) fn put(&self, traces: TraceSet, is_in: bool) {
        if is_in {
            self.0.fetch_or(traces.0, Ordering::AcqRel);
        } else {
            self.0.fetch_and(!traces.0, Ordering::AcqRel);
        }
    }

    /// Puts the lowest number that is not in it into it.
    pub(super) fn take_free(&self) -> Option<u32> {
        let taken = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |taken| {
                let free = (!taken).trailing_zeros();
                (free < TraceSet::MOST as u32).then(|| taken | 1 << free)
            });
        taken.ok().map(|taken| (!taken).trailing_zeros())
    }
}
