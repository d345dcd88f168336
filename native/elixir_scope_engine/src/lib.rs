//! The engine of ElixirScope: rings that capture writes, ingest that merges them, a columnar store with its queries.
//! It is pure Rust and knows nothing of Erlang: processes, names and sites are numbers that the host gives.

mod barrier;
mod clock;
pub mod event;
mod export;
mod host;
mod ingest;
mod memory;
mod process;
mod query;
pub mod record;
mod recorder;
mod ring;
mod site;
mod store;
mod subscription;
mod sync;
mod term_ring;
mod timeline;
#[cfg(not(loom))]
mod trace;
pub mod value;

pub use barrier::Barrier;
pub use clock::Clock;
pub use export::{Export, ExportOptions, Progress};
pub use host::Host;
pub use ingest::IngestStats;
pub use memory::{Memory, Use};
pub use process::{Chain, Entered, Opened, ProcessSlots, SharedSlots, Slot};
pub use query::{
    Condition, Context, Estimate, Explain, Field, FlowQuery, Index, KindNames, LiveStack,
    LiveStacks, Op, Order, Party, Path, Query, QueryResult, Row, Rows, SiteFacts, Sites, States,
    Way,
};
pub use recorder::{Answered, Faults, Gap, Recorder, RecorderConfig, Sample, StartError, Status};
pub use ring::{
    DrainItem, DrainState, Drained, Fill, LossReport, Lost, Policy, RecordBuf, RingConfig,
    RingStats, RingWriter, Rings, Window,
};
pub use site::{
    Callee, FoundSite, Receives, Rule, SiteClass, SiteDef, SiteTable, StateArgument, Strategy,
    Switches, Via,
};
pub use store::{
    Appender, Call, EventHead, LimitTooSmall, Loss, NewEvent, Refused, Store, StoreConfig,
    StoreStats,
};
pub use subscription::Taken;
pub use term_ring::{
    Destroyed, FullPolicy, NoPowerOfTwo, TermBatch, TermRead, TermRing, TermRingStats, WriteError,
};
pub use timeline::{
    Asked, Found, Missing, Nearest, Quality, Seek, StateChange, StateHead, StatePart, Stride,
    TimelineStats, Timelines, View, Walk, When,
};
#[cfg(not(loom))]
pub use trace::{
    Ending, Follow, Group, Member, Scope, Standing, TraceConfig, TraceSet, TraceState, Traces,
};
