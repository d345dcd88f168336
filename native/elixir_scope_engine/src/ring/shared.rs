//! What the writer of a ring and the drainer share.

use super::chunk::State;
use super::loss::{CAUSES, LossCell};
use crate::event::Symbol;
use crate::sync::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// One ring: a bounded sequence of chunks, numbered from 1. Sequence `s` has its place at `s % places`.
#[derive(Debug)]
pub(super) struct Ring {
    pub(super) writer: u32,
    hot: Hot,
    /// The chunk, plus one, that was last given each place. Whether it still holds that sequence, its state word tells.
    places: Box<[AtomicU32]>,
    losses: [LossCell; CAUSES.len()],
    /// Counted by the drainer: records that it found broken, by the first of the causes.
    pub(super) broken: AtomicU64,
    retired: AtomicBool,
}

/// Stored to by the writer for each record; on lines of its own (two, since processors fetch them in pairs).
#[derive(Debug)]
#[repr(align(128))]
struct Hot {
    /// No record that is not published yet is earlier than this.
    bound: AtomicU64,
    /// Sequence (upper half) and offset (lower half) behind the last record.
    published: AtomicU64,
    recorded: AtomicU64,
}

/// A place in a ring: everything before it is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Position {
    pub(super) sequence: u32,
    pub(super) offset: u32,
}

/// The bound of a writer that is not in the middle of a record.
const IDLE: u64 = u64::MAX;

impl Ring {
    pub(super) fn new(writer: u32, places: usize) -> Ring {
        Ring {
            writer,
            hot: Hot {
                bound: AtomicU64::new(IDLE),
                published: AtomicU64::new(0),
                recorded: AtomicU64::new(0),
            },
            places: (0..places).map(|_| AtomicU32::new(0)).collect(),
            losses: std::array::from_fn(|_| LossCell::new()),
            broken: AtomicU64::new(0),
            retired: AtomicBool::new(false),
        }
    }

    /// The state word of one of this ring's chunks.
    pub(super) fn state(&self, sequence: u32) -> State {
        State::owned(self.writer, sequence)
    }

    /// How many chunks this ring can hold.
    pub(super) fn places(&self) -> usize {
        self.places.len()
    }

    /// The chunk that may hold `sequence`.
    pub(super) fn place(&self, sequence: u32) -> Option<u32> {
        let place = self.places.get(sequence as usize % self.places.len())?;
        // Acquire: pairs with `set_place`, so that the chunk's state is at least as new as the place.
        place.load(Ordering::Acquire).checked_sub(1)
    }

    /// By the writer, when the chunk's state is set.
    pub(super) fn set_place(&self, sequence: u32, chunk: u32) {
        if let Some(place) = self.places.get(sequence as usize % self.places.len()) {
            // Release: publishes the chunk's state.
            place.store(chunk + 1, Ordering::Release);
        }
    }

    /// By the writer: nothing of mine that you cannot see yet is earlier than `bound`. A barrier must follow.
    #[inline(always)]
    pub(super) fn announce(&self, bound: u64) {
        // Relaxed: ordered by the barrier.
        self.hot.bound.store(bound, Ordering::Relaxed);
    }

    /// By the writer: everything before `position` is written, a record of so many events last.
    #[inline(always)]
    pub(super) fn publish(&self, position: Position, events: u32) {
        // Relaxed: a figure for status, which the writer alone counts.
        let recorded = self.hot.recorded.load(Ordering::Relaxed) + u64::from(events);
        self.hot.recorded.store(recorded, Ordering::Relaxed);
        // Release: publishes the record's bytes, and what was noted of the chunks that it went through.
        self.hot.published.store(
            u64::from(position.sequence) << 32 | u64::from(position.offset),
            Ordering::Release,
        );
    }

    /// By the writer: not in the middle of a record.
    #[inline(always)]
    pub(super) fn idle(&self) {
        // Release: who sees this sees the record published, or its loss counted.
        self.hot.bound.store(IDLE, Ordering::Release);
    }

    /// By the drainer, after its barrier.
    pub(super) fn bound(&self) -> Option<u64> {
        // Acquire: pairs with `idle`.
        let bound = self.hot.bound.load(Ordering::Acquire);
        (bound != IDLE).then_some(bound)
    }

    /// By the drainer, after it read the bound.
    pub(super) fn published(&self) -> Position {
        // Acquire: pairs with `publish`.
        let word = self.hot.published.load(Ordering::Acquire);
        Position {
            sequence: (word >> 32) as u32,
            offset: word as u32,
        }
    }

    pub(super) fn recorded(&self) -> u64 {
        self.hot.recorded.load(Ordering::Relaxed)
    }

    /// The losses by `cause`.
    pub(super) fn loss(&self, cause: Symbol) -> Option<&LossCell> {
        let at = CAUSES.iter().position(|&one| one == cause)?;
        self.losses.get(at)
    }

    pub(super) fn losses(&self) -> impl Iterator<Item = (Symbol, &LossCell)> {
        CAUSES.into_iter().zip(&self.losses)
    }

    /// By the writer, when it ends.
    pub(super) fn retire(&self) {
        // Release: who sees it sees all that the writer ever published or counted.
        self.retired.store(true, Ordering::Release);
    }

    /// By the drainer, before it reads what was published.
    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }
}
