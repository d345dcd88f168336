//! The external term format, as far as rare terms need it; see "External Term Format" in the ERTS manual.
#![allow(unsafe_code, reason = "calls the NIF interface")]

use std::mem::MaybeUninit;

use elixir_scope_engine::value::FunHead;
use rustler::Env;
use rustler::sys::{self, ErlNifBinary};

use super::{RefNumbers, Word, atom_word, nif_term, word_of};

/// The first byte of everything.
pub const VERSION: u8 = 131;
/// `SMALL_INTEGER_EXT` and so on.
pub const SMALL_INTEGER: u8 = 97;
pub const INTEGER: u8 = 98;
pub const ATOM: u8 = 100;
pub const SMALL_BIG: u8 = 110;
pub const LARGE_BIG: u8 = 111;
pub const NEW_FUN: u8 = 112;
pub const EXPORT: u8 = 113;
pub const SMALL_ATOM: u8 = 115;
pub const ATOM_UTF8: u8 = 118;
pub const SMALL_ATOM_UTF8: u8 = 119;
pub const BIT_BINARY: u8 = 77;
pub const NEWER_REFERENCE: u8 = 90;

/// Pids, ports and references, in their newest and older formats.
const OF_NODES: [u8; 8] = [88, 103, 89, 102, 120, NEWER_REFERENCE, 101, 114];

/// The external form of a term. Never ask it for a fun, nor for what may hold one.
#[must_use]
pub fn of_term(env: Env<'_>, term: Word) -> Vec<u8> {
    let mut binary = MaybeUninit::<ErlNifBinary>::uninit();
    // SAFETY: `term` is of this environment; the VM fills `binary` whenever it answers true; it is released once.
    unsafe {
        if sys::enif_term_to_binary(env.as_c_arg(), nif_term(term), binary.as_mut_ptr()) == 0 {
            return Vec::new();
        }
        let mut binary = binary.assume_init();
        let bytes = std::slice::from_raw_parts(binary.data, binary.size).to_vec();
        sys::enif_release_binary(&mut binary);
        bytes
    }
}

/// The term of an external form that is `bytes` as a whole. It makes no atom that did not exist.
#[must_use]
pub fn to_term(env: Env<'_>, bytes: &[u8]) -> Option<Word> {
    let_term(env, bytes, SAFE)
}

/// As [`to_term`], for bytes that we put together ourselves out of terms that exist: allows external funs, which `to_term`
/// refuses if nothing has called them yet.
#[must_use]
pub fn own_to_term(env: Env<'_>, bytes: &[u8]) -> Option<Word> {
    let_term(env, bytes, 0)
}

/// `ERL_NIF_BIN2TERM_SAFE`
const SAFE: u32 = 0x2000_0000;

fn let_term(env: Env<'_>, bytes: &[u8], options: u32) -> Option<Word> {
    let mut term = nif_term(0);
    // SAFETY: the VM reads `bytes` only, checks them, and sets `term` if they are a term.
    let size = unsafe {
        sys::enif_binary_to_term(
            env.as_c_arg(),
            bytes.as_ptr(),
            bytes.len(),
            &mut term,
            options,
        )
    };
    (size == bytes.len() && size > 0).then(|| word_of(term))
}

/// Whether these bytes claim to be a pid, a port or a reference.
#[must_use]
pub fn is_of_a_node(bytes: &[u8]) -> bool {
    matches!(bytes, [VERSION, tag, ..] if OF_NODES.contains(tag))
}

/// What is read out of an external form.
#[derive(Debug)]
pub enum Parsed<'a> {
    /// An integer.
    Big { negative: bool, magnitude: &'a [u8] },
    /// A bit string.
    Bits { bytes: Vec<u8>, bits: u64 },
    /// An external fun: the external forms (without version) of its atoms.
    Export {
        module: &'a [u8],
        function: &'a [u8],
        arity: u32,
    },
}

