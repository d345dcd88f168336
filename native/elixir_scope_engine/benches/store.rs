//! What it costs to store events and to find them again.
//!
//! `cargo bench -p elixir_scope_engine --bench store`, with `-- quick` for a short run that checks the answers.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use elixir_scope_engine::event::{
    AtomId, CorrelationId, EventId, EventKind, KindSet, ProcessId, SiteId, Symbol, Symbols, Ticks,
    TimeNs,
};
use elixir_scope_engine::record::RecordHead;
use elixir_scope_engine::value::{Names, Sink};
use elixir_scope_engine::{
    Call, Context, Host, KindNames, NewEvent, Order, Policy, Query, Receives, Recorder,
    RecorderConfig, RingConfig, SiteDef, SiteFacts, SiteTable, Sites, Store, StoreConfig, Via,
};

struct Machine;

impl Host for Machine {
    fn monotonic_ns(&self) -> i64 {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        START.get_or_init(Instant::now).elapsed().as_nanos() as i64
    }

    fn is_alive(&self, _: ProcessId) -> bool {
        true
    }

    fn notify(&self, _: u64) {}

    fn atom_name(&self, _: AtomId, _: &mut String) -> bool {
        false
    }
}

impl Names for Machine {
    fn atom_name(&self, _: AtomId, _: &mut String) -> bool {
        false
    }
}

impl Sites for Machine {
    fn site(&self, site: SiteId) -> Option<SiteFacts<'_>> {
        Some(SiteFacts {
            module: AtomId(site.0 / 10),
            function: Some(AtomId(site.0)),
            arity: 3,
            file: "lib/a.ex",
            line: 1,
            clause: 1,
            behaviour: None,
        })
    }
}

const PROCESSES: u64 = 8;
/// An integer, an atom and a binary of ten bytes in a list.
const ARGS: [u8; 24] = *b"\x08\x01\xd2\x85\xd8\xcc\x04\x04\xd2\x85\x01\x05\x0abinary bin\x09";
/// `:normal` and a small integer.
const RESULT: [u8; 4] = *b"\x04\xd2\x05\x87";

/// The nth event of calls of two levels, of several processes that take turns: an outer entry, an inner one, its exit, the
/// outer exit. Answers the depth too.
fn nth(n: u64) -> (EventKind, ProcessId, SiteId, CorrelationId, u16) {
    let call = n / 4;
    let process = call / 25 % PROCESSES;
    let (kind, inner) = match n % 4 {
        0 => (EventKind::FunctionEntry, 0),
        1 => (EventKind::FunctionEntry, 1),
        2 => (EventKind::FunctionExit, 1),
        _ => (EventKind::FunctionExit, 0),
    };
    let site = 1 + (call * 7 % 20) as u32 * 2 + u32::from(inner);
    let root = (process % 2 + 1) << 40 | (call + 1);
    (
        kind,
        ProcessId(0x2a_0003 + process * 16),
        SiteId(site),
        CorrelationId(root),
        inner,
    )
}

fn append(store: &Store, events: std::ops::Range<u64>) {
    let mut appender = store.appender();
    for n in events {
        let (kind, process, site, correlation, _) = nth(n);
        let id = n + 1;
        let (call, parent, payload, more): (_, _, &[u8], &[u8]) = match n % 4 {
            0 => (Call::Begins, 0, &ARGS, &[]),
            1 => (Call::Begins, id - 1, &ARGS, &[]),
            2 => (Call::Of(EventId(id - 1)), id - 2, &RESULT, b"\x01\xd2\x05"),
            _ => (Call::Of(EventId(id - 3)), 0, &RESULT, b"\x01\xd2\x25"),
        };
        let event = NewEvent {
            kind,
            time: TimeNs(n as i64 * 997),
            process,
            site,
            call,
            parent: EventId(parent),
            correlation,
            peer: ProcessId::NONE,
            message: EventId::NONE,
            payload,
            more,
        };
        assert_eq!(appender.append(&event), Ok(EventId(id)));
    }
}

fn show(name: &str, unit: &str, mut samples: Vec<f64>) {
    samples.sort_by(f64::total_cmp);
    let at = |share: f64| samples[((samples.len() - 1) as f64 * share) as usize];
    println!(
        "{name:<58} min {:>9.1}  median {:>9.1}  p99 {:>9.1} {unit}  ({} samples)",
        at(0.0),
        at(0.5),
        at(0.99),
        samples.len()
    );
}

fn timed(work: impl FnOnce()) -> f64 {
    let started = Instant::now();
    work();
    started.elapsed().as_nanos() as f64
}

