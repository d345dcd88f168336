//! The way through containers: a loop for each kind, which goes on while what it meets takes one step.

use elixir_scope_engine::value::{Container, Fit, Sink};

use super::masks::{masks_bits, masks_charlist};
use super::{EncodeError, Encoder, Wrote};
use crate::term::frames::{Cutting, Frame, Stack};
use crate::term::{MapPairs, Shape, Terms, Word};

/// What became of a map's key.
enum Key<'t> {
    /// Written, and whether the value under it is masked.
    Written(bool),
    NoRoom,
    /// It takes more than one step; whether the value under it is masked.
    Container(Shape<'t>, bool),
}

impl<'t: 'f, 'f, T: Terms<'t>, S: Sink> Encoder<'_, T, S> {
    /// Writes what is open, to its end.
    pub(super) fn contents(&mut self, stack: &mut Stack<'f, T::Map>) -> Result<u64, EncodeError> {
        while let Some(frame) = stack.top() {
            match frame {
                Frame::Tuple {
                    rest,
                    size,
                    mask_last,
                } => self.tuple(rest, size, mask_last, stack)?,
                Frame::List { next, begun } => self.list(next, begun, stack)?,
                Frame::FlatMap {
                    keys,
                    values,
                    size,
                    in_key,
                } => self.flat_map(keys, values, size, in_key, stack)?,
                Frame::Map {
                    size,
                    begun,
                    after_key,
                } => self.map(size, begun, after_key, stack)?,
                Frame::Fun { rest, size } => self.environment(rest, size, stack)?,
                Frame::Tail => stack.pop(),
            }
        }
        Ok(self.steps)
    }

    /// Goes into a container, or says that it does not fit; `frame` is what is left of the one that it stands in.
    #[inline]
    fn enter(
        &mut self,
        frame: Frame<'f>,
        wrote: Wrote<'t>,
        term: Word,
        stack: &mut Stack<'f, T::Map>,
    ) -> Result<(), EncodeError> {
        stack.replace(frame);
        let fit = match wrote {
            Wrote::Container(shape) => self.open(term, shape, stack)?,
            Wrote::Whole => Fit::Written,
            Wrote::NoRoom => Fit::NoRoom,
        };
        if fit == Fit::NoRoom {
            self.no_room(stack)
        } else {
            Ok(())
        }
    }

    #[inline]
    fn tuple(
        &mut self,
        mut rest: &'f [Word],
        size: u32,
        mask_last: bool,
        stack: &mut Stack<'f, T::Map>,
    ) -> Result<(), EncodeError> {
        while let [element, after @ ..] = rest {
            rest = after;
            let mask = mask_last && rest.is_empty();
            let wrote = if mask {
                self.writer.redacted()?.into()
            } else {
                self.scalar(*element)?
            };
            if !matches!(wrote, Wrote::Whole) {
                return self.enter(
                    Frame::Tuple {
                        rest,
                        size,
                        mask_last,
                    },
                    wrote,
                    *element,
                    stack,
                );
            }
        }
        self.writer.close(Container::Tuple(size))?;
        stack.pop();
        Ok(())
    }

    fn environment(
        &mut self,
        mut rest: &'f [Word],
        size: u32,
        stack: &mut Stack<'f, T::Map>,
    ) -> Result<(), EncodeError> {
        while let [value, after @ ..] = rest {
            rest = after;
            let wrote = self.scalar(*value)?;
            if !matches!(wrote, Wrote::Whole) {
                return self.enter(Frame::Fun { rest, size }, wrote, *value, stack);
            }
        }
        self.writer.close(Container::Fun(size))?;
        stack.pop();
        Ok(())
    }

    #[inline]
    fn list(
        &mut self,
        mut next: Word,
        mut begun: u64,
        stack: &mut Stack<'f, T::Map>,
    ) -> Result<(), EncodeError> {
        loop {
            match self.terms.shape(next) {
                Shape::Cons(_, _) if begun >= self.length => {
                    self.writer.cut(Container::List, begun, None)?;
                    break;
                }
                Shape::Cons(head, tail) => {
                    begun += 1;
                    next = tail;
                    let wrote = self.scalar(head)?;
                    if !matches!(wrote, Wrote::Whole) {
                        return self.enter(Frame::List { next, begun }, wrote, head, stack);
                    }
                }
                Shape::Nil => {
                    self.writer.close(Container::List)?;
                    break;
                }
                _ => {
                    self.writer.tail()?;
                    let wrote = self.scalar(next)?;
                    return self.enter(Frame::Tail, wrote, next, stack);
                }
            }
        }
        stack.pop();
        Ok(())
    }

    #[inline]
    fn flat_map(
        &mut self,
        mut keys: &'f [Word],
        mut values: &'f [Word],
        size: u32,
        mut in_key: Option<bool>,
        stack: &mut Stack<'f, T::Map>,
    ) -> Result<(), EncodeError> {
        let container = Container::Map(size);
        loop {
            let masked;
            if let Some(mask) = in_key.take() {
                masked = mask;
            } else {
                let [key, after @ ..] = keys else {
                    self.writer.close(container)?;
                    break;
                };
                let begun = u64::from(size) - keys.len() as u64;
                let wrote = if begun < self.length {
                    self.key(*key)?
                } else {
                    Key::NoRoom
                };
                keys = after;
                match wrote {
                    Key::Written(mask) => masked = mask,
                    Key::NoRoom if self.whole => return Err(EncodeError::TooBig),
                    Key::NoRoom => {
                        self.writer.cut(container, begun, Some(u64::from(size)))?;
                        break;
                    }
                    Key::Container(shape, masked) => {
                        let frame = Frame::FlatMap {
                            keys,
                            values,
                            size,
                            in_key: Some(masked),
                        };
                        return self.enter(frame, Wrote::Container(shape), *key, stack);
                    }
                }
            }
            let [value, after @ ..] = values else { break };
            values = after;
            let wrote = if masked {
                self.writer.redacted()?.into()
            } else {
                self.scalar(*value)?
            };
            if !matches!(wrote, Wrote::Whole) {
                let frame = Frame::FlatMap {
                    keys,
                    values,
                    size,
                    in_key: None,
                };
                return self.enter(frame, wrote, *value, stack);
            }
        }
        stack.pop();
        Ok(())
    }

    fn map(
        &mut self,
        size: u32,
        mut begun: u32,
        mut after_key: Option<(Word, bool)>,
        stack: &mut Stack<'f, T::Map>,
    ) -> Result<(), EncodeError> {
        let container = Container::Map(size);
        loop {
            let (value, masked) = if let Some(pair) = after_key.take() {
                pair
            } else {
                if begun == size {
                    self.writer.close(container)?;
                    break;
                }
                let within = u64::from(begun) < self.length;
                let pair = stack
                    .walk()
                    .filter(|_| within)
                    .and_then(MapPairs::next_pair);
                let wrote = match pair {
                    Some((key, _)) => self.key(key)?,
                    None => Key::NoRoom,
                };
                match (wrote, pair) {
                    (Key::Written(masked), Some((_, value))) => {
                        begun += 1;
                        (value, masked)
                    }
                    (Key::Container(shape, masked), Some((key, value))) => {
                        let frame = Frame::Map {
                            size,
                            begun: begun + 1,
                            after_key: Some((value, masked)),
                        };
                        return self.enter(frame, Wrote::Container(shape), key, stack);
                    }
                    _ if self.whole => return Err(EncodeError::TooBig),
                    _ => {
                        self.writer
                            .cut(container, u64::from(begun), Some(u64::from(size)))?;
                        break;
                    }
                }
            };
            let wrote = if masked {
                self.writer.redacted()?.into()
            } else {
                self.scalar(value)?
            };
            if !matches!(wrote, Wrote::Whole) {
                return self.enter(
                    Frame::Map {
                        size,
                        begun,
                        after_key: None,
                    },
                    wrote,
                    value,
                    stack,
                );
            }
        }
        stack.pop();
        Ok(())
    }

    #[inline(always)]
    fn key(&mut self, key: Word) -> Result<Key<'t>, EncodeError> {
        self.steps += 1;
        let (fit, masked) = match self.terms.shape(key) {
            Shape::Atom(atom) => (self.atom(atom)?, self.redaction.masks_atom(atom)),
            Shape::Binary(text) => (self.binary(text)?, self.redaction.masks_text(text)),
            Shape::Int(value) => (self.writer.int(value)?, false),
            Shape::Bits(bits) => (self.bits(bits)?, masks_bits(self.redaction, bits)),
            container @ Shape::Cons(..) => {
                return Ok(Key::Container(
                    container,
                    masks_charlist(self.terms, self.redaction, key),
                ));
            }
            container @ (Shape::Tuple(_) | Shape::FlatMap(..) | Shape::Map | Shape::Fun) => {
                return Ok(Key::Container(container, false));
            }
            other => (self.other(key, other)?, false),
        };
        Ok(if fit == Fit::Written {
            Key::Written(masked)
        } else {
            Key::NoRoom
        })
    }

    /// Marks what did not fit, by ending the container that it stands in.
    #[cold]
    fn no_room(&mut self, stack: &mut Stack<'f, T::Map>) -> Result<(), EncodeError> {
        if self.whole {
            return Err(EncodeError::TooBig);
        }
        match stack.top().map(|frame| frame.cutting()) {
            Some(Cutting::Cut(container, kept, total)) => {
                self.writer.cut(container, kept, total)?
            }
            Some(Cutting::MarkAndCut(size, kept)) => {
                self.writer.left_out()?;
                if kept < size {
                    self.writer.cut(
                        Container::Map(size),
                        u64::from(kept),
                        Some(u64::from(size)),
                    )?;
                }
            }
            Some(Cutting::Mark) | None => self.writer.left_out()?,
        }
        stack.pop();
        Ok(())
    }
}
