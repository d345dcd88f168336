//! Deltas: how one encoded value became another. See [`format`](mod@format) for the bytes.

mod along;
mod changes;
#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests"
)]
mod choices;
mod diff;
pub mod format;
mod frame;
mod keys;
mod node;
mod patch;
mod proof;
mod reader;
mod span;
mod step;
#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests"
)]
mod tests;
mod touch;

pub use along::changes_along;
pub use changes::{Change, ChangeOp, changes};
pub use diff::diff;
pub use patch::{Applied, Patched};
pub use proof::{Glance, Proof};
pub use reader::skip_delta;
pub use step::Step;
pub use touch::{Touch, Touched, touch};
