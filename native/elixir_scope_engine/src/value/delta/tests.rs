//! Deltas against the trees that they change.

use proptest::prelude::*;

use super::super::tree::{Tree, any_tree};
use super::super::{Budget, Cut, Flaw, Malformed, equal, find_step, format as value, skip};
use super::choices::{Choices, turned};
use super::diff::Opened;
use super::proof::proof;
use super::span::{Head, Shapes};
use super::*;

const WELL: (bool, bool) = (true, true);

fn apply<'a>(patched: &mut Patched<'a>, delta: &'a [u8]) -> (bool, bool) {
    let applied = patched.apply(delta).unwrap();
    assert_eq!(applied.size, delta.len());
    (applied.fits, applied.knows)
}

fn written(patched: &Patched<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    patched.write(&mut out);
    assert_eq!(skip(&out), Ok(out.len()));
    out
}

/// What a delta makes of a value, and whether it fits and knows.
fn patch(old: &[u8], delta: &[u8]) -> (Vec<u8>, (bool, bool)) {
    let mut patched = Patched::new(old).unwrap();
    let how = apply(&mut patched, delta);
    (written(&patched), how)
}

fn delta(old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    diff(old, new, &mut out).unwrap();
    assert_eq!(skip_delta(&out), Ok(out.len()));
    assert!(out.len() <= 3 + new.len());
    out
}

/// Where a path leads.
fn at_path<'v>(value: &'v [u8], path: &[Step<'_>]) -> Option<&'v [u8]> {
    path.iter()
        .try_fold(value, |value, step| find_step(value, step.bytes()).unwrap())
}

fn has_masked(bytes: &[u8]) -> bool {
    let mut masked = false;
    changes(
        bytes,
        bytes,
        &mut |_| {
            masked = true;
            false
        },
        &mut |change| panic!("{change:?}"),
    )
    .unwrap();
    masked
}

/// Whether a map has a key twice, as no host writes it.
fn has_twins(bytes: &[u8]) -> bool {
    let mut shapes = Shapes::default();
    let mut left = vec![shapes.measure(bytes).unwrap()];
    while let Some(span) = left.pop() {
        let Some(opened) = Opened::read(&shapes, span).unwrap() else {
            continue;
        };
        if matches!(opened.head, Head::Map(_)) {
            let keys: Vec<_> = opened.pairs().map(|(key, _)| key.bytes).collect();
            let twin = |(at, key): (usize, &&[u8])| {
                keys[..at]
                    .iter()
                    .any(|other| equal(other, key) != Ok(false))
            };
            if keys.iter().enumerate().any(twin) {
                return true;
            }
        }
        left.extend(opened.parts);
    }
    false
}

/// What is asked of deltas of any bytes: that the readers agree, that none panics, and that a value remains a value.
fn survives(old: &[u8], delta: &[u8]) {
    let size = skip_delta(delta);
    if let Ok(size) = size {
        assert!(size > 0 && size <= delta.len());
    }
    assert_eq!(touch(delta, &mut |_| {}), size.map(drop));
    let Ok(mut patched) = Patched::new(old) else {
        return;
    };
    match patched.apply(delta) {
        Ok(applied) => assert_eq!(Ok(applied.size), size),
        Err(malformed) => assert!(
            size == Err(malformed) || matches!(malformed.flaw, Flaw::TooDeep | Flaw::TooLong)
        ),
    }
    let now = written(&patched);
    let mut between = Vec::new();
    if diff(old, &now, &mut between).is_ok() {
        let mut patched = Patched::new(old).unwrap();
        let applied = patched.apply(&between).unwrap();
        // of a key that stands twice, another value may be found than the one that goes
        assert!(applied.fits || has_twins(old) || has_twins(&now));
        assert!(applied.knows);
        let equals = equal(&written(&patched), &now);
        assert!(equals != Ok(false) || has_twins(old) || has_twins(&now));
    }
    let _ = changes(old, &now, &mut |_| true, &mut |_| {});
    let _ = diff(delta, old, &mut Vec::new());
    let _ = changes(delta, old, &mut |_| true, &mut |_| {});
}

fn choices() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..60)
}

