//! Ingest against what the processes really did, with and without losses.

use proptest::prelude::*;

use super::*;
use crate::event::{AtomId, Ticks};
use crate::query::tests::Fake;
use crate::query::{Query, Rows};
use crate::store::{Store, StoreConfig};
use crate::value::format;

/// What a process did, as it knows it itself.
#[derive(Clone, Debug)]
struct Truth {
    head: RecordHead,
    /// The record (by place in the story) of the entry that this exit ends.
    entry: Option<usize>,
    /// The record of the entry of the enclosing call.
    parent: Option<usize>,
    lost: bool,
}

/// What a process does next: begin a call of one of two functions, end one (or, one time in four, lose its way and end
/// none), or tell something; and whether the record gets lost.
type Step = (u8, u64, u32, bool);

fn story(steps: &[Step], losses: bool) -> Vec<Truth> {
    let mut open: Vec<Vec<usize>> = vec![Vec::new(); 3];
    let mut roots = [0; 3];
    let mut next_root = 1;
    let mut story: Vec<Truth> = Vec::new();
    for (n, &(step, process, site, lost)) in steps.iter().enumerate() {
        let open = &mut open[process as usize];
        let root = &mut roots[process as usize];
        let (kind, site, entry) = match (step, open.last()) {
            (0..=4, _) => {
                if open.is_empty() {
                    next_root += 1;
                    *root = next_root;
                }
                let kind = if step == 0 {
                    EventKind::SpanStart
                } else {
                    EventKind::FunctionEntry
                };
                (kind, site, None)
            }
            (5..=8, Some(&entry)) => {
                open.pop();
                let kind = match story[entry].head.kind {
                    EventKind::SpanStart => EventKind::SpanStop,
                    _ => EventKind::FunctionExit,
                };
                (kind, story[entry].head.site.0, Some(entry))
            }
            _ => (EventKind::UserEvent, 0, None),
        };
        let inside = !open.is_empty() || entry.is_some() || is_entry(kind);
        story.push(Truth {
            head: RecordHead {
                preceding: crate::record::Preceding::NOTHING,
                sequence: 0,
                kind,
                depth: open.len() as u16,
                ticks: Ticks(10 + n as u64 * 3),
                process: ProcessId(process + 1),
                site: SiteId(site),
                correlation: CorrelationId(if inside { *root } else { 0 }),
            },
            entry,
            parent: open.last().copied(),
            lost: lost && losses,
        });
        if is_entry(kind) {
            open.push(n);
        }
    }
    story
}

fn is_entry(kind: EventKind) -> bool {
    matches!(kind, EventKind::FunctionEntry | EventKind::SpanStart)
}

fn new_store(memory_limit: usize) -> Store {
    Store::new(StoreConfig {
        memory_limit,
        max_events: None,
        max_age_ns: None,
    })
    .unwrap()
}

/// Room for states that no test here asks for.
pub(crate) fn timelines() -> Arc<RwLock<Timelines>> {
    Arc::new(RwLock::new(Timelines::new(&Arc::default(), 1 << 20)))
}

fn new_ingest(budget: usize) -> Ingest {
    let mut next = 0;
    let symbols = Symbols::new(|_| {
        next += 1;
        AtomId(next)
    });
    Ingest::new(
        Arc::new(Clock::manual(0)),
        symbols,
        Box::leak(Box::default()),
        timelines(),
        budget,
    )
}

fn report(records: &[&Truth]) -> LossReport {
    LossReport {
        writer: 7,
        cause: Symbol::DroppedOldest,
        count: records.len() as u64,
        from: records[0].head.ticks,
        until: records[records.len() - 1].head.ticks,
    }
}

/// Plays a story into a store: losses are told of before the next record that is left.
fn play(story: &[Truth], budget: usize) -> (Rows, Ingest) {
    let store = new_store(8 << 20);
    let mut ingest = new_ingest(budget);
    let mut appender = store.appender();
    let mut lost: Vec<&Truth> = Vec::new();
    for truth in story {
        if truth.lost {
            lost.push(truth);
            continue;
        }
        if !lost.is_empty() {
            ingest.take(&DrainItem::Loss(report(&lost)), &mut appender, None);
            lost.clear();
        }
        let item = DrainItem::Record {
            head: truth.head,
            payload: &[0x80, 0x81],
            writer: 1,
        };
        ingest.take(&item, &mut appender, None);
    }
    if !lost.is_empty() {
        ingest.take(&DrainItem::Loss(report(&lost)), &mut appender, None);
    }
    drop(appender);
    (
        store.query(&Query::default(), &Fake::new().context()).rows,
        ingest,
    )
}

