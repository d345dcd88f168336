//! [`Terms`] through the NIF interface alone: slower, and right on every VM.
//!
//! Bit strings, big integers, references and what belongs to other nodes are read out of the external term format. Funs
//! never are: their environment can share so much that its external form would never end. A fun is known here by the text
//! that the VM prints for it.
#![allow(unsafe_code, reason = "calls the NIF interface")]

use std::ffi::c_char;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr;

use elixir_scope_engine::event::AtomId;
use rustler::Env;
use rustler::sys::{self, ErlNifBinary, ErlNifEnv, ErlNifMapIterator, ErlNifMapIteratorEntry};

use super::external::{self, Parsed};
use super::{Fun, MapPairs, Rare, Shape, Terms, Word, immediate_atom, nif_term, word_of};

/// Looks into terms by asking the VM.
#[derive(Clone, Copy)]
pub struct NifTerms<'t> {
    env: Env<'t>,
}

impl<'t> NifTerms<'t> {
    /// For the terms of one NIF call.
    #[must_use]
    pub fn new(env: Env<'t>) -> Self {
        NifTerms { env }
    }

    fn raw_env(self) -> *mut ErlNifEnv {
        self.env.as_c_arg()
    }

    fn number(self, term: Word) -> Shape<'t> {
        let (mut integer, mut float) = (0, 0.0);
        // SAFETY: `term` is of this environment, as for every call below; what is written to outlives the call.
        unsafe {
            if sys::enif_get_int64(self.raw_env(), nif_term(term), &mut integer) != 0 {
                Shape::Int(integer)
            } else if sys::enif_get_double(self.raw_env(), nif_term(term), &mut float) != 0 {
                Shape::Float(float)
            } else {
                Shape::Rare
            }
        }
    }

    fn bit_string(self, term: Word) -> Shape<'t> {
        let mut binary = MaybeUninit::<ErlNifBinary>::uninit();
        // SAFETY: the VM fills `binary` whenever it answers true.
        unsafe {
            if sys::enif_inspect_binary(self.raw_env(), nif_term(term), binary.as_mut_ptr()) == 0 {
                return Shape::Rare;
            }
            let binary = binary.assume_init();
            Shape::Binary(slice(binary.data, binary.size))
        }
    }

    fn list(self, term: Word) -> Shape<'t> {
        let (mut head, mut tail) = (nif_term(0), nif_term(0));
        // SAFETY: as in `number`.
        if unsafe { sys::enif_get_list_cell(self.raw_env(), nif_term(term), &mut head, &mut tail) }
            != 0
        {
            Shape::Cons(word_of(head), word_of(tail))
        } else {
            Shape::Nil
        }
    }

    fn tuple(self, term: Word) -> Shape<'t> {
        let (mut arity, mut elements) = (0, ptr::null());
        // SAFETY: the VM points `elements` at `arity` words inside of the term, which lives as long as the call ('t).
        unsafe {
            if sys::enif_get_tuple(self.raw_env(), nif_term(term), &mut arity, &mut elements) == 0 {
                return Shape::Rare;
            }
            Shape::Tuple(slice(
                elements.cast::<Word>(),
                usize::try_from(arity).unwrap_or(0),
            ))
        }
    }

    /// `enif_term_type` would do it in one call, but ends the emulator on terms that it does not know: the native records of
    /// OTP 29.
    fn kind(self, term: Word) -> Kind {
        let (env, term) = (self.raw_env(), nif_term(term));
        // SAFETY: as in `number`.
        unsafe {
            if sys::enif_is_number(env, term) != 0 {
                Kind::Number
            } else if sys::enif_is_binary(env, term) != 0 {
                Kind::Binary
            } else if sys::enif_is_list(env, term) != 0 {
                Kind::List
            } else if sys::enif_is_tuple(env, term) != 0 {
                Kind::Tuple
            } else if sys::enif_is_map(env, term) != 0 {
                Kind::Map
            } else if sys::enif_is_pid(env, term) != 0 {
                Kind::Pid
            } else if sys::enif_is_ref(env, term) != 0 {
                Kind::Reference
            } else if sys::enif_is_fun(env, term) != 0 {
                Kind::Fun
            } else if sys::enif_is_port(env, term) != 0 {
                Kind::Port
            } else {
                Kind::Other
            }
        }
    }

    /// A big integer or a bit string, out of its external form.
    fn flat(self, term: Word) -> Rare {
        let bytes = self.external(term);
        match external::parse(&bytes) {
            Some(Parsed::Big {
                negative,
                magnitude,
            }) => Rare::Big(negative, magnitude.to_vec()),
            Some(Parsed::Bits { bytes, bits }) => Rare::Bits(bytes, bits),
            _ => Rare::Foreign(bytes),
        }
    }

    fn external(self, term: Word) -> Vec<u8> {
        external::of_term(self.env, term)
    }

    /// A local reference by its numbers; any other as it is.
    fn reference(self, term: Word) -> Rare {
        let bytes = self.external(term);
        match (
            external::parse_reference(&bytes),
            external::LocalNode::of_env(self.env),
        ) {
            (Some((node, numbers)), Some(local)) if node == local.bytes() => Rare::Ref(numbers),
            _ => Rare::Foreign(bytes),
        }
    }

    /// The text tells an external fun from a local one; only the former has a bounded external form.
    fn some_fun(self, term: Word) -> Rare {
        let text = printed(term);
        if text.starts_with(b"fun ")
            && let Some(Parsed::Export {
                module,
                function,
                arity,
            }) = external::parse(&self.external(term))
            && let (Some(module), Some(function)) =
                (self.existing_atom(module), self.existing_atom(function))
        {
            return Rare::Export(module, function, arity);
        }
        Rare::FunText(text)
    }

    fn existing_atom(self, external_atom: &[u8]) -> Option<AtomId> {
        let mut bytes = vec![external::VERSION];
        bytes.extend_from_slice(external_atom);
        immediate_atom(external::to_term(self.env, &bytes)?)
    }
}

