//! One pass over a term, into a sink: within a budget, masked as configured, whatever the term.
//!
//! The encoder does not recurse. It writes at least one byte for each step that it takes, so that the budget of bytes
//! bounds the work as well: a closure over thirty levels of `{x, x}`, of which a copy would have a thousand million parts, is
//! left where the budget ends.

use elixir_scope_engine::event::AtomId;
use elixir_scope_engine::value::{Budget, Container, Cut, Fit, Full, FunHead, Sink, Writer};
use rustler::Term;
use smallvec::SmallVec;

use super::frames::{Frame, MapPlace};
use super::nif::NifTerms;
use super::raw::RawTerms;
use super::redact::{LONGEST_KEY, Redaction};
use super::{Bits, Fun, MapPairs, Rare, Shape, Terms, Word, note_atom, word};

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
#[inline]
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
#[inline]
pub fn encode_word<'t, T: Terms<'t>, S: Sink>(
    terms: T,
    term: Word,
    rules: &Rules,
    sink: &mut S,
) -> Result<u64, EncodeError> {
    Encoder::new(terms, rules.budget, &rules.redaction, false, sink).run(term)
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
    Encoder::new(terms, budget, &Redaction::off(), true, sink).run(term)
}

struct Encoder<'e, T, S> {
    terms: T,
    writer: Writer<'e, S>,
    depth: usize,
    length: u64,
    redaction: &'e Redaction,
    whole: bool,
    steps: u64,
}

type Stack<'t, M> = SmallVec<[Frame<'t, M>; 8]>;

/// What is written next.
enum Next {
    Value(Word),
    Mask,
}

/// What became of a map's key.
enum Key {
    /// Written, and whether the value under it is masked.
    Written(bool),
    NoRoom,
    /// It takes more than one step.
    Compound,
}

