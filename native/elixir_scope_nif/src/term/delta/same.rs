//! Whether two words are the same value. "No" may be wrong where it would take too long to tell: then a delta says more than
//! it need.

use super::Delta;
use crate::term::{Bits, SeeChanges, Shape, Terms, Word};

/// So deep is looked into containers.
const DEEPEST: u32 = 8;
/// Longer binaries that stand in different places are taken for different.
const LONGEST: usize = 64 * 1_024;

impl<'t, T: Terms<'t>> Delta<'_, T> {
    /// Whether the two are the same value, containers included.
    pub(super) fn is_same(&mut self, one: Word, other: Word) -> bool {
        self.is_same_within(one, other, DEEPEST)
    }

    fn is_same_within(&mut self, one: Word, other: Word, depth: u32) -> bool {
        if one == other {
            return true;
        }
        if depth == 0 || self.step(1).is_err() {
            return false;
        }
        let (left, right) = (self.terms.shape(one), self.terms.shape(other));
        match (left, right) {
            (Shape::Tuple(left), Shape::Tuple(right)) => self.are_same(left, right, depth),
            (Shape::FlatMap(keys, values), Shape::FlatMap(other_keys, other_values)) => {
                // keys stand in the order of the VM
                self.are_same(keys, other_keys, depth) && self.are_same(values, other_values, depth)
            }
            (Shape::Cons(..), Shape::Cons(..)) => self.are_same_lists(one, other, depth),
            (Shape::Map, Shape::Map) => {
                let terms = self.terms;
                let mut alike = Alike { delta: self, depth };
                terms.changes(one, other, &mut alike) == Ok(true)
            }
            _ => self.is_same_shape(one, left, other, right),
        }
    }

    fn are_same(&mut self, ones: &[Word], others: &[Word], depth: u32) -> bool {
        ones.len() == others.len()
            && ones
                .iter()
                .zip(others)
                .all(|(one, other)| self.is_same_within(*one, *other, depth - 1))
    }

    fn are_same_lists(&mut self, mut one: Word, mut other: Word, depth: u32) -> bool {
        loop {
            if one == other {
                return true;
            }
            match (self.terms.shape(one), self.terms.shape(other)) {
                (Shape::Cons(head, tail), Shape::Cons(other_head, other_tail)) => {
                    if self.step(1).is_err() || !self.is_same_within(head, other_head, depth - 1) {
                        return false;
                    }
                    (one, other) = (tail, other_tail);
                }
                (left, right) => return self.is_same_shape(one, left, other, right),
            }
        }
    }

    /// Of two words that differ, and are no containers; of containers it is false.
    pub(super) fn is_same_shape(
        &mut self,
        one: Word,
        left: Shape<'t>,
        other: Word,
        right: Shape<'t>,
    ) -> bool {
        match (left, right) {
            (Shape::Int(left), Shape::Int(right)) => left == right,
            (Shape::Float(left), Shape::Float(right)) => left.to_bits() == right.to_bits(),
            (Shape::Atom(left), Shape::Atom(right)) => left == right,
            (Shape::Pid(left), Shape::Pid(right)) | (Shape::Port(left), Shape::Port(right)) => {
                left == right
            }
            (Shape::Nil, Shape::Nil) => true,
            (Shape::Binary(left), Shape::Binary(right)) => {
                left.len() == right.len()
                    && (std::ptr::eq(left, right) || {
                        left.len() <= LONGEST
                            && self.step(left.len() as u32 / 64).is_ok()
                            && left == right
                    })
            }
            (Shape::Bits(left), Shape::Bits(right)) => {
                let starts = |bits: Bits<'t>| (bits.bytes.as_ptr(), bits.offset);
                left.bits == right.bits
                    && (starts(left) == starts(right)
                        || left.bits <= LONGEST as u64
                            && left.shifted(u64::MAX) == right.shifted(u64::MAX))
            }
            (Shape::Big(minus, left), Shape::Big(other_minus, right)) => {
                minus == other_minus && left == right
            }
            (Shape::Ref(left), Shape::Ref(right)) => left == right,
            (
                Shape::Export(module, function, arity),
                Shape::Export(other_module, other_function, other_arity),
            ) => (module, function, arity) == (other_module, other_function, other_arity),
            (Shape::Fun, Shape::Fun) => self.terms.fun(one).is_some_and(|left| {
                // the words of what it closes over among them
                self.terms.fun(other) == Some(left)
            }),
            _ => false,
        }
    }
}

/// Two maps that may be the same one.
struct Alike<'m, 'd, T> {
    delta: &'m mut Delta<'d, T>,
    depth: u32,
}

/// They are not.
#[derive(PartialEq, Eq)]
struct Unlike;

impl<'t, T: Terms<'t>> SeeChanges for Alike<'_, '_, T> {
    type Stop = Unlike;

    fn step(&mut self, words: u32) -> Result<(), Unlike> {
        self.delta.step(words).map_err(|_| Unlike)
    }

    fn same_key(&mut self, one: Word, other: Word) -> bool {
        self.delta.is_same_within(one, other, self.depth - 1)
    }

    fn changed(&mut self, _key: Word, old: Word, new: Word) -> Result<(), Unlike> {
        match self.delta.is_same_within(old, new, self.depth - 1) {
            true => Ok(()),
            false => Err(Unlike),
        }
    }

    fn added(&mut self, _key: Word, _value: Word) -> Result<(), Unlike> {
        Err(Unlike)
    }

    fn removed(&mut self, _key: Word, _old: Word) -> Result<(), Unlike> {
        Err(Unlike)
    }
}