fn arb_steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0u8..10, 0u64..3, 1u32..3, prop::bool::weighted(0.1));
    prop::collection::vec(step, 1..300)
}

/// The events of the rows that tell of no loss, with the truth behind each.
fn pairs<'a>(
    rows: &'a Rows,
    story: &'a [Truth],
) -> impl Iterator<Item = (usize, &'a EventHead, &'a [u8])> {
    let kept = (0..story.len()).filter(|&n| !story[n].lost);
    let events = rows
        .iter()
        .filter(|(head, _)| head.kind != EventKind::DataLoss);
    kept.zip(events)
        .map(|(n, (head, payload))| (n, head, payload))
}

proptest! {
    #[test]
    fn calls_nest_as_the_processes_made_them(steps in arb_steps()) {
        let story = story(&steps, false);
        let (rows, _) = play(&story, 1 << 20);
        prop_assert_eq!(rows.rows().len(), story.len());
        for (n, head, payload) in pairs(&rows, &story) {
            let truth = &story[n];
            let id_of = |n: usize| EventId(n as u64 + 1);
            let call = match truth.entry {
                Some(entry) => id_of(entry),
                None if is_entry(truth.head.kind) => head.id,
                None => EventId::NONE,
            };
            prop_assert_eq!(head.call, call);
            prop_assert_eq!(head.parent, truth.parent.map_or(EventId::NONE, id_of));
            prop_assert_eq!(head.time, TimeNs(truth.head.ticks.0 as i64));
            let mut wanted = vec![0x80, 0x81];
            if let Some(entry) = truth.entry {
                put_int(&mut wanted, (truth.head.ticks.0 - story[entry].head.ticks.0) as i64);
            }
            prop_assert_eq!(payload, &wanted);
        }
    }

    #[test]
    fn after_losses_what_is_told_is_true_and_outermost_calls_are_still_told(steps in arb_steps()) {
        let story = story(&steps, true);
        let (rows, _) = play(&story, 1 << 20);
        let mut ids = vec![EventId::NONE; story.len()];
        pairs(&rows, &story).for_each(|(n, head, _)| ids[n] = head.id);
        for (n, head, _) in pairs(&rows, &story) {
            let truth = &story[n];
            // An entry that was lost has no id: nothing may be told of it.
            let told = |link: EventId, wanted: Option<usize>| {
                !link.is_some() || wanted.is_some_and(|wanted| ids[wanted] == link)
            };
            let call = if is_entry(truth.head.kind) { Some(n) } else { truth.entry };
            prop_assert!(told(head.call, call), "{} of {:?}", n, head);
            prop_assert!(told(head.parent, truth.parent), "{} of {:?}", n, head);
            // What must be told: links to outermost calls, and to calls since the last loss.
            let last_loss = story[..n].iter().rposition(|truth| truth.lost);
            for (link, wanted) in [(head.call, truth.entry), (head.parent, truth.parent)] {
                if let Some(wanted) = wanted
                    && !story[wanted].lost
                    && (story[wanted].head.depth == 0 || last_loss.is_none_or(|loss| loss < wanted))
                {
                    prop_assert_eq!(link, ids[wanted], "{} of {:?}", n, story);
                }
            }
        }
    }

    #[test]
    fn every_lost_record_is_told_of_once(steps in arb_steps()) {
        let story = story(&steps, true);
        let (rows, _) = play(&story, 1 << 20);
        let losses: Vec<Loss> = rows
            .iter()
            .filter(|(head, _)| head.kind == EventKind::DataLoss)
            .map(|(head, payload)| Loss::decode(head.id, payload).unwrap())
            .collect();
        let lost = story.iter().filter(|truth| truth.lost);
        prop_assert_eq!(losses.iter().map(|loss| loss.count).sum::<u64>(), lost.clone().count() as u64);
        for truth in lost {
            let time = Some(TimeNs(truth.head.ticks.0 as i64));
            prop_assert!(losses.iter().any(|loss| loss.overlaps(time, time)));
        }
        let times: Vec<TimeNs> = rows.rows().iter().map(|row| row.head.time).collect();
        prop_assert!(times.is_sorted());
    }

    #[test]
    fn open_calls_never_take_more_than_their_budget(steps in arb_steps(), processes in 1u64..2_000) {
        // Every record an entry, each of another process, at growing depths.
        let budget = 32 << 10;
        let mut ingest = new_ingest(budget);
        let store = new_store(8 << 20);
        let mut appender = store.appender();
        for (n, &(step, process, site, _)) in steps.iter().cycle().take(3_000).enumerate() {
            let n = n as u64;
            let head = RecordHead {
preceding: crate::record::Preceding::NOTHING,
sequence: 0,
                kind: EventKind::FunctionEntry,
                depth: u16::from(step) * 100,
                ticks: Ticks(n + 1),
                process: ProcessId(1 + (n * (process + 1)) % processes),
                site: SiteId(site),
                correlation: CorrelationId(1 + n / 10),
            };
            ingest.take(&DrainItem::Record { head, payload: &[], writer: 1 }, &mut appender, None);
            let bytes = ingest.stats().stack_bytes;
            prop_assert!(bytes <= budget, "{} stacks in {} bytes", ingest.stats().stacks, bytes);
        }
    }
}

