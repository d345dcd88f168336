//! The quick way of most terms: numbers, names and short texts, alone or in small containers, straight into a window of the
//! sink. It knows no marks: what does not fit, or is rare, is left to the encoder, which starts anew. What both write is
//! the same, byte for byte.

use std::cell::Cell;

use elixir_scope_engine::value::{Budget, Sink, format};
use elixir_scope_engine::{Fill, Window};

use super::Rules;
use crate::term::{RefNumbers, See, Shape, Terms, Word, immediate_atom, note_atom};

/// The largest window: so much is written twice at most.
const MOST_BYTES: usize = 4_096;
/// The budget is left with this for what the encoder would keep back in the containers that it is in.
const KEPT_BACK: usize = 24 * (DEEPEST as usize + 1);
/// Containers are entered by recursion; deeper ones are left to the encoder.
const DEEPEST: u32 = 5;

/// How many bytes may be written the quick way.
#[inline(always)]
pub fn most_bytes(budget: Budget) -> usize {
    budget.bytes.saturating_sub(KEPT_BACK).min(MOST_BYTES)
}

/// Counts steps, for who wants to know; capture does not.
pub trait Count: Copy {
    /// One more.
    fn step(self);
}

impl Count for () {
    #[inline(always)]
    fn step(self) {}
}

impl Count for &Cell<u64> {
    #[inline(always)]
    fn step(self) {
        self.set(self.get() + 1);
    }
}

/// Writes `term` into `sink` the quick way, or not at all. How many steps that took; `None` if it was not written.
#[inline(always)]
pub fn quickly<'t, T: Terms<'t>, S: Sink>(
    terms: T,
    rules: &Rules,
    sink: &mut S,
    term: Word,
) -> Option<u64> {
    let steps = Cell::new(0);
    let quick = Quick::new(terms, rules, &steps);
    sink.in_window(most_bytes(rules.budget), Quickly { quick, term })
        .then(|| steps.get())
}

struct Quickly<'q, T, C> {
    quick: Quick<'q, T, C>,
    term: Word,
}

impl<'t, T: Terms<'t>, C: Count> Fill for Quickly<'_, T, C> {
    #[inline(always)]
    fn fill<'w>(self, window: Window<'w>) -> Option<Window<'w>> {
        self.quick.term(window, self.term)
    }
}

/// The quick writer of values. Each value is within the budget if all of them together are in a window of [`most_bytes`].
///
/// It changes nothing of itself and is handed on by value, as the window is: so both stay in registers.
#[derive(Clone, Copy)]
pub struct Quick<'q, T, C = ()> {
    terms: T,
    rules: &'q Rules,
    count: C,
}

/// Writes a value that stands in so many containers. With `HERE` maps are written by code that stands in the caller's.
struct Value<'q, 'w, T, C, const HERE: bool> {
    quick: Quick<'q, T, C>,
    window: Window<'w>,
    depth: u32,
}

impl<'w, 't, T: Terms<'t>, C: Count, const HERE: bool> See<'t> for Value<'_, 'w, T, C, HERE> {
    type Out = Option<Window<'w>>;

    #[inline(always)]
    fn see(self, shape: Shape<'t>) -> Self::Out {
        let Value {
            quick,
            window,
            depth,
        } = self;
        match shape {
            Shape::Int(value) => window.int(value),
            Shape::Atom(atom) => {
                note_atom(atom);
                window.atom(atom)
            }
            Shape::Binary(bytes) => window.binary(bytes),
            Shape::Nil => window.byte(format::NIL),
            Shape::Float(value) => window.float(value),
            Shape::Pid(process) => window.pid(process),
            Shape::Ref(numbers) => reference(window, &numbers),
            Shape::FlatMap(keys, values) if HERE => quick.map_here(window, keys, values, depth),
            Shape::FlatMap(keys, values) => quick.map(window, keys, values, depth),
            Shape::Tuple(elements) => quick.tuple(window, elements, depth),
            Shape::Cons(head, tail) => quick.list(window, head, tail, depth),
            _ => None,
        }
    }
}

