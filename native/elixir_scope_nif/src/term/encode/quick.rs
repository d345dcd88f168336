//! The quick way of most terms: numbers, names and short texts, alone or in small containers, straight into a window of the
//! sink. It knows no marks: what does not fit, or is rare, is left to the encoder, which starts anew. What both write is
//! the same, byte for byte.

use elixir_scope_engine::value::{Budget, Sink, format};
use elixir_scope_engine::{Fill, NoWay, Window};

use super::Rules;
use crate::term::redact::Redaction;
use crate::term::{See, Shape, Terms, Word, note_atom};

/// The largest window: so much is written twice at most.
const MOST_BYTES: usize = 4_096;
/// The budget is left with this for what the encoder would keep back in the containers that it is in.
const KEPT_BACK: usize = 24 * (DEEPEST as usize + 1);
/// Containers are entered by recursion; deeper ones are left to the encoder.
const DEEPEST: u32 = 5;

/// How many bytes may be written the quick way.
#[inline(always)]
fn most_bytes(budget: Budget) -> usize {
    budget.bytes.saturating_sub(KEPT_BACK).min(MOST_BYTES)
}

/// One or more values, to be written the quick way.
pub trait Values {
    /// Writes them. (A trait, where a closure would be enough, because it can be told to be inlined.)
    fn write<'t, T: Terms<'t>>(self, quick: &mut Quick<'_, '_, T>) -> Result<(), NoWay>;
}

/// One term.
impl Values for Word {
    #[inline(always)]
    fn write<'t, T: Terms<'t>>(self, quick: &mut Quick<'_, '_, T>) -> Result<(), NoWay> {
        quick.term(self)
    }
}

/// Writes values into `sink` the quick way, all of them or none. How many steps that took; `None` if it was none.
///
/// Each value is within the budget if all of them together are.
#[inline(always)]
pub fn quickly<'t, T: Terms<'t>, S: Sink>(
    terms: T,
    rules: &Rules,
    sink: &mut S,
    values: impl Values,
) -> Option<u64> {
    let quickly = Quickly {
        terms,
        rules,
        values,
    };
    sink.in_window(most_bytes(rules.budget), quickly)
}

struct Quickly<'q, T, V> {
    terms: T,
    rules: &'q Rules,
    values: V,
}

impl<'t, T: Terms<'t>, V: Values> Fill for Quickly<'_, T, V> {
    type Out = u64;

    #[inline(always)]
    fn fill(self, window: &mut Window<'_>) -> Option<u64> {
        let Rules { budget, redaction } = self.rules;
        let mut quick = Quick::new(self.terms, window, *budget, redaction);
        self.values.write(&mut quick).ok()?;
        Some(quick.steps)
    }
}

/// The quick writer of one or more values.
pub struct Quick<'q, 'w, T> {
    terms: T,
    window: &'q mut Window<'w>,
    redaction: &'q Redaction,
    length: usize,
    /// How deep containers may nest in one term.
    depth: u32,
    steps: u64,
}

/// Writes a value in which containers may nest so deep.
struct Value<'v, 'q, 'w, T> {
    quick: &'v mut Quick<'q, 'w, T>,
    depth: u32,
}

impl<'t, T: Terms<'t>> See<'t> for Value<'_, '_, '_, T> {
    type Out = Result<(), NoWay>;

    #[inline(always)]
    fn see(self, shape: Shape<'t>) -> Self::Out {
        let Value { quick, depth } = self;
        match shape {
            Shape::Int(value) => quick.window.int(value),
            Shape::Atom(atom) => {
                note_atom(atom);
                quick.window.atom(atom)
            }
            Shape::Binary(bytes) => quick.window.binary(bytes),
            Shape::Nil => quick.window.byte(format::NIL),
            Shape::Float(value) => quick.window.float(value),
            Shape::Pid(process) => quick.window.tagged(format::PID, process),
            Shape::FlatMap(keys, values) => quick.map(keys, values, depth),
            Shape::Tuple(elements) => quick.tuple(elements, depth),
            Shape::Cons(head, tail) => quick.list(head, tail, depth),
            _ => Err(NoWay),
        }
    }
}

/// Writes the key of a map, and tells whether the value under it is masked.
struct Key<'v, 'q, 'w, T> {
    quick: &'v mut Quick<'q, 'w, T>,
}

impl<'t, T: Terms<'t>> See<'t> for Key<'_, '_, '_, T> {
    type Out = Result<bool, NoWay>;

    #[inline(always)]
    fn see(self, shape: Shape<'t>) -> Self::Out {
        let quick = self.quick;
        match shape {
            Shape::Atom(atom) => {
                note_atom(atom);
                quick.window.atom(atom)?;
                Ok(quick.redaction.masks_atom(atom))
            }
            Shape::Binary(text) => {
                quick.window.binary(text)?;
                Ok(quick.redaction.masks_text(text))
            }
            Shape::Int(value) => {
                quick.window.int(value)?;
                Ok(false)
            }
            _ => Err(NoWay),
        }
    }
}

impl<'q, 'w, 't, T: Terms<'t>> Quick<'q, 'w, T> {
    #[inline(always)]
    fn new(terms: T, window: &'q mut Window<'w>, budget: Budget, redaction: &'q Redaction) -> Self {
        Quick {
            terms,
            window,
            redaction,
            length: budget.length.map_or(usize::MAX, |length| length as usize),
            depth: budget.depth.min(DEEPEST),
            steps: 0,
        }
    }

    /// Writes one byte of a frame around values.
    #[inline(always)]
    pub fn byte(&mut self, byte: u8) -> Result<(), NoWay> {
        self.window.byte(byte)
    }

    /// Writes a term.
    #[inline(always)]
    pub fn term(&mut self, term: Word) -> Result<(), NoWay> {
        self.value(term, self.depth)
    }

    #[inline(always)]
    fn value(&mut self, term: Word, depth: u32) -> Result<(), NoWay> {
        self.steps += 1;
        let terms = self.terms;
        terms.look(term, Value { quick: self, depth })
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
            let terms = self.terms;
            if terms.look(*key, Key { quick: self })? {
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
            // an atom, a number or the like: the list is improper
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
