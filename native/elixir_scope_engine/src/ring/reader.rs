//! The reading end of one ring: where the drainer stands in it, and the next record there.

#![allow(
    unsafe_code,
    reason = "reads what was published, in chunks that it has pinned"
)]

use super::chunk::{Meta, Resume};
use super::memory::Chunk;
use super::pool::Pool;
use super::record_buf::read_head;
use super::shared::{Position, Ring};
use crate::record::RecordHead;
use crate::sync::Ordering;
use std::sync::Arc;

/// The drainer's place in one ring. Used under the drain lock only.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) ring: Arc<Ring>,
    /// Sequence of the chunk to be read next, and the offset in it; `None` where the first record that starts in it is.
    sequence: u32,
    offset: Option<u32>,
    /// Records that started in this chunk and are behind us.
    drained: u32,
    pinned: Option<Pinned>,
    /// Records are read up to here.
    limit: Position,
    /// The ring had retired before `limit` was read: nothing will come after it.
    pub(super) is_last: bool,
}

#[derive(Clone, Copy, Debug)]
struct Pinned {
    index: u32,
    chunk: Chunk,
    /// Where the published part ends.
    end: u32,
    /// The sequence that follows, if the writer has left this chunk.
    next: Option<u32>,
}

/// A record that was found, and not passed yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) head: RecordHead,
    length: usize,
}

impl Reader {
    pub(super) fn new(ring: Arc<Ring>) -> Reader {
        let limit = ring.published();
        Reader {
            ring,
            sequence: 1,
            offset: None,
            drained: 0,
            pinned: None,
            limit,
            is_last: false,
        }
    }

    /// Takes what is published now as the end of what will be read.
    pub(super) fn look(&mut self) {
        self.is_last = self.ring.is_retired();
        self.limit = self.ring.published();
    }

    /// The next record below the limit.
    pub(super) fn peek(&mut self, pool: &Pool) -> Option<Found> {
        loop {
            let Some(pinned) = self.pinned else {
                if !self.pin_next(pool) {
                    return None;
                }
                continue;
            };
            let offset = self.offset?;
            if offset < pinned.end {
                let found = read_head(pinned.chunk, offset as usize)
                    .filter(|&(_, length)| length >= RecordHead::SIZE);
                if let Some((head, length)) = found {
                    return Some(Found { head, length });
                }
                // Cannot be: no ring wrote this. Nothing behind it in this chunk can be found.
                self.ring.broken.fetch_add(1, Ordering::Relaxed);
                self.offset = Some(pinned.end);
            } else if let Some(next) = pinned.next {
                self.free(pool, next);
            } else {
                return None;
            }
        }
    }

    /// Pins the chunk to be read next, or the next one that is still there. False when there is none.
    fn pin_next(&mut self, pool: &Pool) -> bool {
        loop {
            let at_limit = self.sequence == self.limit.sequence;
            let is_done = at_limit && self.offset.is_some_and(|at| at >= self.limit.offset);
            if self.sequence > self.limit.sequence || is_done {
                return false;
            }
            if let Some(pinned) = self.pin(pool, self.sequence) {
                if self.offset.is_none() {
                    let first = pool.meta(pinned.index).map_or(Meta::NO_RECORD, Meta::first);
                    // No record starts in a chunk that holds the middle of a large one.
                    self.offset = Some(first.min(pinned.end));
                    self.drained = 0;
                }
                self.pinned = Some(pinned);
                return true;
            }
            // Taken back, and what was in it counted by the writer. A ring holds no more than its places; what it holds
            // longer than that was pinned, and only by us.
            let places = self.ring.places() as u32;
            let oldest = self.limit.sequence.saturating_sub(places - 1);
            self.go_to((self.sequence + 1).max(oldest));
        }
    }

    fn go_to(&mut self, sequence: u32) {
        self.sequence = sequence;
        self.offset = None;
        self.drained = 0;
    }

