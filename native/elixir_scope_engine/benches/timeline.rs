//! What it costs to keep the changes of a state, and to find it again as it was.
//!
//! `cargo bench -p elixir_scope_engine --bench timeline`, with `-- quick` for a short run that checks the answers.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use elixir_scope_engine::event::{AtomId, EventId, ProcessId, TimeNs};
use elixir_scope_engine::value::{Container, Fit, Writer, delta_format, diff, equal, find_step};
use elixir_scope_engine::{Asked, Memory, Quality, Seek, StatePart, Timelines, Use, When};

const PROCESS: ProcessId = ProcessId(0x2a_0003);
const MODULE: AtomId = AtomId(20_000);
/// Names are numbers of three bytes.
const COUNT: AtomId = AtomId(20_001);
const SETTINGS: AtomId = AtomId(20_002);
const SESSIONS: AtomId = AtomId(20_003);
/// Changes of other processes lie between.
const IDS: u64 = 3;
/// Between two changes, in nanoseconds.
const PAUSE: i64 = 12_345;
const CAP: usize = 1 << 30;

fn atom(atom: AtomId) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out, 100);
    assert_eq!(writer.atom(atom), Ok(Fit::Written));
    out
}

fn int(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out, 100);
    assert_eq!(writer.int(value as i64), Ok(Fit::Written));
    out
}

/// The state of a server, of about 10 KB: a counter, settings, and sessions by their id.
fn state(count: u64) -> Vec<u8> {
    fn name(w: &mut Writer<'_, Vec<u8>>, name: AtomId) {
        assert_eq!(w.atom(name), Ok(Fit::Written));
    }
    fn number(w: &mut Writer<'_, Vec<u8>>, number: u64) {
        assert_eq!(w.int(number as i64), Ok(Fit::Written));
    }
    fn text(w: &mut Writer<'_, Vec<u8>>, text: &[u8]) {
        assert_eq!(w.binary(text), Ok(Fit::Written));
    }
    fn open(w: &mut Writer<'_, Vec<u8>>, container: Container) {
        assert_eq!(w.open(container), Ok(Fit::Written));
    }
    let mut out = Vec::new();
    let w = &mut Writer::new(&mut out, 1 << 20);
    open(w, Container::Map(3));
    name(w, COUNT);
    number(w, count);
    name(w, SETTINGS);
    open(w, Container::Map(10));
    for n in 0..10 {
        name(w, AtomId(21_000 + n));
        text(w, b"a setting of some length");
    }
    w.close(Container::Map(10)).unwrap();
    name(w, SESSIONS);
    open(w, Container::Map(140));
    for n in 0..140 {
        number(w, 1_000_000 + n);
        open(w, Container::Map(5));
        for (key, value) in [(1, n * 1_000), (2, n), (3, 7 * n)] {
            name(w, AtomId(22_000 + key));
            number(w, value);
        }
        name(w, AtomId(22_004));
        text(w, b"user@example.com, 192.0.2.17");
        name(w, AtomId(22_005));
        open(w, Container::List);
        for page in 0..4 {
            number(w, n + page);
        }
        w.close(Container::List).unwrap();
        w.close(Container::Map(5)).unwrap();
    }
    w.close(Container::Map(140)).unwrap();
    w.close(Container::Map(3)).unwrap();
    out
}

/// What the counter is after the nth change.
fn count(n: u64) -> u64 {
    1_000_000 + n
}

fn delta(n: u64) -> Vec<u8> {
    let mut delta = vec![delta_format::MAP];
    delta.extend(atom(COUNT));
    // with the proof that capture writes
    diff(&int(count(n) - 1), &int(count(n)), &mut delta).unwrap();
    delta.push(delta_format::MAP_END);
    delta
}

fn show(name: &str, unit: &str, mut samples: Vec<f64>) {
    samples.sort_by(f64::total_cmp);
    let at = |share: f64| samples[((samples.len() - 1) as f64 * share) as usize];
    println!(
        "{name:<58} min {:>9.2}  median {:>9.2}  p99 {:>9.2} {unit}  ({} samples)",
        at(0.0),
        at(0.5),
        at(0.99),
        samples.len()
    );
}

fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let started = Instant::now();
    let done = work();
    (started.elapsed().as_nanos() as f64, done)
}

