//! The chunks of all rings, and a lock-free list of the free ones.

use super::chunk::Meta;
use super::memory::{Chunk, Memory};
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// All chunks of one recorder.
#[derive(Debug)]
pub(super) struct Pool {
    memory: Memory,
    metas: Box<[Meta]>,
    chunk_bytes: usize,
    free: FreeList,
    in_use: AtomicU32,
}

/// A Treiber stack of chunk numbers. The head carries a tag that changes with every push and pop, so that a head which
/// went away and came back is not mistaken for one that stayed (ABA).
#[derive(Debug)]
struct FreeList {
    /// Tag (upper half), chunk number plus one (lower half; 0 is empty).
    head: Line,
}

#[derive(Debug)]
#[repr(align(128))]
struct Line(AtomicU64);

impl Pool {
    pub(super) fn new(chunks: usize, chunk_bytes: usize) -> Pool {
        let metas: Box<[Meta]> = (0..chunks).map(|_| Meta::new()).collect();
        // The list at first: 0, 1, 2, …, so that low chunks are used first and used again.
        for (number, meta) in metas.iter().enumerate() {
            let next = if number + 1 < chunks {
                number as u32 + 2
            } else {
                0
            };
            meta.next_free.store(next, Ordering::Relaxed);
        }
        let head = Line(AtomicU64::new(u64::from(chunks > 0)));
        Pool {
            memory: Memory::new(chunks, chunk_bytes),
            metas,
            chunk_bytes,
            free: FreeList { head },
            in_use: AtomicU32::new(0),
        }
    }

    pub(super) fn chunk_bytes(&self) -> usize {
        self.chunk_bytes
    }

    /// Chunks that some ring holds.
    pub(super) fn in_use(&self) -> usize {
        self.in_use.load(Ordering::Relaxed) as usize
    }

    /// Bytes held, used or not.
    pub(super) fn bytes(&self) -> usize {
        self.metas.len() * (self.chunk_bytes + size_of::<Meta>())
    }

    pub(super) fn meta(&self, index: u32) -> Option<&Meta> {
        self.metas.get(index as usize)
    }

    /// Gives the memory back to the system, though the chunks stay where they are.
    pub(super) fn release(&self) {
        self.memory.release();
    }

    pub(super) fn chunk(&self, index: u32) -> Chunk {
        self.memory.chunk(index)
    }

    /// A free chunk.
    pub(super) fn pop(&self) -> Option<u32> {
        // Acquire, here and below: pairs with the Release in `push`; we see the link, and come after the last reads of
        // whoever freed the chunk.
        let mut head = self.free.head.0.load(Ordering::Acquire);
        loop {
            let index = (head as u32).checked_sub(1)?;
            // Maybe stale, if somebody pops it in between: then the tag has changed.
            let next = self.meta(index)?.next_free.load(Ordering::Relaxed);
            match self.free.head.0.compare_exchange_weak(
                head,
                tagged(head, next),
                Ordering::Acquire,
                Ordering::Acquire,
            ) {
                Ok(_) => {
                    self.in_use.fetch_add(1, Ordering::Relaxed);
                    return Some(index);
                }
                Err(now) => head = now,
            }
        }
    }

    /// Gives a chunk back; its state is [`State::FREE`](super::chunk::State::FREE) already.
    pub(super) fn push(&self, index: u32) {
        let Some(meta) = self.meta(index) else { return };
        self.in_use.fetch_sub(1, Ordering::Relaxed);
        let mut head = self.free.head.0.load(Ordering::Relaxed);
        loop {
            meta.next_free.store(head as u32, Ordering::Relaxed);
            // Release: publishes the link, and orders our use of the chunk before the next owner's. A pop in between
            // continues the release sequence, being a read-modify-write.
            match self.free.head.0.compare_exchange_weak(
                head,
                tagged(head, index + 1),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }
}

fn tagged(old: u64, low: u32) -> u64 {
    ((old >> 32).wrapping_add(1)) << 32 | u64::from(low)
}

#[cfg(all(test, loom))]
#[allow(
    unsafe_code,
    reason = "touches chunks, so that loom sees who owns them"
)]
mod loom_models {
    use super::*;
    use std::sync::Arc;

    /// Takes one chunk, marks it as its own for a while, and gives it back.
    fn use_one(pool: &Pool, mark: u32) -> Option<u32> {
        let index = pool.pop()?;
        let chunk = pool.chunk(index);
        // SAFETY: nobody else has this chunk; loom would tell.
        unsafe { chunk.write(0, &mark.to_le_bytes()) };
        // SAFETY: as above.
        assert_eq!(unsafe { chunk.read::<4>(0) }, mark.to_le_bytes());
        Some(index)
    }

    /// A pop that read a head, slept while that head was popped, its successor popped, and the head pushed back, must not
    /// bring back the successor, which has an owner (ABA).
    #[test]
    fn a_chunk_never_has_two_owners() {
        loom::model(|| {
            let pool = Arc::new(Pool::new(3, 8));
            let other = {
                let pool = Arc::clone(&pool);
                loom::thread::spawn(move || use_one(&pool, 1))
            };
            let first = use_one(&pool, 2);
            let second = use_one(&pool, 3);
            if let Some(index) = first {
                pool.push(index);
            }
            let third = use_one(&pool, 4);
            let theirs = other.join().ok().flatten();
            let mut held: Vec<u32> = [second, third, theirs].into_iter().flatten().collect();
            let holders = held.len();
            held.sort_unstable();
            held.dedup();
            assert_eq!((held.len(), pool.in_use()), (holders, holders));
        });
    }

    #[test]
    fn what_is_given_back_is_found_again() {
        loom::model(|| {
            let pool = Arc::new(Pool::new(2, 8));
            let threads: Vec<_> = (0..2)
                .map(|mark| {
                    let pool = Arc::clone(&pool);
                    loom::thread::spawn(move || {
                        if let Some(index) = use_one(&pool, mark) {
                            pool.push(index);
                        }
                    })
                })
                .collect();
            for thread in threads {
                assert!(thread.join().is_ok());
            }
            assert!(use_one(&pool, 7).is_some() && use_one(&pool, 8).is_some());
            assert_eq!(pool.pop(), None);
        });
    }
}
