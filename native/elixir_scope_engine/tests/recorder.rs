//! The recorder as its users see it: what threads write is found by queries, subscriptions and figures.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use elixir_scope_engine::event::{
    AtomId, CorrelationId, EventKind, KindSet, ProcessId, SiteId, Symbols, Ticks,
};
use elixir_scope_engine::record::RecordHead;
use elixir_scope_engine::value::Sink;
use elixir_scope_engine::{
    Host, KindNames, Order, Policy, Query, Recorder, RecorderConfig, RingConfig, RingWriter,
    StartError, StoreConfig,
};

const PATIENCE: Duration = Duration::from_secs(10);

struct Machine {
    start: Instant,
    told: Mutex<mpsc::Sender<u64>>,
    breaks: AtomicBool,
    dead_below: AtomicU64,
    asked: AtomicI64,
}

impl Host for Machine {
    fn monotonic_ns(&self) -> i64 {
        assert!(
            !self.breaks.load(Ordering::Relaxed),
            "the host's clock broke"
        );
        self.start.elapsed().as_nanos() as i64 - 1_000_000_000_000
    }

    fn is_alive(&self, process: ProcessId) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed);
        process.0 >= self.dead_below.load(Ordering::Relaxed)
    }

    fn notify(&self, subscription: u64) {
        self.told.lock().unwrap().send(subscription).unwrap();
    }

    fn atom_name(&self, _: AtomId, _: &mut String) -> bool {
        false
    }
}

fn host() -> (Arc<Machine>, mpsc::Receiver<u64>) {
    let (told, heard) = mpsc::channel();
    let machine = Machine {
        start: Instant::now(),
        told: Mutex::new(told),
        breaks: AtomicBool::new(false),
        dead_below: AtomicU64::new(0),
        asked: AtomicI64::new(0),
    };
    (Arc::new(machine), heard)
}

fn config() -> RecorderConfig {
    let mut next = 0;
    let mut intern = |_: &'static str| {
        next += 1;
        AtomId(next)
    };
    RecorderConfig {
        rings: RingConfig::new(8 << 20, 32 << 20, Policy::DropNewest),
        store: StoreConfig {
            memory_limit: 64 << 20,
            max_events: None,
            max_age_ns: None,
        },
        symbols: Symbols::new(&mut intern),
        kinds: KindNames::new(&mut intern),
        node: AtomId(0),
        time_offset_ns: 0,
    }
}

fn start(config: RecorderConfig) -> (Arc<Recorder>, Arc<Machine>, mpsc::Receiver<u64>) {
    let (machine, heard) = host();
    let recorder = Recorder::start(config, machine.clone()).unwrap();
    (recorder, machine, heard)
}

fn head(kind: EventKind, process: u64) -> RecordHead {
    RecordHead {
        preceding: elixir_scope_engine::record::Preceding::NOTHING,
        sequence: 0,
        kind,
        depth: 0,
        ticks: Ticks(0),
        process: ProcessId(process),
        site: SiteId::NONE,
        correlation: CorrelationId::NONE,
    }
}

fn tell(writer: &mut RingWriter, process: u64, n: u8) {
    let mut record = writer.begin(head(EventKind::UserEvent, process)).unwrap();
    record.put(&[0x80 + n]).unwrap();
    assert!(record.commit());
}

fn of(process: u64) -> Query {
    Query {
        processes: Some(vec![ProcessId(process)]),
        ..Query::default()
    }
}

#[test]
fn a_query_sees_all_that_was_recorded_before_it() {
    let (recorder, ..) = start(config());
    let mut writer = recorder.writer();
    for n in 1..=300_u64 {
        let before = recorder.now();
        tell(&mut writer, 7, (n % 100) as u8);
        let after = recorder.now();
        let result = recorder.query(
            &Query {
                limit: Some(2),
                ..of(7)
            },
            PATIENCE,
        );
        assert!(result.explain.complete);
        let (newest, payload) = result.rows.iter().next_back().unwrap();
        assert_eq!(
            (newest.id.0, payload),
            (n, [0x80 + (n % 100) as u8].as_slice())
        );
        assert!(before <= newest.time && newest.time <= after);
    }
    assert_eq!(recorder.count(&of(7), PATIENCE).0, 300);
    recorder.stop();
}

