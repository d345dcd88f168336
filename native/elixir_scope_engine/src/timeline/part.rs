//! The part of a record that tells of a state: what stands in its payload behind the trigger.
//!
//! | bytes | what |
//! | --- | --- |
//! | flags(1) | what follows, and how it hangs together with what was recorded before |
//! | varint | the number of this change among those of the process |
//! | whole: value; delta: delta; check: delta, value | the state |

#[cfg(not(loom))]
use crate::ring::Window;
use crate::value::varint::put_varint;
use crate::value::{Full, Reader, Sink};

/// One recorded change of a state, as it stands in the record's payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StatePart<'a> {
    /// Two bits of what follows, [`StatePart::BREAKS`] and the like.
    pub flags: u8,
    /// The number of this change among those of the process: one above that of the change before.
    pub sequence: u32,
    /// A value, a delta, or both, as the flags say.
    pub body: &'a [u8],
}

/// What stands in front of the state: flags and sequence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StateHead {
    flags: u8,
    sequence: u32,
}

impl StatePart<'_> {
    /// Flags: these bits tell what the body is.
    pub const BODY: u8 = 0b11;
    /// A body: the whole state, a value.
    pub const WHOLE: u8 = 1;
    /// A body: the delta from the state that was recorded before.
    pub const DELTA: u8 = 2;
    /// A body: a delta, and the whole state behind it, by which the replayed one can be checked.
    pub const CHECK: u8 = 3;
    /// A flag, of whole states only: what was recorded before is not known to lead here.
    pub const BREAKS: u8 = 1 << 2;
    /// A flag: a part was left out by a budget, or cannot be seen.
    pub const CUT: u8 = 1 << 3;
    /// A flag: the process began with this state, in this module.
    pub const FIRST: u8 = 1 << 4;

    /// Reads what a record's payload holds behind the trigger. None where it cannot be one; the body is not looked at.
    #[must_use]
    #[inline]
    pub fn read(bytes: &[u8]) -> Option<StatePart<'_>> {
        let (&flags, rest) = bytes.split_first()?;
        let mut reader = Reader::new(rest);
        let sequence = u32::try_from(reader.varint().ok()?).ok()?;
        let known = flags < StatePart::FIRST << 1 && flags & StatePart::BODY != 0;
        known.then_some(StatePart {
            flags,
            sequence,
            body: reader.rest(),
        })
    }

    /// What the writer puts in front of the body.
    #[must_use]
    #[inline]
    pub const fn head(flags: u8, sequence: u32) -> StateHead {
        StateHead { flags, sequence }
    }

    /// What the body is: [`StatePart::WHOLE`], [`StatePart::DELTA`] or [`StatePart::CHECK`].
    #[must_use]
    #[inline]
    pub fn kind(&self) -> u8 {
        self.flags & StatePart::BODY
    }

    /// Whether a flag is set.
    #[must_use]
    #[inline]
    pub fn is(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

impl StateHead {
    /// How many bytes it takes.
    #[must_use]
    #[inline]
    pub const fn size(self) -> usize {
        let bits = (u32::BITS - self.sequence.leading_zeros()) as usize;
        1 + if bits == 0 { 1 } else { bits.div_ceil(7) }
    }

    /// Writes it.
    #[cfg(not(loom))]
    #[inline(always)]
    pub fn write(self, window: Window<'_>) -> Option<Window<'_>> {
        window.tagged(self.flags, self.sequence.into())
    }

    /// Writes it.
    ///
    /// # Errors
    /// [`Full`] as the sink says.
    pub fn put(self, sink: &mut impl Sink) -> Result<(), Full> {
        let mut varint = [0; 10];
        let size = put_varint(&mut varint, self.sequence.into());
        sink.put(&[self.flags])?;
        sink.put(varint.get(..size).unwrap_or(&varint))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn what_the_writer_puts_is_read_back() {
        for sequence in [0, 1, 127, 128, 70_000, u32::MAX] {
            for flags in [
                StatePart::WHOLE | StatePart::FIRST,
                StatePart::WHOLE | StatePart::BREAKS | StatePart::CUT,
                StatePart::DELTA,
                StatePart::CHECK,
            ] {
                let head = StatePart::head(flags, sequence);
                let mut bytes = Vec::new();
                head.put(&mut bytes).unwrap();
                assert_eq!(bytes.len(), head.size());
                assert!(bytes.len() <= 6);
                bytes.extend_from_slice(b"body");
                let part = StatePart::read(&bytes).unwrap();
                assert_eq!((part.flags, part.sequence), (flags, sequence));
                assert_eq!(part.body, b"body");
            }
        }
    }

    #[test]
    fn other_bytes_are_none() {
        assert_eq!(StatePart::read(b""), None);
        assert_eq!(StatePart::read(&[StatePart::WHOLE]), None);
        assert_eq!(StatePart::read(&[StatePart::WHOLE, 0x80]), None);
        // no body, and a flag that is not known
        assert_eq!(StatePart::read(&[StatePart::BREAKS, 1, 7]), None);
        assert_eq!(StatePart::read(&[StatePart::WHOLE | 0x20, 1, 7]), None);
        // a sequence beyond 32 bits
        assert_eq!(
            StatePart::read(&[StatePart::WHOLE, 0xff, 0xff, 0xff, 0xff, 0x7f, 7]),
            None
        );
    }
}
