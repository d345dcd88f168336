//! What is written, read again: slices, tracks and flows, against what was put into the store.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::fields::{annotation, descriptor, event, interned, packet, trace};
use super::proto::read::Message;
use super::*;
use crate::event::{AtomId, CorrelationId, SiteId, Symbol, TimeNs};
use crate::ingest::encode::{put_atom, put_binary, put_int, put_pid};
use crate::query::tests::{Fake, FakeNames};
use crate::store::{Call, Loss, NewEvent, StoreConfig};
use crate::value::format::{END, LIST};

struct Tape {
    store: Store,
    fake: Fake,
    time: i64,
}

impl Tape {
    fn new() -> Tape {
        Tape::of_at_most(None)
    }

    fn of_at_most(max_events: Option<u64>) -> Tape {
        Tape {
            store: Store::new(StoreConfig {
                memory_limit: 64 << 20,
                max_events,
                max_age_ns: None,
            })
            .unwrap(),
            fake: Fake::new(),
            time: 0,
        }
    }

    fn put(
        &mut self,
        kind: EventKind,
        process: u64,
        place: (u32, Call, u64),
        payload: &[u8],
    ) -> u64 {
        self.put_about(kind, process, place, payload, 0)
    }

    fn put_about(
        &mut self,
        kind: EventKind,
        process: u64,
        (site, call, parent): (u32, Call, u64),
        payload: &[u8],
        message: u64,
    ) -> u64 {
        self.time += 10;
        let event = NewEvent {
            kind,
            time: TimeNs(self.time),
            process: ProcessId(process),
            site: SiteId(site),
            call,
            parent: EventId(parent),
            correlation: CorrelationId::NONE,
            peer: ProcessId::NONE,
            message: EventId(message),
            payload,
            more: &[],
        };
        self.store.appender().append(&event).unwrap().0
    }

    fn enter(&mut self, process: u64, site: u32, parent: u64) -> u64 {
        let payload = [LIST, 0x80 + 7, END];
        let place = (site, Call::Begins, parent);
        self.put(EventKind::FunctionEntry, process, place, &payload)
    }

    fn leave(
        &mut self,
        process: u64,
        (call, parent): (u64, u64),
        site: u32,
        duration: Option<i64>,
    ) -> u64 {
        let mut payload = Vec::new();
        put_atom(&mut payload, self.symbol(Symbol::Normal));
        put_binary(&mut payload, b"result");
        match duration {
            Some(duration) => put_int(&mut payload, duration),
            None => put_atom(&mut payload, self.symbol(Symbol::Nil)),
        }
        let place = (site, Call::Of(EventId(call)), parent);
        self.put(EventKind::FunctionExit, process, place, &payload)
    }

    fn spawn(&mut self, parent: u64, child: u64) -> u64 {
        let mut payload = Vec::new();
        put_pid(&mut payload, ProcessId(child));
        put_pid(&mut payload, ProcessId(parent));
        put_atom(&mut payload, AtomId(1));
        put_atom(&mut payload, AtomId(2));
        payload.extend([LIST, 0x80, 0x81, END]);
        put_atom(&mut payload, self.symbol(Symbol::Nil));
        self.put(
            EventKind::ProcessSpawn,
            parent,
            (0, Call::None, 0),
            &payload,
        )
    }

    fn named(&mut self, kind: EventKind, process: u64, name: u32) -> u64 {
        let mut payload = Vec::new();
        put_atom(&mut payload, AtomId(name));
        put_int(&mut payload, 5);
        self.put(kind, process, (0, Call::None, 0), &payload)
    }

    fn symbol(&self, symbol: Symbol) -> AtomId {
        self.fake.context().symbols.id(symbol)
    }

    fn export(&self, query: Query) -> (Vec<u8>, Progress) {
        let context = self.fake.context();
        let options = ExportOptions {
            values: true,
            names: vec![(ProcessId(99), "given".to_owned())],
        };
        let mut export = Export::new(&self.store, query, options, &context);
        let mut out = Vec::new();
        loop {
            let progress = export.step(&self.store, &context, &FakeNames, &mut out);
            if progress.is_complete {
                assert_eq!(progress.done, progress.of);
                return (out, progress);
            }
        }
    }

    fn picture(&self) -> Picture {
        Picture::new(&self.export(Query::default()).0)
    }
}

#[derive(Clone, PartialEq, Debug)]
struct Slice {
    track: u64,
    name: String,
    begin: i64,
    end: Option<i64>,
    flows: BTreeSet<u64>,
    values: BTreeMap<String, String>,
}

