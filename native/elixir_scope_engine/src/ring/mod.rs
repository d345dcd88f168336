//! Rings: how capture hands its records to ingest. See README.md in this folder.

mod chunk;
mod drain;
mod loss;
mod memory;
mod pool;
mod reader;
mod record_buf;
mod shared;
mod window;
mod writer;

pub use drain::{DrainItem, DrainState, Drained};
pub use loss::{LossReport, Lost};
pub use record_buf::RecordBuf;
pub use window::{Fill, Window};
pub use writer::RingWriter;

use crate::barrier::Barrier;
use crate::clock::Clock;
use crate::event::Symbol;
use crate::record::RecordHead;
use crate::sync::{Mutex, Ordering};
use drain::Drainer;
use loss::CAUSES;
use pool::Pool;
use reader::Reader;
use shared::Ring;
use std::sync::Arc;

/// What happens when a ring is full.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Policy {
    /// The oldest chunk goes, as in a flight recorder.
    #[default]
    DropOldest,
    /// The new record goes.
    DropNewest,
}

/// Sizes of the rings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RingConfig {
    /// What one writer's ring can hold; rounded up to whole chunks, capped by `total_bytes`.
    pub buffer_bytes: usize,
    /// What all rings together can hold. Reserved at once, but memory is only touched when it is used.
    pub total_bytes: usize,
    /// What happens when a ring is full.
    pub policy: Policy,
    /// Size of a chunk: a power of two from 64 bytes on.
    pub chunk_bytes: usize,
}

impl RingConfig {
    /// Chunks of 16 KiB, or smaller ones where a ring would have less than eight of them.
    #[must_use]
    pub fn new(buffer_bytes: usize, total_bytes: usize, policy: Policy) -> RingConfig {
        let chunk_bytes = (buffer_bytes.min(total_bytes) / 8).clamp(512, 16 * 1024);
        let chunk_bytes = 1 << chunk_bytes.ilog2();
        RingConfig {
            buffer_bytes,
            total_bytes,
            policy,
            chunk_bytes,
        }
    }

    /// What can be made of it: at least two chunks in all, at least one for a ring, at most 2^31 bytes in a chunk.
    fn fitted(self) -> RingConfig {
        let chunk_bytes = self.chunk_bytes.clamp(64, 1 << 30).next_power_of_two();
        let total_bytes = (self.total_bytes / chunk_bytes).max(2) * chunk_bytes;
        let buffer_bytes = self.buffer_bytes.max(1).div_ceil(chunk_bytes) * chunk_bytes;
        RingConfig {
            buffer_bytes: buffer_bytes.min(total_bytes),
            total_bytes,
            chunk_bytes,
            ..self
        }
    }
}

/// The rings of one recorder: a pool of chunks, the rings of all threads that record, and the one end that drains them.
#[derive(Debug)]
pub struct Rings {
    config: RingConfig,
    pool: Pool,
    clock: Arc<Clock>,
    barrier: Barrier,
    /// Rings that the drainer has not seen yet.
    registered: Mutex<Vec<Reader>>,
    drainer: Mutex<Drainer>,
    ended: Mutex<Ended>,
}

/// Figures of writers that have ended.
#[derive(Clone, Copy, Debug, Default)]
struct Ended {
    recorded: u64,
    lost: [u64; CAUSES.len()],
}

/// Figures of all rings.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RingStats {
    /// Bytes of the chunks that rings hold now.
    pub bytes_in_use: usize,
    /// Bytes of all chunks.
    pub capacity_bytes: usize,
    /// Bytes that one ring can hold.
    pub buffer_bytes: usize,
    /// Bytes reserved in all, bookkeeping included.
    pub reserved_bytes: usize,
    /// Threads that have a ring.
    pub writers: usize,
    /// Events written, by all writers there ever were.
    pub recorded: u64,
    /// Losses of writers there are, by number and cause; those of writers that ended, summed, under the number 0.
    pub lost: Vec<(u32, Symbol, u64)>,
}

