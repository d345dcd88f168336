//! From the rings to the store.

mod barrier;

pub use barrier::Barrier;
