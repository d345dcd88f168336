//! The indexed query against a scan over the same events, for random events and filters.

use proptest::prelude::*;

use super::*;
use crate::event::{EventKind, SiteId, Symbols};
use crate::ingest::encode::{put_atom, put_int};
use crate::store::{Aliases, Call, NewEvent, StoreConfig};
use crate::value::Names;
use crate::value::format::{END, LIST};

/// Site n is in module n / 4, function n / 2, of arity n % 3; sites from 8 on are unknown, site 7 is in no function.
pub(crate) struct FakeSites;

impl Sites for FakeSites {
    fn site(&self, site: SiteId) -> Option<SiteFacts<'_>> {
        (1..8).contains(&site.0).then_some(SiteFacts {
            module: AtomId(site.0 / 4),
            function: (site.0 != 7).then_some(AtomId(site.0 / 2)),
            arity: site.0 % 3,
            file: "lib/a.ex",
            line: 10 * site.0,
            clause: 1,
            behaviour: None,
        })
    }
}

pub(crate) struct FakeNames;

impl Names for FakeNames {
    fn atom_name(&self, atom: AtomId, out: &mut String) -> bool {
        out.push_str(&format!("atom{:05}", atom.0));
        true
    }
}

pub(crate) struct Fake {
    symbols: Symbols,
    kinds: KindNames,
}

impl Fake {
    pub(crate) fn new() -> Fake {
        let mut next = 100;
        let mut intern = |_: &'static str| {
            next += 1;
            AtomId(next)
        };
        Fake {
            symbols: Symbols::new(&mut intern),
            kinds: KindNames::new(&mut intern),
        }
    }

    /// With names of the engine's own words that are given elsewhere.
    pub(crate) fn with(symbols: Symbols) -> Fake {
        Fake {
            symbols,
            ..Fake::new()
        }
    }

    pub(crate) fn context(&self) -> Context<'_> {
        Context {
            sites: &FakeSites,
            names: &FakeNames,
            symbols: &self.symbols,
            kinds: &self.kinds,
            time_offset_ns: 1_000,
            node: AtomId(99),
            states: None,
            flows: false,
        }
    }
}

/// An event of the model; `args` are the integers in its list of arguments.
#[derive(Clone, Debug)]
struct Model {
    id: u64,
    kind: EventKind,
    time: i64,
    process: u64,
    site: u32,
    call: u64,
    parent: u64,
    root: u64,
    args: Vec<i64>,
}

impl Model {
    fn payload(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if self.kind == EventKind::UserEvent {
            put_atom(&mut out, AtomId(self.args[0].unsigned_abs() as u32));
        }
        out.push(LIST);
        self.args.iter().for_each(|&arg| put_int(&mut out, arg));
        out.push(END);
        out
    }
}

const KINDS: [EventKind; 5] = [
    EventKind::FunctionEntry,
    EventKind::FunctionExit,
    EventKind::UserEvent,
    EventKind::SpanStart,
    EventKind::DataLoss,
];

fn arb_events(unordered: bool) -> impl Strategy<Value = Vec<Model>> {
    let step = if unordered { -300i64..300 } else { 0..4 };
    let event = (
        0usize..KINDS.len(),
        step,
        0u64..5,
        0u32..10,
        (0u64..40, 0u64..40),
        (0u64..3, 0u64..6),
        prop::collection::vec(-3i64..200, 1..4),
    );
    (prop::collection::vec(event, 1..700), any::<bool>()).prop_map(|(drafts, strange)| {
        let mut time = -500;
        let models = drafts.into_iter().zip(1u64..).map(|(draft, id)| {
            let (kind, step, process, site, (call, parent), (writer, counter), args) = draft;
            time += step;
            Model {
                id,
                kind: KINDS[kind],
                time,
                process,
                site,
                // In a store fed by hand the ids of calls may be those of another recorder.
                call: match call {
                    0 => id,
                    1 if strange => id + 300,
                    _ => id.saturating_sub(call),
                },
                parent: id.saturating_sub(parent * 2),
                root: if counter == 0 {
                    0
                } else {
                    writer << 40 | (id / 50 * 6 + counter)
                },
                args,
            }
        });
        models.collect()
    })
}

