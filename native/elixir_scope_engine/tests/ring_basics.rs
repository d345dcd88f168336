//! Rings as their users see them: what is written comes out, merged by time; what is not is counted.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use elixir_scope_engine::event::{CorrelationId, EventKind, ProcessId, SiteId, Symbol, Ticks};
use elixir_scope_engine::record::RecordHead;
use elixir_scope_engine::value::{Sink, format};
use elixir_scope_engine::{
    Barrier, Clock, DrainItem, DrainState, Drained, Fill, LossReport, Policy, RingConfig,
    RingWriter, Rings, Window,
};
use std::sync::Arc;

const HEAD: RecordHead = RecordHead {
    preceding: elixir_scope_engine::record::Preceding::NOTHING,
    sequence: 0,
    kind: EventKind::UserEvent,
    depth: 0,
    ticks: Ticks(0),
    process: ProcessId(7),
    site: SiteId::NONE,
    correlation: CorrelationId::NONE,
};

type Records = Vec<(RecordHead, Vec<u8>, u32)>;

fn rings(buffer_bytes: usize, total_bytes: usize, policy: Policy) -> Arc<Rings> {
    let config = RingConfig {
        buffer_bytes,
        total_bytes,
        policy,
        chunk_bytes: 128,
    };
    Rings::new(config, Arc::new(Clock::manual(1)), Barrier::Fence)
}

fn write(writer: &mut RingWriter, payload: &[u8]) -> bool {
    match writer.begin(HEAD) {
        Ok(mut record) => {
            let _ = record.put(payload);
            record.commit()
        }
        Err(_) => false,
    }
}

fn drain(rings: &Rings) -> (Records, Vec<LossReport>, Drained) {
    let (mut records, mut losses) = (Vec::new(), Vec::new());
    let now = rings.clock().ticks_ordered();
    let drained = rings.drain(&mut DrainState::new(), now, &mut |item| match item {
        DrainItem::Record {
            head,
            payload,
            writer,
        } => {
            records.push((head, payload.to_vec(), writer));
        }
        DrainItem::Loss(loss) => losses.push(loss),
    });
    (records, losses, drained)
}

#[test]
fn records_of_all_writers_come_out_whole_in_the_order_of_time() {
    let rings = rings(1 << 14, 1 << 16, Policy::DropOldest);
    let mut writers = [rings.writer(), rings.writer(), rings.writer()];
    for n in 0..60_usize {
        assert!(write(&mut writers[n % 3], &vec![n as u8; n * 7]));
    }
    let (records, losses, drained) = drain(&rings);
    assert_eq!((records.len(), losses.len()), (60, 0));
    for (n, (head, payload, writer)) in records.iter().enumerate() {
        assert_eq!(
            (payload, *writer),
            (&vec![n as u8; n * 7], writers[n % 3].number())
        );
        assert_eq!(head.process, HEAD.process);
    }
    assert!(
        records
            .windows(2)
            .all(|pair| pair[0].0.ticks < pair[1].0.ticks)
    );
    assert_eq!((drained.records, drained.in_flight), (60, false));
    assert_eq!(rings.stats().recorded, 60);
    assert_eq!(drain(&rings).0.len(), 0);
}

/// Writes a binary; or gives up when all of it is written, if that is asked for.
struct Binary<'b>(&'b [u8], bool);

impl Fill for Binary<'_> {
    fn fill<'w>(self, window: Window<'w>) -> Option<Window<'w>> {
        window.binary(self.0).filter(|_| !self.1)
    }
}

