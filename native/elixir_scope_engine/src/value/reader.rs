//! Reads encoded values in place: one [`Token`] after another, no tree.

use std::fmt;

use smallvec::SmallVec;

use super::cut::{Cut, Mark};
use super::format;
use super::varint::unzigzag;
use super::writer::FunHead;
use crate::event::AtomId;

/// Bytes that are no value, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed {
    /// Offset from the start of the slice that was read.
    pub at: usize,
    /// What is wrong with it.
    pub flaw: Flaw,
}

/// What is wrong with bytes that are no value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flaw {
    /// They end in the middle.
    Ended,
    /// No value begins with this byte.
    Tag(u8),
    /// A number that is too large, or not finite.
    Number,
    /// An item where it may not stand: the end of a list outside of a list, a cut of the wrong kind …
    Place,
    /// Maps as keys of maps, too deep to be ordered.
    TooDeep,
    /// A number by which the host knows nothing, or a part that it refuses.
    Unknown,
    /// A comparison that takes far more steps than the values have bytes.
    TooLong,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed value: ")?;
        match self.flaw {
            Flaw::Ended => write!(f, "expected more bytes")?,
            Flaw::Tag(tag) => write!(f, "expected a tag, got {tag:#04x}")?,
            Flaw::Number => write!(f, "expected a number in range")?,
            Flaw::Place => write!(f, "an item stands where it may not")?,
            Flaw::TooDeep => write!(f, "maps as keys nest too deep")?,
            Flaw::Unknown => write!(f, "the host knows no such thing")?,
            Flaw::TooLong => write!(f, "too long to compare")?,
        }
        write!(f, " at byte {}", self.at)
    }
}

impl std::error::Error for Malformed {}

