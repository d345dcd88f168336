//! What makes a state exact, what makes it doubtful, and what heals it.

use super::twin::{Edit, Leaf, play};
use super::*;
use crate::value::diff;

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