/// One process with so many changes, 0 to changes - 1, at `n * PAUSE`; every `check` of them with the whole state.
fn recorded(changes: u64, check: u64) -> (Timelines, Vec<f64>, Vec<f64>) {
    let memory = Arc::new(Memory::default());
    let mut timelines = Timelines::new(&memory, CAP);
    let (mut samples, mut single) = (Vec::new(), Vec::new());
    let batch = 10_000;
    let mut room = |_: usize| true;
    for start in (0..changes).step_by(batch) {
        let bodies: Vec<(u8, Vec<u8>)> = (start..changes.min(start + batch as u64))
            .map(|n| match n {
                0 => (StatePart::WHOLE | StatePart::FIRST, state(count(n))),
                n if n % check == 0 => (StatePart::CHECK, [delta(n), state(count(n))].concat()),
                n => (StatePart::DELTA, delta(n)),
            })
            .collect();
        let started = Instant::now();
        for ((flags, body), n) in bodies.iter().zip(start..) {
            let part = StatePart {
                flags: *flags,
                sequence: n as u32 + 1,
                body,
            };
            let id = EventId(1 + n * IDS);
            let time = TimeNs(n as i64 * PAUSE);
            let before = Instant::now();
            let asked = timelines.change(PROCESS, MODULE, id, time, &part, &mut room);
            if n % 16 == 0 {
                single.push(before.elapsed().as_nanos() as f64);
            }
            assert_eq!(asked, Asked::No);
        }
        samples.push(started.elapsed().as_nanos() as f64 / bodies.len() as f64);
    }
    let stats = timelines.stats();
    assert_eq!((stats.changes, stats.evicted), (changes, 0));
    assert_eq!((stats.mismatches, stats.refused), (0, 0));
    println!(
        "{changes} changes of one integer in {} bytes, the whole state with every {check}th: {:.2} B a change in {} blocks, {} verified",
        state(count(0)).len(),
        memory.of(Use::Timelines) as f64 / changes as f64,
        stats.blocks,
        stats.verified,
    );
    (timelines, samples, single)
}

/// The nth change sets a field of one of 140 sessions: which session, and how.
fn session_delta(n: u64) -> (u64, Vec<u8>) {
    let session = 1_000_000 + n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 140;
    let mut delta = vec![delta_format::MAP];
    delta.extend(atom(SESSIONS));
    delta.push(delta_format::MAP);
    delta.extend(int(session));
    delta.push(delta_format::MAP);
    delta.extend(atom(AtomId(22_001)));
    // as long as with the proof that capture writes, and nothing to be proved
    delta.extend([delta_format::PROVED_REPLACE, 0, 0]);
    delta.extend(int(count(n)));
    delta.extend([delta_format::MAP_END; 3]);
    (session, delta)
}

fn bench_sessions(changes: u64, rounds: u64) {
    let memory = Arc::new(Memory::default());
    let mut timelines = Timelines::new(&memory, CAP);
    let mut newest = std::collections::HashMap::new();
    let mut expected = Vec::new();
    for n in 0..changes {
        let (flags, body) = match n {
            0 => (StatePart::WHOLE | StatePart::FIRST, state(0)),
            _ => {
                let (session, delta) = session_delta(n);
                newest.insert(session, n);
                (StatePart::DELTA, delta)
            }
        };
        let part = StatePart {
            flags,
            sequence: n as u32 + 1,
            body: &body,
        };
        let (id, time) = (EventId(1 + n * IDS), TimeNs(n as i64 * PAUSE));
        timelines.change(PROCESS, MODULE, id, time, &part, &mut |_| true);
        if n % (changes / rounds) == 0 && n > 10_000 {
            let session = 1_000_000 + n % 140;
            expected.push((session, time, newest.get(&session).copied()));
        }
    }
    println!(
        "{changes} changes of one of 140 sessions: {:.2} B a change",
        memory.of(Use::Timelines) as f64 / changes as f64
    );
    let samples = expected.iter().map(|&(session, time, n)| {
        let path = [atom(SESSIONS), int(session), atom(AtomId(22_001))];
        let path = path.each_ref().map(Vec::as_slice);
        let seek = Seek::Before(time);
        let (took, found) = timed(|| timelines.last_change(PROCESS, None, &path, seek));
        assert_eq!(found, Ok(EventId(1 + n.unwrap() * IDS)));
        took / 1e3
    });
    show("last_change, of one session", "µs", samples.collect());
}

