//! Maps above 32 keys: a hash array mapped trie (`erl_map.h`), walked without a stack; two of them in lockstep.

use super::layout::{KIND, KIND_BITS, TUPLE, is_boxed, is_cell, pointer};
use crate::term::{SeeChanges, Word};

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

/// Why two tries were not compared to their ends.
pub enum Halt<S> {
    /// A node that was not learnt.
    Unknown,
    /// Who is told of the changes wants no more of them.
    Stop(S),
}

impl<S> From<Unknown> for Halt<S> {
    fn from(Unknown: Unknown) -> Self {
        Halt::Unknown
    }
}

/// Compares two tries node by node. Two versions of a map share every node that no change lies below.
pub struct Lockstep<'s, S> {
    /// The header kind of all nodes.
    kind: Word,
    collisions: bool,
    see: &'s mut S,
}

/// A node's children. One of colliding keys has no bitmap.
#[derive(Clone, Copy)]
struct Node {
    start: *const Word,
    count: usize,
    bitmap: Option<u32>,
}

/// What comes of a step.
type Stepped<S> = Result<(), Halt<<S as SeeChanges>::Stop>>;

impl<'s, S: SeeChanges> Lockstep<'s, S> {
    /// # Safety
    /// `old` and `new` are maps of the calling NIF's environment that are no flat ones, and whose headers have this kind.
    pub(super) unsafe fn compare(
        old: Word,
        new: Word,
        kind: Word,
        collisions: bool,
        see: &'s mut S,
    ) -> Stepped<S> {
        let mut lockstep = Lockstep {
            kind,
            collisions,
            see,
        };
        // SAFETY: the caller's promise.
        unsafe { lockstep.nodes(old, new, 0) }
    }

    /// # Safety
    /// Both are nodes, which are boxed terms.
    unsafe fn nodes(&mut self, old: Word, new: Word, level: u32) -> Stepped<S> {
        // SAFETY: the caller's promise; children are read as far as the nodes have them.
        unsafe {
            let (before, after) = (self.node(old, level)?, self.node(new, level)?);
            let (Some(old_bits), Some(new_bits)) = (before.bitmap, after.bitmap) else {
                return self.colliding(old, new, level);
            };
            self.see.step(2).map_err(Halt::Stop)?;
            let (mut from, mut to) = (before.start, after.start);
            let mut bits = old_bits | new_bits;
            while bits != 0 {
                let bit = bits & bits.wrapping_neg();
                bits ^= bit;
                let (mut was, mut is) = (None, None);
                if old_bits & bit != 0 {
                    was = Some(from.read());
                    from = from.add(1);
                }
                if new_bits & bit != 0 {
                    is = Some(to.read());
                    to = to.add(1);
                }
                if was == is {
                    continue;
                }
                match (was, is) {
                    (Some(was), Some(is)) => self.children(was, is, level + 1)?,
                    (Some(was), None) => self.gone(was, level + 1, None)?,
                    (None, Some(is)) => self.come(is, level + 1, None)?,
                    (None, None) => {}
                }
            }
            Ok(())
        }
    }

    /// # Safety
    /// Both are children of nodes.
    unsafe fn children(&mut self, old: Word, new: Word, level: u32) -> Stepped<S> {
        // SAFETY: a child is a leaf, which is a cell, or a node.
        unsafe {
            match (is_cell(old), is_cell(new)) {
                (false, false) => self.nodes(old, new, level),
                (true, true) => self.leaves(leaf(old), leaf(new)),
                // In the place of one leaf several, or the other way: mostly the leaf is one of them.
                (true, false) => {
                    let (key, value) = leaf(old);
                    let same = self.find(new, key, level)?;
                    match same {
                        Some((_, after)) if after == value => {}
                        Some((key, after)) => {
                            self.see.changed(key, value, after).map_err(Halt::Stop)?
                        }
                        None => self.see.removed(key, value).map_err(Halt::Stop)?,
                    }
                    self.come(new, level, same.map(|(key, _)| key))
                }
                (false, true) => {
                    let (key, value) = leaf(new);
                    let same = self.find(old, key, level)?;
                    self.gone(old, level, same.map(|(key, _)| key))?;
                    match same {
                        Some((_, before)) if before == value => Ok(()),
                        Some((_, before)) => {
                            self.see.changed(key, before, value).map_err(Halt::Stop)
                        }
                        None => self.see.added(key, value).map_err(Halt::Stop),
                    }
                }
            }
        }
    }

