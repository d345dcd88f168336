//! What it costs to replay a state from its deltas, and to find the differences of two.
//!
//! `cargo bench -p elixir_scope_engine --bench delta`, with `-- quick` for a short run that checks the answers.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark")]

use std::hint::black_box;
use std::time::Instant;

use elixir_scope_engine::event::AtomId;
use elixir_scope_engine::value::{
    Container, Fit, Patched, Sink, Writer, changes, delta_format as delta, diff, equal, skip_delta,
    touch,
};

const ROOM: usize = 1 << 30;
/// As many changes lie between two keyframes.
const DELTAS: u64 = 640;

/// Names are numbers of three bytes.
fn name(number: u32) -> AtomId {
    AtomId(20_000 + number)
}

fn atom<S: Sink>(w: &mut Writer<'_, S>, number: u32) {
    assert_eq!(w.atom(name(number)), Ok(Fit::Written));
}

fn int<S: Sink>(w: &mut Writer<'_, S>, value: u64) {
    assert_eq!(w.int(value as i64), Ok(Fit::Written));
}

fn text<S: Sink>(w: &mut Writer<'_, S>, text: &str) {
    assert_eq!(w.binary(text.as_bytes()), Ok(Fit::Written));
}

fn open<S: Sink>(w: &mut Writer<'_, S>, container: Container) {
    assert_eq!(w.open(container), Ok(Fit::Written));
}

/// What differs from one state to the next.
#[derive(Clone, Copy)]
struct Now {
    count: u64,
    /// Somewhere deeper: `state.metrics.http.requests`.
    requests: u64,
    /// The queue begins with as many newer elements.
    queued: u64,
    /// Hits of the session in the middle.
    hits: u64,
}

const START: Now = Now {
    count: 1_000,
    requests: 5_000,
    queued: 0,
    hits: 1_000,
};

/// The state of a server: a struct with settings, 80 sessions by their id, a queue of 40 jobs, and metrics.
fn state(now: Now) -> Vec<u8> {
    let mut out = Vec::new();
    let w = &mut Writer::new(&mut out, ROOM);
    open(w, Container::Map(6));
    atom(w, 0);
    atom(w, 1);
    atom(w, 2);
    int(w, now.count);
    atom(w, 3);
    open(w, Container::Map(12));
    for setting in 0..12 {
        atom(w, 100 + setting);
        text(w, "some setting or other");
    }
    atom(w, 4);
    open(w, Container::Map(80));
    for session in 0..80 {
        text(w, &format!("session-{session:012}"));
        open(w, Container::Map(5));
        for (key, value) in (200u32..).zip(["user", "/a/path/somewhere", "127.0.0.1"]) {
            atom(w, key);
            text(w, value);
        }
        atom(w, 203);
        int(w, 1_700_000_000_000 + session);
        atom(w, 204);
        int(w, if session == 40 { now.hits } else { 1_000 });
    }
    atom(w, 5);
    open(w, Container::List);
    for job in (0..40 + now.queued).rev() {
        open(w, Container::Tuple(4));
        atom(w, 300);
        int(w, job);
        text(w, "the arguments of a job");
        open(w, Container::List);
        int(w, 1_000);
        int(w, 2_000);
        w.close(Container::List).unwrap();
    }
    w.close(Container::List).unwrap();
    atom(w, 6);
    open(w, Container::Map(2));
    for (kind, requests) in [(400, now.requests), (401, 7)] {
        atom(w, kind);
        open(w, Container::Map(8));
        for metric in 0..7 {
            atom(w, 410 + metric);
            int(w, 1_000_000 + u64::from(metric));
        }
        atom(w, 420);
        int(w, requests);
    }
    out
}