impl<'e, 't, T: Terms<'t>, S: Sink> Encoder<'e, T, S> {
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
            steps: 0,
        }
    }

    #[inline]
    fn run(mut self, term: Word) -> Result<u64, EncodeError> {
        let mut stack = Stack::new();
        let mut next = Next::Value(term);
        loop {
            let fit = match next {
                Next::Value(term) => self.value(term, &mut stack)?,
                Next::Mask => self.writer.redacted()?,
            };
            if fit == Fit::NoRoom {
                self.no_room(&mut stack)?;
            }
            next = loop {
                let Some(frame) = stack.last_mut() else {
                    return Ok(self.steps);
                };
                match self.advance(frame)? {
                    Some(next) => break next,
                    None => stack.pop(),
                };
            };
        }
    }

    /// Writes a term, or opens it.
    #[inline]
    fn value(&mut self, term: Word, stack: &mut Stack<'t, T::Map>) -> Result<Fit, EncodeError> {
        self.steps += 1;
        let fit = match self.terms.shape(term) {
            Shape::Int(value) => self.writer.int(value)?,
            Shape::Atom(atom) => self.atom(atom)?,
            Shape::Binary(bytes) => self.binary(bytes)?,
            Shape::Float(value) => self.writer.float(value)?,
            Shape::Nil => self.writer.nil()?,
            Shape::Pid(process) => self.writer.pid(process)?,
            Shape::Tuple(elements) => return self.open_tuple(elements, stack),
            Shape::Cons(..) => {
                return self.open(
                    Container::List,
                    Frame::List {
                        next: term,
                        begun: 0,
                    },
                    stack,
                );
            }
            Shape::FlatMap(keys, values) => {
                let size = size_of(keys.len());
                let frame = Frame::FlatMap {
                    keys,
                    values,
                    place: MapPlace::new(size),
                };
                return self.open(Container::Map(size), frame, stack);
            }
            Shape::Map(map) => {
                let size = size_of(map.len());
                let frame = Frame::Map {
                    map,
                    place: MapPlace::new(size),
                };
                return self.open(Container::Map(size), frame, stack);
            }
            Shape::Fun => match self.terms.fun(term) {
                Some(fun) => return self.open_fun(&fun, stack),
                None => self.rare(term)?,
            },
            Shape::Port(port) => self.writer.port(port)?,
            Shape::Ref(numbers) => self.writer.reference(numbers.words())?,
            Shape::Big(negative, magnitude) => self.writer.big(negative, magnitude)?,
            Shape::Bits(bits) => self.bits(bits)?,
            Shape::Export(module, function, arity) => self.export(module, function, arity)?,
            Shape::Rare => self.rare(term)?,
        };
        Ok(fit)
    }

    #[inline]
    fn atom(&mut self, atom: AtomId) -> Result<Fit, Full> {
        note_atom(atom);
        self.writer.atom(atom)
    }

    fn export(&mut self, module: AtomId, function: AtomId, arity: u32) -> Result<Fit, Full> {
        note_atom(module);
        note_atom(function);
        self.writer.export(module, function, arity)
    }

    #[inline]
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

    #[inline]
    fn open(
        &mut self,
        container: Container,
        frame: Frame<'t, T::Map>,
        stack: &mut Stack<'t, T::Map>,
    ) -> Result<Fit, EncodeError> {
        let size = match container {
            Container::List => None,
            Container::Tuple(n) | Container::Map(n) | Container::Fun(n) => Some(n),
        };
        if stack.len() >= self.depth && size != Some(0) {
            return self.too_deep(size.map(u64::from));
        }
        let fit = self.writer.open(container)?;
        if fit == Fit::Written {
            stack.push(frame);
        }
        Ok(fit)
    }

    #[cold]
    fn too_deep(&mut self, size: Option<u64>) -> Result<Fit, EncodeError> {
        if self.whole {
            return Err(EncodeError::TooBig);
        }
        Ok(self.writer.truncated(Cut::Depth, 0, size, &[])?)
    }

    #[inline]
    fn open_tuple(
        &mut self,
        elements: &'t [Word],
        stack: &mut Stack<'t, T::Map>,
    ) -> Result<Fit, EncodeError> {
        let mask_last = match elements {
            [key, _] if self.redaction.is_on() => self.masks_pair(*key, stack.last()),
            _ => false,
        };
        let size = size_of(elements.len());
        self.open(
            Container::Tuple(size),
            Frame::Tuple {
                rest: elements,
                size,
                mask_last,
            },
            stack,
        )
    }

    /// Whether `{key, value}` hides its value. Where only given keys are shown, a pair counts in lists alone: elsewhere it is
    /// more often `{:ok, value}` than a field.
    fn masks_pair(&self, key: Word, parent: Option<&Frame<'t, T::Map>>) -> bool {
        if self.redaction.shows_only() && !matches!(parent, Some(Frame::List { .. })) {
            return false;
        }
        match self.terms.shape(key) {
            Shape::Atom(atom) => self.redaction.masks_atom(atom),
            Shape::Binary(text) => self.redaction.masks_text(text),
            Shape::Bits(bits) => self.masks_bits(bits),
            Shape::Cons(..) => self
                .charlist(key)
                .is_some_and(|text| self.redaction.masks_text(&text)),
            _ => false,
        }
    }

    /// A binary that does not start at a byte.
    fn masks_bits(&self, bits: Bits<'_>) -> bool {
        bits.bits.is_multiple_of(8)
            && self
                .redaction
                .masks_text(&bits.shifted(LONGEST_KEY as u64 + 1))
    }

    /// A short list of bytes; `None` of any other list.
    fn charlist(&self, mut list: Word) -> Option<SmallVec<[u8; LONGEST_KEY]>> {
        let mut text = SmallVec::new();
        loop {
            match self.terms.shape(list) {
                Shape::Nil => return Some(text),
                Shape::Cons(head, tail) if text.len() < LONGEST_KEY => {
                    let Shape::Int(character) = self.terms.shape(head) else {
                        return None;
                    };
                    text.push(u8::try_from(character).ok()?);
                    list = tail;
                }
                _ => return None,
            }
        }
    }

    fn open_fun(
        &mut self,
        fun: &Fun<'t>,
        stack: &mut Stack<'t, T::Map>,
    ) -> Result<Fit, EncodeError> {
        let size = size_of(fun.env.len());
        if stack.len() >= self.depth {
            return self.too_deep(None);
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
        let fit = self.writer.open_fun(&head)?;
        if fit == Fit::NoRoom {
            return Ok(fit);
        }
        let creator = match fun
            .creator
            .map(|creator| (creator, self.terms.shape(creator)))
        {
            Some((_, Shape::Pid(process))) => self.writer.pid(process)?,
            Some((creator, Shape::Rare)) => match self.terms.rare(creator) {
                Rare::Foreign(external) => self.writer.foreign(&external)?,
                _ => self.writer.nil()?,
            },
            _ => self.writer.nil()?,
        };
        match creator {
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

    /// The next thing to write in a container; `None` when it is closed.
    #[inline]
    fn advance(&mut self, frame: &mut Frame<'t, T::Map>) -> Result<Option<Next>, EncodeError> {
        match frame {
            Frame::Tuple {
                rest,
                size,
                mask_last,
            } => {
                if let [element, after @ ..] = *rest {
                    *rest = after;
                    let mask = *mask_last && after.is_empty();
                    return Ok(Some(if mask {
                        Next::Mask
                    } else {
                        Next::Value(*element)
                    }));
                }
                self.writer.close(Container::Tuple(*size))?;
                Ok(None)
            }
            Frame::List { next, begun } => match self.terms.shape(*next) {
                Shape::Cons(head, tail) => {
                    if *begun >= self.length {
                        self.writer.cut(Container::List, *begun, None)?;
                        return Ok(None);
                    }
                    *begun += 1;
                    *next = tail;
                    Ok(Some(Next::Value(head)))
                }
                Shape::Nil => {
                    self.writer.close(Container::List)?;
                    Ok(None)
                }
                _ => {
                    let tail = *next;
                    self.writer.tail()?;
                    *frame = Frame::Tail;
                    Ok(Some(Next::Value(tail)))
                }
            },
            Frame::Tail => Ok(None),
            Frame::FlatMap { .. } | Frame::Map { .. } => self.advance_map(frame),
            Frame::Fun { rest, size } => {
                if let [value, after @ ..] = *rest {
                    *rest = after;
                    return Ok(Some(Next::Value(*value)));
                }
                self.writer.close(Container::Fun(*size))?;
                Ok(None)
            }
        }
    }

    #[inline]
    fn advance_map(&mut self, frame: &mut Frame<'t, T::Map>) -> Result<Option<Next>, EncodeError> {
        let Some(place) = frame.map_place() else {
            return Ok(None);
        };
        if let Some(value) = place.after_key.take() {
            return Ok(Some(Next::Value(value)));
        }
        let MapPlace { size, begun, .. } = *place;
        let container = Container::Map(size);
        if begun == size {
            self.writer.close(container)?;
            return Ok(None);
        }
        let pair = if u64::from(begun) < self.length {
            frame.next_pair()
        } else {
            None
        };
        let (Some((key, value)), Some(place)) = (pair, frame.map_place()) else {
            self.writer
                .cut(container, u64::from(begun), Some(u64::from(size)))?;
            return Ok(None);
        };
        place.begun += 1;
        match self.key(key)? {
            Key::Written(false) => Ok(Some(Next::Value(value))),
            Key::Written(true) => Ok(Some(Next::Mask)),
            Key::Compound => {
                place.after_key = Some(value);
                Ok(Some(Next::Value(key)))
            }
            Key::NoRoom if self.whole => Err(EncodeError::TooBig),
            Key::NoRoom => {
                self.writer
                    .cut(container, u64::from(begun), Some(u64::from(size)))?;
                Ok(None)
            }
        }
    }

    #[inline]
    fn key(&mut self, key: Word) -> Result<Key, Full> {
        let (fit, masked) = match self.terms.shape(key) {
            Shape::Atom(atom) => (self.atom(atom)?, self.redaction.masks_atom(atom)),
            Shape::Binary(text) => (self.binary(text)?, self.redaction.masks_text(text)),
            Shape::Bits(bits) => (self.bits(bits)?, self.masks_bits(bits)),
            Shape::Int(value) => (self.writer.int(value)?, false),
            _ => return Ok(Key::Compound),
        };
        self.steps += 1;
        Ok(if fit == Fit::Written {
            Key::Written(masked)
        } else {
            Key::NoRoom
        })
    }

    /// Marks what did not fit, by ending the container that it stands in.
    #[cold]
    fn no_room(&mut self, stack: &mut Stack<'t, T::Map>) -> Result<(), EncodeError> {
        if self.whole {
            return Err(EncodeError::TooBig);
        }
        let Some(frame) = stack.last_mut() else {
            return Ok(self.writer.left_out()?);
        };
        if let Some((container, kept, total)) = frame.cut() {
            self.writer.cut(container, kept, total)?;
        } else if let Some(place) = frame.map_place() {
            let in_key = place.after_key.is_some();
            if !in_key {
                self.writer.left_out()?;
            }
            let kept = place.begun - u32::from(in_key);
            if kept < place.size {
                self.writer.cut(
                    Container::Map(place.size),
                    u64::from(kept),
                    Some(u64::from(place.size)),
                )?;
            }
        } else {
            self.writer.left_out()?;
        }
        stack.pop();
        Ok(())
    }
}

fn size_of(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