fn bench_append(label: &str, store: &Store, from: u64, events: u64) {
    let batch = 2_000;
    let samples = (0..events / batch).map(|round| {
        let start = from + round * batch;
        timed(|| append(store, start..start + batch)) / batch as f64
    });
    show(
        &format!("append, {label}"),
        "ns an event",
        samples.collect(),
    );
}

/// What a plain vector of structs costs: the events of [`nth`], pushed, and looked through from the end.
struct Plain {
    kind: EventKind,
    time: TimeNs,
    process: ProcessId,
    _site: SiteId,
    _links: [u64; 3],
    _payload: Box<[u8]>,
}

fn bench_baseline(rounds: usize) {
    let events = 1_000_000;
    let mut plain: Vec<Plain> = Vec::new();
    let batch = 2_000;
    let pushes = (0..events / batch).map(|round| {
        let push = || {
            for n in round * batch..(round + 1) * batch {
                let (kind, process, site, correlation, _) = nth(n);
                plain.push(Plain {
                    kind,
                    time: TimeNs(n as i64 * 997),
                    process,
                    _site: site,
                    _links: [n, n, correlation.0],
                    _payload: ARGS.as_slice().into(),
                });
            }
        };
        timed(push) / batch as f64
    });
    show(
        "baseline: a vector of structs and boxed payloads",
        "ns an event",
        pushes.collect(),
    );
    let samples = (0..rounds as i64).map(|at| {
        let window =
            TimeNs((at * 7_919 % 900_000) * 997)..TimeNs((at * 7_919 % 900_000 + 1_000) * 997);
        let scan = || {
            let found = plain.iter().filter(|event| window.contains(&event.time));
            assert_eq!(black_box(found.count()), 1_000);
        };
        timed(scan) / 1e3
    });
    show(
        "baseline: 1M structs, window of 1,000 by a scan",
        "µs",
        samples.collect(),
    );
    let samples = (0..rounds as u64).map(|at| {
        let process = ProcessId(0x2a_0003 + at % PROCESSES * 16);
        let scan = || {
            let wanted =
                |event: &&Plain| event.process == process && event.kind == EventKind::FunctionExit;
            assert_eq!(
                black_box(plain.iter().rev().filter(wanted).take(100).count()),
                100
            );
        };
        timed(scan) / 1e3
    });
    show(
        "baseline: 1M structs, process, kind, newest 100",
        "µs",
        samples.collect(),
    );
}

fn bench_memory() {
    let store = Store::new(config(64 << 20)).unwrap();
    append(&store, 0..500_000);
    let stats = store.stats();
    let [columns, index, payload, open, _timelines] = stats.bytes;
    let sealed = (stats.segments - 1) as u64 * 16_384;
    println!(
        "memory of {} call events in {} segments: {:.2} B of columns and {:.2} B of index an event, arguments {:.2} B; \
         open segment {} KiB in all",
        stats.events,
        stats.segments,
        columns as f64 / sealed as f64,
        index as f64 / sealed as f64,
        payload as f64 / sealed as f64,
        open / 1024,
    );
    assert_eq!(stats.events, 500_000);
}

/// Resident memory of this process.
fn resident_bytes() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: usize = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

fn config(memory_limit: usize) -> StoreConfig {
    StoreConfig {
        memory_limit,
        max_events: None,
        max_age_ns: None,
    }
}