/// One that stands elsewhere than at the end of a list, or is read otherwise.
#[inline(never)]
fn reference<'w>(window: Window<'w>, numbers: &RefNumbers) -> Option<Window<'w>> {
    let mut item = [format::REF; 22];
    item[1] = numbers.count;
    let (_, words) = item.split_at_mut(2);
    for (to, word) in words.chunks_exact_mut(4).zip(numbers.words()) {
        to.copy_from_slice(&word.to_le_bytes());
    }
    window.bytes(item.get(..2 + 4 * numbers.words().len())?)
}

/// Writes the key of a map that is no atom, and tells whether the value under it is masked.
struct Key<'q, 'w> {
    rules: &'q Rules,
    window: Window<'w>,
}

impl<'w, 't> See<'t> for Key<'_, 'w> {
    type Out = Option<(Window<'w>, bool)>;

    #[inline(always)]
    fn see(self, shape: Shape<'t>) -> Self::Out {
        let Key { rules, window } = self;
        let redaction = &rules.redaction;
        Some(match shape {
            Shape::Binary(text) => (window.binary(text)?, redaction.masks_text(text)),
            Shape::Int(value) => (window.int(value)?, false),
            _ => return None,
        })
    }
}

impl<'q, 't, T: Terms<'t>, C: Count> Quick<'q, T, C> {
    /// Writes by these rules.
    #[inline(always)]
    pub fn new(terms: T, rules: &'q Rules, count: C) -> Self {
        Quick {
            terms,
            rules,
            count,
        }
    }