/// What a viewer makes of a trace.
#[derive(Default, Debug)]
struct Picture {
    /// Name and parent.
    tracks: BTreeMap<u64, (String, u64)>,
    /// Instants are slices that end when they begin.
    slices: Vec<Slice>,
    points: Vec<(u64, i64)>,
    sources: BTreeMap<u64, String>,
}

impl Picture {
    fn new(bytes: &[u8]) -> Picture {
        let mut picture = Picture::default();
        let mut names = BTreeMap::new();
        let mut fields = BTreeMap::new();
        let mut events = Vec::new();
        for (place, packet) in Message::new(bytes)
            .messages(trace::PACKET)
            .iter()
            .enumerate()
        {
            assert_eq!(packet.uint(packet::SEQUENCE_ID), Some(1));
            let flags = if place == 0 {
                packet::CLEARED
            } else {
                packet::NEEDS_STATE
            };
            assert_eq!(packet.uint(packet::SEQUENCE_FLAGS), Some(flags));
            if let Some(data) = packet.message(packet::INTERNED_DATA) {
                let pairs = |field| {
                    let entries = data.messages(field);
                    let pair = |entry: &Message| {
                        Some((entry.uint(interned::IID)?, entry.text(interned::NAME)?))
                    };
                    entries.iter().filter_map(pair).collect::<Vec<_>>()
                };
                names.extend(pairs(interned::EVENT_NAMES));
                fields.extend(pairs(interned::ANNOTATION_NAMES));
                picture.sources.extend(pairs(interned::SOURCES));
            }
            if let Some(track) = packet.message(packet::TRACK_DESCRIPTOR) {
                let parent = track.uint(descriptor::PARENT).unwrap_or(0);
                assert!(
                    parent == 0 || picture.tracks.contains_key(&parent),
                    "its parent came before"
                );
                let name = track.text(descriptor::NAME).or_else(|| {
                    track
                        .message(descriptor::PROCESS)?
                        .text(descriptor::PROCESS_NAME)
                });
                let number = track.uint(descriptor::UUID).unwrap();
                picture
                    .tracks
                    .insert(number, (name.unwrap_or_default(), parent));
            }
            if let Some(event) = packet.message(packet::TRACK_EVENT) {
                let time = packet.uint(packet::TIMESTAMP).unwrap() as i64;
                events.push((time, event));
            }
        }
        // As a viewer does it: by time, and in the order of the file where that is equal.
        events.sort_by_key(|(time, _)| *time);
        let mut open: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (time, event) in events {
            let track = event.uint(event::TRACK).unwrap();
            assert!(picture.tracks.contains_key(&track), "{event:?}");
            let sort = event.uint(event::TYPE).unwrap();
            if sort == event::COUNTER {
                picture
                    .points
                    .push((track, event.uint(event::COUNTER_INT).unwrap() as i64));
                continue;
            }
            let values: BTreeMap<_, _> = event
                .messages(event::ANNOTATIONS)
                .iter()
                .map(|value| {
                    let name = fields[&value.uint(annotation::NAME_IID).unwrap()].clone();
                    let number = || value.uint(annotation::INT).map(|number| number.to_string());
                    (name, value.text(annotation::TEXT).or_else(number).unwrap())
                })
                .collect();
            if sort == event::END {
                let slice = open
                    .get_mut(&track)
                    .unwrap()
                    .pop()
                    .expect("a slice is open");
                picture.slices[slice].end = Some(time);
                picture.slices[slice].values.extend(values);
                continue;
            }
            let name = event.uint(event::NAME_IID).map(|name| names[&name].clone());
            let flows = [event::FLOWS, event::LAST_FLOWS];
            let flows = flows
                .iter()
                .flat_map(|&flow| event.all(flow))
                .map(|flow| match flow {
                    super::proto::read::Value::Fixed(flow) => *flow,
                    other => panic!("{other:?}"),
                });
            let slice = Slice {
                track,
                name: name.or(event.text(event::NAME)).unwrap(),
                begin: time,
                end: (sort == event::INSTANT).then_some(time),
                flows: flows.collect(),
                values,
            };
            if sort == event::BEGIN {
                open.entry(track).or_default().push(picture.slices.len());
            }
            picture.slices.push(slice);
        }
        picture
    }

    fn slice(&self, name: &str) -> &Slice {
        self.slices.iter().find(|slice| slice.name == name).unwrap()
    }

    fn track(&self, slice: &Slice) -> &str {
        &self.tracks[&slice.track].0
    }
}