fn pool() -> impl Strategy<Value = Vec<Tree>> {
    prop::collection::vec(any_tree(), 1..6)
}

/// Three values of which no two have the same proof.
fn distinct_scalars() -> impl Strategy<Value = [Tree; 3]> {
    let scalar = prop_oneof![
        any::<i64>().prop_map(Tree::Int),
        (-9i64..9).prop_map(Tree::Int),
        (0u32..20).prop_map(Tree::Atom),
        prop::collection::vec(any::<u8>(), 0..30).prop_map(Tree::Binary),
    ];
    let distinct = |trees: &Vec<Tree>| {
        let proofs: std::collections::HashSet<_> =
            trees.iter().map(|tree| proof(&tree.bytes())).collect();
        proofs.len() == 3
    };
    prop::collection::vec(scalar, 3)
        .prop_filter("distinct", distinct)
        .prop_map(|trees| trees.try_into().unwrap())
}

proptest! {
    #[test]
    fn the_delta_applied_to_the_old_value_equals_the_new_one(old in any_tree(), new in any_tree()) {
        let (old, new) = (old.bytes(), new.bytes());
        let (now, how) = patch(&old, &delta(&old, &new));
        prop_assert_eq!(how, WELL);
        prop_assert_eq!(equal(&now, &new), Ok(true));
    }

    #[test]
    fn a_delta_of_values_that_have_much_in_common_does_so_too(tree in any_tree(), choices in choices(), pool in pool()) {
        let new = Choices { left: choices.iter(), pool: &pool }.change(&tree, &mut Vec::new());
        let (old, new) = (tree.bytes(), turned(&new).bytes());
        let (now, how) = patch(&old, &delta(&old, &new));
        prop_assert_eq!(how, WELL);
        prop_assert_eq!(equal(&now, &new), Ok(true));
    }

    #[test]
    fn the_delta_of_equal_values_says_same(tree in any_tree()) {
        prop_assert_eq!(delta(&tree.bytes(), &turned(&tree).bytes()), vec![format::SAME]);
    }

    #[test]
    fn deltas_applied_in_turn_match_naive(tree in any_tree(), choices in prop::collection::vec(choices(), 1..8), pool in pool()) {
        let old = tree.bytes();
        let (mut trees, mut deltas) = (vec![tree], Vec::new());
        for choices in &choices {
            let mut delta = Vec::new();
            let now = Choices { left: choices.iter(), pool: &pool }.change(trees.last().unwrap(), &mut delta);
            trees.push(now);
            deltas.push(delta);
        }
        let mut patched = Patched::new(&old).unwrap();
        let mut before = old.clone();
        for (delta, tree) in deltas.iter().zip(&trees[1..]) {
            prop_assert_eq!(skip_delta(delta), Ok(delta.len()));
            prop_assert_eq!(apply(&mut patched, delta), WELL);
            let now = written(&patched);
            prop_assert_eq!(equal(&now, &tree.bytes()), Ok(true), "{:?}", tree);
            let (alone, how) = patch(&before, delta);
            prop_assert_eq!(how, WELL);
            prop_assert_eq!(equal(&alone, &now), Ok(true));
            before = now;
        }
    }

    #[test]
    fn a_value_that_differs_where_one_was_taken_away_does_not_fit(
        tree in any_tree(), choices in choices(), pool in pool(), scalars in distinct_scalars(),
    ) {
        let [was, other, is] = &scalars;
        // what stands beside makes it worth while to tell of the change alone
        let pad = Tree::Binary(vec![7; 40]);
        let around = |at: &Tree| {
            let rest = Choices { left: choices.iter(), pool: &pool }.change(&tree, &mut Vec::new());
            let inner = Tree::Map(vec![(Tree::Atom(8), pad.clone()), (Tree::Atom(9), at.clone())]);
            Tree::Map(vec![
                (Tree::Atom(1), tree.clone()),
                (Tree::Atom(2), Tree::List(vec![Tree::Int(1), Tree::Tuple(vec![rest, inner])], None)),
            ])
        };
        let gone = |at: &Tree| Tree::Map(vec![(Tree::Atom(1), tree.clone()), (Tree::Atom(3), at.clone())]);
        let dropped = |at: &Tree| Tree::List(vec![tree.clone(), at.clone(), Tree::Tuple(vec![tree.clone(); 3])], None);
        let pairs = [
            (around(was), around(other), around(is)),
            (gone(was), gone(other), Tree::Map(vec![(Tree::Atom(1), tree.clone())])),
            (dropped(was), dropped(other), Tree::List(vec![tree.clone(), Tree::Tuple(vec![tree.clone(); 3])], None)),
        ];
        for (old, other, new) in pairs {
            let delta = delta(&old.bytes(), &new.bytes());
            prop_assert_eq!(patch(&old.bytes(), &delta).1, WELL);
            let (now, how) = patch(&other.bytes(), &delta);
            prop_assert_eq!(how, (false, true));
            prop_assert_eq!(equal(&now, &new.bytes()), Ok(true));
        }
    }

    #[test]
    fn an_opened_value_has_the_proof_of_its_bytes(tree in any_tree(), choices in choices(), pool in pool()) {
        let mut delta = Vec::new();
        let new = Choices { left: choices.iter(), pool: &pool }.change(&tree, &mut delta);
        let old = tree.bytes();
        let mut patched = Patched::new(&old).unwrap();
        apply(&mut patched, &delta);
        let proof = proof(&turned(&new).bytes());
        let [low, high] = proof.to_le_bytes();
        let replace = [format::PROVED_REPLACE, low, high, 0x81];
        prop_assert_eq!(apply(&mut patched, &replace), WELL);
    }

    #[test]
    fn touched_places_are_those_that_changed(tree in any_tree(), choices in choices(), pool in pool()) {
        let mut delta = Vec::new();
        let new = Choices { left: choices.iter(), pool: &pool }.change(&tree, &mut delta).bytes();
        let old = tree.bytes();
        let mut touched = false;
        touch(&delta, &mut |touch| {
            touched = true;
            let now = at_path(&new, touch.path);
            match touch.kind {
                Touched::Replaced { masked, cut } => {
                    let now = now.unwrap();
                    assert!(!cut);
                    // a fun may close over what is masked
                    assert!(masked || !has_masked(now));
                }
                Touched::Removed => assert!(now.is_none()),
                Touched::Reshaped => assert_eq!(now.map(|now| now[0]), Some(value::LIST)),
                Touched::Unknown => panic!("nothing is unknown here"),
            }
        }).unwrap();
        prop_assert!(touched || equal(&old, &new) == Ok(true));
    }

    #[test]
    fn changes_are_where_values_differ(tree in any_tree(), other in any_tree(), alike in any::<bool>(), choices in choices(), pool in pool()) {
        let new = if alike {
            turned(&Choices { left: choices.iter(), pool: &pool }.change(&tree, &mut Vec::new()))
        } else {
            other
        };
        let (old, new) = (tree.bytes(), new.bytes());
        let mut found = false;
        let mut masked = Vec::new();
        changes(&old, &new, &mut |path| {
            masked.push(path.iter().map(|step| step.bytes().to_vec()).collect::<Vec<_>>());
            false
        }, &mut |change| {
            found = true;
            let there = (change.old.is_some(), change.new.is_some());
            assert_eq!(there, match change.op {
                ChangeOp::Added => (false, true),
                ChangeOp::Removed => (true, false),
                ChangeOp::Changed => (true, true),
            });
            if let Some(was) = change.old {
                assert_eq!(at_path(&old, change.path), Some(was));
            }
            if let Some(is) = change.new {
                assert_eq!(at_path(&new, change.path), Some(is));
            }
            if let (Some(was), Some(is)) = (change.old, change.new) {
                assert_eq!(equal(was, is), Ok(false));
            }
        }).unwrap();
        prop_assert_eq!(!found, equal(&old, &new).unwrap());
        for path in masked {
            let path: Vec<_> = path.iter().map(|step| Step::key(step)).collect();
            prop_assert_eq!(at_path(&new, &path), Some(&[value::REDACTED][..]));
        }
    }

    #[test]
    fn values_that_were_cut_take_deltas(tree in any_tree(), bytes in 0usize..200, choices in choices(), pool in pool()) {
        let budget = Budget { bytes, depth: 4, length: Some(3) };
        let old = tree.bytes_within(&budget);
        let mut delta = Vec::new();
        let new = Choices { left: choices.iter(), pool: &pool }.change(&tree, &mut delta);
        survives(&old, &delta);
        // parts of the old value are missing, but what is there is as it was or as it is now
        let mut patched = Patched::new(&old).unwrap();
        prop_assert!(patched.apply(&delta).unwrap().knows);
        let cut = new.bytes_within(&budget);
        prop_assert_eq!(equal(&cut, &cut), Ok(true));
        survives(&old, &super::tests::delta(&old, &cut));
        let (now, how) = patch(&old, &super::tests::delta(&old, &cut));
        prop_assert_eq!(how, WELL);
        prop_assert_eq!(equal(&now, &cut), Ok(true));
    }

    #[test]
    fn rubbish_is_survived(delta in prop::collection::vec(prop_oneof![0u8..0x18, 0x7e..0x84u8, any::<u8>()], 0..60), old in any_tree()) {
        survives(&old.bytes(), &delta);
    }
}

