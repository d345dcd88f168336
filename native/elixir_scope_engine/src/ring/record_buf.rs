//! One record while it is written.

#![allow(unsafe_code, reason = "writes into chunks that this thread owns")]

use super::memory::Chunk;
#[cfg(not(loom))]
use super::window::{Fill, Window};
use super::writer::RingWriter;
use crate::event::Ticks;
use crate::record::RecordHead;
use crate::value::{Full, Sink};

/// A record that was begun. Its payload goes in through [`Sink`]; [`commit`](RecordBuf::commit) makes it seen. Dropped, or
/// aborted, it never was.
#[derive(Debug)]
#[must_use = "a record that is not committed is dropped"]
pub struct RecordBuf<'w> {
    at: Cursor,
    writer: &'w mut RingWriter,
}

/// Where the record stands. Slow paths get a copy, so that the quick ones can keep it in registers.
#[derive(Clone, Copy, Debug)]
struct Cursor {
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
    events: u32,
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
        let at = Cursor {
            chunk,
            offset: start + RecordHead::SIZE,
            end: writer.end,
            before: -(start as isize),
            start,
            start_sequence: writer.sequence,
            is_lost: false,
            ticks: head.ticks.0,
            events: head.events(),
        };
        RecordBuf { at, writer }
    }

    /// Bytes written so far, the head among them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.at.len()
    }

    /// Whether there is no payload yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() <= RecordHead::SIZE
    }

    /// The reading that the record is stamped with.
    #[must_use]
    pub fn ticks(&self) -> Ticks {
        Ticks(self.at.ticks)
    }

    /// Publishes the record. False if it was lost, which has been counted.
    #[inline(always)]
    pub fn commit(self) -> bool {
        let mut this = std::mem::ManuallyDrop::new(self);
        let (at, writer) = (this.at, &mut *this.writer);
        if at.is_lost {
            writer.set_idle();
            return false;
        }
        let length = at.len() as u32;
        if at.start_sequence == writer.sequence {
            // SAFETY: the head is in the current chunk, at `start`; nobody reads it before it is published.
            unsafe { at.chunk.write(at.start, &length.to_le_bytes()) };
        } else {
            set_length_of_spanning(at, writer);
        }
        writer.commit(at.offset, at.start_sequence, at.ticks, at.events);
        true
    }

    /// Forgets the record, without counting it as lost.
    pub fn abort(self) {}
}

#[cold]
fn set_length_of_spanning(at: Cursor, writer: &RingWriter) {
    if let Some(chunk) = writer.chunk_of(at.start_sequence) {
        // SAFETY: the chunk where this record began is still this writer's: it does not take back chunks of a record that
        // it is writing.
        unsafe { chunk.write(at.start, &(at.len() as u32).to_le_bytes()) };
    }
}

impl Cursor {
    #[inline(always)]
    fn len(&self) -> usize {
        (self.offset as isize + self.before) as usize
    }

    /// Where the current chunk may not have room for all, or none is to be had any more.
    #[cold]
    #[inline(never)]
    fn put_slow(self, writer: &mut RingWriter, mut bytes: &[u8]) -> (Cursor, Result<(), Full>) {
        let mut at = self;
        if at.is_lost {
            return (at, Err(Full));
        }
        // Small items stay in one piece.
        let splits = bytes.len() > 16;
        loop {
            let room = at.end - at.offset;
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
            unsafe { at.chunk.write(at.offset, now) };
            at.offset += part;
            if fits {
                return (at, Ok(()));
            }
            bytes = later;
            at = at.advance(writer);
            if at.is_lost {
                return (at, Err(Full));
            }
        }
    }

    fn advance(self, writer: &mut RingWriter) -> Cursor {
        writer.offset = self.offset;
        match writer.advance(Some(self.start_sequence)) {
            Ok(()) => Cursor {
                chunk: writer.chunk,
                offset: 0,
                end: writer.end,
                before: self.len() as isize,
                ..self
            },
            Err(cause) => {
                writer.roll_back(self.start_sequence, self.start);
                writer.count_lost(cause, self.ticks, self.events);
                // No room for anything from here on.
                Cursor {
                    is_lost: true,
                    end: self.offset,
                    ..self
                }
            }
        }
    }
}

impl Sink for RecordBuf<'_> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        // What just fits takes the slow way, and so does nothing at all when there is no room: it may be lost.
        if bytes.len() >= self.at.end - self.at.offset {
            let (at, result) = self.at.put_slow(self.writer, bytes);
            self.at = at;
            return result;
        }
        // SAFETY: fits in the current chunk, which is this writer's; unpublished, so read by nobody.
        unsafe { self.at.chunk.write(self.at.offset, bytes) };
        self.at.offset += bytes.len();
        Ok(())
    }

    #[inline(always)]
    fn put_small(&mut self, bytes: &[u8; 16], length: usize) -> Result<(), Full> {
        if self.at.end - self.at.offset < 16 || length > 16 {
            let item = bytes.get(..length).unwrap_or(bytes);
            let (at, result) = self.at.put_slow(self.writer, item);
            self.at = at;
            return result;
        }
        // SAFETY: sixteen bytes fit in the current chunk, which is this writer's; unpublished, so read by nobody.
        unsafe { self.at.chunk.write(self.at.offset, bytes) };
        self.at.offset += length;
        Ok(())
    }

    // Under loom each byte is a cell of its own, of which no window can be made.
    #[cfg(not(loom))]
    #[inline(always)]
    fn in_window(&mut self, most: usize, fill: impl Fill) -> bool {
        // One byte less than there is: what just fits takes the slow way; see `put`. Nothing, when the record is lost.
        let room = (self.at.end - self.at.offset).saturating_sub(1).min(most);
        // SAFETY: within the current chunk, which is this writer's; unpublished, so read by nobody.
        let memory = unsafe { self.at.chunk.room(self.at.offset, room) };
        let Some(length) = Window::over(memory, fill) else {
            return false;
        };
        self.at.offset += length;
        true
    }
}

impl Drop for RecordBuf<'_> {
    fn drop(&mut self) {
        if !self.at.is_lost {
            self.writer.roll_back(self.at.start_sequence, self.at.start);
        }
        self.writer.set_idle();
    }
}

/// A record in one piece, at `offset` of the writer's chunk: what `fill` writes behind its head, if there is room for both.
/// Where the record ends; `None` if nothing was written.
#[cfg(not(loom))]
#[inline(always)]
pub(super) fn in_one_piece(
    writer: &RingWriter,
    head: RecordHead,
    most: usize,
    fill: impl Fill,
) -> Option<usize> {
    let (start, payload) = (writer.offset, writer.offset + RecordHead::SIZE);
    let room = writer.end.checked_sub(payload)?.min(most);
    // SAFETY: within the current chunk, which is this writer's; unpublished, so read by nobody.
    let memory = unsafe { writer.chunk.room(payload, room) };
    let end = payload + Window::over(memory, fill)?;
    // SAFETY: `end` is within the chunk, so the head before the payload is.
    unsafe {
        writer
            .chunk
            .write(start, &head.encode((end - start) as u32))
    };
    Some(end)
}

/// The head at `offset`, and the record's length. The caller owns the chunk or has it pinned, and `offset` was published as
/// the start of a record; anything else gives `None` or a head that means nothing, if it is within the chunk.
pub(super) fn read_head(chunk: Chunk, offset: usize) -> Option<(RecordHead, usize)> {
    // SAFETY: see above; the callers keep to it.
    let bytes = unsafe { chunk.read::<{ RecordHead::SIZE }>(offset) };
    RecordHead::decode(&bytes).map(|(head, length)| (head, length as usize))
}