fn bench_queries(rounds: usize) {
    let events = 1_000_000;
    let store = Store::new(config(128 << 20)).unwrap();
    append(&store, 0..events);
    assert_eq!(store.stats().events, events);
    let mut next = 0;
    let mut intern = |_: &'static str| {
        next += 1;
        AtomId(next)
    };
    let (symbols, kinds) = (Symbols::new(&mut intern), KindNames::new(&mut intern));
    let context = Context {
        sites: &Machine,
        names: &Machine,
        symbols: &symbols,
        kinds: &kinds,
        time_offset_ns: 0,
        node: AtomId(0),
        states: None,
        flows: false,
    };
    let time = |n: u64| Some(TimeNs(n as i64 * 997));
    let exits = KindSet::EMPTY.with(EventKind::FunctionExit);
    let by_process = move |at: u64| Query {
        processes: Some(vec![ProcessId(0x2a_0003 + at % PROCESSES * 16)]),
        kinds: exits,
        since: time(100_000 + at % 50_000),
        until: time(900_000 - at % 50_000),
        limit: Some(100),
        ..Query::default()
    };
    type Ask = Box<dyn Fn(u64) -> Query>;
    let queries: [(&str, usize, Ask); 7] = [
        (
            "process, kind, range of time, limit 100",
            100,
            Box::new(by_process),
        ),
        (
            "newest 100, no key",
            100,
            Box::new(|_| Query {
                limit: Some(100),
                order: Order::Desc,
                ..Query::default()
            }),
        ),
        (
            "window of 1,000",
            1_000,
            Box::new(move |at| {
                let start = at * 7_919 % 900_000;
                Query {
                    since: time(start),
                    until: time(start + 999),
                    ..Query::default()
                }
            }),
        ),
        (
            "module, function and arity, limit 100",
            100,
            Box::new(|_| Query {
                module: Some(AtomId(2)),
                function: Some(AtomId(27)),
                arity: Some(3),
                limit: Some(100),
                ..Query::default()
            }),
        ),
        (
            "one call in the middle",
            4,
            Box::new(|at| Query {
                call: Some(EventId(4 * (at * 61 % 200_000) + 1)),
                ..Query::default()
            }),
        ),
        (
            "one causal root in the middle",
            4,
            Box::new(|at| {
                let (_, _, _, correlation, _) = nth(4 * (at * 61 % 200_000));
                Query {
                    correlation: Some(correlation),
                    ..Query::default()
                }
            }),
        ),
        (
            "a process that never was",
            0,
            Box::new(|_| Query {
                processes: Some(vec![ProcessId(77)]),
                ..Query::default()
            }),
        ),
    ];
    for (name, wanted, query) in queries {
        let mut samples = Vec::new();
        for at in 0..rounds as u64 {
            let query = query(at);
            let started = Instant::now();
            let result = black_box(store.query(&query, &context));
            samples.push(started.elapsed().as_nanos() as f64 / 1e3);
            // Of one call's outer level: entry, exit, and the inner entry and exit below it.
            assert_eq!(
                result.rows.rows().len(),
                wanted,
                "{name}: {:?}",
                result.explain
            );
        }
        show(&format!("1M events: {name}"), "µs", samples);
    }
    let mut samples = Vec::new();
    for _ in 0..rounds.min(200) {
        let started = Instant::now();
        let (count, _) = store.count(
            &Query {
                kinds: exits,
                ..Query::default()
            },
            &context,
        );
        samples.push(started.elapsed().as_nanos() as f64 / 1e3);
        assert_eq!(count, events / 2);
    }
    show("1M events: count of one kind", "µs", samples);
}

/// The nth record of a story, with its payload.
type Story = fn(u64, &Symbols) -> (RecordHead, Vec<u8>);

/// The calls of [`nth`].
fn calls(n: u64, _: &Symbols) -> (RecordHead, Vec<u8>) {
    let (kind, process, site, correlation, depth) = nth(n);
    let head = RecordHead {
        preceding: elixir_scope_engine::record::Preceding::NOTHING,
        sequence: 0,
        kind,
        depth,
        ticks: Ticks(0),
        process,
        site,
        correlation,
    };
    let payload: &[u8] = if n % 4 < 2 { &ARGS } else { &RESULT };
    (head, payload.into())
}