    /// Pins one chunk of the ring, if it is there still.
    fn pin(&self, pool: &Pool, sequence: u32) -> Option<Pinned> {
        let index = self.ring.place(sequence)?;
        let meta = pool.meta(index)?;
        if !meta.pin(self.ring.state(sequence)) {
            return None;
        }
        let chunk = pool.chunk(index);
        // The writer has left all chunks below the limit, so that `used` and `next` are set.
        Some(if sequence == self.limit.sequence {
            Pinned {
                index,
                chunk,
                end: self.limit.offset,
                next: None,
            }
        } else {
            Pinned {
                index,
                chunk,
                end: meta.used(),
                next: Some(meta.next()),
            }
        })
    }

    /// Gives the chunk that we are in back to the pool, all of it being behind us, and goes on.
    fn free(&mut self, pool: &Pool, next: u32) {
        if let Some(pinned) = self.pinned.take() {
            release(pool, pinned.index);
        }
        self.go_to(next);
    }

    /// Lets go of the chunk that we are in, so that its owner may take it back.
    pub(super) fn unpin(&mut self, pool: &Pool) {
        if let Some(pinned) = self.pinned.take() {
            let resume = Resume {
                drained: self.drained,
                offset: self.offset.unwrap_or(0),
            };
            if let Some(meta) = pool.meta(pinned.index) {
                meta.unpin(resume);
            }
        }
    }

    /// Passes the record that [`peek`](Reader::peek) found and gives its payload: in place where it lies in one piece, else
    /// gathered in `scratch`. `None` when a part of it was taken back meanwhile; that is counted.
    pub(super) fn pass<'a>(
        &mut self,
        pool: &Pool,
        found: Found,
        scratch: &'a mut Vec<u8>,
    ) -> Option<&'a [u8]> {
        let (pinned, offset) = (self.pinned?, self.offset? as usize);
        self.drained += found.head.events();
        let (start, end) = (offset + RecordHead::SIZE, offset + found.length);
        if end <= pinned.end as usize {
            self.offset = Some(end.next_multiple_of(8) as u32);
            // SAFETY: published, and pinned until this reader moves on. It does that in `peek` and `unpin`, which the
            // drainer calls when it is done with the payload.
            return Some(unsafe { pinned.chunk.view(start, end - start, scratch) });
        }
        scratch.clear();
        self.gather(
            pool,
            found.length - RecordHead::SIZE,
            pinned,
            start,
            scratch,
        )
        .then_some(scratch)
    }

    /// Follows a record through its chunks. The first one stays pinned until the end, so that the record is counted once,
    /// by us or by the writer that took the first chunk back.
    fn gather(
        &mut self,
        pool: &Pool,
        mut missing: usize,
        first: Pinned,
        mut start: usize,
        out: &mut Vec<u8>,
    ) -> bool {
        let mut at = first;
        loop {
            let part = missing.min((at.end as usize).saturating_sub(start));
            // SAFETY: published and pinned.
            unsafe { at.chunk.append_to(start, part, out) };
            missing -= part;
            if missing == 0 {
                // The rest of this chunk comes next.
                release(pool, first.index);
                self.pinned = Some(at);
                self.offset = Some((start + part).next_multiple_of(8) as u32);
                self.drained = 0;
                return true;
            }
            let next = at.next.and_then(|next| Some((next, self.pin(pool, next)?)));
            if at.index != first.index {
                release(pool, at.index);
            }
            match next {
                Some((sequence, pinned)) => {
                    self.sequence = sequence;
                    at = pinned;
                    start = 0;
                }
                None => {
                    let lost_at = at.next.unwrap_or(self.sequence);
                    self.ring.broken.fetch_add(1, Ordering::Relaxed);
                    self.free(pool, lost_at);
                    return false;
                }
            }
        }
    }

    /// Frees what a retired ring holds still. All of it was read, or never published.
    pub(super) fn free_all(&mut self, pool: &Pool) {
        self.unpin(pool);
        let last = self
            .limit
            .sequence
            .saturating_add(self.ring.places() as u32);
        let first = self
            .limit
            .sequence
            .saturating_sub(self.ring.places() as u32);
        for sequence in first..=last {
            if let Some(pinned) = self.pin(pool, sequence) {
                release(pool, pinned.index);
            }
        }
    }
}

/// Frees a chunk that we have pinned.
fn release(pool: &Pool, index: u32) {
    if let Some(meta) = pool.meta(index) {
        meta.free();
        pool.push(index);
    }
}
