//! The segment that still takes events: plain columns of fixed room, used again after each seal.

use std::sync::Arc;

use super::loss::Loss;
use super::row::{Call, EventHead, NewEvent, Rows, Zone};
use super::sparse::OpenTies;
use crate::event::{CorrelationId, EventId, EventKind, ProcessId, SiteId, TimeNs};
use crate::memory::{Charge, Memory, Use};

/// Columns that grow up to their room.
#[derive(Debug)]
pub(crate) struct Open {
    pub(super) first: u64,
    pub(super) zone: Zone,
    pub(super) times: Vec<i64>,
    pub(super) kinds: Vec<u8>,
    pub(super) processes: Vec<u64>,
    pub(super) sites: Vec<u32>,
    pub(super) calls: Vec<u64>,
    pub(super) parents: Vec<u64>,
    pub(super) roots: Vec<u64>,
    pub(super) ends: Vec<u32>,
    pub(super) payload: Vec<u8>,
    pub(super) losses: Vec<Loss>,
    pub(super) ties: OpenTies,
    max_rows: usize,
    max_payload: usize,
    _charge: Charge,
}

impl Open {
    /// Bytes of one row's columns.
    const ROW: usize = 8 + 1 + 8 + 4 + 8 + 8 + 8 + 4;

    /// Bytes that [`Open::new`] allocates.
    pub(crate) fn bytes(rows: usize, payload: usize) -> usize {
        rows * Self::ROW + payload + Self::max_losses(rows) * size_of::<Loss>()
    }

    /// Room for `rows` events and `payload` bytes; ids go on from `first`.
    pub(crate) fn new(first: u64, rows: usize, payload: usize, memory: &Arc<Memory>) -> Open {
        Open {
            first,
            zone: Zone::EMPTY,
            times: Vec::with_capacity(rows),
            kinds: Vec::with_capacity(rows),
            processes: Vec::with_capacity(rows),
            sites: Vec::with_capacity(rows),
            calls: Vec::with_capacity(rows),
            parents: Vec::with_capacity(rows),
            roots: Vec::with_capacity(rows),
            ends: Vec::with_capacity(rows),
            payload: Vec::with_capacity(payload),
            losses: Vec::with_capacity(Self::max_losses(rows)),
            ties: OpenTies::new(memory.charge(Use::Open, 0)),
            max_rows: rows,
            max_payload: payload,
            _charge: memory.charge(Use::Open, Self::bytes(rows, payload)),
        }
    }

    /// Whether an event with so much payload has room.
    #[inline]
    pub(crate) fn has_room(&self, payload: usize) -> bool {
        self.times.len() < self.max_rows && self.payload.len() + payload <= self.max_payload
    }

    /// Whether a payload of this size has room in no segment of this kind.
    pub(crate) fn too_small_for(&self, payload: usize) -> bool {
        payload > self.max_payload
    }

    /// Appends an event, for which there must be room, and answers its id.
    #[inline]
    pub(crate) fn push(&mut self, event: &NewEvent<'_>) -> EventId {
        let id = self.first + self.times.len() as u64;
        self.zone.add(event.time.0, event.kind);
        self.times.push(event.time.0);
        self.kinds.push(event.kind as u8);
        self.processes.push(event.process.0);
        self.sites.push(event.site.0);
        self.calls.push(match event.call {
            Call::None => 0,
            Call::Begins => id,
            Call::Of(entry) => entry.0,
        });
        self.parents.push(event.parent.0);
        self.roots.push(event.correlation.0);
        self.payload.extend_from_slice(event.payload);
        self.payload.extend_from_slice(event.more);
        self.ends.push(self.payload.len() as u32);
        if event.peer.is_some() || event.message.is_some() {
            self.ties
                .push(self.times.len() - 1, event.peer, event.message);
        }
        if event.kind == EventKind::DataLoss {
            self.push_loss(EventId(id), event);
        }
        EventId(id)
    }

