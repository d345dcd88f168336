//! Two bytes that tell whether a delta found what it was made for: a hash of the value that a change replaced or removed, the
//! same whether it is made of the value's bytes, of a value with deltas laid over it, or of the host's own term.
//!
//! It is bounded: the value itself and, one level down, [`Proof::PARTS`] elements or pairs at most; of larger tuples and maps
//! it is the size, of a list the first [`Proof::ELEMENTS`]. What one of the sides may not see (masked or left out), or may see
//! in another form (large integers, bit strings, rare terms), makes a proof that fits everything.

use super::super::order::take;
use super::super::reader::{Malformed, Reader, Token};

/// What is seen of a value without looking into it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Glance<'a> {
    /// An integer of 64 bits.
    Int(i64),
    /// A float.
    Float(f64),
    /// An atom, by its number.
    Atom(u32),
    /// A binary.
    Binary(&'a [u8]),
    /// The same of one in pieces: its size, its first eight bytes and its last; where it has less of them, zeros behind those and
    /// before these.
    Pieces(u64, [u8; 8], [u8; 8]),
    /// The empty list.
    Nil,
    /// A list of one element at least.
    List,
    /// A tuple of so many elements.
    Tuple(u64),
    /// A map of so many pairs.
    Map(u64),
    /// A local process.
    Pid(u64),
    /// A local port.
    Port(u64),
    /// A local reference: its number words, mixed by [`Glance::reference`].
    Ref(u64),
    /// A local fun.
    Fun,
    /// An external fun: module, function, arity.
    Export(u32, u32, u32),
    /// It cannot be told.
    Opaque,
}

const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

#[inline]
fn mix(hash: u64, value: u64) -> u64 {
    let mixed = (hash.rotate_left(5) ^ value).wrapping_mul(FACTOR);
    mixed ^ mixed >> 32
}

fn mix_bytes(bytes: &[u8]) -> u64 {
    let hash = mix(5, bytes.len() as u64);
    match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        (Some(front), Some(end)) => mix(
            mix(hash, u64::from_le_bytes(*front)),
            u64::from_le_bytes(*end),
        ),
        _ => bytes
            .iter()
            .fold(hash, |hash, byte| mix(hash, u64::from(*byte))),
    }
}

/// The same.
fn mix_pieces(size: u64, front: [u8; 8], end: [u8; 8]) -> u64 {
    match front.get(..usize::try_from(size).unwrap_or(usize::MAX)) {
        Some(bytes) if size < 8 => mix_bytes(bytes),
        _ => mix(
            mix(mix(5, size), u64::from_le_bytes(front)),
            u64::from_le_bytes(end),
        ),
    }
}

impl Glance<'_> {
    /// A reference by its number words.
    #[inline]
    pub fn reference(words: impl IntoIterator<Item = u32>) -> Self {
        Glance::Ref(
            words
                .into_iter()
                .fold(11, |hash, word| mix(hash, u64::from(word))),
        )
    }

    /// None of what cannot be told.
    #[inline]
    fn hash(self) -> Option<u64> {
        Some(match self {
            Glance::Int(value) => mix(1, value as u64),
            Glance::Float(value) => mix(2, value.to_bits()),
            Glance::Atom(atom) => mix(3, u64::from(atom)),
            Glance::Binary(bytes) => mix_bytes(bytes),
            Glance::Pieces(size, front, end) => mix_pieces(size, front, end),
            Glance::Nil => mix(6, 0),
            Glance::List => mix(7, 0),
            Glance::Tuple(size) => mix(8, size),
            Glance::Map(size) => mix(9, size),
            Glance::Pid(process) => mix(10, process),
            Glance::Port(port) => mix(12, port),
            Glance::Ref(words) => mix(13, words),
            Glance::Fun => mix(14, 0),
            Glance::Export(module, function, arity) => {
                let hash = mix(15, u64::from(module));
                mix(mix(hash, u64::from(function)), u64::from(arity))
            }
            Glance::Opaque => return None,
        })
    }
}

/// A proof that is being made. See the module.
#[derive(Clone, Copy, Debug)]
pub struct Proof {
    /// None where it fits everything.
    hash: Option<u64>,
}

impl Proof {
    /// The proof that fits everything.
    pub const NONE: u16 = 0;
    /// Tuples and maps of so many elements or pairs at most are looked into.
    pub const PARTS: usize = 16;
    /// Of a list, so many elements are looked at.
    pub const ELEMENTS: usize = 4;
    /// Of elements that a list lost, so many are looked at.
    pub const DROPPED: usize = 16;

    /// Of a value whose parts are yet to be told, if they count.
    #[inline]
    #[must_use]
    pub fn new(value: Glance<'_>) -> Self {
        Proof { hash: value.hash() }
    }

    /// Of elements that a list lost.
    #[inline]
    #[must_use]
    pub fn of_dropped() -> Self {
        Proof { hash: Some(16) }
    }

    /// The next element of a tuple or a list; of the latter also its end, within the elements that are looked at.
    #[inline]
    pub fn element(&mut self, element: Glance<'_>) {
        self.hash = match (self.hash, element.hash()) {
            (Some(hash), Some(element)) => Some(mix(hash, element)),
            _ => None,
        };
    }

