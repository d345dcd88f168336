//! The quick way of most terms: numbers, names and short texts, alone or in small containers, straight into a window of the
//! sink. It knows no marks: what does not fit, or is rare, is left to the encoder, which starts anew. What both write is
//! the same, byte for byte.

use elixir_scope_engine::value::{Budget, format};
use elixir_scope_engine::{NoWay, Window};

use crate::term::redact::Redaction;
use crate::term::{Shape, Terms, Word, note_atom};

/// The largest window: so much is written twice at most.
pub(super) const MOST_BYTES: usize = 1_024;
/// The budget is left with this for what the encoder would keep back in the containers that it is in.
const KEPT_BACK: usize = 24 * (DEEPEST as usize + 1);
/// Containers are entered by recursion; deeper ones are left to the encoder.
const DEEPEST: u32 = 5;

/// How many bytes may be written the quick way.
#[inline(always)]
pub(super) fn most_bytes(budget: Budget) -> usize {
    budget.bytes.saturating_sub(KEPT_BACK).min(MOST_BYTES)
}

pub(super) struct Quick<'q, 'w, T> {
    terms: T,
    window: &'q mut Window<'w>,
    redaction: &'q Redaction,
    length: usize,
    pub(super) steps: u64,
}

impl<'q, 'w, 't, T: Terms<'t>> Quick<'q, 'w, T> {
    #[inline(always)]
    pub(super) fn new(
        terms: T,
        window: &'q mut Window<'w>,
        budget: Budget,
        redaction: &'q Redaction,
    ) -> Self {
        Quick {
            terms,
            window,
            redaction,
            length: budget.length.map_or(usize::MAX, |length| length as usize),
            steps: 0,
        }
    }

    /// Writes a term in which containers may nest `depth` deep.
    #[inline(always)]
    pub(super) fn top(&mut self, term: Word, depth: u32) -> Result<(), NoWay> {
        self.value(term, depth.min(DEEPEST))
    }

    #[inline(always)]
    fn value(&mut self, term: Word, depth: u32) -> Result<(), NoWay> {
        self.steps += 1;
        match self.terms.shape(term) {
            Shape::Int(value) => self.window.int(value),
            Shape::Atom(atom) => {
                note_atom(atom);
                self.window.atom(atom)
            }
            Shape::Binary(bytes) => self.window.binary(bytes),
            Shape::Nil => self.window.byte(format::NIL),
            Shape::Float(value) => self.window.float(value),
            Shape::Pid(process) => self.window.tagged(format::PID, process),
            Shape::FlatMap(keys, values) => self.map(keys, values, depth),
            Shape::Tuple(elements) => self.tuple(elements, depth),
            Shape::Cons(head, tail) => self.list(head, tail, depth),
            _ => Err(NoWay),
        }
    }

    #[inline(never)]
    fn map(&mut self, keys: &[Word], values: &[Word], depth: u32) -> Result<(), NoWay> {
        let depth = self.inside(keys.len(), depth)?;
        if keys.len() > self.length {
            return Err(NoWay);
        }
        self.window.tagged(format::MAP, keys.len() as u64)?;
        for (key, value) in keys.iter().zip(values) {
            self.steps += 1;
            let masked = match self.terms.shape(*key) {
                Shape::Atom(atom) => {
                    note_atom(atom);
                    self.window.atom(atom)?;
                    self.redaction.masks_atom(atom)
                }
                Shape::Binary(text) => {
                    self.window.binary(text)?;
                    self.redaction.masks_text(text)
                }
                Shape::Int(value) => {
                    self.window.int(value)?;
                    false
                }
                _ => return Err(NoWay),
            };
            if masked {
                self.window.byte(format::REDACTED)?;
            } else {
                self.value(*value, depth)?;
            }
        }
        Ok(())
    }

    #[inline(never)]
    fn tuple(&mut self, elements: &[Word], depth: u32) -> Result<(), NoWay> {
        let depth = self.inside(elements.len(), depth)?;
        if let [key, _] = elements
            && self.redaction.is_on()
            && !self.shows_second(*key)
        {
            return Err(NoWay);
        }
        self.window.tagged(format::TUPLE, elements.len() as u64)?;
        elements
            .iter()
            .try_for_each(|element| self.value(*element, depth))
    }

    #[inline(never)]
    fn list(&mut self, mut head: Word, mut tail: Word, depth: u32) -> Result<(), NoWay> {
        let depth = self.inside(1, depth)?;
        self.window.byte(format::LIST)?;
        for _ in 0..self.length {
            self.value(head, depth)?;
            match self.terms.shape(tail) {
                Shape::Cons(next, after) => (head, tail) = (next, after),
                Shape::Nil => return self.window.byte(format::END),
                _ => return Err(NoWay),
            }
        }
        Err(NoWay)
    }

    /// Whether it is quickly told that a pair with this key masks nothing.
    #[inline(always)]
    fn shows_second(&self, key: Word) -> bool {
        match self.terms.shape(key) {
            Shape::Atom(atom) => !self.redaction.masks_atom(atom),
            Shape::Binary(text) => !self.redaction.masks_text(text),
            Shape::Int(_) | Shape::Tuple(_) | Shape::FlatMap(..) | Shape::Pid(_) => true,
            _ => false,
        }
    }

    /// How deep containers may nest inside of one with so many elements.
    #[inline(always)]
    fn inside(&self, size: usize, depth: u32) -> Result<u32, NoWay> {
        match depth.checked_sub(1) {
            Some(depth) => Ok(depth),
            None if size == 0 => Ok(0),
            None => Err(NoWay),
        }
    }
}
