//! The sealed segments in order, the open one behind them, and what retention has taken away in front.

use std::collections::VecDeque;
use std::sync::Arc;

use super::dictionary::Interner;
use super::open::Open;
use super::row::{EventHead, NewEvent, Rows};
use super::segment::Segment;
use super::{Refused, StoreConfig, StoreStats, USES};
use crate::event::{EventId, ProcessId, TimeNs};
use crate::memory::{Charge, Memory, Use};

/// Rows of one segment, at most.
const MAX_ROWS: usize = 16_384;
/// Bytes of payload of one segment, at most; larger payloads get a segment of their own.
const MAX_PAYLOAD: usize = 1 << 20;

/// What the lock of a [`Store`](super::Store) guards.
#[derive(Debug)]
pub(crate) struct Tape {
    config: StoreConfig,
    segments: VecDeque<Arc<Segment>>,
    /// For the list of segments.
    list: Charge,
    open: Open,
    interner: Interner,
    memory: Arc<Memory>,
    /// The id of the oldest event that queries see. Events below it may still lie in the oldest segment.
    floor: u64,
    /// Whether each event was appended at a time not before that of the event in front of it.
    ordered: bool,
    newest_time: i64,
}

impl Tape {
    pub(crate) fn new(config: StoreConfig, memory: &Arc<Memory>) -> Tape {
        let (rows, payload) = Self::segment_size(&config);
        Tape {
            config,
            segments: VecDeque::new(),
            list: memory.charge(Use::Index, 0),
            open: Open::new(1, rows, payload, memory),
            interner: Interner::new(rows, memory),
            memory: Arc::clone(memory),
            floor: 1,
            ordered: true,
            newest_time: i64::MIN,
        }
    }

    /// Rows and bytes of payload of one segment: a sixteenth of the limit for each of columns and payload, and few
    /// enough rows that whole segments can be evicted in time.
    fn segment_size(config: &StoreConfig) -> (usize, usize) {
        let share = config.memory_limit / 16;
        let row = Open::bytes(1, 0) + Interner::bytes(1);
        let by_events = config.max_events.map_or(MAX_ROWS, |most| {
            usize::try_from(most / 8).unwrap_or(MAX_ROWS).max(16)
        });
        (
            (share / row).min(MAX_ROWS).min(by_events).max(1),
            share.min(MAX_PAYLOAD),
        )
    }

    /// Bytes of the largest payload that gets a segment of its own.
    pub(crate) fn max_payload(&self) -> usize {
        self.config.memory_limit / 16
    }

    pub(crate) fn next_id(&self) -> u64 {
        self.open.first() + self.open.rows() as u64
    }

    /// The id of the oldest event that queries see.
    pub(crate) fn floor(&self) -> u64 {
        self.floor
    }

    /// Whether times never fall from event to event.
    pub(crate) fn ordered(&self) -> bool {
        self.ordered
    }

    pub(crate) fn open(&self) -> &Open {
        &self.open
    }

    pub(crate) fn segments(&self) -> &VecDeque<Arc<Segment>> {
        &self.segments
    }

    /// The index of the segment that holds `id`, or of the first one behind it.
    fn place(&self, id: u64) -> usize {
        self.segments
            .partition_point(|segment| segment.first() + segment.rows() as u64 <= id)
    }

    /// The sealed segment that holds `id`, or else the first one behind it.
    pub(crate) fn segment_from(&self, id: u64) -> Option<&Arc<Segment>> {
        self.segments.get(self.place(id))
    }

    /// The sealed segment that holds `id`, or else the last one before it.
    pub(crate) fn segment_until(&self, id: u64) -> Option<&Arc<Segment>> {
        let place = self.place(id);
        match self.segments.get(place) {
            Some(segment) if segment.first() <= id => Some(segment),
            _ => place
                .checked_sub(1)
                .and_then(|before| self.segments.get(before)),
        }
    }

    /// Calls `look` with the event `id`, where it is still there.
    pub(crate) fn with_event<T>(
        &self,
        id: EventId,
        look: impl FnOnce(EventHead, &[u8]) -> T,
    ) -> Option<T> {
        self.with_row(id, |rows, row| look(rows.head(row), rows.payload(row)))
    }