/// Times in the file are wall times.
const OFFSET: i64 = 1_000;

#[test]
fn a_call_is_a_slice_with_its_arguments_and_its_result() {
    let mut tape = Tape::new();
    let outer = tape.enter(1, 4, 0);
    let inner = tape.enter(1, 2, outer);
    tape.leave(1, (inner, outer), 2, Some(10));
    tape.leave(1, (outer, 0), 4, Some(30));
    let picture = tape.picture();
    let slice = picture.slice(":atom00001.atom00002/1");
    assert_eq!((slice.begin, slice.end), (OFFSET + 10, Some(OFFSET + 40)));
    let values: Vec<_> = slice
        .values
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    assert_eq!(values, [("args", "[7]"), ("result", "\"result\"")]);
    let slice = picture.slice(":atom00000.atom00001/2");
    assert_eq!((slice.begin, slice.end), (OFFSET + 20, Some(OFFSET + 30)));
    assert_eq!(picture.tracks[&slice.track], ("#PID<0x1>".to_owned(), 4));
    assert_eq!(picture.tracks[&4], ("atom00099".to_owned(), 0));
    assert_eq!(picture.sources.values().next().unwrap(), "lib/a.ex");
}

#[test]
fn an_end_whose_beginning_is_not_there_has_a_slice_all_the_same() {
    let mut tape = Tape::new();
    tape.time = 1_000;
    let inner = tape.enter(1, 2, 500);
    tape.leave(1, (inner, 500), 2, Some(10));
    tape.leave(1, (500, 400), 4, Some(300));
    // and one of which not even the duration is known
    tape.leave(1, (400, 0), 6, None);
    let picture = tape.picture();
    let slice = picture.slice(":atom00001.atom00002/1");
    assert_eq!(
        (slice.begin, slice.end),
        (OFFSET + 730, Some(OFFSET + 1_030))
    );
    assert_eq!(slice.values["result"], "\"result\"");
    let slice = picture.slice(":atom00000.atom00001/2");
    assert_eq!(
        (slice.begin, slice.end),
        (OFFSET + 1_010, Some(OFFSET + 1_020))
    );
    let slice = picture.slice(":atom00001.atom00003/0");
    assert_eq!(
        (slice.begin, slice.end),
        (OFFSET + 1_040, Some(OFFSET + 1_040))
    );
}

#[test]
fn a_call_whose_end_is_missing_ends_with_what_shows_it() {
    let mut tape = Tape::new();
    let outer = tape.enter(1, 4, 0);
    tape.enter(1, 2, outer);
    let sibling = tape.enter(1, 6, outer);
    tape.leave(1, (outer, 0), 4, None);
    tape.enter(1, 5, 0);
    let picture = tape.picture();
    let times = |name| {
        let slice = picture.slice(name);
        (slice.begin - OFFSET, slice.end.map(|end| end - OFFSET))
    };
    assert_eq!(times(":atom00000.atom00001/2"), (20, Some(30)));
    assert_eq!(times(":atom00001.atom00003/0"), (30, Some(40)));
    assert_eq!(times(":atom00001.atom00002/1"), (10, Some(40)));
    // still under way
    assert_eq!(times(":atom00001.atom00002/2"), (50, None));
    assert_eq!(sibling, 3);
}

#[test]
fn what_a_process_was_in_ends_with_it() {
    let mut tape = Tape::new();
    let outer = tape.enter(1, 4, 0);
    tape.enter(1, 2, outer);
    tape.named(EventKind::ProcessExit, 1, 7);
    let picture = tape.picture();
    assert!(
        picture.slices.iter().all(|slice| slice.end.is_some()),
        "{picture:?}"
    );
    assert_eq!(picture.slice("exit").values["exit_reason"], ":atom00007");
}

#[test]
fn processes_stand_below_their_parents_and_are_called_by_name() {
    let mut tape = Tape::new();
    tape.spawn(1, 2);
    let birth = tape.spawn(2, 3);
    tape.named(EventKind::ProcessRegister, 2, 55);
    tape.named(EventKind::UserEvent, 3, 9);
    tape.named(EventKind::UserEvent, 3, 8);
    tape.named(EventKind::UserEvent, 99, 10);
    let picture = tape.picture();
    let first = picture.slice(":atom00009");
    assert_eq!(picture.track(first), ":atom00001.atom00002/2 #PID<0x3>");
    let parent = &picture.tracks[&picture.tracks[&first.track].1];
    assert_eq!(parent.0, ":atom00055 #PID<0x2>");
    assert_eq!(picture.tracks[&parent.1].0, "#PID<0x1>");
    assert_eq!(
        picture.track(picture.slice(":atom00010")),
        "given #PID<0x63>"
    );
    // an arrow from the birth to what the child did first
    let spawn = picture
        .slices
        .iter()
        .find(|slice| slice.flows.contains(&birth) && slice.name != ":atom00009");
    assert_eq!(spawn.unwrap().name, "spawn :atom00001.atom00002/2");
    assert!(first.flows.contains(&birth));
    assert!(picture.slice(":atom00008").flows.is_empty());
}

