//! Terms of the host, to encoded values and back.
//!
//! The encoder sees a term only through [`Terms`], which tells the [`Shape`] of one word at a time. Two ways implement it:
//! `nif`, through the NIF interface, works on any VM and is the fallback; `raw` reads the words themselves, where the VM
//! at hand passed its test.

use std::sync::atomic::{AtomicU32, Ordering};

use elixir_scope_engine::event::AtomId;
use rustler::sys::ErlNifTerm;
use rustler::{Atom, Env, OwnedEnv, Term};
use smallvec::SmallVec;

pub mod decode;
pub mod delta;
pub mod encode;
mod external;
pub mod fingerprint;
mod frames;
pub mod nif;
pub mod raw;
pub mod redact;

/// A term's word: an immediate, or a tagged pointer. Good for the NIF call that it came in, and no longer.
pub type Word = usize;

/// The word of a term.
#[inline(always)]
#[must_use]
pub fn word(term: Term<'_>) -> Word {
    word_of(term.as_c_arg())
}

/// The word inside of rustler's newtype.
#[inline(always)]
#[must_use]
#[allow(unsafe_code, reason = "the field of the newtype is private")]
pub fn word_of(term: ErlNifTerm) -> Word {
    // SAFETY: `ErlNifTerm` is a transparent newtype of `usize`.
    unsafe { std::mem::transmute::<ErlNifTerm, usize>(term) }
}

/// rustler's newtype around a word that came from [`word`], or that is a valid immediate.
#[inline(always)]
#[must_use]
#[allow(unsafe_code, reason = "the field of the newtype is private")]
pub fn nif_term(word: Word) -> ErlNifTerm {
    // SAFETY: `ErlNifTerm` is a transparent newtype of `usize`.
    unsafe { std::mem::transmute::<usize, ErlNifTerm>(word) }
}

/// The atom of an immediate word; `None` if it is none.
#[inline(always)]
#[must_use]
pub fn immediate_atom(word: Word) -> Option<AtomId> {
    // `_TAG_IMMED2_ATOM` in `erl_term.h`; checked when the library loads
    if word & 0x3f != 0x0b {
        return None;
    }
    u32::try_from(word >> 6).ok().map(AtomId)
}

/// The word of an atom.
#[inline(always)]
#[must_use]
pub fn atom_word(atom: AtomId) -> Word {
    (atom.0 as usize) << 6 | 0x0b
}

/// Whether a word has the tag of a local pid.
#[inline(always)]
#[must_use]
pub fn is_local_pid(word: u64) -> bool {
    word & 0xf == 0x3
}

/// Whether a word has the tag of a local port.
#[inline(always)]
#[must_use]
pub fn is_local_port(word: u64) -> bool {
    word & 0xf == 0x7
}

/// The highest atom that was ever written. Atoms are numbered in the order of their birth and never die, so that every
/// number up to it is an atom, and a number above it never came from the encoder.
static HIGHEST_ATOM: AtomicU32 = AtomicU32::new(0);

/// Takes note that `atom` exists, so that it can be decoded.
#[inline(always)]
pub fn note_atom(atom: AtomId) {
    // Relaxed: whoever decodes a value got it through the ring or the store, which publish it together with this
    if atom.0 > HIGHEST_ATOM.load(Ordering::Relaxed) {
        raise_highest_atom(atom);
    }
}

#[cold]
fn raise_highest_atom(atom: AtomId) {
    // Relaxed: as above
    HIGHEST_ATOM.fetch_max(atom.0, Ordering::Relaxed);
}

/// Whether `atom` is known to exist.
#[inline]
#[must_use]
pub fn atom_exists(atom: AtomId) -> bool {
    // Relaxed: see `note_atom`
    atom.0 <= HIGHEST_ATOM.load(Ordering::Relaxed)
}

/// The atom of a term, noted; `None` if it is none.
#[inline]
#[must_use]
pub fn atom_id(term: Term<'_>) -> Option<AtomId> {
    let atom = immediate_atom(word(term))?;
    note_atom(atom);
    Some(atom)
}