#[test]
fn a_record_written_in_one_go_is_as_one_written_in_pieces() {
    let config = RingConfig::new(1 << 14, 1 << 16, Policy::DropOldest);
    let rings = Rings::new(config, Arc::new(Clock::manual(1)), Barrier::Fence);
    let mut writer = rings.writer();
    let (mut expected, mut at_once) = (Vec::new(), 0);
    for n in 0..400_usize {
        let bytes = vec![n as u8; n % 37];
        let payload = [&[format::BINARY, bytes.len() as u8], bytes.as_slice()].concat();
        match writer.record(HEAD, 64 + n % 40, Binary(&bytes, n % 5 == 0)) {
            Ok(None) => at_once += 1,
            Ok(Some(mut record)) => {
                assert!(record.is_empty(), "what was given up is forgotten");
                record.put(&payload).unwrap();
                assert!(record.commit());
            }
            Err(_) => panic!("there is room"),
        }
        expected.push(payload);
        if n % 50 == 49 {
            let (records, losses, _) = drain(&rings);
            let payloads: Vec<_> = records.into_iter().map(|record| record.1).collect();
            assert_eq!((payloads, losses.len()), (std::mem::take(&mut expected), 0));
        }
    }
    assert!(
        (50..350).contains(&at_once),
        "both ways were gone: {at_once}"
    );
    assert_eq!(rings.stats().recorded, 400);
}

#[test]
fn drop_oldest_keeps_the_newest_and_counts_the_rest_with_their_time() {
    let rings = rings(512, 512, Policy::DropOldest);
    let mut writer = rings.writer();
    for n in 0..100_u8 {
        assert!(write(&mut writer, &[n; 20]));
    }
    let (records, losses, _) = drain(&rings);
    let kept: Vec<u8> = records.iter().map(|(_, payload, _)| payload[0]).collect();
    assert_eq!(kept, (100 - kept.len() as u8..100).collect::<Vec<_>>());
    assert_eq!(kept.len(), 8, "two records in each of four chunks");
    let loss = losses[0];
    assert_eq!(
        (losses.len(), loss.cause, loss.count),
        (1, Symbol::DroppedOldest, 92)
    );
    assert!(loss.from < loss.until && loss.until < records[0].0.ticks);
    assert_eq!(
        rings.stats().lost,
        vec![(writer.number(), Symbol::DroppedOldest, 92)]
    );
}

#[test]
fn drop_newest_keeps_what_it_has() {
    let rings = rings(512, 512, Policy::DropNewest);
    let mut writer = rings.writer();
    let taken = (0..100_u8)
        .filter(|&n| write(&mut writer, &[n; 20]))
        .count();
    let (records, losses, _) = drain(&rings);
    assert_eq!((taken, records.len()), (8, 8));
    assert_eq!(
        (losses[0].cause, losses[0].count),
        (Symbol::DroppedNewest, 92)
    );
    assert!(losses[0].from > records[7].0.ticks);
    assert!(write(&mut writer, &[1; 20]), "room again");
}

#[test]
fn a_record_larger_than_the_ring_is_too_big_and_gives_its_chunks_back() {
    let rings = rings(512, 1024, Policy::DropOldest);
    let mut writer = rings.writer();
    assert!(write(&mut writer, b"before"));
    assert!(!write(&mut writer, &[0; 600]));
    assert!(rings.stats().bytes_in_use <= 128);
    assert!(write(&mut writer, b"after"));
    let (records, losses, _) = drain(&rings);
    let payloads: Vec<&[u8]> = records.iter().map(|(_, payload, _)| &payload[..]).collect();
    assert_eq!(payloads, [b"before".as_slice(), b"after"]);
    assert_eq!(
        (losses.len(), losses[0].cause, losses[0].count),
        (1, Symbol::TooBig, 1)
    );
}

#[test]
fn what_is_aborted_or_dropped_never_was() {
    let rings = rings(512, 1024, Policy::DropOldest);
    let mut writer = rings.writer();
    assert!(write(&mut writer, b"one"));
    let mut record = writer.begin(HEAD).unwrap();
    record.put(&[1; 300]).unwrap();
    assert_eq!(record.len(), 340);
    record.abort();
    drop(writer.begin(HEAD));
    assert!(write(&mut writer, b"two"));
    let (records, losses, _) = drain(&rings);
    let payloads: Vec<&[u8]> = records.iter().map(|(_, payload, _)| &payload[..]).collect();
    assert_eq!(
        (payloads, losses.len()),
        (vec![b"one".as_slice(), b"two"], 0)
    );
}