/// One item of an encoded value. Containers are followed by the tokens of what they hold.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Token<'a> {
    /// An integer of 64 bits.
    Int(i64),
    /// A larger one: negative or not, magnitude in little-endian bytes.
    Big(bool, &'a [u8]),
    /// A float.
    Float(f64),
    /// A name.
    Atom(AtomId),
    /// A binary.
    Binary(&'a [u8]),
    /// A bit string and its size in bits.
    Bits(&'a [u8], u64),
    /// The empty list.
    Nil,
    /// A list begins.
    List,
    /// It ends, as a proper list.
    End,
    /// Its tail follows, one value; that ends it too.
    Tail,
    /// A tuple of so many elements begins.
    Tuple(u32),
    /// A map of so many pairs begins.
    Map(u32),
    /// A local process.
    Pid(u64),
    /// A local port.
    Port(u64),
    /// A local reference: its number words, four little-endian bytes each.
    Ref(&'a [u8]),
    /// A local fun begins: its creator and so many values as its head says.
    Fun(FunHead),
    /// An external fun: module, function, arity.
    Export(AtomId, AtomId, u32),
    /// A term in the host's external format.
    Foreign(&'a [u8]),
    /// A masked value.
    Redacted,
    /// A value that was left out.
    Truncated(Mark<'a>),
    /// The rest of the container is missing; the container ends.
    Cut(Mark<'a>),
}

/// Reads tokens one by one. It knows single tokens only; [`Nesting`] knows which may follow.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, at: 0 }
    }

    /// How many bytes have been read.
    #[must_use]
    pub fn at(&self) -> usize {
        self.at
    }

    /// Moves past so many bytes, which are known to be values.
    #[inline]
    pub fn advance(&mut self, size: usize) {
        self.at = self.bytes.len().min(self.at.saturating_add(size));
    }

    /// What has not been read.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn flawed(&self, flaw: Flaw) -> Malformed {
        Malformed { at: self.at, flaw }
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        let byte = *self.bytes.get(self.at).ok_or(self.flawed(Flaw::Ended))?;
        self.at += 1;
        Ok(byte)
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        let mut shift = 0;
        loop {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                return Err(self.flawed(Flaw::Number));
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
            shift += 7;
            if shift > 63 {
                return Err(self.flawed(Flaw::Number));
            }
        }
    }

    fn small(&mut self) -> Result<u32, Malformed> {
        let at = self.at;
        u32::try_from(self.varint()?).map_err(|_| Malformed {
            at,
            flaw: Flaw::Number,
        })
    }

    fn atom(&mut self) -> Result<AtomId, Malformed> {
        self.small().map(AtomId)
    }

    fn take(&mut self, size: u64) -> Result<&'a [u8], Malformed> {
        let ended = self.flawed(Flaw::Ended);
        let size = usize::try_from(size).map_err(|_| ended)?;
        let bytes = self.rest().get(..size).ok_or(ended)?;
        self.at += size;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let ended = self.flawed(Flaw::Ended);
        let bytes = *self.rest().first_chunk::<N>().ok_or(ended)?;
        self.at += N;
        Ok(bytes)
    }

    pub(super) fn sized(&mut self) -> Result<&'a [u8], Malformed> {
        let size = self.varint()?;
        self.take(size)
    }

    /// The next token.
    ///
    /// # Errors
    /// [`Malformed`] where no token begins or the bytes end.
    #[inline]
    pub fn token(&mut self) -> Result<Token<'a>, Malformed> {
        let tag = self.byte()?;
        Ok(match tag {
            format::SMALL_INT..=0xff => Token::Int(i64::from(tag - format::SMALL_INT)),
            format::INT => Token::Int(unzigzag(self.varint()?)),
            format::ATOM => Token::Atom(self.atom()?),
            format::BINARY => Token::Binary(self.sized()?),
            format::NIL => Token::Nil,
            format::LIST => Token::List,
            format::END => Token::End,
            format::TUPLE => Token::Tuple(self.small()?),
            format::MAP => Token::Map(self.small()?),
            _ => return self.rare(tag),
        })
    }

    /// Moves past the next value if it is an integer, an atom or a binary of few bytes, without making a token of it: most
    /// values are. Each of them stands for [`PLAIN`] in a [`Nesting`].
    #[inline(always)]
    pub(super) fn skip_plain(&mut self) -> bool {
        let rest = self.rest();
        let size = match *rest {
            [format::SMALL_INT..=0xff, ..] => 1,
            // numbers of so few bytes are in range
            [format::INT | format::ATOM, 0..0x80, ..] => 2,
            [format::INT | format::ATOM, _, 0..0x80, ..] => 3,
            [format::INT | format::ATOM, _, _, 0..0x80, ..] => 4,
            [format::BINARY, size @ 0..0x80, ..] if rest.len() >= 2 + usize::from(size) => {
                2 + usize::from(size)
            }
            _ => return false,
        };
        self.at += size;
        true
    }

    fn rare(&mut self, tag: u8) -> Result<Token<'a>, Malformed> {
        Ok(match tag {
            format::BIG => {
                let sign = self.byte()?;
                if sign > 1 {
                    return Err(self.flawed(Flaw::Number));
                }
                Token::Big(sign == 1, self.sized()?)
            }
            format::FLOAT => {
                let value = f64::from_le_bytes(self.array()?);
                if !value.is_finite() {
                    return Err(self.flawed(Flaw::Number));
                }
                Token::Float(value)
            }
            format::BITS => {
                let bits = self.varint()?;
                Token::Bits(self.take(bits.div_ceil(8))?, bits)
            }
            format::TAIL => Token::Tail,
            format::PID => Token::Pid(self.varint()?),
            format::PORT => Token::Port(self.varint()?),
            format::REF => {
                let count = self.byte()?;
                if !(1..=5).contains(&count) {
                    return Err(self.flawed(Flaw::Number));
                }
                Token::Ref(self.take(4 * u64::from(count))?)
            }
            format::FUN => Token::Fun(FunHead {
                module: self.atom()?,
                arity: self.byte()?,
                index: self.small()?,
                uniq: self.array()?,
                old_index: self.small()?,
                old_uniq: self.small()?,
                free: self.small()?,
            }),
            format::EXPORT => Token::Export(self.atom()?, self.atom()?, self.small()?),
            format::FOREIGN => Token::Foreign(self.sized()?),
            format::REDACTED => Token::Redacted,
            format::TRUNCATED => {
                let mut mark = self.mark()?;
                if mark.cut.has_prefix() {
                    mark.prefix = self.sized()?;
                }
                Token::Truncated(mark)
            }
            format::CUT => Token::Cut(self.mark()?),
            _ => {
                return Err(Malformed {
                    at: self.at - 1,
                    flaw: Flaw::Tag(tag),
                });
            }
        })
    }

    fn mark(&mut self) -> Result<Mark<'a>, Malformed> {
        let cut = self.byte()?;
        let cut = Cut::from_u8(cut).ok_or(self.flawed(Flaw::Place))?;
        Ok(Mark {
            cut,
            kept: self.varint()?,
            total: self.varint()?.checked_sub(1),
            prefix: &[],
        })
    }
}