/// A step into a map.
enum Key {
    Name(u32),
    Text(&'static str),
}

/// A delta that leads down to an integer.
fn replaced(path: &[Key], value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    for key in path {
        out.push(delta::MAP);
        let w = &mut Writer::new(&mut out, ROOM);
        match key {
            Key::Name(number) => atom(w, *number),
            Key::Text(key) => text(w, key),
        }
    }
    out.push(delta::REPLACE);
    int(&mut Writer::new(&mut out, ROOM), value);
    out.extend(path.iter().map(|_| delta::MAP_END));
    out
}

type Deltas = Box<dyn Fn(u64) -> (Vec<u8>, Now)>;

/// The delta of the nth change, and what holds after it.
fn kinds() -> Vec<(&'static str, Deltas)> {
    vec![
        (
            "a field",
            Box::new(|n| {
                let count = START.count + n;
                let now = Now { count, ..START };
                (replaced(&[Key::Name(2)], count), now)
            }),
        ),
        (
            "a field three levels down",
            Box::new(|n| {
                let requests = START.requests + n;
                let now = Now { requests, ..START };
                let path = [Key::Name(6), Key::Name(400), Key::Name(420)];
                (replaced(&path, requests), now)
            }),
        ),
        (
            "a field of one of eighty",
            Box::new(|n| {
                let hits = START.hits + n;
                let now = Now { hits, ..START };
                let path = [
                    Key::Name(4),
                    Key::Text("session-000000000040"),
                    Key::Name(204),
                ];
                (replaced(&path, hits), now)
            }),
        ),
        (
            "an element before a list",
            Box::new(|n| {
                let (old, new) = (
                    Now {
                        queued: n - 1,
                        ..START
                    },
                    Now { queued: n, ..START },
                );
                let mut out = Vec::new();
                diff(&state(old), &state(new), &mut out).unwrap();
                (out, new)
            }),
        ),
    ]
}

fn show(name: &str, unit: &str, mut samples: Vec<f64>) {
    samples.sort_by(f64::total_cmp);
    let at = |share: f64| samples[((samples.len() - 1) as f64 * share) as usize];
    println!(
        "{name:<58} min {:>7.2}  median {:>7.2}  p99 {:>7.2} {unit}  ({} samples)",
        at(0.0),
        at(0.5),
        at(0.99),
        samples.len()
    );
}

/// Time that each of `rounds` takes, in microseconds.
fn sampled(rounds: usize, mut work: impl FnMut()) -> Vec<f64> {
    let one = |_| {
        let started = Instant::now();
        work();
        started.elapsed().as_nanos() as f64 / 1e3
    };
    (0..rounds).map(one).collect()
}

fn bench_replay(rounds: usize) {
    let keyframe = state(START);
    println!("a state of {} bytes, {DELTAS} deltas", keyframe.len());
    for (name, nth) in kinds() {
        let (deltas, states): (Vec<_>, Vec<_>) = (1..=DELTAS).map(nth).unzip();
        let packed: Vec<u8> = deltas.concat();
        let expected = state(states[DELTAS as usize - 1]);
        let mut out = Vec::with_capacity(1 << 20);
        let mut replay = || {
            let mut patched = Patched::new(&keyframe).unwrap();
            let mut rest = packed.as_slice();
            while !rest.is_empty() {
                let applied = patched.apply(rest).unwrap();
                assert!(applied.fits);
                rest = &rest[applied.size..];
            }
            out.clear();
            patched.write(&mut out);
            black_box(&out);
        };
        replay();
        let samples = sampled(rounds, replay);
        assert_eq!(equal(&out, &expected), Ok(true));
        show(&format!("replay: {name}"), "µs", samples);

        let each = |all: Vec<f64>| all.iter().map(|us| us * 1e3 / DELTAS as f64).collect();
        let mut touched = 0;
        let counted = each(sampled(rounds, || {
            for delta in &deltas {
                touch(delta, &mut |touch| touched += touch.path.len().min(1)).unwrap();
            }
        }));
        assert_eq!(touched, rounds * DELTAS as usize);
        show(&format!("touch: {name}"), "ns a delta", counted);
        let skipped = each(sampled(rounds, || {
            for delta in &deltas {
                assert_eq!(skip_delta(black_box(delta)), Ok(delta.len()));
            }
        }));
        show(&format!("skip: {name}"), "ns a delta", skipped);

        let mut last = Vec::new();
        let samples = sampled(rounds, || {
            last.clear();
            diff(&keyframe, &expected, &mut last).unwrap();
        });
        show(&format!("diff, first to last: {name}"), "µs", samples);
        let mut found = 0;
        let samples = sampled(rounds, || {
            changes(&keyframe, &expected, &mut |_| false, &mut |_| found += 1).unwrap();
        });
        let wanted = if name.contains("list") { DELTAS } else { 1 };
        assert_eq!(found, rounds as u64 * wanted);
        show(&format!("changes, first to last: {name}"), "µs", samples);
    }
    let mut out = Vec::with_capacity(1 << 20);
    let samples = sampled(rounds, || {
        out.clear();
        Patched::new(&keyframe).unwrap().write(&mut out);
    });
    assert_eq!(out, keyframe);
    show("read and written without a delta", "µs", samples);
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
    bench_replay(if quick { 20 } else { 2_000 });
}
