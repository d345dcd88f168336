//! From the rings to the store.

mod barrier;
pub(crate) mod encode;

pub use barrier::Barrier;
