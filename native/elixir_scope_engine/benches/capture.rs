//! What recording costs: one record with a payload of 25 bytes (an integer, a name, a binary of ten bytes: three small
//! arguments), and what it takes to drain it. `cargo bench -p elixir_scope_engine --bench capture`
#![allow(clippy::unwrap_used, reason = "a benchmark")]
#![allow(
    unsafe_code,
    reason = "the clock that counts the processor time of a thread"
)]

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use elixir_scope_engine::event::{AtomId, CorrelationId, EventKind, ProcessId, SiteId, Ticks};
use elixir_scope_engine::record::RecordHead;
use elixir_scope_engine::value::Sink;
use elixir_scope_engine::{
    Barrier, Clock, DrainItem, DrainState, Host, Policy, ProcessSlots, RingConfig, RingWriter,
    Rings, SiteDef, SiteTable,
};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

const HEAD: RecordHead = RecordHead {
    preceding: elixir_scope_engine::record::Preceding::NOTHING,
    sequence: 0,
    kind: EventKind::FunctionEntry,
    depth: 1,
    ticks: Ticks(0),
    process: ProcessId(0x1234_5678),
    site: SiteId(77),
    correlation: CorrelationId(1 << 40),
};
const PAYLOAD: usize = 25;
const RECORD: usize = 72;

fn clock() -> Arc<Clock> {
    static CLOCK: LazyLock<Arc<Clock>> = LazyLock::new(|| {
        let start = Instant::now();
        Arc::new(Clock::new(&|| start.elapsed().as_nanos() as i64))
    });
    Arc::clone(&CLOCK)
}

fn rings(buffer_bytes: usize, barrier: Barrier) -> Arc<Rings> {
    let config = RingConfig::new(buffer_bytes, buffer_bytes * 4, Policy::DropOldest);
    Rings::new(config, clock(), barrier)
}

/// A list of three: its tag, the integer, the name, the binary in two pieces, its end.
#[inline(always)]
fn record(writer: &mut RingWriter, n: u64) -> bool {
    let Ok(mut record) = writer.begin(HEAD) else {
        return false;
    };
    let mut item = [8; 16];
    let _ = record.put_small(&item, 1);
    item[1..9].copy_from_slice(&n.to_le_bytes());
    let _ = record.put_small(&item, 6);
    let _ = record.put_small(black_box(&[4; 16]), 5);
    let _ = record.put_small(&[5; 16], 2);
    let _ = record.put(black_box(b"ten bytes.".as_slice()));
    let _ = record.put_small(&[9; 16], 1);
    record.commit()
}

#[divan::bench]
fn read_the_counter(bencher: Bencher<'_, '_>) {
    let clock = clock();
    bencher.bench_local(|| clock.ticks());
}

#[divan::bench]
fn now(bencher: Bencher<'_, '_>) {
    let clock = clock();
    bencher.bench_local(|| clock.now());
}

struct AllAlive;

impl Host for AllAlive {
    fn monotonic_ns(&self) -> i64 {
        0
    }

    fn is_alive(&self, _: ProcessId) -> bool {
        true
    }

    fn notify(&self, _: u64) {}

    fn atom_name(&self, _: AtomId, _: &mut String) -> bool {
        false
    }
}

/// What a call asks of its process's slot, entry and exit together.
#[divan::bench]
fn enter_and_exit(bencher: Bencher<'_, '_>) {
    let slots = ProcessSlots::shared();
    for number in 0..10_000 {
        slots.get(ProcessId(number << 4 | 3), &AllAlive);
    }
    let process = black_box(ProcessId(77 << 4 | 3));
    bencher.bench_local(|| {
        let entered = slots
            .get(process, &AllAlive)
            .filter(|slot| !slot.is_muted())
            .map(|slot| slot.enter(1, || true, || CorrelationId(1)));
        slots
            .get(process, &AllAlive)
            .map(|slot| slot.exit(1, entered.map_or(0, |e| e.depth)))
    });
}

#[divan::bench]
fn find_a_site(bencher: Bencher<'_, '_>) {
    let sites = SiteTable::new();
    for id in 1..2_000_u64 {
        let (module, function) = (AtomId(1), Some(AtomId(2)));
        let file = "lib/a.ex".into();
        sites.define(
            id.wrapping_mul(0x1234_5678_9abc_def1) >> 6,
            SiteDef {
                module,
                function,
                arity: 3,
                file,
                line: 1,
                clause: 1,
                ..SiteDef::default()
            },
        );
    }
    let mut id = 0_u64;
    bencher.bench_local(|| {
        id = id % 1_999 + 1;
        sites.find(black_box(id.wrapping_mul(0x1234_5678_9abc_def1) >> 6))
    });
}