#[test]
fn sixteen_writers_four_readers_and_one_who_pages_all_see_one_tape() {
    let (recorder, ..) = start(config());
    let each = 4_000_u64;
    let writing = AtomicU64::new(16);
    std::thread::scope(|scope| {
        for process in 1..=16 {
            let (recorder, writing) = (&recorder, &writing);
            scope.spawn(move || {
                let mut writer = recorder.writer();
                for n in 0..each {
                    tell(&mut writer, process, (n % 100) as u8);
                }
                writing.fetch_sub(1, Ordering::Release);
            });
        }
        for reader in 0..4 {
            let (recorder, writing) = (&recorder, &writing);
            scope.spawn(move || {
                let mut last = 0;
                while writing.load(Ordering::Acquire) > 0 {
                    let result = recorder.query(&of(reader + 1), PATIENCE);
                    let seen: Vec<u8> = result.rows.iter().map(|(_, payload)| payload[0]).collect();
                    // A process's events are in the order in which it recorded them, none is missing.
                    assert!(
                        seen.iter()
                            .zip(0..)
                            .all(|(&byte, n)| byte == 0x80 + (n % 100) as u8)
                    );
                    assert!(seen.len() >= last);
                    last = seen.len();
                }
            });
        }
        scope.spawn(|| {
            let mut page = Query {
                limit: Some(500),
                after: Some(Default::default()),
                ..Query::default()
            };
            let mut seen = 0;
            loop {
                let done = writing.load(Ordering::Acquire) == 0;
                let result = recorder.query(&page, PATIENCE);
                for (head, _) in result.rows.iter() {
                    seen += 1;
                    assert_eq!(head.id.0, seen);
                }
                match result.rows.rows().last() {
                    Some(row) => page.after = Some(row.head.id),
                    None if done => break,
                    None => {}
                }
            }
            assert_eq!(seen, 16 * each);
        });
    });
    let status = recorder.status();
    assert_eq!(
        (status.rings.recorded, status.ingest.stored),
        (16 * each, 16 * each)
    );
    assert_eq!((status.rings.lost_total(), status.faults.panics), (0, 0));
    let times: Vec<_> = recorder
        .query(&Query::default(), PATIENCE)
        .rows
        .rows()
        .iter()
        .map(|r| r.head.time)
        .collect();
    assert!(times.is_sorted());
    recorder.stop();
}

#[test]
fn every_loss_of_a_ring_is_found_as_an_event_with_its_count() {
    let small = RecorderConfig {
        rings: RingConfig {
            buffer_bytes: 1 << 12,
            total_bytes: 1 << 14,
            policy: Policy::DropOldest,
            chunk_bytes: 512,
        },
        ..config()
    };
    let (recorder, ..) = start(small);
    let offered = 50_000;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut writer = recorder.writer();
            (0..offered).for_each(|n| tell(&mut writer, 3, (n % 100) as u8));
        });
    });
    let kinds = KindSet::EMPTY.with(EventKind::DataLoss);
    let result = recorder.query(
        &Query {
            kinds,
            ..Query::default()
        },
        PATIENCE,
    );
    let (stored, _) = recorder.count(&of(3), PATIENCE);
    assert!(result.explain.lost > 0);
    assert_eq!(stored + result.explain.lost, offered);
    let status = recorder.status();
    assert_eq!(status.rings.lost_total(), result.explain.lost);
    recorder.stop();
}

#[test]
fn a_subscription_gets_what_it_asked_for_and_is_told_what_it_missed() {
    let (recorder, _, heard) = start(config());
    let mut writer = recorder.writer();
    tell(&mut writer, 5, 99);
    let query = Query {
        exclude: vec![ProcessId(6)],
        kinds: KindSet::EMPTY.with(EventKind::UserEvent),
        limit: Some(1),
        order: Order::Desc,
        ..Query::default()
    };
    let id = recorder.subscribe(query, 10, |_| {});
    for n in 0..4 {
        tell(&mut writer, 5, n);
        tell(&mut writer, 6, n);
    }
    assert_eq!(heard.recv_timeout(PATIENCE), Ok(id));
    assert!(recorder.sync(PATIENCE));
    let first = recorder.take(id, 3).unwrap();
    let rest = recorder.take(id, 100).unwrap();
    let seen: Vec<_> = first
        .events
        .iter()
        .chain(rest.events.iter())
        .map(|(head, payload)| (head.process.0, payload[0]))
        .collect();
    assert_eq!(seen, [(5, 0x80), (5, 0x81), (5, 0x82), (5, 0x83)]);
    assert_eq!(
        (first.dropped, rest.dropped, first.events.rows().len()),
        (0, 0, 3)
    );

    // More than fit: told once, and what did not fit is counted.
    (0..25).for_each(|n| tell(&mut writer, 5, n));
    assert!(recorder.sync(PATIENCE));
    assert_eq!(heard.recv_timeout(PATIENCE), Ok(id));
    let taken = recorder.take(id, 100).unwrap();
    assert_eq!((taken.events.rows().len(), taken.dropped), (10, 15));
    assert_eq!(heard.try_recv(), Err(mpsc::TryRecvError::Empty));

    assert!(recorder.unsubscribe(id));
    assert!(!recorder.unsubscribe(id));
    assert!(recorder.take(id, 1).is_none());
    recorder.stop();
}

