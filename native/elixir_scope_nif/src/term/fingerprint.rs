//! A few bytes that tell most states from one another: a tripwire for a state that changed unseen, and no proof.

use super::raw::is_immediate;
use super::{MapPairs, Shape, Terms, Word};

/// So many words are looked at, from the top down,
const WORDS: usize = 48;
/// and what so many of them point to.
const POINTERS: usize = 16;

/// Of what the words of this call hold: of contents, never of addresses.
pub fn fingerprint<'t, T: Terms<'t>>(terms: T, words: &[Word]) -> u32 {
    let mut print = Print {
        terms,
        hash: 0,
        queue: [0; POINTERS],
        end: 0,
        left: WORDS,
    };
    print.look_at(words);
    let mut next = 0;
    while let Some(word) = print.queue.get(next).filter(|_| next < print.end) {
        print.word(*word);
        next += 1;
    }
    (print.hash ^ print.hash >> 32) as u32
}

struct Print<T> {
    terms: T,
    hash: u64,
    /// Words that point to something.
    queue: [Word; POINTERS],
    end: usize,
    left: usize,
}

impl<'t, T: Terms<'t>> Print<T> {
    #[inline]
    fn mix(&mut self, value: u64) {
        self.hash = (self.hash.rotate_left(5) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    /// As far as there is room. What is its word alone is its contents.
    #[inline]
    fn look_at(&mut self, words: &[Word]) {
        let count = words.len().min(self.left);
        self.left -= count;
        for word in words.iter().take(count) {
            if is_immediate(*word) {
                self.mix(*word as u64);
            } else if let Some(place) = self.queue.get_mut(self.end) {
                *place = *word;
                self.end += 1;
            }
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.mix(bytes.len() as u64);
        let (front, end) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>());
        if let (Some(front), Some(end)) = (front, end) {
            self.mix(u64::from_le_bytes(*front));
            self.mix(u64::from_le_bytes(*end));
        } else {
            for byte in bytes {
                self.mix(u64::from(*byte));
            }
        }
    }

    #[inline]
    fn word(&mut self, word: Word) {
        match self.terms.shape(word) {
            Shape::Int(value) => self.mix(value as u64),
            Shape::Atom(atom) => self.mix(u64::from(atom.0) << 8 | 1),
            Shape::Tuple(elements) => {
                self.mix((elements.len() as u64) << 8 | 2);
                self.look_at(elements);
            }
            Shape::FlatMap(keys, values) => {
                self.mix((keys.len() as u64) << 8 | 3);
                // a map of as many other keys has other values, most likely
                self.look_at(values);
            }
            Shape::Cons(head, tail) => {
                self.mix(4);
                self.look_at(&[head, tail]);
            }
            Shape::Binary(bytes) => self.bytes(bytes),
            shape => self.other(word, shape),
        }
    }

    #[inline(never)]
    fn other(&mut self, word: Word, shape: Shape<'t>) {
        match shape {
            Shape::Float(value) => self.mix(value.to_bits()),
            Shape::Pid(process) => self.mix(process),
            Shape::Port(port) => self.mix(port),
            Shape::Ref(numbers) => {
                for number in numbers.words() {
                    self.mix(u64::from(*number));
                }
            }
            Shape::Big(minus, magnitude) => {
                self.mix(u64::from(minus));
                self.bytes(magnitude);
            }
            Shape::Bits(bits) => self.mix(bits.bits << 8 | 5),
            Shape::Export(module, function, arity) => {
                self.mix(u64::from(module.0) << 32 | u64::from(function.0));
                self.mix(u64::from(arity));
            }
            Shape::Map => self.map(word),
            Shape::Fun => {
                if let Some(fun) = self.terms.fun(word) {
                    self.mix(u64::from(fun.module.0) << 32 | u64::from(fun.index));
                    self.look_at(fun.env);
                }
            }
            Shape::Nil | Shape::Rare => self.mix(6),
            _ => {}
        }
    }

    /// On the NIF interface this is the shape of all maps; the walk of a small one allocates nothing.
    fn map(&mut self, word: Word) {
        let size = self.terms.map_size(word);
        self.mix((size as u64) << 8 | 7);
        if size > 32 {
            return;
        }
        let mut pairs = self.terms.map(word);
        while let Some((key, value)) = pairs.as_mut().and_then(MapPairs::next_pair) {
            self.look_at(&[key, value]);
        }
    }
}
