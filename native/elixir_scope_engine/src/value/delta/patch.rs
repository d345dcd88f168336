//! A value with deltas laid over it: how replay goes from a keyframe to a moment.

mod at;
mod grown;
mod proof;

use std::collections::VecDeque;

use smallvec::SmallVec;

use super::super::format;
use super::super::reader::Malformed;
use super::frame::Frame;
use super::node::{End, Kind, Node, Part};
use super::reader::{DeltaReader, Item};
use super::span::{Shapes, Span};
use grown::Grown;

/// How a delta went on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Applied {
    /// How many bytes the delta took.
    pub size: usize,
    /// Every part of it found its place, and what it took away was what its proofs say. What found no place was left out.
    pub fits: bool,
    /// It says all that changed; no part of it is unknown.
    pub knows: bool,
}

/// A value that changes by deltas. Containers are opened when a delta leads into them; what no delta touched remains the bytes
/// it was. The order of a map's pairs is kept, keys that are added come last.
#[derive(Debug)]
pub struct Patched<'a> {
    shapes: Shapes,
    /// Open containers; the first holds the value itself as its only part.
    nodes: Vec<Node<'a>>,
    /// Nodes that nothing leads to any more.
    unused: Vec<u32>,
    /// Binaries that grew, and those of them that nothing leads to any more.
    grown: Vec<Grown<'a>>,
    outgrown: Vec<u32>,
}

/// Where a delta leads.
#[derive(Clone, Copy, Debug)]
enum Place<'a> {
    /// To a part of a node.
    Part(u32, usize),
    /// To one that is gone.
    Gone(u32, usize),
    /// To a key that a map does not have.
    Absent(u32, &'a [u8]),
    /// Nowhere.
    Lost,
}

const ROOT: u32 = 0;

impl<'a> Patched<'a> {
    /// The first value in `value`, unchanged.
    ///
    /// # Errors
    /// [`Malformed`] if no value stands there.
    pub fn new(value: &'a [u8]) -> Result<Self, Malformed> {
        let mut shapes = Shapes::default();
        let whole = shapes.measure(value)?;
        let root = Node {
            kind: Kind::Tuple(1),
            parts: VecDeque::from([Part::Shut(whole)]),
            end: End::Proper,
        };
        Ok(Patched {
            shapes,
            nodes: vec![root],
            unused: Vec::new(),
            grown: Vec::new(),
            outgrown: Vec::new(),
        })
    }

    /// Applies the first delta in `delta`. Parts of it that lead to what is not there, or was cut or masked, change nothing.
    ///
    /// # Errors
    /// [`Malformed`] if no delta stands there, or where keys with maps in them are too deep to be compared. Then some of what stands before the flaw has been applied.
    pub fn apply(&mut self, delta: &'a [u8]) -> Result<Applied, Malformed> {
        let mut reader = DeltaReader::new(delta);
        let mut place = Place::Part(ROOT, 0);
        let mut frames = SmallVec::<[Frame<'a>; 8]>::new();
        let (mut fits, mut knows) = (true, true);
        while let Some(item) = reader.next()? {
            match item {
                Item::Same => fits &= matches!(place, Place::Part(..)),
                Item::Replace(proof, value) => {
                    fits &= self.agrees(place, proof);
                    fits &= self.replace(place, value);
                }
                Item::Removed(proof) => {
                    fits &= self.agrees(place, proof);
                    fits &= self.remove(place);
                }
                Item::Grown(proof, more) => {
                    fits &= self.agrees(place, proof);
                    fits &= self.grow(place, more);
                }
                Item::Unknown => knows = false,
                Item::Tuple | Item::Map | Item::List => {
                    let node = self.open(place, item)?;
                    fits &= node.is_some();
                    frames.push(Frame::new(node));
                }
                Item::Index(index) => {
                    place = match frames.last().and_then(|frame| frame.node) {
                        Some(node) if (index as usize) < self.parts(node) => {
                            Place::Part(node, index as usize)
                        }
                        _ => Place::Lost,
                    };
                }
                Item::Key(key) => {
                    place = match frames.last().and_then(|frame| frame.node) {
                        Some(node) => self.find(node, key)?,
                        None => Place::Lost,
                    };
                }
                Item::End => {
                    frames.pop();
                }
                op => {
                    let stops = matches!(op, Item::Rest | Item::Close | Item::Tail(_));
                    if let Some(frame) = frames.last_mut() {
                        place = Place::Lost;
                        if let Some(node) = frame.node {
                            let (at, fit) = self.list(node, frame, op);
                            fits &= fit;
                            place = at.map_or(Place::Lost, |at| Place::Part(node, at));
                        }
                    }
                    if stops {
                        frames.pop();
                    }
                }
            }
        }
        Ok(Applied {
            size: reader.at(),
            fits,
            knows,
        })
    }

    fn parts(&self, node: u32) -> usize {
        self.nodes
            .get(node as usize)
            .map_or(0, |node| node.parts.len())
    }

    #[inline]
    fn part_mut(&mut self, node: u32, at: usize) -> Option<&mut Part<'a>> {
        self.nodes.get_mut(node as usize)?.parts.get_mut(at)
    }

