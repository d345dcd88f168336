//! Flows against what the processes really did: they send, cast, call and answer; what they sent arrives in order, and is handled in the
//! order in which it arrived; with and without losses.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use proptest::prelude::*;

use crate::clock::Clock;
use crate::event::{AtomId, EventId, EventKind, ProcessId, SiteId, Symbol, Symbols, Ticks};
use crate::ingest::Ingest;
use crate::ingest::encode::{Integers, put_atom, put_int, put_pid};
use crate::query::tests::Fake;
use crate::query::{Context, FlowQuery, Order, Party, Query};
use crate::record::RecordHead;
use crate::ring::{DrainItem, LossReport};
use crate::site::{Receives, SiteDef, SiteTable, Via};
use crate::store::{Store, StoreConfig};
use crate::value::format::{END, LIST, REF, TUPLE};
use crate::value::split_first;

const SORTS: [Symbol; 3] = [Symbol::Call, Symbol::Cast, Symbol::Send];

fn symbols() -> Symbols {
    let mut next = 0;
    Symbols::new(|_| {
        next += 1;
        AtomId(next)
    })
}

/// A callback for each way that a message takes.
fn sites() -> (&'static SiteTable, [SiteId; 3]) {
    let table: &SiteTable = Box::leak(Box::default());
    let mut number = 0;
    let ids = [
        (Via::Request, Some(1)),
        (Via::Notice, None),
        (Via::Plain, None),
    ]
    .map(|(via, sender)| {
        number += 1;
        let def = SiteDef {
            function: Some(AtomId(number as u32)),
            behaviour: Some(AtomId(1)),
            receives: Some(Receives {
                via,
                message: 0,
                sender,
            }),
            ..SiteDef::default()
        };
        table.define(number, def)
    });
    (table, ids)
}

/// A message, as those know it who send and get it.
#[derive(Clone, Debug)]
struct Message {
    number: u32,
    sort: usize,
    sender: u64,
    receiver: u64,
    content: i64,
    /// The events that tell of it; none that were lost.
    sent: Option<EventId>,
    /// How many events its sender had told of by then, and whether it was told by its arrival that one is missing.
    told: u64,
    is_missed: bool,
    arrived: Option<EventId>,
    handled: Option<EventId>,
}

/// Events of processes go into a store, or are lost.
struct World {
    symbols: Symbols,
    callbacks: [SiteId; 3],
    store: Store,
    ingest: Ingest,
    ticks: u64,
    sequences: HashMap<u64, u16>,
    told: HashMap<u64, u64>,
    losses: Vec<LossReport>,
    all: Vec<Message>,
    /// Of each pair what is on its way, of each process what is in its mailbox: places in `all`.
    ways: HashMap<(u64, u64), VecDeque<usize>>,
    mailboxes: HashMap<u64, VecDeque<usize>>,
}

impl World {
    fn new(budget: usize) -> World {
        let (table, callbacks) = sites();
        let symbols = symbols();
        let config = StoreConfig {
            memory_limit: 8 << 20,
            max_events: None,
            max_age_ns: None,
        };
        World {
            symbols,
            callbacks,
            store: Store::new(config).unwrap(),
            ingest: Ingest::new(
                Arc::new(Clock::manual(0)),
                symbols,
                table,
                crate::ingest::tests::timelines(),
                budget,
            ),
            ticks: 0,
            sequences: HashMap::new(),
            told: HashMap::new(),
            losses: Vec::new(),
            all: Vec::new(),
            ways: HashMap::new(),
            mailboxes: HashMap::new(),
        }
    }

    /// The id of the event, unless it is lost.
    fn record(
        &mut self,
        kind: EventKind,
        process: u64,
        site: SiteId,
        payload: &[u8],
        is_lost: bool,
    ) -> Option<EventId> {
        self.ticks += 10;
        let sequence = self.sequences.entry(process).or_default();
        *sequence = RecordHead::next_sequence(*sequence);
        let head = RecordHead {
            preceding: crate::record::Preceding::NOTHING,
            kind,
            depth: 0,
            ticks: Ticks(self.ticks),
            process: ProcessId(process),
            site,
            sequence: *sequence,
            correlation: crate::event::CorrelationId(if kind == EventKind::FunctionEntry {
                self.ticks
            } else {
                0
            }),
        };
        if is_lost {
            self.losses.push(LossReport {
                writer: 1,
                cause: Symbol::DroppedOldest,
                count: 1,
                from: head.ticks,
                until: head.ticks,
            });
            return None;
        }
        *self.told.entry(process).or_default() += 1;
        let mut appender = self.store.appender();
        let id = appender.next_id();
        let item = DrainItem::Record {
            head,
            payload,
            writer: 1,
        };
        self.ingest.take(&item, &mut appender, None);
        Some(id)
    }

