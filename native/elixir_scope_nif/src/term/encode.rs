//! One pass over a term, into a sink: within a budget, masked as configured, whatever the term.
//!
//! The encoder does not recurse. It writes at least one byte for each step that it takes, so that the budget of bytes
//! bounds the work as well: a closure over thirty levels of `{x, x}`, of which a copy would have a thousand million parts, is
//! left where the budget ends.

use elixir_scope_engine::event::AtomId;
use elixir_scope_engine::value::{Budget, Container, Cut, Fit, Full, FunHead, Sink, Writer};
use rustler::Term;

use super::frames::{Frame, Stack};
use super::nif::NifTerms;
use super::raw::RawTerms;
use super::redact::Redaction;
use super::{Bits, Fun, MapPairs, Rare, Shape, Terms, Word, note_atom, word};

mod contents;
mod masks;
mod quick;

pub use masks::{masks_under, pair_counts};
pub use quick::{Quick, most_bytes, quickly};

/// The most that is written of a term that is kept whole, in bytes.
pub const WHOLE_BYTES: usize = 64 << 20;
/// How deep a term may nest that is kept whole.
const WHOLE_DEPTH: u32 = 1 << 20;

/// How terms are written.
#[derive(Clone, Debug)]
pub struct Rules {
    /// What is kept of one term.
    pub budget: Budget,
    /// Whose values are masked.
    pub redaction: Redaction,
}

/// Why a term was not written. What is in the sink then is no value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EncodeError {
    /// The sink is full.
    Full,
    /// A term that was to be kept whole is larger than [`WHOLE_BYTES`], or nests too deep.
    TooBig,
}

impl From<Full> for EncodeError {
    fn from(Full: Full) -> Self {
        EncodeError::Full
    }
}

/// Writes `term` as the rules say. Answers how many steps it took: terms looked at.
///
/// # Errors
/// [`EncodeError::Full`] as the sink says.
#[inline(always)]
pub fn encode<S: Sink>(term: Term<'_>, rules: &Rules, sink: &mut S) -> Result<u64, EncodeError> {
    match RawTerms::new(term.get_env()) {
        Some(raw) => encode_word(raw, word(term), rules, sink),
        None => encode_word(NifTerms::new(term.get_env()), word(term), rules, sink),
    }
}

/// Writes `term` whole and unmasked, for tools that store terms. On the NIF interface a fun is still its identity alone.
///
/// # Errors
/// [`EncodeError::TooBig`] beyond [`WHOLE_BYTES`]; [`EncodeError::Full`] as the sink says.
pub fn encode_whole<S: Sink>(term: Term<'_>, sink: &mut S) -> Result<u64, EncodeError> {
    match RawTerms::new(term.get_env()) {
        Some(raw) => encode_word_whole(raw, word(term), sink),
        None => encode_word_whole(NifTerms::new(term.get_env()), word(term), sink),
    }
}

/// As [`encode`], with the way to look into terms given.
///
/// # Errors
/// As [`encode`].
#[inline(always)]
pub fn encode_word<'t, T: Terms<'t>, S: Sink>(
    terms: T,
    term: Word,
    rules: &Rules,
    sink: &mut S,
) -> Result<u64, EncodeError> {
    match quickly(terms, rules, sink, term) {
        Some(steps) => Ok(steps),
        None => encode_any(terms, term, rules, sink),
    }
}

/// As [`encode_word`], without trying the quick way first.
///
/// # Errors
/// As [`encode`].
#[inline(never)]
pub fn encode_any<'t, T: Terms<'t>, S: Sink>(
    terms: T,
    term: Word,
    rules: &Rules,
    sink: &mut S,
) -> Result<u64, EncodeError> {
    Encoder::new(terms, rules.budget, &rules.redaction, false, sink).run(term)
}

/// Writes a part of a term that stands in a list, or does not, as it is written in the whole.
///
/// # Errors
/// As [`encode`].
#[inline]
pub fn encode_part<'t, T: Terms<'t>, S: Sink>(
    terms: T,
    part: Word,
    budget: Budget,
    redaction: &Redaction,
    in_list: bool,
    sink: &mut S,
) -> Result<u64, EncodeError> {
    let mut encoder = Encoder::new(terms, budget, redaction, false, sink);
    encoder.in_list = in_list;
    encoder.run(part)
}

/// As [`encode_whole`], with the way to look into terms given.
///
/// # Errors
/// As [`encode_whole`].
pub fn encode_word_whole<'t, T: Terms<'t>, S: Sink>(
    terms: T,
    term: Word,
    sink: &mut S,
) -> Result<u64, EncodeError> {
    let budget = Budget {
        bytes: WHOLE_BYTES,
        depth: WHOLE_DEPTH,
        length: None,
    };
    static ALL_SHOWN: Redaction = Redaction::off();
    Encoder::new(terms, budget, &ALL_SHOWN, true, sink).run(term)
}

