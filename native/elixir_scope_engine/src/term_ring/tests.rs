use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use proptest::prelude::*;

use super::*;

fn term(n: u64) -> Arc<[u8]> {
    n.to_le_bytes().as_slice().into()
}

fn number(term: &Arc<[u8]>) -> u64 {
    u64::from_le_bytes(term.as_ref().try_into().unwrap())
}

fn stats(ring: &TermRing) -> TermRingStats {
    ring.stats().unwrap()
}

#[test]
fn sizes_are_powers_of_two_and_counted_exactly() {
    for size in [0, 3, 6, 1_000] {
        assert_eq!(
            TermRing::new(size, FullPolicy::DropNewest).err(),
            Some(NoPowerOfTwo(size))
        );
    }
    for size in [1, 2, 8] {
        let ring = TermRing::new(size, FullPolicy::DropNewest).unwrap();
        let taken = (0..20).filter(|&n| ring.write(term(n)).is_ok()).count();
        assert_eq!((taken, stats(&ring).dropped), (size, 20 - size as u64));
    }
}

#[test]
fn a_reader_keeps_its_own_position_and_frees_slots_for_writers() {
    let ring = TermRing::new(2, FullPolicy::Refuse).unwrap();
    assert_eq!(ring.read(0), Ok(TermRead::Empty));
    ring.write(term(10)).unwrap();
    ring.write(term(11)).unwrap();
    assert_eq!(ring.write(term(12)), Err(WriteError::Full));
    assert_eq!(stats(&ring).dropped, 0);
    assert_eq!(ring.read(0), Ok(TermRead::Term(term(10), 1)));
    // A second reader is not disturbed by the first.
    assert_eq!(ring.read(0), Ok(TermRead::Term(term(10), 1)));
    assert_eq!(stats(&ring).available, 1);
    ring.write(term(12)).unwrap();
    assert_eq!(ring.read(0), Ok(TermRead::Lapped { missed: 1, next: 1 }));
    // Reading the newest acknowledges all before it.
    assert_eq!(ring.read(2), Ok(TermRead::Term(term(12), 3)));
    assert_eq!((stats(&ring).available, stats(&ring).dropped), (0, 0));
}

#[test]
fn clear_takes_all_terms_away_and_a_reader_goes_on_behind_them() {
    let ring = TermRing::new(4, FullPolicy::DropOldest).unwrap();
    (0..6).for_each(|n| assert!(ring.write(term(n)).is_ok()));
    assert_eq!(stats(&ring).dropped, 2);
    ring.clear().unwrap();
    assert_eq!((stats(&ring).available, stats(&ring).dropped), (0, 2));
    assert_eq!(stats(&ring).bytes, 4 * size_of::<Mutex<Slot>>());
    assert_eq!(ring.read(0), Ok(TermRead::Empty));
    ring.write(term(7)).unwrap();
    assert_eq!(ring.read(0), Ok(TermRead::Term(term(7), 7)));
}

#[test]
fn a_destroyed_ring_says_so() {
    let ring = TermRing::new(4, FullPolicy::DropOldest).unwrap();
    ring.write(term(1)).unwrap();
    ring.destroy();
    ring.destroy();
    assert_eq!(ring.write(term(1)), Err(WriteError::Destroyed));
    assert_eq!(ring.read(0), Err(Destroyed));
    assert_eq!(ring.read_batch(0, 1), Err(Destroyed));
    assert_eq!(ring.stats(), Err(Destroyed));
    assert_eq!(ring.clear(), Err(Destroyed));
}

/// The same ring without a thought for speed.
struct Naive {
    size: usize,
    policy: FullPolicy,
    /// Positions and terms, as far as they can be read.
    held: VecDeque<(u64, u64)>,
    next: u64,
    acknowledged: u64,
    dropped: u64,
}

impl Naive {
    fn write(&mut self, n: u64) -> bool {
        if self.policy != FullPolicy::DropOldest && self.available() == self.size as u64 {
            self.dropped += u64::from(self.policy == FullPolicy::DropNewest);
            return false;
        }
        if self.held.len() == self.size
            && let Some((position, _)) = self.held.pop_front()
        {
            self.dropped += u64::from(position >= self.acknowledged);
        }
        self.held.push_back((self.next, n));
        self.next += 1;
        true
    }

    fn available(&self) -> u64 {
        self.held
            .iter()
            .filter(|(position, _)| *position >= self.acknowledged)
            .count() as u64
    }

