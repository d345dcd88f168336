//! Encoded values back to terms. The bytes are not trusted: what the host would not know is refused, no atom is made, and
//! the work is bounded by their length.
#![allow(unsafe_code, reason = "calls the NIF interface")]

mod alike;

use alike::Trail;
use elixir_scope_engine::event::AtomId;
use elixir_scope_engine::value::{Cut, Flaw, FunHead, Malformed, Mark, Nesting, Reader, Token};
use rustler::sys::{self, ErlNifEnv, ErlNifTerm};
use rustler::{Env, Term};

use super::external::{self, LocalNode};
use super::{Word, atom_exists, atom_word, is_local_pid, is_local_port, nif_term, word_of};

mod names {
    rustler::atoms! {
        nil,
        kind,
        kept,
        total,
        prefix,
        binary,
        bits,
        list,
        map,
        tuple,
        depth,
        fun_env,
        bytes,
        state,
        guard,
        __struct__,
        truncated = "Elixir.ElixirScope.Truncated",
        redacted = "Elixir.ElixirScope.Redacted",
    }
}

/// The largest tuple that the VM can make.
const LARGEST_TUPLE: usize = (1 << 24) - 1;
/// Funs within the environments of funs; beyond it their environment is left out, for each is copied into the next.
const FUN_DEPTH: usize = 64;

/// The term of the first value in `bytes`.
///
/// # Errors
/// [`Malformed`] for what is no value, or holds what the host does not know.
pub fn decode<'e>(env: Env<'e>, bytes: &[u8]) -> Result<Term<'e>, Malformed> {
    Decoder::new(env).next(&mut Reader::new(bytes))
}

/// Decodes values one after another, with buffers that it keeps.
pub struct Decoder<'e> {
    env: Env<'e>,
    /// Finished values of the containers that are open.
    values: Vec<Word>,
    open: Vec<Open>,
    /// Room for the keys and the values of one map.
    halves: (Vec<Word>, Vec<Word>),
    node: Option<LocalNode>,
    trail: Trail,
}

/// A container whose elements are being decoded: they begin at `start` of the finished values.
struct Open {
    start: usize,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    List,
    /// A list after its tail mark: the last value is the tail.
    Improper,
    Tuple(u32),
    Map(u32),
    Fun(FunHead),
}

impl<'e> Decoder<'e> {
    /// A decoder that makes terms in `env`.
    #[must_use]
    pub fn new(env: Env<'e>) -> Self {
        Decoder {
            env,
            values: Vec::new(),
            open: Vec::new(),
            halves: (Vec::new(), Vec::new()),
            node: None,
            trail: Trail::default(),
        }
    }

    /// The term of the value that `reader` stands before; moves past it.
    ///
    /// # Errors
    /// As [`decode`].
    pub fn next(&mut self, reader: &mut Reader<'_>) -> Result<Term<'e>, Malformed> {
        self.read(reader, None)
    }

    /// Two values that stand one behind the other. What stands in both alike is one term, where it stands in the same place or near it.
    ///
    /// # Errors
    /// As [`decode`].
    pub fn next_two(&mut self, reader: &mut Reader<'_>) -> Result<(Term<'e>, Term<'e>), Malformed> {
        let mut bytes = Reader::new(reader.rest());
        self.trail.note();
        let first = self.read(&mut bytes, None);
        self.trail.compare();
        let two = first.and_then(|first| {
            let second = self.read(&mut bytes, Some(reader.rest()))?;
            Ok((first, second))
        });
        self.trail.end();
        reader.advance(bytes.at());
        two
    }

    /// Reads a value; with `beside`, the bytes of another one whose parts were noted, beside that.
    fn read(
        &mut self,
        reader: &mut Reader<'_>,
        beside: Option<&[u8]>,
    ) -> Result<Term<'e>, Malformed> {
        self.values.clear();
        self.open.clear();
        let mut nesting = Nesting::new();
        loop {
            let at = reader.at();
            let flawed = |flaw| Malformed { at, flaw };
            let known = beside.and_then(|bytes| self.trail.find(bytes, reader.rest()));
            let complete = if let Some((value, size)) = known {
                reader.advance(size);
                self.values.push(value);
                self.close_full().map_err(flawed)?;
                // to the containers around it, one value is as good as another
                nesting.accept(&Token::Int(0)).map_err(flawed)?
            } else {
                let token = reader.token()?;
                (self.trail.from, self.trail.to) = (at, reader.at());
                let complete = nesting.accept(&token).map_err(flawed)?;
                self.token(&token).map_err(flawed)?;
                complete
            };
            if complete {
                let value = self.values.pop().ok_or(flawed(Flaw::Place))?;
                // SAFETY: every word in `values` is an immediate or was made in this environment.
                return Ok(unsafe { Term::new(self.env, nif_term(value)) });
            }
        }
    }

