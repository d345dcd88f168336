//! Real threads at full speed: nothing comes behind the watermark, nothing is lost uncounted, each thread's records keep
//! their order. Bounded by counts, a second or so each.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use elixir_scope_engine::event::{CorrelationId, EventKind, ProcessId, SiteId, Ticks};
use elixir_scope_engine::record::RecordHead;
use elixir_scope_engine::value::Sink;
use elixir_scope_engine::{
    Barrier, Clock, DrainItem, DrainState, Policy, RingConfig, RingWriter, Rings,
};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

const RECORDS: u64 = 300_000;
const WRITERS: u64 = 3;

fn clock() -> Arc<Clock> {
    let start = Instant::now();
    Arc::new(Clock::new(&|| start.elapsed().as_nanos() as i64))
}

/// What a drainer has seen so far.
#[derive(Default)]
struct Seen {
    /// Per writer: the number in the last record.
    last: HashMap<u32, u64>,
    records: u64,
    lost: u64,
    watermark: u64,
    drains: u64,
}

impl Seen {
    fn drain(&mut self, rings: &Rings, state: &mut DrainState) {
        let now = rings.clock().ticks_ordered();
        let mut ticks = self.watermark;
        let drained = rings.drain(state, now, &mut |item| match item {
            DrainItem::Record {
                head,
                payload,
                writer,
            } => {
                assert!(head.ticks.0 >= ticks, "{} behind {ticks}", head.ticks.0);
                ticks = head.ticks.0;
                let number = head.process.0;
                assert!(
                    self.last
                        .insert(writer, number)
                        .is_none_or(|last| last < number)
                );
                assert_eq!(payload.len() as u64, length(number));
                assert!(payload.iter().all(|&byte| byte == number as u8), "torn");
                self.records += 1;
            }
            DrainItem::Loss(loss) => {
                assert!(loss.from <= loss.until && loss.count > 0);
                self.lost += loss.count;
            }
        });
        assert!(drained.watermark.0 >= self.watermark);
        self.watermark = drained.watermark.0;
        self.drains += 1;
    }
}

/// Mostly small, now and then over several chunks.
fn length(number: u64) -> u64 {
    if number.is_multiple_of(64) {
        number % 3_000
    } else {
        number % 60
    }
}

fn write(writer: &mut RingWriter, number: u64) {
    let head = RecordHead {
        preceding: elixir_scope_engine::record::Preceding::NOTHING,
        sequence: 0,
        kind: EventKind::UserEvent,
        depth: 0,
        ticks: Ticks(0),
        process: ProcessId(number),
        site: SiteId::NONE,
        correlation: CorrelationId::NONE,
    };
    if let Ok(mut record) = writer.begin(head) {
        let bytes = [number as u8; 3_000];
        let _ = record.put(&bytes[..length(number) as usize]);
        record.commit();
    }
}

fn stress(
    buffer_bytes: usize,
    chunk_bytes: usize,
    policy: Policy,
    barrier: Barrier,
    drainers: u64,
) {
    let config = RingConfig {
        buffer_bytes,
        total_bytes: buffer_bytes * 4,
        policy,
        chunk_bytes,
    };
    let rings = Rings::new(config, clock(), barrier);
    let is_over = AtomicBool::new(false);
    let mut all = std::thread::scope(|scope| {
        let draining: Vec<_> = (0..drainers)
            .map(|_| {
                scope.spawn(|| {
                    let (mut seen, mut state) = (Seen::default(), DrainState::new());
                    while !is_over.load(Ordering::Relaxed) {
                        seen.drain(&rings, &mut state);
                    }
                    seen
                })
            })
            .collect();
        let writing: Vec<_> = (0..WRITERS)
            .map(|_| {
                scope.spawn(|| {
                    // Half of the way with one ring, half with the next, as threads come and go.
                    for half in 0..2 {
                        let mut writer = rings.writer();
                        for number in half * RECORDS / 2..(half + 1) * RECORDS / 2 {
                            write(&mut writer, number);
                        }
                    }
                })
            })
            .collect();
        writing.into_iter().for_each(|one| one.join().unwrap());
        is_over.store(true, Ordering::Relaxed);
        draining
            .into_iter()
            .map(|one| one.join().unwrap())
            .collect::<Vec<_>>()
    });
    let mut rest = Seen::default();
    rest.drain(&rings, &mut DrainState::new());
    rest.drain(&rings, &mut DrainState::new());
    all.push(rest);

    let (records, lost) = all
        .iter()
        .fold((0, 0), |(r, l), seen| (r + seen.records, l + seen.lost));
    let stats = rings.stats();
    println!(
        "{policy:?} {barrier:?}: {records} drained, {lost} lost, {} drains, watermark {}",
        all.iter().map(|seen| seen.drains).sum::<u64>(),
        all[0].watermark
    );
    assert_eq!(
        records + lost,
        WRITERS * RECORDS,
        "recorded and lost are not what was offered"
    );
    assert_eq!(stats.lost_total(), lost);
    assert_eq!((stats.writers, stats.bytes_in_use), (0, 0));
}

#[test]
fn large_rings_with_the_barrier_of_this_machine() {
    stress(1 << 20, 16_384, Policy::DropOldest, Barrier::register(), 1);
}

#[test]
fn large_rings_with_fences() {
    stress(1 << 20, 16_384, Policy::DropOldest, Barrier::Fence, 1);
}

#[test]
fn small_rings_that_are_overrun_all_the_time() {
    stress(8_192, 1_024, Policy::DropOldest, Barrier::register(), 1);
}

#[test]
fn small_rings_that_drop_the_newest() {
    stress(8_192, 1_024, Policy::DropNewest, Barrier::register(), 1);
}

#[test]
fn two_drainers_share_the_work() {
    stress(65_536, 4_096, Policy::DropOldest, Barrier::register(), 2);
}