    /// Calls `look` with the rows of a segment and the row of the event `id` among them, where it is still there.
    pub(crate) fn with_row<T>(
        &self,
        id: EventId,
        look: impl FnOnce(&dyn Rows, usize) -> T,
    ) -> Option<T> {
        let rows: &dyn Rows = if id.0 >= self.open.first() {
            &self.open
        } else {
            self.segment_from(id.0)?.as_ref()
        };
        let row = usize::try_from(id.0.checked_sub(rows.first())?).ok()?;
        (id.0 >= self.floor && row < rows.rows()).then(|| look(rows, row))
    }

    /// The process at the other end of the event `id`, where it is known.
    pub(crate) fn peer_of(&self, id: EventId) -> Option<ProcessId> {
        self.with_row(id, |rows, row| rows.peer(row))
            .flatten()
            .and_then(|peer| ProcessId(peer).some())
    }

    /// The time of the event `id`, where it is still there.
    pub(crate) fn time_of(&self, id: EventId) -> Option<TimeNs> {
        self.with_event(id, |head, _| head.time)
    }

    #[inline]
    pub(crate) fn append(&mut self, event: &NewEvent<'_>) -> Result<EventId, Refused> {
        let payload = event.payload.len() + event.more.len();
        let id = if self.open.has_room(payload) && self.open.wants(event) == 0 {
            self.open.push(event)
        } else {
            self.append_behind_seal(event, payload)?
        };
        self.ordered &= event.time.0 >= self.newest_time;
        self.newest_time = self.newest_time.max(event.time.0);
        if let Some(most) = self.config.max_events {
            self.raise_floor((id.0 + 1).saturating_sub(most));
        }
        Ok(id)
    }

    #[cold]
    fn append_behind_seal(
        &mut self,
        event: &NewEvent<'_>,
        payload: usize,
    ) -> Result<EventId, Refused> {
        if !self.open.too_small_for(payload) {
            if !self.open.has_room(payload) {
                self.seal()?;
            }
            if !self.make_way(event) {
                return Err(Refused::Full);
            }
            return Ok(self.open.push(event));
        }
        if payload > self.max_payload() {
            return Err(Refused::TooBig);
        }
        // A segment of its own.
        self.seal()?;
        if !self.make_room(Open::bytes(1, payload)) {
            return Err(Refused::Full);
        }
        let next = self.next_id();
        let mut alone = Open::new(next, 1, payload, &self.memory);
        std::mem::swap(&mut self.open, &mut alone);
        // Without room it is stored all the same, and less is known of it.
        let _ = self.make_way(event);
        let id = self.open.push(event);
        let sealed = self.seal();
        std::mem::swap(&mut self.open, &mut alone);
        sealed?;
        self.open.begin_at(next + 1);
        Ok(id)
    }

    /// Makes room in the columns that few rows stand in.
    fn make_way(&mut self, event: &NewEvent<'_>) -> bool {
        let bytes = self.open.wants(event);
        if bytes > 0 {
            if !self.make_room(bytes) {
                return false;
            }
            self.open.grow(event);
        }
        true
    }

    /// Seals the open segment and begins a new one.
    fn seal(&mut self) -> Result<(), Refused> {
        if self.open.rows() == 0 {
            return Ok(());
        }
        self.reserve_list()?;
        let Tape {
            segments,
            memory,
            config,
            floor,
            open,
            interner,
            ..
        } = self;
        let limit = config.memory_limit;
        let mut make_room = |bytes| make_room(segments, floor, memory, limit, bytes);
        let segment = Segment::seal(open, interner, memory, &mut make_room).ok_or(Refused::Full)?;
        self.segments.push_back(Arc::new(segment));
        self.open.clear();
        Ok(())
    }