#[test]
fn a_message_has_an_arrow_to_its_arrival_and_to_what_handles_it() {
    let mut tape = Tape::new();
    let at = (4, Call::None, 0);
    let handles = (4, Call::Begins, 0);
    let sent = tape.put(EventKind::MessageSend, 1, at, &[]);
    let arrived = tape.put_about(EventKind::MessageReceive, 2, at, &[], sent);
    let handled = tape.put_about(EventKind::FunctionEntry, 2, handles, &[], sent);
    // of which nobody told that it was sent, and one that may be one of several
    let unsent = tape.put(EventKind::MessageReceive, 3, at, &[]);
    let handled_too = tape.put_about(EventKind::FunctionEntry, 3, handles, &[], unsent);
    let ambiguous = EventId::AMBIGUOUS.0;
    tape.put_about(EventKind::MessageReceive, 3, at, &[], ambiguous);
    let picture = tape.picture();
    let flows: Vec<_> = picture
        .slices
        .iter()
        .map(|slice| slice.flows.iter().copied().collect::<Vec<_>>())
        .collect();
    assert_eq!(
        [sent, arrived, handled, unsent, handled_too],
        [1, 2, 3, 4, 5]
    );
    assert_eq!(flows, [vec![1], vec![1], vec![1], vec![4], vec![4], vec![]]);
}

#[test]
fn measurements_are_curves_and_losses_have_a_track() {
    let mut tape = Tape::new();
    tape.named(EventKind::PerformanceMetric, 1, 5);
    tape.named(EventKind::PerformanceMetric, 1, 5);
    let loss = Loss {
        id: EventId::NONE,
        from: TimeNs(5),
        until: TimeNs(15),
        count: 3,
        cause: AtomId(4),
        writer: 2,
    };
    let mut payload = Vec::new();
    loss.encode(&mut payload);
    tape.put(EventKind::DataLoss, 0, (0, Call::None, 0), &payload);
    let picture = tape.picture();
    assert_eq!(picture.points.len(), 2);
    assert_eq!(picture.points[0].1, 5);
    assert_eq!(picture.tracks[&picture.points[0].0].0, ":atom00005");
    let lost = picture.slice("lost");
    assert_eq!(picture.track(lost), "lost events, writer 2");
    assert_eq!((lost.begin, lost.end), (OFFSET + 5, Some(OFFSET + 15)));
    assert_eq!(lost.values["count"], "3");
}

#[test]
fn the_newest_are_exported_up_to_the_limit_or_the_oldest_behind_a_place() {
    let mut tape = Tape::new();
    for n in 0..10_000 {
        tape.named(EventKind::UserEvent, n % 7 + 1, n as u32);
    }
    let names = |query| {
        let (bytes, progress) = tape.export(query);
        let picture = Picture::new(&bytes);
        assert_eq!(progress.events, picture.slices.len() as u64);
        let names = picture.slices.iter().map(|slice| slice.name.clone());
        names.collect::<Vec<_>>()
    };
    let expected =
        |range: std::ops::Range<u32>| range.map(|n| format!(":atom{n:05}")).collect::<Vec<_>>();
    assert_eq!(names(Query::default()), expected(0..10_000));
    let newest = Query {
        limit: Some(4_100),
        ..Query::default()
    };
    assert_eq!(names(newest), expected(5_900..10_000));
    let oldest = Query {
        limit: Some(5_000),
        after: Some(EventId(100)),
        ..Query::default()
    };
    assert_eq!(names(oldest), expected(100..5_100));
    let before = Query {
        limit: Some(3),
        before: Some(EventId(11)),
        ..Query::default()
    };
    assert_eq!(names(before), expected(7..10));
    assert_eq!(
        names(Query {
            limit: Some(0),
            ..Query::default()
        }),
        expected(0..0)
    );
}

