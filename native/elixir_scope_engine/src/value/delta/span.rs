//! Values whose containers are measured: read once from end to end, they can be taken apart level by level, and no level
//! costs more than it has parts.

use smallvec::SmallVec;

use super::super::cut::Mark;
use super::super::format;
use super::super::reader::{Flaw, Malformed, Nesting, PLAIN, Reader, Token};

/// A value in bytes that may be measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span<'a> {
    pub(super) bytes: &'a [u8],
    /// Its place among the [`Shapes`], if it is a container.
    shape: u32,
}

const UNMEASURED: u32 = u32::MAX;

impl<'a> Span<'a> {
    /// A value that is measured if ever it is opened.
    #[inline]
    pub(super) fn unmeasured(bytes: &'a [u8]) -> Self {
        Span {
            bytes,
            shape: UNMEASURED,
        }
    }

    #[inline]
    pub(super) fn tag(&self) -> u8 {
        self.bytes.first().copied().unwrap_or_default()
    }
}

/// Values of 4 GiB are not measured.
fn small(number: usize) -> Result<u32, Malformed> {
    u32::try_from(number).map_err(|_| Malformed {
        at: number,
        flaw: Flaw::Number,
    })
}

/// A container that was measured.
#[derive(Clone, Copy, Debug)]
struct Shape {
    size: u32,
    /// The first shape behind those of its parts.
    after: u32,
    /// Whether a masked value is in it.
    masked: bool,
}

/// The sizes of containers, those of a value one after another as they begin in the bytes.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    shapes: Vec<Shape>,
}

/// What a container begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Head {
    List,
    Tuple(u32),
    Map(u32),
}

/// What comes next in a container.
#[derive(Clone, Copy, Debug)]
pub(super) enum Next<'a> {
    /// An element; in a map, a key or a value.
    Part(Span<'a>),
    End,
    Tail(Span<'a>),
    Cut(Mark<'a>),
}

impl Shapes {
    /// Reads the first value in `bytes` from end to end.
    pub(super) fn measure<'a>(&mut self, bytes: &'a [u8]) -> Result<Span<'a>, Malformed> {
        let first = self.shapes.len();
        let measured = self.measure_from(first, bytes);
        if measured.is_err() {
            self.shapes.truncate(first);
        }
        measured
    }

    fn measure_from<'a>(&mut self, first: usize, bytes: &'a [u8]) -> Result<Span<'a>, Malformed> {
        let mut reader = Reader::new(bytes);
        let mut nesting = Nesting::new();
        let mut open = SmallVec::<[usize; 16]>::new();
        loop {
            let at = reader.at();
            let flawed = |flaw| Malformed { at, flaw };
            let done = if reader.skip_plain() {
                nesting.accept(&PLAIN).map_err(flawed)?
            } else {
                let token = reader.token()?;
                match token {
                    Token::List | Token::Tuple(1..) | Token::Map(1..) | Token::Fun(_) => {
                        open.push(self.shapes.len());
                        self.shapes.push(Shape {
                            size: small(at)?,
                            after: 0,
                            masked: false,
                        });
                    }
                    Token::Redacted => self.mask(open.last()),
                    _ => {}
                }
                nesting.accept(&token).map_err(flawed)?
            };
            while open.len() > nesting.depth() {
                self.close(&mut open, reader.at())?;
            }
            if done {
                return Ok(Span {
                    bytes: bytes.get(..reader.at()).unwrap_or_default(),
                    shape: small(first)?,
                });
            }
        }
    }

    /// The innermost open container ends here.
    fn close(&mut self, open: &mut SmallVec<[usize; 16]>, end: usize) -> Result<(), Malformed> {
        let after = small(self.shapes.len())?;
        if let Some(shape) = open.pop().and_then(|shape| self.shapes.get_mut(shape)) {
            shape.size = small(end)? - shape.size;
            shape.after = after;
            if shape.masked {
                self.mask(open.last());
            }
        }
        Ok(())
    }

    #[inline]
    fn mask(&mut self, shape: Option<&usize>) {
        if let Some(shape) = shape.and_then(|&shape| self.shapes.get_mut(shape)) {
            shape.masked = true;
        }
    }

    /// Whether `span`, which is measured, is masked or has a masked part.
    pub(super) fn is_masked(&self, span: &Span<'_>) -> bool {
        match span.tag() {
            format::LIST | format::TUPLE | format::MAP | format::FUN => self
                .shapes
                .get(span.shape as usize)
                .is_some_and(|shape| shape.masked),
            tag => tag == format::REDACTED,
        }
    }

    /// What `span` begins with, and its parts. None if it is no list, tuple or map. Measures it if that was not done.
    pub(super) fn open<'a>(
        &mut self,
        mut span: Span<'a>,
    ) -> Result<Option<(Head, Parts<'_, 'a>)>, Malformed> {
        if span.shape == UNMEASURED {
            span = self.measure(span.bytes)?;
        }
        self.parts(span)
    }

    /// The same where it is measured.
    pub(super) fn parts<'a>(
        &self,
        span: Span<'a>,
    ) -> Result<Option<(Head, Parts<'_, 'a>)>, Malformed> {
        let mut reader = Reader::new(span.bytes);
        let (head, left) = match reader.token()? {
            Token::List => (Head::List, None),
            Token::Tuple(n) => (Head::Tuple(n), Some(u64::from(n))),
            Token::Map(n) => (Head::Map(n), Some(2 * u64::from(n))),
            _ => return Ok(None),
        };
        let parts = Parts {
            shapes: self,
            rest: reader.rest(),
            shape: span.shape.saturating_add(1),
            left,
        };
        Ok(Some((head, parts)))
    }
}

/// Goes through the parts of a container.
#[derive(Debug)]
pub(super) struct Parts<'s, 'a> {
    shapes: &'s Shapes,
    rest: &'a [u8],
    shape: u32,
    /// Keys, values or elements left, where that is known.
    left: Option<u64>,
}

impl<'a> Parts<'_, 'a> {
    /// What comes next. After anything but a part there is nothing more.
    #[inline]
    pub(super) fn next(&mut self) -> Result<Next<'a>, Malformed> {
        if let Some(left) = &mut self.left {
            if *left == 0 {
                return Ok(Next::End);
            }
            *left -= 1;
        }
        match self.token()? {
            (Token::End, _) => Ok(Next::End),
            (Token::Cut(mark), _) => Ok(Next::Cut(mark)),
            (Token::Tail, _) => {
                self.rest = self.rest.get(1..).unwrap_or_default();
                let (token, size) = self.token()?;
                Ok(Next::Tail(self.take(&token, size)))
            }
            (token, size) => Ok(Next::Part(self.take(&token, size))),
        }
    }

    #[inline]
    fn token(&self) -> Result<(Token<'a>, usize), Malformed> {
        let mut reader = Reader::new(self.rest);
        let token = reader.token()?;
        Ok((token, reader.at()))
    }

    #[inline]
    fn take(&mut self, token: &Token<'a>, mut size: usize) -> Span<'a> {
        let mut shape = UNMEASURED - 1;
        if let Token::List | Token::Tuple(1..) | Token::Map(1..) | Token::Fun(_) = token
            && let Some(measured) = self.shapes.shapes.get(self.shape as usize)
        {
            shape = self.shape;
            size = measured.size as usize;
            self.shape = measured.after;
        }
        let (bytes, rest) = self.rest.split_at_checked(size).unwrap_or((self.rest, &[]));
        self.rest = rest;
        Span { bytes, shape }
    }
}
