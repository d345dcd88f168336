//! What the engine asks of the system that it records.

use crate::event::{AtomId, ProcessId};

/// The recorded system, as far as the engine needs it. Called from our own threads and, rarely, from capture (a full
/// window of process slots); it must not block.
pub trait Host: Send + Sync + 'static {
    /// The host's monotonic time in nanoseconds.
    fn monotonic_ns(&self) -> i64;

    /// Whether `process` lives still.
    fn is_alive(&self, process: ProcessId) -> bool;

    /// The queue of `subscription` is no longer empty. Called by the recorder's own thread only.
    fn notify(&self, subscription: u64);

    /// Appends the text of `atom` to `out`; false, and nothing appended, when the host knows no such name.
    fn atom_name(&self, atom: AtomId, out: &mut String) -> bool;
}