#[derive(Clone, Debug)]
struct Shape {
    processes: Option<Vec<u64>>,
    exclude: Vec<u64>,
    kinds: Option<Vec<usize>>,
    site: (Option<u32>, Option<u32>, Option<u32>),
    window: (Option<i64>, Option<i64>),
    cursors: (Option<u64>, Option<u64>),
    root: Option<(u64, u64)>,
    call: Option<u64>,
    condition: Option<(usize, usize, i64)>,
    limit: Option<usize>,
    desc: bool,
}

fn maybe<S: Strategy + 'static>(rarely: u32, inner: S) -> impl Strategy<Value = Option<S::Value>>
where
    S::Value: Clone,
{
    prop_oneof![rarely => Just(None), 1 => inner.prop_map(Some)]
}

fn arb_shape() -> impl Strategy<Value = Shape> {
    (
        maybe(2, prop::collection::vec(0u64..6, 0..3)),
        prop::collection::vec(0u64..5, 0..2),
        maybe(2, prop::collection::vec(0..KINDS.len(), 0..3)),
        (maybe(4, 0u32..3), maybe(4, 0u32..5), maybe(4, 0u32..3)),
        (maybe(2, -700i64..900), maybe(2, -700i64..900)),
        (maybe(3, 0u64..750), maybe(3, 0u64..750)),
        maybe(5, (0u64..3, 0u64..90)),
        maybe(5, 0u64..700),
        maybe(3, (0usize..6, 0usize..4, -3i64..200)),
        (maybe(1, 0usize..20), any::<bool>()),
    )
        .prop_map(
            |(processes, exclude, kinds, site, window, cursors, root, call, condition, last)| {
                Shape {
                    processes,
                    exclude,
                    kinds,
                    site,
                    window,
                    cursors,
                    root,
                    call,
                    condition,
                    limit: last.0,
                    desc: last.1,
                }
            },
        )
}

const OPS: [Op; 6] = [Op::Eq, Op::Ne, Op::Lt, Op::Gt, Op::Ge, Op::Absent];

impl Shape {
    fn query(&self) -> Query {
        let condition = |&(field, op, value): &(usize, usize, i64)| {
            let mut encoded = Vec::new();
            put_int(&mut encoded, value);
            let step = |index: i64| {
                let mut step = Vec::new();
                put_int(&mut step, index);
                step
            };
            let (field, steps) = match field {
                0 => (Field::from_name("args"), vec![step(0)]),
                1 => (Field::from_name("args"), vec![step(1)]),
                2 => (Field::from_name("data"), vec![step(0)]),
                3 => (Field::Timestamp, vec![]),
                4 => (Field::Arity, vec![]),
                _ => (Field::WallTime, vec![]),
            };
            Condition {
                path: Path { field, steps },
                op: OPS[op % OPS.len()],
                value: encoded,
            }
        };
        Query {
            processes: self
                .processes
                .as_ref()
                .map(|all| all.iter().map(|&p| ProcessId(p)).collect()),
            exclude: self.exclude.iter().map(|&p| ProcessId(p)).collect(),
            kinds: self.kinds.as_ref().map_or(KindSet::ALL, |kinds| {
                kinds
                    .iter()
                    .fold(KindSet::EMPTY, |set, &kind| set.with(KINDS[kind]))
            }),
            module: self.site.0.map(AtomId),
            function: self.site.1.map(AtomId),
            arity: self.site.2,
            since: self.window.0.map(TimeNs),
            until: self.window.1.map(TimeNs),
            before: self.cursors.0.map(EventId),
            after: self.cursors.1.map(EventId),
            correlation: self
                .root
                .map(|(writer, counter)| CorrelationId(writer << 40 | counter)),
            call: self.call.map(EventId),
            conditions: self.condition.iter().map(condition).collect(),
            limit: self.limit,
            order: if self.desc { Order::Desc } else { Order::Asc },
            payload: true,
        }
    }

