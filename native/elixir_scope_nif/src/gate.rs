//! The gate: one word that every capture call reads first. 0 is closed. Any other value names a recorder and a version of its
//! capture settings, so that a thread sees at one glance whether what it keeps for itself is still right.

use std::sync::atomic::{AtomicU64, Ordering};

static GATE: AtomicU64 = AtomicU64::new(0);

/// The gate's word.
#[inline(always)]
pub fn word() -> u64 {
    // Relaxed: a thread that sees a new word fetches what it names through a lock.
    GATE.load(Ordering::Relaxed)
}

/// Opens the gate under a word that was never used before.
pub fn open(word: u64) {
    debug_assert!(word != 0);
    GATE.store(word, Ordering::Release);
}

/// Closes the gate. Calls that are past it still write what they began.
pub fn close() {
    GATE.store(0, Ordering::Release);
}
