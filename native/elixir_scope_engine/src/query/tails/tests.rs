//! Tail calls against what the processes really did: chains of functions that record and of others, ends that raise, callers
//! that are unwound, with and without losses.

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;

use crate::clock::Clock;
use crate::event::{AtomId, CorrelationId, EventKind, ProcessId, SiteId, Symbol, Symbols, Ticks};
use crate::ingest::Ingest;
use crate::ingest::encode::{put_atom, put_int};
use crate::query::tests::Fake;
use crate::query::{Order, Query, Rows};
use crate::record::RecordHead;
use crate::ring::{DrainItem, LossReport};
use crate::site::{Callee, SiteDef, SiteTable};
use crate::store::{Store, StoreConfig};
use crate::value::format::NIL;

fn symbols() -> Symbols {
    let mut next = 0;
    Symbols::new(|_| {
        next += 1;
        AtomId(next)
    })
}

const RECORDED: usize = 3;

/// Of functions that record: where each is entered, and where each makes a tail call of each, one more function that does not
/// record among them, and last of one that is not known.
struct Places {
    table: &'static SiteTable,
    entries: Vec<SiteId>,
    tails: Vec<Vec<SiteId>>,
}

fn places() -> Places {
    let table: &SiteTable = Box::leak(Box::default());
    let mut number = 0;
    let mut define = |function: usize, callee: Option<usize>| {
        number += 1;
        let def = SiteDef {
            function: Some(AtomId(function as u32)),
            arity: 1,
            clause: 1,
            callee: callee.map(|callee| Callee {
                module: AtomId(0),
                function: AtomId(callee as u32),
                arity: 1,
            }),
            ..SiteDef::default()
        };
        table.define(number, def)
    };
    Places {
        table,
        entries: (0..RECORDED).map(|f| define(f, None)).collect(),
        tails: (0..RECORDED)
            .map(|f| {
                let known = (0..=RECORDED).map(Some).chain([None]);
                known.map(|callee| define(f, callee)).collect()
            })
            .collect(),
    }
}

struct Told {
    head: RecordHead,
    payload: Vec<u8>,
    /// Of a tail call: the record of its entry, and once it is known that of the end of the chain.
    tail: Option<(usize, Option<usize>)>,
    /// The record of the entry whose root it goes back to.
    root: Option<usize>,
    /// The record of the entry of the enclosing call.
    parent: Option<usize>,
    lost: bool,
}

#[derive(Clone)]
struct Frame {
    function: usize,
    entry: usize,
    /// The tail calls whose chain it goes on.
    waiting: Vec<usize>,
}

#[derive(Clone, Default)]
struct Actor {
    frames: Vec<Frame>,
    root: u64,
    /// The entry of the outermost call, or of the first one in its chain.
    outermost: Option<usize>,
    /// A function that is called in tail position, and the tail calls that wait for it.
    next: Option<(usize, Vec<usize>)>,
}

struct World {
    places: Places,
    actors: Vec<Actor>,
    told: Vec<Told>,
    losses: bool,
}

type Step = (u8, u8, u8, bool);

impl World {
    fn new(losses: bool) -> World {
        World {
            places: places(),
            actors: vec![Actor::default(); 2],
            told: Vec::new(),
            losses,
        }
    }

    fn tell(&mut self, actor: usize, kind: EventKind, site: SiteId, payload: Vec<u8>, lost: bool) {
        let me = &self.actors[actor];
        let is_inside = !me.frames.is_empty() || kind != EventKind::UserEvent;
        self.told.push(Told {
            head: RecordHead {
                preceding: crate::record::Preceding::NOTHING,
                sequence: 0,
                kind,
                depth: me.frames.len() as u16,
                ticks: Ticks(10 + self.told.len() as u64 * 7),
                process: ProcessId(1 + actor as u64),
                site,
                correlation: CorrelationId(if is_inside { me.root } else { 0 }),
            },
            payload,
            tail: None,
            root: if is_inside { me.outermost } else { None },
            parent: me.frames.last().map(|frame| frame.entry),
            lost: lost && self.losses,
        });
    }

    fn step(&mut self, (actor, action, arg, lost): Step) {
        let actor = actor as usize % 2;
        if let Some((function, waiting)) = self.actors[actor].next.take() {
            self.enter(actor, function, waiting, lost);
            return;
        }
        let is_inside = !self.actors[actor].frames.is_empty();
        match action {
            0 | 1 => self.enter(actor, arg as usize % RECORDED, Vec::new(), lost),
            2 | 3 if is_inside => self.leave(actor, Symbol::Normal, lost),
            4..=8 if is_inside => self.tail(actor, arg as usize % (RECORDED + 2), lost),
            // The caller raises, or catches what was raised inside of it unseen: all that is deeper is over.
            9 if self.actors[actor].frames.len() > 1 => {
                self.actors[actor].frames.pop();
                self.leave(actor, Symbol::Ambiguous, lost);
            }
            _ => self.tell(
                actor,
                EventKind::UserEvent,
                SiteId::NONE,
                vec![NIL, NIL],
                lost,
            ),
        }
    }