    fn site_matches(&self, site: u32) -> bool {
        let (module, function, arity) = self.site;
        if module.is_none() && function.is_none() && arity.is_none() {
            return true;
        }
        (1..8).contains(&site)
            && module.is_none_or(|module| module == site / 4)
            && function.is_none_or(|function| site != 7 && function == site / 2)
            && arity.is_none_or(|arity| site != 7 && arity == site % 3)
    }

    fn condition_holds(&self, event: &Model) -> bool {
        let Some((field, op, value)) = self.condition else {
            return true;
        };
        let is_call = matches!(
            event.kind,
            EventKind::FunctionEntry | EventKind::FunctionExit
        );
        let found = match field {
            0 if event.kind == EventKind::FunctionEntry => Some(event.args[0]),
            1 if event.kind == EventKind::FunctionEntry => event.args.get(1).copied(),
            2 if event.kind == EventKind::UserEvent => Some(event.args[0]),
            3 => Some(event.time),
            // A site that is not known, or in no function, has the arity nil: an atom, behind all numbers.
            4 if is_call && (1..7).contains(&event.site) => Some(i64::from(event.site % 3)),
            4 if is_call => Some(i64::MAX),
            0 | 1 | 2 | 4 => None,
            _ => Some(event.time + 1_000),
        };
        let Some(found) = found else {
            return OPS[op] == Op::Absent;
        };
        match OPS[op] {
            Op::Eq => found == value,
            Op::Ne => found != value,
            Op::Lt => found < value,
            Op::Gt => found > value,
            Op::Ge => found >= value,
            _ => false,
        }
    }

    fn matches(&self, event: &Model) -> bool {
        let root = self.root.map(|(writer, counter)| writer << 40 | counter);
        self.processes
            .as_ref()
            .is_none_or(|all| all.contains(&event.process))
            && !self.exclude.contains(&event.process)
            && self
                .kinds
                .as_ref()
                .is_none_or(|all| all.iter().any(|&k| KINDS[k] == event.kind))
            && self.site_matches(event.site)
            && self.window.0.is_none_or(|since| event.time >= since)
            && self.window.1.is_none_or(|until| event.time <= until)
            && root.is_none_or(|root| event.root == root)
            && self
                .call
                .is_none_or(|call| event.call == call || event.parent == call)
            && self.condition_holds(event)
    }

    /// The ids that the query must answer, of the events from `floor` on.
    fn answer(&self, events: &[Model], floor: u64) -> (Vec<u64>, usize) {
        let mut sorted: Vec<&Model> = events.iter().filter(|event| event.id >= floor).collect();
        let ordered = events.windows(2).all(|pair| pair[0].time <= pair[1].time);
        sorted.sort_by_key(|event| (event.time, event.id));
        let place = |event: &Model, cursor: u64| match sorted.iter().find(|e| e.id == cursor) {
            Some(known) if !ordered => (event.time, event.id).cmp(&(known.time, known.id)),
            _ => event.id.cmp(&cursor),
        };
        let (before, after) = self.cursors;
        let mut found: Vec<u64> = sorted
            .iter()
            .filter(|event| self.matches(event))
            .filter(|event| before.is_none_or(|before| place(event, before).is_lt()))
            .filter(|event| after.is_none_or(|after| place(event, after).is_gt()))
            .map(|event| event.id)
            .collect();
        let all = found.len();
        let limit = self.limit.unwrap_or(usize::MAX);
        if after.is_some() {
            found.truncate(limit);
        } else {
            found.drain(..all.saturating_sub(limit));
        }
        if self.desc {
            found.reverse();
        }
        (found, all)
    }
}

fn store_with(events: &[Model], memory_limit: usize, max_events: Option<u64>) -> Store {
    let store = Store::new(StoreConfig {
        memory_limit,
        max_events,
        max_age_ns: None,
    })
    .unwrap();
    let mut appender = store.appender();
    for event in events {
        let payload = event.payload();
        let call = match event.call {
            0 => Call::None,
            call if call == event.id => Call::Begins,
            call => Call::Of(EventId(call)),
        };
        let new = NewEvent {
            kind: event.kind,
            time: TimeNs(event.time),
            process: ProcessId(event.process),
            site: SiteId(event.site),
            call,
            parent: EventId(event.parent),
            correlation: CorrelationId(event.root),
            peer: ProcessId::NONE,
            message: EventId::NONE,
            payload: &payload,
            more: &[],
        };
        assert_eq!(appender.append(&new), Ok(EventId(event.id)));
    }
    drop(appender);
    store
}

