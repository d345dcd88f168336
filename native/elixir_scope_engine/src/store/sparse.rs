//! Columns that few rows have a value in: the rows that have one, and the values. A segment without such rows holds nothing of
//! them.
//!
//! * peers: the process at the other end of a message or a birth, with rows that know none among them
//! * links: the message that a row is about, found from both sides

use std::ops::Range;

use super::column::{Column, bounds, width};
use crate::event::{EventId, ProcessId};
use crate::memory::Charge;

/// A sparse column of the open segment.
#[derive(Debug, Default)]
pub(crate) struct Growing {
    rows: Vec<u16>,
    values: Vec<u64>,
}

impl Growing {
    /// Bytes of one value, and of its row.
    const EACH: usize = size_of::<u16>() + size_of::<u64>();

    /// Rows and values, in the order of rows.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (usize, u64)> + ExactSizeIterator {
        let rows = self.rows.iter().map(|&row| usize::from(row));
        rows.zip(self.values.iter().copied())
    }

    /// The rows that have a value.
    pub(crate) fn rows(&self) -> &[u16] {
        &self.rows
    }

    /// The value at a place of [`Growing::rows`].
    pub(crate) fn at(&self, place: usize) -> u64 {
        self.values.get(place).copied().unwrap_or(0)
    }

    /// The value of `row`.
    pub(crate) fn get(&self, row: usize) -> Option<u64> {
        let row = u16::try_from(row).ok()?;
        let place = self.rows.binary_search(&row).ok()?;
        self.values.get(place).copied()
    }

    /// Bytes that more room takes, where there is none for one more.
    #[inline]
    fn wants(&self) -> usize {
        if self.rows.len() < self.rows.capacity() {
            return 0;
        }
        self.rows.capacity().max(64) * Self::EACH
    }

    fn grow(&mut self) {
        if self.rows.len() == self.rows.capacity() {
            let more = self.rows.capacity().max(64);
            self.rows.reserve_exact(more);
            self.values.reserve_exact(more);
        }
    }

    fn bytes(&self) -> usize {
        self.rows.capacity() * size_of::<u16>() + self.values.capacity() * size_of::<u64>()
    }

    /// Where there is room; rows come in their order.
    fn push(&mut self, row: usize, value: u64) {
        if self.rows.len() < self.rows.capacity() && self.values.len() < self.values.capacity() {
            self.rows.push(row as u16);
            self.values.push(value);
        }
    }

    fn clear(&mut self) {
        self.rows.clear();
        self.values.clear();
    }
}

/// Both sparse columns of the open segment.
#[derive(Debug)]
pub(crate) struct OpenTies {
    pub(crate) peers: Growing,
    pub(crate) links: Growing,
    charge: Charge,
}

impl OpenTies {
    pub(crate) fn new(charge: Charge) -> OpenTies {
        OpenTies {
            peers: Growing::default(),
            links: Growing::default(),
            charge,
        }
    }

    /// Bytes that have to be had before a row with these is pushed; 0 mostly.
    #[inline]
    pub(crate) fn wants(&self, peer: ProcessId, message: EventId) -> usize {
        let mut bytes = 0;
        if peer.is_some() {
            bytes += self.peers.wants();
        }
        if message.is_some() {
            bytes += self.links.wants();
        }
        bytes
    }

    /// Makes the room that [`OpenTies::wants`] asks for.
    #[cold]
    pub(crate) fn grow(&mut self, peer: ProcessId, message: EventId) {
        if peer.is_some() {
            self.peers.grow();
        }
        if message.is_some() {
            self.links.grow();
        }
        self.charge.set(self.peers.bytes() + self.links.bytes());
    }

    pub(crate) fn push(&mut self, row: usize, peer: ProcessId, message: EventId) {
        if peer.is_some() {
            let known = if peer == ProcessId::UNKNOWN {
                0
            } else {
                peer.0
            };
            self.peers.push(row, known);
        }
        if message.is_some() {
            self.links.push(row, message.0);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.peers.clear();
        self.links.clear();
    }
}

/// The peers of a sealed segment; 0 for one that is not known.
#[derive(Debug)]
pub(crate) struct Peers {
    rows: Box<[u16]>,
    values: Column,
}

impl Peers {
    /// Bytes of the columns.
    pub(crate) fn plan(open: &Growing) -> usize {
        let (low, high) = bounds(open.values.iter().copied());
        open.rows.len() * (size_of::<u16>() + width(high - low))
    }

