//! A sealed segment: narrow columns, dictionaries and zones that never change again.

use std::sync::Arc;

use super::column::{Column, width};
use super::dictionary::{Dictionary, Interner};
use super::links::{Links, LinksPlan, Roots, RootsPlan};
use super::loss::Loss;
use super::offsets::Offsets;
use super::open::Open;
use super::row::{EventHead, Rows, Zone};
use super::sparse::{Crossings, Peers};
use crate::event::{CorrelationId, EventId, EventKind, ProcessId, SiteId, TimeNs};
use crate::memory::{Charge, Memory, Use};

/// Events that are stored for good, until they are evicted as a whole.
#[derive(Debug)]
pub(crate) struct Segment {
    first: u64,
    rows: usize,
    zone: Zone,
    /// Offsets from the smallest time.
    times: Column,
    kinds: Box<[u8]>,
    processes: Dictionary,
    sites: Dictionary,
    calls: Links,
    parents: Links,
    roots: Roots,
    peers: Peers,
    links: Crossings,
    /// Whether a message arrived of which nobody told that it was sent.
    has_loners: bool,
    offsets: Offsets,
    payload: Box<[u8]>,
    losses: Box<[Loss]>,
    _charges: [Charge; 3],
}

impl Segment {
    /// Itself and the counters of its `Arc`.
    const SELF: usize = size_of::<Segment>() + 2 * size_of::<usize>();

    /// Seals the rows of `open`, of which there must be some. Before anything is allocated `make_room` is asked for that
    /// many bytes; when it has none, nothing is built.
    pub(crate) fn seal(
        open: &Open,
        interner: &mut Interner,
        memory: &Arc<Memory>,
        make_room: &mut dyn FnMut(usize) -> bool,
    ) -> Option<Segment> {
        let mut columns = memory.charge(Use::Columns, 0);
        let mut index = memory.charge(Use::Index, 0);
        let mut charge = |column_bytes: usize, index_bytes: usize| {
            let room = make_room(column_bytes + index_bytes);
            if room {
                columns.set(columns.bytes() + column_bytes);
                index.set(index.bytes() + index_bytes);
            }
            room.then_some(())
        };

        interner.take(open.processes.iter().copied());
        let (codes, dictionary) = interner.plan();
        charge(codes, dictionary)?;
        let processes = interner.build();
        interner.take(open.sites.iter().map(|&site| u64::from(site)));
        let (codes, dictionary) = interner.plan();
        charge(codes, dictionary)?;
        let sites = interner.build();

        let rows = open.rows();
        let oldest = open.zone.times.0;
        let time_span = open.zone.times.1.wrapping_sub(oldest) as u64;
        let calls = LinksPlan::new(open.first, &open.calls);
        let parents = LinksPlan::new(open.first, &open.parents);
        let roots = RootsPlan::new(&open.roots);
        let (root_columns, root_index) = roots.bytes(rows);
        let narrow = width(time_span) + size_of::<u8>() + calls.width() + parents.width();
        let ties = Peers::plan(&open.ties.peers) + Crossings::plan(open.first, &open.ties.links);
        charge(
            rows * narrow + ties + root_columns + Offsets::plan(&open.ends),
            root_index + open.losses.len() * size_of::<Loss>() + Self::SELF,
        )?;
        let since_oldest = open
            .times
            .iter()
            .map(|&time| time.wrapping_sub(oldest) as u64);
        let times = Column::new(since_oldest, (0, time_span));
        if !make_room(open.payload.len()) {
            return None;
        }
        let payload = memory.charge(Use::Payload, open.payload.len());
        Some(Segment {
            first: open.first,
            rows,
            zone: open.zone,
            times,
            kinds: open.kinds.as_slice().into(),
            processes,
            sites,
            calls: calls.build(open.first, &open.calls),
            parents: parents.build(open.first, &open.parents),
            roots: roots.build(&open.roots),
            peers: Peers::build(&open.ties.peers),
            links: Crossings::build(open.first, &open.ties.links),
            has_loners: open.has_loners(),
            offsets: Offsets::new(&open.ends),
            payload: open.payload.as_slice().into(),
            losses: open.losses.as_slice().into(),
            _charges: [columns, index, payload],
        })
    }

    /// The column of kinds.
    pub(crate) fn kinds(&self) -> &[u8] {
        &self.kinds
    }

    /// Which process recorded each row.
    pub(crate) fn processes(&self) -> &Dictionary {
        &self.processes
    }

    /// Where in the program each row stands.
    pub(crate) fn sites(&self) -> &Dictionary {
        &self.sites
    }

    /// The call of each row.
    pub(crate) fn calls(&self) -> &Links {
        &self.calls
    }

    /// The enclosing call of each row.
    pub(crate) fn parents(&self) -> &Links {
        &self.parents
    }

    /// The causal root of each row.
    pub(crate) fn roots(&self) -> &Roots {
        &self.roots
    }

    /// The processes at the other end.
    pub(crate) fn peers(&self) -> &Peers {
        &self.peers
    }

    /// The messages that rows are about.
    pub(crate) fn links(&self) -> &Crossings {
        &self.links
    }

    /// Whether a message arrived of which nobody told that it was sent.
    pub(crate) fn has_loners(&self) -> bool {
        self.has_loners
    }

    /// The losses that its rows tell of.
    pub(crate) fn losses(&self) -> &[Loss] {
        &self.losses
    }

    /// Bytes of columns, payload and index.
    #[cfg(test)]
    pub(crate) fn allocated(&self) -> usize {
        let (root_columns, root_index) = self.roots.bytes();
        self.times.bytes()
            + self.kinds.len()
            + self.processes.codes().bytes()
            + self.processes.index_bytes()
            + self.sites.codes().bytes()
            + self.sites.index_bytes()
            + self.calls.bytes()
            + self.parents.bytes()
            + root_columns
            + root_index
            + self.peers.bytes()
            + self.links.bytes()
            + self.offsets.bytes()
            + self.payload.len()
            + size_of_val(&*self.losses)
            + Self::SELF
    }

    /// Bytes counted for it.
    #[cfg(test)]
    pub(crate) fn charged(&self) -> usize {
        self._charges.iter().map(Charge::bytes).sum()
    }
}

impl Rows for Segment {
    fn first(&self) -> u64 {
        self.first
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn zone(&self) -> &Zone {
        &self.zone
    }

    fn time(&self, row: usize) -> i64 {
        self.zone.times.0.wrapping_add(self.times.get(row) as i64)
    }

    fn head(&self, row: usize) -> EventHead {
        let id = self.first + row as u64;
        let kind = self.kinds.get(row).copied().unwrap_or(0);
        EventHead {
            id: EventId(id),
            kind: EventKind::from_u8(kind).unwrap_or(EventKind::DataLoss),
            time: TimeNs(self.time(row)),
            process: ProcessId(self.processes.get(row)),
            site: SiteId(self.sites.get(row) as u32),
            call: EventId(self.calls.get(row, id)),
            parent: EventId(self.parents.get(row, id)),
            correlation: CorrelationId(self.roots.get(row)),
        }
    }

    fn payload(&self, row: usize) -> &[u8] {
        self.payload.get(self.offsets.range(row)).unwrap_or(&[])
    }

    fn peer(&self, row: usize) -> Option<u64> {
        self.peers.get(row)
    }

    fn message(&self, row: usize) -> Option<u64> {
        self.links.get(row)
    }
}
