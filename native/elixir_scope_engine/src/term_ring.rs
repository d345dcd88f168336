//! A bounded ring of encoded terms for tools and users: many writers, many readers, one order for all.
//!
//! A write claims the next position by a compare-and-swap, then fills the slot under the slot's own lock and stamps it
//! with the position: a reader that finds another stamp sees no data, whether the slot was claimed and not yet written or
//! written over. Reading a position acknowledges it and all before it; acknowledged slots are free for writers, and what
//! they hold stays readable, for readers that are behind, until it is written over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

/// What happens to a write when all slots hold terms that nobody has acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FullPolicy {
    /// The oldest term goes.
    DropOldest,
    /// The write is refused and counted as dropped.
    DropNewest,
    /// The write is refused; the caller tries again, or says with [`TermRing::give_up`] that it does not.
    Refuse,
}

/// Why a write was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WriteError {
    /// All slots hold terms that nobody has acknowledged.
    Full,
    /// The ring was destroyed.
    Destroyed,
}

/// The ring was destroyed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Destroyed;

/// The size of a ring is not a power of two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoPowerOfTwo(pub usize);

/// What a reader finds at its position.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TermRead {
    /// The term, and the position behind it.
    Term(Arc<[u8]>, u64),
    /// So many terms were written over before they were read; the oldest one that is left is at `next`.
    Lapped {
        /// How many.
        missed: u64,
        /// Where to go on.
        next: u64,
    },
    /// Nothing yet.
    Empty,
}

/// What a reader finds from its position on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TermBatch {
    /// The terms.
    pub terms: Vec<Arc<[u8]>>,
    /// The position behind them.
    pub next: u64,
    /// How many were written over before they were read.
    pub missed: u64,
}

/// Figures of a ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TermRingStats {
    /// Number of slots.
    pub size: usize,
    /// Terms that nobody has acknowledged.
    pub available: u64,
    /// Writes that were accepted.
    pub total_writes: u64,
    /// Terms written over before anybody acknowledged them, and writes refused for good.
    pub dropped: u64,
    /// Bytes of the terms that slots hold, the slots themselves included.
    pub bytes: usize,
}

/// See the module.
#[derive(Debug)]
pub struct TermRing {
    slots: Box<[Mutex<Slot>]>,
    policy: FullPolicy,
    /// The next position to be written.
    head: AtomicU64,
    /// All positions before this one are acknowledged.
    acknowledged: AtomicU64,
    /// All positions before this one were cleared away.
    cleared: AtomicU64,
    dropped: AtomicU64,
    bytes: AtomicUsize,
    destroyed: AtomicBool,
}

#[derive(Debug, Default)]
struct Slot {
    /// The position that was written last, plus one; 0 for none.
    stamp: u64,
    term: Option<Arc<[u8]>>,
}

impl TermRing {
    /// What a slot takes without its term.
    pub const SLOT_BYTES: usize = size_of::<Mutex<Slot>>();

    /// A ring of exactly `size` slots.
    ///
    /// # Errors
    /// When `size` is not a power of two.
    pub fn new(size: usize, policy: FullPolicy) -> Result<TermRing, NoPowerOfTwo> {
        if !size.is_power_of_two() {
            return Err(NoPowerOfTwo(size));
        }
        Ok(TermRing {
            slots: std::iter::repeat_with(Mutex::default).take(size).collect(),
            policy,
            head: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            cleared: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            bytes: AtomicUsize::new(0),
            destroyed: AtomicBool::new(false),
        })
    }

    fn size(&self) -> u64 {
        self.slots.len() as u64
    }

    fn slot(&self, position: u64) -> Option<&Mutex<Slot>> {
        self.slots.get((position & (self.size() - 1)) as usize)
    }

    fn check(&self) -> Result<(), Destroyed> {
        // Relaxed: who races with `destroy` may still be served.
        if self.destroyed.load(Ordering::Relaxed) {
            Err(Destroyed)
        } else {
            Ok(())
        }
    }

