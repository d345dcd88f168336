//! The delta from one value to another.

use super::super::format as value_format;
use super::super::order::equal;
use super::super::reader::{Malformed, Reader, Token};
use super::super::varint::put_varint;
use super::format;
use super::keys::Keys;
use super::proof::{Proof, proof, proof_of_dropped};
use super::span::{Head, Next, Shapes, Span};

/// A binary shorter than this is replaced whole.
const LEAST_GROWN: usize = 8;
/// How deep containers are compared part by part; what lies deeper is replaced whole.
const DEPTH: u32 = 64;

/// Appends the delta that leads from the first value in `old` to the first in `new`. Of a list, what old and new have in common
/// at the front and at the end stays; what was cut is replaced.
///
/// # Errors
/// [`Malformed`] if one of them is no value.
pub fn diff(old: &[u8], new: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let mut shapes = Shapes::default();
    let (old, new) = (shapes.measure(old)?, shapes.measure(new)?);
    Diff { shapes, out }.value(old, new, 0)?;
    Ok(())
}

/// A container whose parts are all there, taken apart.
pub(super) struct Opened<'a> {
    pub(super) head: Head,
    /// Elements; of a map, keys and values in turn.
    pub(super) parts: Vec<Span<'a>>,
    pub(super) tail: Option<Span<'a>>,
    /// The rest was cut.
    pub(super) cut: bool,
}

impl<'a> Opened<'a> {
    pub(super) fn read(shapes: &Shapes, span: Span<'a>) -> Result<Option<Self>, Malformed> {
        let Some((head, mut from)) = shapes.parts(span)? else {
            return Ok(None);
        };
        let mut opened = Opened {
            head,
            parts: Vec::new(),
            tail: None,
            cut: false,
        };
        loop {
            match from.next()? {
                Next::Part(part) => opened.parts.push(part),
                Next::End => break,
                Next::Tail(tail) => {
                    opened.tail = Some(tail);
                    break;
                }
                Next::Cut(_) => {
                    opened.cut = true;
                    break;
                }
            }
        }
        Ok(Some(opened))
    }

    /// Keys and values of a map.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (Span<'a>, Span<'a>)> {
        self.parts
            .as_chunks::<2>()
            .0
            .iter()
            .map(|&[key, value]| (key, value))
    }

    /// The keys of a map, to be looked up.
    pub(super) fn keys(&self) -> Keys<'a> {
        let mut keys = Keys::with_capacity(self.parts.len() / 2);
        for (key, _) in self.pairs() {
            keys.push(key.bytes);
        }
        keys
    }
}

/// What the binary in `new` has behind that in `old`, if it begins with that.
fn grown<'n>(old: &[u8], new: &'n [u8]) -> Option<&'n [u8]> {
    match (Reader::new(old).token(), Reader::new(new).token()) {
        (Ok(Token::Binary(old)), Ok(Token::Binary(new))) if old.len() >= LEAST_GROWN => {
            new.strip_prefix(old)
        }
        _ => None,
    }
}

struct Diff<'o> {
    shapes: Shapes,
    out: &'o mut Vec<u8>,
}