    /// A pair of a map, in any order.
    #[inline]
    pub fn pair(&mut self, key: Glance<'_>, value: Glance<'_>) {
        self.hash = match (self.hash, key.hash(), value.hash()) {
            (Some(hash), Some(key), Some(value)) => Some(hash.wrapping_add(mix(key, value))),
            _ => None,
        };
    }

    /// The next element that a list lost, by its own proof.
    #[inline]
    pub fn dropped(&mut self, proof: u16) {
        self.hash = match self.hash {
            Some(hash) if proof != Self::NONE => Some(mix(hash, u64::from(proof))),
            _ => None,
        };
    }

    /// It fits everything.
    #[inline]
    pub fn give_up(&mut self) {
        self.hash = None;
    }

    /// The proof as it is written.
    #[inline]
    #[must_use]
    pub fn finish(self) -> u16 {
        match self.hash {
            Some(hash) => ((hash.wrapping_mul(FACTOR) >> 48) as u16).max(1),
            None => Self::NONE,
        }
    }
}

/// What is seen of a value that begins with this token.
fn glance<'a>(token: Token<'a>) -> Glance<'a> {
    match token {
        Token::Int(value) => Glance::Int(value),
        Token::Float(value) => Glance::Float(value),
        Token::Atom(atom) => Glance::Atom(atom.0),
        Token::Binary(bytes) => Glance::Binary(bytes),
        Token::Nil => Glance::Nil,
        Token::List => Glance::List,
        Token::Tuple(size) => Glance::Tuple(u64::from(size)),
        Token::Map(size) => Glance::Map(u64::from(size)),
        Token::Pid(process) => Glance::Pid(process),
        Token::Port(port) => Glance::Port(port),
        Token::Ref(words) => {
            let words = words.as_chunks::<4>().0;
            Glance::reference(words.iter().map(|word| u32::from_le_bytes(*word)))
        }
        Token::Fun(_) => Glance::Fun,
        Token::Export(module, function, arity) => Glance::Export(module.0, function.0, arity),
        _ => Glance::Opaque,
    }
}

/// What is seen of the first value in `bytes`.
pub(super) fn glance_at(bytes: &[u8]) -> Glance<'_> {
    Reader::new(bytes).token().map_or(Glance::Opaque, glance)
}

/// The proof of the first value in `bytes`; one that fits everything of what is no value.
pub(super) fn proof(bytes: &[u8]) -> u16 {
    let mut reader = Reader::new(bytes);
    let Ok(token) = reader.token() else {
        return Proof::NONE;
    };
    let mut proof = Proof::new(glance(token));
    let parts = match token {
        Token::Tuple(size) if size as usize <= Proof::PARTS => {
            elements(&mut reader, size, &mut proof)
        }
        Token::Map(size) if size as usize <= Proof::PARTS => pairs(&mut reader, size, &mut proof),
        Token::List => list(&mut reader, &mut proof),
        _ => Ok(()),
    };
    match parts {
        Ok(()) => proof.finish(),
        Err(_) => Proof::NONE,
    }
}

/// What is seen of the next value, which is passed. Of a mark that a container was cut, nothing; what is behind it does not
/// matter any more.
fn part<'a>(reader: &mut Reader<'a>) -> Result<Glance<'a>, Malformed> {
    let token = reader.clone().token()?;
    if !matches!(token, Token::Cut(_)) {
        take(reader)?;
    }
    Ok(glance(token))
}

fn elements(reader: &mut Reader<'_>, size: u32, proof: &mut Proof) -> Result<(), Malformed> {
    for _ in 0..size {
        match part(reader)? {
            Glance::Opaque => {
                proof.give_up();
                break;
            }
            element => proof.element(element),
        }
    }
    Ok(())
}

fn pairs(reader: &mut Reader<'_>, size: u32, proof: &mut Proof) -> Result<(), Malformed> {
    for _ in 0..size {
        let key = part(reader)?;
        if key == Glance::Opaque {
            proof.give_up();
            break;
        }
        match part(reader)? {
            Glance::Opaque => {
                proof.give_up();
                break;
            }
            value => proof.pair(key, value),
        }
    }
    Ok(())
}

fn list(reader: &mut Reader<'_>, proof: &mut Proof) -> Result<(), Malformed> {
    for _ in 0..Proof::ELEMENTS {
        match reader.clone().token()? {
            Token::End => {
                proof.element(Glance::Nil);
                break;
            }
            Token::Tail => {
                reader.token()?;
                proof.element(part(reader)?);
                break;
            }
            _ => {}
        }
        match part(reader)? {
            Glance::Opaque => {
                proof.give_up();
                break;
            }
            element => proof.element(element),
        }
    }
    Ok(())
}

/// Of elements that a list lost, each by its proof.
pub(super) fn proof_of_dropped(proofs: impl IntoIterator<Item = u16>) -> u16 {
    let mut dropped = Proof::of_dropped();
    for proof in proofs.into_iter().take(Proof::DROPPED) {
        dropped.dropped(proof);
    }
    dropped.finish()
}

/// Whether a value of the proof `there` may be the one that a change was made for.
#[inline]
pub(super) fn agree(told: u16, there: impl FnOnce() -> u16) -> bool {
    if told == Proof::NONE {
        return true;
    }
    let there = there();
    there == Proof::NONE || there == told
}