    fn token(&mut self, token: &Token<'_>) -> Result<(), Flaw> {
        let what = match *token {
            Token::List => What::List,
            Token::Tuple(n) if n > 0 => What::Tuple(n),
            Token::Map(n) if n > 0 => What::Map(n),
            Token::Fun(head) => What::Fun(head),
            Token::Tail => {
                if let Some(open) = self.open.last_mut() {
                    open.what = What::Improper;
                }
                return Ok(());
            }
            Token::End => {
                self.close(None)?;
                return self.close_full();
            }
            Token::Cut(ref mark) => {
                self.close(Some(mark))?;
                return self.close_full();
            }
            ref scalar => {
                let value = self.scalar(scalar)?;
                self.trail.scalar(value);
                self.values.push(value);
                return self.close_full();
            }
        };
        self.trail.opened(token);
        self.open.push(Open {
            start: self.values.len(),
            what,
        });
        Ok(())
    }

    /// Closes the containers that have all their elements.
    fn close_full(&mut self) -> Result<(), Flaw> {
        while let Some(open) = self.open.last() {
            let have = self.values.len() - open.start;
            let full = match open.what {
                What::List => false,
                // the tail comes last; nothing else could have been finished since the mark
                What::Improper => true,
                What::Tuple(n) => have == n as usize,
                What::Map(n) => have as u64 == 2 * u64::from(n),
                What::Fun(head) => have as u64 == u64::from(head.free) + 1,
            };
            if !full {
                return Ok(());
            }
            self.close(None)?;
        }
        Ok(())
    }

    /// Makes the term of the innermost open container, which may have been cut.
    fn close(&mut self, cut: Option<&Mark<'_>>) -> Result<(), Flaw> {
        let Open { start, what } = self.open.pop().ok_or(Flaw::Place)?;
        let term = match (what, cut) {
            (What::Fun(head), cut) => self.fun(&head, start, cut)?,
            (What::Map(_), cut) => {
                if let Some(mark) = cut {
                    let mark = self.mark(mark)?;
                    self.values.extend([mark, mark]);
                }
                self.map(start)?
            }
            (What::List | What::Improper | What::Tuple(_), Some(mark)) => {
                let mark = self.mark(mark)?;
                self.values.push(mark);
                if matches!(what, What::Tuple(_)) {
                    self.tuple(start)?
                } else {
                    self.list(start, false)?
                }
            }
            (What::List, None) => self.list(start, false)?,
            (What::Improper, None) => self.list(start, true)?,
            (What::Tuple(_), None) => self.tuple(start)?,
        };
        self.trail.closed(term);
        self.values.truncate(start);
        self.values.push(term);
        Ok(())
    }

    fn raw_env(&self) -> *mut ErlNifEnv {
        self.env.as_c_arg()
    }

    fn list(&mut self, start: usize, improper: bool) -> Result<Word, Flaw> {
        let mut elements = self.values.get(start..).unwrap_or_default();
        // SAFETY: makes terms out of terms of this environment; so for each call below.
        let mut list =
            unsafe { sys::enif_make_list_from_array(self.raw_env(), std::ptr::null(), 0) };
        if improper && let [before @ .., tail] = elements {
            list = nif_term(*tail);
            elements = before;
        }
        for element in elements.iter().rev() {
            // SAFETY: as above.
            list = unsafe { sys::enif_make_list_cell(self.raw_env(), nif_term(*element), list) };
        }
        Ok(word_of(list))
    }

    fn tuple(&mut self, start: usize) -> Result<Word, Flaw> {
        let elements = self.values.get(start..).unwrap_or_default();
        if elements.len() > LARGEST_TUPLE {
            return Err(Flaw::Number);
        }
        // SAFETY: as in `list`; a slice of words is an array of terms.
        let tuple = unsafe {
            sys::enif_make_tuple_from_array(
                self.raw_env(),
                terms_of(elements),
                elements.len() as u32,
            )
        };
        Ok(word_of(tuple))
    }

