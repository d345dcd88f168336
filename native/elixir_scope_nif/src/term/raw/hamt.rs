//! Maps above 32 keys: a hash array mapped trie (`erl_map.h`), walked without a stack.

use super::layout::{KIND, KIND_BITS, TUPLE, is_boxed, is_cell, pointer};
use crate::term::Word;

/// Bits 6 and 7 of a node's header.
const INNER: Word = 1;
const FULL_ROOT: Word = 2;
const ROOT: Word = 3;
/// A hash of 64 bits gives 16 levels; deeper there are only nodes of colliding keys.
const LEVELS: u32 = 16;

/// A walk through a trie, in the order of the VM's own iterator.
///
/// It keeps the way from the root as an index of four bits for each level, and goes down again from the root when a node is
/// done: a few loads per node, and the whole walk fits in a few words.
#[derive(Clone, Copy, Debug)]
pub struct Hamt {
    root: Word,
    /// The header kind of all nodes.
    kind: Word,
    collisions: bool,
    len: usize,
    left: usize,
    /// Of the node at hand.
    start: *const Word,
    next: *const Word,
    end: *const Word,
    /// The indexes taken above it.
    path: u64,
    depth: u32,
}

/// A node that was not learnt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unknown;

impl Hamt {
    /// A walk through the map `root`, whose header has this kind.
    ///
    /// # Safety
    /// `root` is a map of the calling NIF's environment that is no flat one; the walk ends with that call.
    #[inline]
    pub(super) unsafe fn new(root: Word, kind: Word, collisions: bool) -> Option<Hamt> {
        // SAFETY: a root is header, size, children.
        unsafe {
            let (start, end) = children(root, kind)?;
            let len = start.sub(1).read();
            Some(Hamt {
                root,
                kind,
                collisions,
                len,
                left: len,
                start,
                next: start,
                end,
                path: 0,
                depth: 0,
            })
        }
    }

    /// The map's word.
    pub fn term(&self) -> Word {
        self.root
    }

    /// How many pairs the map has.
    pub fn len(&self) -> usize {
        self.len
    }

    /// How many pairs were given so far.
    pub fn given(&self) -> usize {
        self.len - self.left
    }

    /// The next pair; `Ok(None)` at the end.
    #[inline]
    pub fn next_pair(&mut self) -> Result<Option<(Word, Word)>, Unknown> {
        loop {
            if self.next == self.end {
                if self.depth == 0 {
                    return if self.left == 0 {
                        Ok(None)
                    } else {
                        Err(Unknown)
                    };
                }
                self.up()?;
                continue;
            }
            // SAFETY: `next` stands before the end of a node's children.
            let child = unsafe { self.next.read() };
            if is_cell(child) {
                let cell = pointer(child);
                self.left = self.left.checked_sub(1).ok_or(Unknown)?;
                // SAFETY: as above; and a leaf is a list cell of key and value.
                unsafe {
                    self.next = self.next.add(1);
                    return Ok(Some((cell.read(), cell.add(1).read())));
                }
            }
            self.down(child)?;
        }
    }

    fn down(&mut self, child: Word) -> Result<(), Unknown> {
        if self.depth == LEVELS {
            return Err(Unknown);
        }
        // SAFETY: a child that is no leaf is a node.
        let (start, end) = unsafe { self.node(child)? };
        // SAFETY: both point into the same node's children.
        let index = unsafe { self.next.offset_from(self.start) } as u64;
        let shift = 4 * self.depth;
        self.path = self.path & !(0b1111 << shift) | index << shift;
        self.depth += 1;
        (self.start, self.next, self.end) = (start, start, end);
        Ok(())
    }

    fn up(&mut self) -> Result<(), Unknown> {
        self.depth -= 1;
        // SAFETY: the way down was gone before, through the same nodes: terms do not change.
        unsafe {
            let (mut start, mut end) = children(self.root, self.kind).ok_or(Unknown)?;
            for level in 0..self.depth {
                (start, end) = self.node(start.add(self.index(level)).read())?;
            }
            self.next = start.add(self.index(self.depth) + 1);
            (self.start, self.end) = (start, end);
        }
        Ok(())
    }

    fn index(&self, level: u32) -> usize {
        (self.path >> (4 * level) & 0b1111) as usize
    }

    /// # Safety
    /// `node` is the child of a node and no leaf.
    unsafe fn node(&self, node: Word) -> Result<(*const Word, *const Word), Unknown> {
        if !is_boxed(node) {
            return Err(Unknown);
        }
        // SAFETY: a node is a boxed term and has a header; a node of colliding keys looks like a tuple of leaves.
        unsafe {
            let header = pointer(node).read();
            if header & KIND == TUPLE && self.collisions {
                let start = pointer(node).add(1);
                return Ok((start, start.add(header >> KIND_BITS)));
            }
            children(node, self.kind).ok_or(Unknown)
        }
    }
}

/// The children of a node.
///
/// # Safety
/// `node` points to a boxed term.
#[inline]
unsafe fn children(node: Word, kind: Word) -> Option<(*const Word, *const Word)> {
    let node = pointer(node);
    // SAFETY: a boxed term has a header; its kind is compared. A root has its size before the children. The bitmap has a bit
    // for each child.
    unsafe {
        let header = node.read();
        if header & KIND != kind {
            return None;
        }
        let bitmap = (header >> 16 & 0xffff).count_ones() as usize;
        let (start, count) = match header >> KIND_BITS & 0b11 {
            INNER => (node.add(1), bitmap),
            FULL_ROOT => (node.add(2), 16),
            ROOT => (node.add(2), bitmap),
            _ => return None,
        };
        Some((start, start.add(count)))
    }
}