impl Diff<'_> {
    /// Whether they differ.
    fn value(&mut self, old: Span<'_>, new: Span<'_>, depth: u32) -> Result<bool, Malformed> {
        let start = self.out.len();
        if old.bytes == new.bytes {
            self.out.push(format::SAME);
            return Ok(false);
        }
        let changed = match self.pair(old, new, depth)? {
            Some((old, new)) => {
                let changed = match (old.head, new.head) {
                    (Head::Map(_), _) => self.maps(&old, &new, depth)?,
                    (Head::Tuple(_), _) => self.tuples(&old, &new, depth)?,
                    (Head::List, _) => self.lists(&old, &new, depth)?,
                };
                if !changed {
                    self.out.truncate(start);
                    self.out.push(format::SAME);
                }
                changed
            }
            None => !equal(old.bytes, new.bytes)?,
        };
        match (changed, self.out.len() - start) {
            (false, 0) => self.out.push(format::SAME),
            // not opened, or the new value is shorter than what tells it from the old one
            (true, size) if size == 0 || size > 3 + new.bytes.len() => {
                self.out.truncate(start);
                match grown(old.bytes, new.bytes) {
                    Some(more) => self.grow(proof(old.bytes), more),
                    None => self.replace(proof(old.bytes), new),
                }
            }
            _ => {}
        }
        Ok(changed)
    }

    /// Both, taken apart, if a delta can lead from one to the other.
    fn pair<'a>(
        &self,
        old: Span<'a>,
        new: Span<'a>,
        depth: u32,
    ) -> Result<Option<(Opened<'a>, Opened<'a>)>, Malformed> {
        if depth >= DEPTH || old.tag() != new.tag() {
            return Ok(None);
        }
        let (Some(old), Some(new)) = (
            Opened::read(&self.shapes, old)?,
            Opened::read(&self.shapes, new)?,
        ) else {
            return Ok(None);
        };
        let alike = match (old.head, new.head) {
            (Head::Tuple(n), Head::Tuple(m)) => n == m,
            _ => true,
        };
        Ok((alike && !old.cut && !new.cut).then_some((old, new)))
    }

    fn grow(&mut self, proof: u16, more: &[u8]) {
        self.out.push(format::GROWN);
        self.out.extend_from_slice(&proof.to_le_bytes());
        self.number(more.len());
        self.out.extend_from_slice(more);
    }

    fn replace(&mut self, proof: u16, new: Span<'_>) {
        self.proved(format::REPLACE, format::PROVED_REPLACE, None, proof);
        self.out.extend_from_slice(new.bytes);
    }

    /// One of two tags, the second with a proof.
    fn proved(&mut self, tag: u8, proved: u8, count: Option<usize>, proof: u16) {
        let is_proved = proof != Proof::NONE;
        self.out.push(if is_proved { proved } else { tag });
        if let Some(count) = count {
            self.number(count);
        }
        if is_proved {
            self.out.extend_from_slice(&proof.to_le_bytes());
        }
    }

    fn put(&mut self, tag: u8, value: Span<'_>) {
        self.out.push(tag);
        self.out.extend_from_slice(value.bytes);
    }

    fn number(&mut self, number: usize) {
        let mut bytes = [0; 10];
        let size = put_varint(&mut bytes, number as u64);
        self.out
            .extend_from_slice(bytes.get(..size).unwrap_or_default());
    }

    fn count(&mut self, tag: u8, count: usize) {
        if count > 0 {
            self.out.push(tag);
            self.number(count);
        }
    }

    fn maps(&mut self, old: &Opened<'_>, new: &Opened<'_>, depth: u32) -> Result<bool, Malformed> {
        let mut keys = old.keys();
        let values: Vec<_> = old.pairs().map(|(_, value)| value).collect();
        let mut stayed = vec![false; values.len()];
        let mut changed = false;
        self.out.push(format::MAP);
        for (key, value) in new.pairs() {
            let found = keys.find(key.bytes)?;
            let start = self.out.len();
            self.out.extend_from_slice(key.bytes);
            match found.and_then(|at| Some((values.get(at)?, stayed.get_mut(at)?))) {
                Some((&before, stays)) => {
                    *stays = true;
                    if self.value(before, value, depth + 1)? {
                        changed = true;
                    } else {
                        self.out.truncate(start);
                    }
                }
                None => {
                    changed = true;
                    self.put(format::REPLACE, value);
                }
            }
        }
        for ((key, value), stays) in old.pairs().zip(stayed) {
            if !stays {
                changed = true;
                self.out.extend_from_slice(key.bytes);
                let proof = proof(value.bytes);
                self.proved(format::REMOVED, format::PROVED_REMOVED, None, proof);
            }
        }
        self.out.push(format::MAP_END);
        Ok(changed)
    }

    fn tuples(
        &mut self,
        old: &Opened<'_>,
        new: &Opened<'_>,
        depth: u32,
    ) -> Result<bool, Malformed> {
        // the index that a gap of 1 leads to
        let mut next = 0;
        self.out.push(format::TUPLE);
        for (index, (&old, &new)) in old.parts.iter().zip(&new.parts).enumerate() {
            let start = self.out.len();
            self.number(index - next + 1);
            if self.value(old, new, depth + 1)? {
                next = index + 1;
            } else {
                self.out.truncate(start);
            }
        }
        self.out.push(format::TUPLE_END);
        Ok(next > 0)
    }

    fn lists(&mut self, old: &Opened<'_>, new: &Opened<'_>, depth: u32) -> Result<bool, Malformed> {
        let same_end = match (&old.tail, &new.tail) {
            (None, None) => true,
            (Some(old), Some(new)) => equal(old.bytes, new.bytes)?,
            _ => false,
        };
        let (front, back) = common_ends(&old.parts, &new.parts)?;
        // without the old end there is no rest that stays
        let back = if same_end { back } else { 0 };
        let middle = |parts: &[Span<'_>]| parts.len() - front - back;
        let (out, come) = (middle(&old.parts), middle(&new.parts));
        self.out.push(format::LIST);
        self.count(format::KEEP, front);
        let all = old.parts.iter().zip(&new.parts).skip(front);
        if out == come {
            let mut same = 0;
            for (&old, &new) in all.take(out) {
                let start = self.out.len();
                self.count(format::KEEP, same);
                self.out.push(format::CHANGE);
                if self.value(old, new, depth + 1)? {
                    same = 0;
                } else {
                    self.out.truncate(start);
                    same += 1;
                }
            }
            // only where the end is another can the last of them be the same
            self.count(format::KEEP, same);
        } else {
            if back > 0 && out > 0 {
                let gone = old.parts.iter().skip(front).take(out);
                let proof = proof_of_dropped(gone.map(|part| proof(part.bytes)));
                self.proved(format::DROP, format::PROVED_DROP, Some(out), proof);
            }
            for &part in new.parts.iter().skip(front).take(come) {
                self.put(format::INSERT, part);
            }
        }
        match &new.tail {
            _ if same_end && (back > 0 || out == come) => self.out.push(format::REST),
            None => self.out.push(format::CLOSE),
            Some(tail) => {
                self.out.push(format::LIST_TAIL);
                self.out.extend_from_slice(tail.bytes);
            }
        }
        Ok(out + come > 0 || !same_end)
    }
}

/// How many parts are the same at the front, and at the end of what is left.
pub(super) fn common_ends(old: &[Span<'_>], new: &[Span<'_>]) -> Result<(usize, usize), Malformed> {
    let mut front = 0;
    for (old, new) in old.iter().zip(new) {
        if !same(old, new)? {
            break;
        }
        front += 1;
    }
    let mut back = 0;
    let rest = old
        .iter()
        .skip(front)
        .rev()
        .zip(new.iter().skip(front).rev());
    for (old, new) in rest {
        if !same(old, new)? {
            break;
        }
        back += 1;
    }
    Ok((front, back))
}

fn same(old: &Span<'_>, new: &Span<'_>) -> Result<bool, Malformed> {
    // only maps, and funs, are equal with other bytes
    let plain = !matches!(
        new.tag(),
        value_format::LIST | value_format::TUPLE | value_format::MAP | value_format::FUN
    );
    if old.bytes == new.bytes {
        return Ok(true);
    }
    Ok(!plain && old.tag() == new.tag() && equal(old.bytes, new.bytes)?)
}
