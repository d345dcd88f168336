use super::*;
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};

/// All processes live but those that it names.
struct Dead(HashSet<u64>);

impl Host for Dead {
    fn monotonic_ns(&self) -> i64 {
        0
    }
    fn is_alive(&self, process: ProcessId) -> bool {
        !self.0.contains(&process.0)
    }
    fn notify(&self, _: u64) {}
    fn atom_name(&self, _: crate::event::AtomId, _: &mut String) -> bool {
        false
    }
}

fn nobody_dead() -> Dead {
    Dead(HashSet::new())
}

/// On a stack that has room for it on its way into the heap.
fn traces() -> Box<Traces> {
    let thread = std::thread::Builder::new().stack_size(64 << 20);
    let made = thread.spawn(|| Box::new(Traces::new())).unwrap();
    made.join().unwrap()
}

const ALL_DAY: TraceConfig<'static> = TraceConfig {
    groups: Group::ALL,
    scope: Scope::Members,
    args: true,
    results: true,
    only_inside: SiteId::NONE,
    follow: None,
    exact: false,
    max: u64::MAX,
    rate: u32::MAX,
    until: TimeNs(i64::MAX),
};

fn pid(number: u64) -> ProcessId {
    ProcessId(number << 4 | 3)
}

#[test]
fn an_event_is_wanted_by_the_traces_of_its_process_and_sort() {
    let (traces, host) = (traces(), nobody_dead());
    let sends = TraceConfig {
        groups: &[Group::Send],
        ..ALL_DAY
    };
    let calls = TraceConfig {
        groups: &[Group::Call],
        scope: Scope::Everyone,
        ..ALL_DAY
    };
    let one = traces.open(&sends, TimeNs(0)).unwrap();
    let other = traces.open(&calls, TimeNs(0)).unwrap();
    assert!(traces.set_member(one, pid(1), true, &host));
    assert_eq!(traces.wanted(Group::Send, pid(1)), TraceSet::of(one));
    assert_eq!(traces.wanted(Group::Send, pid(2)), TraceSet::EMPTY);
    assert_eq!(traces.wanted(Group::Call, pid(2)), TraceSet::of(other));
    assert_eq!(traces.of(pid(1)), TraceSet::of(one) | TraceSet::of(other));
    traces.end(one, Ending::Stopped);
    assert_eq!(traces.wanted(Group::Send, pid(1)), TraceSet::EMPTY);
    assert!(!traces.any_wants(Group::Send) && traces.any_wants(Group::Call));
    traces.free(one);
    assert_eq!(traces.state(one), None);
    assert_eq!(
        traces.open(&sends, TimeNs(0)),
        Some(one),
        "the number is free, and its members are gone"
    );
    assert_eq!(traces.wanted(Group::Send, pid(1)), TraceSet::EMPTY);
}

#[test]
fn there_are_sixteen_and_no_more() {
    let traces = traces();
    let numbers: Vec<_> = (0..17).map(|_| traces.open(&ALL_DAY, TimeNs(0))).collect();
    assert_eq!(numbers[15], Some(15));
    assert_eq!(numbers[16], None);
    traces.free(3);
    assert_eq!(traces.open(&ALL_DAY, TimeNs(0)), Some(3));
}

#[test]
fn a_trace_ends_with_the_event_that_fills_it() {
    let traces = traces();
    let three = TraceConfig { max: 3, ..ALL_DAY };
    let number = traces.open(&three, TimeNs(0)).unwrap();
    let set = TraceSet::of(number);
    let counted: Vec<_> = (0..5).map(|n| traces.count(set, TimeNs(n))).collect();
    assert_eq!(counted, [set, set, set, TraceSet::EMPTY, TraceSet::EMPTY]);
    let state = traces.state(number).unwrap();
    assert_eq!((state.ending, state.recorded), (Some(Ending::Max), 3));
    assert!(traces.running().is_empty());
}