proptest! {
    // each case is hundreds of corruptions
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn corruption_at_every_byte_is_survived(tree in any_tree(), choices in choices(), pool in pool(), flip in 1u8..=255) {
        let mut old = tree.bytes();
        let mut delta = Vec::new();
        Choices { left: choices.iter(), pool: &pool }.change(&tree, &mut delta);
        for at in 0..delta.len() {
            delta[at] ^= flip;
            survives(&old, &delta);
            survives(&old, &delta[..at]);
            delta[at] ^= flip;
        }
        for at in 0..old.len() {
            old[at] ^= flip;
            survives(&old, &delta);
            survives(&old[..at], &delta);
            old[at] ^= flip;
        }
    }
}

fn list(range: std::ops::Range<i64>) -> Tree {
    Tree::List(range.map(Tree::Int).collect(), None)
}

fn one_key(key: u32, value: Tree) -> Tree {
    Tree::Map(vec![(Tree::Atom(key), value)])
}

#[test]
fn a_changed_field_takes_a_few_bytes() {
    let state = |count| {
        let fields = [
            (5, Tree::Int(count)),
            (6, list(0..50)),
            (7, one_key(8, list(0..50))),
        ];
        Tree::Map(fields.map(|(key, value)| (Tree::Atom(key), value)).into()).bytes()
    };
    let [low, high] = proof(&Tree::Int(3).bytes()).to_le_bytes();
    let expected = [
        format::MAP,
        value::ATOM,
        5,
        format::PROVED_REPLACE,
        low,
        high,
        value::SMALL_INT + 4,
        format::MAP_END,
    ];
    assert_eq!(delta(&state(3), &state(4)), expected);
}