fn main() {
    if cfg!(debug_assertions) {
        eprintln!("a debug build: no figures. Run it through `cargo bench`.");
        std::process::exit(1);
    }
    let quick = std::env::args().any(|arg| arg == "quick");
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    println!("{cores} cores, release build");
    let (changes, rounds) = if quick {
        (100_000, 200)
    } else {
        (1_000_000, 5_000)
    };
    for check in [250, changes] {
        let (_, samples, _) = recorded(changes / 10, check);
        show("change, a tenth of them", "ns, by the 10,000", samples);
    }
    let (timelines, samples, single) = recorded(changes, 2_000);
    show("change", "ns, by the 10,000", samples);
    show(
        "change, one by one with two looks at the clock",
        "ns",
        single,
    );
    let random = |round: u64| round.wrapping_mul(0x9e37_79b9_7f4a_7c15) % changes;
    let time = |n: u64| TimeNs(n as i64 * PAUSE);
    let id = |n: u64| EventId(1 + n * IDS);

    let states = (0..rounds).map(|round| {
        let n = random(round);
        let at = TimeNs(time(n).0 + round as i64 % PAUSE);
        let (took, found) = timed(|| timelines.state_at(PROCESS, None, When::At(at)).unwrap());
        assert_eq!(found.event, id(n));
        let value = find_step(&found.state, &atom(COUNT)).unwrap();
        assert_eq!(value, Some(&int(count(n))[..]));
        assert!(n > changes - 2_000 || found.quality == Quality::Exact);
        took / 1e3
    });
    show("state_at", "µs", states.collect());
    let found = timelines.state_at(PROCESS, None, When::Last).unwrap();
    assert!(equal(&found.state, &state(count(changes - 1))).unwrap());

    let key = atom(COUNT);
    let newest = (0..rounds).map(|round| {
        let n = random(round).max(1);
        let (took, found) =
            timed(|| timelines.last_change(PROCESS, None, &[&key], Seek::Before(time(n))));
        assert_eq!(found, Ok(id(n)));
        took / 1e3
    });
    show(
        "last_change, of what always changes, before",
        "µs",
        newest.collect(),
    );
    let oldest = (0..rounds).map(|round| {
        let n = random(round).min(changes - 2);
        let (took, found) =
            timed(|| timelines.last_change(PROCESS, None, &[&key], Seek::After(time(n))));
        assert_eq!(found, Ok(id(n + 1)));
        took / 1e3
    });
    show(
        "last_change, of what always changes, after",
        "µs",
        oldest.collect(),
    );
    let never = atom(SETTINGS);
    let samples = (0..rounds).map(|round| {
        let n = random(round);
        let (took, found) =
            timed(|| timelines.last_change(PROCESS, None, &[&never], Seek::Before(time(n))));
        assert_eq!(found, Ok(id(0)));
        took / 1e3
    });
    show(
        "last_change, of what never changed since init",
        "µs",
        samples.collect(),
    );

    let differ = (0..rounds / 5).map(|round| {
        let (from, to) = (random(round), random(round + 7_777));
        let mut paths = 0;
        let (took, found) = timed(|| {
            timelines.diff(
                PROCESS,
                None,
                When::At(time(from)),
                When::At(time(to)),
                &mut |change| paths += change.path.len(),
            )
        });
        assert_eq!((found, paths), (Ok(()), usize::from(from != to)));
        took / 1e3
    });
    show("diff", "µs", differ.collect());

    let walks = (0..rounds / 50).map(|round| {
        let start = random(round).clamp(1, changes - 1_001);
        let (took, ()) = timed(|| {
            let view = timelines
                .view(PROCESS, MODULE, id(start)..=id(start + 999))
                .unwrap();
            let mut walk = view.walk();
            let (mut old, mut new) = (Vec::new(), Vec::new());
            for n in start..start + 1_000 {
                old.clear();
                new.clear();
                let stride = walk.seek(id(n)).unwrap();
                assert!(stride.old_state(&mut old));
                stride.new_state(&mut new);
                black_box((&old, &new));
            }
        });
        took / 1e6
    });
    show(
        "walk along 1,000 changes, old and new states written",
        "ms",
        walks.collect(),
    );
    bench_sessions(changes, rounds);
}
