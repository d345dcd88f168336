//! Timelines against a twin that keeps every state.

use proptest::prelude::*;

use super::*;
use crate::event::{EventId, TimeNs};
use crate::memory::Memory;
use crate::value::tree::Tree;
use crate::value::{delta_format, diff, equal, find_step, touch};

const MODULE: AtomId = AtomId(7);
const PROCESS: ProcessId = ProcessId(3);

fn all(_: usize) -> bool {
    true
}

/// Writes changes as a process does.
struct Writer {
    timelines: Timelines,
    sequence: u32,
    id: u64,
    time: i64,
}

impl Writer {
    fn new(cap: usize) -> Writer {
        let memory = std::sync::Arc::new(Memory::default());
        Writer {
            timelines: Timelines::new(&memory, cap),
            sequence: 0,
            id: 0,
            time: 0,
        }
    }

    fn put(&mut self, process: ProcessId, flags: u8, body: &[u8]) -> Asked {
        self.sequence += 1;
        let part = StatePart {
            flags,
            sequence: self.sequence,
            body,
        };
        self.id += 1;
        self.timelines.change(
            process,
            MODULE,
            EventId(self.id),
            TimeNs(self.time),
            &part,
            &mut all,
        )
    }
}

/// The most a timeline's account may hold, and what it does hold, are the same.
fn assert_counted(timelines: &Timelines) {
    let lines: usize = timelines
        .lines
        .iter()
        .flatten()
        .map(|line| {
            let sealed = line.sealed.iter().map(|block| block.allocated());
            sealed.sum::<usize>() + line.bytes()
        })
        .sum();
    assert_eq!(
        timelines.memory.of(Use::Timelines),
        lines + timelines.tables_bytes()
    );
    assert!(timelines.memory.of(Use::Timelines) <= timelines.cap);
    let bases: usize = timelines
        .bases
        .iter()
        .map(|&(_, at)| timelines.line(at).unwrap().counted())
        .sum();
    assert_eq!(bases, timelines.bases_bytes);
    let kept = timelines.lines.iter().flatten().count();
    assert_eq!(kept, timelines.bases.len() + timelines.queue.len());
}

/// What happens to a state in between.
#[derive(Clone, Debug)]
enum Edit {
    /// The part at a place of its parts, counted through, becomes another.
    Set(usize, Leaf),
    /// A list grows at its front, or shrinks there.
    Push(Leaf),
    Pop,
    /// A key of the map comes or goes.
    Put(u8, Leaf),
    Delete(u8),
    /// Built anew, and the same.
    Same,
}

#[derive(Clone, Debug)]
enum Leaf {
    Int(i64),
    Text(Vec<u8>),
    Secret,
    Deep(u8),
}

impl Leaf {
    fn tree(&self) -> Tree {
        match self {
            Leaf::Int(int) => Tree::Int(*int),
            Leaf::Text(text) => Tree::Binary(text.clone()),
            Leaf::Secret => Tree::Redacted,
            Leaf::Deep(n) => Tree::Tuple(vec![
                Tree::Atom(40),
                Tree::Map(vec![(Tree::Atom(41), Tree::Int(i64::from(*n)))]),
            ]),
        }
    }
}

fn leaf() -> impl Strategy<Value = Leaf> {
    prop_oneof![
        4 => (0..5i64).prop_map(Leaf::Int),
        1 => any::<i64>().prop_map(Leaf::Int),
        1 => prop::collection::vec(any::<u8>(), 0..60).prop_map(Leaf::Text),
        1 => Just(Leaf::Secret),
        1 => (0..3u8).prop_map(Leaf::Deep),
    ]
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        6 => (0..8usize, leaf()).prop_map(|(at, leaf)| Edit::Set(at, leaf)),
        1 => leaf().prop_map(Edit::Push),
        1 => Just(Edit::Pop),
        2 => (0..40u8, leaf()).prop_map(|(key, leaf)| Edit::Put(key, leaf)),
        1 => (0..40u8).prop_map(Edit::Delete),
        1 => Just(Edit::Same),
    ]
}

/// A state: a map of a counter, a tuple, a list, a keyword list and a map.
#[derive(Clone, Debug, Default)]
struct Truth {
    fields: Vec<Option<Leaf>>,
    list: Vec<Leaf>,
    map: Vec<(u8, Leaf)>,
}

const COUNT: u32 = 10;
const PAIR: u32 = 11;
const LIST: u32 = 12;
const OPTIONS: u32 = 13;
const MAP: u32 = 14;
const KEY: u32 = 15;

impl Truth {
    fn new() -> Truth {
        Truth {
            fields: vec![None; 8],
            list: vec![Leaf::Int(1), Leaf::Int(2)],
            map: Vec::new(),
        }
    }

