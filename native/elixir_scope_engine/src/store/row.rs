//! One event as it goes into the store, and as it comes out.

use crate::event::{CorrelationId, EventId, EventKind, ProcessId, SiteId, TimeNs};

/// An event for [`Store::append`](crate::Store::append).
#[derive(Clone, Copy, Debug)]
pub struct NewEvent<'a> {
    /// What happened.
    pub kind: EventKind,
    /// When, in nanoseconds of the tape's clock.
    pub time: TimeNs,
    /// Which process recorded it, or none.
    pub process: ProcessId,
    /// Where in the program, or none.
    pub site: SiteId,
    /// The call that it belongs to; see [`Call`].
    pub call: Call,
    /// The entry event of the enclosing call, or none.
    pub parent: EventId,
    /// The causal root, or none.
    pub correlation: CorrelationId,
    /// The process at the other end: the receiver of a message that is sent, the sender of one that arrives, the child of a
    /// spawn; [`ProcessId::UNKNOWN`] where there is one that is not known, none where that means nothing.
    pub peer: ProcessId,
    /// The message that it is about, by the event that tells of its sending, or else of its arrival: of an arrival, and of a
    /// call that handles a message. [`EventId::AMBIGUOUS`] for one of several, none where none is known.
    pub message: EventId,
    /// Encoded values, one after another, as [`EventKind::fields`] lists them.
    pub payload: &'a [u8],
    /// More of the payload, behind `payload`.
    pub more: &'a [u8],
}

/// The call that an event belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Call {
    /// None, or not known.
    None,
    /// The event begins a call, which is named by the event's own id.
    Begins,
    /// The call that this event began.
    Of(EventId),
}

/// All of an event but its payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EventHead {
    /// Its id.
    pub id: EventId,
    /// What happened.
    pub kind: EventKind,
    /// When.
    pub time: TimeNs,
    /// Which process recorded it, or none.
    pub process: ProcessId,
    /// Where in the program, or none.
    pub site: SiteId,
    /// The entry event of the call that it belongs to, or none.
    pub call: EventId,
    /// The entry event of the enclosing call, or none.
    pub parent: EventId,
    /// The causal root, or none.
    pub correlation: CorrelationId,
}

/// The rows of a segment, sealed or open, as a query sees them.
pub(crate) trait Rows {
    /// The id of the first row; the others follow without gaps.
    fn first(&self) -> u64;
    /// Number of rows.
    fn rows(&self) -> usize;
    /// What is known of all rows together.
    fn zone(&self) -> &Zone;
    /// The time of a row.
    fn time(&self, row: usize) -> i64;
    /// A row without its payload.
    fn head(&self, row: usize) -> EventHead;
    /// The payload of a row.
    fn payload(&self, row: usize) -> &[u8];
    /// The process at the other end of a row that has one; 0 where it is not known.
    fn peer(&self, row: usize) -> Option<u64>;
    /// The message that a row is about.
    fn message(&self, row: usize) -> Option<u64>;
}

/// What is known of all rows of a segment together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Zone {
    /// Smallest and largest time.
    pub times: (i64, i64),
    /// Whether times never fall from row to row.
    pub sorted: bool,
    /// Bit n: a kind with the number n is there.
    pub kinds: u32,
}

impl Zone {
    /// Of no rows.
    pub(crate) const EMPTY: Zone = Zone {
        times: (i64::MAX, i64::MIN),
        sorted: true,
        kinds: 0,
    };

    /// Takes in the next row.
    #[inline]
    pub(crate) fn add(&mut self, time: i64, kind: EventKind) {
        self.sorted &= time >= self.times.1;
        self.times = (self.times.0.min(time), self.times.1.max(time));
        self.kinds |= 1 << kind as u32;
    }
}
