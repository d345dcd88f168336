//! Reads of memory that cannot fault, for learning: the kernel copies, and says no where nothing is mapped.

use std::io::{PipeReader, PipeWriter, Read, pipe};
use std::os::fd::AsRawFd;

use super::super::layout::pointer;
use crate::term::Word;

/// The most that is read at once; a pipe takes it without a reader.
const MOST: usize = 1024;

/// A pipe that bytes go through on their way from an address that may be wrong.
pub(super) struct Peek {
    reader: PipeReader,
    writer: PipeWriter,
}

impl Peek {
    pub(super) fn new() -> Option<Peek> {
        let (reader, writer) = pipe().ok()?;
        Some(Peek { reader, writer })
    }

    /// `length` bytes at `address`, or `None` if not all of them can be read.
    pub(super) fn bytes(&mut self, address: usize, length: usize) -> Option<Vec<u8>> {
        if address == 0 || length == 0 || length > MOST {
            return None;
        }
        // SAFETY: the kernel reads, and answers EFAULT or a short count where it cannot.
        let written = unsafe {
            libc::write(
                self.writer.as_raw_fd(),
                std::ptr::with_exposed_provenance(address),
                length,
            )
        };
        let mut bytes = vec![0; usize::try_from(written).ok()?];
        self.reader.read_exact(&mut bytes).ok()?;
        (bytes.len() == length).then_some(bytes)
    }

    /// `count` words at `address`, which must be aligned.
    pub(super) fn words(&mut self, address: usize, count: usize) -> Option<Vec<Word>> {
        if !address.is_multiple_of(size_of::<Word>()) {
            return None;
        }
        let bytes = self.bytes(address, count * size_of::<Word>())?;
        Some(
            bytes
                .as_chunks()
                .0
                .iter()
                .map(|chunk| Word::from_ne_bytes(*chunk))
                .collect(),
        )
    }

    /// `count` words of the term that `term` points to.
    pub(super) fn term(&mut self, term: Word, count: usize) -> Option<Vec<Word>> {
        self.words(pointer(term).addr(), count)
    }
}