fn check(events: &[Model], shapes: &[Shape], memory_limit: usize, max_events: Option<u64>) {
    let fake = Fake::new();
    let context = fake.context();
    let store = store_with(events, memory_limit, max_events);
    let (floor, _) = store.stats().ids.unwrap();
    for shape in shapes {
        let query = shape.query();
        let (wanted, all) = shape.answer(events, floor.0);
        let result = store.query(&query, &context);
        let got: Vec<u64> = result.rows.rows().iter().map(|row| row.head.id.0).collect();
        assert_eq!(got, wanted, "{shape:?} explained as {:?}", result.explain);
        for (head, payload) in result.rows.iter() {
            let event = &events[head.id.0 as usize - 1];
            let columns = (head.kind, head.time.0, head.process.0, head.site.0);
            assert_eq!(columns, (event.kind, event.time, event.process, event.site));
            let links = (head.call.0, head.parent.0, head.correlation.0);
            assert_eq!(links, (event.call, event.parent, event.root));
            assert_eq!(payload, event.payload());
        }
        let (count, explain) = store.count(&query, &context);
        assert_eq!(count, all as u64, "{shape:?} explained as {explain:?}");
        let pruned: usize = explain.pruned.iter().sum();
        assert!(explain.scanned + pruned <= explain.segments, "{explain:?}");
        let estimate = store.estimate(&query, &context);
        if query.before.is_none() && query.after.is_none() {
            assert!(
                estimate.matches >= count && estimate.rows >= count,
                "{estimate:?} {shape:?}"
            );
        }
        // The plain test of single events, by which subscriptions choose, agrees.
        let wanted = Wanted::new(&query, &Aliases::default());
        let everything = store.query(&Query::default(), &context);
        let filter = Filter::new(&query, &context, &wanted);
        let mut scratch = Vec::new();
        if query.before.is_none() && query.after.is_none() {
            let mut rows = everything.rows.iter();
            let matched = rows
                .by_ref()
                .filter(|(head, payload)| filter.matches(head, payload, &mut scratch));
            assert_eq!(matched.count(), all);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn the_indexed_query_matches_a_naive_scan(
        events in arb_events(false), shapes in prop::collection::vec(arb_shape(), 1..12)
    ) {
        // One open segment; many sealed ones; sealed ones of which the first were evicted.
        check(&events, &shapes, 16 << 20, None);
        check(&events, &shapes, 64 << 10, None);
        check(&events, &shapes, 16 << 20, Some(150));
    }

    #[test]
    fn the_indexed_query_matches_a_naive_scan_when_events_came_out_of_order(
        events in arb_events(true), shapes in prop::collection::vec(arb_shape(), 1..12)
    ) {
        check(&events, &shapes, 16 << 20, None);
        check(&events, &shapes, 64 << 10, None);
        check(&events, &shapes, 16 << 20, Some(150));
    }
}

fn plain(time: i64, payload: &[u8]) -> NewEvent<'_> {
    NewEvent {
        kind: EventKind::UserEvent,
        time: TimeNs(time),
        process: ProcessId(1),
        site: SiteId::NONE,
        call: Call::None,
        parent: EventId::NONE,
        correlation: CorrelationId::NONE,
        peer: ProcessId::NONE,
        message: EventId::NONE,
        payload,
        more: &[],
    }
}

fn ids(result: &QueryResult) -> Vec<u64> {
    result.rows.rows().iter().map(|row| row.head.id.0).collect()
}

#[test]
fn pages_have_no_overlap_and_no_gap_while_events_keep_arriving() {
    let fake = Fake::new();
    let context = fake.context();
    let store = Store::new(StoreConfig {
        memory_limit: 8 << 20,
        max_events: None,
        max_age_ns: None,
    })
    .unwrap();
    let before_paging = 20_000;
    // Equal times must not matter.
    (0..before_paging).for_each(|n| assert!(store.append(&plain(n / 1_000, &[0x80])).is_ok()));
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            (0..20_000)
                .for_each(|n| assert!(store.append(&plain(20 + n / 1_000, &[0x80])).is_ok()));
        });
        let mut backwards = Vec::new();
        let mut page = Query {
            limit: Some(777),
            order: Order::Desc,
            ..Query::default()
        };
        loop {
            let found = ids(&store.query(&page, &context));
            let Some(&last) = found.last() else { break };
            backwards.extend(found);
            page.before = Some(EventId(last));
        }
        assert!(backwards.len() >= before_paging as usize);
        let newest = backwards[0];
        assert_eq!(backwards, (1..=newest).rev().collect::<Vec<_>>());

        let mut forwards = Vec::new();
        let mut page = Query {
            limit: Some(777),
            after: Some(EventId(0)),
            ..Query::default()
        };
        loop {
            let done = writer.is_finished();
            let found = ids(&store.query(&page, &context));
            if let Some(&last) = found.last() {
                forwards.extend(found);
                page.after = Some(EventId(last));
            } else if done {
                break;
            }
        }
        assert_eq!(forwards, (1..=40_000).collect::<Vec<_>>());
    });
}