    fn map(&mut self, start: usize) -> Result<Word, Flaw> {
        let (keys, values) = &mut self.halves;
        keys.clear();
        values.clear();
        for [key, value] in self
            .values
            .get(start..)
            .unwrap_or_default()
            .as_chunks::<2>()
            .0
        {
            keys.push(*key);
            values.push(*value);
        }
        let pairs = keys.len() as u64;
        if let Ok(map) = make_map(self.env, keys, values) {
            return Ok(map);
        }
        self.map_of_equal_keys(pairs)
    }

    /// Keys that were cut can have become equal. One of them stays, and a mark says that pairs are missing.
    #[cold]
    fn map_of_equal_keys(&mut self, pairs: u64) -> Result<Word, Flaw> {
        let mut map = make_map(self.env, &[], &[])?;
        let mut kept = 0;
        for (key, value) in self.halves.0.iter().zip(&self.halves.1) {
            map = put(self.env, map, *key, *value)?;
        }
        // SAFETY: `map` was made in this environment.
        unsafe { sys::enif_get_map_size(self.raw_env(), nif_term(map), &mut kept) };
        let mark = Mark {
            cut: Cut::Map,
            kept: kept as u64,
            total: Some(pairs),
            prefix: &[],
        };
        let mark = self.mark(&mark)?;
        put(self.env, map, mark, mark)
    }

    fn fun(&mut self, head: &FunHead, start: usize, cut: Option<&Mark<'_>>) -> Result<Word, Flaw> {
        self.atom(head.module)?;
        let funs = self
            .open
            .iter()
            .filter(|open| matches!(open.what, What::Fun(_)))
            .take(FUN_DEPTH)
            .count();
        if cut.is_some() || funs == FUN_DEPTH {
            let module = self.printed(head.module);
            let prefix = format!("#Fun<{module}.{}.{}>", head.old_index, head.old_uniq);
            let kept = cut.map_or(0, |mark| mark.kept);
            let mark = Mark {
                cut: Cut::FunEnv,
                kept,
                total: Some(u64::from(head.free)),
                prefix: prefix.as_bytes(),
            };
            return self.mark(&mark);
        }
        let [creator, free @ ..] = self.values.get(start..).unwrap_or_default() else {
            return Err(Flaw::Place);
        };
        external::fun(self.env, head, *creator, free).ok_or(Flaw::Unknown)
    }

    fn printed(&self, atom: AtomId) -> String {
        // SAFETY: the atom was checked to exist.
        let term = unsafe { Term::new(self.env, nif_term(atom_word(atom))) };
        term.atom_to_string().unwrap_or_default()
    }

    fn atom(&self, atom: AtomId) -> Result<Word, Flaw> {
        if atom_exists(atom) {
            Ok(atom_word(atom))
        } else {
            Err(Flaw::Unknown)
        }
    }

    fn scalar(&mut self, token: &Token<'_>) -> Result<Word, Flaw> {
        let env = self.raw_env();
        Ok(match *token {
            // SAFETY: makes a term in this environment.
            Token::Int(value) => word_of(unsafe { sys::enif_make_int64(env, value) }),
            // SAFETY: as above; the reader lets only finite floats pass, and others would be an exception.
            Token::Float(value) => word_of(unsafe { sys::enif_make_double(env, value) }),
            Token::Atom(atom) => self.atom(atom)?,
            Token::Binary(bytes) => self.binary(bytes),
            Token::Nil => self.list(self.values.len(), false)?,
            Token::Tuple(_) => self.tuple(self.values.len())?,
            Token::Map(_) => make_map(self.env, &[], &[])?,
            Token::Pid(process) if is_local_pid(process) => {
                usize::try_from(process).map_err(|_| Flaw::Unknown)?
            }
            Token::Port(port) if is_local_port(port) => {
                usize::try_from(port).map_err(|_| Flaw::Unknown)?
            }
            Token::Big(negative, magnitude) => {
                external::own_to_term(self.env, &external::big(negative, magnitude))
                    .ok_or(Flaw::Number)?
            }
            Token::Bits(bytes, bits) => self.bits(bytes, bits)?,
            Token::Ref(words) => {
                if self.node.is_none() {
                    self.node = LocalNode::of_env(self.env);
                }
                let node = self.node.as_ref().ok_or(Flaw::Unknown)?;
                external::to_term(self.env, &node.reference(words)).ok_or(Flaw::Unknown)?
            }
            Token::Export(module, function, arity) => {
                let (module, function) = (self.atom(module)?, self.atom(function)?);
                external::export(self.env, module, function, arity).ok_or(Flaw::Unknown)?
            }
            Token::Foreign(bytes) if external::is_of_a_node(bytes) => {
                external::to_term(self.env, bytes).ok_or(Flaw::Unknown)?
            }
            Token::Redacted => make_map(
                self.env,
                &[atom_of(names::__struct__())],
                &[atom_of(names::redacted())],
            )?,
            Token::Truncated(ref mark) => self.mark(mark)?,
            _ => return Err(Flaw::Unknown),
        })
    }