/// A slice that the VM gave. An empty one may come with any pointer.
///
/// # Safety
/// Unless `length` is 0, `data` points at `length` values that do not change during `'t`.
unsafe fn slice<'t, V>(data: *const V, length: usize) -> &'t [V] {
    if length == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(data, length) }
}

/// What the VM prints for a term: the first 255 bytes.
fn printed(term: Word) -> Vec<u8> {
    let mut buffer = [0_u8; 256];
    // SAFETY: the VM writes at most the size that it is given, a zero at the end included; `%T` takes a term.
    let size = unsafe {
        sys::enif_snprintf!(
            buffer.as_mut_ptr().cast::<c_char>(),
            buffer.len(),
            c"%T".as_ptr(),
            nif_term(term)
        )
    };
    let size = usize::try_from(size).unwrap_or(0).min(buffer.len() - 1);
    buffer.get(..size).unwrap_or_default().to_vec()
}

impl<'t> Terms<'t> for NifTerms<'t> {
    type Map = NifMap<'t>;

    fn shape(self, term: Word) -> Shape<'t> {
        if let Some(atom) = immediate_atom(term) {
            return Shape::Atom(atom);
        }
        match self.kind(term) {
            Kind::Number => self.number(term),
            Kind::Binary => self.bit_string(term),
            Kind::List => self.list(term),
            Kind::Tuple => self.tuple(term),
            Kind::Map => Shape::Map,
            Kind::Pid if super::is_local_pid(term as u64) => Shape::Pid(term as u64),
            Kind::Port if super::is_local_port(term as u64) => Shape::Port(term as u64),
            _ => Shape::Rare,
        }
    }

    fn map(self, term: Word) -> Option<NifMap<'t>> {
        NifMap::new(self.env, term)
    }

    fn map_size(self, term: Word) -> usize {
        let mut size = 0;
        // SAFETY: as in `number`.
        match unsafe { sys::enif_get_map_size(self.raw_env(), nif_term(term), &mut size) } {
            0 => 0,
            _ => size,
        }
    }

    fn value_under(self, map: Word, key: Word) -> Option<Word> {
        let mut value = nif_term(0);
        // SAFETY: as in `number`.
        let found = unsafe {
            sys::enif_get_map_value(self.raw_env(), nif_term(map), nif_term(key), &mut value)
        };
        (found != 0).then(|| word_of(value))
    }

    fn fun(self, _term: Word) -> Option<Fun<'t>> {
        None
    }

    fn rare(self, term: Word) -> Rare {
        match self.kind(term) {
            Kind::Number | Kind::Binary => self.flat(term),
            Kind::Reference => self.reference(term),
            Kind::Pid | Kind::Port => Rare::Foreign(self.external(term)),
            Kind::Fun => self.some_fun(term),
            // what is within any other term can share so much that its external form would never end, as with a fun
            _ => match printed(term) {
                text if text.starts_with(b"<<") => self.flat(term),
                text => Rare::FunText(text),
            },
        }
    }
}

/// What a term is, as far as the NIF interface tells.
enum Kind {
    Number,
    Binary,
    List,
    Tuple,
    Map,
    Pid,
    Port,
    Reference,
    Fun,
    /// A bit string that is no binary, or a kind of term that the NIF interface does not know.
    Other,
}

/// Iterates over a map; above 32 keys this allocates.
pub struct NifMap<'t> {
    env: *mut ErlNifEnv,
    iterator: ErlNifMapIterator,
    length: usize,
    call: PhantomData<&'t ()>,
}

impl NifMap<'_> {
    fn new(env: Env<'_>, map: Word) -> Option<Self> {
        let env = env.as_c_arg();
        let mut length = 0;
        let mut iterator = MaybeUninit::<ErlNifMapIterator>::uninit();
        // SAFETY: `map` is of this environment; the VM fills the iterator whenever it answers true.
        unsafe {
            let head = ErlNifMapIteratorEntry::ERL_NIF_MAP_ITERATOR_HEAD;
            if sys::enif_get_map_size(env, nif_term(map), &mut length) == 0
                || sys::enif_map_iterator_create(env, nif_term(map), iterator.as_mut_ptr(), head)
                    == 0
            {
                return None;
            }
            Some(NifMap {
                env,
                iterator: iterator.assume_init(),
                length,
                call: PhantomData,
            })
        }
    }
}

impl MapPairs for NifMap<'_> {
    fn len(&self) -> usize {
        self.length
    }

    fn next_pair(&mut self) -> Option<(Word, Word)> {
        let (mut key, mut value) = (nif_term(0), nif_term(0));
        // SAFETY: the iterator was created, is not destroyed before `drop`, and does not point into itself.
        unsafe {
            if sys::enif_map_iterator_get_pair(self.env, &mut self.iterator, &mut key, &mut value)
                == 0
            {
                return None;
            }
            sys::enif_map_iterator_next(self.env, &mut self.iterator);
        }
        Some((word_of(key), word_of(value)))
    }
}

impl Drop for NifMap<'_> {
    fn drop(&mut self) {
        // SAFETY: created in `new`, destroyed once, here.
        unsafe { sys::enif_map_iterator_destroy(self.env, &mut self.iterator) }
    }
}
