//! The engine of ElixirScope: rings that capture writes, ingest that merges them, a columnar store with its queries.
//! It is pure Rust and knows nothing of Erlang: processes, names and sites are numbers that the host gives.

mod clock;
pub mod event;
mod host;
mod ingest;
pub mod memory;
mod process;
pub mod query;
pub mod record;
mod ring;
mod site;
pub mod store;
mod sync;
pub mod value;

pub use clock::Clock;
pub use host::Host;
pub use ingest::Barrier;
pub use process::{Entered, ProcessSlots, Slot};
pub use ring::{
    DrainItem, DrainState, Drained, LossReport, Lost, Policy, RecordBuf, RingConfig, RingStats,
    RingWriter, Rings,
};
pub use site::{SiteDef, SiteTable};