    /// Writes a term and answers its position.
    ///
    /// # Errors
    /// [`WriteError`] when it was refused.
    pub fn write(&self, term: Arc<[u8]>) -> Result<u64, WriteError> {
        self.check().map_err(|Destroyed| WriteError::Destroyed)?;
        let position = self.claim()?;
        let Some(slot) = self.slot(position) else {
            return Ok(position);
        };
        let mut slot = slot.lock();
        // Acquire: pairs with the AcqRel of `read`, so that a term that was read before counts as such.
        let acknowledged = self.acknowledged.load(Ordering::Acquire);
        if slot.stamp > position {
            // A writer of a later lap was quicker: this term is overwritten before it could be seen.
            if position >= acknowledged {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
            return Ok(position);
        }
        if slot.stamp > 0 && slot.stamp > acknowledged {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        slot.stamp = position + 1;
        self.bytes.fetch_add(term.len(), Ordering::Relaxed);
        let before = slot.term.replace(term);
        self.bytes.fetch_sub(
            before.as_ref().map_or(0, |term| term.len()),
            Ordering::Relaxed,
        );
        drop(slot);
        Ok(position)
    }

    fn claim(&self) -> Result<u64, WriteError> {
        if self.policy == FullPolicy::DropOldest {
            // Relaxed, as all uses of `head`: the slot's lock publishes what the slot holds.
            return Ok(self.head.fetch_add(1, Ordering::Relaxed));
        }
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            // Acquire: the reads that acknowledged are done.
            let acknowledged = self.acknowledged.load(Ordering::Acquire);
            if head.saturating_sub(acknowledged) >= self.size() {
                if self.policy == FullPolicy::DropNewest {
                    self.dropped.fetch_add(1, Ordering::Relaxed);
                }
                return Err(WriteError::Full);
            }
            match self.head.compare_exchange_weak(
                head,
                head + 1,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(head),
                Err(now) => head = now,
            }
        }
    }

    /// Counts a write that was refused and will not be tried again.
    pub fn give_up(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// What is at `position`. Positions count from 0; what was cleared away is passed over.
    ///
    /// # Errors
    /// [`Destroyed`] after [`TermRing::destroy`].
    pub fn read(&self, position: u64) -> Result<TermRead, Destroyed> {
        self.check()?;
        let position = position.max(self.cleared.load(Ordering::Relaxed));
        loop {
            let head = self.head.load(Ordering::Relaxed);
            if position >= head {
                return Ok(TermRead::Empty);
            }
            let oldest = head.saturating_sub(self.size());
            if position < oldest {
                return Ok(TermRead::Lapped {
                    missed: oldest - position,
                    next: oldest,
                });
            }
            let Some(slot) = self.slot(position) else {
                return Ok(TermRead::Empty);
            };
            let slot = slot.lock();
            if slot.stamp > position + 1 {
                // Written over since `head` was read, which must have moved.
                continue;
            }
            let Some(term) = slot.term.as_ref().filter(|_| slot.stamp == position + 1) else {
                return Ok(TermRead::Empty);
            };
            // AcqRel, under the slot's lock: a writer that takes the slot next sees that it was read.
            self.acknowledged.fetch_max(position + 1, Ordering::AcqRel);
            return Ok(TermRead::Term(Arc::clone(term), position + 1));
        }
    }

    /// Up to `most` terms from `position` on.
    ///
    /// # Errors
    /// [`Destroyed`] after [`TermRing::destroy`].
    pub fn read_batch(&self, position: u64, most: usize) -> Result<TermBatch, Destroyed> {
        let mut batch = TermBatch {
            next: position,
            ..TermBatch::default()
        };
        while batch.terms.len() < most {
            match self.read(batch.next)? {
                TermRead::Term(term, next) => {
                    batch.terms.push(term);
                    batch.next = next;
                }
                TermRead::Lapped { missed, next } => {
                    batch.missed += missed;
                    batch.next = next;
                }
                TermRead::Empty => break,
            }
        }
        Ok(batch)
    }

    /// Figures of this moment.
    ///
    /// # Errors
    /// [`Destroyed`] after [`TermRing::destroy`].
    pub fn stats(&self) -> Result<TermRingStats, Destroyed> {
        self.check()?;
        let acknowledged = self.acknowledged.load(Ordering::Relaxed);
        let head = self.head.load(Ordering::Relaxed);
        Ok(TermRingStats {
            size: self.slots.len(),
            available: head.saturating_sub(acknowledged).min(self.size()),
            total_writes: head,
            dropped: self.dropped.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed) + self.slots.len() * size_of::<Mutex<Slot>>(),
        })
    }

    /// Takes away all terms written before. Positions go on: a reader at an older one finds what is written next.
    ///
    /// # Errors
    /// [`Destroyed`] after [`TermRing::destroy`].
    pub fn clear(&self) -> Result<(), Destroyed> {
        self.check()?;
        self.empty();
        Ok(())
    }

    fn empty(&self) {
        let head = self.head.load(Ordering::Relaxed);
        self.cleared.fetch_max(head, Ordering::Relaxed);
        self.acknowledged.fetch_max(head, Ordering::AcqRel);
        for slot in &self.slots {
            let mut slot = slot.lock();
            if slot.stamp <= head
                && let Some(term) = slot.term.take()
            {
                self.bytes.fetch_sub(term.len(), Ordering::Relaxed);
            }
        }
    }

    /// Frees all terms; from now on everything answers that the ring is destroyed. Twice is no error.
    pub fn destroy(&self) {
        self.destroyed.store(true, Ordering::Relaxed);
        self.empty();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests;
