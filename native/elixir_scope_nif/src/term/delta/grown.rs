//! Binaries that something was appended to, as a buffer is: of those the end alone is written.

use elixir_scope_engine::value::delta_format as format;

use super::Delta;
use crate::term::Terms;

/// A shorter one is written whole: that is as quick.
const LEAST: usize = 64;

impl<'t, T: Terms<'t>> Delta<'_, T> {
    /// Writes what the new binary has behind the old one, if it begins with that. Not where it would have been cut: it is
    /// written as far as it is kept then.
    pub(super) fn grow(&mut self, proof: u16, old: &[u8], new: &[u8]) -> bool {
        let left = self.end.saturating_sub(self.out.len());
        if old.len() < LEAST || new.len() <= old.len() || new.len() > left {
            return false;
        }
        let (front, more) = new.split_at(old.len());
        // Mostly the emulator has appended in place, and the two share their memory.
        let begins_with =
            std::ptr::eq(front, old) || self.step(old.len() as u32 / 64).is_ok() && front == old;
        if begins_with {
            self.byte(format::GROWN);
            self.out.extend_from_slice(&proof.to_le_bytes());
            self.varint(more.len() as u64);
            self.out.extend_from_slice(more);
        }
        begins_with
    }
}
