//! Writes values under a budget of bytes, straight into a sink.

use super::cut::Cut;
use super::format;
use super::sink::{Full, Sink};
use super::varint::{eight_groups, put_varint, three_groups, varint_size, zigzag};
use crate::event::AtomId;

/// How much of a term is worth keeping.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budget {
    /// Encoded bytes. What is written stays below this plus [`Writer::SLACK`].
    pub bytes: usize,
    /// How deep containers may stand in each other; 1 allows a list of numbers.
    pub depth: u32,
    /// Elements of one list, pairs of one map.
    pub length: Option<u32>,
}

/// Whether an item was written. If not, not a byte of it was, and there is room to say so: the caller cuts the container that
/// it stands in, or puts a [`Writer::left_out`] where a value must stand.
#[must_use = "what was not written must be marked"]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fit {
    /// It is there, whole or (a binary) with its mark.
    Written,
    /// The budget has no room for it.
    NoRoom,
}

/// The identity of a local fun, as it stands in the bytes before the creator and the environment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FunHead {
    /// The module that made it.
    pub module: AtomId,
    /// How many arguments it takes.
    pub arity: u8,
    /// Its index in the module.
    pub index: u32,
    /// The digest of the module's code.
    pub uniq: [u8; 16],
    /// Its index as older formats count it.
    pub old_index: u32,
    /// The hash of its code.
    pub old_uniq: u32,
    /// How many values it closes over.
    pub free: u32,
}

/// A container that was opened and must be closed or cut. Opening takes the room for that out of the budget.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Container {
    /// A list, its length unknown.
    List,
    /// A tuple of so many elements.
    Tuple(u32),
    /// A map of so many pairs.
    Map(u32),
    /// A fun that closes over so many values. Its first element is its creator.
    Fun(u32),
}

impl Container {
    /// Bytes kept back for the end: a cut, and the mark of a value.
    #[inline]
    const fn reserve(self) -> usize {
        match self {
            Container::List => 8,
            Container::Tuple(n) | Container::Fun(n) => 2 + 2 * varint_size(n as u64 + 1),
            Container::Map(n) => 2 + 2 * varint_size(n as u64 + 1) + Writer::<Vec<u8>>::SLACK,
        }
    }
}

/// Writes values. The nesting is the caller's: after opening a tuple of three it writes three values and closes it.
#[derive(Debug)]
pub struct Writer<'s, S> {
    sink: &'s mut S,
    left: usize,
}

impl<'s, S: Sink> Writer<'s, S> {
    /// The most that is ever written past the budget: the mark of one value.
    pub const SLACK: usize = 4;
    /// A binary that does not fit is cut only if this much is left.
    const LEAST_PREFIX: usize = 48;

    /// A writer that may use `bytes`, and [`Self::SLACK`].
    #[inline]
    pub fn new(sink: &'s mut S, bytes: usize) -> Self {
        Writer { sink, left: bytes }
    }

    /// Bytes left in the budget.
    #[inline]
    #[must_use]
    pub fn left(&self) -> usize {
        self.left
    }

    #[inline(always)]
    fn small(&mut self, item: &[u8; 16], size: usize) -> Result<Fit, Full> {
        if size > self.left {
            return Ok(Fit::NoRoom);
        }
        self.left -= size;
        self.sink.put_small(item, size)?;
        Ok(Fit::Written)
    }

    /// A tag and a varint.
    #[inline(always)]
    fn tagged(&mut self, tag: u8, value: u64) -> Result<Fit, Full> {
        let (item, size) = tagged(tag, value);
        self.small(&item, size)
    }

    /// A tag, a varint that says how long `bytes` is, and these, without asking the budget.
    fn sized(&mut self, tag: u8, length: u64, bytes: &[u8]) -> Result<(), Full> {
        let (item, size) = tagged(tag, length);
        self.left = self.left.saturating_sub(size + bytes.len());
        self.sink.put_small(&item, size)?;
        self.sink.put(bytes)
    }

    /// An integer.
    ///
    /// # Errors
    /// [`Full`] as the sink says; so for every item.
    #[inline(always)]
    pub fn int(&mut self, value: i64) -> Result<Fit, Full> {
        if (0..0x80).contains(&value) {
            return self.byte(format::SMALL_INT | value as u8);
        }
        self.tagged(format::INT, zigzag(value))
    }