fn record(kind: EventKind, depth: u16, ticks: u64, process: u64, root: u64) -> RecordHead {
    RecordHead {
        preceding: crate::record::Preceding::NOTHING,
        sequence: 0,
        kind,
        depth,
        ticks: Ticks(ticks),
        process: ProcessId(process),
        site: SiteId(1),
        correlation: CorrelationId(root),
    }
}

#[test]
fn a_lost_exit_does_not_leak_and_the_next_call_is_told_in_full() {
    let store = new_store(1 << 20);
    let mut ingest = new_ingest(64 << 10);
    let mut appender = store.appender();
    let empty = ingest.stats().stack_bytes;
    // 1,000 outermost calls without an exit, then a whole one.
    for call in 1..=1_000 {
        let head = record(EventKind::FunctionEntry, 0, call, 5, call);
        ingest.take(
            &DrainItem::Record {
                head,
                payload: &[],
                writer: 1,
            },
            &mut appender,
            None,
        );
    }
    let head = record(EventKind::FunctionExit, 0, 1_500, 5, 1_000);
    ingest.take(
        &DrainItem::Record {
            head,
            payload: &[],
            writer: 1,
        },
        &mut appender,
        None,
    );
    drop(appender);
    assert!(ingest.stats().stack_bytes <= empty + 4 * 32);
    let rows = store.query(&Query::default(), &Fake::new().context()).rows;
    let (exit, payload) = rows.iter().next_back().unwrap();
    let mut duration = Vec::new();
    put_int(&mut duration, 500);
    assert_eq!((exit.call, payload), (EventId(1_000), duration.as_slice()));
}

#[test]
fn an_exit_without_a_depth_or_without_an_entry_has_no_call_and_no_duration() {
    let store = new_store(1 << 20);
    let mut ingest = new_ingest(64 << 10);
    let mut appender = store.appender();
    for (kind, depth) in [
        (EventKind::FunctionEntry, RecordHead::NO_DEPTH),
        (EventKind::FunctionExit, RecordHead::NO_DEPTH),
        (EventKind::FunctionExit, 0),
    ] {
        let head = record(kind, depth, 1, 5, 1);
        ingest.take(
            &DrainItem::Record {
                head,
                payload: &[],
                writer: 1,
            },
            &mut appender,
            None,
        );
    }
    let mut nil = Vec::new();
    put_atom(&mut nil, ingest.symbols.id(Symbol::Nil));
    drop(appender);
    let rows = store.query(&Query::default(), &Fake::new().context()).rows;
    let told: Vec<_> = rows
        .iter()
        .map(|(head, payload)| (head.call.0, payload.to_vec()))
        .collect();
    assert_eq!(told, [(1, vec![]), (0, nil.clone()), (0, nil)]);
}

#[test]
fn stacks_of_dead_processes_go() {
    let store = new_store(1 << 20);
    let mut ingest = new_ingest(1 << 20);
    let mut appender = store.appender();
    for process in 1..=1_000 {
        let head = record(EventKind::FunctionEntry, 0, process, process, process);
        ingest.take(
            &DrainItem::Record {
                head,
                payload: &[],
                writer: 1,
            },
            &mut appender,
            None,
        );
    }
    assert_eq!(ingest.stats().stacks, 1_000);
    // Some at a time: a few rounds are enough for all.
    for _ in 0..10 {
        ingest.sweep(&mut |process| process.0 % 10 == 0);
    }
    assert_eq!(ingest.stats().stacks, 100);
    // Those that are left still work.
    let head = record(EventKind::FunctionExit, 0, 2_000, 990, 990);
    ingest.take(
        &DrainItem::Record {
            head,
            payload: &[],
            writer: 1,
        },
        &mut appender,
        None,
    );
    drop(appender);
    let rows = store.query(&Query::default(), &Fake::new().context()).rows;
    assert_eq!(rows.rows().last().unwrap().head.call, EventId(990));
}

