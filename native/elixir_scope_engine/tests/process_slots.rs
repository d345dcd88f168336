//! Process slots against a map, with processes that come and go.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use elixir_scope_engine::event::{AtomId, CorrelationId, ProcessId, SiteId};
use elixir_scope_engine::{Host, ProcessSlots};
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Default)]
struct Alive {
    processes: Mutex<HashSet<u64>>,
    asked: AtomicU64,
}

impl Host for Alive {
    fn monotonic_ns(&self) -> i64 {
        0
    }

    fn is_alive(&self, process: ProcessId) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.processes.lock().unwrap().contains(&process.0)
    }

    fn notify(&self, _: u64) {}

    fn atom_name(&self, _: AtomId, _: &mut String) -> bool {
        false
    }
}

impl Alive {
    fn spawn(&self, process: u64) {
        self.processes.lock().unwrap().insert(process);
    }

    fn kill(&self, process: u64) {
        self.processes.lock().unwrap().remove(&process);
    }
}

/// As the host numbers its processes.
fn pid(number: u64) -> u64 {
    number << 4 | 3
}

#[test]
fn a_full_table_takes_a_process_once_another_one_died() {
    let (slots, host) = (ProcessSlots::new(32), Alive::default());
    for number in 0..32 {
        host.spawn(pid(number));
        slots.get(ProcessId(pid(number)), &host).unwrap().mute();
    }
    host.spawn(pid(100));
    assert!(slots.get(ProcessId(pid(100)), &host).is_none());
    assert_eq!(
        (slots.misses(), slots.claimed(), slots.is_crowded()),
        (1, 32, true)
    );
    host.kill(pid(5));
    assert_eq!(slots.sweep(&host), 1);
    let slot = slots.get(ProcessId(pid(100)), &host).unwrap();
    assert!(!slot.is_muted(), "nothing of the dead one is left");
    assert!(slots.find(ProcessId(pid(5))).is_none());
}

#[test]
fn a_full_window_is_looked_through_now_and_then_not_at_every_miss() {
    let (slots, host) = (ProcessSlots::new(32), Alive::default());
    for number in 0..=32 {
        host.spawn(pid(number));
        let _ = slots.get(ProcessId(pid(number)), &host);
    }
    let asked = host.asked.load(Ordering::Relaxed);
    for _ in 0..7 {
        assert!(slots.get(ProcessId(pid(32)), &host).is_none());
    }
    assert_eq!(host.asked.load(Ordering::Relaxed), asked);
    host.kill(pid(0));
    assert!(
        slots.get(ProcessId(pid(32)), &host).is_some(),
        "the eighth miss looks"
    );
}

#[test]
fn where_the_dead_take_up_the_room_each_new_process_gets_a_slot_at_once() {
    let (slots, host) = (ProcessSlots::new(32), Alive::default());
    for number in 0..32 {
        host.spawn(pid(number));
        slots.get(ProcessId(pid(number)), &host).unwrap();
    }
    for number in 0..20 {
        host.kill(pid(number));
        host.spawn(pid(100 + number));
        assert!(slots.get(ProcessId(pid(100 + number)), &host).is_some());
    }
}

#[test]
fn half_of_the_shared_table_fits_without_a_miss() {
    let slots = ProcessSlots::new(ProcessSlots::SHARED_SLOTS);
    let host = Alive::default();
    for number in 0..65_536 {
        assert!(slots.get(ProcessId(pid(number)), &host).is_some());
    }
    assert_eq!((slots.claimed(), slots.misses()), (65_536, 0));
    assert!(slots.is_crowded());
    assert_eq!(slots.sweep(&host), 65_536);
    assert_eq!(slots.claimed(), 0);
}

#[test]
fn a_tail_call_of_the_outermost_call_is_remembered_until_the_next_one() {
    let host = Alive::default();
    host.spawn(pid(1));
    let slots = ProcessSlots::new(64);
    let slot = slots.get(ProcessId(pid(1)), &host).unwrap();
    let enter = || slot.enter(1, || false, || CorrelationId(7));

    enter();
    slot.exit(1, 0);
    assert_eq!(slot.left_by_tail(1), None);
    enter();
    slot.exit(1, 0);
    slot.leave_by_tail(1, SiteId(5), true);
    assert_eq!(slot.left_by_tail(1), Some((SiteId(5), true)));
    // It is of one recorder, and nobody's cause.
    assert_eq!(slot.left_by_tail(2), None);
    assert_eq!(slot.current(1).correlation, CorrelationId::NONE);
    enter();
    assert_eq!(slot.left_by_tail(1), None);
    // Inside of another call there is nothing to remember.
    slot.leave_by_tail(1, SiteId(5), true);
    assert_eq!(slot.current(1).correlation, CorrelationId(7));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn slots_match_a_naive_map(steps in prop::collection::vec((0..5_u8, 0..60_u64), 1..300)) {
        let (slots, host) = (ProcessSlots::new(32), Alive::default());
        let mut depths: HashMap<u64, u16> = HashMap::new();
        for (step, number) in steps {
            let process = pid(number);
            match step {
                // A call, of a process that is there or comes to be.
                0..=2 => {
                    host.spawn(process);
                    let Some(slot) = slots.get(ProcessId(process), &host) else {
                        prop_assert!(depths.len() >= 32 && !depths.contains_key(&process));
                        continue;
                    };
                    prop_assert_eq!(slot.process(), ProcessId(process));
                    let entered = slot.enter(1, || true, || CorrelationId(number + 1));
                    let depth = depths.entry(process).or_default();
                    prop_assert_eq!(entered.depth, *depth);
                    prop_assert_eq!(entered.correlation, CorrelationId(number + 1));
                    *depth += 1;
                    // The slots of dead ones may have been used.
                    let processes = host.processes.lock().unwrap();
                    depths.retain(|process, _| processes.contains(process)
                        || slots.find(ProcessId(*process)).is_some());
                }
                3 => {
                    let slot = slots.find(ProcessId(process));
                    prop_assert_eq!(slot.is_some(), depths.contains_key(&process));
                    if let (Some(slot), Some(depth)) = (slot, depths.get_mut(&process)) {
                        let outer = depth.saturating_sub(1);
                        slot.exit(1, outer);
                        *depth = outer;
                    }
                }
                _ => {
                    host.kill(process);
                    if number % 7 == 0 {
                        slots.sweep(&host);
                        let processes = host.processes.lock().unwrap();
                        depths.retain(|process, _| processes.contains(process));
                        prop_assert_eq!(slots.claimed(), depths.len());
                    }
                }
            }
        }
    }
}