/// The atom of this name, made if need be: for names of ours and of the configuration only.
#[must_use]
pub fn intern(env: Env<'_>, name: &str) -> AtomId {
    let atom = Atom::from_str(env, name).ok();
    atom.and_then(|atom| atom_id(atom.to_term(env)))
        .unwrap_or_default()
}

/// Appends the text of an atom; `false` if there is no such atom.
pub fn atom_text(atom: AtomId, out: &mut String) -> bool {
    if !atom_exists(atom) {
        return false;
    }
    OwnedEnv::new().run(
        |env| match external::atom_text(&external::of_term(env, atom_word(atom))) {
            Some(text) => {
                out.push_str(&text);
                true
            }
            None => false,
        },
    )
}

/// An atom that is known to exist, as a term.
#[must_use]
pub fn atom_term(env: Env<'_>, atom: AtomId) -> Term<'_> {
    // Atoms are immediates and never die.
    term(env, atom_word(atom))
}

/// A word of this environment as a term.
#[inline(always)]
#[must_use]
#[allow(unsafe_code, reason = "makes a term of a word")]
pub fn term(env: Env<'_>, word: Word) -> Term<'_> {
    // SAFETY: as for [`Terms`], the caller got the word from a term of this environment, or it is an immediate.
    unsafe { Term::new(env, nif_term(word)) }
}

/// What a term is, by whichever way it can be read.
#[inline]
#[must_use]
pub fn shape(env: Env<'_>, term: Word) -> Shape<'_> {
    match raw::RawTerms::new(env) {
        Some(raw) => raw.shape(term),
        None => nif::NifTerms::new(env).shape(term),
    }
}

/// The elements of a tuple.
#[inline(always)]
#[must_use]
pub fn elements(env: Env<'_>, term: Word) -> Option<&[Word]> {
    match raw::RawTerms::new(env) {
        Some(raw) => raw.tuple(term),
        None => match nif::NifTerms::new(env).shape(term) {
            Shape::Tuple(elements) => Some(elements),
            _ => None,
        },
    }
}

/// Head and tail of a list cell.
#[inline(always)]
fn cell(env: Env<'_>, term: Word) -> Option<(Word, Word)> {
    match raw::RawTerms::new(env) {
        Some(raw) => raw.cell(term),
        None => nif::NifTerms::new(env).cell(term),
    }
}

/// The elements of a list, up to what is no list cell.
#[inline(always)]
pub fn cells(env: Env<'_>, list: Word) -> impl Iterator<Item = Word> {
    let mut rest = list;
    std::iter::from_fn(move || {
        let (head, tail) = cell(env, rest)?;
        rest = tail;
        Some(head)
    })
}

/// How many elements a list has, up to what is no list cell.
#[inline(always)]
#[must_use]
pub fn length(env: Env<'_>, list: Word) -> u32 {
    let (mut rest, mut length) = (list, 0);
    while let Some((_, tail)) = cell(env, rest) {
        (rest, length) = (tail, length + 1);
    }
    length
}

/// The elements of a list of so many.
#[must_use]
pub fn cells_of<const N: usize>(env: Env<'_>, list: Word) -> Option<[Word; N]> {
    let mut cells = cells(env, list);
    let mut found = [0; N];
    for place in &mut found {
        *place = cells.next()?;
    }
    cells.next().is_none().then_some(found)
}

/// The value under an atom in a map of few keys.
#[inline(always)]
#[must_use]
pub fn value_under(env: Env<'_>, map: Word, key: Word) -> Option<Word> {
    match raw::RawTerms::new(env) {
        Some(raw) => raw.value_of(map, key),
        None => nif::NifTerms::new(env).value_under(map, key),
    }
}

/// A map of these keys and values.
#[must_use]
pub fn map<'e>(env: Env<'e>, keys: &[Word], values: &[Word]) -> Option<Term<'e>> {
    let map = decode::make_map(env, keys, values).ok()?;
    Some(term(env, map))
}

/// What a term is, one level deep.
///
/// Slices point into the term itself and live as long as the NIF call (`'t`).
#[derive(Clone, Copy, Debug)]
pub enum Shape<'t> {
    /// An integer that fits 64 bits. An implementation may give any integer as [`Shape::Big`] as well.
    Int(i64),
    /// A larger integer: negative or not, and its magnitude in little-endian bytes (zeros at the end are fine).
    Big(bool, &'t [u8]),
    /// A float, by its bits.
    Float(f64),
    /// An atom.
    Atom(AtomId),
    /// A binary that starts at a byte. It is read at once and not kept.
    Binary(&'t [u8]),
    /// A bit string, or a binary that does not start at a byte.
    Bits(Bits<'t>),
    /// The empty list.
    Nil,
    /// A list cell: head and tail.
    Cons(Word, Word),
    /// A tuple.
    Tuple(&'t [Word]),
    /// A map whose keys and values stand in two arrays of the same length.
    FlatMap(&'t [Word], &'t [Word]),
    /// Any other map; ask [`Terms::map`] for its pairs.
    Map,
    /// A local process: its immediate word.
    Pid(u64),
    /// A local port: its immediate word.
    Port(u64),
    /// A local reference.
    Ref(RefNumbers),
    /// A local fun; ask [`Terms::fun`] for its parts.
    Fun,
    /// An external fun: module, function, arity.
    Export(AtomId, AtomId, u32),
    /// Something rare, or something that this implementation cannot look into; ask [`Terms::rare`].
    Rare,
}

/// A bit string in place: `bits` bits of `bytes`, of which the first `offset` (0 to 7, from the high end) do not count.
#[derive(Clone, Copy, Debug)]
pub struct Bits<'t> {
    /// Every byte that holds one of the bits.
    pub bytes: &'t [u8],
    /// How many bits at the high end of the first byte stand before the string.
    pub offset: u8,
    /// How many bits it has.
    pub bits: u64,
}

impl Bits<'_> {
    /// Its first `most` bytes, shifted to start at a byte; the bits after its end are zero.
    #[must_use]
    pub fn shifted(self, most: u64) -> SmallVec<[u8; 128]> {
        let bytes = self.bits.div_ceil(8);
        let offset = u32::from(self.offset);
        let mut out = SmallVec::new();
        for at in 0..usize::try_from(bytes.min(most)).unwrap_or(0) {
            let high = u16::from(self.bytes.get(at).copied().unwrap_or_default());
            let low = u16::from(self.bytes.get(at + 1).copied().unwrap_or_default());
            out.push(((high << 8 | low) << offset >> 8) as u8);
        }
        if let Some(last) = out.last_mut()
            && most >= bytes
            && !self.bits.is_multiple_of(8)
        {
            *last &= 0xff << (8 - self.bits % 8);
        }
        out
    }
}

/// The number words of a local reference, in the order of the external term format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RefNumbers {
    /// The words; those from `count` on are zero.
    pub words: [u32; 5],
    /// How many there are.
    pub count: u8,
}

impl RefNumbers {
    /// The words that count.
    #[inline]
    #[must_use]
    pub fn words(&self) -> &[u32] {
        self.words
            .get(..usize::from(self.count))
            .unwrap_or(&self.words)
    }
}

/// The parts of a local fun, as the external term format (`NEW_FUN_EXT`) has them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fun<'t> {
    /// The module that made it.
    pub module: AtomId,
    /// How many arguments it takes.
    pub arity: u8,
    /// Its index in the module.
    pub index: u32,
    /// The digest of the module's code.
    pub uniq: [u8; 16],
    /// Its index in the module as older formats count it.
    pub old_index: u32,
    /// The hash of its code.
    pub old_uniq: u32,
    /// The process that made it, where the VM still knows.
    pub creator: Option<Word>,
    /// The values that it closes over.
    pub env: &'t [Word],
}