    /// Writes a term.
    #[inline(always)]
    pub fn term<'w>(self, window: Window<'w>, term: Word) -> Option<Window<'w>> {
        self.value::<false>(window, term, 0)
    }

    /// The same of a term that is likely to be a map: more code, and a call less.
    #[inline(always)]
    pub fn field<'w>(self, window: Window<'w>, term: Word) -> Option<Window<'w>> {
        self.value::<true>(window, term, 0)
    }

    /// Writes the elements of a list, each as a value of its own; those as marks whose bit is set in `masks`, from the lowest. What
    /// is no list stands for an empty one.
    #[inline(always)]
    pub fn elements<'w>(self, window: Window<'w>, list: Word, masks: u32) -> Option<Window<'w>> {
        let Some((mut head, mut tail)) = self.terms.cell(list) else {
            return window.byte(format::NIL);
        };
        let mut window = window.byte(format::LIST)?;
        for at in 0..u32::BITS {
            window = if masks >> at & 1 == 1 {
                window.byte(format::REDACTED)?
            } else {
                self.term(window, head)?
            };
            match self.terms.cell(tail) {
                Some(next) => (head, tail) = next,
                None => return window.byte(format::END),
            }
        }
        None
    }

    #[inline(always)]
    fn value<'w, const HERE: bool>(
        self,
        window: Window<'w>,
        term: Word,
        depth: u32,
    ) -> Option<Window<'w>> {
        self.count.step();
        let see = Value::<T, C, HERE> {
            quick: self,
            window,
            depth,
        };
        self.terms.look(term, see)
    }

    /// How many elements a list or map may have.
    #[inline(always)]
    fn length(self) -> usize {
        let length = self.rules.budget.length;
        length.map_or(usize::MAX, |length| length as usize)
    }

    #[inline(never)]
    fn map<'w>(
        self,
        window: Window<'w>,
        keys: &[Word],
        values: &[Word],
        depth: u32,
    ) -> Option<Window<'w>> {
        self.map_here(window, keys, values, depth)
    }

    /// A map of the keys of `places`, where each stands beside the place of its value among `values`. (A function of its own:
    /// in one with its caller it would have too few registers.)
    #[inline(never)]
    pub fn map_of<'w>(
        self,
        window: Window<'w>,
        places: Word,
        values: &[Word],
    ) -> Option<Window<'w>> {
        let Shape::FlatMap(keys, places) = self.terms.shape(places) else {
            return None;
        };
        let (window, depth) = self.map_head(window, keys.len(), 0)?;
        self.pairs::<true>(window, keys, places, values, depth)
    }

    #[inline(always)]
    fn map_here<'w>(
        self,
        window: Window<'w>,
        keys: &[Word],
        values: &[Word],
        depth: u32,
    ) -> Option<Window<'w>> {
        let (window, depth) = self.map_head(window, keys.len(), depth)?;
        self.pairs::<false>(window, keys, values, &[], depth)
    }

    /// The head of a map, if it may have so many pairs; and the depth of what stands in it.
    #[inline(always)]
    fn map_head<'w>(
        self,
        window: Window<'w>,
        pairs: usize,
        depth: u32,
    ) -> Option<(Window<'w>, u32)> {
        let depth = self.inside(pairs, depth)?;
        if pairs > self.length() {
            return None;
        }
        Some((window.tagged(format::MAP, pairs as u64)?, depth))
    }

    /// Keys, each with its value, or, with `PLACED`, the place of its value among `values`.
    #[inline(always)]
    fn pairs<'w, const PLACED: bool>(
        self,
        mut window: Window<'w>,
        keys: &[Word],
        beside: &[Word],
        values: &[Word],
        depth: u32,
    ) -> Option<Window<'w>> {
        for (key, beside) in keys.iter().zip(beside) {
            let value = if PLACED {
                let Shape::Int(place) = self.terms.shape(*beside) else {
                    return None;
                };
                *values.get(place as usize)?
            } else {
                *beside
            };
            self.count.step();
            let (next, is_masked) = match immediate_atom(*key) {
                // almost every key
                Some(atom) => {
                    note_atom(atom);
                    (window.atom(atom)?, self.rules.redaction.masks_atom(atom))
                }
                None => {
                    let see = Key {
                        rules: self.rules,
                        window,
                    };
                    self.terms.look(*key, see)?
                }
            };
            window = if is_masked {
                next.byte(format::REDACTED)?
            } else {
                self.value::<false>(next, value, depth)?
            };
        }
        Some(window)
    }

    #[inline(never)]
    fn tuple<'w>(self, window: Window<'w>, elements: &[Word], depth: u32) -> Option<Window<'w>> {
        let depth = self.inside(elements.len(), depth)?;
        if let [key, _] = elements
            && self.rules.redaction.is_on()
            && !self.shows_second(*key)
        {
            return None;
        }
        let window = window.tagged(format::TUPLE, elements.len() as u64)?;
        elements.iter().try_fold(window, |window, element| {
            self.value::<false>(window, *element, depth)
        })
    }

    #[inline(never)]
    fn list<'w>(
        self,
        window: Window<'w>,
        mut head: Word,
        mut tail: Word,
        depth: u32,
    ) -> Option<Window<'w>> {
        let depth = self.inside(1, depth)?;
        let mut window = window.byte(format::LIST)?;
        for _ in 0..self.length() {
            window = self.value::<false>(window, head, depth)?;
            match self.terms.shape(tail) {
                Shape::Cons(next, after) => (head, tail) = (next, after),
                Shape::Nil => return window.byte(format::END),
                _ => {
                    let window = window.byte(format::TAIL)?;
                    return self.tail(window, tail, depth);
                }
            }
        }
        None
    }

    /// The tail of a list that does not end properly: mostly the reference of an alias, which every call of a server bears. Its
    /// numbers are copied from where they stand; by [`Shape::Ref`] they would be moved three times, in other sizes each time, for
    /// which the processor waits.
    #[inline(always)]
    fn tail<'w>(self, window: Window<'w>, tail: Word, depth: u32) -> Option<Window<'w>> {
        match self.terms.reference(tail) {
            Some(numbers) => {
                self.count.step();
                let count = (numbers.len() / size_of::<u32>()) as u8;
                window.pair([format::REF, count])?.bytes(numbers)
            }
            None => self.value::<false>(window, tail, depth),
        }
    }

    /// Whether it is quickly told that a pair with this key masks nothing.
    #[inline(always)]
    fn shows_second(self, key: Word) -> bool {
        let redaction = &self.rules.redaction;
        match self.terms.shape(key) {
            Shape::Atom(atom) => !redaction.masks_atom(atom),
            Shape::Binary(text) => !redaction.masks_text(text),
            Shape::Int(_) | Shape::Tuple(_) | Shape::FlatMap(..) | Shape::Pid(_) => true,
            _ => false,
        }
    }

    /// In how many containers the elements of one stand that has so many, and stands in `depth` others.
    #[inline(always)]
    fn inside(self, size: usize, depth: u32) -> Option<u32> {
        (depth < self.rules.budget.depth.min(DEEPEST) || size == 0).then_some(depth + 1)
    }
}