    fn told(&self, process: u64) -> u64 {
        self.told.get(&process).copied().unwrap_or(0)
    }

    fn tell_losses(&mut self) {
        let mut appender = self.store.appender();
        for loss in self.losses.drain(..) {
            self.ingest
                .take(&DrainItem::Loss(loss), &mut appender, None);
        }
    }

    fn atom(&self, out: &mut Vec<u8>, symbol: Symbol) {
        put_atom(out, self.symbols.id(symbol));
    }

    fn reference(&self, out: &mut Vec<u8>, message: &Message) {
        if message.sort == 0 {
            out.extend([REF, 1]);
            out.extend(message.number.to_le_bytes());
        } else {
            self.atom(out, Symbol::Nil);
        }
    }

    fn send(&mut self, sort: usize, sender: u64, receiver: u64, content: i64, is_lost: bool) {
        let mut message = Message {
            number: self.all.len() as u32,
            sort,
            sender,
            receiver,
            content,
            sent: None,
            told: 0,
            is_missed: true,
            arrived: None,
            handled: None,
        };
        let mut out = Vec::new();
        put_pid(&mut out, ProcessId(sender));
        put_pid(&mut out, ProcessId(receiver));
        self.atom(&mut out, Symbol::Nil);
        put_int(&mut out, content);
        self.atom(&mut out, Symbol::Nil);
        self.atom(&mut out, SORTS[sort]);
        self.reference(&mut out, &message);
        (0..4).for_each(|_| self.atom(&mut out, Symbol::Nil));
        message.sent = self.record(EventKind::MessageSend, sender, SiteId::NONE, &out, is_lost);
        message.told = self.told(sender);
        let place = self.all.len();
        self.ways
            .entry((sender, receiver))
            .or_default()
            .push_back(place);
        self.all.push(message);
    }

    fn arrive(&mut self, sender: u64, receiver: u64, is_lost: bool) {
        let way = self.ways.entry((sender, receiver)).or_default();
        let Some(place) = way.pop_front() else { return };
        let message = self.all[place].clone();
        let mut out = Vec::new();
        put_pid(&mut out, ProcessId(receiver));
        put_pid(&mut out, ProcessId(sender));
        put_int(&mut out, message.content);
        self.atom(&mut out, SORTS[message.sort]);
        self.reference(&mut out, &message);
        let id = self.record(
            EventKind::MessageReceive,
            receiver,
            SiteId::NONE,
            &out,
            is_lost,
        );
        self.all[place].arrived = id;
        self.all[place].is_missed = self.told(message.sender) > message.told;
        self.mailboxes.entry(receiver).or_default().push_back(place);
    }

    fn handle(&mut self, receiver: u64, is_lost: bool) {
        let mailbox = self.mailboxes.entry(receiver).or_default();
        let Some(place) = mailbox.pop_front() else {
            return;
        };
        let message = self.all[place].clone();
        let mut out = vec![LIST];
        put_int(&mut out, message.content);
        if message.sort == 0 {
            out.extend([TUPLE, 2]);
            put_pid(&mut out, ProcessId(message.sender));
            self.reference(&mut out, &message);
        }
        out.push(END);
        let site = self.callbacks[message.sort];
        let id = self.record(EventKind::FunctionEntry, receiver, site, &out, is_lost);
        self.all[place].handled = id;
        let mut out = Vec::new();
        self.atom(&mut out, Symbol::Normal);
        self.atom(&mut out, Symbol::Nil);
        self.record(EventKind::FunctionExit, receiver, site, &out, false);
    }

    fn link(&self, id: EventId) -> Option<u64> {
        self.store
            .tape()
            .with_row(id, |rows, row| rows.message(row))
            .unwrap()
    }
}

/// Whether a link is right, or says less than is true.
fn is_true(link: Option<u64>, truth: &[Option<EventId>], must: bool) -> bool {
    match link {
        None | Some(0) => !must,
        Some(link) if link == EventId::AMBIGUOUS.0 => !must,
        Some(link) => truth.contains(&Some(EventId(link))),
    }
}

fn times(payload: &[u8]) -> Vec<Option<i64>> {
    let mut rest = payload;
    for _ in 0..7 {
        rest = split_first(rest).unwrap().1;
    }
    (0..3)
        .map(|_| {
            let (value, behind) = split_first(rest).unwrap();
            rest = behind;
            Integers(value).int()
        })
        .collect()
}