struct Encoder<'e, T, S> {
    terms: T,
    writer: Writer<'e, S>,
    depth: usize,
    length: u64,
    redaction: &'e Redaction,
    whole: bool,
    /// Whether the term itself stands in a list.
    in_list: bool,
    steps: u64,
}

/// What became of a term.
enum Wrote<'t> {
    Whole,
    NoRoom,
    /// Nothing yet: it is a container.
    Container(Shape<'t>),
}

impl<'t> From<Fit> for Wrote<'t> {
    #[inline(always)]
    fn from(fit: Fit) -> Self {
        match fit {
            Fit::Written => Wrote::Whole,
            Fit::NoRoom => Wrote::NoRoom,
        }
    }
}

impl<'e, 't: 'f, 'f, T: Terms<'t>, S: Sink> Encoder<'e, T, S> {
    #[inline]
    fn new(
        terms: T,
        budget: Budget,
        redaction: &'e Redaction,
        whole: bool,
        sink: &'e mut S,
    ) -> Self {
        Encoder {
            terms,
            writer: Writer::new(sink, budget.bytes),
            depth: budget.depth as usize,
            length: budget.length.map_or(u64::MAX, u64::from),
            redaction,
            whole,
            in_list: false,
            steps: 0,
        }
    }

    #[inline]
    fn run(mut self, term: Word) -> Result<u64, EncodeError> {
        match self.scalar(term)? {
            Wrote::Whole => Ok(self.steps),
            Wrote::NoRoom => self.left_out(),
            Wrote::Container(shape) => self.run_container(term, shape),
        }
    }

    fn run_container(mut self, term: Word, shape: Shape<'t>) -> Result<u64, EncodeError> {
        let mut stack = Stack::new();
        match self.open(term, shape, &mut stack)? {
            Fit::Written => self.contents(&mut stack),
            Fit::NoRoom => self.left_out(),
        }
    }

    fn left_out(&mut self) -> Result<u64, EncodeError> {
        if self.whole {
            return Err(EncodeError::TooBig);
        }
        self.writer.left_out()?;
        Ok(self.steps)
    }