/// Rare things, with buffers of their own.
#[derive(Debug)]
pub enum Rare {
    /// An integer beyond 64 bits: negative or not, and its magnitude in little-endian bytes.
    Big(bool, Vec<u8>),
    /// A bit string of so many bits, the last byte padded with zeros at its low end.
    Bits(Vec<u8>, u64),
    /// A local reference.
    Ref(RefNumbers),
    /// An external fun: module, function, arity.
    Export(AtomId, AtomId, u32),
    /// A term in the external format, its version byte included.
    Foreign(Vec<u8>),
    /// A fun whose environment cannot be seen: the text of its identity.
    FunText(Vec<u8>),
}

/// The pairs of a map. What it counts is what it gives: `len` pairs, then `None`.
pub trait MapPairs {
    /// How many pairs the map has in all.
    fn len(&self) -> usize;
    /// The next key and value.
    fn next_pair(&mut self) -> Option<(Word, Word)>;
}

/// What is done about a term of each shape; see [`Terms::look`].
pub trait See<'t> {
    /// What comes out.
    type Out;

    /// Sees what the term is.
    fn see(self, shape: Shape<'t>) -> Self::Out;
}

/// Is told how one map became another; see [`Terms::changes`].
pub trait SeeChanges {
    /// Why it wants to hear no more.
    type Stop;