    /// Keeps room for one more segment in the list, and counts it.
    fn reserve_list(&mut self) -> Result<(), Refused> {
        if self.segments.len() == self.segments.capacity() {
            let more = self.segments.capacity().max(16);
            let bytes = (self.segments.capacity() + more) * size_of::<Arc<Segment>>();
            if !self.make_room(bytes) {
                return Err(Refused::Full);
            }
            self.segments.reserve_exact(more);
            self.list
                .set(self.segments.capacity() * size_of::<Arc<Segment>>());
        }
        Ok(())
    }

    pub(crate) fn make_room(&mut self, bytes: usize) -> bool {
        let limit = self.config.memory_limit;
        make_room(
            &mut self.segments,
            &mut self.floor,
            &self.memory,
            limit,
            bytes,
        )
    }

    /// Hides the events below `floor`, and frees the segments that hold no others.
    fn raise_floor(&mut self, floor: u64) {
        self.floor = self.floor.max(floor);
        while let Some(oldest) = self.segments.front() {
            if oldest.first() + oldest.rows() as u64 > self.floor {
                break;
            }
            self.segments.pop_front();
        }
    }

    pub(crate) fn retain(&mut self, now: TimeNs) {
        let Some(age) = self.config.max_age_ns else {
            return;
        };
        let oldest = now.0.saturating_sub(age);
        let mut floor = self.floor;
        let segments = self
            .segments
            .iter()
            .map(|segment| segment.as_ref() as &dyn Rows);
        for rows in segments.chain([&self.open as &dyn Rows]) {
            let zone = rows.zone();
            let end = rows.first() + rows.rows() as u64;
            if rows.rows() == 0 {
                break;
            }
            if zone.times.1 < oldest {
                floor = end;
                continue;
            }
            // Within the first segment that stays, events are hidden one by one.
            if zone.sorted {
                floor = floor.max(rows.first() + first_at(rows, oldest) as u64);
            }
            break;
        }
        self.raise_floor(floor);
    }

    pub(crate) fn clear(&mut self) {
        self.open.clear();
        self.raise_floor(self.next_id());
        self.ordered = true;
        self.newest_time = i64::MIN;
    }

    pub(crate) fn stats(&self, memory: &Memory) -> StoreStats {
        let next = self.next_id();
        let all = self
            .segments
            .iter()
            .map(|segment| segment.as_ref() as &dyn Rows);
        let seen = all.chain([&self.open as &dyn Rows]);
        let seen = seen.filter(|rows| rows.first() + rows.rows() as u64 > self.floor);
        let mut times: Option<(i64, i64)> = None;
        for rows in seen {
            let hidden = self.floor.saturating_sub(rows.first()) as usize;
            let (mut low, high) = rows.zone().times;
            if hidden > 0 {
                low = (hidden..rows.rows())
                    .map(|row| rows.time(row))
                    .min()
                    .unwrap_or(low);
            }
            times = Some(times.map_or((low, high), |(l, h)| (l.min(low), h.max(high))));
        }
        StoreStats {
            events: next - self.floor,
            segments: self.segments.len() + 1,
            evicted: self.floor - 1,
            times: times.map(|(low, high)| (TimeNs(low), TimeNs(high))),
            ids: (next > self.floor).then_some((EventId(self.floor), EventId(next - 1))),
            bytes: USES.map(|what| memory.of(what)),
            total_bytes: memory.total(),
            memory_limit: self.config.memory_limit,
        }
    }
}

/// Evicts the oldest segments until so many bytes more are within the limit. Segments that a query holds give their room
/// back later: then there may be none.
fn make_room(
    segments: &mut VecDeque<Arc<Segment>>,
    floor: &mut u64,
    memory: &Memory,
    limit: usize,
    bytes: usize,
) -> bool {
    while memory.total() + bytes > limit {
        let Some(oldest) = segments.pop_front() else {
            return false;
        };
        *floor = (*floor).max(oldest.first() + oldest.rows() as u64);
    }
    true
}

/// The first row at or after `time`, in rows sorted by time.
pub(crate) fn first_at(rows: &(impl Rows + ?Sized), time: i64) -> usize {
    let (mut low, mut high) = (0, rows.rows());
    while low < high {
        let middle = low.midpoint(high);
        if rows.time(middle) < time {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}
