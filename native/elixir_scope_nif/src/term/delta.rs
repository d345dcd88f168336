//! What became of a term, as a delta: from the words of the old one and of the new one, in time proportional to the change.
//!
//! Terms do not change, and an update shares what it did not touch, so that within one NIF call identical words are identical
//! parts. Only where words differ is anything looked at. What is written is what the encoder would have written of the new
//! term, masks and marks included, as far as it differs from what it would have written of the old one.
//!
//! * `grown`: binaries that something was appended to
//! * `list`, `map`: the containers whose parts move
//! * `proof`: what tells at replay whether a change fits
//! * `same`: whether two words are the same value, as far as that is told at once

use elixir_scope_engine::value::delta_format as format;

use elixir_scope_engine::value::{Budget, Proof, Sink, Watched, format as value_format};
use elixir_scope_engine::{Fill, Window};

use super::encode::{Rules, encode_part, masks_under, pair_counts};
use super::redact::Redaction;
use super::{Shape, Terms, Word};

mod grown;
mod list;
mod map;
mod proof;
mod same;

/// So many words are looked at, at most: one or two milliseconds.
pub const MOST_STEPS: u32 = 200_000;
/// So many where the state is doubtful anyway, and only a small change is worth being told.
pub const FEW_STEPS: u32 = MOST_STEPS / 10;
/// Parts are entered by recursion, so deep at most; deeper ones are replaced whole.
const MOST_NESTED: u32 = 64;
/// With less room than this in the budget no value is begun.
const LEAST_ROOM: usize = 32;

/// A change that is too large to be told by a delta. What was written is to be forgotten.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooMuch;

/// What was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Written {
    /// Whether the two are the same. Then nothing was written.
    pub is_same: bool,
    /// Whether nothing is missing but what is masked.
    pub is_whole: bool,
    /// How many words were looked at, or so.
    pub steps: u32,
}

/// Writes behind `out` how `old` became `new`, in so many steps.
///
/// # Errors
/// [`TooMuch`] past the budget of bytes, or of steps.
pub fn write<'t, T: Terms<'t>>(
    terms: T,
    old: Word,
    new: Word,
    (rules, steps): (&Rules, u32),
    out: &mut Vec<u8>,
) -> Result<Written, TooMuch> {
    let mut delta = Delta::new(terms, (rules, steps), out);
    let differs = delta.value(old, new, Place::TOP)?;
    Ok(delta.written(differs))
}

/// The same of two pairs that were made for the tape: their elements are values of their own, and no field hides another.
///
/// # Errors
/// As [`write`].
pub fn write_pair<'t, T: Terms<'t>>(
    terms: T,
    old: (Word, Word),
    new: (Word, Word),
    (rules, steps): (&Rules, u32),
    out: &mut Vec<u8>,
) -> Result<Written, TooMuch> {
    let mut delta = Delta::new(terms, (rules, steps), out);
    let differs = delta.elements(&[old.0, old.1], &[new.0, new.1], Place::TOP)?;
    Ok(delta.written(differs))
}

/// Why a part was not written to its end.
enum Stop {
    TooMuch,
    /// Which entry of a map changed cannot be told: its key is masked or cut.
    Hidden,
}

impl From<Stop> for TooMuch {
    fn from(_: Stop) -> Self {
        TooMuch
    }
}

/// A number, written without an encoder, which would have to be made for it.
struct Number(i64);

impl Fill for Number {
    #[inline(always)]
    fn fill<'w>(self, window: Window<'w>) -> Option<Window<'w>> {
        window.int(self.0)
    }
}

/// Where a value stands.
#[derive(Clone, Copy)]
struct Place {
    /// In so many containers.
    depth: u32,
    in_list: bool,
}

impl Place {
    const TOP: Place = Place {
        depth: 0,
        in_list: false,
    };

    /// Of what a container holds that stands here.
    fn inside(self) -> Place {
        Place {
            depth: self.depth + 1,
            in_list: false,
        }
    }

    /// Of an element of a list that stands here.
    fn inside_list(self) -> Place {
        Place {
            depth: self.depth + 1,
            in_list: true,
        }
    }
}

struct Delta<'d, T> {
    terms: T,
    out: &'d mut Vec<u8>,
    /// No value is begun from this length of `out` on.
    end: usize,
    budget: Budget,
    redaction: &'d Redaction,
    /// Words that may still be looked at, and how many might be at first.
    steps: u32,
    most_steps: u32,
    is_whole: bool,
}

