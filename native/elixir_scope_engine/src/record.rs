//! The fixed head of a record in a ring. The payload, encoded values one after another, follows it.

use crate::event::{CorrelationId, EventKind, ProcessId, SiteId, Ticks};

/// Which events one record tells of besides its own, which is the end of a callback then. They come before it, at the same time, and
/// their parts of the payload stand in front of its own. One record costs less than several.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Preceding(u8);

impl Preceding {
    /// None.
    pub const NOTHING: Preceding = Preceding(0);
    /// A state change. Its part: the length of what [`StatePart`](crate::StatePart) reads, by [`Preceding::length`]; that; the trigger.
    pub const STATE: Preceding = Preceding(1);
    /// What the callback answers. Its part: a byte of the bits below, and the values of which these say that they follow, in their
    /// order.
    pub const REPLY: Preceding = Preceding(2);

    /// Of a reply: the process hibernates.
    pub const HIBERNATES: u8 = 1;
    /// Of a reply: it is a value. Otherwise it is the element of the callback's result that the upper half of the byte numbers,
    /// from 0, which is a tag: so 0 says that there is no reply.
    pub const REPLY_FOLLOWS: u8 = 1 << 1;
    /// Of a reply: a timeout is a value.
    pub const TIMEOUT_FOLLOWS: u8 = 1 << 2;
    /// Of a reply: what the process continues with is a value.
    pub const CONTINUE_FOLLOWS: u8 = 1 << 3;

    /// Both of them.
    #[must_use]
    pub const fn and(self, other: Preceding) -> Preceding {
        Preceding(self.0 | other.0)
    }

    /// Whether `other` is among them.
    #[must_use]
    pub const fn has(self, other: Preceding) -> bool {
        self.0 & other.0 == other.0
    }

    /// How the length of a state part is written.
    #[must_use]
    pub const fn length(bytes: usize) -> [u8; 4] {
        (bytes as u32).to_le_bytes()
    }

    /// The byte of a reply that is this element of the result; `None` for one that has no place there.
    #[must_use]
    pub const fn reply_at(element: usize) -> Option<u8> {
        match element {
            1..16 => Some((element as u8) << 4),
            _ => None,
        }
    }
}

/// What capture knows of an event besides its payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordHead {
    /// What happened.
    pub kind: EventKind,
    /// What happened just before, told of by the same record.
    pub preceding: Preceding,
    /// How many calls the process was in when this record was made, itself not counted; [`RecordHead::NO_DEPTH`] where no
    /// slot was free. An exit carries the depth of its entry, so that ingest heals after a lost record.
    pub depth: u16,
    /// When; filled in by the ring, after it announced its bound.
    pub ticks: Ticks,
    /// Which process recorded it.
    pub process: ProcessId,
    /// Where in the program, or none.
    pub site: SiteId,
    /// The number of the event among those of its process, from 1, and after 65,535 from 1 again; 0 where no slot was free. A
    /// number that is missing is an event that was lost, before anybody tells of it. Preceding events have the numbers before.
    pub sequence: u16,
    /// The causal root; given on every record made inside a call.
    pub correlation: CorrelationId,
}

impl RecordHead {
    /// The depth of a record whose process has no slot.
    pub const NO_DEPTH: u16 = u16::MAX;
    /// Bytes of an encoded head, the record's length among them.
    pub const SIZE: usize = 40;

    /// How many events the record tells of.
    #[must_use]
    #[inline]
    pub const fn events(&self) -> u32 {
        1 + self.preceding.0.count_ones()
    }

    /// The number after `sequence`.
    #[must_use]
    pub const fn next_sequence(sequence: u16) -> u16 {
        match sequence {
            u16::MAX => 1,
            other => other + 1,
        }
    }

    /// The number before `sequence`.
    #[must_use]
    pub const fn sequence_before(sequence: u16) -> u16 {
        match sequence {
            0 => 0,
            1 => u16::MAX,
            other => other - 1,
        }
    }

    /// Encodes the head of a record that is `length` bytes long in all, head included.
    #[must_use]
    pub fn encode(&self, length: u32) -> [u8; Self::SIZE] {
        let mut out = [0; Self::SIZE];
        let (word, rest) = out.split_at_mut(8);
        let first = u64::from(length)
            | (self.kind as u64) << 32
            | (self.preceding.0 as u64) << 40
            | u64::from(self.depth) << 48;
        word.copy_from_slice(&first.to_le_bytes());
        let words = [
            self.ticks.0,
            self.process.0,
            u64::from(self.site.0) | u64::from(self.sequence) << 32,
            self.correlation.0,
        ];
        for (to, from) in rest.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&from.to_le_bytes());
        }
        out
    }

    /// Reads the head at the start of `bytes`, with the record's length; `None` for what no ring wrote.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<(RecordHead, u32)> {
        let (head, _) = bytes.split_first_chunk::<{ Self::SIZE }>()?;
        let mut words = head.chunks_exact(8).map(|w| {
            let mut word = [0; 8];
            word.copy_from_slice(w);
            u64::from_le_bytes(word)
        });
        let first = words.next()?;
        let (ticks, process, place) = (words.next()?, words.next()?, words.next()?);
        let head = RecordHead {
            kind: EventKind::from_u8((first >> 32) as u8)?,
            preceding: Preceding((first >> 40) as u8 & 3),
            depth: (first >> 48) as u16,
            ticks: Ticks(ticks),
            process: ProcessId(process),
            site: SiteId(place as u32),
            sequence: (place >> 32) as u16,
            correlation: CorrelationId(words.next()?),
        };
        Some((head, first as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_round_trips_and_rubbish_is_refused() {
        let head = RecordHead {
            kind: EventKind::UserEvent,
            preceding: Preceding::STATE.and(Preceding::REPLY),
            depth: 3,
            ticks: Ticks(u64::MAX - 7),
            process: ProcessId(77),
            site: SiteId(u32::MAX),
            sequence: 0xfedc,
            correlation: CorrelationId(1 << 63),
        };
        assert_eq!(RecordHead::decode(&head.encode(96)), Some((head, 96)));
        assert_eq!(RecordHead::decode(&[0; RecordHead::SIZE]), None);
        assert_eq!(RecordHead::decode(&head.encode(96)[..39]), None);
    }
}