    /// Writes a term, if that takes no more than one step.
    #[inline(always)]
    fn scalar(&mut self, term: Word) -> Result<Wrote<'t>, EncodeError> {
        self.steps += 1;
        let fit = match self.terms.shape(term) {
            Shape::Int(value) => self.writer.int(value)?,
            Shape::Atom(atom) => self.atom(atom)?,
            Shape::Binary(bytes) => self.binary(bytes)?,
            container @ (Shape::Tuple(_)
            | Shape::Cons(..)
            | Shape::FlatMap(..)
            | Shape::Map
            | Shape::Fun) => {
                return Ok(Wrote::Container(container));
            }
            other => self.other(term, other)?,
        };
        Ok(fit.into())
    }

    #[inline(never)]
    fn other(&mut self, term: Word, shape: Shape<'t>) -> Result<Fit, EncodeError> {
        Ok(match shape {
            Shape::Float(value) => self.writer.float(value)?,
            Shape::Nil => self.writer.nil()?,
            Shape::Pid(process) => self.writer.pid(process)?,
            Shape::Port(port) => self.writer.port(port)?,
            Shape::Ref(numbers) => self.writer.reference(numbers.words())?,
            Shape::Big(negative, magnitude) => self.writer.big(negative, magnitude)?,
            Shape::Bits(bits) => self.bits(bits)?,
            Shape::Export(module, function, arity) => self.export(module, function, arity)?,
            _ => self.rare(term)?,
        })
    }

    #[inline(always)]
    fn atom(&mut self, atom: AtomId) -> Result<Fit, Full> {
        note_atom(atom);
        self.writer.atom(atom)
    }

    fn export(&mut self, module: AtomId, function: AtomId, arity: u32) -> Result<Fit, Full> {
        note_atom(module);
        note_atom(function);
        self.writer.export(module, function, arity)
    }

    #[inline(always)]
    fn binary(&mut self, bytes: &[u8]) -> Result<Fit, Full> {
        if self.whole && bytes.len() + 16 > self.writer.left() {
            return Ok(Fit::NoRoom);
        }
        self.writer.binary(bytes)
    }

    #[cold]
    fn bits(&mut self, bits: Bits<'_>) -> Result<Fit, Full> {
        let bytes = bits.bits.div_ceil(8);
        let left = self.writer.left() as u64;
        if self.whole && bytes + 16 > left {
            return Ok(Fit::NoRoom);
        }
        self.writer
            .bits(&bits.shifted(bytes.min(left + 1)), bits.bits)
    }

    #[cold]
    fn rare(&mut self, term: Word) -> Result<Fit, Full> {
        match self.terms.rare(term) {
            Rare::Big(negative, magnitude) => self.writer.big(negative, &magnitude),
            Rare::Bits(bytes, bits) => self.bits(Bits {
                bytes: &bytes,
                offset: 0,
                bits,
            }),
            Rare::Ref(numbers) => self.writer.reference(numbers.words()),
            Rare::Export(module, function, arity) => self.export(module, function, arity),
            Rare::Foreign(external) => self.writer.foreign(&external),
            Rare::FunText(text) => self.writer.truncated(Cut::FunEnv, 0, None, &text),
        }
    }

    /// Opens a container, or writes a mark where it stands too deep.
    #[inline]
    fn open(
        &mut self,
        term: Word,
        shape: Shape<'t>,
        stack: &mut Stack<'f, T::Map>,
    ) -> Result<Fit, EncodeError> {
        let (container, frame) = match shape {
            Shape::Tuple(elements) => {
                let mask_last = match elements {
                    [key, _] if self.redaction.is_on() => self.masks_pair(*key, stack.top()),
                    _ => false,
                };
                let size = size_of(elements.len());
                (
                    Container::Tuple(size),
                    Frame::Tuple {
                        rest: elements,
                        size,
                        mask_last,
                    },
                )
            }
            Shape::Cons(..) => (
                Container::List,
                Frame::List {
                    next: term,
                    begun: 0,
                },
            ),
            Shape::FlatMap(keys, values) => {
                let size = size_of(keys.len());
                (
                    Container::Map(size),
                    Frame::FlatMap {
                        keys,
                        values,
                        size,
                        in_key: None,
                    },
                )
            }
            Shape::Map => return self.open_map(term, stack),
            _ => return self.open_fun(term, stack),
        };
        if stack.depth() >= self.depth
            && !matches!(container, Container::Tuple(0) | Container::Map(0))
        {
            return self.too_deep(container);
        }
        let fit = self.writer.open(container)?;
        if fit == Fit::Written {
            stack.push(frame);
        }
        Ok(fit)
    }

    #[inline(never)]
    fn open_map(&mut self, term: Word, stack: &mut Stack<'f, T::Map>) -> Result<Fit, EncodeError> {
        let Some(map) = self.terms.map(term) else {
            return Ok(self.writer.truncated(Cut::Map, 0, None, &[])?);
        };
        let size = size_of(map.len());
        if stack.depth() >= self.depth && size > 0 {
            return self.too_deep(Container::Map(size));
        }
        let fit = self.writer.open(Container::Map(size))?;
        if fit == Fit::Written {
            stack.push_map(size, map);
        }
        Ok(fit)
    }

    #[cold]
    fn too_deep(&mut self, container: Container) -> Result<Fit, EncodeError> {
        if self.whole {
            return Err(EncodeError::TooBig);
        }
        let size = match container {
            Container::Tuple(n) | Container::Map(n) => Some(u64::from(n)),
            Container::List | Container::Fun(_) => None,
        };
        Ok(self.writer.truncated(Cut::Depth, 0, size, &[])?)
    }

    #[inline(never)]
    fn open_fun(&mut self, term: Word, stack: &mut Stack<'f, T::Map>) -> Result<Fit, EncodeError> {
        let Some(fun) = self.terms.fun(term) else {
            return Ok(self.rare(term)?);
        };
        let size = size_of(fun.env.len());
        if stack.depth() >= self.depth {
            return self.too_deep(Container::Fun(size));
        }
        note_atom(fun.module);
        let head = FunHead {
            module: fun.module,
            arity: fun.arity,
            index: fun.index,
            uniq: fun.uniq,
            old_index: fun.old_index,
            old_uniq: fun.old_uniq,
            free: size,
        };
        if self.writer.open_fun(&head)? == Fit::NoRoom {
            return Ok(Fit::NoRoom);
        }
        match self.creator(&fun)? {
            Fit::Written => stack.push(Frame::Fun {
                rest: fun.env,
                size,
            }),
            Fit::NoRoom if self.whole => return Err(EncodeError::TooBig),
            Fit::NoRoom => self
                .writer
                .cut(Container::Fun(size), 0, Some(u64::from(size)))?,
        }
        Ok(Fit::Written)
    }

    fn creator(&mut self, fun: &Fun<'t>) -> Result<Fit, Full> {
        match fun
            .creator
            .map(|creator| (creator, self.terms.shape(creator)))
        {
            Some((_, Shape::Pid(process))) => self.writer.pid(process),
            Some((creator, Shape::Rare)) => match self.terms.rare(creator) {
                Rare::Foreign(external) => self.writer.foreign(&external),
                _ => self.writer.nil(),
            },
            _ => self.writer.nil(),
        }
    }

    /// Whether `{key, value}` hides its value. Where only given keys are shown, a pair counts in lists alone: elsewhere it is
    /// more often `{:ok, value}` than a field.
    fn masks_pair(&self, key: Word, parent: Option<Frame<'f>>) -> bool {
        let in_list = parent.map_or(self.in_list, |parent| matches!(parent, Frame::List { .. }));
        pair_counts(self.redaction, in_list) && masks_under(self.terms, self.redaction, key)
    }
}

fn size_of(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
