//! Which keys have values that must not be seen.

use elixir_scope_engine::event::AtomId;
use rustler::{Atom, Term};
use smallvec::SmallVec;

use crate::fields::list;

use super::{immediate_atom, note_atom, word_of};

/// The longest key that is looked at, in bytes. No name that is configured may be longer.
pub const LONGEST_KEY: usize = 64;

/// A power of two. Atoms are numbered from 0 on, and few systems have more than some ten thousand: with a bit for each of 65,536
/// hardly any other name is taken for one of the keys.
const BLOOM_WORDS: usize = 1_024;

/// A set of keys, and whether the values under them are masked or the only ones shown.
///
/// Keys are names: atoms, strings, and charlists. Strings are compared without regard to case, with `-` as `_`, and also
/// without either: `access_token` is `Access-Token` and `accessToken`. Atoms are compared with the usual spellings. Other keys, numbers for instance, are never masked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Redaction {
    mode: Mode,
    /// One bit for each atom by its number: one whose bit is clear is not masked, which is all that most atoms cost.
    suspects: [u64; BLOOM_WORDS],
    /// In order.
    atoms: Vec<u32>,
    /// One bit for each length of a name.
    lengths: u64,
    /// In order.
    names: Vec<Box<[u8]>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    Off,
    Deny,
    Only,
}

impl Redaction {
    /// Masks nothing.
    #[must_use]
    pub const fn off() -> Self {
        Redaction {
            mode: Mode::Off,
            suspects: [0; BLOOM_WORDS],
            atoms: Vec::new(),
            lengths: 0,
            names: Vec::new(),
        }
    }

    /// Masks the values under `keys`. `intern` makes an atom of a text; it is asked for each key and its usual spellings.
    pub fn deny<'k>(
        keys: impl IntoIterator<Item = &'k str>,
        intern: impl FnMut(&str) -> AtomId,
    ) -> Self {
        Self::new(Mode::Deny, keys, intern)
    }

    /// Masks every value under a name that is not among `keys`.
    pub fn only<'k>(
        keys: impl IntoIterator<Item = &'k str>,
        intern: impl FnMut(&str) -> AtomId,
    ) -> Self {
        let always = ["__struct__", "__exception__"];
        Self::new(Mode::Only, keys.into_iter().chain(always), intern)
    }

    /// From a term: `false`, a list of keys to mask, `{:mask, keys}` or `{:only, keys}`. A key is an atom, a binary, or a pair
    /// of both. `None` for anything else.
    #[must_use]
    pub fn from_term(term: Term<'_>) -> Option<Self> {
        if matches!(term.decode::<bool>(), Ok(false)) {
            return Some(Self::off());
        }
        let (mode, keys) = match term.decode::<(Term<'_>, Term<'_>)>() {
            Ok((mode, keys)) => (mode.atom_to_string().ok()?, keys),
            Err(_) => ("mask".to_owned(), term),
        };
        let text = |key: Term<'_>| {
            key.decode::<String>()
                .or_else(|_| key.atom_to_string())
                .ok()
        };
        let mut names = Vec::new();
        for key in list(keys)? {
            match key.decode::<(Term<'_>, Term<'_>)>() {
                Ok((atom, name)) => names.extend([text(atom)?, text(name)?]),
                Err(_) => names.push(text(key)?),
            }
        }
        let names = names.iter().map(String::as_str);
        let intern = |name: &str| {
            let atom = Atom::from_str(term.get_env(), name).ok();
            atom.and_then(|atom| immediate_atom(word_of(atom.as_c_arg())))
                .unwrap_or_default()
        };
        match mode.as_str() {
            "mask" => Some(Self::deny(names, intern)),
            "only" => Some(Self::only(names, intern)),
            _ => None,
        }
    }

    fn new<'k>(
        mode: Mode,
        keys: impl IntoIterator<Item = &'k str>,
        mut intern: impl FnMut(&str) -> AtomId,
    ) -> Self {
        let mut redaction = Redaction {
            mode,
            ..Self::off()
        };
        for key in keys {
            if mode == Mode::Deny && key == "__struct__" {
                continue;
            }
            for spelling in spellings(key) {
                let atom = intern(&spelling);
                note_atom(atom);
                redaction.atoms.push(atom.0);
                let (word, bit) = bloom_place(atom);
                if let Some(word) = redaction.suspects.get_mut(word) {
                    *word |= bit;
                }
            }
            // `apiKey` is `apikey` once it is in lower case.
            let joined = key.bytes().filter(|byte| !matches!(byte, b'_' | b'-'));
            for name in [normal(key.bytes()), normal(joined)].into_iter().flatten() {
                redaction.lengths |= length_bit(name.len());
                redaction.names.push(name.into_vec().into_boxed_slice());
            }
        }
        if mode == Mode::Only {
            redaction.suspects = [u64::MAX; BLOOM_WORDS];
        }
        redaction.atoms.sort_unstable();
        redaction.names.sort_unstable();
        redaction.names.dedup();
        redaction
    }

    /// Whether anything can be masked.
    #[inline]
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.mode != Mode::Off
    }

    /// Whether only the values under given keys are shown.
    #[inline]
    #[must_use]
    pub fn shows_only(&self) -> bool {
        self.mode == Mode::Only
    }

    /// Whether the value under this key is masked.
    #[inline(always)]
    #[must_use]
    pub fn masks_atom(&self, atom: AtomId) -> bool {
        let (word, bit) = bloom_place(atom);
        let is_suspect = self.suspects.get(word).is_some_and(|word| word & bit != 0);
        is_suspect && self.masks_suspect(atom)
    }

    #[cold]
    #[inline(never)]
    fn masks_suspect(&self, atom: AtomId) -> bool {
        self.atoms.binary_search(&atom.0).is_ok() == (self.mode == Mode::Deny)
    }

    /// Whether the value under this key is masked.
    #[inline(always)]
    #[must_use]
    pub fn masks_text(&self, text: &[u8]) -> bool {
        if self.mode == Mode::Off {
            return false;
        }
        self.holds_text(text) == (self.mode == Mode::Deny)
    }

    fn holds_name(&self, name: &[u8]) -> bool {
        self.names
            .binary_search_by(|held| held.as_ref().cmp(name))
            .is_ok()
    }

    #[inline(always)]
    fn holds_text(&self, text: &[u8]) -> bool {
        text.len() <= LONGEST_KEY
            && self.lengths & length_bit(text.len()) != 0
            && self.holds_spelling(text)
    }

    #[inline(never)]
    fn holds_spelling(&self, text: &[u8]) -> bool {
        normal(text.iter().copied()).is_some_and(|name| self.holds_name(&name))
    }
}