/// Calls that send a message each, and those that handle them: entry, message, exit; entry, exit.
fn messages(n: u64, symbols: &Symbols) -> (RecordHead, Vec<u8>) {
    let (round, step) = (n / 5, n % 5);
    let sender = 0x2a_0003 + round % PROCESSES * 16;
    let receiver = 0x2b_0003 + round / 7 % PROCESSES * 16;
    let handles = step > 2;
    let head = RecordHead {
        preceding: elixir_scope_engine::record::Preceding::NOTHING,
        sequence: 0,
        kind: match step {
            0 | 3 => EventKind::FunctionEntry,
            1 => EventKind::MessageSend,
            _ => EventKind::FunctionExit,
        },
        depth: u16::from(step == 1),
        ticks: Ticks(0),
        process: ProcessId(if handles { receiver } else { sender }),
        site: if handles { receives() } else { SiteId(1) },
        correlation: CorrelationId(1 << 40 | (2 * round + u64::from(handles) + 1)),
    };
    // {round, "binary bin"}
    let mut message = b"\x0c\x02\x01".to_vec();
    let mut rest = round << 1;
    while rest >= 0x80 {
        message.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    message.push(rest as u8);
    message.extend(b"\x05\x0abinary bin");
    let mut payload = Vec::new();
    match step {
        1 => {
            let pid = |out: &mut Vec<u8>, pid: u64| {
                out.push(0x0d);
                out.extend((0..4).map(|byte| {
                    (pid >> (7 * byte)) as u8 & 0x7f | if byte < 3 { 0x80 } else { 0 }
                }));
            };
            pid(&mut payload, sender);
            pid(&mut payload, receiver);
            payload.extend([4, 1]);
            payload.extend(message);
            payload.extend([4, 1, 4, symbols.id(Symbol::Cast).0 as u8]);
            payload.extend([4, 1].repeat(5));
        }
        3 => {
            payload.push(8);
            payload.extend(message);
            payload.push(9);
        }
        0 => payload.extend(ARGS),
        _ => payload.extend(RESULT),
    }
    (head, payload)
}

/// A site that handles messages.
fn receives() -> SiteId {
    static SITE: std::sync::OnceLock<SiteId> = std::sync::OnceLock::new();
    *SITE.get_or_init(|| {
        let def = SiteDef {
            module: AtomId(1),
            function: Some(AtomId(1)),
            receives: Some(Receives {
                via: Via::Notice,
                message: 0,
                sender: None,
            }),
            ..SiteDef::default()
        };
        SiteTable::shared().define(1, def)
    })
}

/// From the ring to the store: written by this thread, drained by it, too, through `Recorder::sync`.
fn bench_ingest(label: &str, story: Story, stored: u64, measured: u64) {
    let mut next = 0;
    let mut intern = |_: &'static str| {
        next += 1;
        AtomId(next)
    };
    let (symbols, kinds) = (Symbols::new(&mut intern), KindNames::new(&mut intern));
    let recorder = Recorder::start(
        RecorderConfig {
            rings: RingConfig::new(4 << 20, 8 << 20, Policy::DropNewest),
            store: config(1 << 30),
            symbols,
            kinds,
            node: AtomId(0),
            time_offset_ns: 0,
        },
        Arc::new(Machine),
    )
    .unwrap();
    let mut writer = recorder.writer();
    let batch = 20_000;
    let mut samples = Vec::new();
    for round in 0..(stored + measured) / batch {
        for n in round * batch..(round + 1) * batch {
            let (head, payload) = story(n, &symbols);
            let mut record = writer.begin(head).unwrap();
            record.put(&payload).unwrap();
            assert!(record.commit());
        }
        let before = recorder.store().stats();
        let started = Instant::now();
        assert!(recorder.sync(Duration::from_secs(5)));
        let took = started.elapsed();
        let after = recorder.store().stats();
        let ingested = after.events + after.evicted - before.events - before.evicted;
        // The native thread may have taken most of the batch already.
        if round * batch >= stored && ingested > batch / 2 {
            samples.push(took.as_nanos() as f64 / ingested as f64);
        }
    }
    let status = recorder.status();
    // Each message was found by the call that handles it.
    assert!(status.ingest.messages <= 1);
    assert_eq!(status.ingest.stored, (stored + measured) / batch * batch);
    assert_eq!(status.rings.lost_total(), 0);
    show(
        &format!("ingest of {label} at {stored} events stored"),
        "ns an event",
        samples,
    );
    recorder.stop();
}

fn main() {
    if cfg!(debug_assertions) {
        eprintln!("a debug build: no figures. Run it through `cargo bench`.");
        std::process::exit(1);
    }
    let quick = std::env::args().any(|arg| arg == "quick");
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or(": unknown");
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    println!("machine{model}, {cores} cores, release build");

    let resident_before = resident_bytes();
    let store = Store::new(config(24 << 20)).unwrap();
    bench_append("empty store of 24 MiB", &store, 0, 100_000);
    let more = if quick { 500_000 } else { 9_000_000 };
    append(&store, 100_000..100_000 + more);
    bench_append(
        "the same, full and evicting",
        &store,
        100_000 + more,
        1_000_000,
    );
    let stats = store.stats();
    assert!(stats.total_bytes <= stats.memory_limit && stats.evicted > 0);
    if let (Some(before), Some(after)) = (resident_before, resident_bytes()) {
        println!(
            "resident for a store of {} KiB, {} KiB of them counted: {} KiB",
            stats.memory_limit / 1024,
            stats.total_bytes / 1024,
            after.saturating_sub(before) / 1024
        );
    }
    drop(store);
    bench_memory();
    let many = if quick { 500_000 } else { 10_000_000 };
    for (label, story) in [("calls", calls as Story), ("messages", messages)] {
        bench_ingest(label, story, 10_000, 400_000);
        bench_ingest(label, story, many, 400_000);
    }
    bench_baseline(if quick { 5 } else { 100 });
    bench_queries(if quick { 20 } else { 1_000 });
}
