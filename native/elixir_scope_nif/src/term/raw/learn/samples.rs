//! Terms to learn from, built through the NIF interface and the external term format.

use std::ffi::CStr;
use std::mem::MaybeUninit;

use elixir_scope_engine::event::AtomId;
use rustler::sys::{self, ErlNifEnv, ErlNifTerm};
use rustler::{Env, Term};

use crate::term::{Fun, Word, nif_term, word, word_of};

const VERSION: u8 = 131;
const SMALL_INTEGER: u8 = 97;
const INTEGER: u8 = 98;
const NEW_PID: u8 = 88;
const NEW_PORT: u8 = 89;
const NEWER_REFERENCE: u8 = 90;
const NEW_FUN: u8 = 112;
const EXPORT: u8 = 113;
const SMALL_BIG: u8 = 110;
const BIT_BINARY: u8 = 77;
const SMALL_ATOM: u8 = 119;

/// Makes terms in one environment.
pub(super) struct Samples {
    env: *mut ErlNifEnv,
    /// This process, in the external format: node, id, serial, creation.
    own_pid: Vec<u8>,
}

/// A fun to build: what [`Fun`] tells of one, its environment small integers.
#[derive(Clone, Copy)]
pub(super) struct FunSample {
    pub module: &'static str,
    pub arity: u8,
    pub index: u32,
    pub uniq: [u8; 16],
    pub old_index: u32,
    pub old_uniq: u32,
    pub env: u8,
}

impl Samples {
    pub(super) fn new(env: Env<'_>) -> Result<Samples, String> {
        let mut samples = Samples {
            env: env.as_c_arg(),
            own_pid: Vec::new(),
        };
        let own = samples.own_pid().ok_or("no process to load in")?;
        samples.own_pid = samples
            .external(own)
            .ok_or("a pid has no external format")?;
        if samples.own_pid.get(1) != Some(&NEW_PID) || samples.own_pid.len() < 16 {
            return Err("a pid has another external format".into());
        }
        Ok(samples)
    }

    pub(super) fn integer(&self, value: i64) -> Word {
        // SAFETY: the environment is that of the NIF call that loads the library.
        word_of(unsafe { sys::enif_make_int64(self.env, value) })
    }

    pub(super) fn unsigned(&self, value: u64) -> Word {
        // SAFETY: as above.
        word_of(unsafe { sys::enif_make_uint64(self.env, value) })
    }

    pub(super) fn float(&self, value: f64) -> Word {
        // SAFETY: as above; the value is finite.
        word_of(unsafe { sys::enif_make_double(self.env, value) })
    }

    pub(super) fn atom(&self, name: &str) -> Word {
        // SAFETY: as above, and the bytes are those of `name`.
        word_of(unsafe { sys::enif_make_atom_len(self.env, name.as_ptr().cast(), name.len()) })
    }

    pub(super) fn reference(&self) -> Word {
        // SAFETY: as above.
        word_of(unsafe { sys::enif_make_ref(self.env) })
    }

    pub(super) fn own_pid(&self) -> Option<Word> {
        let mut pid = MaybeUninit::<sys::ErlNifPid>::uninit();
        // SAFETY: as above; a pid is written unless the answer is null.
        unsafe {
            let known = !sys::enif_self(self.env, pid.as_mut_ptr()).is_null();
            known.then(|| word_of(sys::enif_make_pid(self.env, pid.assume_init())))
        }
    }

    pub(super) fn cell(&self, head: Word, tail: Word) -> Word {
        // SAFETY: as above, with terms of the same environment.
        word_of(unsafe { sys::enif_make_list_cell(self.env, nif_term(head), nif_term(tail)) })
    }

    pub(super) fn empty_list(&self) -> Word {
        // SAFETY: as above; no term is read of an empty array.
        word_of(unsafe { sys::enif_make_list_from_array(self.env, std::ptr::null(), 0) })
    }

    pub(super) fn tuple(&self, elements: &[Word]) -> Word {
        // SAFETY: as above; `ErlNifTerm` is a transparent newtype of the word.
        word_of(unsafe {
            sys::enif_make_tuple_from_array(
                self.env,
                elements.as_ptr().cast(),
                elements.len() as u32,
            )
        })
    }