    #[cold]
    fn push_loss(&mut self, id: EventId, event: &NewEvent<'_>) {
        if self.losses.len() < self.losses.capacity() {
            self.losses.extend(Loss::decode(id, event.payload));
        }
    }

    /// Losses of one segment that are listed; an event tells of each of them all the same.
    fn max_losses(rows: usize) -> usize {
        rows.min(256)
    }

    /// Goes on from the id `first`, with no rows.
    pub(crate) fn begin_at(&mut self, first: u64) {
        self.clear();
        self.first = first;
    }

    /// Bytes that have to be had before this event is pushed, for columns that few rows stand in.
    #[inline]
    pub(crate) fn wants(&self, event: &NewEvent<'_>) -> usize {
        self.ties.wants(event.peer, event.message)
    }

    /// Makes the room that [`Open::wants`] asks for.
    pub(crate) fn grow(&mut self, event: &NewEvent<'_>) {
        self.ties.grow(event.peer, event.message);
    }

    /// Whether a message arrived of which nobody told that it was sent.
    pub(crate) fn has_loners(&self) -> bool {
        let arrivals = |rows: &[u16]| {
            let kinds = rows.iter().map(|&row| self.kinds.get(usize::from(row)));
            kinds
                .filter(|kind| *kind == Some(&(EventKind::MessageReceive as u8)))
                .count()
        };
        arrivals(self.ties.peers.rows()) > arrivals(self.ties.links.rows())
    }

    /// The columns that few rows stand in.
    pub(crate) fn ties(&self) -> &OpenTies {
        &self.ties
    }

    /// The column of kinds.
    pub(crate) fn kinds(&self) -> &[u8] {
        &self.kinds
    }

    /// Which process recorded each row.
    pub(crate) fn processes(&self) -> &[u64] {
        &self.processes
    }

    /// The causal root of each row.
    pub(crate) fn roots(&self) -> &[u64] {
        &self.roots
    }

    /// The losses that its rows tell of.
    pub(crate) fn losses(&self) -> &[Loss] {
        &self.losses
    }

    /// Begins anew behind the rows that are there.
    pub(crate) fn clear(&mut self) {
        self.first += self.times.len() as u64;
        self.zone = Zone::EMPTY;
        self.times.clear();
        self.kinds.clear();
        self.processes.clear();
        self.sites.clear();
        self.calls.clear();
        self.parents.clear();
        self.roots.clear();
        self.ends.clear();
        self.payload.clear();
        self.losses.clear();
        self.ties.clear();
    }
}

impl Rows for Open {
    fn first(&self) -> u64 {
        self.first
    }

    fn rows(&self) -> usize {
        self.times.len()
    }

    fn zone(&self) -> &Zone {
        &self.zone
    }

    fn time(&self, row: usize) -> i64 {
        self.times.get(row).copied().unwrap_or(0)
    }

    fn head(&self, row: usize) -> EventHead {
        fn at<T: Copy + Default>(column: &[T], row: usize) -> T {
            column.get(row).copied().unwrap_or_default()
        }
        EventHead {
            id: EventId(self.first + row as u64),
            kind: EventKind::from_u8(at(&self.kinds, row)).unwrap_or(EventKind::DataLoss),
            time: TimeNs(at(&self.times, row)),
            process: ProcessId(at(&self.processes, row)),
            site: SiteId(at(&self.sites, row)),
            call: EventId(at(&self.calls, row)),
            parent: EventId(at(&self.parents, row)),
            correlation: CorrelationId(at(&self.roots, row)),
        }
    }

    fn payload(&self, row: usize) -> &[u8] {
        let start = row
            .checked_sub(1)
            .and_then(|before| self.ends.get(before))
            .copied()
            .unwrap_or(0);
        let end = self.ends.get(row).copied().unwrap_or(start);
        self.payload
            .get(start as usize..end as usize)
            .unwrap_or(&[])
    }

    fn peer(&self, row: usize) -> Option<u64> {
        self.ties.peers.get(row)
    }

    fn message(&self, row: usize) -> Option<u64> {
        self.ties.links.get(row)
    }
}
