//! Binaries that grow at their end: kept in pieces, so that each step costs what it adds.

use super::super::super::cut::{Cut, Mark};
use super::super::super::format;
use super::super::super::reader::{Reader, Token};
use super::super::super::varint::put_varint;
use super::super::node::Part;
use super::super::proof::Glance;
use super::{Patched, Place};

/// A binary in pieces.
#[derive(Debug)]
pub(super) struct Grown<'a> {
    /// Of one whose end was cut; what comes behind that is counted in it.
    mark: Option<Mark<'a>>,
    pieces: Vec<&'a [u8]>,
    size: u64,
}

impl<'a> Grown<'a> {
    /// The binary in `value`, if it is one.
    fn read(value: &'a [u8]) -> Option<Self> {
        match Reader::new(value).token() {
            Ok(Token::Binary(bytes)) => Some(Grown {
                mark: None,
                pieces: vec![bytes],
                size: bytes.len() as u64,
            }),
            Ok(Token::Truncated(mark)) if mark.cut == Cut::Binary => Some(Grown {
                mark: Some(mark),
                pieces: Vec::new(),
                size: 0,
            }),
            _ => None,
        }
    }

    fn grow(&mut self, more: &'a [u8]) {
        let size = more.len() as u64;
        match &mut self.mark {
            Some(mark) => mark.total = mark.total.map(|total| total.saturating_add(size)),
            None if more.is_empty() => {}
            None => {
                self.pieces.push(more);
                self.size += size;
            }
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let Some(mark) = self.mark else {
            out.push(format::BINARY);
            put(self.size, out);
            self.pieces
                .iter()
                .for_each(|piece| out.extend_from_slice(piece));
            return;
        };
        out.extend_from_slice(&[format::TRUNCATED, mark.cut as u8]);
        put(mark.kept, out);
        put(mark.total.map_or(0, |total| total.saturating_add(1)), out);
        put(mark.prefix.len() as u64, out);
        out.extend_from_slice(mark.prefix);
    }

    /// What is seen of it: as of the bytes in one piece.
    pub(super) fn glance<'g>(&self) -> Glance<'g> {
        if self.mark.is_some() {
            return Glance::Opaque;
        }
        let mut front = self.pieces.iter().copied().flatten().copied();
        let mut end = self
            .pieces
            .iter()
            .rev()
            .flat_map(|piece| piece.iter().rev());
        let ends = std::array::from_fn(|_| front.next().unwrap_or_default());
        let mut last = std::array::from_fn(|_| end.next().copied().unwrap_or_default());
        last.reverse();
        Glance::Pieces(self.size, ends, last)
    }
}

fn put(value: u64, out: &mut Vec<u8>) {
    let mut bytes = [0; 10];
    let size = put_varint(&mut bytes, value);
    out.extend_from_slice(bytes.get(..size).unwrap_or_default());
}

impl<'a> Patched<'a> {
    /// Puts bytes behind those of the binary in a place; whether one stands there.
    pub(super) fn grow(&mut self, place: Place<'a>, more: &'a [u8]) -> bool {
        let Place::Part(node, at) = place else {
            return false;
        };
        let part = self.part_mut(node, at).copied();
        let number = match part {
            Some(Part::Grown(number)) => number,
            Some(Part::Shut(span)) => {
                let Some(grown) = Grown::read(span.bytes) else {
                    return false;
                };
                let number = self.add_grown(grown);
                if let Some(part) = self.part_mut(node, at) {
                    *part = Part::Grown(number);
                }
                number
            }
            Some(Part::Open(_) | Part::Gone) | None => return false,
        };
        if let Some(grown) = self.grown.get_mut(number as usize) {
            grown.grow(more);
        }
        true
    }

    fn add_grown(&mut self, grown: Grown<'a>) -> u32 {
        if let Some(number) = self.outgrown.pop()
            && let Some(place) = self.grown.get_mut(number as usize)
        {
            *place = grown;
            return number;
        }
        self.grown.push(grown);
        self.grown.len() as u32 - 1
    }
}