/// A token that may stand wherever those may that [`Reader::skip_plain`] skips.
pub(super) const PLAIN: Token<'static> = Token::Int(0);

/// An open container.
#[derive(Clone, Copy, Debug)]
enum Level {
    /// A list, and whether it has an element yet.
    List(bool),
    /// Before the one value after a list's tail mark.
    Tail,
    /// Tuple: elements left.
    Tuple(u32),
    /// Map: keys and values left.
    Map(u64),
    /// Fun: creator and values left, and whether the creator comes next.
    Fun(u64, bool),
}

/// Where a token stands among the open containers. Takes no memory but for containers in containers.
#[derive(Clone, Debug, Default)]
pub struct Nesting {
    levels: SmallVec<[Level; 16]>,
}

impl Nesting {
    /// At the start of a value.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many containers are open.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.levels.len()
    }

    /// Takes the next token into account: whether the value is complete with it.
    ///
    /// # Errors
    /// [`Flaw::Place`] for a token that may not stand here.
    #[inline]
    pub fn accept(&mut self, token: &Token<'_>) -> Result<bool, Flaw> {
        let level = match *token {
            Token::List => Level::List(false),
            Token::Tuple(n) if n > 0 => Level::Tuple(n),
            Token::Map(n) if n > 0 => Level::Map(2 * u64::from(n)),
            Token::Fun(ref head) => Level::Fun(u64::from(head.free) + 1, true),
            Token::End | Token::Tail | Token::Cut(_) => return self.end(token),
            ref value => {
                self.check_place(value)?;
                return Ok(self.value_ended());
            }
        };
        self.check_place(token)?;
        self.levels.push(level);
        Ok(false)
    }

    /// Values that may not stand where others may: a list as a list's tail, anything but a process as a fun's creator.
    #[inline]
    fn check_place(&self, token: &Token<'_>) -> Result<(), Flaw> {
        match self.levels.last() {
            Some(Level::Tail) if matches!(token, Token::List | Token::Nil) => Err(Flaw::Place),
            Some(Level::Fun(_, true))
                if !matches!(token, Token::Pid(_) | Token::Nil | Token::Foreign(_)) =>
            {
                Err(Flaw::Place)
            }
            _ => Ok(()),
        }
    }

    fn end(&mut self, token: &Token<'_>) -> Result<bool, Flaw> {
        let level = self.levels.last_mut().ok_or(Flaw::Place)?;
        match (token, &level) {
            (Token::Tail, Level::List(true)) => {
                *level = Level::Tail;
                return Ok(false);
            }
            (Token::End, Level::List(true)) => {}
            (Token::Cut(mark), Level::List(_)) if mark.cut == Cut::List => {}
            (Token::Cut(mark), Level::Tuple(_)) if mark.cut == Cut::Tuple => {}
            (Token::Cut(mark), Level::Map(left)) if mark.cut == Cut::Map && left % 2 == 0 => {}
            (Token::Cut(mark), Level::Fun(..)) if mark.cut == Cut::FunEnv => {}
            _ => return Err(Flaw::Place),
        }
        self.levels.pop();
        Ok(self.value_ended())
    }

    /// Counts a value that is complete, and those that it completes; whether the outermost is among them.
    #[inline]
    fn value_ended(&mut self) -> bool {
        while let Some(level) = self.levels.last_mut() {
            match level {
                Level::List(some) => {
                    *some = true;
                    return false;
                }
                Level::Tuple(left) if *left > 1 => {
                    *left -= 1;
                    return false;
                }
                Level::Map(left) if *left > 1 => {
                    *left -= 1;
                    return false;
                }
                Level::Fun(left, creator) if *left > 1 => {
                    *left -= 1;
                    *creator = false;
                    return false;
                }
                _ => {
                    self.levels.pop();
                }
            }
        }
        true
    }
}

