//! One record while it is written.

#![allow(unsafe_code, reason = "writes into chunks that this thread owns")]

use super::memory::Chunk;
use super::writer::RingWriter;
use crate::event::Ticks;
use crate::record::RecordHead;
use crate::value::{Full, Sink};

/// A record that was begun. Its payload goes in through [`Sink`]; [`commit`](RecordBuf::commit) makes it seen. Dropped, or
/// aborted, it never was.
#[derive(Debug)]
#[must_use = "a record that is not committed is dropped"]
pub struct RecordBuf<'w> {
    chunk: Chunk,
    /// In the current chunk: the next byte, and the first one that is not ours to write.
    offset: usize,
    end: usize,
    /// Bytes of this record in earlier chunks, minus the offset at which the current chunk's part began.
    before: isize,
    /// Where the head stands.
    start: usize,
    start_sequence: u32,
    is_lost: bool,
    ticks: u64,
    writer: &'w mut RingWriter,
}

impl<'w> RecordBuf<'w> {
    /// The writer has room for a head.
    #[inline(always)]
    pub(super) fn new(writer: &'w mut RingWriter, head: RecordHead) -> RecordBuf<'w> {
        let (chunk, start) = (writer.chunk, writer.offset);
        debug_assert!(start + RecordHead::SIZE <= writer.end);
        // SAFETY: `begin` made sure that the head fits; the chunk is this writer's, and what lies behind `published` is
        // read by nobody.
        unsafe { chunk.write(start, &head.encode(0)) };
        RecordBuf {
            chunk,
            offset: start + RecordHead::SIZE,
            end: writer.end,
            before: -(start as isize),
            start,
            start_sequence: writer.sequence,
            is_lost: false,
            ticks: head.ticks.0,
            writer,
        }
    }

    /// Bytes written so far, the head among them.
    #[must_use]
    pub fn len(&self) -> usize {
        (self.offset as isize + self.before) as usize
    }

    /// Whether there is no payload yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() <= RecordHead::SIZE
    }

    /// The reading that the record is stamped with.
    #[must_use]
    pub fn ticks(&self) -> Ticks {
        Ticks(self.ticks)
    }

    /// Publishes the record. False if it was lost, which has been counted.
    #[inline]
    pub fn commit(self) -> bool {
        let mut this = std::mem::ManuallyDrop::new(self);
        if this.is_lost {
            this.writer.set_idle();
            return false;
        }
        let length = this.len() as u32;
        if this.start_sequence == this.writer.sequence {
            // SAFETY: the head is in the current chunk, at `start`; nobody reads it before it is published.
            unsafe { this.chunk.write(this.start, &length.to_le_bytes()) };
        } else {
            this.set_length_of_spanning(length);
        }
        let (offset, start, ticks) = (this.offset, this.start_sequence, this.ticks);
        this.writer.commit(offset, start, ticks);
        true
    }

    /// Forgets the record, without counting it as lost.
    pub fn abort(self) {}

    #[cold]
    fn set_length_of_spanning(&mut self, length: u32) {
        if let Some(chunk) = self.writer.chunk_of(self.start_sequence) {
            // SAFETY: the chunk where this record began is still this writer's: it does not take back chunks of a record
            // that it is writing.
            unsafe { chunk.write(self.start, &length.to_le_bytes()) };
        }
    }

    #[cold]
    #[inline(never)]
    fn put_slow(&mut self, mut bytes: &[u8]) -> Result<(), Full> {
        if self.is_lost {
            return Err(Full);
        }
        // Small items stay in one piece.
        let splits = bytes.len() > 16;
        loop {
            let room = self.end - self.offset;
            let fits = bytes.len() <= room;
            let part = if fits {
                bytes.len()
            } else if splits {
                room
            } else {
                0
            };
            let (now, later) = bytes.split_at(part);
            // SAFETY: at most `room` bytes, in a chunk that is this writer's; unpublished, so read by nobody.
            unsafe { self.chunk.write(self.offset, now) };
            self.offset += part;
            if fits {
                return Ok(());
            }
            bytes = later;
            self.advance()?;
        }
    }

    fn advance(&mut self) -> Result<(), Full> {
        let length = self.len();
        self.writer.offset = self.offset;
        match self.writer.advance(Some(self.start_sequence)) {
            Ok(()) => {
                self.chunk = self.writer.chunk;
                self.offset = 0;
                self.end = self.writer.end;
                self.before = length as isize;
                Ok(())
            }
            Err(cause) => {
                self.writer.roll_back(self.start_sequence, self.start);
                self.writer.count_lost(cause, self.ticks);
                self.is_lost = true;
                // No room for anything from here on.
                self.end = self.offset;
                Err(Full)
            }
        }
    }
}

impl Sink for RecordBuf<'_> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        if bytes.len() > self.end - self.offset || self.is_lost {
            return self.put_slow(bytes);
        }
        // SAFETY: fits in the current chunk, which is this writer's; unpublished, so read by nobody.
        unsafe { self.chunk.write(self.offset, bytes) };
        self.offset += bytes.len();
        Ok(())
    }

    #[inline]
    fn put_small(&mut self, bytes: &[u8; 16], length: usize) -> Result<(), Full> {
        if self.end - self.offset < 16 || length > 16 {
            return self.put_slow(bytes.get(..length).unwrap_or(bytes));
        }
        // SAFETY: sixteen bytes fit in the current chunk, which is this writer's; unpublished, so read by nobody.
        unsafe { self.chunk.write(self.offset, bytes) };
        self.offset += length;
        Ok(())
    }
}

impl Drop for RecordBuf<'_> {
    fn drop(&mut self) {
        if !self.is_lost {
            self.writer.roll_back(self.start_sequence, self.start);
        }
        self.writer.set_idle();
    }
}

/// The head at `offset`, and the record's length. The caller owns the chunk or has it pinned, and `offset` was published as
/// the start of a record; anything else gives `None` or a head that means nothing, if it is within the chunk.
pub(super) fn read_head(chunk: Chunk, offset: usize) -> Option<(RecordHead, usize)> {
    // SAFETY: see above; the callers keep to it.
    let bytes = unsafe { chunk.read::<{ RecordHead::SIZE }>(offset) };
    RecordHead::decode(&bytes).map(|(head, length)| (head, length as usize))
}
