//! Who is at the other end of the rows of a segment, whether it is sealed or open.

use std::ops::Range;

use crate::event::{EventKind, ProcessId};
use crate::store::{Growing, Open, Peers, Rows, Segment};

/// A segment whose rows have peers.
pub(super) trait Ends: Rows {
    /// The rows with a process at the other end.
    fn places(&self) -> &[u16];
    /// The process at the other end; 0 where it is not known.
    fn end(&self, place: usize) -> u64;
    /// What a row is, and of which process.
    fn who(&self, row: usize) -> (Option<EventKind>, ProcessId);
    /// Whether a message arrived of which nobody told that it was sent.
    fn has_loners(&self) -> bool;
    /// Marks those of `places` whose other end is one of `wanted`; whether it did.
    fn mark(&self, places: Range<usize>, wanted: &[u64], marks: &mut Vec<u8>) -> bool;
}

impl Ends for Segment {
    fn places(&self) -> &[u16] {
        self.peers().rows()
    }

    fn end(&self, place: usize) -> u64 {
        self.peers().at(place)
    }

    fn who(&self, row: usize) -> (Option<EventKind>, ProcessId) {
        let kind = self
            .kinds()
            .get(row)
            .and_then(|&kind| EventKind::from_u8(kind));
        (kind, ProcessId(self.processes().get(row)))
    }

    fn has_loners(&self) -> bool {
        Segment::has_loners(self)
    }

    fn mark(&self, places: Range<usize>, wanted: &[u64], marks: &mut Vec<u8>) -> bool {
        marks.clear();
        marks.resize(places.len(), 0);
        let mut scratch = Vec::new();
        for &value in wanted {
            Peers::mark_equal(self.peers(), places.clone(), value, &mut scratch, marks);
        }
        true
    }
}

impl Ends for Open {
    fn places(&self) -> &[u16] {
        Growing::rows(&self.ties().peers)
    }

    fn end(&self, place: usize) -> u64 {
        self.ties().peers.at(place)
    }

    fn who(&self, row: usize) -> (Option<EventKind>, ProcessId) {
        let kind = self
            .kinds()
            .get(row)
            .and_then(|&kind| EventKind::from_u8(kind));
        let process = self.processes().get(row).copied().unwrap_or(0);
        (kind, ProcessId(process))
    }

    fn has_loners(&self) -> bool {
        true
    }

    fn mark(&self, _places: Range<usize>, _wanted: &[u64], _marks: &mut Vec<u8>) -> bool {
        false
    }
}
