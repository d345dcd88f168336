//! The engine of ElixirScope: rings that capture writes, ingest that merges them, a columnar store with its queries.
//! It is pure Rust and knows nothing of Erlang: processes, names and sites are numbers that the host gives.

pub mod event;
pub mod ingest;
pub mod memory;
pub mod query;
pub mod record;
pub mod store;
pub mod value;
