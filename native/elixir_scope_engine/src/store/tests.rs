//! The account of memory, and retention.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::event::{CorrelationId, EventKind, ProcessId, SiteId};

fn event(time: i64, process: u64, payload: &[u8]) -> NewEvent<'_> {
    NewEvent {
        kind: EventKind::UserEvent,
        time: TimeNs(time),
        process: ProcessId(process),
        site: SiteId(process as u32 % 7),
        call: Call::Begins,
        parent: EventId::NONE,
        correlation: CorrelationId(process << 40 | time.unsigned_abs()),
        // Of some processes nobody hears or tells.
        peer: ProcessId(process * (process % 3)),
        message: EventId(if process.is_multiple_of(5) {
            time.unsigned_abs()
        } else {
            0
        }),
        payload,
        more: &[],
    }
}

fn store(memory_limit: usize, max_events: Option<u64>, max_age_ns: Option<i64>) -> Store {
    Store::new(StoreConfig {
        memory_limit,
        max_events,
        max_age_ns,
    })
    .unwrap()
}

#[test]
fn a_limit_that_is_too_small_is_refused() {
    let config = StoreConfig {
        memory_limit: 1_000,
        max_events: None,
        max_age_ns: None,
    };
    assert_eq!(
        Store::new(config).err(),
        Some(LimitTooSmall {
            given: 1_000,
            least: Store::MIN_MEMORY
        })
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn memory_never_passes_the_limit_and_is_what_was_allocated(
        limit in 64usize << 10..400 << 10,
        sizes in prop::collection::vec((0usize..3_000, 1u64..5_000, 1usize..40), 1..200),
        pins in prop::collection::vec(0usize..30, 0..3),
    ) {
        let store = store(limit, None, None);
        let mut pinned = Vec::new();
        let bytes = vec![0x80; 64 << 10];
        let (mut offered, mut refused) = (0, 0);
        for (round, (size, processes, repeat)) in sizes.into_iter().enumerate() {
            for n in 0..repeat as i64 {
                let size = if n % 13 == 0 { size * 10 } else { size };
                let process = offered as u64 % processes;
                offered += 1;
                if store.append(&event(offered, process, &bytes[..size])).is_err() {
                    refused += 1;
                }
                prop_assert!(store.memory().total() <= limit);
            }
            let tape = store.tape();
            for segment in tape.segments() {
                prop_assert_eq!(segment.charged(), segment.allocated());
            }
            pinned.extend(pins.iter().filter_map(|&pin| tape.segments().get(pin + round)).cloned());
            pinned.truncate(3);
        }
        let stats = store.stats();
        prop_assert_eq!(stats.events + stats.evicted, (offered - refused) as u64);
        // What readers held was counted until they let go; after that the account is what the segments hold.
        drop(pinned);
        let sealed: usize = store.tape().segments().iter().map(|s| s.charged()).sum();
        let list = store.tape().segments().capacity() * size_of::<Arc<Segment>>();
        let memory = store.memory();
        prop_assert_eq!(memory.total(), sealed + list + memory.of(Use::Open));
    }

    #[test]
    fn retention_by_number_keeps_exactly_the_newest(most in 1u64..500, offered in 1u64..2_000) {
        let store = store(1 << 20, Some(most), None);
        (0..offered).for_each(|n| assert!(store.append(&event(n as i64, 1, &[0x80])).is_ok()));
        let stats = store.stats();
        prop_assert_eq!(stats.events, offered.min(most));
        prop_assert_eq!(stats.evicted, offered.saturating_sub(most));
        prop_assert_eq!(stats.ids, Some((EventId(offered.saturating_sub(most) + 1), EventId(offered))));
        let oldest = offered.saturating_sub(most) as i64;
        prop_assert_eq!(stats.times, Some((TimeNs(oldest), TimeNs(offered as i64 - 1))));
        prop_assert!(stats.segments as u64 <= 1 + offered.div_ceil(16));
    }

    #[test]
    fn retention_by_age_keeps_exactly_what_is_young_enough(
        age in 0i64..3_000, offered in 1i64..2_000, later in 0i64..2_000
    ) {
        let store = store(128 << 10, None, Some(age));
        (0..offered).for_each(|n| assert!(store.append(&event(n, 1, &[])).is_ok()));
        let in_memory = store.stats().events;
        let now = offered - 1 + later;
        store.retain(TimeNs(now));
        let young = (0..offered).filter(|time| now - time <= age).count() as u64;
        prop_assert_eq!(store.stats().events, young.min(in_memory));
    }
}

#[test]
fn the_store_refuses_when_readers_hold_all_its_memory_and_goes_on_when_they_let_go() {
    let limit = 128 << 10;
    let store = store(limit, None, None);
    let payload = [0x80; 200];
    let mut pinned: Vec<Arc<Segment>> = Vec::new();
    let mut time = 0;
    let refused = loop {
        time += 1;
        pinned.extend(
            store
                .tape()
                .segments()
                .iter()
                .filter(|s| pinned.iter().all(|p| !Arc::ptr_eq(p, s)))
                .cloned()
                .collect::<Vec<_>>(),
        );
        if let Err(refused) = store.append(&event(time, 1, &payload)) {
            break refused;
        }
        assert!(store.memory().total() <= limit);
        assert!(time < 10_000);
    };
    assert_eq!(refused, Refused::Full);
    drop(pinned);
    let id = store.append(&event(time, 1, &payload)).unwrap();
    assert_eq!(id.0, time as u64);
}

#[test]
fn a_large_payload_gets_a_segment_of_its_own_and_one_beyond_a_sixteenth_is_refused() {
    let store = store(64 << 20, None, None);
    assert_eq!(store.max_payload(), 4 << 20);
    let large = vec![0x80; 3 << 20];
    store.append(&event(1, 1, &[0x81])).unwrap();
    assert_eq!(store.append(&event(2, 1, &large)), Ok(EventId(2)));
    assert_eq!(store.append(&event(3, 1, &[0x82])), Ok(EventId(3)));
    assert_eq!(store.stats().segments, 3);
    let lengths: Vec<usize> = (1..=3)
        .map(|id| {
            store
                .tape()
                .with_event(EventId(id), |_, payload| payload.len())
                .unwrap()
        })
        .collect();
    assert_eq!(lengths, [1, 3 << 20, 1]);
    assert_eq!(
        store.append(&event(4, 1, &vec![0x80; 5 << 20])),
        Err(Refused::TooBig)
    );
}

#[test]
fn clear_takes_all_events_away_and_ids_go_on() {
    let store = store(64 << 10, None, None);
    (0..300).for_each(|n| assert!(store.append(&event(n, 1, &[0x80; 20])).is_ok()));
    let empty = Store::new(StoreConfig {
        memory_limit: 64 << 10,
        max_events: None,
        max_age_ns: None,
    })
    .unwrap();
    store.clear();
    assert_eq!((store.stats().events, store.stats().times), (0, None));
    assert!(store.memory().total() <= empty.memory().total() + 1_024);
    assert_eq!(store.append(&event(1, 1, &[])), Ok(EventId(301)));
}
