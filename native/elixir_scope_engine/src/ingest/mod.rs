//! Ingest.
pub(crate) mod encode;
