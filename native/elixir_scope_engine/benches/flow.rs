//! What it costs to ask who sent what to whom: the newest 100 messages of a pair of processes among a million events.
//!
//! `cargo bench -p elixir_scope_engine --bench flow`, with `-- quick` for a short run that checks the answers.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark")]

use std::time::{Duration, Instant};

use elixir_scope_engine::event::{
    AtomId, CorrelationId, EventId, EventKind, ProcessId, SiteId, Symbol, Symbols, TimeNs,
};
use elixir_scope_engine::value::Names;
use elixir_scope_engine::{
    Call, Context, FlowQuery, KindNames, NewEvent, Party, Query, SiteFacts, Sites, Store,
    StoreConfig, Way,
};

struct Machine;

impl Names for Machine {
    fn atom_name(&self, _: AtomId, _: &mut String) -> bool {
        false
    }
}

impl Sites for Machine {
    fn site(&self, _: SiteId) -> Option<SiteFacts<'_>> {
        None
    }
}

/// Events of one message: it is sent, arrives, is handled, and that comes to an end.
const STEPS: u64 = 4;

/// The pair of the nth message: each sends to all others in turn.
fn pair(n: u64, processes: u64) -> (u64, u64) {
    let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    let (from, to) = (mixed % processes, mixed / processes % processes);
    (0x2a_0003 + from * 16, 0x2a_0003 + to * 16)
}

struct Words(Symbols);

impl Words {
    fn atom(&self, out: &mut Vec<u8>, symbol: Symbol) {
        out.extend([4]);
        out.put_varint(u64::from(self.0.id(symbol).0));
    }
}

trait Varint {
    fn put_varint(&mut self, value: u64);
}

impl Varint for Vec<u8> {
    fn put_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.push(value as u8);
    }
}

fn pid(out: &mut Vec<u8>, process: u64) {
    out.push(0x0d);
    out.put_varint(process);
}

/// `messages` of them; each lies a few events behind the one before, as scheduling has it.
fn fill(store: &Store, messages: u64, processes: u64, words: &Words) {
    let mut appender = store.appender();
    let mut payload = Vec::new();
    for n in 0..messages {
        let (from, to) = pair(n, processes);
        let sent = EventId(n * STEPS + 1);
        for step in 0..STEPS {
            payload.clear();
            let (kind, process, peer, message) = match step {
                0 => (EventKind::MessageSend, from, to, EventId::NONE),
                1 => (EventKind::MessageReceive, to, from, sent),
                2 => (EventKind::FunctionEntry, to, 0, sent),
                _ => (EventKind::FunctionExit, to, 0, EventId::NONE),
            };
            if step < 2 {
                let (one, other) = if step == 0 { (from, to) } else { (to, from) };
                pid(&mut payload, one);
                pid(&mut payload, other);
            }
            let nils = match step {
                0 => {
                    words.atom(&mut payload, Symbol::Nil);
                    payload.extend([0x80 + (n % 100) as u8]);
                    words.atom(&mut payload, Symbol::Nil);
                    words.atom(&mut payload, Symbol::Send);
                    5
                }
                1 => {
                    payload.extend([0x80 + (n % 100) as u8]);
                    4
                }
                2 => {
                    payload.extend([8, 0x80 + (n % 100) as u8, 9]);
                    0
                }
                _ => 3,
            };
            (0..nils).for_each(|_| words.atom(&mut payload, Symbol::Nil));
            let event = NewEvent {
                kind,
                time: TimeNs((n * STEPS + step) as i64 * 997),
                process: ProcessId(process),
                site: SiteId(1),
                call: if step == 2 { Call::Begins } else { Call::None },
                parent: EventId::NONE,
                correlation: CorrelationId(n + 1),
                peer: ProcessId(peer),
                message,
                payload: &payload,
                more: &[],
            };
            appender.append(&event).unwrap();
        }
    }
}

fn percentile(times: &mut [Duration], part: f64) -> f64 {
    times.sort_unstable();
    times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e6
}

fn main() {
    let is_quick = std::env::args().any(|arg| arg == "quick" || arg == "--test");
    assert!(
        is_quick || !cfg!(debug_assertions),
        "a debug build tells nothing"
    );
    let messages = if is_quick { 5_000 } else { 250_000 };
    let rounds = if is_quick { 20 } else { 2_000 };
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
        flows: true,
    };
    for processes in [10, 100, 1_000] {
        let store = Store::new(StoreConfig {
            memory_limit: 256 << 20,
            max_events: None,
            max_age_ns: None,
        })
        .unwrap();
        fill(&store, messages, processes, &Words(symbols));
        let stats = store.stats();
        assert_eq!(stats.events, messages * STEPS);
        let party = |process| Party {
            processes: Some(vec![ProcessId(process)]),
            names: Vec::new(),
        };
        let mut times = Vec::new();
        let mut rows = 0;
        for round in 0..rounds {
            let (from, to) = pair(round * 31, processes);
            let flow = FlowQuery {
                from: party(from),
                to: party(to),
                both: false,
                query: Query {
                    limit: Some(100),
                    ..Query::default()
                },
            };
            let started = Instant::now();
            let found = store.message_flow(&flow, &context);
            times.push(started.elapsed());
            rows += found.rows.rows().len();
            if round < 20 {
                let all = (0..messages).filter(|&n| pair(n, processes) == (from, to));
                let mut wanted: Vec<u64> = all.map(|n| n * STEPS + 1).collect();
                wanted.drain(..wanted.len().saturating_sub(100));
                let ids: Vec<u64> = found.rows.iter().map(|(head, _)| head.id.0).collect();
                assert_eq!(ids, wanted);
            }
        }
        println!(
            "newest 100 of a pair, {processes} processes: p50 {:.0} µs, p99 {:.0} µs, {:.1} rows; {:.1} B an event",
            percentile(&mut times, 0.5),
            percentile(&mut times, 0.99),
            rows as f64 / rounds as f64,
            stats.total_bytes as f64 / stats.events as f64,
        );
        let mut times = Vec::new();
        for round in 0..rounds {
            let middle = EventId((round * 61 % messages) * STEPS + 1);
            let started = Instant::now();
            let effects = store.chain(middle, Way::Forth, 1_000, &context).unwrap();
            times.push(started.elapsed());
            assert_eq!(effects.rows().len(), 2);
        }
        println!(
            "effects of one message in the middle, {processes} processes: p50 {:.0} µs, p99 {:.0} µs",
            percentile(&mut times, 0.5),
            percentile(&mut times, 0.99),
        );
    }
}
