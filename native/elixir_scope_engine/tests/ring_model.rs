//! A ring against a naive queue: the same operations, record by record, must leave the same records, and what is missing
//! must have been reported.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use elixir_scope_engine::event::{CorrelationId, EventKind, ProcessId, SiteId, Symbol, Ticks};
use elixir_scope_engine::record::{Preceding, RecordHead};
use elixir_scope_engine::value::Sink;
use elixir_scope_engine::{
    Barrier, Clock, DrainItem, DrainState, LossReport, Policy, RingConfig, RingWriter, Rings,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

const CHUNK: usize = 128;

#[derive(Clone, Debug)]
enum Step {
    /// A record by one of the writers, its payload written in items of these sizes; kept, or aborted.
    Write {
        writer: usize,
        items: Vec<usize>,
        keep: bool,
    },
    Drain,
    /// The writer ends, and another one takes its place.
    End {
        writer: usize,
    },
}

const WRITERS: usize = 3;

fn step() -> impl Strategy<Value = Step> {
    let item = prop_oneof![6 => 0..=16_usize, 3 => 17..80_usize, 1 => 80..400_usize];
    let items = prop::collection::vec(item, 0..6);
    prop_oneof![
        20 => (0..WRITERS, items, prop::bool::weighted(0.9))
            .prop_map(|(writer, items, keep)| Step::Write { writer, items, keep }),
        2 => Just(Step::Drain),
        1 => (0..WRITERS).prop_map(|writer| Step::End { writer }),
    ]
}

/// The queue of one writer: what was committed and has neither been drained nor reported as lost.
#[derive(Default, Debug)]
struct Queue {
    records: VecDeque<(u64, Vec<u8>, usize)>,
    /// Ticks of records that the writer was told are lost.
    refused: BTreeMap<&'static str, Vec<u64>>,
}

struct Model {
    rings: Arc<Rings>,
    writers: Vec<RingWriter>,
    queues: BTreeMap<u32, Queue>,
    policy: Policy,
    written: u64,
    /// Events of the records that were published.
    published: u64,
    state: DrainState,
}

impl Model {
    fn new(chunks: usize, pool: usize, policy: Policy) -> Model {
        let config = RingConfig {
            buffer_bytes: chunks * CHUNK,
            total_bytes: pool * CHUNK,
            policy,
            chunk_bytes: CHUNK,
        };
        let rings = Rings::new(config, Arc::new(Clock::manual(1)), Barrier::Fence);
        let writers = (0..WRITERS).map(|_| rings.writer()).collect();
        let state = DrainState::new();
        Model {
            rings,
            writers,
            queues: BTreeMap::new(),
            policy,
            written: 0,
            published: 0,
            state,
        }
    }

    fn write(&mut self, writer: usize, items: &[usize], keep: bool) {
        let writer = &mut self.writers[writer];
        let queue = self.queues.entry(writer.number()).or_default();
        let preceding = match self.written % 4 {
            0 => Preceding::STATE,
            1 => Preceding::REPLY,
            2 => Preceding::STATE.and(Preceding::REPLY),
            _ => Preceding::NOTHING,
        };
        let head = RecordHead {
            preceding,
            sequence: 0,
            kind: EventKind::ALL[self.written as usize % EventKind::ALL.len()],
            depth: self.written as u16,
            ticks: Ticks(0),
            process: ProcessId(self.written),
            site: SiteId(self.written as u32 * 3),
            correlation: CorrelationId(self.written << 40),
        };
        self.written += 1;
        let events = head.events() as usize;
        let before = self.rings.clock().ticks().0;
        let mut record = match writer.begin(head) {
            Ok(record) => record,
            Err(lost) => {
                queue
                    .refused
                    .entry(lost.cause.name())
                    .or_default()
                    .extend(vec![before + 1; events]);
                return;
            }
        };
        let (ticks, mut payload) = (record.ticks().0, Vec::new());
        let mut is_full = false;
        for &size in items {
            let bytes: Vec<u8> = (0..size).map(|n| (n as u64 * 31 + ticks) as u8).collect();
            let result = if size <= 16 {
                let mut small = [0xee; 16];
                small[..size].copy_from_slice(&bytes);
                record.put_small(&small, size)
            } else {
                record.put(&bytes)
            };
            assert!(
                !is_full || size == 0 || result.is_err(),
                "full, and then not"
            );
            is_full |= result.is_err();
            payload.extend_from_slice(&bytes);
            if !is_full {
                assert_eq!(record.len(), RecordHead::SIZE + payload.len());
            }
        }
        if keep {
            assert_eq!(record.commit(), !is_full);
        } else {
            record.abort();
        }
        if is_full {
            // Counted when it was found out, whatever became of it later.
            let full = queue.refused.entry("full").or_default();
            full.extend(vec![ticks; events]);
        } else if keep {
            self.published += events as u64;
            queue.records.push_back((ticks, payload, events));
        }
    }

    fn drain(&mut self) {
        let now = self.rings.clock().ticks_ordered();
        let (mut seen, mut losses) = (Vec::new(), Vec::new());
        let drained = self
            .rings
            .drain(&mut self.state, now, &mut |item| match item {
                DrainItem::Record {
                    head,
                    payload,
                    writer,
                } => {
                    assert_eq!(head.correlation.0, head.process.0 << 40);
                    assert_eq!(head.site.0, head.process.0 as u32 * 3);
                    seen.push((head.ticks.0, payload.to_vec(), writer));
                }
                DrainItem::Loss(loss) => losses.push(loss),
            });
        assert!(!drained.in_flight && drained.watermark == now);
        assert_eq!(drained.records, seen.len() as u64);
        assert!(
            seen.windows(2).all(|pair| pair[0].0 < pair[1].0),
            "not in order"
        );

        // What was overrun is the oldest part of each queue: exactly as many as reported, within the range reported.
        for loss in losses {
            self.check_loss(loss);
        }
        for (ticks, payload, writer) in seen {
            let queue = self.queues.get_mut(&writer).unwrap();
            let next = queue.records.pop_front();
            assert_eq!(
                next.map(|(ticks, payload, _)| (ticks, payload)),
                Some((ticks, payload))
            );
        }
        for queue in self.queues.values() {
            assert!(
                queue.records.is_empty(),
                "neither drained nor reported: {queue:?}"
            );
            assert!(
                queue.refused.values().all(Vec::is_empty),
                "not reported: {queue:?}"
            );
        }
    }

    fn check_loss(&mut self, loss: LossReport) {
        let queue = self.queues.get_mut(&loss.writer).unwrap();
        let count = loss.count as usize;
        if loss.cause == Symbol::DroppedOldest {
            assert_eq!(self.policy, Policy::DropOldest);
            let mut lost = Vec::new();
            while lost.len() < count {
                let (ticks, _, events) = queue.records.pop_front().unwrap();
                lost.extend(vec![ticks; events]);
            }
            assert_eq!(lost.len(), count, "a record is lost with all of its events");
            assert_eq!(
                (lost[0], lost[count - 1]),
                (loss.from.0, loss.until.0),
                "range"
            );
            return;
        }
        let by_cause = queue.refused.remove(loss.cause.name()).unwrap_or_default();
        // The writer is not told why a record did not fit in the end; there are two reasons.
        let full = queue.refused.remove("full").unwrap_or_default();
        let (within, beyond): (Vec<u64>, Vec<u64>) = by_cause
            .iter()
            .copied()
            .chain(full.iter().copied())
            .partition(|&ticks| loss.from.0 <= ticks && ticks <= loss.until.0);
        assert!(within.len() >= count, "{count} reported, {within:?} known");
        let mut left = within;
        let of_other = left.split_off(count);
        assert!(
            by_cause.iter().all(|ticks| !beyond.contains(ticks)),
            "outside of the range"
        );
        let rest: Vec<u64> = beyond.into_iter().chain(of_other).collect();
        queue.refused.insert("full", rest);
    }
}

fn run(chunks: usize, pool: usize, policy: Policy, steps: &[Step]) {
    let mut model = Model::new(chunks, pool, policy);
    for step in steps {
        match step {
            Step::Write {
                writer,
                items,
                keep,
            } => model.write(*writer, items, *keep),
            Step::Drain => model.drain(),
            Step::End { writer } => model.writers[*writer] = model.rings.writer(),
        }
    }
    model.drain();
    // All that was drained is free, but for each writer's current chunk, and the one before it where nothing was published
    // in the current one yet.
    let stats = model.rings.stats();
    assert!(
        stats.bytes_in_use <= 2 * WRITERS * CHUNK,
        "{} bytes in use",
        stats.bytes_in_use
    );
    model.writers.clear();
    model.drain();
    model.drain();
    let stats = model.rings.stats();
    assert_eq!((stats.bytes_in_use, stats.writers), (0, 0));
    assert_eq!(stats.recorded, model.published);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    /// Chunks enough in the pool, so that each ring lives by its own limit.
    #[test]
    fn a_ring_matches_a_naive_queue(
        chunks in 1..12_usize,
        drop_oldest: bool,
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let policy = if drop_oldest { Policy::DropOldest } else { Policy::DropNewest };
        run(chunks, 12 * (WRITERS + 4), policy, &steps);
    }

    /// Rings that take chunks away from each other.
    #[test]
    fn rings_that_share_a_small_pool_match_naive_queues(
        pool in 2..10_usize,
        drop_oldest: bool,
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let policy = if drop_oldest { Policy::DropOldest } else { Policy::DropNewest };
        run(8, pool, policy, &steps);
    }
}
