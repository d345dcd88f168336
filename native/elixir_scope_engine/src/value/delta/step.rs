//! One step of a path into a value.

use std::fmt;

use super::super::varint::{put_varint, zigzag};
use super::super::{format, varint::varint_size};

/// A step from a container to one of its parts: an encoded value, as [`find_step`](super::super::find_step) takes it. A
/// map's key as it stands in the bytes; the index in a tuple or list, from 0, as an integer.
#[derive(Clone, Copy)]
pub struct Step<'a>(Kind<'a>);

#[derive(Clone, Copy)]
enum Kind<'a> {
    Key(&'a [u8]),
    /// Bytes, and how many of them.
    Index([u8; 11], u8),
}

impl<'a> Step<'a> {
    /// To the value under an encoded key.
    #[must_use]
    #[inline]
    pub fn key(key: &'a [u8]) -> Self {
        Step(Kind::Key(key))
    }

    /// To the element at an index.
    #[must_use]
    #[inline]
    pub fn index(index: u64) -> Self {
        let mut bytes = [0; 11];
        if let Some(small) = u8::try_from(index).ok().filter(|&index| index < 0x80) {
            bytes[0] = format::SMALL_INT | small;
            return Step(Kind::Index(bytes, 1));
        }
        let value = zigzag(i64::try_from(index).unwrap_or(i64::MAX));
        bytes[0] = format::INT;
        if let Some((_, after)) = bytes.split_first_chunk_mut::<1>()
            && let Some(after) = after.first_chunk_mut::<10>()
        {
            put_varint(after, value);
        }
        Step(Kind::Index(bytes, 1 + varint_size(value) as u8))
    }

    /// The encoded value.
    #[must_use]
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        match &self.0 {
            Kind::Key(key) => key,
            Kind::Index(bytes, size) => bytes.get(..usize::from(*size)).unwrap_or_default(),
        }
    }
}

impl AsRef<[u8]> for Step<'_> {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

impl PartialEq for Step<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Step<'_> {}

impl fmt::Debug for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Step({:02x?})", self.bytes())
    }
}
