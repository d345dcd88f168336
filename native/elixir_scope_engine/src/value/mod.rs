//! Encoded values: written once at capture, read in place ever after. See [`format`](mod@format) for the bytes.

mod cut;
mod delta;
pub mod format;
mod inspect;
mod names;
mod number;
mod order;
mod path;
mod reader;
mod sink;
#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests"
)]
mod tests;
#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests"
)]
pub(crate) mod tree;
pub(crate) mod varint;
mod writer;

pub use cut::{Cut, DATA_MARK, GUARD_MARK, Mark, STATE_MARK};
pub use delta::{
    Applied, Change, ChangeOp, Glance, Patched, Proof, Step, Touch, Touched, changes,
    changes_along, diff, format as delta_format, skip_delta, touch,
};
pub use inspect::{Limits, inspect};
pub use names::Names;
pub use order::{compare, compare_exact, equal, equal_numeric};
pub use path::{contains, find_step};
pub use reader::{
    Flaw, Malformed, Nesting, Reader, Token, is_whole, skip, split_first, split_whole, validate,
};
pub use sink::{Full, Sink, Watched};
pub use writer::{Budget, Container, Fit, FunHead, Writer};