#[test]
fn what_is_recorded_meanwhile_is_not_seen() {
    let mut tape = Tape::new();
    tape.named(EventKind::UserEvent, 1, 1);
    let mut export = {
        let context = tape.fake.context();
        Export::new(
            &tape.store,
            Query::default(),
            ExportOptions::default(),
            &context,
        )
    };
    tape.named(EventKind::UserEvent, 1, 2);
    let context = tape.fake.context();
    let mut out = Vec::new();
    while !export
        .step(&tape.store, &context, &FakeNames, &mut out)
        .is_complete
    {}
    let picture = Picture::new(&out);
    assert_eq!(picture.slices.len(), 1);
    assert!(
        picture.slices[0].values.is_empty(),
        "values were not asked for"
    );
}

/// What a process does: begins or ends a call, or neither, and whether that is lost.
fn arb_steps() -> impl Strategy<Value = Vec<(u64, u8, bool)>> {
    prop::collection::vec((1_u64..4, 0_u8..5, prop::bool::weighted(0.15)), 1..300)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is lost or left out by the query, slices nest, and those whose both ends are there have their times.
    #[test]
    fn slices_are_right_whatever_is_missing(steps in arb_steps(), module in any::<bool>()) {
        let mut tape = Tape::new();
        let mut open: BTreeMap<u64, Vec<(u64, u32, i64)>> = BTreeMap::new();
        let mut expected = Vec::new();
        // Calls that were lost have ids that nothing has.
        let mut lost_id = 1_000_000;
        for (process, what, is_lost) in steps {
            let calls = open.entry(process).or_default();
            // As ingest finds it: the innermost that is known.
            let known = calls.iter().rev().find(|call| call.0 < 1_000_000);
            let known = known.map_or(0, |call| call.0);
            let site = 1 + (tape.time / 10 % 6) as u32;
            match what {
                0 | 1 if calls.len() < 20 => {
                    let id = if is_lost {
                        tape.time += 10;
                        lost_id += 1;
                        lost_id
                    } else {
                        tape.enter(process, site, known)
                    };
                    open.get_mut(&process).unwrap().push((id, site, tape.time));
                }
                2 | 3 if !calls.is_empty() => {
                    let (id, site, begin) = calls.pop().unwrap();
                    if is_lost {
                        tape.time += 10;
                    } else if id < 1_000_000 {
                        let known = calls.iter().rev().find(|call| call.0 < 1_000_000);
                        let parent = known.map_or(0, |call| call.0);
                        tape.leave(process, (id, parent), site, Some(tape.time + 10 - begin));
                        if !module || site / 4 == 1 {
                            expected.push((process << 2 | 1, begin + OFFSET, tape.time + OFFSET));
                        }
                    } else {
                        tape.leave(process, (0, 0), site, None);
                    }
                }
                _ => {
                    tape.named(EventKind::UserEvent, process, 3);
                }
            }
        }
        let module = module.then_some(AtomId(1));
        let (bytes, _) = tape.export(Query { module, ..Query::default() });
        let picture = Picture::new(&bytes);
        let mut slices = BTreeSet::new();
        for slice in &picture.slices {
            if let Some(end) = slice.end {
                slices.insert((slice.track, slice.begin, end));
            }
        }
        for slice in expected {
            prop_assert!(slices.contains(&slice), "{slice:?} of {slices:?}");
        }
    }
}

#[test]
fn what_is_evicted_while_an_export_is_under_way_is_counted_and_said() {
    let mut world = Tape::of_at_most(Some(20_000));
    for _ in 0..12_000 {
        world.named(EventKind::UserEvent, 1, 3);
    }
    let fake = Fake::new();
    let context = fake.context();
    let mut export = Export::new(
        &world.store,
        Query::default(),
        ExportOptions::default(),
        &context,
    );
    let mut out = Vec::new();
    let mut progress = export.step(&world.store, &context, &FakeNames, &mut out);
    while progress.events == 0 {
        progress = export.step(&world.store, &context, &FakeNames, &mut out);
    }
    let written = progress.events;
    assert_eq!(progress.evicted, 0);
    for _ in 0..30_000 {
        world.named(EventKind::UserEvent, 1, 3);
    }
    while !progress.is_complete {
        progress = export.step(&world.store, &context, &FakeNames, &mut out);
    }
    assert!(progress.evicted > 0);
    assert_eq!(progress.events + progress.evicted, 12_000);
    assert!(progress.events >= written);
    let text = format!("{} events left the tape", progress.evicted);
    assert!(memchr::memmem::find(&out, text.as_bytes()).is_some());
}