    fn enter(&mut self, actor: usize, function: usize, waiting: Vec<usize>, lost: bool) {
        let entry = self.told.len();
        let me = &mut self.actors[actor];
        if me.frames.is_empty() {
            me.root = 1_000 + entry as u64;
            if waiting.is_empty() {
                me.outermost = Some(entry);
            }
        }
        let site = self.places.entries[function];
        self.tell(actor, EventKind::FunctionEntry, site, vec![NIL], lost);
        self.actors[actor].frames.push(Frame {
            function,
            entry,
            waiting,
        });
    }

    fn leave(&mut self, actor: usize, how: Symbol, lost: bool) {
        let frame = self.actors[actor].frames.pop().unwrap();
        let end = self.told.len();
        let mut payload = Vec::new();
        put_atom(&mut payload, symbols().id(how));
        put_int(&mut payload, end as i64);
        let site = self.places.entries[frame.function];
        self.tell(actor, EventKind::FunctionExit, site, payload, lost);
        for tail in frame.waiting {
            self.told[tail].tail.as_mut().unwrap().1 = Some(end);
        }
    }

    fn tail(&mut self, actor: usize, callee: usize, lost: bool) {
        let mut frame = self.actors[actor].frames.pop().unwrap();
        let here = self.told.len();
        let mut payload = Vec::new();
        put_atom(&mut payload, symbols().id(Symbol::TailCall));
        put_atom(&mut payload, symbols().id(Symbol::Nil));
        // Where the callee is not known the place is that of the entry.
        let site = match callee {
            callee if callee > RECORDED => self.places.entries[frame.function],
            callee => self.places.tails[frame.function][callee],
        };
        self.tell(actor, EventKind::FunctionExit, site, payload, lost);
        self.told[here].tail = Some((frame.entry, None));
        if callee < RECORDED {
            frame.waiting.push(here);
            self.actors[actor].next = Some((callee, frame.waiting));
        }
    }
}

fn play(world: &World) -> Store {
    let config = StoreConfig {
        memory_limit: 8 << 20,
        max_events: None,
        max_age_ns: None,
    };
    let store = Store::new(config).unwrap();
    let clock = Arc::new(Clock::manual(0));
    let mut ingest = Ingest::new(
        clock,
        symbols(),
        world.places.table,
        crate::ingest::tests::timelines(),
        1 << 20,
    );
    let mut appender = store.appender();
    let mut lost: Vec<Ticks> = Vec::new();
    for told in &world.told {
        if told.lost {
            lost.push(told.head.ticks);
            continue;
        }
        if let (Some(from), Some(until)) = (lost.first(), lost.last()) {
            let report = LossReport {
                writer: 7,
                cause: Symbol::DroppedOldest,
                count: lost.len() as u64,
                from: *from,
                until: *until,
            };
            ingest.take(&DrainItem::Loss(report), &mut appender, None);
            lost.clear();
        }
        let item = DrainItem::Record {
            head: told.head,
            payload: &told.payload,
            writer: 1,
        };
        ingest.take(&item, &mut appender, None);
    }
    drop(appender);
    store
}

fn ask(store: &Store, order: Order) -> Rows {
    let query = Query {
        kinds: crate::event::KindSet::EMPTY
            .with(EventKind::FunctionEntry)
            .with(EventKind::FunctionExit)
            .with(EventKind::UserEvent),
        order,
        ..Query::default()
    };
    store.query(&query, &Fake::with(symbols()).context()).rows
}

fn arb_steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0u8..2, 0u8..12, any::<u8>(), prop::bool::weighted(0.05));
    prop::collection::vec(step, 1..300)
}