    /// An integer of any size: its sign, and its magnitude in little-endian bytes.
    #[allow(missing_docs, clippy::missing_errors_doc)]
    pub fn big(&mut self, negative: bool, magnitude: &[u8]) -> Result<Fit, Full> {
        let significant = magnitude
            .iter()
            .rposition(|&byte| byte != 0)
            .map_or(0, |last| last + 1);
        let magnitude = magnitude.get(..significant).unwrap_or_default();
        if let Some(value) = small_big(negative, magnitude) {
            return self.int(value);
        }
        let mut head = [0; 16];
        head[0] = format::BIG;
        head[1] = u8::from(negative);
        let size = 2 + put_after(&mut head, 2, magnitude.len() as u64);
        if size + magnitude.len() > self.left {
            return Ok(Fit::NoRoom);
        }
        self.left -= size + magnitude.len();
        self.sink.put_small(&head, size)?;
        self.sink.put(magnitude)?;
        Ok(Fit::Written)
    }

    /// A float. Only finite ones exist.
    #[allow(clippy::missing_errors_doc)]
    #[inline]
    pub fn float(&mut self, value: f64) -> Result<Fit, Full> {
        let word = u128::from(value.to_bits()) << 8 | u128::from(format::FLOAT);
        self.small(&word.to_le_bytes(), 9)
    }

    /// A name.
    #[allow(clippy::missing_errors_doc)]
    #[inline(always)]
    pub fn atom(&mut self, atom: AtomId) -> Result<Fit, Full> {
        self.tagged(format::ATOM, u64::from(atom.0))
    }

    /// A binary, cut where the budget ends.
    #[allow(clippy::missing_errors_doc)]
    #[inline(always)]
    pub fn binary(&mut self, bytes: &[u8]) -> Result<Fit, Full> {
        if bytes.len() <= 14 && bytes.len() + 2 <= self.left {
            let head = u128::from(format::BINARY) | (bytes.len() as u128) << 8;
            let item = (head | few_bytes(bytes) << 16).to_le_bytes();
            return self.small(&item, bytes.len() + 2);
        }
        self.long_binary(bytes)
    }

    fn long_binary(&mut self, bytes: &[u8]) -> Result<Fit, Full> {
        let size = 1 + varint_size(bytes.len() as u64) + bytes.len();
        if size <= self.left {
            self.sized(format::BINARY, bytes.len() as u64, bytes)?;
            return Ok(Fit::Written);
        }
        let Some(kept) = self.prefix_room(bytes) else {
            return Ok(Fit::NoRoom);
        };
        self.truncated(
            Cut::Binary,
            kept.len() as u64,
            Some(bytes.len() as u64),
            kept,
        )
    }

    /// A bit string of `bits` bits, its last byte padded with zeros at the low end; written as a binary if it is one. Cut
    /// where the budget ends. Of one that cannot fit, `bytes` may hold just more than [`Self::left`].
    #[allow(clippy::missing_errors_doc)]
    pub fn bits(&mut self, bytes: &[u8], bits: u64) -> Result<Fit, Full> {
        let all = bytes.len() as u64 == bits.div_ceil(8);
        let odd = !bits.is_multiple_of(8);
        if all && !odd {
            return self.binary(bytes);
        }
        if all && 1 + varint_size(bits) + bytes.len() <= self.left {
            self.sized(format::BITS, bits, bytes)?;
            return Ok(Fit::Written);
        }
        let Some(kept) = self.prefix_room(bytes) else {
            return Ok(Fit::NoRoom);
        };
        match odd {
            true => self.truncated(Cut::Bits, kept.len() as u64 * 8, Some(bits), kept),
            false => self.truncated(Cut::Binary, kept.len() as u64, Some(bits / 8), kept),
        }
    }