    fn bits(&self, bytes: &[u8], bits: u64) -> Result<Word, Flaw> {
        match bits % 8 {
            0 => Ok(self.binary(bytes)),
            odd => external::own_to_term(self.env, &external::bits(bytes, odd as u8))
                .ok_or(Flaw::Number),
        }
    }

    fn binary(&self, bytes: &[u8]) -> Word {
        let mut term = nif_term(0);
        // SAFETY: the VM gives room for as many bytes as asked for, and sets `term`.
        unsafe {
            let room = sys::enif_make_new_binary(self.raw_env(), bytes.len(), &mut term);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), room, bytes.len());
        }
        word_of(term)
    }

    /// `%ElixirScope.Truncated{}`
    fn mark(&self, mark: &Mark<'_>) -> Result<Word, Flaw> {
        let number = |value: u64| {
            // SAFETY: makes a term in this environment.
            word_of(unsafe { sys::enif_make_uint64(self.raw_env(), value) })
        };
        let nil = atom_of(names::nil());
        let kind = match mark.cut {
            Cut::Binary => names::binary(),
            Cut::Bits => names::bits(),
            Cut::List => names::list(),
            Cut::Map => names::map(),
            Cut::Tuple => names::tuple(),
            Cut::Depth => names::depth(),
            Cut::FunEnv => names::fun_env(),
            Cut::Bytes => names::bytes(),
            Cut::State => names::state(),
            Cut::Guard => names::guard(),
        };
        let prefix = match mark.cut {
            cut if !cut.has_prefix() || (cut == Cut::FunEnv && mark.prefix.is_empty()) => nil,
            Cut::Bits => self.bits(mark.prefix, mark.kept.min(mark.prefix.len() as u64 * 8))?,
            _ => self.binary(mark.prefix),
        };
        make_map(
            self.env,
            &[
                names::__struct__(),
                names::kind(),
                names::kept(),
                names::total(),
                names::prefix(),
            ]
            .map(atom_of),
            &[
                atom_of(names::truncated()),
                atom_of(kind),
                number(mark.kept),
                mark.total.map_or(nil, number),
                prefix,
            ],
        )
    }
}

fn atom_of(atom: rustler::Atom) -> Word {
    word_of(atom.as_c_arg())
}

fn terms_of(words: &[Word]) -> *const ErlNifTerm {
    words.as_ptr().cast()
}

fn put(env: Env<'_>, map: Word, key: Word, value: Word) -> Result<Word, Flaw> {
    let mut out = nif_term(0);
    // SAFETY: terms of this environment; `out` is set whenever the VM answers true.
    let made = unsafe {
        sys::enif_make_map_put(
            env.as_c_arg(),
            nif_term(map),
            nif_term(key),
            nif_term(value),
            &mut out,
        )
    };
    if made != 0 {
        Ok(word_of(out))
    } else {
        Err(Flaw::Unknown)
    }
}

/// A map; `Unknown` if two of its keys are equal.
pub(super) fn make_map(env: Env<'_>, keys: &[Word], values: &[Word]) -> Result<Word, Flaw> {
    let mut map = nif_term(0);
    let size = keys.len().min(values.len());
    // SAFETY: two arrays of `size` terms of this environment; `map` is set whenever the VM answers true.
    let made = unsafe {
        sys::enif_make_map_from_arrays(
            env.as_c_arg(),
            terms_of(keys),
            terms_of(values),
            size,
            &mut map,
        )
    };
    let mut pairs = 0;
    // SAFETY: `map` was made above; `pairs` outlives the call. Above 32 pairs OTP 25 drops equal keys, answers true, and can
    // leave a large map's layout with few keys, which equals no other map.
    let all = made != 0
        && unsafe { sys::enif_get_map_size(env.as_c_arg(), map, &mut pairs) } != 0
        && pairs == size;
    if all {
        Ok(word_of(map))
    } else {
        Err(Flaw::Unknown)
    }
}
