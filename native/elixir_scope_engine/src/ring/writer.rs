//! The writing end of a ring, held by one OS thread.

use super::chunk::{Meta, Resume, Taken};
use super::loss::Lost;
use super::memory::Chunk;
use super::record_buf::RecordBuf;
#[cfg(not(loom))]
use super::record_buf::in_one_piece;
use super::shared::{Position, Ring};
use super::window::Fill;
use super::{Policy, Rings};
use crate::barrier::Barrier;
use crate::clock::Clock;
use crate::event::{CorrelationId, Symbol, Ticks};
use crate::record::RecordHead;
use std::sync::Arc;

/// Writes records into the ring of one OS thread. Dropped when the thread ends: what was written is still drained.
#[derive(Debug)]
pub struct RingWriter {
    /// The current chunk, and where the next record goes: a multiple of eight.
    pub(super) chunk: Chunk,
    pub(super) offset: usize,
    /// Size of the current chunk; 0 as long as there is none, and while records are refused.
    pub(super) end: usize,
    /// Of the current chunk; from 1.
    pub(super) sequence: u32,
    /// Why no record is taken. There is no room for one then, so that nothing else need ask.
    refusal: Option<Symbol>,
    /// Events of the records that started in the current chunk.
    started: u32,
    /// The time of the first of them.
    first_ticks: u64,
    /// The time of the last record that was published.
    newest_ticks: u64,
    /// The time of the record before, whatever became of it.
    last_ticks: u64,
    correlations: u64,
    barrier: Barrier,
    clock: Arc<Clock>,
    ring: Arc<Ring>,
    rings: Arc<Rings>,
    /// What this ring's chunks hold, by place.
    held: Box<[Held]>,
}

/// What the writer knows of a chunk that it has left.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    sequence: u32,
    started: u32,
    first_ticks: u64,
    last_ticks: u64,
}

/// How far ahead of a record the writer asks for memory: what it takes for the time until the lines have come.
#[cfg(not(loom))]
const AHEAD: usize = 1_024;
#[cfg(not(loom))]
const LINE: usize = 64;

/// Records are aligned so that two of them never share a word.
const ALIGN: usize = 8;

impl RingWriter {
    pub(super) fn new(rings: Arc<Rings>, ring: Arc<Ring>) -> RingWriter {
        RingWriter {
            chunk: rings.pool.chunk(0),
            offset: 0,
            end: 0,
            sequence: 0,
            refusal: None,
            started: 0,
            first_ticks: 0,
            newest_ticks: 0,
            last_ticks: rings.clock.ticks_ordered().0,
            clock: Arc::clone(&rings.clock),
            correlations: 0,
            barrier: rings.barrier,
            held: vec![Held::default(); ring.places()].into_boxed_slice(),
            ring,
            rings,
        }
    }