#[test]
fn the_watermark_waits_for_a_writer_in_flight() {
    let rings = rings(4096, 1 << 16, Policy::DropOldest);
    let (mut one, mut other) = (rings.writer(), rings.writer());
    assert!(write(&mut one, b"early"));
    let open = one.begin(HEAD).unwrap();
    assert!(write(&mut other, b"later"));
    let (records, _, drained) = drain(&rings);
    assert_eq!((records.len(), drained.in_flight), (1, true));
    assert!(drained.watermark < open.ticks());
    open.commit();
    let (records, _, drained) = drain(&rings);
    assert_eq!((records.len(), drained.in_flight), (2, false));
    assert!(records[0].0.ticks < records[1].0.ticks);
}

#[test]
fn a_writer_that_ends_leaves_nothing_behind() {
    let rings = rings(4096, 1 << 16, Policy::DropOldest);
    for n in 0..100 {
        let mut writer = rings.writer();
        assert!(write(&mut writer, &[n; 200]));
        let open = writer.begin(HEAD).unwrap();
        drop(open);
        drop(writer);
    }
    assert_eq!(drain(&rings).0.len(), 100);
    let stats = rings.stats();
    assert_eq!(
        (stats.writers, stats.bytes_in_use, stats.recorded),
        (0, 0, 100)
    );
}

#[test]
fn a_sink_that_panics_loses_one_record_and_holds_nothing() {
    let rings = rings(512, 512, Policy::DropOldest);
    let mut writer = rings.writer();
    for n in 0..8 {
        assert!(write(&mut writer, &[n; 20]));
    }
    let now = rings.clock().ticks_ordered();
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        rings.drain(&mut DrainState::new(), now, &mut |_| panic!("sink"))
    }));
    assert!(result.is_err());
    assert_eq!(drain(&rings).0.len(), 7);
    for n in 0..100 {
        assert!(write(&mut writer, &[n; 20]));
    }
    assert_eq!(drain(&rings).0.len(), 8, "all four chunks are in use again");
}

#[test]
fn correlation_ids_are_never_none_and_never_the_same() {
    let rings = rings(512, 512, Policy::DropOldest);
    let (mut one, mut other) = (rings.writer(), rings.writer());
    let ids = [
        one.next_correlation(),
        one.next_correlation(),
        other.next_correlation(),
    ];
    assert!(ids.iter().all(|id| id.is_some()));
    assert!(ids[0] != ids[1] && ids[0] != ids[2] && ids[1] != ids[2]);
}

#[test]
fn closed_rings_hand_out_nothing_and_a_late_writer_does_no_harm() {
    let rings = rings(1 << 20, 1 << 20, Policy::DropOldest);
    let mut writer = rings.writer();
    assert!(write(&mut writer, &[1; 100]));
    rings.close();
    assert!(write(&mut writer, &[2; 100]), "its addresses stay mapped");
    let (records, losses, drained) = drain(&rings);
    assert_eq!(
        (records.len(), losses.len(), drained.in_flight),
        (0, 0, false)
    );
}

#[test]
fn a_writer_that_refuses_counts_what_it_did_not_take_and_goes_on_where_it_was() {
    let rings = rings(1_024, 1_024, Policy::DropOldest);
    let mut writer = rings.writer();
    writer.refuse(Some(Symbol::Guard));
    assert!(!write(&mut writer, b"never"), "before its first chunk too");
    writer.refuse(None);
    assert!(write(&mut writer, b"one"));
    writer.refuse(Some(Symbol::Guard));
    for _ in 0..1_000 {
        assert!(!write(&mut writer, b"refused"));
        assert!(writer.record(HEAD, 64, Byte).is_err());
    }
    writer.refuse(None);
    assert!(write(&mut writer, b"two"));
    let (records, losses, _) = drain(&rings);
    let payloads: Vec<_> = records.iter().map(|(_, payload, _)| &payload[..]).collect();
    assert_eq!(payloads, [&b"one"[..], b"two"]);
    let lost: Vec<_> = losses.iter().map(|loss| (loss.cause, loss.count)).collect();
    assert_eq!(lost, [(Symbol::Guard, 2_001)]);
    assert_eq!(rings.stats().lost_total(), 2_001);
    assert_eq!(rings.stats().recorded, 2);
}

/// Writes one byte.
struct Byte;

impl Fill for Byte {
    fn fill<'w>(self, window: Window<'w>) -> Option<Window<'w>> {
        window.byte(format::NIL)
    }
}
