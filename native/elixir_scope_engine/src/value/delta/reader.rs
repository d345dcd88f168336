//! Reads deltas in place, one [`Item`] after another. The grammar of deltas stands here and nowhere else.

use smallvec::SmallVec;

use super::super::order::take;
use super::super::reader::{Flaw, Malformed, Reader, Token};
use super::format;
use super::proof::Proof;

/// One item of a delta. `Tuple`, `Map` and `List` are followed by the items of what changed in them, up to their `End`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Item<'a> {
    /// A delta: see the [`format`](mod@format); so for the rest.
    Same,
    /// With the proof of the old value.
    Replace(u16, &'a [u8]),
    /// The same.
    Removed(u16),
    /// With the proof of the old binary, what came behind it.
    Grown(u16, &'a [u8]),
    Unknown,
    Tuple,
    Map,
    List,
    /// The delta of a tuple's element at this index follows.
    Index(u32),
    /// The delta of the entry under this key follows.
    Key(&'a [u8]),
    Keep(u64),
    /// With the proof of the elements.
    Drop(u64, u16),
    Insert(&'a [u8]),
    /// The delta of a list's next element follows.
    Change,
    Rest,
    Close,
    Tail(&'a [u8]),
    /// The tuple or map has no more changes. (A list stops.)
    End,
}

/// A container in which something changed.
#[derive(Clone, Copy, Debug)]
enum Level {
    /// The index that a gap of 1 leads to.
    Tuple(u32),
    Map,
    List,
}

/// Reads the items of one delta.
#[derive(Debug)]
pub(super) struct DeltaReader<'a> {
    reader: Reader<'a>,
    levels: SmallVec<[Level; 16]>,
    /// Whether a delta comes next, rather than an item of the innermost container.
    delta: bool,
}

impl<'a> DeltaReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        DeltaReader {
            reader: Reader::new(bytes),
            levels: SmallVec::new(),
            delta: true,
        }
    }

    /// How many bytes have been read.
    pub(super) fn at(&self) -> usize {
        self.reader.at()
    }

    /// The next item; none when the delta is complete.
    #[inline]
    pub(super) fn next(&mut self) -> Result<Option<Item<'a>>, Malformed> {
        if self.delta {
            return self.delta().map(Some);
        }
        match self.levels.last_mut() {
            None => Ok(None),
            Some(Level::Tuple(next)) => {
                let at = self.reader.at();
                let gap = self.reader.varint()?;
                if gap == u64::from(format::TUPLE_END) {
                    return Ok(Some(self.ended(Item::End)));
                }
                let index = u32::try_from(u64::from(*next).saturating_add(gap - 1))
                    .ok()
                    .filter(|&index| index < u32::MAX)
                    .ok_or(Malformed {
                        at,
                        flaw: Flaw::Number,
                    })?;
                *next = index + 1;
                self.delta = true;
                Ok(Some(Item::Index(index)))
            }
            Some(Level::Map) => {
                if self.reader.rest().first() == Some(&format::MAP_END) {
                    self.reader.byte()?;
                    return Ok(Some(self.ended(Item::End)));
                }
                self.delta = true;
                Ok(Some(Item::Key(take(&mut self.reader)?)))
            }
            Some(Level::List) => self.op().map(Some),
        }
    }

    #[inline]
    fn delta(&mut self) -> Result<Item<'a>, Malformed> {
        self.delta = false;
        let at = self.reader.at();
        let level = match self.reader.byte()? {
            format::SAME => return Ok(Item::Same),
            tag @ (format::REPLACE | format::PROVED_REPLACE) => {
                let proof = self.proof(tag == format::PROVED_REPLACE)?;
                return Ok(Item::Replace(proof, take(&mut self.reader)?));
            }
            format::GROWN => {
                let proof = self.proof(true)?;
                return Ok(Item::Grown(proof, self.reader.sized()?));
            }
            format::UNKNOWN => return Ok(Item::Unknown),
            tag @ (format::REMOVED | format::PROVED_REMOVED) => {
                return match self.levels.last() {
                    Some(Level::Map) => {
                        Ok(Item::Removed(self.proof(tag == format::PROVED_REMOVED)?))
                    }
                    _ => Err(Malformed {
                        at,
                        flaw: Flaw::Place,
                    }),
                };
            }
            format::TUPLE => Level::Tuple(0),
            format::MAP => Level::Map,
            format::LIST => Level::List,
            tag => {
                return Err(Malformed {
                    at,
                    flaw: Flaw::Tag(tag),
                });
            }
        };
        self.levels.push(level);
        Ok(match level {
            Level::Tuple(_) => Item::Tuple,
            Level::Map => Item::Map,
            Level::List => Item::List,
        })
    }

    fn op(&mut self) -> Result<Item<'a>, Malformed> {
        let at = self.reader.at();
        Ok(match self.reader.byte()? {
            format::KEEP => Item::Keep(self.count()?),
            tag @ (format::DROP | format::PROVED_DROP) => {
                let count = self.count()?;
                Item::Drop(count, self.proof(tag == format::PROVED_DROP)?)
            }
            format::INSERT => Item::Insert(take(&mut self.reader)?),
            format::CHANGE => {
                self.delta = true;
                Item::Change
            }
            format::REST => self.ended(Item::Rest),
            format::CLOSE => self.ended(Item::Close),
            format::LIST_TAIL => {
                let at = self.reader.at();
                let tail = take(&mut self.reader)?;
                if matches!(Reader::new(tail).token()?, Token::List | Token::Nil) {
                    return Err(Malformed {
                        at,
                        flaw: Flaw::Place,
                    });
                }
                self.ended(Item::Tail(tail))
            }
            tag => {
                return Err(Malformed {
                    at,
                    flaw: Flaw::Tag(tag),
                });
            }
        })
    }

    /// The proof that stands here, if one does.
    #[inline]
    fn proof(&mut self, stands: bool) -> Result<u16, Malformed> {
        if !stands {
            return Ok(Proof::NONE);
        }
        let bytes = [self.reader.byte()?, self.reader.byte()?];
        Ok(u16::from_le_bytes(bytes))
    }

    fn count(&mut self) -> Result<u64, Malformed> {
        let at = self.reader.at();
        match self.reader.varint()? {
            0 => Err(Malformed {
                at,
                flaw: Flaw::Number,
            }),
            count => Ok(count),
        }
    }

    fn ended(&mut self, item: Item<'a>) -> Item<'a> {
        self.levels.pop();
        item
    }
}

/// How many bytes the first delta in `bytes` takes; checks it whole.
///
/// # Errors
/// [`Malformed`] if no delta stands there.
pub fn skip_delta(bytes: &[u8]) -> Result<usize, Malformed> {
    let mut reader = DeltaReader::new(bytes);
    while reader.next()?.is_some() {}
    Ok(reader.at())
}