impl<'d, 't, T: Terms<'t>> Delta<'d, T> {
    fn new(terms: T, (rules, steps): (&'d Rules, u32), out: &'d mut Vec<u8>) -> Self {
        Delta {
            terms,
            end: out.len() + rules.budget.bytes.max(2 * LEAST_ROOM) - LEAST_ROOM,
            out,
            budget: rules.budget,
            redaction: &rules.redaction,
            steps,
            most_steps: steps,
            is_whole: true,
        }
    }

    fn written(&self, differs: bool) -> Written {
        Written {
            is_same: !differs,
            is_whole: self.is_whole,
            steps: self.most_steps - self.steps,
        }
    }

    /// Takes account of words that are looked at.
    #[inline]
    fn step(&mut self, words: u32) -> Result<(), Stop> {
        self.steps = self.steps.checked_sub(words).ok_or(Stop::TooMuch)?;
        Ok(())
    }

    #[inline]
    fn byte(&mut self, byte: u8) {
        self.out.push(byte);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }

    /// Writes what `write` writes, unless that is nothing but how it begins: then nothing, and false.
    #[inline]
    fn part(&mut self, write: impl FnOnce(&mut Self) -> Result<bool, Stop>) -> Result<bool, Stop> {
        let before = self.out.len();
        let differs = write(self)?;
        if !differs {
            self.out.truncate(before);
        }
        Ok(differs)
    }

    /// How the old value became the new one; false, and nothing is written, if they are the same.
    fn value(&mut self, old: Word, new: Word, place: Place) -> Result<bool, Stop> {
        if old == new {
            return Ok(false);
        }
        self.step(1)?;
        let (before, after) = (self.terms.shape(old), self.terms.shape(new));
        if place.depth < self.budget.depth.min(MOST_NESTED) {
            match (before, after) {
                (Shape::Tuple(before), Shape::Tuple(after)) if before.len() == after.len() => {
                    return self.tuple(before, after, (old, new), place);
                }
                (Shape::FlatMap(old_keys, old_values), Shape::FlatMap(keys, values)) => {
                    return self.flat_maps((old_keys, old_values), (keys, values), place);
                }
                (Shape::Map, Shape::Map) => return self.maps(old, new, place),
                (Shape::Map, Shape::FlatMap(..)) | (Shape::FlatMap(..), Shape::Map) => {
                    return self.map_across(old, new, place);
                }
                (Shape::Cons(..), Shape::Cons(..)) => return self.lists(old, new, place),
                _ => {}
            }
        }
        if self.is_same_shape(old, before, new, after) {
            return Ok(false);
        }
        let proof = self.proof(old, before)?;
        if let (Shape::Binary(before), Shape::Binary(after)) = (before, after)
            && self.grow(proof, before, after)
        {
            return Ok(true);
        }
        self.replace_proved(proof, new, place)
    }

    /// The value takes the place of an old one.
    fn replace_old(&mut self, old: Word, value: Word, place: Place) -> Result<bool, Stop> {
        let proof = self.proof(old, self.terms.shape(old))?;
        self.replace_proved(proof, value, place)
    }

    fn replace_proved(&mut self, proof: u16, value: Word, place: Place) -> Result<bool, Stop> {
        self.proved(format::REPLACE, format::PROVED_REPLACE, None, proof);
        self.encode(value, place)?;
        Ok(true)
    }

    /// One of two tags, the second with a proof.
    #[inline]
    fn proved(&mut self, tag: u8, proved: u8, count: Option<u32>, proof: u16) {
        let is_proved = proof != Proof::NONE;
        self.byte(if is_proved { proved } else { tag });
        if let Some(count) = count {
            self.varint(u64::from(count));
        }
        if is_proved {
            self.out.extend_from_slice(&proof.to_le_bytes());
        }
    }

    /// The value stands where none did.
    fn replace(&mut self, value: Word, place: Place) -> Result<bool, Stop> {
        self.byte(format::REPLACE);
        self.encode(value, place)?;
        Ok(true)
    }

    fn replace_masked(&mut self) {
        self.out.extend([format::REPLACE, value_format::REDACTED]);
    }

    /// Writes a value as it would stand in the whole.
    fn encode(&mut self, value: Word, place: Place) -> Result<(), Stop> {
        let left = self.end.checked_sub(self.out.len());
        let budget = Budget {
            bytes: left.filter(|left| *left > 0).ok_or(Stop::TooMuch)? + LEAST_ROOM,
            depth: self.budget.depth.saturating_sub(place.depth),
            length: self.budget.length,
        };
        // What changes is a number mostly.
        if let Shape::Int(number) = self.terms.shape(value)
            && self.out.in_window(Window::LEAST, Number(number))
        {
            return Ok(());
        }
        let mut sink = Watched::new(&mut *self.out);
        encode_part(
            self.terms,
            value,
            budget,
            self.redaction,
            place.in_list,
            &mut sink,
        )
        .map_err(|_| Stop::TooMuch)?;
        self.is_whole &= sink.is_whole();
        Ok(())
    }

    fn tuple(
        &mut self,
        old: &[Word],
        new: &[Word],
        (old_term, term): (Word, Word),
        place: Place,
    ) -> Result<bool, Stop> {
        if let ([old_key, before], [key, after]) = (old, new)
            && pair_counts(self.redaction, place.in_list)
        {
            let hides = |key| masks_under(self.terms, self.redaction, key);
            let (was_hidden, is_hidden) = (hides(*old_key), hides(*key));
            if was_hidden || is_hidden {
                // Where the key is another one nothing is known of what it hides, or hid.
                if !self.is_same(*old_key, *key) {
                    return self.replace_old(old_term, term, place);
                }
                if self.is_same(*before, *after) {
                    return Ok(false);
                }
                self.out.extend([format::TUPLE, 2]);
                self.replace_masked();
                self.byte(format::TUPLE_END);
                return Ok(true);
            }
        }
        self.elements(old, new, place.inside())
    }

    /// Elements of a tuple, each in this place.
    fn elements(&mut self, old: &[Word], new: &[Word], place: Place) -> Result<bool, Stop> {
        self.step(new.len() as u32)?;
        self.part(|this| {
            this.byte(format::TUPLE);
            let mut next = 0;
            for (at, (old, new)) in old.iter().zip(new).enumerate() {
                if old == new {
                    continue;
                }
                let differs = this.part(|this| {
                    this.varint((at + 1 - next) as u64);
                    this.value(*old, *new, place)
                })?;
                if differs {
                    next = at + 1;
                }
            }
            this.byte(format::TUPLE_END);
            Ok(next > 0)
        })
    }
}