    fn edit(&mut self, edit: &Edit) {
        match edit {
            Edit::Set(at, leaf) => self.fields[*at] = Some(leaf.clone()),
            Edit::Push(leaf) => self.list.insert(0, leaf.clone()),
            Edit::Pop => {
                if !self.list.is_empty() {
                    self.list.remove(0);
                }
            }
            Edit::Put(key, leaf) => {
                self.map.retain(|(other, _)| other != key);
                self.map.push((*key, leaf.clone()));
            }
            Edit::Delete(key) => self.map.retain(|(other, _)| other != key),
            Edit::Same => {}
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let field = |at: usize| match &self.fields[at] {
            Some(leaf) => leaf.tree(),
            None => Tree::Atom(2),
        };
        let key = |key: u32| {
            Tree::Tuple(vec![
                Tree::Atom(key),
                field(key as usize - KEY as usize + 4),
            ])
        };
        Tree::Map(vec![
            (Tree::Atom(COUNT), field(0)),
            (Tree::Atom(PAIR), Tree::Tuple(vec![field(1), field(2)])),
            (
                Tree::Atom(LIST),
                Tree::List(self.list.iter().map(Leaf::tree).collect(), None),
            ),
            (
                Tree::Atom(OPTIONS),
                Tree::List(vec![key(KEY), key(KEY + 1)], None),
            ),
            (
                Tree::Atom(MAP),
                Tree::Map(
                    self.map
                        .iter()
                        .map(|(key, leaf)| (Tree::Int(i64::from(*key)), leaf.tree()))
                        .collect(),
                ),
            ),
            // keys of which equal ones may have other bytes
            (
                Tree::Map(vec![
                    (Tree::Atom(20), Tree::Int(1)),
                    (Tree::Atom(21), Tree::Int(2)),
                ]),
                field(3),
            ),
            (Tree::Atom(22), Tree::Binary(vec![7; 300])),
        ])
        .bytes()
    }
}

fn paths() -> Vec<Vec<Vec<u8>>> {
    let atom = |atom: u32| Tree::Atom(atom).bytes();
    let int = |int: i64| Tree::Int(int).bytes();
    vec![
        vec![],
        vec![atom(COUNT)],
        vec![atom(COUNT), int(1), atom(41)],
        vec![atom(PAIR)],
        vec![atom(PAIR), int(0)],
        vec![atom(PAIR), int(1), int(1)],
        vec![atom(LIST)],
        vec![atom(LIST), int(0)],
        vec![atom(LIST), int(1)],
        vec![atom(OPTIONS)],
        vec![atom(OPTIONS), atom(KEY)],
        vec![atom(OPTIONS), atom(KEY + 1), int(1), atom(41)],
        vec![atom(MAP)],
        vec![atom(MAP), int(3)],
        vec![atom(MAP), int(3), int(1)],
        // the pairs in another order
        vec![
            Tree::Map(vec![
                (Tree::Atom(21), Tree::Int(2)),
                (Tree::Atom(20), Tree::Int(1)),
            ])
            .bytes(),
        ],
        vec![atom(22)],
        vec![atom(99)],
    ]
}

/// One recorded change and what is true of it.
#[derive(Debug)]
struct Recorded {
    id: u64,
    time: i64,
    /// What the process held.
    truth: Vec<u8>,
    /// The state before, as far as it was recorded.
    delta: Option<Vec<u8>>,
    first: bool,
}

fn value_at(state: &[u8], path: &[&[u8]]) -> Option<Vec<u8>> {
    let mut at = state;
    for step in path {
        at = find_step(at, step).unwrap()?;
    }
    Some(at.to_vec())
}

/// Whether a delta writes a masked value at a path, around it or in it.
fn masks(delta: &[u8], path: &[&[u8]]) -> bool {
    let mut masks = false;
    touch(delta, &mut |touch| {
        let masked = matches!(
            touch.kind,
            crate::value::Touched::Replaced { masked: true, .. }
        );
        masks |= masked && index::Wanted::new(path).concerns(touch.path);
    })
    .unwrap();
    masks
}

fn touches(before: Option<&Recorded>, change: &Recorded, path: &[&[u8]]) -> bool {
    let new = value_at(&change.truth, path);
    let Some(before) = before else {
        return change.first && new.is_some();
    };
    let old = value_at(&before.truth, path);
    let differ = match (&old, &new) {
        (Some(old), Some(new)) => !equal(old, new).unwrap(),
        (old, new) => old.is_some() != new.is_some(),
    };
    let has_mask = |value: &Option<Vec<u8>>| {
        value.as_ref().is_some_and(|value| {
            let mut reader = crate::value::Reader::new(value);
            let mut found = false;
            while !reader.rest().is_empty() {
                found |= reader.token().unwrap() == crate::value::Token::Redacted;
            }
            found
        })
    };
    let written = change
        .delta
        .as_ref()
        .is_some_and(|delta| masks(delta, path));
    differ || written && has_mask(&new)
}

/// A change, the time since the one before, and how it is recorded.
fn story() -> impl Strategy<Value = Vec<(Edit, i64, u8)>> {
    prop::collection::vec((edit(), 0..4i64, 0..40u8), 1..200)
}

fn play(story: &[(Edit, i64, u8)], cap: usize, is_first: bool) -> (Writer, Vec<Recorded>) {
    let mut writer = Writer::new(cap);
    let mut truth = Truth::new();
    let mut recorded: Vec<Recorded> = Vec::new();
    writer.time = 100;
    for (edit, pause, how) in story {
        truth.edit(edit);
        writer.time += pause;
        let state = truth.bytes();
        let mut delta = Vec::new();
        let mut body = Vec::new();
        let flags = match recorded.last() {
            None => {
                StatePart::WHOLE
                    | if is_first {
                        StatePart::FIRST
                    } else {
                        StatePart::BREAKS
                    }
            }
            Some(last) => {
                diff(&last.truth, &state, &mut delta).unwrap();
                if matches!(edit, Edit::Set(0, Leaf::Secret)) && delta == [delta_format::SAME] {
                    // a masked value that was written again
                    delta = vec![delta_format::MAP];
                    delta.extend(Tree::Atom(COUNT).bytes());
                    delta.extend([delta_format::REPLACE, crate::value::format::REDACTED]);
                    delta.push(delta_format::MAP_END);
                }
                match how {
                    0 => StatePart::WHOLE | StatePart::BREAKS,
                    1 => StatePart::WHOLE,
                    2 | 3 => StatePart::CHECK,
                    // the process begins anew
                    4 => StatePart::WHOLE | StatePart::FIRST | StatePart::BREAKS,
                    _ => StatePart::DELTA,
                }
            }
        };
        if flags & StatePart::BODY != StatePart::WHOLE {
            body.extend_from_slice(&delta);
        }
        if flags & StatePart::BODY != StatePart::DELTA {
            body.extend_from_slice(&state);
        }
        let asked = writer.put(PROCESS, flags, &body);
        assert_eq!(asked, Asked::No);
        assert_counted(&writer.timelines);
        let is_whole = flags & StatePart::BODY == StatePart::WHOLE;
        recorded.push(Recorded {
            id: writer.id,
            time: writer.time,
            truth: state,
            delta: (!is_whole).then_some(delta),
            first: flags & StatePart::FIRST != 0,
        });
        writer.id += u64::from(*how % 3);
    }
    (writer, recorded)
}

fn at_or_before(recorded: &[Recorded], time: i64) -> Option<usize> {
    recorded
        .partition_point(|change| change.time <= time)
        .checked_sub(1)
}

fn check_all(writer: &Writer, recorded: &[Recorded]) -> Result<(), TestCaseError> {
    let timelines = &writer.timelines;
    let evicted = timelines.stats().evicted;
    let oldest = timelines.line_of(PROCESS, None).unwrap().oldest();
    for time in recorded[0].time - 1..=recorded[recorded.len() - 1].time + 1 {
        let found = timelines.state_at(PROCESS, None, When::At(TimeNs(time)));
        match at_or_before(recorded, time) {
            None if evicted == 0 => prop_assert_eq!(found, Err(Missing::NoStateRecorded)),
            None => prop_assert_eq!(found, Err(Missing::Evicted)),
            Some(at) if recorded[at].id < oldest.id => {
                prop_assert_eq!(found, Err(Missing::Evicted));
            }
            Some(at) => {
                let found = found.unwrap();
                prop_assert!(equal(&found.state, &recorded[at].truth).unwrap());
                prop_assert_eq!(found.event.0, recorded[at].id);
                prop_assert_eq!(found.recorded_at.0, recorded[at].time);
            }
        }
    }
    let last = timelines
        .state_at(PROCESS, Some(MODULE), When::Last)
        .unwrap();
    prop_assert!(equal(&last.state, &recorded[recorded.len() - 1].truth).unwrap());
    // walked along, and alone
    let view = timelines
        .view(PROCESS, MODULE, EventId(0)..=EventId(u64::MAX))
        .unwrap();
    let mut walk = view.walk();
    for (at, change) in recorded.iter().enumerate() {
        let id = EventId(change.id);
        let around = |walk: &mut Walk<'_>| {
            let stride = walk.seek(id)?;
            let (mut old, mut new) = (Vec::new(), Vec::new());
            let had = stride.old_state(&mut old);
            let delta = stride.delta().into_owned();
            let quality = stride.quality();
            stride.new_state(&mut new);
            Some((had.then_some(old), new, delta, quality))
        };
        let walked = around(&mut walk);
        let alone = timelines.view(PROCESS, MODULE, id..=id).unwrap();
        prop_assert_eq!(&around(&mut alone.walk()), &walked);
        if change.id < oldest.id {
            prop_assert_eq!(walked, None);
            continue;
        }
        let (old, new, delta, _) = walked.unwrap();
        prop_assert!(equal(&new, &change.truth).unwrap());
        prop_assert_eq!(old.is_some(), change.id > oldest.id && !change.first);
        if let Some(old) = old {
            prop_assert!(equal(&old, &recorded[at - 1].truth).unwrap());
            let mut patched = crate::value::Patched::new(&old).unwrap();
            patched.apply(&delta).unwrap();
            let mut out = Vec::new();
            patched.write(&mut out);
            prop_assert!(equal(&out, &new).unwrap());
        }
    }
    prop_assert!(walk.seek(EventId(u64::MAX)).is_none());
    for path in paths() {
        let path: Vec<&[u8]> = path.iter().map(Vec::as_slice).collect();
        let touching: Vec<&Recorded> = (0..recorded.len())
            .filter(|&at| {
                touches(
                    at.checked_sub(1).map(|at| &recorded[at]),
                    &recorded[at],
                    &path,
                )
            })
            .map(|at| &recorded[at])
            .collect();
        for time in (recorded[0].time - 1..=recorded[recorded.len() - 1].time + 1).step_by(3) {
            let found = timelines.last_change(PROCESS, None, &path, Seek::Before(TimeNs(time)));
            let newest = touching.iter().rev().find(|change| change.time <= time);
            let expected = match newest {
                _ if evicted > 0 && time < oldest.time => Err(Missing::Evicted),
                Some(newest) if newest.id > oldest.id || evicted == 0 => Ok(EventId(newest.id)),
                _ if evicted > 0 => Err(Missing::Evicted),
                _ if time < recorded[0].time => Err(Missing::NoStateRecorded),
                _ => Err(Missing::NeverChanged),
            };
            prop_assert_eq!(found, expected, "{:?} before {}", path, time);
            let found = timelines.last_change(PROCESS, None, &path, Seek::After(TimeNs(time)));
            let next = touching.iter().find(|change| change.time > time);
            let expected = match next {
                _ if evicted > 0 && time < oldest.time => Err(Missing::Evicted),
                Some(next) => Ok(EventId(next.id)),
                None => Err(Missing::NeverChanged),
            };
            prop_assert_eq!(found, expected, "{:?} after {}", path, time);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn answers_are_those_of_a_twin_that_keeps_every_state(story in story(), is_first in any::<bool>()) {
        let (writer, recorded) = play(&story, 64 << 20, is_first);
        let stats = writer.timelines.stats();
        prop_assert_eq!((stats.changes, stats.evicted, stats.refused), (recorded.len() as u64, 0, 0));
        prop_assert_eq!(stats.mismatches, 0);
        check_all(&writer, &recorded)?;
    }

    #[test]
    fn answers_under_little_memory_are_right_or_none(story in story(), cap in 48usize..96) {
        let (writer, recorded) = play(&story, cap << 10, true);
        check_all(&writer, &recorded)?;
    }
}

/// The delta that puts a value in the place of the whole state.
fn replace(value: &[u8]) -> Vec<u8> {
    [&[delta_format::REPLACE], value].concat()
}

/// What happens to a recording.
#[derive(Clone, Copy, Debug)]
enum Harm {
    None,
    /// The record is lost.
    Lost,
    /// Something replaces the state unseen, before the change.
    Replaced,
    /// A part of the delta is not known.
    Unknown,
    /// A part of the state is left out.
    Cut,
    /// The record is damaged.
    Damaged,
}

fn harm() -> impl Strategy<Value = Harm> {
    prop_oneof![
        30 => Just(Harm::None),
        1 => Just(Harm::Lost),
        1 => Just(Harm::Replaced),
        1 => Just(Harm::Unknown),
        1 => Just(Harm::Cut),
        1 => Just(Harm::Damaged),
    ]
}

/// How the next state is recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    Delta,
    /// A delta that puts another value in the place of the whole state.
    Replace,
    Check,
    Whole,
    Breaks,
}

/// A process whose state is one number in each of four places, and its recording under all sorts of harm: what it held since
/// when, and when its last record came.
fn harmed(story: &[(usize, i64, Harm, Form, i64)]) -> (Writer, Vec<(i64, Vec<u8>)>, i64) {
    let mut writer = Writer::new(64 << 20);
    let mut held = [0i64; 4];
    let bytes = |held: &[i64; 4]| {
        let places = held.iter().map(|&value| Tree::Int(value)).collect();
        Tree::Tuple(vec![Tree::Tuple(places), Tree::Binary(vec![7; 100])]).bytes()
    };
    // what the process recorded last, and what it held when
    let mut seen = bytes(&held);
    let mut truth = vec![(100, seen.clone())];
    let mut told = 100;
    writer.time = 100;
    writer.put(PROCESS, StatePart::WHOLE | StatePart::FIRST, &seen);
    for &(place, value, harm, form, pause) in story {
        writer.time += 1 + pause;
        let mut unseen = false;
        if let Harm::Replaced = harm {
            held[(place + 1) % 4] = value + 1;
            truth.push((writer.time, bytes(&held)));
            writer.time += 1 + pause;
            unseen = true;
        }
        held[place % 4] = value;
        let state = bytes(&held);
        truth.push((writer.time, state.clone()));
        told = if matches!(harm, Harm::Lost) {
            told
        } else {
            writer.time
        };
        let mut delta = Vec::new();
        diff(&seen, &state, &mut delta).unwrap();
        // replaced states are told by the fingerprint: the whole state is recorded, and that it breaks
        let form = if unseen { Form::Breaks } else { form };
        let (mut flags, mut body) = match form {
            Form::Delta => (StatePart::DELTA, delta),
            Form::Replace => (StatePart::DELTA, replace(&state)),
            Form::Check => (StatePart::CHECK, [delta, state.clone()].concat()),
            Form::Whole => (StatePart::WHOLE, state.clone()),
            Form::Breaks => (StatePart::WHOLE | StatePart::BREAKS, state.clone()),
        };
        seen = state;
        match harm {
            Harm::Lost => {
                writer.sequence += 1;
                writer.id += 1;
                continue;
            }
            Harm::Unknown if form == Form::Delta => body = vec![delta_format::UNKNOWN],
            Harm::Cut if form != Form::Check => {
                flags |= StatePart::CUT;
                // the number is there, the text is not
                let places = held.iter().map(|&value| Tree::Int(value)).collect();
                let mut cut = vec![crate::value::format::TUPLE, 2];
                cut.extend(Tree::Tuple(places).bytes());
                cut.extend([crate::value::format::TRUNCATED, 8, 0, 0]);
                body = match form {
                    Form::Delta | Form::Replace => replace(&cut),
                    _ => cut,
                };
            }
            Harm::Damaged => body = vec![0x77; 3],
            _ => {}
        }
        writer.put(PROCESS, flags, &body);
        assert_counted(&writer.timelines);
    }
    (writer, truth, told)
}

fn form() -> impl Strategy<Value = Form> {
    prop_oneof![
        20 => Just(Form::Delta),
        2 => Just(Form::Replace),
        2 => Just(Form::Check),
        1 => Just(Form::Whole),
        1 => Just(Form::Breaks),
    ]
}

proptest! {
    #[test]
    fn with_losses_and_replaced_states_nothing_that_is_called_exact_is_wrong(
        story in prop::collection::vec((0..4usize, 0..9i64, harm(), form(), 0..3i64), 1..300),
    ) {
        let (writer, truth, told) = harmed(&story);
        let timelines = &writer.timelines;
        prop_assert_eq!(timelines.stats().mismatches, 0);
        let held_at = |time: i64| {
            let at = truth.partition_point(|(since, _)| *since <= time);
            at.checked_sub(1).map(|at| &truth[at].1)
        };
        let harmed = story.iter().any(|(_, _, harm, ..)| !matches!(harm, Harm::None));
        for time in 99..=truth[truth.len() - 1].0 + 1 {
            let found = timelines.state_at(PROCESS, None, When::At(TimeNs(time)));
            let Some(held) = held_at(time) else {
                prop_assert_eq!(found, Err(Missing::NoStateRecorded));
                continue;
            };
            let found = found.unwrap();
            let right = equal(&found.state, held).unwrap();
            // that something is missing is known when the next record comes
            let least = if time < told { Quality::Approximate } else { Quality::Unverified };
            prop_assert!(right || found.quality >= least, "at {}: {:?}", time, found.quality);
            // a whole state that differs from the one before it tells that something is missing
            let tells = harmed || story.iter().any(|(.., form, _)| matches!(form, Form::Whole | Form::Breaks));
            prop_assert!(tells || found.quality != Quality::Approximate);
        }
        let view = timelines.view(PROCESS, MODULE, EventId(0)..=EventId(u64::MAX)).unwrap();
        let mut walk = view.walk();
        for id in 1..=writer.id {
            let Some(stride) = walk.seek(EventId(id)) else { continue };
            let quality = stride.quality();
            let (mut old, mut new) = (Vec::new(), Vec::new());
            let had = stride.old_state(&mut old);
            stride.new_state(&mut new);
            if quality == Quality::Exact {
                let is_held = |state: &[u8]| truth.iter().any(|(_, held)| equal(held, state).unwrap());
                prop_assert!(is_held(&new) && (!had || is_held(&old)));
            }
        }
    }
}

#[test]
fn a_whole_state_that_is_as_replay_says_proves_what_lies_before_it() {
    let (writer, recorded) = play(
        &[
            (Edit::Same, 1, 9),
            (Edit::Set(0, Leaf::Int(1)), 10, 9),
            (Edit::Set(0, Leaf::Int(2)), 10, 2),
            (Edit::Set(0, Leaf::Int(3)), 10, 9),
        ],
        1 << 20,
        true,
    );
    let quality = |time: i64| {
        let found = writer
            .timelines
            .state_at(PROCESS, None, When::At(TimeNs(time)));
        found.unwrap().quality
    };
    let time = |at: usize| recorded[at].time;
    // whole, between, a delta, between; then checked at this time only
    assert_eq!(quality(time(0)), Quality::Exact);
    assert_eq!(quality(time(1) - 1), Quality::Exact);
    assert_eq!(quality(time(1)), Quality::Exact);
    assert_eq!(quality(time(2)), Quality::Exact);
    assert_eq!(quality(time(2) + 1), Quality::Unverified);
    assert_eq!(quality(time(3)), Quality::Unverified);
    assert_eq!(writer.timelines.stats().verified, 1);
}

#[test]
fn a_delta_that_was_made_for_another_state_makes_doubtful_what_lies_around() {
    let state = |n: i64| Tree::Tuple(vec![Tree::Int(n), Tree::Int(5)]).bytes();
    let to = |old: i64, new: i64| {
        let mut delta = Vec::new();
        diff(&state(old), &state(new), &mut delta).unwrap();
        delta
    };
    let check = |old: i64, new: i64| [to(old, new), state(new)].concat();
    // what became 7 unseen is overwritten by a delta, or by that of a check
    for in_check in [false, true] {
        let mut writer = Writer::new(1 << 20);
        let mut put = |flags, body: &[u8]| {
            writer.time += 10;
            assert_eq!(writer.put(PROCESS, flags, body), Asked::No);
        };
        put(StatePart::WHOLE | StatePart::FIRST, &state(1));
        put(StatePart::CHECK, &check(1, 2));
        put(StatePart::DELTA, &to(2, 3));
        if !in_check {
            put(StatePart::DELTA, &to(7, 4));
        }
        put(StatePart::CHECK, &check(if in_check { 7 } else { 4 }, 5));
        put(StatePart::DELTA, &to(5, 6));
        put(StatePart::CHECK, &check(6, 8));
        let end = writer.time;
        let at = |time| {
            let found = writer
                .timelines
                .state_at(PROCESS, None, When::At(TimeNs(time)));
            let found = found.unwrap();
            (found.state, found.quality)
        };
        assert_eq!(at(15), (state(1), Quality::Exact));
        assert_eq!(at(20), (state(2), Quality::Exact));
        for doubtful in 21..end - 20 {
            assert_eq!(at(doubtful).1, Quality::Approximate, "{doubtful}");
        }
        assert_eq!(at(end - 20), (state(5), Quality::Exact));
        assert_eq!(at(end - 15), (state(5), Quality::Exact));
        assert_eq!(at(end - 5), (state(6), Quality::Exact));
        assert_eq!(at(end), (state(8), Quality::Exact));
        assert_eq!(writer.timelines.stats().mismatches, 0);
    }
}

#[test]
fn a_state_that_is_replaced_whole_heals_what_was_cut_lost_or_never_told() {
    use crate::value::format::TRUNCATED;
    let cut = [TRUNCATED, 8, 0, 0];
    let number = |n: i64| Tree::Int(n).bytes();
    // with the proof of another state than the one that was kept
    let proved = |n: i64| {
        let mut delta = vec![delta_format::PROVED_REPLACE, 0x12, 0x34];
        delta.extend(number(n));
        delta
    };
    let kept = |writer: &Writer, when: When| {
        let found = writer.timelines.state_at(PROCESS, None, when).unwrap();
        (found.state, found.quality)
    };
    let at = |time: i64| When::At(TimeNs(time));

    // cut at first, then replaced
    let mut writer = Writer::new(1 << 20);
    let first = StatePart::WHOLE | StatePart::FIRST | StatePart::CUT;
    writer.put(PROCESS, first, &cut);
    writer.time = 10;
    assert_eq!(writer.put(PROCESS, StatePart::DELTA, &proved(1)), Asked::No);
    assert_eq!(kept(&writer, at(9)).1, Quality::Approximate);
    assert_eq!(kept(&writer, at(10)), (number(1), Quality::Exact));
    assert_eq!(kept(&writer, at(11)), (number(1), Quality::Unverified));
    // cut again, and replaced by what is cut too
    for flags in [StatePart::DELTA, StatePart::DELTA | StatePart::CUT] {
        writer.time += 10;
        writer.put(PROCESS, flags, &replace(&cut));
        assert_eq!(kept(&writer, When::Last).1, Quality::Approximate);
    }

    // after a loss
    writer.sequence += 1;
    writer.time = 50;
    assert_eq!(writer.put(PROCESS, StatePart::DELTA, &proved(2)), Asked::No);
    assert_eq!(kept(&writer, at(49)).1, Quality::Approximate);
    assert_eq!(kept(&writer, at(50)), (number(2), Quality::Exact));
    writer.time = 60;
    writer.put(PROCESS, StatePart::DELTA, &replace(&number(3)));
    assert_eq!(kept(&writer, When::Last), (number(3), Quality::Unverified));
    // a check proves what lies between
    let check = [replace(&number(4)), number(4)].concat();
    writer.time = 70;
    writer.put(PROCESS, StatePart::CHECK, &check);
    assert_eq!(kept(&writer, at(60)), (number(3), Quality::Exact));
    assert_eq!(writer.timelines.stats().mismatches, 0);
    assert_counted(&writer.timelines);

    // nothing was told before
    let mut writer = Writer::new(1 << 20);
    writer.time = 10;
    assert_eq!(writer.put(PROCESS, StatePart::DELTA, &proved(1)), Asked::No);
    assert_eq!(kept(&writer, at(10)), (number(1), Quality::Exact));
    assert_eq!(kept(&writer, When::Last), (number(1), Quality::Unverified));
}

#[test]
fn of_a_state_that_was_lost_before_its_first_change_came_it_is_said_that_nothing_is_known() {
    let unknown = [
        crate::value::format::TRUNCATED,
        crate::value::Cut::Bytes as u8,
        0,
        0,
    ];
    let state = |n: i64| Tree::Tuple(vec![Tree::Int(n), Tree::Int(5)]).bytes();
    let mut delta = Vec::new();
    diff(&state(1), &state(2), &mut delta).unwrap();
    let mut writer = Writer::new(1 << 20);
    let at = |writer: &Writer, time: i64| {
        let when = When::At(TimeNs(time));
        let found = writer.timelines.state_at(PROCESS, None, when);
        found.map(|found| (found.state, found.quality))
    };
    for time in [10, 20] {
        writer.time = time;
        // until the whole state comes, whatever is lost of that
        assert_eq!(
            writer.put(PROCESS, StatePart::DELTA, &delta),
            Asked::Keyframe
        );
        let told = Ok((unknown.to_vec(), Quality::Approximate));
        assert_eq!(at(&writer, time), told);
        assert_eq!(at(&writer, time + 1), told);
    }
    assert_eq!(at(&writer, 9), Err(Missing::NoStateRecorded));
    writer.time = 30;
    assert_eq!(writer.put(PROCESS, StatePart::WHOLE, &state(2)), Asked::No);
    assert_eq!(at(&writer, 29).unwrap().1, Quality::Approximate);
    assert_eq!(at(&writer, 30), Ok((state(2), Quality::Exact)));
    assert_eq!(at(&writer, 31), Ok((state(2), Quality::Unverified)));
    // what is no delta begins nothing
    assert_eq!(
        writer.put(ProcessId(9), StatePart::DELTA, &[0x77]),
        Asked::Keyframe
    );
    assert!(writer.timelines.modules(ProcessId(9)).is_empty());
    assert_counted(&writer.timelines);
}

#[test]
fn a_check_that_does_not_match_is_counted_and_the_chain_goes_on_from_it() {
    let mut writer = Writer::new(1 << 20);
    let state = |n: i64| Tree::Tuple(vec![Tree::Int(n), Tree::Int(5)]).bytes();
    let to = |n: i64| {
        let mut delta = vec![delta_format::TUPLE, 1, delta_format::REPLACE];
        delta.extend(Tree::Int(n).bytes());
        delta.push(delta_format::TUPLE_END);
        delta
    };
    let mut put = |flags, body: &[u8]| {
        writer.time += 10;
        assert_eq!(writer.put(PROCESS, flags, body), Asked::No);
    };
    put(StatePart::WHOLE | StatePart::FIRST, &state(1));
    put(StatePart::DELTA, &to(2));
    // 5 became 6, unseen
    let told = Tree::Tuple(vec![Tree::Int(3), Tree::Int(6)]).bytes();
    put(StatePart::CHECK, &[to(3), told.clone()].concat());
    put(StatePart::DELTA, &to(4));
    let at = |time| {
        writer
            .timelines
            .state_at(PROCESS, None, When::At(TimeNs(time)))
            .unwrap()
    };
    assert_eq!(writer.timelines.stats().mismatches, 1);
    assert_eq!(at(20).quality, Quality::Approximate);
    assert_eq!((at(30).state, at(30).quality), (told, Quality::Exact));
    assert_eq!(
        at(40).state,
        Tree::Tuple(vec![Tree::Int(4), Tree::Int(6)]).bytes()
    );
    assert_eq!(at(40).quality, Quality::Unverified);
}

#[test]
fn a_gap_breaks_all_timelines_of_the_process_until_a_whole_state_heals_them() {
    let mut writer = Writer::new(1 << 20);
    let state = Tree::Tuple(vec![Tree::Int(1)]).bytes();
    let set = [
        &[delta_format::TUPLE, 1][..],
        &replace(&Tree::Int(1).bytes()),
        &[delta_format::TUPLE_END],
    ]
    .concat();
    let other = AtomId(8);
    let mut change = |module: AtomId, sequence: u32, flags, body: &[u8]| {
        writer.id += 1;
        writer.time += 10;
        let part = StatePart {
            flags,
            sequence,
            body,
        };
        let (id, time) = (EventId(writer.id), TimeNs(writer.time));
        writer
            .timelines
            .change(PROCESS, module, id, time, &part, &mut all)
    };
    let first = StatePart::WHOLE | StatePart::FIRST;
    assert_eq!(change(MODULE, 1, first, &state), Asked::No);
    assert_eq!(change(other, 2, first, &state), Asked::No);
    assert_eq!(change(other, 3, StatePart::DELTA, &set), Asked::No);
    // number 4 is missing
    assert_eq!(change(other, 5, StatePart::DELTA, &set), Asked::Keyframe);
    assert_eq!(change(other, 6, StatePart::DELTA, &set), Asked::Keyframe);
    assert_eq!(change(MODULE, 7, StatePart::DELTA, &set), Asked::Keyframe);
    let whole = StatePart::WHOLE | StatePart::BREAKS;
    assert_eq!(change(other, 8, whole, &state), Asked::No);
    // a snapshot has no number: nothing is missing before it or after it
    assert_eq!(change(AtomId(9), 0, whole, &state), Asked::No);
    assert_eq!(change(other, 9, StatePart::DELTA, &set), Asked::No);
    assert_eq!(change(MODULE, 10, StatePart::DELTA, &set), Asked::Keyframe);
    assert_eq!(
        writer.timelines.modules(PROCESS),
        [MODULE, other, AtomId(9)]
    );
    let quality = |module, time| {
        let found = writer
            .timelines
            .state_at(PROCESS, Some(module), When::At(TimeNs(time)));
        found.unwrap().quality
    };
    assert_eq!(quality(MODULE, 10), Quality::Exact);
    assert_eq!(quality(MODULE, 11), Quality::Approximate);
    assert_eq!(quality(other, 30), Quality::Unverified);
    assert_eq!(quality(other, 31), Quality::Approximate);
    assert_eq!(quality(other, 50), Quality::Approximate);
    assert_eq!(quality(other, 70), Quality::Exact);
    assert_eq!(quality(other, 90), Quality::Unverified);
}

#[test]
fn thousands_of_processes_stay_within_the_cap_and_the_oldest_go_first() {
    let cap = 256 << 10;
    let mut writer = Writer::new(cap);
    let big = Tree::Binary(vec![7; 200]).bytes();
    for n in 0..3_000 {
        writer.sequence = 0;
        writer.time += 1;
        let process = ProcessId(100 + n);
        writer.put(process, StatePart::WHOLE | StatePart::FIRST, &big);
        for _ in 0..n % 5 {
            writer.put(process, StatePart::DELTA, &[delta_format::SAME]);
        }
        if n % 100 == 0 {
            assert_counted(&writer.timelines);
        }
    }
    assert_counted(&writer.timelines);
    let stats = writer.timelines.stats();
    assert!(
        stats.timelines > 100 && stats.timelines < 1_000,
        "{stats:?}"
    );
    assert_eq!(stats.processes, stats.timelines);
    let state = |n: u64| {
        writer
            .timelines
            .state_at(ProcessId(100 + n), None, When::Last)
    };
    assert!(state(2_999).is_ok());
    assert_eq!(state(2_000), Err(Missing::Evicted));
    assert_eq!(state(3_000), Err(Missing::NoStateRecorded));
    let mut found = 0;
    writer.timelines.all_at(When::Last, &mut |_, _| found += 1);
    assert_eq!(
        (found, writer.timelines.all().len()),
        (stats.timelines, stats.timelines)
    );
    writer.timelines.clear();
    assert_counted(&writer.timelines);
    assert_eq!(writer.timelines.stats().timelines, 0);
}

#[test]
fn an_idle_process_keeps_its_state_while_a_busy_one_pushes_its_history_out() {
    let mut writer = Writer::new(256 << 10);
    let (idle, dead) = (ProcessId(50), ProcessId(51));
    let state = Tree::Tuple(vec![Tree::Int(1), Tree::Binary(vec![7; 500])]).bytes();
    let step = [
        delta_format::TUPLE,
        1,
        delta_format::REPLACE,
        0x85,
        delta_format::TUPLE_END,
    ];
    for process in [idle, dead] {
        writer.sequence = 0;
        writer.time += 10;
        writer.put(process, StatePart::WHOLE | StatePart::FIRST, &state);
        writer.time += 10;
        writer.put(process, StatePart::DELTA, &step);
    }
    writer.timelines.ended(dead);
    writer.sequence = 0;
    writer.put(PROCESS, StatePart::WHOLE | StatePart::FIRST, &state);
    for _ in 0..50_000 {
        writer.time += 1;
        assert_eq!(writer.put(PROCESS, StatePart::DELTA, &step), Asked::No);
    }
    assert_counted(&writer.timelines);
    let timelines = &writer.timelines;
    let found = timelines.state_at(idle, None, When::Last).unwrap();
    assert_eq!((found.recorded_at, found.event), (TimeNs(20), EventId(2)));
    assert_eq!(found.state[2], 0x85);
    let before = timelines.state_at(idle, None, When::At(TimeNs(19)));
    assert_eq!(before, Err(Missing::Evicted));
    assert_eq!(
        timelines.state_at(dead, None, When::Last),
        Err(Missing::Evicted)
    );
    // and by age
    let time = writer.time;
    writer.timelines.retain(TimeNs(time - 5));
    let found = writer
        .timelines
        .state_at(PROCESS, None, When::At(TimeNs(time - 5)));
    assert!(found.is_ok());
    assert!(writer.timelines.state_at(idle, None, When::Last).is_ok());
}

#[test]
fn a_state_larger_than_is_kept_is_not_asked_for_all_the_time() {
    let mut writer = Writer::new(64 << 10);
    let huge = Tree::Binary(vec![7; 100_000]).bytes();
    let small = Tree::Int(1).bytes();
    let (whole, same) = (StatePart::WHOLE | StatePart::BREAKS, [delta_format::SAME]);
    let mut asked = 0;
    for _ in 0..1_000 {
        if writer.put(PROCESS, StatePart::DELTA, &same) == Asked::Keyframe {
            asked += 1;
            assert_eq!(writer.put(PROCESS, whole, &huge), Asked::No);
        }
        assert_counted(&writer.timelines);
    }
    assert!(asked < 12, "{asked}");
    assert_eq!(writer.put(PROCESS, whole, &small), Asked::No);
    // it grows too large, and is small again
    let mut asked = 0;
    let grow = replace(&huge);
    for _ in 0..1_000 {
        if writer.put(PROCESS, StatePart::DELTA, &grow) == Asked::Keyframe {
            asked += 1;
            writer.put(PROCESS, whole, &huge);
        }
        assert_counted(&writer.timelines);
    }
    assert!(asked < 12, "{asked}");
    let found = writer
        .timelines
        .state_at(PROCESS, None, When::Last)
        .unwrap();
    assert_eq!(found.quality, Quality::Approximate);
    assert_eq!(writer.put(PROCESS, whole, &small), Asked::No);
    assert_eq!(writer.put(PROCESS, StatePart::DELTA, &same), Asked::No);
    let found = writer
        .timelines
        .state_at(PROCESS, None, When::Last)
        .unwrap();
    assert_eq!(found.state, small);
}

#[test]
fn without_room_in_the_store_the_oldest_goes_and_nothing_is_taken_past_it() {
    let mut writer = Writer::new(1 << 20);
    let state = Tree::Binary(vec![7; 500]).bytes();
    writer.put(PROCESS, StatePart::WHOLE | StatePart::FIRST, &state);
    let held = writer.timelines.stats().bytes;
    for n in 2..500u64 {
        let replace = replace(&state);
        let part = StatePart {
            flags: StatePart::DELTA,
            sequence: n as u32,
            body: &replace,
        };
        let id = EventId(n);
        writer
            .timelines
            .change(PROCESS, MODULE, id, TimeNs(n as i64), &part, &mut |_| false);
        assert_counted(&writer.timelines);
    }
    assert!(writer.timelines.stats().bytes <= held + 1_000);
    let found = writer
        .timelines
        .state_at(PROCESS, None, When::Last)
        .unwrap();
    assert_eq!(found.quality, Quality::Approximate);
}

proptest! {
    #[test]
    fn damaged_records_never_panic_and_are_counted(
        records in prop::collection::vec(
            (any::<u8>(), 0..4u32, 0..3u64, prop::collection::vec(0..40u8, 0..30)),
            1..200,
        ),
    ) {
        let mut writer = Writer::new(32 << 10);
        for (flags, skip, process, body) in &records {
            writer.sequence += skip;
            writer.time += 1;
            writer.put(ProcessId(*process), *flags, body);
            assert_counted(&writer.timelines);
        }
        for process in 0..3 {
            let process = ProcessId(process);
            for time in 0..=writer.time {
                let _ = writer.timelines.state_at(process, None, When::At(TimeNs(time)));
            }
            let _ = writer.timelines.last_change(process, None, &[&[0x81]], Seek::Before(TimeNs(99)));
            let _ = writer.timelines.last_change(process, None, &[&[0x77]], Seek::After(TimeNs(0)));
            let _ = writer.timelines.diff(process, None, When::At(TimeNs(5)), When::Last, &mut |_| {});
        }
    }
}
