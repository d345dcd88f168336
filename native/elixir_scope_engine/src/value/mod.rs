//! Encoded values: written once at capture, read in place ever after. See [`format`] for the bytes.

pub mod format;
mod sink;

pub use sink::{Full, Sink};