#[inline(always)]
fn bloom_place(atom: AtomId) -> (usize, u64) {
    (atom.0 as usize >> 6 & (BLOOM_WORDS - 1), 1 << (atom.0 & 63))
}

#[inline(always)]
fn length_bit(length: usize) -> u64 {
    1 << (length & 63)
}

/// Lower case, `-` as `_`; `None` of a text that is too long to be a key.
fn normal(text: impl Iterator<Item = u8>) -> Option<SmallVec<[u8; LONGEST_KEY]>> {
    let mut name = SmallVec::new();
    for byte in text {
        if name.len() == LONGEST_KEY {
            return None;
        }
        name.push(if byte == b'-' {
            b'_'
        } else {
            byte.to_ascii_lowercase()
        });
    }
    Some(name)
}

/// A key as given, and as atoms of headers, constants and other languages are spelled: `api_key`, `api-key`, `Api-Key`,
/// `API_KEY`, `API-KEY`, `Api_Key`, `apiKey`, `ApiKey`, `apikey`.
fn spellings(key: &str) -> [String; 10] {
    let lower = key.to_ascii_lowercase().replace('-', "_");
    let dashed = lower.replace('_', "-");
    let mut start = true;
    let title: String = dashed
        .chars()
        .map(|c| {
            let c = if start { c.to_ascii_uppercase() } else { c };
            start = c == '-';
            c
        })
        .collect();
    let pascal = title.replace('-', "");
    let joined = pascal.to_ascii_lowercase();
    let mut camel = pascal.clone();
    if let Some(first) = camel.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    [
        key.to_owned(),
        lower.to_ascii_uppercase(),
        dashed.to_ascii_uppercase(),
        title.replace('-', "_"),
        lower,
        dashed,
        title,
        pascal,
        camel,
        joined,
    ]
}