    fn leaves(&mut self, old: (Word, Word), new: (Word, Word)) -> Stepped<S> {
        self.see.step(2).map_err(Halt::Stop)?;
        let ((old_key, before), (key, after)) = (old, new);
        let told = if self.see.same_key(old_key, key) {
            if before == after {
                return Ok(());
            }
            self.see.changed(key, before, after)
        } else {
            self.see
                .removed(old_key, before)
                .and_then(|()| self.see.added(key, after))
        };
        told.map_err(Halt::Stop)
    }

    /// Nodes of colliding keys, which stand in no order.
    ///
    /// # Safety
    /// Both are nodes.
    unsafe fn colliding(&mut self, old: Word, new: Word, level: u32) -> Stepped<S> {
        // SAFETY: the caller's promise.
        unsafe {
            self.each(
                old,
                level,
                &mut |this, key, value| match this.find(new, key, level)? {
                    Some((_, after)) if after == value => Ok(()),
                    Some((key, after)) => this.see.changed(key, value, after).map_err(Halt::Stop),
                    None => this.see.removed(key, value).map_err(Halt::Stop),
                },
            )?;
            self.each(
                new,
                level,
                &mut |this, key, value| match this.find(old, key, level)? {
                    Some(_) => Ok(()),
                    None => this.see.added(key, value).map_err(Halt::Stop),
                },
            )
        }
    }

    /// All pairs below `child` are new, but the one of this key.
    ///
    /// # Safety
    /// `child` is a child of a node, or a node.
    unsafe fn come(&mut self, child: Word, level: u32, but: Option<Word>) -> Stepped<S> {
        // SAFETY: the caller's promise.
        unsafe {
            self.each(child, level, &mut |this, key, value| {
                if Some(key) == but {
                    return Ok(());
                }
                this.see.added(key, value).map_err(Halt::Stop)
            })
        }
    }

    /// All pairs below `child` are gone, but the one of this key.
    ///
    /// # Safety
    /// As [`Self::come`].
    unsafe fn gone(&mut self, child: Word, level: u32, but: Option<Word>) -> Stepped<S> {
        // SAFETY: the caller's promise.
        unsafe {
            self.each(child, level, &mut |this, key, value| {
                if Some(key) == but {
                    return Ok(());
                }
                this.see.removed(key, value).map_err(Halt::Stop)
            })
        }
    }

    /// The pair below `child` with this key: its own word of the key, and the value.
    ///
    /// # Safety
    /// As [`Self::come`].
    unsafe fn find(
        &mut self,
        child: Word,
        wanted: Word,
        level: u32,
    ) -> Result<Option<(Word, Word)>, Halt<S::Stop>> {
        let mut found = None;
        // SAFETY: the caller's promise.
        unsafe {
            self.each(child, level, &mut |this, key, value| {
                if found.is_none() && this.see.same_key(wanted, key) {
                    found = Some((key, value));
                }
                Ok(())
            })?;
        }
        Ok(found)
    }

    /// # Safety
    /// As [`Self::come`].
    unsafe fn each(
        &mut self,
        child: Word,
        level: u32,
        tell: &mut dyn FnMut(&mut Self, Word, Word) -> Stepped<S>,
    ) -> Stepped<S> {
        self.see.step(2).map_err(Halt::Stop)?;
        // SAFETY: the caller's promise; children are read as far as the node has them.
        unsafe {
            if is_cell(child) {
                let (key, value) = leaf(child);
                return tell(self, key, value);
            }
            let node = self.node(child, level)?;
            for at in 0..node.count {
                self.each(node.start.add(at).read(), level + 1, tell)?;
            }
            Ok(())
        }
    }

    /// # Safety
    /// `node` is a node or the child of one.
    unsafe fn node(&self, node: Word, level: u32) -> Result<Node, Unknown> {
        if level > LEVELS || !is_boxed(node) {
            return Err(Unknown);
        }
        // SAFETY: a boxed term has a header, which tells how many children the node has.
        unsafe {
            let header = pointer(node).read();
            if header & KIND == TUPLE && self.collisions {
                return Ok(Node {
                    start: pointer(node).add(1),
                    count: header >> KIND_BITS,
                    bitmap: None,
                });
            }
            let (start, end) = children(node, self.kind).ok_or(Unknown)?;
            let bitmap = match header >> KIND_BITS & 0b11 {
                FULL_ROOT => 0xffff,
                _ => (header >> 16 & 0xffff) as u32,
            };
            Ok(Node {
                start,
                count: end.offset_from(start) as usize,
                bitmap: Some(bitmap),
            })
        }
    }
}

/// Key and value of a leaf.
///
/// # Safety
/// `cell` is a list cell.
unsafe fn leaf(cell: Word) -> (Word, Word) {
    let cell = pointer(cell);
    // SAFETY: a list cell is two words.
    unsafe { (cell.read(), cell.add(1).read()) }
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