#[test]
fn explain_tells_what_was_pruned_and_what_was_lost() {
    let fake = Fake::new();
    let context = fake.context();
    let store = Store::new(StoreConfig {
        memory_limit: 1 << 20,
        max_events: None,
        max_age_ns: None,
    })
    .unwrap();
    for n in 0..4_000 {
        let process = ProcessId(if n < 2_000 { 1 } else { 2 });
        store
            .append(&NewEvent {
                process,
                ..plain(n, &[0x80])
            })
            .unwrap();
        if n == 3_000 {
            let mut payload = Vec::new();
            let loss = crate::store::Loss {
                id: EventId::NONE,
                from: TimeNs(2_500),
                until: TimeNs(2_900),
                count: 17,
                cause: AtomId(5),
                writer: 3,
            };
            loss.encode(&mut payload);
            let event = NewEvent {
                kind: EventKind::DataLoss,
                process: ProcessId::NONE,
                ..plain(n, &payload)
            };
            store.append(&event).unwrap();
        }
    }
    let query = Query {
        processes: Some(vec![ProcessId(1)]),
        limit: Some(5),
        ..Query::default()
    };
    let explain = store.query(&query, &context).explain;
    assert_eq!(explain.matched, 5);
    assert!(explain.used[Index::Process as usize]);
    assert!(explain.pruned[Index::Process as usize] > 0, "{explain:?}");
    assert_eq!((explain.lost, explain.losses.len()), (17, 1));
    assert_eq!(explain.losses[0].id, EventId(3_002));

    let window = Query {
        since: Some(TimeNs(100)),
        until: Some(TimeNs(199)),
        ..Query::default()
    };
    let explain = store.query(&window, &context).explain;
    assert_eq!((explain.matched, explain.lost), (100, 0));
    assert!(explain.rows <= 100 && explain.scanned <= 2, "{explain:?}");
    let after_loss = Query {
        since: Some(TimeNs(2_901)),
        ..Query::default()
    };
    assert_eq!(store.query(&after_loss, &context).explain.lost, 0);
}

#[test]
fn the_newest_events_are_found_without_looking_at_the_others() {
    let fake = Fake::new();
    let store = Store::new(StoreConfig {
        memory_limit: 16 << 20,
        max_events: None,
        max_age_ns: None,
    })
    .unwrap();
    let mut appender = store.appender();
    (0..200_000).for_each(|n| assert!(appender.append(&plain(n, &[0x80])).is_ok()));
    drop(appender);
    let query = Query {
        limit: Some(100),
        ..Query::default()
    };
    let result = store.query(&query, &fake.context());
    assert_eq!(ids(&result), (199_901..=200_000).collect::<Vec<_>>());
    assert!(result.explain.rows <= 1_024, "{:?}", result.explain);
}