#[test]
fn what_the_store_refuses_is_counted_and_told_of() {
    let store = new_store(1 << 20);
    let mut ingest = new_ingest(64 << 10);
    let mut appender = store.appender();
    let big = vec![0x80; 100 << 10];
    let head = |n| record(EventKind::UserEvent, 0, n, 5, 0);
    for n in 1..=3 {
        ingest.take(
            &DrainItem::Record {
                head: head(n),
                payload: &big,
                writer: 1,
            },
            &mut appender,
            None,
        );
    }
    ingest.take(
        &DrainItem::Record {
            head: head(4),
            payload: &[],
            writer: 1,
        },
        &mut appender,
        None,
    );
    drop(appender);
    assert_eq!(
        (ingest.stats().refused_too_big, ingest.stats().stored),
        (3, 2)
    );
    let fake = Fake::new();
    let result = store.query(&Query::default(), &fake.context());
    assert_eq!(result.explain.lost, 3);
    let loss = result.explain.losses[0];
    assert_eq!(
        (loss.from, loss.until, loss.writer),
        (TimeNs(1), TimeNs(3), 0)
    );
    assert_eq!(loss.cause, ingest.symbols.id(Symbol::TooBig));
}

#[test]
fn a_missing_number_tells_of_a_loss_that_nobody_has_told_of_yet() {
    let parents = |sequences: [u16; 3]| {
        let store = new_store(1 << 20);
        let mut ingest = new_ingest(64 << 10);
        let mut appender = store.appender();
        for (depth, sequence) in (0..).zip(sequences) {
            let head = RecordHead {
                sequence,
                ..record(EventKind::FunctionEntry, depth, u64::from(depth) + 1, 5, 1)
            };
            let item = DrainItem::Record {
                head,
                payload: &[],
                writer: 1,
            };
            ingest.take(&item, &mut appender, None);
        }
        drop(appender);
        let rows = store.query(&Query::default(), &Fake::new().context()).rows;
        rows.iter()
            .map(|(head, _)| head.parent.0)
            .collect::<Vec<_>>()
    };
    assert_eq!(parents([1, 2, 3]), [0, 1, 2]);
    assert_eq!(parents([65_534, 65_535, 1]), [0, 1, 2]);
    // Between the second and the third the second may have ended, and another one begun. The first cannot have: its root.
    assert_eq!(parents([1, 2, 5]), [0, 1, 0]);
    assert_eq!(parents([1, 4, 5]), [0, 1, 2]);
    // Records without a slot have none.
    assert_eq!(parents([0, 0, 0]), [0, 1, 2]);
}

#[test]
fn what_a_process_recorded_before_it_died_is_taken_before_it_is_forgotten() {
    let store = new_store(1 << 20);
    let mut ingest = new_ingest(64 << 10);
    let mut appender = store.appender();
    let mut take = |ingest: &mut Ingest, kind, ticks| {
        let item = DrainItem::Record {
            head: record(kind, 0, ticks, 5, 1),
            payload: &[],
            writer: 1,
        };
        ingest.take(&item, &mut appender, None);
    };
    take(&mut ingest, EventKind::FunctionEntry, 1);
    let dead = ingest.dead(&|_| false);
    assert_eq!(dead.iter().collect::<Vec<_>>(), [&ProcessId(5)]);
    // The drain between the two.
    take(&mut ingest, EventKind::FunctionExit, 2);
    ingest.sweep(&mut |process| !dead.contains(&process));
    assert_eq!(ingest.stats().stacks, 0);
    drop(appender);
    let rows = store.query(&Query::default(), &Fake::new().context()).rows;
    assert_eq!(rows.rows().last().unwrap().head.call, EventId(1));
}