    /// The node of the container at `place`, if a delta of this kind can change that.
    #[inline]
    fn open(&mut self, place: Place<'a>, delta: Item<'a>) -> Result<Option<u32>, Malformed> {
        let Place::Part(node, at) = place else {
            return Ok(None);
        };
        match self.part_mut(node, at).copied() {
            Some(Part::Open(open)) => {
                let kind = self.nodes.get(open as usize).map(|node| &node.kind);
                let fits = matches!(
                    (kind, delta),
                    (Some(Kind::Tuple(_)), Item::Tuple)
                        | (Some(Kind::Map { .. }), Item::Map)
                        | (Some(Kind::List), Item::List)
                );
                Ok(fits.then_some(open))
            }
            Some(Part::Shut(span)) => {
                let fits = matches!(
                    (span.tag(), delta),
                    (format::TUPLE, Item::Tuple)
                        | (format::MAP, Item::Map)
                        | (format::LIST, Item::List)
                );
                if !fits {
                    return Ok(None);
                }
                let Some(opened) = Node::read(&mut self.shapes, span)? else {
                    return Ok(None);
                };
                let open = self.add(opened);
                if let Some(part) = self.part_mut(node, at) {
                    *part = Part::Open(open);
                }
                Ok(Some(open))
            }
            Some(Part::Grown(_) | Part::Gone) | None => Ok(None),
        }
    }

    fn add(&mut self, node: Node<'a>) -> u32 {
        if let Some(unused) = self.unused.pop()
            && let Some(place) = self.nodes.get_mut(unused as usize)
        {
            *place = node;
            return unused;
        }
        self.nodes.push(node);
        self.nodes.len() as u32 - 1
    }