#[test]
fn a_trace_ends_when_one_second_has_too_many() {
    let traces = traces();
    let quick = TraceConfig { rate: 2, ..ALL_DAY };
    let number = traces.open(&quick, TimeNs(500)).unwrap();
    let set = TraceSet::of(number);
    let second = 1_000_000_000;
    for n in 0..4 {
        let begins = TimeNs(500 + n * second);
        assert_eq!(traces.count(set, begins), set);
        assert_eq!(traces.count(set, TimeNs(begins.0 + second - 1)), set);
    }
    assert_eq!(
        traces.count(set, TimeNs(500 + 4 * second - 1)),
        TraceSet::EMPTY
    );
    let state = traces.state(number).unwrap();
    assert_eq!(
        (state.ending, state.recorded, state.skipped),
        (Some(Ending::Rate), 8, 1)
    );
}

#[test]
fn a_trace_ends_with_its_time() {
    let traces = traces();
    let short = TraceConfig {
        until: TimeNs(100),
        ..ALL_DAY
    };
    let number = traces.open(&short, TimeNs(0)).unwrap();
    let set = TraceSet::of(number);
    assert_eq!(traces.count(set, TimeNs(99)), set);
    assert_eq!(traces.count(set, TimeNs(100)), TraceSet::EMPTY);
    traces.end(number, Ending::Stopped);
    assert_eq!(
        traces.state(number).unwrap().ending,
        Some(Ending::Time),
        "the first reason holds"
    );
}

#[test]
fn threads_that_count_at_once_keep_the_limits_to_the_event() {
    let limits = [
        TraceConfig {
            max: 1_500,
            ..ALL_DAY
        },
        TraceConfig {
            rate: 1_500,
            ..ALL_DAY
        },
    ];
    for config in limits {
        let traces = traces();
        let number = traces.open(&config, TimeNs(0)).unwrap();
        let set = TraceSet::of(number);
        let count = || (0..1_000).filter(|_| traces.count(set, TimeNs(7)) == set);
        let recorded: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| count().count())).collect();
            threads.into_iter().map(|one| one.join().unwrap()).sum()
        });
        assert_eq!(recorded, 1_500);
        let state = traces.state(number).unwrap();
        assert_eq!((state.recorded, state.skipped), (1_500, 2_500));
    }
}

#[test]
fn what_is_seen_at_first_sight_is_so() {
    let (traces, host) = (traces(), nobody_dead());
    let plain = traces.open(&ALL_DAY, TimeNs(0)).unwrap();
    let inside = TraceConfig {
        only_inside: SiteId(7),
        groups: &[Group::Send],
        ..ALL_DAY
    };
    let inside = traces.open(&inside, TimeNs(0)).unwrap();
    traces.set_member(plain, pid(1), true, &host);
    traces.set_member(inside, pid(2), true, &host);
    assert!(traces.surely_wants(Group::Send, pid(1)) && traces.surely_has(pid(1)));
    assert!(traces.surely_has(pid(2)), "it belongs to a trace");
    let member = traces.member(pid(2)).unwrap();
    for is_inside in [false, true] {
        member.enclose(TraceSet::of(inside), is_inside);
        assert!(
            !traces.surely_wants(Group::Send, pid(2)),
            "has to be looked at closer"
        );
        assert_eq!(
            traces.standing(pid(2)).may_want(Group::Send),
            is_inside,
            "and is then told by the call"
        );
    }
    assert!(!traces.surely_wants(Group::Send, pid(3)) && !traces.surely_has(pid(3)));
    assert!(!traces.surely_has(ProcessId::NONE));
    traces.end(plain, Ending::Stopped);
    assert!(!traces.surely_wants(Group::Send, pid(1)) && !traces.surely_has(pid(1)));
}