#[test]
fn a_record_of_several_events_is_taken_as_one_for_each() {
    let [nil, normal, no, yes] =
        [Symbol::Nil, Symbol::Normal, Symbol::False, Symbol::True].map(|symbol| {
            let mut bytes = Vec::new();
            put_atom(&mut bytes, AtomId(1 + symbol as u32));
            bytes
        });
    let state = [StatePart::WHOLE | StatePart::FIRST, 1, 0x89];
    let (trigger, reply, timeout, next) = (0x81, 0x82, 0x83, 0x84);
    // `{tag, reply, state}`
    let result = [format::TUPLE, 3, 0x80, reply, 0x89];
    let end = |reason: &[u8]| [reason, &result].concat();
    let told = |bits: u8, more: &[u8]| [&[bits], more].concat();
    let length = Preceding::length(state.len());
    let (one, other) = (Preceding::STATE, Preceding::REPLY);
    let cases = [
        (one, [&length[..], &state, &[trigger]].concat(), None),
        (
            other,
            told(Preceding::reply_at(1).unwrap(), &[]),
            Some([&[reply][..], &nil, &no, &nil].concat()),
        ),
        (
            other,
            told(Preceding::HIBERNATES, &[]),
            Some([&nil[..], &nil, &yes, &nil].concat()),
        ),
        (
            one.and(other),
            [
                &length[..],
                &state,
                &[trigger],
                &told(
                    Preceding::REPLY_FOLLOWS
                        | Preceding::TIMEOUT_FOLLOWS
                        | Preceding::CONTINUE_FOLLOWS,
                    &[0x85, timeout, next],
                ),
            ]
            .concat(),
            Some([&[0x85, timeout][..], &no, &[next]].concat()),
        ),
    ];
    for (preceding, before, answer) in cases {
        let entry = record(EventKind::FunctionEntry, 0, 10, 5, 1);
        let exit = RecordHead {
            kind: EventKind::FunctionExit,
            ticks: Ticks(20),
            sequence: 9,
            ..entry
        };
        let inside = |kind| RecordHead {
            kind,
            depth: 1,
            ..exit
        };
        let mut apart = vec![(
            RecordHead {
                sequence: 9 - exit_events(preceding),
                ..entry
            },
            vec![0x80],
        )];
        if preceding.has(one) {
            apart.push((
                inside(EventKind::StateChange),
                [&[trigger][..], &state].concat(),
            ));
        }
        if let Some(answer) = answer {
            // a site that nobody defined has no name
            apart.push((
                inside(EventKind::CallbackReply),
                [&nil[..], &answer].concat(),
            ));
        }
        apart.push((exit, end(&normal)));
        // each has its number
        let first = apart[0].0.sequence;
        for ((head, _), number) in apart.iter_mut().zip(first..) {
            head.sequence = number;
        }
        let together = vec![
            apart[0].clone(),
            (
                RecordHead { preceding, ..exit },
                [before, end(&normal)].concat(),
            ),
        ];
        assert_eq!(told_of(&together), told_of(&apart), "{preceding:?}");
    }
}

fn exit_events(preceding: Preceding) -> u16 {
    let head = record(EventKind::FunctionExit, 0, 0, 0, 0);
    RecordHead { preceding, ..head }.events() as u16
}

/// The events of these records, each with its head and payload.
fn told_of(records: &[(RecordHead, Vec<u8>)]) -> Vec<(EventHead, Vec<u8>)> {
    let store = new_store(8 << 20);
    let mut ingest = new_ingest(1 << 20);
    let mut appender = store.appender();
    for (head, payload) in records {
        let item = DrainItem::Record {
            head: *head,
            payload,
            writer: 1,
        };
        ingest.take(&item, &mut appender, None);
    }
    drop(appender);
    let rows = store.query(&Query::default(), &Fake::new().context()).rows;
    rows.iter()
        .map(|(head, payload)| (*head, payload.to_vec()))
        .collect()
}

#[test]
fn a_record_of_several_events_that_nobody_wrote_is_one_of_its_own_kind() {
    let head = record(EventKind::FunctionExit, 0, 20, 5, 1);
    let preceding = Preceding::STATE.and(Preceding::REPLY);
    for payload in [
        vec![],
        vec![9, 0, 0, 0, 1],
        vec![0, 0, 0, 0],
        vec![0, 0, 0, 0, 0x80, 0xf0, 0x80],
    ] {
        let told = told_of(&[(RecordHead { preceding, ..head }, payload)]);
        assert_eq!(
            told.iter().map(|(head, _)| head.kind).collect::<Vec<_>>(),
            [EventKind::FunctionExit]
        );
    }
}