/// Kind of step, two processes, content, and whether its record is lost.
type Step = (u8, u64, u64, i64, u8);

fn play(world: &mut World, steps: &[Step], losses: bool) {
    let mut started = Vec::new();
    world.atom(&mut started, Symbol::Started);
    world.record(EventKind::TraceControl, 0, SiteId::NONE, &started, false);
    // Of a process that is not known to be one of a behaviour it is not known either what it took out of its mailbox.
    for process in 1..4 {
        world.send(1, process, process, 9, false);
        world.arrive(process, process, false);
        world.handle(process, false);
    }
    for &(step, one, other, content, lost) in steps {
        let is_lost = losses && lost == 0;
        match step {
            0..=7 => world.send(usize::from(step % 3), one, other, content, is_lost),
            8..=14 => world.arrive(one, other, is_lost),
            15..=18 => world.handle(one, is_lost),
            _ => world.tell_losses(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn arrivals_and_callbacks_are_tied_to_what_was_sent_or_to_nothing(
        steps in prop::collection::vec((0u8..20, 1u64..4, 1u64..4, 0i64..3, 0u8..15), 1..300),
        losses in any::<bool>(),
        budget in prop_oneof![3 => Just(1usize << 20), 1 => Just(0)],
    ) {
        let mut world = World::new(budget);
        play(&mut world, &steps, losses);
        let is_sure = !losses && budget > 0;
        for message in &world.all {
            // Nobody can know yet that there is such a message.
            if message.sent.is_none() && !message.is_missed {
                continue;
            }
            if let Some(arrived) = message.arrived {
                let link = world.link(arrived);
                prop_assert!(is_true(link, &[message.sent], is_sure), "{message:?} {link:?}");
            }
            if let Some(handled) = message.handled {
                let link = world.link(handled);
                let truth = [message.sent, message.arrived];
                prop_assert!(is_true(link, &truth, is_sure), "{message:?} {link:?}");
            }
        }
        prop_assert!(world.ingest.stats().stack_bytes <= budget.max(64 << 10) * 2);
    }

    #[test]
    fn a_flow_is_what_was_sent_with_what_became_of_it(
        steps in prop::collection::vec((0u8..20, 1u64..4, 1u64..4, 0i64..3, Just(1u8)), 1..300),
        from in prop::option::of(1u64..4), to in prop::option::of(1u64..4), both in any::<bool>(),
        limit in prop::option::of(1usize..30), descending in any::<bool>(), page in any::<bool>(),
    ) {
        let mut world = World::new(1 << 20);
        play(&mut world, &steps, false);
        let host = Fake::with(world.symbols);
        let context = Context { flows: true, ..host.context() };
        let is = |party: Option<u64>, process: u64| party.is_none_or(|one| one == process);
        let mut wanted: Vec<&Message> = world
            .all
            .iter()
            .filter(|m| is(from, m.sender) && is(to, m.receiver) || both && is(from, m.receiver) && is(to, m.sender))
            .collect();
        let party = |process: Option<u64>| Party {
            processes: process.map(|process| vec![ProcessId(process)]),
            names: Vec::new(),
        };
        let mut query = Query { limit, ..Query::default() };
        if page {
            let half = world.all.get(world.all.len() / 2).and_then(|m| m.sent).unwrap_or(EventId(1));
            query.after = Some(half);
            wanted.retain(|m| m.sent.unwrap() > half);
        }
        let limit = limit.unwrap_or(usize::MAX);
        if page {
            wanted.truncate(limit);
        } else {
            wanted.drain(..wanted.len().saturating_sub(limit));
        }
        if descending {
            query.order = Order::Desc;
            wanted.reverse();
        }
        let flow = FlowQuery { from: party(from), to: party(to), both, query };
        let found = world.store.message_flow(&flow, &context).rows;
        let time = |id: Option<EventId>| id.and_then(|id| world.store.tape().time_of(id)).map(|time| time.0);
        prop_assert_eq!(found.rows().len(), wanted.len());
        for ((head, payload), message) in found.iter().zip(wanted) {
            prop_assert_eq!(Some(head.id), message.sent);
            let (arrived, handled) = (time(message.arrived), time(message.handled));
            let waited = arrived.zip(handled).map(|(arrived, handled)| handled - arrived);
            prop_assert_eq!(times(payload), [arrived, handled, waited]);
        }
    }
}
