//! Containers that deltas led into: their parts, and how they are written again.

use std::collections::VecDeque;

use super::super::cut::Mark;
use super::super::format;
use super::super::reader::Malformed;
use super::super::varint::put_varint;
use super::keys::Keys;
use super::span::{Head, Next, Shapes, Span};

/// A part of an open container.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part<'a> {
    Shut(Span<'a>),
    Open(u32),
    /// A binary that grew.
    Grown(u32),
    /// The value of a key that was removed.
    Gone,
}

/// An open container.
#[derive(Debug)]
pub(super) struct Node<'a> {
    pub(super) kind: Kind<'a>,
    pub(super) parts: VecDeque<Part<'a>>,
    pub(super) end: End<'a>,
}

#[derive(Debug)]
pub(super) enum Kind<'a> {
    List,
    /// Its size, with elements that were cut.
    Tuple(u32),
    Map {
        keys: Keys<'a>,
        /// Parts that are gone.
        gone: usize,
        /// Pairs that were cut.
        missing: u64,
    },
}

#[derive(Clone, Copy, Debug)]
pub(super) enum End<'a> {
    Proper,
    Tail(&'a [u8]),
    /// The mark, and how many parts there were when it was read. Sizes in it move with those.
    Cut(Mark<'a>, usize),
}

impl<'a> Node<'a> {
    /// Opens a list, tuple or map. None if it is something else.
    pub(super) fn read(shapes: &mut Shapes, span: Span<'a>) -> Result<Option<Self>, Malformed> {
        let most = span.bytes.len();
        let Some((head, mut from)) = shapes.open(span)? else {
            return Ok(None);
        };
        // a hostile size claims more than the bytes hold
        let room = |n: u32| (n as usize).min(most);
        let (mut kind, mut parts) = match head {
            Head::List => (Kind::List, VecDeque::new()),
            Head::Tuple(n) => (Kind::Tuple(n), VecDeque::with_capacity(room(n))),
            Head::Map(n) => {
                let map = Kind::Map {
                    keys: Keys::with_capacity(room(n)),
                    gone: 0,
                    missing: u64::from(n),
                };
                (map, VecDeque::with_capacity(room(n)))
            }
        };
        let end = loop {
            match from.next()? {
                Next::Part(part) => {
                    let mut part = part;
                    if let Kind::Map { keys, missing, .. } = &mut kind {
                        keys.push(part.bytes);
                        *missing = missing.saturating_sub(1);
                        let Next::Part(value) = from.next()? else {
                            break End::Proper;
                        };
                        part = value;
                    }
                    parts.push_back(Part::Shut(part));
                }
                Next::End => break End::Proper,
                Next::Tail(tail) => break End::Tail(tail.bytes),
                Next::Cut(mark) => break End::Cut(mark, parts.len()),
            }
        };
        Ok(Some(Node { kind, parts, end }))
    }

    pub(super) fn write_head(&self, out: &mut Vec<u8>) {
        match &self.kind {
            // without elements it is the empty list, or what was its tail
            Kind::List if self.parts.is_empty() => match self.end {
                End::Proper => out.push(format::NIL),
                End::Tail(_) => {}
                End::Cut(..) => out.push(format::LIST),
            },
            Kind::List => out.push(format::LIST),
            Kind::Tuple(n) => put_tagged(format::TUPLE, u64::from(*n), out),
            Kind::Map { gone, missing, .. } => {
                let pairs = (self.parts.len() - gone) as u64 + missing;
                put_tagged(format::MAP, pairs.min(u64::from(u32::MAX)), out);
            }
        }
    }

    pub(super) fn write_end(&self, out: &mut Vec<u8>) {
        match (&self.kind, self.end) {
            (Kind::List, End::Proper) if !self.parts.is_empty() => out.push(format::END),
            (Kind::List, End::Tail(tail)) => {
                if !self.parts.is_empty() {
                    out.push(format::TAIL);
                }
                out.extend_from_slice(tail);
            }
            (_, End::Cut(mark, parts)) => {
                let gone = match self.kind {
                    Kind::Map { gone, .. } => gone,
                    _ => 0,
                };
                let now = self.parts.len() - gone;
                let moved =
                    |size: u64| size.saturating_add(now as u64).saturating_sub(parts as u64);
                out.extend_from_slice(&[format::CUT, mark.cut as u8]);
                put(moved(mark.kept), out);
                put(
                    mark.total.map_or(0, |total| moved(total).saturating_add(1)),
                    out,
                );
            }
            _ => {}
        }
    }
}

fn put_tagged(tag: u8, value: u64, out: &mut Vec<u8>) {
    out.push(tag);
    put(value, out);
}

fn put(value: u64, out: &mut Vec<u8>) {
    let mut bytes = [0; 10];
    let size = put_varint(&mut bytes, value);
    out.extend_from_slice(bytes.get(..size).unwrap_or_default());
}
