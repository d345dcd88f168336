//! What the host calls the numbers in encoded values.

use std::fmt::Write as _;

use crate::event::AtomId;

/// Tells names, for ordering and for text.
pub trait Names {
    /// Appends the text of `atom`; `false` if there is no such atom.
    fn atom_name(&self, atom: AtomId, out: &mut String) -> bool;

    /// Appends the text of a local process, as `#PID<0.110.0>`.
    fn process_name(&self, process: u64, out: &mut String) {
        let _ = write!(out, "#PID<{process:#x}>");
    }

    /// Appends the text of a local port, as `#Port<0.5>`.
    fn port_name(&self, port: u64, out: &mut String) {
        let _ = write!(out, "#Port<{port:#x}>");
    }
}
