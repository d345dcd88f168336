//! The fixed head of a record in a ring. The payload, encoded values one after another, follows it.

use crate::event::{CorrelationId, EventKind, ProcessId, SiteId, Ticks};

/// What capture knows of an event besides its payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordHead {
    /// What happened.
    pub kind: EventKind,
    /// How many calls the process was in when this record was made, itself not counted; [`RecordHead::NO_DEPTH`] where no
    /// slot was free. An exit carries the depth of its entry, so that ingest heals after a lost record.
    pub depth: u16,
    /// When; filled in by the ring, after it announced its bound.
    pub ticks: Ticks,
    /// Which process recorded it.
    pub process: ProcessId,
    /// Where in the program, or none.
    pub site: SiteId,
    /// The number of the record among those of its process, from 1, and after 65,535 from 1 again; 0 where no slot was free. A
    /// number that is missing is a record that was lost, before anybody tells of it.
    pub sequence: u16,
    /// The causal root; given on every record made inside a call.
    pub correlation: CorrelationId,
}

impl RecordHead {
    /// The depth of a record whose process has no slot.
    pub const NO_DEPTH: u16 = u16::MAX;
    /// Bytes of an encoded head, the record's length among them.
    pub const SIZE: usize = 40;

    /// The number after `sequence`.
    #[must_use]
    pub const fn next_sequence(sequence: u16) -> u16 {
        match sequence {
            u16::MAX => 1,
            other => other + 1,
        }
    }

    /// Encodes the head of a record that is `length` bytes long in all, head included.
    #[must_use]
    pub fn encode(&self, length: u32) -> [u8; Self::SIZE] {
        let mut out = [0; Self::SIZE];
        let (word, rest) = out.split_at_mut(8);
        let first = u64::from(length) | (self.kind as u64) << 32 | u64::from(self.depth) << 48;
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