#[test]
fn a_writer_in_the_middle_of_a_record_is_waited_for_and_the_wait_is_told() {
    let (recorder, ..) = start(config());
    let mut writer = recorder.writer();
    let mut other = recorder.writer();
    let record = writer.begin(head(EventKind::UserEvent, 1)).unwrap();
    tell(&mut other, 2, 0);
    let result = recorder.query(&of(2), Duration::from_millis(20));
    assert!(!result.explain.complete);
    assert!(record.commit());
    let result = recorder.query(&of(2), PATIENCE);
    assert!(result.explain.complete);
    assert_eq!(result.rows.rows().len(), 1);
    recorder.stop();
}

#[test]
fn a_panic_inside_is_counted_and_switches_recording_off_and_the_tape_stays() {
    let (recorder, machine, _) = start(config());
    let mut writer = recorder.writer();
    tell(&mut writer, 1, 0);
    assert_eq!(recorder.count(&of(1), PATIENCE).0, 1);
    machine.breaks.store(true, Ordering::Relaxed);
    let deadline = Instant::now() + PATIENCE;
    while recorder.recording() && Instant::now() < deadline {
        std::thread::yield_now();
    }
    assert!(!recorder.recording());
    machine.breaks.store(false, Ordering::Relaxed);
    let faults = recorder.status().faults;
    assert!(faults.panics >= 1);
    assert_eq!(faults.last.as_deref(), Some("the host's clock broke"));
    assert_eq!(recorder.count(&of(1), PATIENCE).0, 1);
    recorder.stop();
}

#[test]
fn events_grow_old_when_nothing_happens() {
    let aged = RecorderConfig {
        store: StoreConfig {
            max_age_ns: Some(30_000_000),
            ..config().store
        },
        ..config()
    };
    let (recorder, ..) = start(aged);
    let mut writer = recorder.writer();
    tell(&mut writer, 1, 0);
    assert!(recorder.sync(PATIENCE));
    let deadline = Instant::now() + PATIENCE;
    while recorder.store().stats().events > 0 && Instant::now() < deadline {
        std::thread::yield_now();
    }
    let stats = recorder.store().stats();
    assert_eq!((stats.events, stats.evicted), (0, 1));
    recorder.stop();
}

#[test]
fn figures_are_measured() {
    let (recorder, machine, _) = start(config());
    machine.dead_below.store(100, Ordering::Relaxed);
    let mut writer = recorder.writer();
    let entry = RecordHead {
        correlation: CorrelationId(9),
        ..head(EventKind::FunctionEntry, 50)
    };
    assert!(writer.begin(entry).unwrap().commit());
    let deadline = Instant::now() + PATIENCE;
    while recorder.history().len() < 2 && Instant::now() < deadline {
        tell(&mut writer, 200, 1);
        std::thread::sleep(Duration::from_millis(1));
    }
    let status = recorder.status();
    assert!(
        status.per_second > 10.0 && status.per_second < 1_100.0,
        "{}",
        status.per_second
    );
    assert!(status.recording);
    assert_eq!(status.rings.writers, 1);
    assert!(status.store.total_bytes > 0 && status.store.total_bytes <= status.store.memory_limit);
    assert_eq!(status.store.total_bytes, status.store.bytes.iter().sum());
    // The stack of the process that died with a call open is gone.
    assert_eq!(
        (
            status.ingest.stacks,
            machine.asked.load(Ordering::Relaxed) > 0
        ),
        (0, true)
    );
    if cfg!(target_os = "linux") {
        assert!(status.cpu_ns > 0);
    }
    let history = recorder.history();
    assert!(history[1].recorded > history[0].recorded);
    recorder.stop();
}

#[test]
fn stop_is_clean_under_load_and_twice_and_a_dropped_recorder_goes_away() {
    let (recorder, ..) = start(config());
    let stopping = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for process in 1..=2 {
            let (recorder, stopping) = (&recorder, &stopping);
            scope.spawn(move || {
                let mut writer = recorder.writer();
                while !stopping.load(Ordering::Relaxed) {
                    if let Ok(record) = writer.begin(head(EventKind::UserEvent, process)) {
                        record.commit();
                    }
                }
            });
        }
        while recorder.count(&Query::default(), PATIENCE).0 < 1_000 {}
        recorder.stop();
        recorder.stop();
        stopping.store(true, Ordering::Relaxed);
    });
    assert!(!recorder.recording());
    assert_eq!(recorder.store().stats().events, 0);

    let (recorder, ..) = start(config());
    let weak = Arc::downgrade(&recorder);
    drop(recorder);
    let deadline = Instant::now() + PATIENCE;
    while weak.strong_count() > 0 && Instant::now() < deadline {
        std::thread::yield_now();
    }
    assert_eq!(weak.strong_count(), 0);
}

#[test]
fn a_limit_that_is_too_small_is_refused() {
    let (machine, _heard) = host();
    let tiny = RecorderConfig {
        store: StoreConfig {
            memory_limit: 1_000,
            ..config().store
        },
        ..config()
    };
    assert!(matches!(
        Recorder::start(tiny, machine),
        Err(StartError::LimitTooSmall(_))
    ));
}