    /// A map, or `None` if two keys are the same.
    pub(super) fn map(&self, keys: &[Word], values: &[Word]) -> Option<Word> {
        if keys.len() != values.len() {
            return None;
        }
        let mut map = nif_term(0);
        // SAFETY: as above; both arrays have the same length, and the map is written if the answer is true.
        let made = unsafe {
            sys::enif_make_map_from_arrays(
                self.env,
                keys.as_ptr().cast(),
                values.as_ptr().cast(),
                keys.len(),
                &mut map,
            )
        };
        (made != 0).then(|| word_of(map))
    }

    pub(super) fn binary(&self, bytes: &[u8]) -> Word {
        let mut term = nif_term(0);
        // SAFETY: as above; the VM gives room for so many bytes and writes the term.
        unsafe {
            let room = sys::enif_make_new_binary(self.env, bytes.len(), &mut term);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), room, bytes.len());
        }
        word_of(term)
    }

    /// A part of `binary`, which must be that long.
    pub(super) fn sub_binary(&self, binary: Word, start: usize, length: usize) -> Word {
        // SAFETY: as above; the callers stay within the binary.
        word_of(unsafe { sys::enif_make_sub_binary(self.env, nif_term(binary), start, length) })
    }

    /// The term with this external format, without its version byte.
    pub(super) fn internal(&self, bytes: &[u8]) -> Option<Word> {
        let bytes = [&[VERSION], bytes].concat();
        let mut term = nif_term(0);
        // SAFETY: as above; the term is written if the answer is not 0.
        let read = unsafe {
            sys::enif_binary_to_term(self.env, bytes.as_ptr(), bytes.len(), &mut term, 0)
        };
        (read == bytes.len()).then(|| word_of(term))
    }

    /// The external format of `term`, version byte included.
    pub(super) fn external(&self, term: Word) -> Option<Vec<u8>> {
        let mut binary = MaybeUninit::<sys::ErlNifBinary>::uninit();
        // SAFETY: as above; the binary is written if the answer is true, and released when it was copied.
        unsafe {
            if sys::enif_term_to_binary(self.env, nif_term(term), binary.as_mut_ptr()) == 0 {
                return None;
            }
            let mut binary = binary.assume_init();
            let bytes = std::slice::from_raw_parts(binary.data, binary.size).to_vec();
            sys::enif_release_binary(&mut binary);
            Some(bytes)
        }
    }

    pub(super) fn big(&self, negative: bool, magnitude: &[u8]) -> Option<Word> {
        let length = u8::try_from(magnitude.len()).ok()?;
        self.internal(&[&[SMALL_BIG, length, negative.into()], magnitude].concat())
    }

    pub(super) fn bit_string(&self, bytes: &[u8], bits_of_last: u8) -> Option<Word> {
        let length = u32::try_from(bytes.len()).ok()?.to_be_bytes();
        self.internal(&[&[BIT_BINARY], &length[..], &[bits_of_last], bytes].concat())
    }

    /// The node's name as an atom, and this node's creation.
    fn node(&self) -> Option<(&[u8], &[u8])> {
        let (rest, creation) = self.own_pid.split_last_chunk::<4>()?;
        Some((rest.get(2..rest.len() - 8)?, creation))
    }

    pub(super) fn port(&self, number: u32) -> Option<Word> {
        let (node, creation) = self.node()?;
        self.internal(&[&[NEW_PORT], node, &number.to_be_bytes(), creation].concat())
    }

    pub(super) fn pid(&self, number: u32) -> Option<Word> {
        let (node, creation) = self.node()?;
        self.internal(&[&[NEW_PID], node, &number.to_be_bytes(), &[0; 4], creation].concat())
    }

    /// The number words of a local reference by its external format.
    pub(super) fn reference_numbers(&self, reference: Word) -> Option<Vec<u32>> {
        let bytes = self.external(reference)?;
        let (node, _) = self.node()?;
        if bytes.get(1) != Some(&NEWER_REFERENCE) {
            return None;
        }
        let count = u16::from_be_bytes(*bytes.get(2..4)?.first_chunk()?);
        let numbers = bytes.get(4 + node.len() + 4..)?.as_chunks::<4>().0;
        (numbers.len() == count.into())
            .then(|| numbers.iter().map(|n| u32::from_be_bytes(*n)).collect())
    }

    pub(super) fn fun(&self, fun: &FunSample) -> Option<Word> {
        let mut body = vec![fun.arity];
        body.extend(fun.uniq);
        body.extend(fun.index.to_be_bytes());
        body.extend(u32::from(fun.env).to_be_bytes());
        body.extend(external_atom(fun.module));
        body.extend(external_integer(fun.old_index));
        body.extend(external_integer(fun.old_uniq));
        body.extend(self.own_pid.get(1..)?);
        for value in 0..fun.env {
            body.extend([SMALL_INTEGER, value]);
        }
        let size = u32::try_from(body.len() + 4).ok()?.to_be_bytes();
        self.internal(&[&[NEW_FUN], &size[..], &body].concat())
    }

    /// What the VM says of the creator of `fun`, whose external format we know but for that.
    pub(super) fn creator_of(&self, fun: Word, sample: &FunSample) -> Option<Word> {
        let bytes = self.external(fun)?;
        let numbers = |n: u32| if n < 256 { 2 } else { 5 };
        let after_env = 2 * usize::from(sample.env);
        let head = bytes.get(1 + 1 + 4 + 1 + 16 + 4 + 4..)?;
        // the module is an atom of one encoding or another: tag, one or two bytes of length, name
        let tag = *head.first()?;
        let atom = sample.module.len()
            + if tag == SMALL_ATOM || tag == 115 {
                2
            } else {
                3
            };
        let pid = head.get(
            atom + numbers(sample.old_index) + numbers(sample.old_uniq)..head.len() - after_env,
        )?;
        self.internal(pid)
    }

    pub(super) fn export(&self, module: &str, function: &str, arity: u8) -> Option<Word> {
        let (module, function) = (external_atom(module), external_atom(function));
        self.internal(&[&[EXPORT][..], &module, &function, &[SMALL_INTEGER, arity]].concat())
    }

    /// What [`Fun`] must tell of a fun made from `sample`, its environment aside.
    pub(super) fn expected(&self, sample: &FunSample, creator: Option<Word>) -> Fun<'static> {
        Fun {
            module: AtomId((self.atom(sample.module) >> 6) as u32),
            arity: sample.arity,
            index: sample.index,
            uniq: sample.uniq,
            old_index: sample.old_index,
            old_uniq: sample.old_uniq,
            creator,
            env: &[],
        }
    }

    /// Pairs of a map in the VM's own order.
    pub(super) fn pairs(&self, map: Word) -> Option<Vec<(Word, Word)>> {
        let mut pairs = Vec::new();
        let mut iterator = MaybeUninit::<sys::ErlNifMapIterator>::uninit();
        // SAFETY: as above; the iterator is written if the answer is true, and destroyed in the end.
        unsafe {
            let first = sys::ErlNifMapIteratorEntry::ERL_NIF_MAP_ITERATOR_HEAD;
            if sys::enif_map_iterator_create(self.env, nif_term(map), iterator.as_mut_ptr(), first)
                == 0
            {
                return None;
            }
            let iterator = iterator.as_mut_ptr();
            let (mut key, mut value): (ErlNifTerm, ErlNifTerm) = (nif_term(0), nif_term(0));
            while sys::enif_map_iterator_get_pair(self.env, iterator, &mut key, &mut value) != 0 {
                pairs.push((word_of(key), word_of(value)));
                sys::enif_map_iterator_next(self.env, iterator);
            }
            sys::enif_map_iterator_destroy(self.env, iterator);
        }
        Some(pairs)
    }
}

/// The release of OTP, as a number.
pub(super) fn otp_release() -> Option<u32> {
    let mut info = MaybeUninit::<sys::ErlNifSysInfo>::zeroed();
    // SAFETY: the VM writes as much as is asked for; the release is a C string for good.
    unsafe {
        sys::enif_system_info(info.as_mut_ptr(), size_of::<sys::ErlNifSysInfo>());
        CStr::from_ptr(info.assume_init().otp_release)
            .to_str()
            .ok()?
            .parse()
            .ok()
    }
}

/// The terms of a proper list.
pub(super) fn list(term: Term<'_>) -> Vec<Word> {
    term.decode::<Vec<Term<'_>>>()
        .unwrap_or_default()
        .into_iter()
        .map(word)
        .collect()
}

fn external_atom(name: &str) -> Vec<u8> {
    [&[SMALL_ATOM, name.len() as u8], name.as_bytes()].concat()
}

fn external_integer(value: u32) -> Vec<u8> {
    match u8::try_from(value) {
        Ok(small) => vec![SMALL_INTEGER, small],
        Err(_) => [&[INTEGER], &value.to_be_bytes()[..]].concat(),
    }
}
