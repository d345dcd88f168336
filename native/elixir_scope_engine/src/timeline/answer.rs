//! What is asked of timelines, and what they answer.

use crate::event::{AtomId, EventId, TimeNs};

/// The moment that a query is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// This time; what was recorded at it has happened.
    At(TimeNs),
    /// After all that was recorded.
    Last,
}

/// How far a state can be trusted. The later, the less.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Quality {
    /// The process gave the whole state at this very time, or one later to which what was recorded between leads.
    Exact,
    /// Nothing is known to be missing; nothing later has proved it.
    Unverified,
    /// A part was cut or lost, or it is known that something was missing.
    Approximate,
}

/// What a change asks of the process for the next one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    /// Nothing.
    No,
    /// The whole state: from here, deltas alone tell too little.
    Keyframe,
}

/// Why there is no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Missing {
    /// No state was recorded then, or ever.
    NoStateRecorded,
    /// It was recorded, and has been taken away since.
    Evicted,
    /// The value did not change in that direction, as far as the tape goes.
    NeverChanged,
}

/// A state as it was at the time asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// The encoded value.
    pub state: Vec<u8>,
    /// How far it can be trusted.
    pub quality: Quality,
    /// The module whose state it is.
    pub module: AtomId,
    /// When the process came to it.
    pub recorded_at: TimeNs,
    /// The change that brought it there.
    pub event: EventId,
    /// How many deltas were applied to find it.
    pub replayed: u32,
    /// How many masked values are in it.
    pub redacted: u32,
}

/// In which direction a change is looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seek {
    /// The newest at or before this time.
    Before(TimeNs),
    /// The oldest later than this time.
    After(TimeNs),
}

/// Figures of timelines.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TimelineStats {
    /// Processes of which a state is kept.
    pub processes: usize,
    /// Pairs of process and module of which a state is kept.
    pub timelines: usize,
    /// Stretches of changes behind a whole state.
    pub blocks: usize,
    /// Changes taken in all.
    pub changes: u64,
    /// Changes that were taken away.
    pub evicted: u64,
    /// Changes that came in a form, or of a size, that could not be kept.
    pub refused: u64,
    /// Whole states that were as replay said.
    pub verified: u64,
    /// Whole states that replay should have led to, and did not.
    pub mismatches: u64,
    /// Bytes held.
    pub bytes: usize,
    /// Bytes that may be held.
    pub cap: usize,
}
