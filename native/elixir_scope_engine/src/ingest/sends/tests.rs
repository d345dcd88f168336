//! Messages against a plain list of them.

use super::*;
use proptest::prelude::*;

fn message(receiver: u64, bytes: &[u8]) -> Message<'_> {
    Message {
        via: Via::Notice,
        receiver: ProcessId(receiver),
        sender: ProcessId::NONE,
        bytes,
    }
}

const CONTENTS: [&[u8]; 4] = [b"a", b"b", b"ab", b""];

proptest! {
    #[test]
    fn messages_are_kept_as_a_plain_list_keeps_them(
        steps in prop::collection::vec((0u8..12, 1u64..4, 0usize..4, 1u64..4), 1..300)
    ) {
        // Number, receiver, content, root, and whether it is one of several that one was taken of.
        let mut list: Vec<(u32, u64, usize, u64, bool)> = Vec::new();
        let mut sends = Sends::new(0);
        for (now, (step, receiver, content, root)) in (1..).zip(steps) {
            let message = message(receiver, CONTENTS[content]);
            let is_same = |&(_, r, c, ..): &(u32, u64, usize, u64, bool)| (r, c) == (receiver, content);
            let same: Vec<_> = list.iter().copied().filter(is_same).collect();
            let differ = same.iter().any(|one| one.3 != same[0].3 || one.4);
            match step {
                0..=5 => {
                    let (number, forgotten) = sends.push(&message, Told::default(), CorrelationId(root), TimeNs(now));
                    let oldest = number.checked_sub(16);
                    let gone = list.iter().position(|one| Some(one.0) == oldest).map(|at| list.remove(at));
                    prop_assert_eq!(forgotten, gone.map(|one| ProcessId(one.1)));
                    if let Some(gone) = gone {
                        let of_gone = |one: &&mut (u32, u64, usize, u64, bool)| (one.1, one.2) == (gone.1, gone.2);
                        let roots: Vec<u64> = list.iter_mut().filter(of_gone).map(|one| one.3).collect();
                        let mixed = gone.4 || roots.iter().any(|root| *root != gone.3);
                        list.iter_mut().filter(of_gone).for_each(|one| one.4 |= mixed);
                    }
                    list.push((number, receiver, content, root, false));
                }
                6..=9 => {
                    let looked = sends.look(&message);
                    prop_assert_eq!(looked.is_some(), !same.is_empty());
                    if let Some(looked) = looked {
                        let root = if differ { CorrelationId::AMBIGUOUS } else { CorrelationId(same[0].3) };
                        prop_assert_eq!(looked.root, root);
                    }
                    sends.take(&message, false);
                    if let Some(first) = same.first() {
                        list.retain(|one| one.0 != first.0);
                        list.iter_mut().filter(|one| is_same(one)).for_each(|one| one.4 |= differ);
                    }
                }
                10 => {
                    sends.sweep(&mut |process| process.0 != receiver);
                    list.retain(|one| one.1 != receiver);
                }
                _ => {
                    if let Some(last) = same.last() {
                        sends.answered(last.0, TimeNs(now));
                        list.retain(|one| !is_same(one));
                    }
                }
            }
            prop_assert_eq!(sends.len(), list.len());
        }
    }
}

#[test]
fn a_sender_that_waited_long_may_have_given_up() {
    let mut sends = Sends::new(0);
    let (number, _) = sends.push(
        &message(1, b"a"),
        Told::default(),
        CorrelationId(5),
        TimeNs(0),
    );
    sends.answered(number, TimeNs(10_000_000));
    assert_eq!(sends.len(), 1);
    sends.answered(number, TimeNs(9_999_999));
    assert_eq!(sends.len(), 0);
    sends.answered(number, TimeNs(9_999_999));
}

#[test]
fn room_is_what_the_budget_gives_and_numbers_begin_anew() {
    let budget = 100_000;
    let mut sends = Sends::new(budget);
    assert!(sends.bytes() <= budget && sends.bytes() > budget / 3);
    sends.next = u32::MAX - 5;
    let before = sends.bytes();
    for root in 1..=5_000 {
        let bytes = [root as u8, (root >> 8) as u8];
        sends.push(
            &message(root, &bytes),
            Told::default(),
            CorrelationId(root),
            TimeNs(root as i64),
        );
    }
    assert_eq!((sends.bytes(), sends.len()), (before, sends.ring.len()));
    let last = sends.look(&message(5_000, &[136, 19])).unwrap();
    assert_eq!(last.root, CorrelationId(5_000));
    assert_eq!(sends.look(&message(1, &[1, 0])), None);
}