/// Nobody drains: every chunk is taken back from the writer's own past.
#[divan::bench(args = [Barrier::Asymmetric, Barrier::Fence])]
fn record_one(bencher: Bencher<'_, '_>, barrier: Barrier) {
    let rings = rings(1 << 20, usable(barrier));
    let mut writer = rings.writer();
    let mut n = 0;
    bencher.bench_local(|| {
        n += 1;
        record(&mut writer, n)
    });
}

#[divan::bench(args = [1, 4])]
fn drain_a_record(bencher: Bencher<'_, '_>, writers: usize) {
    const EACH: usize = 10_000;
    let rings = rings(1 << 20, Barrier::register());
    let mut writers: Vec<_> = (0..writers).map(|_| rings.writer()).collect();
    let count = writers.len() * EACH;
    let mut state = DrainState::new();
    bencher
        .counter(ItemsCount::new(count))
        .with_inputs(|| {
            for n in 0..EACH {
                writers
                    .iter_mut()
                    .for_each(|writer| assert!(record(writer, n as u64)));
            }
        })
        .bench_local_values(|()| drain(&rings, &mut state));
}

#[divan::bench]
fn drain_nothing(bencher: Bencher<'_, '_>) {
    let rings = rings(1 << 20, Barrier::register());
    let _writers: Vec<_> = (0..4).map(|_| rings.writer()).collect();
    let mut state = DrainState::new();
    bencher.bench_local(|| drain(&rings, &mut state));
}

fn drain(rings: &Rings, state: &mut DrainState) -> (u64, u64) {
    let mut sum = (0, 0);
    let now = rings.clock().ticks_ordered();
    rings.drain(state, now, &mut |item| match item {
        DrainItem::Record { payload, .. } => sum.0 += payload.len() as u64,
        DrainItem::Loss(loss) => sum.1 += loss.count,
    });
    sum
}

/// The asymmetric barrier where this machine has it.
fn usable(barrier: Barrier) -> Barrier {
    if barrier == Barrier::Fence {
        barrier
    } else {
        Barrier::register()
    }
}

fn check_the_answers() {
    let rings = rings(1 << 20, Barrier::register());
    let mut writer = rings.writer();
    (0..1_000).for_each(|n| assert!(record(&mut writer, n)));
    assert_eq!(
        rings.stats().bytes_in_use,
        (1_000 * RECORD).next_multiple_of(16_384)
    );
    assert_eq!(
        drain(&rings, &mut DrainState::new()),
        (1_000 * PAYLOAD as u64, 0)
    );
    (0..100_000).for_each(|n| assert!(record(&mut writer, n)));
    let (bytes, lost) = drain(&rings, &mut DrainState::new());
    assert_eq!(bytes / PAYLOAD as u64 + lost, 100_000);
}

/// Processor time of this thread, so that what else runs on the machine does not count.
fn cpu_ns() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid place for the answer.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Processor time per record with so many writers at once, in nanoseconds: the median of rounds.
fn writers_at_once(threads: usize) -> f64 {
    const RECORDS: u64 = 500_000;
    let rings = rings(1 << 20, Barrier::register());
    let start = std::sync::Barrier::new(threads);
    let mut rounds: Vec<f64> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut writer = rings.writer();
                    let mut rounds = Vec::new();
                    for _ in 0..21 {
                        start.wait();
                        let before = cpu_ns();
                        (0..RECORDS).for_each(|n| assert!(record(&mut writer, n)));
                        rounds.push((cpu_ns() - before) as f64 / RECORDS as f64);
                    }
                    rounds
                })
            })
            .collect();
        running
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    rounds.sort_by(f64::total_cmp);
    rounds.get(rounds.len() / 2).copied().unwrap_or_default()
}

fn main() {
    if cfg!(debug_assertions) {
        eprintln!("a debug build says nothing about speed; run with `cargo bench`");
        std::process::exit(1);
    }
    check_the_answers();
    let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processor
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    println!(
        "machine: {} x {}, clock {}, barrier {}, profile release",
        std::thread::available_parallelism().map_or(1, usize::from),
        model
            .unwrap_or("\t: unknown")
            .trim_start_matches(['\t', ' ', ':']),
        clock().source(),
        Barrier::register().name(),
    );
    let (one, two) = (writers_at_once(1), writers_at_once(2));
    println!(
        "processor time per record: one writer {one:.1} ns, two at once {two:.1} ns, ratio {:.2}",
        two / one
    );
    divan::main();
}
