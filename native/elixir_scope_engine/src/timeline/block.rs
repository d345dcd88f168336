//! A stretch of changes: a whole state, and the deltas that follow it, packed.
//!
//! An entry is `varint(id - id before) varint(time - time before) varint(2 * size + flagged)`, a byte of flags if it is
//! flagged, and `size` bytes of delta. Times never fall, ids rise.

use std::sync::Arc;

use crate::memory::{Charge, Memory, Use};
use crate::value::varint::put_varint;

/// Flags of a change.
pub(super) mod flag {
    /// Changes of this process were lost before it.
    pub(in super::super) const GAP: u8 = 1;
    /// What was recorded before is not known to lead here.
    pub(in super::super) const BREAKS: u8 = 1 << 1;
    /// The process gave its whole state here, and nothing of it was left out.
    pub(in super::super) const SOLID: u8 = 1 << 2;
    /// It wrote a masked value.
    pub(in super::super) const MASKED: u8 = 1 << 3;
    /// The process began with this state.
    pub(in super::super) const FIRST: u8 = 1 << 4;
    /// Of a block's base: it is the state at the end of the block before, to which its change belongs.
    pub(in super::super) const CARRIED: u8 = 1 << 5;
}

/// Which change it is, and when it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Mark {
    pub(super) id: u64,
    pub(super) time: i64,
}

/// A block, sealed or open, as it is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch<'a> {
    /// The change that led to the base.
    pub(super) first: Mark,
    /// Flags of that change.
    pub(super) flags: u8,
    /// The newest change.
    pub(super) last: Mark,
    /// The state after the first change.
    pub(super) base: &'a [u8],
    entries: &'a [u8],
    count: u32,
}

/// One change behind the base.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Entry<'a> {
    pub(super) mark: Mark,
    pub(super) flags: u8,
    pub(super) delta: &'a [u8],
}

impl<'a> Stretch<'a> {
    /// The changes behind the base, in their order.
    pub(super) fn entries(&self) -> Entries<'a> {
        Entries {
            rest: self.entries,
            mark: self.first,
        }
    }

    /// Whether the change that led to the base belongs to this block.
    pub(super) fn owns_base(&self) -> bool {
        self.flags & flag::CARRIED == 0
    }

    /// Changes that belong to it.
    pub(super) fn changes(&self) -> u64 {
        u64::from(self.count) + u64::from(self.owns_base())
    }
}

/// Goes through the entries of a block.
#[derive(Clone, Debug)]
pub(super) struct Entries<'a> {
    rest: &'a [u8],
    mark: Mark,
}

#[inline]
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let (&byte, mut rest) = bytes.split_first()?;
    let mut value = u64::from(byte & 0x7f);
    let mut shift = 7;
    let mut more = byte & 0x80 != 0;
    while more && shift < 64 {
        let (&byte, after) = rest.split_first()?;
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        more = byte & 0x80 != 0;
        rest = after;
    }
    *bytes = rest;
    Some(value)
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    #[inline]
    fn next(&mut self) -> Option<Entry<'a>> {
        let mut rest = self.rest;
        self.mark.id = self.mark.id.wrapping_add(varint(&mut rest)?);
        self.mark.time = self.mark.time.wrapping_add(varint(&mut rest)? as i64);
        let size = varint(&mut rest)?;
        let mut flags = 0;
        if size & 1 != 0 {
            let (&given, after) = rest.split_first()?;
            flags = given;
            rest = after;
        }
        let (delta, rest) = rest.split_at_checked((size >> 1) as usize)?;
        self.rest = rest;
        Some(Entry {
            mark: self.mark,
            flags,
            delta,
        })
    }
}

/// The block that changes are added to.
#[derive(Debug)]
pub(super) struct Open {
    first: Mark,
    flags: u8,
    last: Mark,
    base: Box<[u8]>,
    entries: Vec<u8>,
    count: u32,
}

impl Open {
    /// As many bytes an entry takes at most beside its delta.
    pub(super) const ENTRY: usize = 31;

    pub(super) fn new(first: Mark, flags: u8, base: Box<[u8]>) -> Open {
        Open {
            first,
            flags,
            last: first,
            base,
            entries: Vec::new(),
            count: 0,
        }
    }