#[test]
fn an_element_before_or_behind_a_list_takes_as_many_bytes_as_it_has() {
    let (before, behind) = (list(-1..50), list(0..51));
    let (before, behind) = (
        delta(&list(0..50).bytes(), &before.bytes()),
        delta(&list(0..50).bytes(), &behind.bytes()),
    );
    let expected = [format::LIST, format::INSERT, value::INT, 1, format::REST];
    assert_eq!(before, expected);
    let expected = [
        format::LIST,
        format::KEEP,
        50,
        format::INSERT,
        value::SMALL_INT + 50,
        format::CLOSE,
    ];
    assert_eq!(behind, expected);
}

#[test]
fn what_is_not_there_or_masked_or_cut_stays_and_does_not_fit() {
    let replace = |inside: &[u8]| [inside, &[format::REPLACE, 0x81]].concat();
    let in_map =
        |key: &[u8], delta: &[u8]| [&[format::MAP], key, delta, &[format::MAP_END]].concat();
    let atom = |name: u8| [value::ATOM, name];
    let map = one_key(5, Tree::Int(7));
    let cut = list(0..9).bytes_within(&Budget {
        bytes: 100,
        depth: 9,
        length: Some(3),
    });
    for (old, delta) in [
        (map.bytes(), in_map(&atom(6), &[format::REMOVED])),
        (
            map.bytes(),
            in_map(&atom(6), &in_map(&atom(5), &replace(&[]))),
        ),
        (
            map.bytes(),
            in_map(&atom(5), &in_map(&atom(5), &replace(&[]))),
        ),
        (
            map.bytes(),
            [&replace(&[format::TUPLE, 1])[..], &[0]].concat(),
        ),
        (Tree::Redacted.bytes(), in_map(&atom(5), &replace(&[]))),
        (
            Tree::Tuple(vec![Tree::Int(1)]).bytes(),
            [&replace(&[format::TUPLE, 2])[..], &[0]].concat(),
        ),
        (
            cut.clone(),
            [
                &replace(&[format::LIST, format::KEEP, 4, format::CHANGE])[..],
                &[format::REST],
            ]
            .concat(),
        ),
        (
            list(0..3).bytes(),
            vec![
                format::LIST,
                format::DROP,
                3,
                format::DROP,
                1,
                format::INSERT,
                0x80,
                format::REST,
            ],
        ),
    ] {
        let (now, how) = patch(&old, &delta);
        assert_eq!(how, (false, true), "{delta:?}");
        if !delta.contains(&format::DROP) || old != list(0..3).bytes() {
            assert_eq!(now, old, "{delta:?}");
        }
    }
}

