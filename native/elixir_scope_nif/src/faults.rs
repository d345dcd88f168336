//! Panics of our own: caught, counted, told in `status/0`. One inside capture switches recording off.

use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

static PANICS: AtomicU64 = AtomicU64::new(0);
static LAST: Mutex<Option<String>> = Mutex::new(None);

/// The message of a panic.
pub fn text(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "panic without a message".to_owned()
    }
}

/// Counts a panic behind a capture call and closes the gate: better no tape than a host at risk.
#[cold]
pub fn capture_panicked(panic: &(dyn Any + Send)) {
    crate::gate::close();
    // Relaxed: a counter that publishes nothing else.
    PANICS.fetch_add(1, Ordering::Relaxed);
    *LAST.lock() = Some(text(panic));
}

/// How many capture calls panicked since the library was loaded, and the last one's message.
pub fn seen() -> (u64, Option<String>) {
    (PANICS.load(Ordering::Relaxed), LAST.lock().clone())
}
