//! Deltas: how one encoded value became another. See [`format`](mod@format) for the bytes.

pub mod format;
mod reader;
mod step;
mod touch;

pub use reader::skip_delta;
pub use step::Step;
pub use touch::{Touch, Touched, touch};