#[test]
fn what_is_unknown_is_said() {
    let old = one_key(5, Tree::Int(7)).bytes();
    let delta = [
        format::MAP,
        value::ATOM,
        5,
        format::UNKNOWN,
        format::MAP_END,
    ];
    assert_eq!(patch(&old, &delta), (old, (true, false)));
}

#[test]
fn the_mark_of_a_cut_counts_what_comes_and_goes() {
    let cut = |from: i64, length| {
        list(from..9).bytes_within(&Budget {
            bytes: 100,
            depth: 9,
            length: Some(length),
        })
    };
    let delta = [format::LIST, format::INSERT, value::INT, 1, format::REST];
    assert_eq!(patch(&cut(0, 3), &delta), (cut(-1, 4), WELL));
    let delta = [format::LIST, format::DROP, 1, format::REST];
    assert_eq!(patch(&cut(0, 3), &delta), (cut(1, 2), WELL));
    // what was missing was dropped
    let delta = [format::LIST, format::KEEP, 2, format::CLOSE];
    assert_eq!(patch(&cut(0, 3), &delta), (list(0..2).bytes(), WELL));
}

#[test]
fn a_key_that_comes_back_stands_where_it_stood() {
    let pairs = |count: i64| (0..count).map(|n| (Tree::Int(n), Tree::Int(n))).collect();
    for count in [3, 40] {
        let old = Tree::Map(pairs(count)).bytes();
        let mut patched = Patched::new(&old).unwrap();
        let gone = [format::MAP, 0x81, format::REMOVED, format::MAP_END];
        assert_eq!(apply(&mut patched, &gone), WELL);
        assert_eq!(apply(&mut patched, &gone), (false, true));
        let less = written(&patched);
        assert_eq!(less[..2], [value::MAP, count as u8 - 1]);
        let back = [format::MAP, 0x81, format::REPLACE, 0x81, format::MAP_END];
        assert_eq!(apply(&mut patched, &back), WELL);
        assert_eq!(written(&patched), old);
    }
}