#[test]
fn what_lies_outside_of_the_enclosing_call_is_not_wanted() {
    let (traces, host) = (traces(), nobody_dead());
    let inside = TraceConfig {
        scope: Scope::Everyone,
        only_inside: SiteId(7),
        ..ALL_DAY
    };
    let set = TraceSet::of(traces.open(&inside, TimeNs(0)).unwrap());
    assert_eq!(traces.enclosed_by(SiteId(7)), set);
    assert_eq!(traces.enclosed_by(SiteId(8)), TraceSet::EMPTY);
    assert_eq!(traces.wanted(Group::Send, pid(1)), TraceSet::EMPTY);
    let member = traces.member_or_new(pid(1), set, &host).unwrap();
    member.enclose(set, true);
    member.enclose(set, true);
    member.enclose(set, false);
    assert_eq!(traces.wanted(Group::Send, pid(1)), set, "one is open still");
    assert_eq!(traces.wanted(Group::Send, pid(2)), TraceSet::EMPTY);
    member.enclose(set, false);
    assert_eq!(traces.wanted(Group::Send, pid(1)), TraceSet::EMPTY);
}

#[test]
fn the_newborn_and_those_who_get_messages_join() {
    let (traces, host) = (traces(), nobody_dead());
    let open = |scope, follow| {
        let config = TraceConfig {
            scope,
            follow,
            ..ALL_DAY
        };
        TraceSet::of(traces.open(&config, TimeNs(0)).unwrap())
    };
    let new = open(Scope::Newborn, None);
    let spawn = open(Scope::Members, Some(Follow::Spawn));
    let message = open(Scope::Members, Some(Follow::Message));
    traces.set_member(1, pid(1), true, &host);
    traces.set_member(2, pid(1), true, &host);
    assert_eq!(traces.born(pid(2), pid(1), &host), new | spawn);
    assert_eq!(traces.born(pid(3), pid(9), &host), new);
    traces.sent(pid(4), traces.wanted(Group::Send, pid(1)), &host);
    assert_eq!(traces.of(pid(4)), message);
    traces.sent(pid(5), traces.wanted(Group::Send, pid(2)), &host);
    assert_eq!(traces.of(pid(5)), TraceSet::EMPTY, "2 is no member of it");
}

#[test]
fn functions_belong_to_traces_until_these_are_freed() {
    let traces = traces();
    for _ in 0..2 {
        traces.open(&ALL_DAY, TimeNs(0));
    }
    let both = TraceSet::from_bits(0b11);
    traces.set_function(SiteId(5), both);
    assert_eq!(traces.of_function(SiteId(5)), both);
    assert_eq!(traces.of_function(SiteId(6)), TraceSet::EMPTY);
    assert_eq!(traces.of_function(SiteId::NONE), TraceSet::EMPTY);
    traces.free(0);
    assert_eq!(traces.of_function(SiteId(5)), TraceSet::of(1));
}

#[test]
fn room_is_made_by_the_dead() {
    let traces = traces();
    let number = traces.open(&ALL_DAY, TimeNs(0)).unwrap();
    let host = nobody_dead();
    let mut refused = Vec::new();
    for n in 1..=(1 << 18) {
        if !traces.set_member(number, pid(n), true, &host) {
            refused.push(n);
        }
    }
    assert!(!refused.is_empty(), "twice as many as there is room for");
    let missed = traces.state(number).unwrap().missed;
    assert_eq!(missed, refused.len() as u64, "each is counted");
    let all_others_dead = Dead((1..=1 << 18).map(|n| pid(n).0).collect());
    let late = pid(*refused.last().unwrap());
    assert!(traces.set_member(number, late, true, &all_others_dead));
    assert_eq!(traces.of(late), TraceSet::of(number));
}

