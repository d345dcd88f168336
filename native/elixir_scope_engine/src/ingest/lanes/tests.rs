//! Lines against plain lists of what is in them.

use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;

/// What is in a line, as those know it who put it there.
#[derive(Default)]
struct Line {
    /// Each with its number, content and reference, and whether it is known that there is one.
    inside: VecDeque<(u64, u64, u64, bool)>,
    in_lost: bool,
    out_lost: bool,
    lost: [i64; 2],
}

fn waiting(content: u64, reference: u64, id: u64, time: i64) -> Waiting {
    Waiting {
        content,
        reference,
        id: EventId(id),
        root: CorrelationId(id),
        time: TimeNs(time),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn what_comes_out_is_told_right_or_not_at_all(
        steps in prop::collection::vec((0u8..20, 0usize..3, 1u64..4, any::<bool>(), 0u8..12), 1..400),
        losses in any::<bool>(), budget in prop_oneof![Just(0usize), Just(1 << 16)],
    ) {
        let mut lanes = Lanes::new(budget);
        let mut lines: [Line; 3] = Default::default();
        let mut now = 1_000;
        let never = i64::MIN;
        lines.iter_mut().for_each(|line| line.lost = [never; 2]);
        let mut blurred = false;
        for (id, (step, at, content, named, lost)) in (1..).zip(steps) {
            now += 1_000;
            let lost = lost == 0 && losses;
            let line = &mut lines[at];
            match step {
                0..=9 => {
                    let reference = if named { id } else { 0 };
                    line.inside.push_back((id, content, reference, !lost));
                    if lost {
                        line.in_lost = true;
                        blurred = true;
                        continue;
                    }
                    if std::mem::take(&mut line.in_lost) {
                        line.lost[0] = now;
                        line.inside.iter_mut().for_each(|message| message.3 = true);
                    }
                    lanes.push(&at, waiting(content, reference, id, now), TimeNs(line.lost[0]));
                }
                10..=18 => {
                    let Some((id, content, reference, is_known)) = line.inside.pop_front() else { continue };
                    if lost {
                        line.out_lost = true;
                        blurred = true;
                        continue;
                    }
                    if std::mem::take(&mut line.out_lost) {
                        line.lost[1] = now;
                    }
                    // Who takes it out may not see the reference.
                    let reference = if step == 18 { 0 } else { reference };
                    match lanes.take(&at, content, reference, TimeNs(now), (NEVER, TimeNs(line.lost[1]))) {
                        Out::One(found) => {
                            let is_right_line = line.lost == [never; 2] && budget > 0;
                            prop_assert!(found.id == EventId(id) || !is_known && !is_right_line);
                        }
                        Out::Several => prop_assert!(blurred || budget == 0),
                        Out::Unknown => prop_assert!(blurred || budget == 0),
                    }
                }
                _ => {
                    // Nobody waits so long: by then all has come out, seen or not.
                    for (at, line) in lines.iter_mut().enumerate() {
                        for (id, content, reference, is_known) in line.inside.drain(..) {
                            if std::mem::take(&mut line.out_lost) {
                                line.lost[1] = now;
                            }
                            if let Out::One(found) = lanes.take(&at, content, reference, TimeNs(now), (NEVER, TimeNs(line.lost[1]))) {
                                prop_assert!(found.id == EventId(id) || !is_known);
                            }
                        }
                    }
                    now += WAIT_NS + 1;
                }
            }
            let inside: usize = lanes.places.iter().filter(|place| place.is_used).count();
            prop_assert_eq!(inside, lanes.len());
        }
    }
}

#[test]
fn room_is_what_the_budget_gives_and_what_had_to_go_is_not_mistaken() {
    let budget = 100_000;
    let mut lanes = Lanes::new(budget);
    assert_eq!(lanes.bytes(), 0);
    let all = 5_000;
    for id in 1..=all {
        lanes.push(&1, waiting(7, 0, id, id as i64), NEVER);
        assert!(lanes.bytes() <= budget);
    }
    let room = lanes.len() as u64;
    assert!(room > 500 && lanes.bytes() > budget * 9 / 10);
    for id in 1..=all {
        let out = lanes.take(&1, 7, 0, TimeNs(all as i64), (NEVER, NEVER));
        match out {
            Out::One(found) => assert_eq!(found.id, EventId(id)),
            _ => assert!(id <= all - room, "{id} {out:?}"),
        }
    }
    assert_eq!(lanes.len(), 0);
}

#[test]
fn what_was_sent_when_nobody_saw_arrivals_is_forgotten_when_somebody_does() {
    let mut lanes = Lanes::new(1 << 16);
    for (lane, id) in [(1, 1), (2, 2), (1, 3), (2, 4)] {
        lanes.push(&lane, waiting(1, 0, id, 1), NEVER);
    }
    let first = lanes.take(&1, 1, 0, TimeNs(2), (NEVER, NEVER));
    assert_eq!(first, Out::One(waiting(1, 0, 1, 1)));
    lanes.drop_silent();
    assert_eq!(lanes.len(), 1);
    assert_eq!(
        lanes.take(&2, 1, 0, TimeNs(2), (NEVER, NEVER)),
        Out::Unknown
    );
    lanes.push(&2, waiting(1, 0, 5, 3), NEVER);
    let fifth = lanes.take(&2, 1, 0, TimeNs(4), (NEVER, NEVER));
    assert_eq!(fifth, Out::One(waiting(1, 0, 5, 3)));
    lanes.silence();
    lanes.drop_silent();
    assert_eq!(lanes.len(), 0);
}

#[test]
fn lines_that_nothing_comes_out_of_give_way_first() {
    let mut lanes = Lanes::new(100_000);
    lanes.push(&1, waiting(1, 0, 1, 1), NEVER);
    lanes.take(&1, 9, 0, TimeNs(1), (NEVER, NEVER));
    for id in 2..20_000 {
        lanes.push(&(id % 1_000 + 10), waiting(1, 0, id, 1), NEVER);
    }
    let found = lanes.take(&1, 1, 0, TimeNs(2), (NEVER, NEVER));
    assert_eq!(found, Out::One(waiting(1, 0, 1, 1)));
}

#[test]
fn a_content_that_is_there_once_sets_a_line_right_and_equal_ones_do_not() {
    let mut lanes = Lanes::new(1 << 16);
    let later = WAIT_NS + 2;
    for id in 1..=3 {
        lanes.push(&1, waiting(7, 0, id, id as i64), TimeNs(2));
    }
    // One of those before the second is lost, which may be like them.
    assert_eq!(
        lanes.take(&1, 7, 0, TimeNs(4), (NEVER, NEVER)),
        Out::Several
    );
    assert_eq!(
        lanes.take(&1, 7, 0, TimeNs(later), (NEVER, NEVER)),
        Out::Several
    );
    lanes.push(&1, waiting(8, 0, 4, later), TimeNs(2));
    lanes.push(&1, waiting(7, 0, 5, later), TimeNs(2));
    let found = lanes.take(&1, 8, 0, TimeNs(later), (NEVER, NEVER));
    assert_eq!(found, Out::One(waiting(8, 0, 4, later)));
    let found = lanes.take(&1, 7, 0, TimeNs(later), (NEVER, NEVER));
    assert_eq!(found, Out::One(waiting(7, 0, 5, later)));
    assert_eq!(lanes.len(), 0);
}

#[test]
fn from_a_line_without_order_only_what_is_there_once_is_taken() {
    let mut lanes = Lanes::new(1 << 16);
    for (id, content) in [(1, 7), (2, 8), (3, 7), (4, 9)] {
        lanes.push(&1, waiting(content, 0, id, 1), NEVER);
    }
    assert_eq!(lanes.take_only(&1, 8, 0), Out::One(waiting(8, 0, 2, 1)));
    assert_eq!(lanes.take_only(&1, 9, 0), Out::One(waiting(9, 0, 4, 1)));
    assert_eq!(lanes.take_only(&1, 7, 0), Out::Several);
    assert_eq!(lanes.take_only(&1, 5, 0), Out::Unknown);
    assert_eq!(lanes.len(), 2);
    lanes.push(&1, waiting(5, 6, 5, 1), NEVER);
    assert_eq!(lanes.take_only(&1, 5, 6), Out::One(waiting(5, 6, 5, 1)));
}