/// How many bytes the first value in `value` takes; checks it whole.
///
/// # Errors
/// [`Malformed`] if no value stands there.
#[inline]
pub fn skip(value: &[u8]) -> Result<usize, Malformed> {
    let mut reader = Reader::new(value);
    skip_in(&mut reader)?;
    Ok(reader.at())
}

/// Moves `reader` past one value.
#[inline]
pub(crate) fn skip_in(reader: &mut Reader<'_>) -> Result<(), Malformed> {
    if reader.skip_plain() {
        return Ok(());
    }
    skip_nested(reader)
}

fn skip_nested(reader: &mut Reader<'_>) -> Result<(), Malformed> {
    let mut nesting = Nesting::new();
    loop {
        let at = reader.at();
        let token = if reader.skip_plain() {
            PLAIN
        } else {
            reader.token()?
        };
        if nesting
            .accept(&token)
            .map_err(|flaw| Malformed { at, flaw })?
        {
            return Ok(());
        }
    }
}

/// Reads one value off the front of `bytes`: the value, and what follows it.
///
/// # Errors
/// [`Malformed`] if no value stands there.
pub fn split_first(bytes: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let size = skip(bytes)?;
    Ok(bytes.split_at_checked(size).unwrap_or((bytes, &[])))
}

/// That `bytes` are values one after another; how many.
///
/// # Errors
/// [`Malformed`] at the first that is none.
pub fn validate(bytes: &[u8]) -> Result<usize, Malformed> {
    let mut reader = Reader::new(bytes);
    let mut values = 0;
    while !reader.rest().is_empty() {
        skip_in(&mut reader)?;
        values += 1;
    }
    Ok(values)
}

/// Whether no part of the first value in `value` was cut or masked.
///
/// # Errors
/// [`Malformed`] if no value stands there.
pub fn is_whole(value: &[u8]) -> Result<bool, Malformed> {
    split_whole(value).map(|(_, whole, _)| whole)
}

/// Reads one value off the front of `bytes`: the value, whether no part of it was cut or masked, and what follows it.
///
/// # Errors
/// [`Malformed`] if no value stands there.
pub fn split_whole(bytes: &[u8]) -> Result<(&[u8], bool, &[u8]), Malformed> {
    let mut reader = Reader::new(bytes);
    let mut nesting = Nesting::new();
    let mut whole = true;
    loop {
        let at = reader.at();
        let token = reader.token()?;
        whole &= !matches!(token, Token::Redacted | Token::Truncated(_) | Token::Cut(_));
        if nesting
            .accept(&token)
            .map_err(|flaw| Malformed { at, flaw })?
        {
            let (value, rest) = bytes.split_at_checked(reader.at()).unwrap_or((bytes, &[]));
            return Ok((value, whole, rest));
        }
    }
}