/// What a tail call should show: the result and the time from its entry to the end.
fn shown(end: Option<(usize, u64)>) -> Vec<u8> {
    let mut out = Vec::new();
    put_atom(&mut out, symbols().id(Symbol::TailCall));
    match end {
        Some((end, duration)) => {
            put_int(&mut out, end as i64);
            put_int(&mut out, duration as i64);
        }
        None => {
            put_atom(&mut out, symbols().id(Symbol::Nil));
            put_atom(&mut out, symbols().id(Symbol::Nil));
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_tail_call_shows_the_end_of_its_chain(steps in arb_steps(), descending in any::<bool>()) {
        let mut world = World::new(false);
        steps.iter().for_each(|step| world.step(*step));
        let store = play(&world);
        let order = if descending { Order::Desc } else { Order::Asc };
        let rows = ask(&store, order);
        prop_assert_eq!(rows.rows().len(), world.told.len());
        for (head, payload) in rows.iter() {
            let told = &world.told[head.id.0 as usize - 1];
            let root = told.root.map_or(0, |root| world.told[root].head.correlation.0);
            prop_assert_eq!(head.correlation.0, root, "{:?}", head);
            prop_assert_eq!(head.parent.0, told.parent.map_or(0, |parent| parent as u64 + 1));
            if let Some((entry, end)) = told.tail {
                prop_assert_eq!(head.call.0, entry as u64 + 1);
                let time = |record: usize| world.told[record].head.ticks.0;
                let wanted = shown(end.map(|end| (end, time(end) - time(entry))));
                prop_assert!(payload.starts_with(&wanted), "{:?}: {:?}, not {:?}", head, payload, wanted);
            }
        }
    }

    #[test]
    fn after_losses_no_tail_call_shows_an_end_that_is_not_its_own(steps in arb_steps()) {
        let mut world = World::new(true);
        steps.iter().for_each(|step| world.step(*step));
        let rows = ask(&play(&world), Order::Asc);
        let kept = (0..world.told.len()).filter(|&record| !world.told[record].lost);
        let kept: Vec<usize> = kept.collect();
        prop_assert_eq!(rows.rows().len(), kept.len());
        let id_of: HashMap<usize, u64> = kept
            .iter()
            .zip(rows.rows())
            .map(|(&record, row)| (record, row.head.id.0))
            .collect();
        for ((head, payload), &record) in rows.iter().zip(&kept) {
            let told = &world.told[record];
            let parent = told.parent.and_then(|parent| id_of.get(&parent).copied());
            prop_assert!(head.parent.0 == 0 || Some(head.parent.0) == parent, "{:?}", head);
            if let Some((entry, end)) = told.tail {
                let time = |record: usize| world.told[record].head.ticks.0;
                let true_end = end.map(|end| (end, time(end) - time(entry)));
                let is_true = payload.starts_with(&shown(true_end));
                prop_assert!(is_true || payload.starts_with(&shown(None)), "{:?}: {:?}", head, payload);
            }
        }
    }
}

/// The calls of a loop of one function, each the tail call of the one before, and its end.
fn run_loop(calls: u64, store: &Store) -> Ingest {
    let places = places();
    let clock = Arc::new(Clock::manual(0));
    let mut ingest = Ingest::new(
        clock,
        symbols(),
        places.table,
        crate::ingest::tests::timelines(),
        1 << 20,
    );
    let mut appender = store.appender();
    let (mut tail, mut normal) = (Vec::new(), Vec::new());
    put_atom(&mut tail, symbols().id(Symbol::TailCall));
    put_atom(&mut tail, symbols().id(Symbol::Nil));
    put_atom(&mut normal, symbols().id(Symbol::Normal));
    normal.push(0x87);
    let mut take = |kind, ticks, site, payload: &[u8]| {
        let head = RecordHead {
            preceding: crate::record::Preceding::NOTHING,
            sequence: 0,
            kind,
            depth: 0,
            ticks: Ticks(ticks),
            process: ProcessId(1),
            site,
            correlation: CorrelationId(1_000 + ticks / 2),
        };
        let item = DrainItem::Record {
            head,
            payload,
            writer: 1,
        };
        ingest.take(&item, &mut appender, None);
    };
    for call in 0..calls {
        take(
            EventKind::FunctionEntry,
            call * 2,
            places.entries[0],
            &[NIL],
        );
        let is_last = call + 1 == calls;
        let (site, payload) = if is_last {
            (places.entries[0], &normal)
        } else {
            (places.tails[0][0], &tail)
        };
        take(EventKind::FunctionExit, call * 2 + 1, site, payload);
    }
    drop(appender);
    ingest
}

fn small_store(memory_limit: usize) -> Store {
    let config = StoreConfig {
        memory_limit,
        max_events: None,
        max_age_ns: None,
    };
    Store::new(config).unwrap()
}

#[test]
fn a_loop_of_tail_calls_takes_no_memory_and_its_first_call_shows_the_end() {
    let store = small_store(8 << 20);
    let few = run_loop(10, &store).stats().stack_bytes;
    let store = small_store(8 << 20);
    let many = run_loop(20_000, &store).stats().stack_bytes;
    assert_eq!(few, many);
    let rows = ask(&store, Order::Asc);
    let exits = rows
        .iter()
        .filter(|(head, _)| head.kind == EventKind::FunctionExit);
    for (call, (_, payload)) in (0..19_999).zip(exits) {
        let wanted = shown(Some((7, 39_999 - call * 2)));
        assert!(payload.starts_with(&wanted), "call {call}: {payload:?}");
    }
}

#[test]
fn an_end_that_is_too_far_away_is_not_looked_for() {
    let store = small_store(64 << 20);
    run_loop(200_000, &store);
    let query = Query {
        kinds: crate::event::KindSet::EMPTY.with(EventKind::FunctionExit),
        after: Some(crate::event::EventId::NONE),
        limit: Some(1),
        ..Query::default()
    };
    let rows = store.query(&query, &Fake::with(symbols()).context()).rows;
    let (_, payload) = rows.iter().next().unwrap();
    assert!(payload.starts_with(&shown(None)));
}