    /// The first bytes of a binary that fit with their mark; text is cut between characters.
    fn prefix_room<'b>(&self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        if self.left < Self::LEAST_PREFIX {
            return None;
        }
        // tag, cut, and three varints
        let mut kept = (self.left - 2 - 3 * 10).min(bytes.len().saturating_sub(1));
        let continues = |at: usize| bytes.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
        for back in 0..4 {
            if !continues(kept.saturating_sub(back)) {
                kept = kept.saturating_sub(back);
                break;
            }
        }
        bytes.get(..kept)
    }

    /// The empty list.
    #[allow(clippy::missing_errors_doc)]
    #[inline]
    pub fn nil(&mut self) -> Result<Fit, Full> {
        self.byte(format::NIL)
    }

    /// A value that is masked.
    #[allow(clippy::missing_errors_doc)]
    #[inline]
    pub fn redacted(&mut self) -> Result<Fit, Full> {
        self.byte(format::REDACTED)
    }

    #[inline(always)]
    fn byte(&mut self, byte: u8) -> Result<Fit, Full> {
        self.small(&u128::from(byte).to_le_bytes(), 1)
    }

    /// A local process.
    #[allow(clippy::missing_errors_doc)]
    #[inline]
    pub fn pid(&mut self, process: u64) -> Result<Fit, Full> {
        self.tagged(format::PID, process)
    }

    /// A local port.
    #[allow(clippy::missing_errors_doc)]
    #[inline]
    pub fn port(&mut self, port: u64) -> Result<Fit, Full> {
        self.tagged(format::PORT, port)
    }

    /// A local reference, by its number words (five at most are written).
    #[allow(clippy::missing_errors_doc)]
    pub fn reference(&mut self, words: &[u32]) -> Result<Fit, Full> {
        let mut item = [0; 22];
        let count = words.len().min(5);
        item[0] = format::REF;
        item[1] = count as u8;
        for (to, word) in item
            .get_mut(2..)
            .unwrap_or_default()
            .chunks_exact_mut(4)
            .zip(words)
        {
            to.copy_from_slice(&word.to_le_bytes());
        }
        let item = item.get(..2 + 4 * count).unwrap_or_default();
        if item.len() > self.left {
            return Ok(Fit::NoRoom);
        }
        self.left -= item.len();
        self.sink.put(item)?;
        Ok(Fit::Written)
    }

    /// An external fun.
    #[allow(clippy::missing_errors_doc)]
    pub fn export(&mut self, module: AtomId, function: AtomId, arity: u32) -> Result<Fit, Full> {
        let (mut item, mut size) = tagged(format::EXPORT, u64::from(module.0));
        size += put_after(&mut item, size, u64::from(function.0));
        size += put_after(&mut item, size, u64::from(arity));
        self.small(&item, size)
    }

    /// A term in the host's own external format. One that does not fit is left out as a whole.
    #[allow(clippy::missing_errors_doc)]
    pub fn foreign(&mut self, external: &[u8]) -> Result<Fit, Full> {
        if 1 + varint_size(external.len() as u64) + external.len() > self.left {
            return Ok(Fit::NoRoom);
        }
        self.sized(format::FOREIGN, external.len() as u64, external)?;
        Ok(Fit::Written)
    }

    /// A mark in the place of a value. `prefix` is written where the kind has one.
    #[allow(clippy::missing_errors_doc)]
    pub fn truncated(
        &mut self,
        cut: Cut,
        kept: u64,
        total: Option<u64>,
        prefix: &[u8],
    ) -> Result<Fit, Full> {
        let (mut head, mut size) = mark(format::TRUNCATED, cut, kept, total);
        let prefix = if cut.has_prefix() { prefix } else { &[] };
        if cut.has_prefix() {
            size += put_after(&mut head, size, prefix.len() as u64);
        }
        if size + prefix.len() > self.left {
            return Ok(Fit::NoRoom);
        }
        self.left -= size + prefix.len();
        self.sink.marked();
        self.sink.put(head.get(..size).unwrap_or_default())?;
        self.sink.put(prefix)?;
        Ok(Fit::Written)
    }

    /// In the place of a value for which there was no room: at the top, in a map after a key, or after a list's tail mark.
    /// Always fits, for it uses what opening the map or list kept back; so that map must be cut next, or, if this was its
    /// last value, left without [`Self::close`].
    #[allow(clippy::missing_errors_doc)]
    pub fn left_out(&mut self) -> Result<(), Full> {
        self.sink.marked();
        self.sink.put(&[format::TRUNCATED, Cut::Bytes as u8, 0, 0])
    }

    /// Opens a container.
    #[allow(clippy::missing_errors_doc)]
    #[inline]
    pub fn open(&mut self, container: Container) -> Result<Fit, Full> {
        let (item, size) = match container {
            Container::List => tagged(format::LIST, 0),
            Container::Tuple(n) => tagged(format::TUPLE, u64::from(n)),
            Container::Map(n) => tagged(format::MAP, u64::from(n)),
            // opened with its head
            Container::Fun(_) => return Ok(Fit::NoRoom),
        };
        let size = if matches!(container, Container::List) {
            1
        } else {
            size
        };
        let reserve = container.reserve();
        if size + reserve > self.left {
            return Ok(Fit::NoRoom);
        }
        self.left -= size + reserve;
        self.sink.put_small(&item, size)?;
        Ok(Fit::Written)
    }

    /// Opens a fun; its creator (a pid, or the empty list) and `free` values follow.
    #[allow(clippy::missing_errors_doc)]
    pub fn open_fun(&mut self, fun: &FunHead) -> Result<Fit, Full> {
        let mut head = [0; 64];
        head[0] = format::FUN;
        let mut size = 1;
        size += put_after(&mut head, size, u64::from(fun.module.0));
        if let Some(arity) = head.get_mut(size) {
            *arity = fun.arity;
        }
        size += 1;
        size += put_after(&mut head, size, u64::from(fun.index));
        if let Some(uniq) = head.get_mut(size..size + 16) {
            uniq.copy_from_slice(&fun.uniq);
        }
        size += 16;
        size += put_after(&mut head, size, u64::from(fun.old_index));
        size += put_after(&mut head, size, u64::from(fun.old_uniq));
        size += put_after(&mut head, size, u64::from(fun.free));
        let reserve = Container::Fun(fun.free).reserve();
        if size + reserve > self.left {
            return Ok(Fit::NoRoom);
        }
        self.left -= size + reserve;
        self.sink.put(head.get(..size).unwrap_or_default())?;
        Ok(Fit::Written)
    }

    /// Closes a container that has all its elements; a list that ended with the empty list.
    #[allow(clippy::missing_errors_doc)]
    #[inline]
    pub fn close(&mut self, container: Container) -> Result<(), Full> {
        self.left += container.reserve();
        if matches!(container, Container::List) {
            self.left -= 1;
            return self
                .sink
                .put_small(&u128::from(format::END).to_le_bytes(), 1);
        }
        Ok(())
    }

    /// Says that the list's tail comes next, as the one value left; nothing closes the list after it. There is always room
    /// for this, and for a [`Self::left_out`] after it.
    #[allow(clippy::missing_errors_doc)]
    pub fn tail(&mut self) -> Result<(), Full> {
        self.sink.put(&[format::TAIL])
    }

    /// Ends a container whose rest is missing; there is always room for this.
    #[allow(clippy::missing_errors_doc)]
    pub fn cut(&mut self, container: Container, kept: u64, total: Option<u64>) -> Result<(), Full> {
        let cut = match container {
            Container::List => Cut::List,
            Container::Tuple(_) => Cut::Tuple,
            Container::Map(_) => Cut::Map,
            Container::Fun(_) => Cut::FunEnv,
        };
        self.sink.marked();
        let (head, size) = mark(format::CUT, cut, kept, total);
        self.sink.put(head.get(..size).unwrap_or_default())
    }
}