    fn read(&mut self, position: u64) -> TermRead {
        let Some(&(oldest, _)) = self.held.front() else {
            return TermRead::Empty;
        };
        if position < oldest {
            return TermRead::Lapped {
                missed: oldest - position,
                next: oldest,
            };
        }
        let Some(&(_, n)) = self.held.iter().find(|(at, _)| *at == position) else {
            return TermRead::Empty;
        };
        self.acknowledged = self.acknowledged.max(position + 1);
        TermRead::Term(term(n), position + 1)
    }
}

proptest! {
    #[test]
    fn the_ring_matches_a_naive_queue(
        size in 0u32..4,
        policy in prop_oneof![Just(FullPolicy::DropOldest), Just(FullPolicy::DropNewest), Just(FullPolicy::Refuse)],
        steps in prop::collection::vec((0u8..4, 0u64..3), 1..200),
    ) {
        let size = 1 << size;
        let ring = TermRing::new(size, policy).unwrap();
        let mut naive =
            Naive { size, policy, held: VecDeque::new(), next: 0, acknowledged: 0, dropped: 0 };
        let mut readers = [0; 3];
        for (n, (step, reader)) in steps.into_iter().enumerate() {
            let n = n as u64;
            if step < 2 {
                prop_assert_eq!(ring.write(term(n)).is_ok(), naive.write(n));
            } else {
                let position = &mut readers[reader as usize];
                let (got, wanted) = (ring.read(*position).unwrap(), naive.read(*position));
                prop_assert_eq!(&got, &wanted);
                match got {
                    TermRead::Term(_, next) | TermRead::Lapped { next, .. } => *position = next,
                    TermRead::Empty => {}
                }
            }
            let stats = stats(&ring);
            prop_assert_eq!(
                (stats.available, stats.total_writes, stats.dropped),
                (naive.available(), naive.next, naive.dropped)
            );
        }
    }
}

/// Writers write (writer, counter); each reader must see each writer's counters rise, and account for every position.
fn stress(policy: FullPolicy, each: u64) {
    const WRITERS: u64 = 3;
    let ring = TermRing::new(64, policy).unwrap();
    let done = AtomicBool::new(false);
    let accepted = AtomicU64::new(0);
    let read_to_the_end = || {
        let (mut position, mut seen, mut missed) = (0, 0, 0);
        let mut last = [None; WRITERS as usize];
        loop {
            let was_done = done.load(Ordering::Acquire);
            match ring.read(position).unwrap() {
                TermRead::Term(term, next) => {
                    assert_eq!(next, position + 1);
                    let (writer, counter) = (number(&term) >> 32, number(&term) as u32);
                    let last = &mut last[writer as usize];
                    assert!(last.is_none_or(|last| last < counter));
                    *last = Some(counter);
                    seen += 1;
                    position = next;
                }
                TermRead::Lapped { missed: more, next } => {
                    assert_eq!(next, position + more);
                    missed += more;
                    position = next;
                }
                TermRead::Empty if was_done => break (seen, missed),
                TermRead::Empty => std::thread::yield_now(),
            }
        }
    };
    std::thread::scope(|scope| {
        let readers = [scope.spawn(read_to_the_end), scope.spawn(read_to_the_end)];
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (ring, accepted) = (&ring, &accepted);
                scope.spawn(move || {
                    for counter in 0..each {
                        let mut result = ring.write(term(writer << 32 | counter));
                        while policy == FullPolicy::Refuse && result.is_err() {
                            std::thread::yield_now();
                            result = ring.write(term(writer << 32 | counter));
                        }
                        accepted.fetch_add(u64::from(result.is_ok()), Ordering::Relaxed);
                    }
                })
            })
            .collect();
        writers
            .into_iter()
            .for_each(|writer| writer.join().unwrap());
        done.store(true, Ordering::Release);
        let accepted = accepted.load(Ordering::Relaxed);
        for reader in readers {
            let (seen, missed) = reader.join().unwrap();
            assert_eq!(seen + missed, accepted);
        }
        let stats = stats(&ring);
        assert_eq!((stats.total_writes, stats.available), (accepted, 0));
        if policy == FullPolicy::Refuse {
            assert_eq!((accepted, stats.dropped), (WRITERS * each, 0));
        }
    });
}

#[test]
fn many_writers_and_readers_share_one_order() {
    stress(FullPolicy::DropOldest, 30_000);
    stress(FullPolicy::DropNewest, 30_000);
    stress(FullPolicy::Refuse, 10_000);
}