/// The text of an atom in the external format, version byte included.
#[must_use]
pub fn atom_text(bytes: &[u8]) -> Option<String> {
    match bytes {
        [VERSION, SMALL_ATOM_UTF8, _, text @ ..] | [VERSION, ATOM_UTF8, _, _, text @ ..] => {
            String::from_utf8(text.to_vec()).ok()
        }
        [VERSION, SMALL_ATOM, _, text @ ..] | [VERSION, ATOM, _, _, text @ ..] => {
            Some(text.iter().map(|byte| char::from(*byte)).collect())
        }
        _ => None,
    }
}

/// Reads one of the kinds in [`Parsed`].
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<Parsed<'_>> {
    match bytes {
        [VERSION, SMALL_BIG, size, sign, magnitude @ ..]
            if magnitude.len() == usize::from(*size) =>
        {
            Some(Parsed::Big {
                negative: *sign == 1,
                magnitude,
            })
        }
        [VERSION, LARGE_BIG, a, b, c, d, sign, magnitude @ ..]
            if magnitude.len() == u32::from_be_bytes([*a, *b, *c, *d]) as usize =>
        {
            Some(Parsed::Big {
                negative: *sign == 1,
                magnitude,
            })
        }
        [
            VERSION,
            BIT_BINARY,
            _,
            _,
            _,
            _,
            last_bits @ 1..=8,
            data @ ..,
        ] if !data.is_empty() => {
            let mut bytes = data.to_vec();
            if let Some(last) = bytes.last_mut() {
                *last &= 0xff_u8.wrapping_shl(8 - u32::from(*last_bits));
            }
            let bits = (data.len() as u64 - 1) * 8 + u64::from(*last_bits);
            Some(Parsed::Bits { bytes, bits })
        }
        [VERSION, EXPORT, rest @ ..] => {
            let (module, rest) = rest.split_at_checked(atom_size(rest)?)?;
            let (function, rest) = rest.split_at_checked(atom_size(rest)?)?;
            match rest {
                [SMALL_INTEGER, arity] => Some(Parsed::Export {
                    module,
                    function,
                    arity: u32::from(*arity),
                }),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The node (its atom and creation, as bytes) and the numbers of a reference in the newest format.
#[must_use]
pub fn parse_reference(bytes: &[u8]) -> Option<(&[u8], RefNumbers)> {
    let [VERSION, NEWER_REFERENCE, high, low, rest @ ..] = bytes else {
        return None;
    };
    let count = u16::from_be_bytes([*high, *low]);
    let (node, ids) = rest.split_at_checked(atom_size(rest)? + 4)?;
    let mut numbers = RefNumbers {
        words: [0; 5],
        count: u8::try_from(count).ok()?,
    };
    if ids.len() != 4 * usize::from(count) || usize::from(count) > numbers.words.len() {
        return None;
    }
    for (to, from) in numbers.words.iter_mut().zip(ids.as_chunks::<4>().0) {
        *to = u32::from_be_bytes(*from);
    }
    Some((node, numbers))
}

/// How many bytes the atom at the start of `bytes` takes.
fn atom_size(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [SMALL_ATOM | SMALL_ATOM_UTF8, size, ..] => Some(2 + usize::from(*size)),
        [ATOM | ATOM_UTF8, high, low, ..] => {
            Some(3 + usize::from(u16::from_be_bytes([*high, *low])))
        }
        _ => None,
    }
}

/// The name and creation of this node, as they stand in references. Both change when the node goes on the network.
#[derive(Debug)]
pub struct LocalNode(Vec<u8>);

impl LocalNode {
    /// As it is now: read off a reference made for this.
    #[must_use]
    pub fn of_env(env: Env<'_>) -> Option<LocalNode> {
        // SAFETY: makes a term in this environment.
        let reference = unsafe { sys::enif_make_ref(env.as_c_arg()) };
        let bytes = of_term(env, word_of(reference));
        parse_reference(&bytes).map(|(node, _)| LocalNode(node.to_vec()))
    }

    /// Its atom and creation in the external format.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The external form of a local reference; `words` are little-endian.
    #[must_use]
    pub fn reference(&self, words: &[u8]) -> Vec<u8> {
        let mut out = vec![VERSION, NEWER_REFERENCE, 0, (words.len() / 4) as u8];
        out.extend_from_slice(&self.0);
        out.extend(
            words
                .as_chunks::<4>()
                .0
                .iter()
                .flat_map(|word| u32::from_le_bytes(*word).to_be_bytes()),
        );
        out
    }
}

/// The external form of an integer; `magnitude` in little-endian bytes.
#[must_use]
pub fn big(negative: bool, magnitude: &[u8]) -> Vec<u8> {
    let size = magnitude.len();
    let mut out = vec![VERSION];
    match u8::try_from(size) {
        Ok(size) => out.extend([SMALL_BIG, size]),
        Err(_) => {
            out.push(LARGE_BIG);
            out.extend((size as u32).to_be_bytes());
        }
    }
    out.push(u8::from(negative));
    out.extend_from_slice(magnitude);
    out
}

/// The external form of a bit string whose last byte has `last_bits` bits.
#[must_use]
pub fn bits(bytes: &[u8], last_bits: u8) -> Vec<u8> {
    let mut out = vec![VERSION, BIT_BINARY];
    out.extend((bytes.len() as u32).to_be_bytes());
    out.push(last_bits);
    out.extend_from_slice(bytes);
    out
}

/// An external fun.
#[must_use]
pub fn export(env: Env<'_>, module: Word, function: Word, arity: u32) -> Option<Word> {
    let arity = u8::try_from(arity).ok()?;
    let mut out = vec![VERSION, EXPORT];
    out.extend_from_slice(body(&of_term(env, module))?);
    out.extend_from_slice(body(&of_term(env, function))?);
    out.extend([SMALL_INTEGER, arity]);
    own_to_term(env, &out)
}

/// A local fun. `free` are terms that were decoded, so that nothing in them is shared.
#[must_use]
pub fn fun(env: Env<'_>, head: &FunHead, creator: Word, free: &[Word]) -> Option<Word> {
    let mut out = vec![VERSION, NEW_FUN, 0, 0, 0, 0, head.arity];
    out.extend(head.uniq);
    out.extend(head.index.to_be_bytes());
    out.extend(head.free.to_be_bytes());
    out.extend_from_slice(body(&of_term(env, atom_word(head.module)))?);
    integer(head.old_index, &mut out);
    integer(head.old_uniq, &mut out);
    let creator = if is_pid(env, creator) {
        creator
    } else {
        FIRST_PROCESS
    };
    out.extend_from_slice(body(&of_term(env, creator))?);
    for value in free {
        out.extend_from_slice(body(&of_term(env, *value))?);
    }
    let size = u32::try_from(out.len() - 2).ok()?.to_be_bytes();
    out.get_mut(2..6)?.copy_from_slice(&size);
    own_to_term(env, &out)
}

/// `<0.0.0>`, for a fun whose creator is not known; newer VMs do the same.
const FIRST_PROCESS: Word = 0x3;

fn is_pid(env: Env<'_>, term: Word) -> bool {
    // SAFETY: `term` is of this environment.
    unsafe { sys::enif_is_pid(env.as_c_arg(), nif_term(term)) != 0 }
}

/// Without the version.
fn body(external: &[u8]) -> Option<&[u8]> {
    external.split_first().map(|(_, body)| body)
}

fn integer(value: u32, out: &mut Vec<u8>) {
    if let Ok(small) = i32::try_from(value) {
        out.push(INTEGER);
        out.extend(small.to_be_bytes());
    } else {
        out.extend([SMALL_BIG, 4, 0]);
        out.extend(value.to_le_bytes());
    }
}
