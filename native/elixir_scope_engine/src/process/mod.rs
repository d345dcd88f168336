//! What capture knows of each process that records. See README.md in this folder.

mod slot;
mod table;

pub use slot::{Entered, Slot};
pub use table::{ProcessSlots, SharedSlots};