#[test]
fn threads_that_claim_for_one_process_share_its_entry() {
    let traces = traces();
    let numbers: Vec<u32> = (0..8)
        .map(|_| traces.open(&ALL_DAY, TimeNs(0)).unwrap())
        .collect();
    std::thread::scope(|scope| {
        for &number in &numbers {
            let traces = &traces;
            scope.spawn(move || {
                for n in 1..2_000 {
                    traces.set_member(number, pid(n), true, &nobody_dead());
                }
            });
        }
    });
    let all = TraceSet::from_bits(0xff);
    for n in 1..2_000 {
        assert_eq!(traces.of(pid(n)), all, "process {n}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn members_are_kept_as_a_plain_map_keeps_them(
        steps in prop::collection::vec((0u8..4, 0u32..3, 1u64..40), 1..400)
    ) {
        let (traces, host) = (traces(), nobody_dead());
        for _ in 0..3 {
            traces.open(&ALL_DAY, TimeNs(0));
        }
        let mut map: HashMap<u64, u32> = HashMap::new();
        for (step, number, process) in steps {
            match step {
                0 | 1 => {
                    traces.set_member(number, pid(process), true, &host);
                    *map.entry(process).or_default() |= 1 << number;
                }
                2 => {
                    traces.set_member(number, pid(process), false, &host);
                    if let Some(set) = map.get_mut(&process) {
                        *set &= !(1 << number);
                    }
                }
                _ => {
                    traces.born(pid(process), pid(process + 1), &host);
                }
            }
            for (&process, &set) in &map {
                prop_assert_eq!(traces.of(pid(process)).bits(), set);
            }
        }
    }
}

#[test]
fn a_trace_records_when_all_are_told_of_and_nothing_of_those_left_out() {
    let (traces, host) = (traces(), nobody_dead());
    let all = TraceConfig {
        scope: Scope::Everyone,
        ..ALL_DAY
    };
    let number = traces.prepare(&all, TimeNs(0)).unwrap();
    let one = TraceSet::of(number);
    assert_eq!(traces.wanted(Group::Send, pid(1)), TraceSet::EMPTY);
    assert!(!traces.any_wants(Group::Send));
    assert_eq!(traces.of(pid(1)), one, "its flags stay");
    traces.leave_out(number, pid(2), &host);
    traces.record(number);
    assert_eq!(traces.wanted(Group::Send, pid(1)), one);
    assert_eq!(traces.wanted(Group::Send, pid(2)), TraceSet::EMPTY);
    assert!(traces.set_member(number, pid(2), true, &host));
    assert_eq!(traces.of(pid(2)), TraceSet::EMPTY);
    let other = traces.open(&all, TimeNs(0)).unwrap();
    traces.free(number);
    assert_eq!(traces.of(pid(2)), TraceSet::of(other));
    assert_eq!(traces.prepare(&all, TimeNs(0)), Some(number));
    assert_eq!(traces.of(pid(2)), one | TraceSet::of(other));
    traces.end(number, Ending::Stopped);
    traces.record(number);
    assert_eq!(traces.wanted(Group::Send, pid(1)), TraceSet::of(other));
}

#[test]
fn a_message_that_was_told_of_just_before_a_trace_records_is_not_told_again() {
    let (traces, host) = (traces(), nobody_dead());
    let all = TraceConfig {
        scope: Scope::Everyone,
        ..ALL_DAY
    };
    traces.tell(pid(1), 7, &host);
    assert!(!traces.was_told(pid(1), || 7), "it is in no trace");
    let number = traces.prepare(&all, TimeNs(0)).unwrap();
    assert!(traces.is_one_prepared());
    for process in [1, 2, 3] {
        traces.tell(pid(process), 7, &host);
    }
    traces.record(number);
    assert!(!traces.is_one_prepared());
    assert!(traces.was_told(pid(1), || 7));
    assert!(!traces.was_told(pid(1), || 7), "the next one is another");
    assert!(!traces.was_told(pid(2), || 8), "it was sent long ago");
    assert!(!traces.was_told(pid(4), || 7));
    traces.free(number);
    assert!(!traces.was_told(pid(3), || 7));
}
