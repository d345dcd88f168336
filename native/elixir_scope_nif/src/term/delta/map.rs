//! Maps, of all shapes.

use elixir_scope_engine::value::delta_format as format;
use elixir_scope_engine::value::{Proof, Reader, Token};

use super::{Delta, Place, Stop};
use crate::term::encode::masks_under;
use crate::term::{MapPairs, SeeChanges, Shape, Terms, Word};

/// A map that has more keys than twice the most of a flat one, and becomes a flat one, or the other way, is replaced whole.
const NEARLY_FLAT: usize = 64;
/// What an entry costs that is looked up through the NIF interface, in steps.
const LOOKUP_STEPS: u32 = 16;

impl<'t, T: Terms<'t>> Delta<'_, T> {
    /// A map's delta, whose entries `write` writes; nothing, if it writes none.
    fn entries(&mut self, write: impl FnOnce(&mut Self) -> Result<(), Stop>) -> Result<bool, Stop> {
        let before = self.out.len();
        self.byte(format::MAP);
        match write(self) {
            Ok(()) if self.out.len() == before + 1 => {
                self.out.truncate(before);
                Ok(false)
            }
            Ok(()) => {
                self.byte(format::MAP_END);
                Ok(true)
            }
            Err(Stop::Hidden) => {
                self.out.truncate(before);
                self.byte(format::UNKNOWN);
                self.is_whole = false;
                Ok(true)
            }
            Err(Stop::TooMuch) => Err(Stop::TooMuch),
        }
    }

    /// Keys and values of two flat maps.
    pub(super) fn flat_maps(
        &mut self,
        (old_keys, old): (&[Word], &[Word]),
        (keys, new): (&[Word], &[Word]),
        place: Place,
    ) -> Result<bool, Stop> {
        self.step(new.len() as u32)?;
        self.entries(|this| {
            if old_keys == keys {
                for ((key, old), new) in keys.iter().zip(old).zip(new) {
                    this.entry(*key, *old, *new, place)?;
                }
                return Ok(());
            }
            // The keys of both stand in the same order, whichever that is on this VM.
            let mut pairs = keys.iter().zip(new);
            for (old_key, old) in old_keys.iter().zip(old) {
                this.step(keys.len() as u32)?;
                let found = pairs
                    .clone()
                    .position(|(key, _)| this.same_key(*old_key, *key));
                let Some(found) = found else {
                    this.removed(*old_key, *old, place)?;
                    continue;
                };
                for (key, value) in pairs.by_ref().take(found) {
                    this.added(*key, *value, place)?;
                }
                if let Some((key, new)) = pairs.next() {
                    this.entry(*key, *old, *new, place)?;
                }
            }
            for (key, value) in pairs {
                this.added(*key, *value, place)?;
            }
            Ok(())
        })
    }

    /// Two maps that are no flat ones.
    pub(super) fn maps(&mut self, old: Word, new: Word, place: Place) -> Result<bool, Stop> {
        let before = self.out.len();
        let mut walked = true;
        let differs = self.entries(|this| {
            let terms = this.terms;
            let mut entries = Entries { delta: this, place };
            walked = terms.changes(old, new, &mut entries)?;
            Ok(())
        })?;
        if walked {
            return Ok(differs);
        }
        self.out.truncate(before);
        self.map_by_lookup(old, new, place)
    }

    /// A flat map and one that is none.
    pub(super) fn map_across(&mut self, old: Word, new: Word, place: Place) -> Result<bool, Stop> {
        let largest = self.terms.map_size(old).max(self.terms.map_size(new));
        if largest > NEARLY_FLAT {
            return self.replace_old(old, new, place);
        }
        self.map_by_lookup(old, new, place)
    }

    /// Two maps through the NIF interface.
    fn map_by_lookup(&mut self, old: Word, new: Word, place: Place) -> Result<bool, Stop> {
        let terms = self.terms;
        let sizes = (terms.map_size(old), terms.map_size(new));
        let steps = (sizes.0 + sizes.1).saturating_mul(LOOKUP_STEPS as usize);
        self.step(u32::try_from(steps).unwrap_or(u32::MAX))?;
        self.entries(|this| {
            let mut added = 0;
            let mut pairs = terms.map(new);
            while let Some((key, value)) = pairs.as_mut().and_then(MapPairs::next_pair) {
                match terms.value_under(old, key) {
                    Some(old) => this.entry(key, old, value, place)?,
                    None => {
                        added += 1;
                        this.added(key, value, place)?;
                    }
                }
            }
            if sizes.0 + added == sizes.1 {
                return Ok(());
            }
            let mut pairs = terms.map(old);
            while let Some((key, value)) = pairs.as_mut().and_then(MapPairs::next_pair) {
                if terms.value_under(new, key).is_none() {
                    this.removed(key, value, place)?;
                }
            }
            Ok(())
        })
    }

    /// What became of the value under a key.
    #[inline]
    fn entry(&mut self, key: Word, old: Word, new: Word, place: Place) -> Result<(), Stop> {
        if old == new {
            return Ok(());
        }
        self.part(|this| {
            this.key(key, place)?;
            if masks_under(this.terms, this.redaction, key) {
                if this.is_same(old, new) {
                    return Ok(false);
                }
                this.replace_masked();
                return Ok(true);
            }
            this.value(old, new, place.inside())
        })?;
        Ok(())
    }

    fn added(&mut self, key: Word, value: Word, place: Place) -> Result<(), Stop> {
        self.key(key, place)?;
        if masks_under(self.terms, self.redaction, key) {
            self.replace_masked();
        } else {
            self.replace(value, place.inside())?;
        }
        Ok(())
    }

    fn removed(&mut self, key: Word, old: Word, place: Place) -> Result<(), Stop> {
        self.key(key, place)?;
        let proof = match masks_under(self.terms, self.redaction, key) {
            true => Proof::NONE,
            false => self.proof(old, self.terms.shape(old))?,
        };
        self.proved(format::REMOVED, format::PROVED_REMOVED, None, proof);
        Ok(())
    }

    /// Writes the key of an entry. One that is not all to be seen could be any of several.
    fn key(&mut self, key: Word, place: Place) -> Result<(), Stop> {
        let before = self.out.len();
        let was_whole = std::mem::replace(&mut self.is_whole, true);
        self.encode(key, place.inside())?;
        let is_whole = std::mem::replace(&mut self.is_whole, was_whole);
        if !is_whole {
            return Err(Stop::Hidden);
        }
        match self.terms.shape(key) {
            Shape::Tuple(_) | Shape::Cons(..) | Shape::FlatMap(..) | Shape::Map | Shape::Fun
                if self.redaction.is_on() =>
            {
                let written = self.out.get(before..).unwrap_or_default();
                match hides(written) {
                    true => Err(Stop::Hidden),
                    false => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    #[inline]
    fn same_key(&mut self, one: Word, other: Word) -> bool {
        one == other || self.is_same(one, other)
    }
}

/// Whether a part of the value is masked.
fn hides(value: &[u8]) -> bool {
    let mut reader = Reader::new(value);
    while !reader.rest().is_empty() {
        match reader.token() {
            Ok(Token::Redacted) | Err(_) => return true,
            Ok(_) => {}
        }
    }
    false
}

/// The entries of a map's delta, as they are told.
struct Entries<'m, 'd, T> {
    delta: &'m mut Delta<'d, T>,
    place: Place,
}

impl<'t, T: Terms<'t>> SeeChanges for Entries<'_, '_, T> {
    type Stop = Stop;

    fn step(&mut self, words: u32) -> Result<(), Stop> {
        self.delta.step(words)
    }

    fn same_key(&mut self, one: Word, other: Word) -> bool {
        self.delta.same_key(one, other)
    }

    fn changed(&mut self, key: Word, old: Word, new: Word) -> Result<(), Stop> {
        self.delta.entry(key, old, new, self.place)
    }

    fn added(&mut self, key: Word, value: Word) -> Result<(), Stop> {
        self.delta.added(key, value, self.place)
    }

    fn removed(&mut self, key: Word, old: Word) -> Result<(), Stop> {
        self.delta.removed(key, old, self.place)
    }
}
