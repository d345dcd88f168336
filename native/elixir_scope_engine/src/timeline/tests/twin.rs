//! Timelines against a twin that keeps every state.

use proptest::prelude::*;

use super::*;
use crate::value::tree::Tree;
use crate::value::{diff, equal, find_step, touch};

/// What happens to a state in between.
#[derive(Clone, Debug)]
pub(super) enum Edit {
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
pub(super) enum Leaf {
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
pub(super) struct Recorded {
    pub(super) id: u64,
    pub(super) time: i64,
    /// What the process held.
    pub(super) truth: Vec<u8>,
    /// The state before, as far as it was recorded.
    pub(super) delta: Option<Vec<u8>>,
    pub(super) first: bool,
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

pub(super) fn play(
    story: &[(Edit, i64, u8)],
    cap: usize,
    is_first: bool,
) -> (Writer, Vec<Recorded>) {
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
            let nearest =
                timelines.nearest_change(PROCESS, None, &path, Seek::Before(TimeNs(time)));
            // what came up on the way is what a walk tells
            if time % 4 == 0
                && let Ok(Nearest {
                    event,
                    change: Some(change),
                }) = &nearest
            {
                let view = timelines.view(PROCESS, MODULE, *event..=*event).unwrap();
                let mut walked = StateChange::default();
                view.walk().seek(*event).unwrap().change(&mut walked);
                prop_assert_eq!(change.as_ref(), &walked);
            }
            let found = nearest.map(|nearest| nearest.event);
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
