//! The keys of a map that is open, and where in it they stand.

use std::collections::HashMap;

use super::super::format;
use super::super::order::equal;
use super::super::reader::{Malformed, Reader, Token};

/// Keys in the order of their pairs.
#[derive(Debug, Default)]
pub(super) struct Keys<'a> {
    keys: Vec<&'a [u8]>,
    /// A word of each key, which tells most apart.
    words: Vec<u64>,
    /// Where the keys stand of which an equal one may have other bytes.
    odd: Vec<u32>,
    /// By its bytes, where each key stands; once there are many.
    index: Option<HashMap<&'a [u8], u32, ahash::RandomState>>,
    /// The place that was found last: most often it is looked for again.
    last: usize,
}

/// As many keys are looked through one by one.
const FEW: usize = 16;

impl<'a> Keys<'a> {
    pub(super) fn with_capacity(keys: usize) -> Self {
        Keys {
            keys: Vec::with_capacity(keys),
            words: Vec::with_capacity(keys),
            ..Keys::default()
        }
    }

    pub(super) fn push(&mut self, key: &'a [u8]) {
        let place = self.keys.len() as u32;
        if !is_plain(key) {
            self.odd.push(place);
        }
        if let Some(index) = &mut self.index {
            index.insert(key, place);
        }
        self.keys.push(key);
        self.words.push(word(key));
    }

    #[inline]
    pub(super) fn get(&self, place: usize) -> Option<&'a [u8]> {
        self.keys.get(place).copied()
    }

    /// Where the key equal to `key` stands.
    #[inline]
    pub(super) fn find(&mut self, key: &[u8]) -> Result<Option<usize>, Malformed> {
        if self.get(self.last) == Some(key) {
            return Ok(Some(self.last));
        }
        let found = match self.find_bytes(key) {
            None if !self.odd.is_empty() && !is_plain(key) => self.find_odd(key)?,
            found => found,
        };
        self.last = found.unwrap_or(self.last);
        Ok(found)
    }

    fn find_bytes(&mut self, key: &[u8]) -> Option<usize> {
        if self.keys.len() <= FEW {
            let wanted = word(key);
            return self
                .words
                .iter()
                .zip(&self.keys)
                .position(|(&word, &other)| word == wanted && (is_short(key) || other == key));
        }
        let index = self.index.get_or_insert_with(|| {
            let places = self.keys.iter().zip(0..);
            places.map(|(&key, place)| (key, place)).collect()
        });
        index.get(key).map(|&place| place as usize)
    }

    fn find_odd(&self, key: &[u8]) -> Result<Option<usize>, Malformed> {
        for &place in &self.odd {
            if let Some(other) = self.get(place as usize)
                && equal(other, key)?
            {
                return Ok(Some(place as usize));
            }
        }
        Ok(None)
    }
}

/// Whether equal keys have the same bytes. The pairs of a map may stand in any order, and a fun does not care who made it.
fn is_plain(key: &[u8]) -> bool {
    if !matches!(
        key.first(),
        Some(&(format::LIST | format::TUPLE | format::MAP | format::FUN))
    ) {
        return true;
    }
    let mut reader = Reader::new(key);
    while !reader.rest().is_empty() {
        if !matches!(reader.token(), Ok(token) if !matches!(token, Token::Map(_) | Token::Fun(_))) {
            return false;
        }
    }
    true
}

/// Whether the word of a key is all of it.
#[inline]
fn is_short(key: &[u8]) -> bool {
    key.len() < 8
}

#[inline]
fn word(key: &[u8]) -> u64 {
    if let (Some(first), Some(last)) = (key.first_chunk::<8>(), key.last_chunk::<8>()) {
        let (first, last) = (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
        return (first ^ last.rotate_left(29) ^ key.len() as u64) | 0xff << 56;
    }
    let few = if let (Some(first), Some(last)) = (key.first_chunk::<4>(), key.last_chunk::<4>()) {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        u64::from(first) | u64::from(last) << ((key.len() - 4) * 8)
    } else {
        key.iter()
            .rev()
            .fold(0, |word, &byte| word << 8 | u64::from(byte))
    };
    few | (key.len() as u64) << 56
}
