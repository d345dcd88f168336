//! What a `DataLoss` event tells, so that a query can name the losses that touch its window.

use crate::event::{AtomId, EventId, TimeNs};
use crate::ingest::encode::{Integers, put_atom, put_int};

/// Events that were lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Loss {
    /// The event that tells of it; none where it is not stored yet.
    pub id: EventId,
    /// From when, at the earliest.
    pub from: TimeNs,
    /// Until when, at the latest.
    pub until: TimeNs,
    /// How many events.
    pub count: u64,
    /// Why.
    pub cause: AtomId,
    /// By which writer; 0 stands for the store.
    pub writer: u32,
}

impl Loss {
    /// The payload of the event that tells of it, in the order of its kind's fields.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_int(out, self.from.0);
        put_int(out, self.until.0);
        put_int(out, i64::try_from(self.count).unwrap_or(i64::MAX));
        put_atom(out, self.cause);
        put_int(out, i64::from(self.writer));
    }

    /// Reads the payload of the event `id`.
    pub(crate) fn decode(id: EventId, payload: &[u8]) -> Option<Loss> {
        let mut values = Integers(payload);
        Some(Loss {
            id,
            from: TimeNs(values.int()?),
            until: TimeNs(values.int()?),
            count: values.int()?.unsigned_abs(),
            cause: values.atom()?,
            writer: u32::try_from(values.int()?).ok()?,
        })
    }

    /// Whether it touches the window between `since` and `until`, both included.
    #[must_use]
    pub fn overlaps(&self, since: Option<TimeNs>, until: Option<TimeNs>) -> bool {
        until.is_none_or(|until| self.from <= until)
            && since.is_none_or(|since| self.until >= since)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_read_back_from_its_event() {
        let loss = Loss {
            id: EventId(9),
            from: TimeNs(-5_000_000_000),
            until: TimeNs(7),
            count: 1 << 40,
            cause: AtomId(70_000),
            writer: 130,
        };
        let mut payload = Vec::new();
        loss.encode(&mut payload);
        assert_eq!(Loss::decode(EventId(9), &payload), Some(loss));
        for cut in 0..payload.len() {
            assert_eq!(Loss::decode(EventId(9), &payload[..cut]), None);
        }
    }

    #[test]
    fn a_loss_overlaps_windows_that_it_touches() {
        let loss = Loss {
            from: TimeNs(10),
            until: TimeNs(20),
            ..Loss::decode(EventId(1), &[0x80, 0x80, 0x80, 4, 0, 0x80]).unwrap()
        };
        let at = |time| Some(TimeNs(time));
        assert!(loss.overlaps(None, None));
        assert!(loss.overlaps(at(20), at(30)));
        assert!(loss.overlaps(at(0), at(10)));
        assert!(!loss.overlaps(at(21), None));
        assert!(!loss.overlaps(None, at(9)));
    }
}