    pub(crate) fn build(open: &Growing) -> Peers {
        let values = open.values.iter().copied();
        Peers {
            rows: open.rows.as_slice().into(),
            values: Column::new(values.clone(), bounds(values)),
        }
    }

    /// Bytes allocated.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.rows.len() * size_of::<u16>() + self.values.bytes()
    }

    /// The rows that have one.
    pub(crate) fn rows(&self) -> &[u16] {
        &self.rows
    }

    /// The peer at a place of [`Peers::rows`].
    #[inline]
    pub(crate) fn at(&self, place: usize) -> u64 {
        self.values.get(place)
    }

    /// The peer of `row`, which may have none.
    pub(crate) fn get(&self, row: usize) -> Option<u64> {
        let row = u16::try_from(row).ok()?;
        let place = self.rows.binary_search(&row).ok()?;
        Some(self.values.get(place))
    }

    /// Sets the marks of those of `places` whose peer is `value`.
    pub(crate) fn mark_equal(
        &self,
        places: Range<usize>,
        value: u64,
        scratch: &mut Vec<u8>,
        marks: &mut [u8],
    ) {
        scratch.clear();
        scratch.resize(marks.len(), 1);
        self.values.keep_equal(places, value, scratch);
        for (mark, found) in marks.iter_mut().zip(scratch.iter()) {
            *mark |= found;
        }
    }
}

/// The links of a sealed segment: as distances back from their row's own id, with 0 for one of several.
#[derive(Debug)]
pub(crate) struct Crossings {
    first: u64,
    rows: Box<[u16]>,
    distances: Column,
    /// Places of `rows` in the order of the events linked to, the ambiguous ones left out.
    order: Box<[u16]>,
    /// The smallest and the largest event linked to.
    targets: (u64, u64),
}

fn known(value: u64) -> bool {
    value != EventId::AMBIGUOUS.0
}

fn distance(id: u64, target: u64) -> u64 {
    if known(target) {
        id.wrapping_sub(target)
    } else {
        0
    }
}

impl Crossings {
    fn distances(first: u64, open: &Growing) -> impl Iterator<Item = u64> + Clone {
        let rows = open.rows.iter().zip(&open.values);
        rows.map(move |(&row, &target)| distance(first + u64::from(row), target))
    }

    /// Bytes of the columns.
    pub(crate) fn plan(first: u64, open: &Growing) -> usize {
        let (low, high) = bounds(Self::distances(first, open));
        let found = open.values.iter().filter(|value| known(**value)).count();
        open.rows.len() * (size_of::<u16>() + width(high - low)) + found * size_of::<u16>()
    }

    pub(crate) fn build(first: u64, open: &Growing) -> Crossings {
        let distances = Self::distances(first, open);
        let value = |place: u16| open.values.get(usize::from(place)).copied().unwrap_or(0);
        let mut order: Box<[u16]> = (0..)
            .zip(&open.values)
            .filter(|(_, value)| known(**value))
            .map(|(place, _)| place)
            .collect();
        order.sort_unstable_by_key(|&place| (value(place), place));
        let ends = (order.first(), order.last());
        Crossings {
            first,
            rows: open.rows.as_slice().into(),
            distances: Column::new(distances.clone(), bounds(distances)),
            targets: match ends {
                (Some(&low), Some(&high)) => (value(low), value(high)),
                _ => (u64::MAX, 0),
            },
            order,
        }
    }

    /// Bytes allocated.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        (self.rows.len() + self.order.len()) * size_of::<u16>() + self.distances.bytes()
    }

    fn at(&self, place: usize) -> u64 {
        let Some(&row) = self.rows.get(place) else {
            return 0;
        };
        match self.distances.get(place) {
            0 => EventId::AMBIGUOUS.0,
            distance => (self.first + u64::from(row)).wrapping_sub(distance),
        }
    }

    /// What `row` is about.
    pub(crate) fn get(&self, row: usize) -> Option<u64> {
        let row = u16::try_from(row).ok()?;
        let place = self.rows.binary_search(&row).ok()?;
        Some(self.at(place))
    }

    /// The rows that are about `target`, oldest first.
    pub(crate) fn to(&self, target: u64) -> impl Iterator<Item = usize> {
        let order: &[u16] = if (self.targets.0..=self.targets.1).contains(&target) {
            &self.order
        } else {
            &[]
        };
        let of = |place: u16| self.at(usize::from(place));
        let from = order.partition_point(|&place| of(place) < target);
        let places = order.get(from..).unwrap_or(&[]).iter();
        places
            .take_while(move |place| of(**place) == target)
            .filter_map(|&place| self.rows.get(usize::from(place)).map(|&row| row.into()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests;
