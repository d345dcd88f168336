//! Merges all rings by time, up to the watermark.

use super::Rings;
use super::loss::LossReport;
use super::reader::{Found, Reader};
use crate::event::{Symbol, Ticks};
use crate::record::RecordHead;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What a drain hands out, in the order of ticks: that of a record, the end of a loss's range. Losses that reach beyond the
/// watermark come last.
#[derive(Debug)]
pub enum DrainItem<'a> {
    /// A record.
    Record {
        /// Its head.
        head: RecordHead,
        /// Its payload, for the time of the call.
        payload: &'a [u8],
        /// The number of the writer.
        writer: u32,
    },
    /// Events that were lost.
    Loss(LossReport),
}

/// What a drain did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Drained {
    /// All records up to here were handed out, now or before; none that is earlier will ever come.
    pub watermark: Ticks,
    /// How many records were handed out.
    pub records: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// A writer was in the middle of a record, so that the watermark stays behind the time asked for.
    pub in_flight: bool,
}

/// Room that a drainer works in, kept from one drain to the next.
#[derive(Debug, Default)]
pub struct DrainState {
    scratch: Vec<u8>,
    heap: BinaryHeap<Reverse<(u64, usize)>>,
    losses: Vec<LossReport>,
}

/// Scratch room beyond this is given back after a drain.
const SCRATCH_KEPT: usize = 64 * 1024;

impl DrainState {
    /// Empty room.
    #[must_use]
    pub fn new() -> DrainState {
        DrainState::default()
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.scratch.capacity()
            + self.heap.capacity() * size_of::<Reverse<(u64, usize)>>()
            + self.losses.capacity() * size_of::<LossReport>()
    }
}

/// What the drain lock guards.
#[derive(Debug, Default)]
pub(super) struct Drainer {
    pub(super) readers: Vec<Reader>,
    watermark: u64,
    /// Nothing is read any more; see [`Rings::close`].
    closed: bool,
}

impl Rings {
    /// Ends these rings: what they hold is given back to the system and will never be drained. Their addresses stay mapped,
    /// for a writer that is in the middle of a record and for threads that never look again.
    pub fn close(&self) {
        let mut drainer = self.drainer.lock();
        drainer.closed = true;
        self.pool.release();
    }

    /// Hands out all that was recorded up to `now` and is not drained yet, merged by time, with the losses noticed since
    /// the last drain. `now` is the drainer's own reading of the clock ([`Clock::ticks_ordered`](crate::Clock)), taken before
    /// this call. Drainers take turns.
    ///
    /// When a writer is in the middle of a record, the watermark stops short of `now`; who has to see everything up to some
    /// moment drains again until the watermark has reached it.
    pub fn drain(
        &self,
        state: &mut DrainState,
        now: Ticks,
        sink: &mut dyn FnMut(DrainItem<'_>),
    ) -> Drained {
        let mut drainer = self.drainer.lock();
        let mut drained = Drained {
            watermark: Ticks(drainer.watermark),
            ..Drained::default()
        };
        if drainer.closed {
            drained.watermark = now;
            return drained;
        }
        if !self.barrier.heavy() {
            drained.in_flight = true;
            return drained;
        }
        drainer.readers.append(&mut self.registered.lock());
        let bound = drainer.look();
        // No record is earlier than what a drain before this one said.
        let watermark = bound
            .map_or(now.0, |bound| bound.min(now.0))
            .max(drainer.watermark);
        drained.in_flight = watermark < now.0;
        drained.watermark = Ticks(watermark);
        drainer.watermark = watermark;

        let mut losses = std::mem::take(&mut state.losses);
        losses.clear();
        for reader in &drainer.readers {
            losses.extend(
                reader
                    .ring
                    .losses()
                    .filter_map(|(cause, cell)| cell.take(reader.ring.writer, cause)),
            );
        }
        losses.sort_unstable_by_key(|loss| Reverse(loss.until));

        drainer.merge(self, state, &mut losses, &mut drained, sink);
        while let Some(loss) = losses.pop() {
            sink(DrainItem::Loss(loss));
        }
        state.losses = losses;
        if state.scratch.capacity() > SCRATCH_KEPT {
            state.scratch = Vec::new();
        }
        drainer.remove_ended(self);
        drained
    }
}

impl Drainer {
    /// Looks at all rings, and tells the smallest bound that a writer has announced.
    fn look(&mut self) -> Option<u64> {
        let mut bound = None;
        for reader in &mut self.readers {
            // The bound first: if its record is published already, so much the better.
            let announced = reader.ring.bound();
            reader.look();
            bound = match (bound, announced) {
                (Some(a), Some(b)) => Some(std::cmp::min::<u64>(a, b)),
                (a, b) => a.or(b),
            };
        }
        bound
    }

    fn merge(
        &mut self,
        rings: &Rings,
        state: &mut DrainState,
        losses: &mut Vec<LossReport>,
        drained: &mut Drained,
        sink: &mut dyn FnMut(DrainItem<'_>),
    ) {
        let DrainState { scratch, heap, .. } = state;
        let pool = &rings.pool;
        let watermark = drained.watermark.0;
        heap.clear();
        for (number, reader) in self.readers.iter_mut().enumerate() {
            // Left over, if a sink panicked.
            reader.unpin(pool);
            match reader.peek(pool) {
                Some(found) if found.head.ticks.0 <= watermark => {
                    heap.push(Reverse((found.head.ticks.0, number)));
                }
                _ => reader.unpin(pool),
            }
        }
        while let Some(Reverse((_, number))) = heap.pop() {
            let Some(reader) = self.readers.get_mut(number) else {
                continue;
            };
            // This ring is the earliest one until the next one's turn comes.
            let turn = heap.peek().map_or(watermark, |Reverse((ticks, _))| *ticks);
            loop {
                let Some(found) = reader.peek(pool) else {
                    reader.unpin(pool);
                    break;
                };
                let ticks = found.head.ticks.0;
                if ticks > watermark {
                    reader.unpin(pool);
                    break;
                }
                if ticks > turn {
                    heap.push(Reverse((ticks, number)));
                    break;
                }
                while let Some(loss) = losses.pop_if(|loss| loss.until.0 < ticks) {
                    sink(DrainItem::Loss(loss));
                }
                hand_out(reader, rings, found, scratch, drained, sink);
            }
        }
    }

    /// Forgets rings whose writer has ended, once they are read to the end.
    fn remove_ended(&mut self, rings: &Rings) {
        let pool = &rings.pool;
        self.readers.retain_mut(|reader| {
            if !reader.is_last || reader.peek(pool).is_some() {
                reader.unpin(pool);
                return true;
            }
            let has_losses = reader.ring.losses().any(|(_, cell)| cell.has_news());
            if has_losses {
                // They come with the next drain.
                reader.unpin(pool);
                return true;
            }
            reader.free_all(pool);
            rings.note_ended(&reader.ring);
            false
        });
    }
}

fn hand_out(
    reader: &mut Reader,
    rings: &Rings,
    found: Found,
    scratch: &mut Vec<u8>,
    drained: &mut Drained,
    sink: &mut dyn FnMut(DrainItem<'_>),
) {
    let (head, writer) = (found.head, reader.ring.writer);
    match reader.pass(&rings.pool, found, scratch) {
        Some(payload) => {
            drained.records += 1;
            drained.bytes += payload.len() as u64;
            sink(DrainItem::Record {
                head,
                payload,
                writer,
            });
        }
        None => sink(DrainItem::Loss(LossReport {
            writer,
            cause: Symbol::DroppedOldest,
            count: head.events().into(),
            from: head.ticks,
            until: head.ticks,
        })),
    }
}