#[inline(always)]
fn tagged(tag: u8, value: u64) -> ([u8; 16], usize) {
    if value >> 21 == 0 {
        let (bytes, size) = three_groups(value as u32);
        let word = u128::from(bytes << 8 | u32::from(tag));
        return (word.to_le_bytes(), 1 + size);
    }
    tagged_long(tag, value)
}

#[inline(never)]
fn tagged_long(tag: u8, value: u64) -> ([u8; 16], usize) {
    if value >> 56 == 0 {
        let (bytes, size) = eight_groups(value);
        let word = u128::from(bytes) << 8 | u128::from(tag);
        return (word.to_le_bytes(), 1 + size);
    }
    let mut item = [0; 16];
    item[0] = tag;
    let size = 1 + put_after(&mut item, 1, value);
    (item, size)
}

/// At most 14 bytes as the low end of a word. Two loads that overlap, where a loop would take one step for each byte.
#[inline(always)]
fn few_bytes(bytes: &[u8]) -> u128 {
    let length = bytes.len();
    if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        let (first, last) = (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
        return u128::from(first) | u128::from(last) << ((length - 8) * 8);
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        return u128::from(first) | u128::from(last) << ((length - 4) * 8);
    }
    bytes
        .iter()
        .rev()
        .fold(0, |word, &byte| word << 8 | u128::from(byte))
}

fn mark(tag: u8, cut: Cut, kept: u64, total: Option<u64>) -> ([u8; 64], usize) {
    let mut out = [0; 64];
    out[0] = tag;
    out[1] = cut as u8;
    let mut size = 2 + put_after(&mut out, 2, kept);
    size += put_after(
        &mut out,
        size,
        total.map_or(0, |total| total.saturating_add(1)),
    );
    (out, size)
}

fn put_after<const N: usize>(out: &mut [u8; N], at: usize, value: u64) -> usize {
    // Eight bytes at once, where there is room: bytes that are written one by one are slow to read again as words.
    if value >> 56 == 0
        && let Some(to) = out.get_mut(at..at + 8)
    {
        let (bytes, size) = eight_groups(value);
        to.copy_from_slice(&bytes.to_le_bytes());
        return size;
    }
    let mut item = [0; 10];
    let size = put_varint(&mut item, value);
    for (to, from) in out.iter_mut().skip(at).zip(item.iter().take(size)) {
        *to = *from;
    }
    size
}

/// The value of a magnitude (without zeros at its end) that fits 64 bits with its sign.
fn small_big(negative: bool, magnitude: &[u8]) -> Option<i64> {
    if magnitude.len() > 8 {
        return None;
    }
    let mut word = [0; 8];
    for (to, from) in word.iter_mut().zip(magnitude) {
        *to = *from;
    }
    let magnitude = i128::from(u64::from_le_bytes(word));
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}