impl RingStats {
    /// Losses of all writers by all causes.
    #[must_use]
    pub fn lost_total(&self) -> u64 {
        self.lost.iter().map(|&(_, _, count)| count).sum()
    }
}

impl Rings {
    /// The rings of a recorder. All of them use `clock` and `barrier`.
    #[must_use]
    pub fn new(config: RingConfig, clock: Arc<Clock>, barrier: Barrier) -> Arc<Rings> {
        let config = config.fitted();
        Arc::new(Rings {
            config,
            pool: Pool::new(config.total_bytes / config.chunk_bytes, config.chunk_bytes),
            clock,
            barrier,
            registered: Mutex::new(Vec::new()),
            drainer: Mutex::new(Drainer::default()),
            ended: Mutex::new(Ended::default()),
        })
    }

    /// The sizes in use.
    #[must_use]
    pub fn config(&self) -> RingConfig {
        self.config
    }

    /// The clock by which records are stamped.
    #[must_use]
    pub fn clock(&self) -> &Arc<Clock> {
        &self.clock
    }

    /// A ring for one more OS thread. Allocates, and takes a lock that no recording takes.
    #[must_use]
    pub fn writer(self: &Arc<Self>) -> RingWriter {
        let places = self.config.buffer_bytes / self.config.chunk_bytes;
        let ring = Arc::new(Ring::new(next_writer(), places));
        let writer = RingWriter::new(Arc::clone(self), Arc::clone(&ring));
        // Through this lock the writer's first reading of the counter comes after that of a drainer that has not seen it.
        self.registered.lock().push(Reader::new(ring));
        writer
    }

    /// Figures for status. Waits for a drain that is under way.
    #[must_use]
    pub fn stats(&self) -> RingStats {
        let drainer = self.drainer.lock();
        let registered = self.registered.lock();
        let ended = *self.ended.lock();
        let mut stats = RingStats {
            bytes_in_use: self.pool.in_use() * self.config.chunk_bytes,
            capacity_bytes: self.config.total_bytes,
            buffer_bytes: self.config.buffer_bytes,
            reserved_bytes: self.pool.bytes(),
            recorded: ended.recorded,
            ..RingStats::default()
        };
        for (cause, count) in CAUSES.into_iter().zip(ended.lost) {
            stats.note_lost(0, cause, count);
        }
        for reader in drainer.readers.iter().chain(registered.iter()) {
            let ring = &reader.ring;
            stats.writers += 1;
            stats.recorded += ring.recorded();
            for (cause, count) in ring.lost_by_cause() {
                stats.note_lost(ring.writer, cause, count);
            }
        }
        stats
    }

    fn note_ended(&self, ring: &Ring) {
        let mut ended = self.ended.lock();
        ended.recorded += ring.recorded();
        for (sum, (_, count)) in ended.lost.iter_mut().zip(ring.lost_by_cause()) {
            *sum += count;
        }
    }
}

impl RingStats {
    fn note_lost(&mut self, writer: u32, cause: Symbol, count: u64) {
        if count > 0 {
            self.lost.push((writer, cause, count));
        }
    }
}

impl Ring {
    /// In the order of [`CAUSES`].
    fn lost_by_cause(&self) -> impl Iterator<Item = (Symbol, u64)> {
        self.losses().map(|(cause, cell)| {
            let broken = match cause {
                Symbol::DroppedOldest => self.broken.load(Ordering::Relaxed),
                _ => 0,
            };
            (cause, cell.count() + broken)
        })
    }
}

/// From 1, never the same twice in the life of the library, whichever recorder asks.
fn next_writer() -> u32 {
    // No part of the protocol, so that loom need not know of it.
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(1);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

/// A chunk holds one head at least.
const _: () = assert!(RecordHead::SIZE <= 64);
