//! What capture knows of each process that records. See README.md in this folder.

mod chain;
mod slot;
mod table;

pub use chain::{Chain, Opened};
pub use slot::{Entered, Slot};
pub use table::{ProcessSlots, SharedSlots};
