//! The protocols of the ring under every interleaving that loom can make (with at most as many preemptions as
//! `LOOM_MAX_PREEMPTIONS` says). The barrier is a fence on both sides here, the counter one that counts its readings.
#![cfg(loom)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod loom_models {
    use elixir_scope_engine::event::{AtomId, CorrelationId, EventKind, ProcessId, SiteId, Ticks};
    use elixir_scope_engine::record::RecordHead;
    use elixir_scope_engine::value::Sink;
    use elixir_scope_engine::{
        Barrier, Clock, DrainItem, DrainState, Host, Policy, ProcessSlots, RingConfig, RingWriter,
        Rings,
    };
    use loom::thread;
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

    fn rings(chunk_bytes: usize, chunks: usize, pool: usize, policy: Policy) -> Arc<Rings> {
        let config = RingConfig {
            buffer_bytes: chunks * chunk_bytes,
            total_bytes: pool * chunk_bytes,
            policy,
            chunk_bytes,
        };
        Rings::new(config, Arc::new(Clock::manual(1)), Barrier::Fence)
    }

    /// A record of `length` bytes, all of them `n`; whether it was taken.
    fn write(writer: &mut RingWriter, n: u8, length: usize) -> bool {
        match writer.begin(HEAD) {
            Ok(mut record) => {
                let _ = record.put(&vec![n; length]);
                record.commit()
            }
            Err(_) => false,
        }
    }

    /// What came out of some drains.
    #[derive(Default)]
    struct Seen {
        numbers: Vec<u8>,
        lost: u64,
        watermark: u64,
    }

    impl Seen {
        /// Each record is whole, later than the one before, and none comes behind the watermark of an earlier drain.
        fn drain(&mut self, rings: &Rings, length: usize) {
            let now = rings.clock().ticks_ordered();
            let mut last = self.watermark;
            let drained = rings.drain(&mut DrainState::new(), now, &mut |item| match item {
                DrainItem::Record { head, payload, .. } => {
                    assert!(head.ticks.0 >= last, "late: {:?} after {last}", head.ticks);
                    last = head.ticks.0;
                    let n = payload[0];
                    assert_eq!(payload, vec![n; length]);
                    self.numbers.push(n);
                }
                DrainItem::Loss(loss) => {
                    assert!(loss.from <= loss.until && loss.count > 0);
                    self.lost += loss.count;
                }
            });
            assert!(drained.watermark.0 >= self.watermark && drained.watermark.0 >= last);
            self.watermark = drained.watermark.0;
        }

        fn assert_whole(&self, offered: u64) {
            assert!(
                self.numbers.windows(2).all(|pair| pair[0] < pair[1]),
                "{:?}",
                self.numbers
            );
            assert_eq!(
                self.numbers.len() as u64 + self.lost,
                offered,
                "{:?}",
                self.numbers
            );
        }
    }

    /// One writer and one drainer at once, then all that is left.
    fn write_while_draining(rings: &Arc<Rings>, records: u8, length: usize, drains: usize) -> Seen {
        let mut writer = rings.writer();
        let writing = thread::spawn(move || {
            for n in 0..records {
                write(&mut writer, n, length);
            }
            writer
        });
        let mut seen = Seen::default();
        for _ in 0..drains {
            seen.drain(rings, length);
        }
        let writer = writing.join().unwrap();
        seen.drain(rings, length);
        seen.drain(rings, length);
        drop(writer);
        seen
    }

    #[test]
    fn what_is_published_is_whole() {
        loom::model(|| {
            let seen = write_while_draining(&rings(64, 4, 4, Policy::DropOldest), 2, 24, 2);
            assert_eq!(seen.numbers, [0, 1]);
        });
    }

    #[test]
    fn the_chunk_being_written_is_read_beside_the_writer() {
        loom::model(|| {
            let seen = write_while_draining(&rings(128, 2, 2, Policy::DropOldest), 3, 8, 1);
            assert_eq!(seen.numbers, [0, 1, 2]);
        });
    }

    #[test]
    fn an_overrun_takes_back_the_oldest_and_counts_it() {
        loom::model(|| {
            let rings = rings(64, 2, 2, Policy::DropOldest);
            write_while_draining(&rings, 4, 8, 1).assert_whole(4);
        });
    }

    #[test]
    fn an_overrun_within_a_half_drained_chunk_counts_the_rest() {
        loom::model(|| {
            let rings = rings(128, 2, 2, Policy::DropOldest);
            write_while_draining(&rings, 5, 8, 1).assert_whole(5);
        });
    }

    #[test]
    fn an_overrun_with_drop_newest_counts_the_new() {
        loom::model(|| {
            let rings = rings(64, 2, 2, Policy::DropNewest);
            write_while_draining(&rings, 4, 8, 1).assert_whole(4);
        });
    }

    #[test]
    fn a_record_in_several_chunks_is_whole_or_counted_once() {
        loom::model(|| {
            // 88 bytes in chunks of 64.
            let rings = rings(64, 3, 3, Policy::DropOldest);
            write_while_draining(&rings, 3, 48, 1).assert_whole(3);
        });
    }

    #[test]
    fn chunks_go_from_one_ring_to_another() {
        loom::model(|| {
            let rings = rings(64, 2, 2, Policy::DropOldest);
            let mut one = rings.writer();
            let mut other = rings.writer();
            write(&mut one, 0, 8);
            let writing = thread::spawn(move || {
                write(&mut other, 1, 8);
                write(&mut other, 2, 8);
                other
            });
            let mut seen = Seen::default();
            write(&mut one, 3, 8);
            seen.drain(&rings, 8);
            let other = writing.join().unwrap();
            seen.drain(&rings, 8);
            seen.drain(&rings, 8);
            assert_eq!(seen.numbers.len() as u64 + seen.lost, 4);
            drop((one, other));
        });
    }

    #[test]
    fn two_drainers_take_turns() {
        loom::model(|| {
            let rings = rings(64, 2, 2, Policy::DropOldest);
            let mut writer = rings.writer();
            let writing = thread::spawn(move || {
                for n in 0..2 {
                    write(&mut writer, n, 8);
                }
                writer
            });
            let other = {
                let rings = Arc::clone(&rings);
                thread::spawn(move || {
                    let mut seen = Seen::default();
                    seen.drain(&rings, 8);
                    seen
                })
            };
            let mut seen = Seen::default();
            seen.drain(&rings, 8);
            let _writer = writing.join().unwrap();
            let theirs = other.join().unwrap();
            seen.drain(&rings, 8);
            seen.drain(&rings, 8);
            let mut all = [seen.numbers, theirs.numbers].concat();
            all.sort_unstable();
            assert_eq!((all, seen.lost + theirs.lost), (vec![0, 1], 0));
        });
    }

    /// Two writers and a drainer. `Seen::drain` checks that no record comes behind a watermark.
    #[test]
    fn nothing_arrives_late() {
        loom::model(|| {
            let rings = rings(64, 2, 4, Policy::DropOldest);
            let writing: Vec<_> = (0..2)
                .map(|n| {
                    let mut writer = rings.writer();
                    thread::spawn(move || {
                        write(&mut writer, n, 8);
                        writer
                    })
                })
                .collect();
            let mut seen = Seen::default();
            seen.drain(&rings, 8);
            seen.drain(&rings, 8);
            let writers: Vec<_> = writing.into_iter().map(|one| one.join().unwrap()).collect();
            seen.drain(&rings, 8);
            seen.numbers.sort_unstable();
            assert_eq!(seen.numbers, [0, 1]);
            drop(writers);
        });
    }

    #[test]
    fn a_second_record_does_not_arrive_late_either() {
        loom::model(|| {
            let rings = rings(128, 2, 2, Policy::DropOldest);
            let seen = write_while_draining(&rings, 2, 8, 2);
            assert_eq!(seen.numbers, [0, 1]);
        });
    }

    #[test]
    fn a_writer_that_ends_leaves_nothing_behind() {
        loom::model(|| {
            let rings = rings(64, 2, 2, Policy::DropOldest);
            let mut writer = rings.writer();
            let writing = thread::spawn(move || {
                write(&mut writer, 0, 8);
                drop(writer);
            });
            let mut seen = Seen::default();
            seen.drain(&rings, 8);
            writing.join().unwrap();
            seen.drain(&rings, 8);
            seen.drain(&rings, 8);
            assert_eq!(seen.numbers, [0]);
            let stats = rings.stats();
            assert_eq!(
                (stats.writers, stats.bytes_in_use, stats.recorded),
                (0, 0, 1)
            );
        });
    }

    struct Alive(fn(u64) -> bool);

    impl Host for Alive {
        fn monotonic_ns(&self) -> i64 {
            0
        }

        fn is_alive(&self, process: ProcessId) -> bool {
            (self.0)(process.0)
        }

        fn notify(&self, _: u64) {}

        fn atom_name(&self, _: AtomId, _: &mut String) -> bool {
            false
        }
    }

    #[test]
    fn processes_that_race_get_slots_of_their_own() {
        loom::model(|| {
            let slots = Arc::new(ProcessSlots::new(2));
            let claims: Vec<_> = [3, 5]
                .map(|process| {
                    let slots = Arc::clone(&slots);
                    thread::spawn(move || {
                        let slot = slots.get(ProcessId(process), &Alive(|_| true)).unwrap();
                        slot.mute();
                        assert_eq!(slot.process(), ProcessId(process));
                    })
                })
                .into_iter()
                .collect();
            for claim in claims {
                claim.join().unwrap();
            }
            assert_eq!(slots.claimed(), 2);
            for process in [3, 5] {
                let slot = slots.find(ProcessId(process)).unwrap();
                slot.unmute();
                assert!(!slot.is_muted());
            }
        });
    }

    #[test]
    fn a_dead_process_gives_its_slot_away_once_and_clean() {
        loom::model(|| {
            let slots = Arc::new(ProcessSlots::new(2));
            let host = || Alive(|process| process > 3);
            for process in [1, 2] {
                slots.get(ProcessId(process), &host()).unwrap().mute();
            }
            let sweeping = {
                let slots = Arc::clone(&slots);
                thread::spawn(move || slots.sweep(&host()))
            };
            if let Some(slot) = slots.get(ProcessId(5), &host()) {
                assert!(!slot.is_muted());
                slot.mute();
            }
            sweeping.join().unwrap();
            let mine = slots.find(ProcessId(5));
            assert!(
                mine.is_none_or(|slot| slot.is_muted()),
                "cleared by somebody else"
            );
            assert_eq!(slots.claimed(), usize::from(mine.is_some()));
        });
    }
}
