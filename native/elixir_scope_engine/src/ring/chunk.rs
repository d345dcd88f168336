//! Who owns a chunk, who reads it, and how far: one state word, and what stands beside it.

use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// Owner (24 bits), sequence within the owner's ring (32 bits), readers (8 bits); 0 is free. A ring never gives the same
/// sequence to two chunks that somebody could have seen, so a word that is equal names the same content.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct State(u64);

impl State {
    pub(super) const FREE: State = State(0);

    /// `writer` numbers are unique for the life of the library; 24 bits of them tell apart what is alive at once.
    pub(super) fn owned(writer: u32, sequence: u32) -> State {
        let owner = u64::from(writer & 0x00ff_ffff).max(1);
        State(owner << 40 | u64::from(sequence) << 8)
    }

    fn pinned(self) -> State {
        State(self.0 + 1)
    }

    fn without_readers(self) -> State {
        State(self.0 & !0xff)
    }
}

/// How an attempt to take a chunk back ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Taken {
    Yes,
    /// Somebody reads it.
    Pinned,
    /// It is not ours any more.
    Gone,
}

/// What is known of a chunk besides its bytes. A cache line for each: neighbours belong to other threads.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Meta {
    state: AtomicU64,
    /// Events of records that started here and were drained (upper half), offset of the next one (lower half). Written by the reader
    /// before it unpins.
    resume: AtomicU64,
    /// Bytes in use, and the sequence of the chunk that comes next; set when the writer moves on, published by a later
    /// `published`.
    used: AtomicU32,
    next: AtomicU32,
    /// Offset of the first record that starts here, or [`Meta::NO_RECORD`]. Published by `published`.
    first: AtomicU32,
    /// The free list's link.
    pub(super) next_free: AtomicU32,
}

/// Where a reader stands in a chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Resume {
    pub(super) drained: u32,
    pub(super) offset: u32,
}

impl Meta {
    pub(super) const NO_RECORD: u32 = u32::MAX;

    pub(super) fn new() -> Meta {
        Meta {
            state: AtomicU64::new(State::FREE.0),
            resume: AtomicU64::new(0),
            used: AtomicU32::new(0),
            next: AtomicU32::new(0),
            first: AtomicU32::new(0),
            next_free: AtomicU32::new(0),
        }
    }

    /// The writer gives a chunk that is free, or that it has just taken back, its new content.
    pub(super) fn begin(&self, state: State, first: u32) {
        self.resume.store(0, Ordering::Relaxed);
        self.first.store(first, Ordering::Relaxed);
        // Release: who pins this state sees the two stores above. (The bytes are published by `published`.)
        self.state.store(state.0, Ordering::Release);
    }

    /// The writer moves on.
    pub(super) fn end(&self, used: u32, next: u32) {
        // Relaxed: no reader looks before `published` names a later chunk, and that is a Release.
        self.used.store(used, Ordering::Relaxed);
        self.next.store(next, Ordering::Relaxed);
    }

    pub(super) fn set_first(&self, first: u32) {
        // Relaxed: as in `end`.
        self.first.store(first, Ordering::Relaxed);
    }

    /// Whether the chunk still holds what its owner wrote under `state`, pinned or not. Asked by the owner only.
    pub(super) fn is(&self, state: State) -> bool {
        // Relaxed: an owner that finds it gone does not touch it; it comes back only through the free list.
        State(self.state.load(Ordering::Relaxed)).without_readers() == state
    }

    /// The owner takes the chunk back, from `state` to `new`, unless somebody reads it.
    pub(super) fn take(&self, state: State, new: State) -> Taken {
        // Acquire: pairs with the Release in `unpin`; the reader's reads are over, and `resume` is seen. Nothing is
        // published: no reader asks for the new state before `published` names it.
        match self
            .state
            .compare_exchange(state.0, new.0, Ordering::Acquire, Ordering::Relaxed)
        {
            Ok(_) => Taken::Yes,
            Err(now) if State(now).without_readers() == state => Taken::Pinned,
            Err(_) => Taken::Gone,
        }
    }

    /// The owner gives back a chunk that nobody has seen, or the reader one that it has pinned and drained.
    pub(super) fn free(&self) {
        // Relaxed: the free list, where it goes next, orders our reads before the next owner's writes.
        self.state.store(State::FREE.0, Ordering::Relaxed);
    }

    /// The reader (there is one at a time) keeps the owner from taking the chunk back; false if it holds something else.
    pub(super) fn pin(&self, state: State) -> bool {
        // Acquire: pairs with `begin`.
        self.state
            .compare_exchange(
                state.0,
                state.pinned().0,
                Ordering::Acquire,
                Ordering::Relaxed,
            )
            .is_ok()
    }

    /// The reader leaves, having come as far as `resume`.
    pub(super) fn unpin(&self, resume: Resume) {
        let word = u64::from(resume.drained) << 32 | u64::from(resume.offset);
        self.resume.store(word, Ordering::Relaxed);
        // Release: the owner that takes the chunk back sees `resume`, and overwrites only after our reads.
        self.state.fetch_sub(1, Ordering::Release);
    }

    /// How far the reader came. Exact for the owner once it has taken the chunk back; before that a lower bound.
    pub(super) fn resume(&self) -> Resume {
        let word = self.resume.load(Ordering::Relaxed);
        Resume {
            drained: (word >> 32) as u32,
            offset: word as u32,
        }
    }

    /// For the reader, pinned, of a chunk that the writer has left.
    pub(super) fn used(&self) -> u32 {
        self.used.load(Ordering::Relaxed)
    }

    /// For the reader, pinned, of a chunk that the writer has left.
    pub(super) fn next(&self) -> u32 {
        self.next.load(Ordering::Relaxed)
    }

    /// For the reader, pinned.
    pub(super) fn first(&self) -> u32 {
        self.first.load(Ordering::Relaxed)
    }
}