#[test]
fn many_keys_and_odd_ones_are_found() {
    let odd = |n: i64| {
        one_key(
            5,
            Tree::Map(vec![
                (Tree::Int(n), Tree::Int(1)),
                (Tree::Int(-1), Tree::Int(2)),
            ]),
        )
    };
    let pairs: Vec<_> = (0..100)
        .flat_map(|n| [(Tree::Int(n), Tree::Int(0)), (odd(n), Tree::Int(0))])
        .collect();
    let old = Tree::Map(pairs.clone()).bytes();
    let mut patched = Patched::new(&old).unwrap();
    let deltas: Vec<Vec<u8>> = pairs
        .iter()
        .map(|(key, _)| {
            [
                &[format::MAP][..],
                &turned(key).bytes(),
                &[format::REPLACE, 0x81, format::MAP_END],
            ]
            .concat()
        })
        .collect();
    for delta in &deltas {
        assert_eq!(apply(&mut patched, delta), WELL);
    }
    let new = pairs
        .into_iter()
        .map(|(key, _)| (key, Tree::Int(1)))
        .collect();
    assert_eq!(written(&patched), Tree::Map(new).bytes());
}

#[test]
fn many_changes_of_a_long_list_take_no_longer_than_it_is() {
    let many = 100_000;
    let old = list(0..many).bytes();
    let mut delta = vec![format::LIST];
    for _ in 0..many / 2 {
        delta.extend([format::KEEP, 1, format::DROP, 1, format::INSERT, value::NIL]);
    }
    delta.push(format::CLOSE);
    let new: Vec<_> = (0..many)
        .map(|n| {
            if n % 2 == 0 {
                Tree::Int(n)
            } else {
                Tree::List(vec![], None)
            }
        })
        .collect();
    assert_eq!(patch(&old, &delta), (Tree::List(new, None).bytes(), WELL));
}

#[test]
fn depth_is_no_danger() {
    let deep = 50_000;
    let nested = |inside: u8| {
        let mut bytes = vec![value::LIST; deep];
        bytes.push(inside);
        bytes.extend(vec![value::END; deep]);
        bytes
    };
    let (old, new) = (nested(0x80), nested(0x81));
    let mut change = [format::LIST, format::CHANGE].repeat(deep);
    change.extend([format::REPLACE, 0x81]);
    change.extend(vec![format::REST; deep]);
    assert_eq!(patch(&old, &change), (new.clone(), WELL));
    let mut found = 0;
    touch(&change, &mut |touch| {
        found += 1;
        assert_eq!(touch.path.len(), deep);
    })
    .unwrap();
    assert_eq!(found, 1);
    assert_eq!(patch(&old, &delta(&old, &new)).0, new);
    changes(&old, &new, &mut |_| false, &mut |change| {
        assert_eq!((change.path.len(), change.op), (64, ChangeOp::Changed));
    })
    .unwrap();
    survives(&old, &[format::LIST, format::CHANGE].repeat(deep));
}

#[test]
fn touches_say_what_was_masked_and_cut_and_reshaped() {
    let mut delta = vec![
        format::MAP,
        value::ATOM,
        5,
        format::REPLACE,
        value::TUPLE,
        1,
    ];
    delta.extend([
        value::REDACTED,
        value::ATOM,
        6,
        format::LIST,
        format::KEEP,
        200,
        1,
    ]);
    delta.extend([
        format::CHANGE,
        format::REPLACE,
        value::TRUNCATED,
        Cut::Bytes as u8,
        0,
        0,
    ]);
    delta.extend([
        format::INSERT,
        0x80,
        format::CHANGE,
        format::UNKNOWN,
        format::REST,
    ]);
    delta.extend([value::ATOM, 7, format::TUPLE, 3, format::REPLACE, 0x80, 0]);
    delta.extend([value::ATOM, 8, format::REMOVED, format::MAP_END]);
    let mut found = Vec::new();
    touch(&delta, &mut |touch| {
        let path: Vec<u8> = touch
            .path
            .iter()
            .flat_map(|step| step.bytes().to_vec())
            .collect();
        found.push((path, touch.kind));
    })
    .unwrap();
    let replaced = |masked, cut| Touched::Replaced { masked, cut };
    let int = |n: i64| Tree::Int(n).bytes();
    let expected = [
        (vec![value::ATOM, 5], replaced(true, false)),
        (
            [vec![value::ATOM, 6], int(200)].concat(),
            replaced(false, true),
        ),
        (vec![value::ATOM, 6], Touched::Reshaped),
        ([vec![value::ATOM, 6], int(202)].concat(), Touched::Unknown),
        (vec![value::ATOM, 7, 0x82], replaced(false, false)),
        (vec![value::ATOM, 8], Touched::Removed),
    ];
    assert_eq!(found, expected);
}