    /// This writer's number: unique for the life of the library.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.ring.writer
    }

    /// The rings that this one belongs to.
    #[must_use]
    pub fn rings(&self) -> &Arc<Rings> {
        &self.rings
    }

    /// From now on every record is lost, and counted as lost by `cause`; with `None` they are taken again.
    pub fn refuse(&mut self, cause: Option<Symbol>) {
        self.refusal = cause;
        self.end = match cause {
            None if self.sequence != 0 => self.rings.pool.chunk_bytes(),
            _ => 0,
        };
    }

    /// A new causal root: never [`CorrelationId::NONE`], unique for the life of the library.
    #[inline]
    pub fn next_correlation(&mut self) -> CorrelationId {
        self.correlations += 1;
        CorrelationId(u64::from(self.ring.writer) << 40 | self.correlations & ((1 << 40) - 1))
    }

    /// Begins a record: announces it, reads the counter into `head.ticks`, and makes room for the head. The payload is
    /// written into what this returns; nothing is seen of it before [`RecordBuf::commit`].
    ///
    /// # Errors
    /// [`Lost`] when there is no room. The record has been counted as lost.
    #[inline(always)]
    pub fn begin(&mut self, head: RecordHead) -> Result<RecordBuf<'_>, Lost> {
        let ticks = self.announce();
        self.begin_announced(RecordHead { ticks, ..head })
    }

    /// The same of a record that was announced, with the answer to that in its head.
    ///
    /// # Errors
    /// As [`Self::begin`].
    #[inline(always)]
    pub fn begin_announced(&mut self, head: RecordHead) -> Result<RecordBuf<'_>, Lost> {
        self.open(head)
    }

    /// Begins a record as [`Self::begin`] does, and, if `fill` writes its payload into a window of `most` bytes at most,
    /// publishes it at once. Otherwise gives the record as it was begun, with no payload.
    ///
    /// # Errors
    /// As [`Self::begin`].
    #[inline(always)]
    pub fn record(
        &mut self,
        head: RecordHead,
        most: usize,
        fill: impl Fill,
    ) -> Result<Option<RecordBuf<'_>>, Lost> {
        let ticks = self.announce();
        self.record_announced(RecordHead { ticks, ..head }, most, fill)
    }

    /// The same of a record that was announced, with the answer to that in its head.
    ///
    /// # Errors
    /// As [`Self::begin`].
    #[inline(always)]
    pub fn record_announced(
        &mut self,
        head: RecordHead,
        most: usize,
        fill: impl Fill,
    ) -> Result<Option<RecordBuf<'_>>, Lost> {
        #[cfg(not(loom))]
        self.ask_for(self.offset + AHEAD, 2);
        #[cfg(not(loom))]
        if let Some(end) = in_one_piece(self, head, most, fill) {
            self.commit(end, self.sequence, head.ticks.0, head.events());
            return Ok(None);
        }
        #[cfg(loom)]
        let _ = (most, fill);
        self.open(head).map(Some)
    }

    /// Asks for cache lines of the current chunk before records come to them: the drainer has read them, often on another
    /// core, and without this each record waits until it has them back.
    #[cfg(not(loom))]
    #[inline(always)]
    fn ask_for(&self, offset: usize, lines: usize) {
        // Not beyond the end: what lies there may be another writer's, whom it would be taken from.
        if offset + lines * LINE <= self.end {
            for line in 0..lines {
                self.chunk.prefetch(offset + line * LINE);
            }
        }
    }

    /// Announces a record, and reads the counter for it. Nothing of any ring that is newer is handed out until the record is
    /// written, or taken back: little may be done between.
    #[inline(always)]
    #[must_use]
    pub fn announce(&mut self) -> Ticks {
        // The order of these is what keeps records from arriving late; see README.md.
        self.ring.announce(self.last_ticks);
        self.barrier.light();
        let ticks = self.clock.ticks().0.max(self.last_ticks);
        self.last_ticks = ticks;
        Ticks(ticks)
    }

    /// There will be no record, though it was announced.
    #[inline]
    pub fn take_back(&mut self) {
        self.ring.idle();
    }

    /// A record that was announced, with its head.
    #[inline]
    fn open(&mut self, head: RecordHead) -> Result<RecordBuf<'_>, Lost> {
        if self.offset + RecordHead::SIZE > self.end {
            self.make_room(&head)?;
        }
        Ok(RecordBuf::new(self, head))
    }

    #[cold]
    fn make_room(&mut self, head: &RecordHead) -> Result<(), Lost> {
        let room = match self.refusal {
            Some(cause) => Err(cause),
            None => self.advance(None),
        };
        room.map_err(|cause| {
            self.count_lost(cause, head.ticks.0, head.events());
            self.ring.idle();
            Lost { cause }
        })
    }

    /// Counts a record of so many events as lost by `cause`, now.
    #[cold]
    pub(super) fn count_lost(&mut self, cause: Symbol, ticks: u64, events: u32) {
        if let Some(cell) = self.ring.loss(cause) {
            cell.add(events.into(), ticks, ticks);
        }
    }

    /// Publishes the record of so many events that was written up to `offset` and began in the chunk numbered `start`.
    #[inline(always)]
    pub(super) fn commit(&mut self, offset: usize, start: u32, ticks: u64, events: u32) {
        self.offset = offset.next_multiple_of(ALIGN);
        if start == self.sequence {
            if self.started == 0 {
                self.first_ticks = ticks;
            }
            self.started += events;
        } else {
            self.note_spanning(start, ticks, events);
        }
        self.newest_ticks = ticks;
        let position = Position {
            sequence: self.sequence,
            offset: self.offset as u32,
        };
        self.ring.publish(position, events);
        self.ring.idle();
    }

    /// A record belongs to the chunk that it began in; the one that it ends in has its first own record behind it.
    #[cold]
    fn note_spanning(&mut self, start: u32, ticks: u64, events: u32) {
        if let Some(held) = self.held_mut(start) {
            if held.started == 0 {
                held.first_ticks = ticks;
            }
            held.started += events;
            held.last_ticks = ticks;
        }
        if let Some(meta) = self
            .ring
            .place(self.sequence)
            .and_then(|at| self.rings.pool.meta(at))
        {
            meta.set_first(self.offset as u32);
        }
    }

    /// Ends a record without publishing it: what it wrote is forgotten, its chunks but the first are given back.
    #[cold]
    pub(super) fn roll_back(&mut self, start: u32, offset: usize) {
        for sequence in (start + 1..=self.sequence).rev() {
            let state = self.ring.state(sequence);
            let Some(chunk) = self.ring.place(sequence) else {
                continue;
            };
            // A sequence that was skipped has no chunk.
            if let Some(meta) = self.rings.pool.meta(chunk).filter(|meta| meta.is(state)) {
                meta.free();
                self.rings.pool.push(chunk);
            }
        }
        if start != self.sequence {
            let held = self.held_mut(start).copied().unwrap_or_default();
            self.started = held.started;
            self.first_ticks = held.first_ticks;
            self.sequence = start;
            if let Some(chunk) = self.ring.place(start) {
                self.chunk = self.rings.pool.chunk(chunk);
            }
        }
        self.offset = offset;
    }

    /// Leaves the current chunk, which is used up to `self.offset`, for a new one. `open` is the sequence of the chunk
    /// where the record being written began.
    #[cold]
    pub(super) fn advance(&mut self, open: Option<u32>) -> Result<(), Symbol> {
        let (old, used) = (self.sequence, self.offset as u32);
        let last_ticks = self.newest_ticks;
        let (started, first_ticks) = (self.started, self.first_ticks);
        if let Some(held) = self.held_mut(old).filter(|_| old != 0) {
            *held = Held {
                sequence: old,
                started,
                first_ticks,
                last_ticks,
            };
        }
        let (chunk, sequence) = self.acquire(open)?;
        let old_state = self.ring.state(old);
        let old_chunk = self.ring.place(old).filter(|_| old != 0);
        if let Some(meta) = old_chunk.and_then(|at| self.rings.pool.meta(at)) {
            // Unless it was the old one that was taken back for the new one.
            if meta.is(old_state) {
                meta.end(used, sequence);
            }
        }
        if let Some(meta) = self.rings.pool.meta(chunk) {
            let first = if open.is_some() { Meta::NO_RECORD } else { 0 };
            meta.begin(self.ring.state(sequence), first);
        }
        self.ring.set_place(sequence, chunk);
        if let Some(held) = self.held_mut(sequence) {
            *held = Held {
                sequence,
                ..Held::default()
            };
        }
        self.chunk = self.rings.pool.chunk(chunk);
        self.sequence = sequence;
        self.started = 0;
        self.offset = 0;
        self.end = self.rings.pool.chunk_bytes();
        #[cfg(not(loom))]
        self.ask_for(0, AHEAD.min(self.end) / LINE);
        Ok(())
    }

    /// Finds a chunk for the next sequence: a free one, or the oldest of our own. Chunks from `open` on hold the record
    /// that is being written.
    fn acquire(&mut self, open: Option<u32>) -> Result<(u32, u32), Symbol> {
        let mut sequence = self.sequence + 1;
        let barred = open.unwrap_or(sequence);
        let mut pinned = 0;
        while pinned < self.ring.places() {
            let held = self.held_mut(sequence).copied().unwrap_or_default();
            if !self.holds(held.sequence) {
                // The place is empty: the ring may grow.
                if let Some(chunk) = self.rings.pool.pop() {
                    return Ok((chunk, sequence));
                }
                return match self.take_oldest(barred, sequence) {
                    Some(chunk) => Ok((chunk, sequence)),
                    None => Err(Symbol::DroppedNewest),
                };
            }
            if held.sequence >= barred {
                // All of the ring is this one record, unless a reader holds some of it.
                return Err(if pinned == 0 {
                    Symbol::TooBig
                } else {
                    Symbol::DroppedNewest
                });
            }
            match self.take(held, sequence) {
                Some((Taken::Yes, chunk)) => return Ok((chunk, sequence)),
                Some((Taken::Gone, _)) => {}
                // Its place is passed over in this round.
                Some((Taken::Pinned, _)) => {
                    pinned += 1;
                    sequence += 1;
                }
                None => return Err(Symbol::DroppedNewest),
            }
        }
        Err(Symbol::DroppedNewest)
    }

    /// Whether the chunk that was given `sequence` is still ours.
    fn holds(&self, sequence: u32) -> bool {
        let state = self.ring.state(sequence);
        let meta = self
            .ring
            .place(sequence)
            .and_then(|chunk| self.rings.pool.meta(chunk));
        sequence != 0 && meta.is_some_and(|meta| meta.is(state))
    }

    /// Takes back the oldest chunk that is ours and has no reader.
    fn take_oldest(&mut self, barred: u32, new: u32) -> Option<u32> {
        let mut from = 0;
        loop {
            let oldest = self
                .held
                .iter()
                .copied()
                .filter(|held| held.sequence > from && held.sequence < barred)
                .filter(|held| self.holds(held.sequence))
                .min_by_key(|held| held.sequence)?;
            if let Some((Taken::Yes, chunk)) = self.take(oldest, new) {
                return Some(chunk);
            }
            from = oldest.sequence;
        }
    }

    /// Takes one of our chunks back, if the policy lets us, and counts what was in it. `None` when it does not.
    fn take(&mut self, held: Held, new: u32) -> Option<(Taken, u32)> {
        let chunk = self.ring.place(held.sequence)?;
        let meta = self.rings.pool.meta(chunk)?;
        if self.rings.config.policy == Policy::DropNewest && !is_drained(meta.resume(), held) {
            return None;
        }
        let taken = meta.take(self.ring.state(held.sequence), self.ring.state(new));
        if taken == Taken::Yes {
            let resume = meta.resume();
            let lost = held.started.saturating_sub(resume.drained);
            if lost > 0 {
                let from = match resume.drained {
                    0 => held.first_ticks,
                    _ => self
                        .ticks_at(chunk, resume.offset)
                        .unwrap_or(held.first_ticks),
                };
                if let Some(cell) = self.ring.loss(Symbol::DroppedOldest) {
                    cell.add(u64::from(lost), from, held.last_ticks);
                }
            }
        }
        Some((taken, chunk))
    }

    /// The time of the record that starts at `offset` of a chunk that we have just taken back.
    fn ticks_at(&self, chunk: u32, offset: u32) -> Option<u64> {
        super::record_buf::read_head(self.rings.pool.chunk(chunk), offset as usize)
            .map(|(head, _)| head.ticks.0)
    }

    /// The bytes of one of our chunks.
    pub(super) fn chunk_of(&self, sequence: u32) -> Option<Chunk> {
        self.ring
            .place(sequence)
            .map(|chunk| self.rings.pool.chunk(chunk))
    }

    fn held_mut(&mut self, sequence: u32) -> Option<&mut Held> {
        let places = self.held.len();
        self.held.get_mut(sequence as usize % places)
    }

    #[inline(always)]
    pub(super) fn set_idle(&self) {
        self.ring.idle();
    }
}

/// Whether the reader is through with a chunk. What it passed only grows, so what looks drained is. An offset of 0: it was
/// never there, and the end of a large record may stand in this chunk though none began in it.
fn is_drained(resume: Resume, held: Held) -> bool {
    resume.offset > 0 && resume.drained >= held.started
}

impl Drop for RingWriter {
    fn drop(&mut self) {
        self.ring.retire();
    }
}