    #[inline]
    fn find(&mut self, node: u32, key: &'a [u8]) -> Result<Place<'a>, Malformed> {
        let Some(open) = self.nodes.get_mut(node as usize) else {
            return Ok(Place::Lost);
        };
        let Kind::Map { keys, .. } = &mut open.kind else {
            return Ok(Place::Lost);
        };
        let found = keys.find(key)?;
        Ok(match found.map(|at| (at, open.parts.get(at))) {
            Some((at, Some(Part::Gone))) => Place::Gone(node, at),
            Some((at, _)) => Place::Part(node, at),
            None => Place::Absent(node, key),
        })
    }

    /// Puts a value in a place; whether it could, and knew that it belongs there.
    #[inline]
    fn replace(&mut self, place: Place<'a>, value: &'a [u8]) -> bool {
        let new = Part::Shut(Span::unmeasured(value));
        match place {
            Place::Part(node, at) => {
                let Some(part) = self.part_mut(node, at) else {
                    return false;
                };
                let old = std::mem::replace(part, new);
                self.release(old);
                true
            }
            Place::Gone(node, at) => {
                let Some(open) = self.nodes.get_mut(node as usize) else {
                    return false;
                };
                if let (Some(part), Kind::Map { gone, .. }) =
                    (open.parts.get_mut(at), &mut open.kind)
                {
                    *part = new;
                    *gone -= 1;
                }
                true
            }
            Place::Absent(node, key) => {
                let Some(open) = self.nodes.get_mut(node as usize) else {
                    return false;
                };
                if let Kind::Map { keys, .. } = &mut open.kind {
                    keys.push(key);
                    open.parts.push_back(new);
                }
                // in a map that was cut, the key may have been there
                !matches!(open.end, End::Cut(..))
            }
            Place::Lost => false,
        }
    }

    fn remove(&mut self, place: Place<'a>) -> bool {
        let Place::Part(node, at) = place else {
            return false;
        };
        let Some(open) = self.nodes.get_mut(node as usize) else {
            return false;
        };
        let (Some(part), Kind::Map { gone, .. }) = (open.parts.get_mut(at), &mut open.kind) else {
            return false;
        };
        let old = std::mem::replace(part, Part::Gone);
        *gone += 1;
        self.release(old);
        true
    }

    /// Gives back the nodes of a part that left the value.
    #[inline]
    fn release(&mut self, part: Part<'a>) {
        match part {
            Part::Open(node) => self.release_node(node),
            Part::Grown(grown) => self.outgrown.push(grown),
            Part::Shut(_) | Part::Gone => {}
        }
    }

    fn release_node(&mut self, node: u32) {
        let mut left = vec![node];
        while let Some(node) = left.pop() {
            self.unused.push(node);
            let Some(open) = self.nodes.get_mut(node as usize) else {
                continue;
            };
            for part in &open.parts {
                match part {
                    Part::Open(node) => left.push(*node),
                    Part::Grown(grown) => self.outgrown.push(*grown),
                    Part::Shut(_) | Part::Gone => {}
                }
            }
            *open = Node {
                kind: Kind::List,
                parts: VecDeque::new(),
                end: End::Proper,
            };
        }
    }

    /// Applies one op to a list: where the element stands that it leads to, and whether it fits.
    fn list(&mut self, node: u32, frame: &mut Frame<'a>, op: Item<'a>) -> (Option<usize>, bool) {
        let Some(open) = self.nodes.get_mut(node as usize) else {
            return (None, false);
        };
        let mut dropped = SmallVec::<[Part<'a>; 4]>::new();
        let (at, mut fits) = frame.op(open, op, &mut dropped);
        if let Item::Drop(_, proof) = op {
            fits &= self.agrees_with_dropped(proof, &dropped);
        }
        for part in dropped {
            self.release(part);
        }
        (at, fits)
    }

    /// Appends the value as it is now.
    pub fn write(&self, out: &mut Vec<u8>) {
        let Some(&whole) = self.nodes.first().and_then(|root| root.parts.front()) else {
            return;
        };
        self.write_part(whole, out);
    }

    fn write_part(&self, mut part: Part<'a>, out: &mut Vec<u8>) {
        let mut open = SmallVec::<[(&Node<'a>, usize); 16]>::new();
        loop {
            match part {
                Part::Shut(span) => out.extend_from_slice(span.bytes),
                Part::Open(node) => {
                    if let Some(node) = self.nodes.get(node as usize) {
                        node.write_head(out);
                        open.push((node, 0));
                    }
                }
                Part::Grown(grown) => {
                    if let Some(grown) = self.grown.get(grown as usize) {
                        grown.write(out);
                    }
                }
                Part::Gone => {}
            }
            loop {
                let Some((node, next)) = open.last_mut() else {
                    return;
                };
                let at = *next;
                *next += 1;
                match node.parts.get(at) {
                    Some(Part::Gone) => {}
                    Some(&after) => {
                        if let Kind::Map { keys, .. } = &node.kind {
                            out.extend_from_slice(keys.get(at).unwrap_or_default());
                        }
                        part = after;
                        break;
                    }
                    None => {
                        node.write_end(out);
                        open.pop();
                    }
                }
            }
        }
    }
}
