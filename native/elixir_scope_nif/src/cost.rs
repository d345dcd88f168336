//! What capture costs: one record in so many is timed, on each thread.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use elixir_scope_engine::Clock;
use elixir_scope_engine::event::Ticks;

/// One record in so many.
pub const EVERY: u32 = 1_024;

/// The newest samples, in nanoseconds.
static SAMPLES: [AtomicU64; 63] = [const { AtomicU64::new(0) }; 63];
static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// Notes that a record was begun at `start`, and is written now.
#[cold]
pub fn note(clock: &Clock, start: Ticks) {
    let took = clock.convert(clock.ticks()).0 - clock.convert(start).0;
    // Relaxed, here and below: samples that need not agree with their number.
    let index = TAKEN.fetch_add(1, Ordering::Relaxed) % SAMPLES.len();
    if let Some(sample) = SAMPLES.get(index) {
        sample.store(u64::try_from(took).unwrap_or(0), Ordering::Relaxed);
    }
}

/// Nanoseconds from the announcement of a record to its publication: the median of the newest samples, which a thread that
/// was kept from running in between does not move. `None` before the first.
pub fn median_ns() -> Option<u64> {
    let taken = TAKEN.load(Ordering::Relaxed).min(SAMPLES.len());
    let mut samples: Vec<u64> = SAMPLES
        .iter()
        .take(taken)
        .map(|sample| sample.load(Ordering::Relaxed))
        .collect();
    samples.sort_unstable();
    samples.get(taken / 2).copied()
}

/// Begins anew, with a new recorder.
pub fn reset() {
    TAKEN.store(0, Ordering::Relaxed);
}