    pub(super) fn stretch(&self) -> Stretch<'_> {
        Stretch {
            first: self.first,
            flags: self.flags,
            last: self.last,
            base: &self.base,
            entries: &self.entries,
            count: self.count,
        }
    }

    pub(super) fn last(&self) -> Mark {
        self.last
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Bytes by which its memory has to grow to take a delta of `size` bytes; none mostly.
    #[inline]
    pub(super) fn growth(&self, size: usize) -> usize {
        let needed = self.entries.len() + size + Self::ENTRY;
        let capacity = self.entries.capacity();
        if needed <= capacity {
            return 0;
        }
        needed.max(capacity + capacity / 4) - capacity
    }

    /// Grows by so many bytes.
    pub(super) fn grow(&mut self, bytes: usize) {
        let capacity = self.entries.capacity() + bytes;
        self.entries.reserve_exact(capacity - self.entries.len());
    }

    /// Adds a change, whose mark is behind that of the one before.
    #[inline]
    pub(super) fn push(&mut self, mark: Mark, flags: u8, delta: &[u8]) {
        let mut bytes = [0; 10];
        let numbers = [
            mark.id.wrapping_sub(self.last.id),
            mark.time.wrapping_sub(self.last.time) as u64,
            (delta.len() as u64) << 1 | u64::from(flags != 0),
        ];
        for number in numbers {
            let size = put_varint(&mut bytes, number);
            self.entries
                .extend_from_slice(bytes.get(..size).unwrap_or_default());
        }
        if flags != 0 {
            self.entries.push(flags);
        }
        self.entries.extend_from_slice(delta);
        self.last = mark;
        self.count += 1;
    }

    /// Whether so much has changed since the base that replay is quicker from another one. Entries take `most` bytes at most.
    #[inline]
    pub(super) fn is_full(&self, most: usize) -> bool {
        let size = self.base.len();
        self.count as usize >= (size / SHARE).clamp(LEAST, MOST)
            || self.entries.len() > (DELTAS + size).min(most)
    }

    /// Bytes allocated.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.base.len() + self.entries.capacity()
    }

    /// Bytes that it takes when it is sealed.
    pub(super) fn sealed_bytes(&self) -> usize {
        Block::SELF + self.base.len() + self.entries.len()
    }

    /// Seals it, and counts its bytes.
    pub(super) fn seal(self, memory: &Arc<Memory>) -> Arc<Block> {
        let bytes = self.sealed_bytes();
        Arc::new(Block {
            first: self.first,
            flags: self.flags,
            last: self.last,
            count: self.count,
            base: self.base,
            entries: self.entries.into_boxed_slice(),
            charge: Some(memory.charge(Use::Timelines, bytes)),
        })
    }

    /// A copy for one reader, not counted.
    pub(super) fn copy(&self) -> Arc<Block> {
        Arc::new(Block {
            first: self.first,
            flags: self.flags,
            last: self.last,
            count: self.count,
            base: self.base.clone(),
            entries: self.entries.as_slice().into(),
            charge: None,
        })
    }
}

/// A block ends when it has one change for so many bytes of its base: so bases take as many bytes a change at most.
const SHARE: usize = 10;
const LEAST: usize = 64;
const MOST: usize = 1 << 16;
/// Or when its deltas take so many bytes beside those of the base.
const DELTAS: usize = 64 << 10;

/// Changes that are kept for good, until they are evicted as a whole.
#[derive(Debug)]
pub(super) struct Block {
    first: Mark,
    flags: u8,
    last: Mark,
    count: u32,
    base: Box<[u8]>,
    entries: Box<[u8]>,
    charge: Option<Charge>,
}

impl Block {
    /// Itself and the counters of its `Arc`.
    const SELF: usize = size_of::<Block>() + 2 * size_of::<usize>();

    pub(super) fn stretch(&self) -> Stretch<'_> {
        Stretch {
            first: self.first,
            flags: self.flags,
            last: self.last,
            base: &self.base,
            entries: &self.entries,
            count: self.count,
        }
    }

    /// Bytes counted for it.
    pub(super) fn bytes(&self) -> usize {
        self.charge.as_ref().map_or(0, Charge::bytes)
    }

    /// Bytes allocated.
    #[cfg(test)]
    pub(super) fn allocated(&self) -> usize {
        Self::SELF + self.base.len() + self.entries.len()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn entries_are_read_as_they_were_added(
            changes in prop::collection::vec(
                (1..u64::MAX >> 20, 0..i64::MAX >> 20, any::<u8>(), prop::collection::vec(any::<u8>(), 0..200)),
                0..50,
            ),
            start in any::<i32>(),
        ) {
            let mut mark = Mark { id: 7, time: i64::from(start) };
            let mut open = Open::new(mark, flag::FIRST, Box::new([1, 2, 3]));
            let mut expected = Vec::new();
            for (id, time, flags, delta) in &changes {
                mark = Mark { id: mark.id + id, time: mark.time + time };
                let growth = open.growth(delta.len());
                open.grow(growth);
                let capacity = open.bytes();
                open.push(mark, *flags, delta);
                prop_assert_eq!(open.bytes(), capacity);
                expected.push(Entry { mark, flags: *flags, delta });
            }
            prop_assert_eq!(open.stretch().entries().collect::<Vec<_>>(), expected.clone());
            let bytes = open.sealed_bytes();
            let memory = Arc::new(Memory::default());
            let block = open.seal(&memory);
            prop_assert_eq!(block.stretch().entries().collect::<Vec<_>>(), expected);
            prop_assert_eq!((block.bytes(), block.allocated(), memory.total()), (bytes, bytes, bytes));
        }

        #[test]
        fn bytes_that_are_no_entries_end_the_iteration(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let mark = Mark { id: 7, time: 7 };
            let entries = Entries { rest: &bytes, mark };
            prop_assert!(entries.count() <= bytes.len());
        }
    }
}