    /// So many words were looked at.
    fn step(&mut self, words: u32) -> Result<(), Self::Stop>;

    /// Whether two keys are the same, as far as that is told at once. Of two that are and were not told, one is removed before
    /// the other one is added.
    fn same_key(&mut self, one: Word, other: Word) -> bool;

    /// The value under a key has another word.
    fn changed(&mut self, key: Word, old: Word, new: Word) -> Result<(), Self::Stop>;

    /// A key was added.
    fn added(&mut self, key: Word, value: Word) -> Result<(), Self::Stop>;

    /// A key was removed.
    fn removed(&mut self, key: Word, old: Word) -> Result<(), Self::Stop>;
}

/// Looks into terms, for the length of one NIF call (`'t`). An implementation is a small copyable handle.
///
/// Every `Word` given to it must be a term of this call's environment: the caller got it from [`word`] or out of a [`Shape`].
pub trait Terms<'t>: Copy {
    /// Walks a [`Shape::Map`].
    type Map: MapPairs;

    /// What `term` is.
    fn shape(self, term: Word) -> Shape<'t>;

    /// Shows `term` to `see`. An implementation may do so in a place of its own for each shape, where the compiler keeps
    /// of [`See::see`] only what is done about that one: then no shape is ever made and told apart again.
    #[inline(always)]
    fn look<S: See<'t>>(self, term: Word, see: S) -> S::Out {
        see.see(self.shape(term))
    }

    /// Head and tail of a [`Shape::Cons`]; `None` of anything else.
    #[inline(always)]
    fn cell(self, term: Word) -> Option<(Word, Word)> {
        match self.shape(term) {
            Shape::Cons(head, tail) => Some((head, tail)),
            _ => None,
        }
    }

    /// The pairs of a [`Shape::Map`]; `None` of anything else. On the NIF interface this can allocate.
    fn map(self, term: Word) -> Option<Self::Map>;

    /// How many pairs a map of any shape has; 0 of anything else.
    fn map_size(self, term: Word) -> usize;

    /// The value under a key of a map of any shape.
    fn value_under(self, map: Word, key: Word) -> Option<Word>;

    /// Tells what changed from one [`Shape::Map`] to another, in time proportional to the change. `Ok(false)` where that
    /// cannot be, or not to its end: what was told is to be forgotten then.
    ///
    /// # Errors
    /// What `see` stops for.
    fn changes<S: SeeChanges>(self, _old: Word, _new: Word, _see: &mut S) -> Result<bool, S::Stop> {
        Ok(false)
    }

    /// The parts of a [`Shape::Fun`]; `None` of anything else.
    fn fun(self, term: Word) -> Option<Fun<'t>>;

    /// The numbers of a [`Shape::Ref`] where they stand, in little-endian bytes, if that is how they stand there.
    #[inline(always)]
    fn reference(self, _term: Word) -> Option<&'t [u8]> {
        None
    }

    /// What a [`Shape::Rare`] is.
    fn rare(self, term: Word) -> Rare;
}