#[test]
fn masked_values_changed_if_they_were_set() {
    let old = Tree::Map(vec![
        (Tree::Atom(5), Tree::Redacted),
        (
            Tree::Atom(6),
            Tree::Tuple(vec![Tree::Int(1), Tree::Redacted]),
        ),
    ]);
    let bytes = old.bytes();
    let mut asked = Vec::new();
    let mut found = Vec::new();
    changes(
        &bytes,
        &turned(&old).bytes(),
        &mut |path| {
            asked.push(path.len());
            path.len() == 2
        },
        &mut |change| {
            assert_eq!(
                (change.op, change.old, change.new),
                (ChangeOp::Changed, None, None)
            );
            found.push(
                change
                    .path
                    .iter()
                    .flat_map(|step| step.bytes().to_vec())
                    .collect::<Vec<_>>(),
            );
        },
    )
    .unwrap();
    asked.sort_unstable();
    assert_eq!(asked, [1, 2]);
    assert_eq!(found, [[value::ATOM, 6, 0x81]]);
}

#[test]
fn what_a_budget_left_out_is_no_change() {
    let whole = |from: i64| Tree::Map((from..9).map(|n| (Tree::Int(n), Tree::Int(n))).collect());
    let cut = |length, from| {
        whole(from).bytes_within(&Budget {
            bytes: 1_000,
            depth: 9,
            length: Some(length),
        })
    };
    let count = |old: &[u8], new: &[u8]| {
        let mut found = 0;
        changes(old, new, &mut |_| false, &mut |_| found += 1).unwrap();
        found
    };
    assert_eq!(count(&whole(0).bytes(), &cut(3, 0)), 0);
    assert_eq!(count(&cut(3, 0), &whole(0).bytes()), 0);
    // the first is known to be gone
    assert_eq!(count(&cut(3, 0), &whole(1).bytes()), 1);
}

#[test]
fn malformed_deltas_say_what_and_where() {
    for (bytes, at, flaw) in [
        (&[][..], 0, Flaw::Ended),
        (&[0x7f], 0, Flaw::Tag(0x7f)),
        (&[format::REMOVED], 0, Flaw::Place),
        (&[format::REPLACE], 1, Flaw::Ended),
        (&[format::TUPLE, 1, format::REMOVED], 2, Flaw::Place),
        (&[format::TUPLE, 1, format::SAME], 3, Flaw::Ended),
        (&[format::MAP, 0x80], 2, Flaw::Ended),
        (&[format::LIST, format::KEEP, 0], 2, Flaw::Number),
        (&[format::LIST, 0x7f], 1, Flaw::Tag(0x7f)),
        (
            &[format::LIST, format::LIST_TAIL, value::NIL],
            2,
            Flaw::Place,
        ),
        (
            &[format::TUPLE, 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 1, 0],
            7,
            Flaw::Number,
        ),
    ] {
        assert_eq!(skip_delta(bytes), Err(Malformed { at, flaw }), "{bytes:?}");
    }
}

#[test]
fn an_index_is_a_step_like_its_integer() {
    for index in [0, 1, 127, 128, 300, 70_000, 1 << 40, i64::MAX as u64] {
        assert_eq!(Step::index(index).bytes(), Tree::Int(index as i64).bytes());
    }
}
