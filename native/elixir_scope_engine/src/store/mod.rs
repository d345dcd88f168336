//! The event store: segments of columns, retention, and the account of their memory. See the README beside this file.

mod aliases;
mod column;
mod dictionary;
mod links;
mod loss;
mod offsets;
mod open;
mod row;
mod segment;
mod sparse;
mod tape;

use std::sync::Arc;

use parking_lot::{RwLock, RwLockWriteGuard};

pub(crate) use aliases::Aliases;

pub(crate) use column::{Column, keep};
pub(crate) use dictionary::Dictionary;
pub use loss::Loss;
pub(crate) use open::Open;
pub use row::{Call, EventHead, NewEvent};
pub(crate) use row::{Rows, Zone};
pub(crate) use segment::Segment;
pub(crate) use sparse::{Growing, Peers};
pub(crate) use tape::{Tape, first_at};

use crate::event::{CorrelationId, EventId, TimeNs};
use crate::memory::{Memory, Use};

/// Bounds of a store. Whichever is reached first, the oldest events go.
#[derive(Clone, Copy, Debug)]
pub struct StoreConfig {
    /// Bytes in all, at least [`Store::MIN_MEMORY`].
    pub memory_limit: usize,
    /// Number of events.
    pub max_events: Option<u64>,
    /// Age in nanoseconds; applied by [`Store::retain`].
    pub max_age_ns: Option<i64>,
}

/// Why the store did not take an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// The payload alone is larger than a sixteenth of the store.
    TooBig,
    /// There is no room until running queries let go of what they read.
    Full,
}

/// Why a store was not made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LimitTooSmall {
    /// The limit asked for, in bytes.
    pub given: usize,
    /// The smallest one, in bytes.
    pub least: usize,
}

/// Figures of a store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoreStats {
    /// Events that queries see.
    pub events: u64,
    /// Segments, the open one among them.
    pub segments: usize,
    /// Events that retention took away.
    pub evicted: u64,
    /// Times of the oldest and of the newest event; by time where they came unordered.
    pub times: Option<(TimeNs, TimeNs)>,
    /// Ids of the oldest and of the newest event.
    pub ids: Option<(EventId, EventId)>,
    /// Bytes by use, in the order columns, index, payload, open, timelines.
    pub bytes: [usize; 5],
    /// Bytes in all.
    pub total_bytes: usize,
    /// The limit of the bytes.
    pub memory_limit: usize,
}

/// Events in memory, appended by one side and queried by any number of others.
#[derive(Debug)]
pub struct Store {
    tape: RwLock<Tape>,
    /// Taken behind the tape's lock, where both are.
    aliases: RwLock<Aliases>,
    memory: Arc<Memory>,
}

impl Store {
    /// The smallest [`StoreConfig::memory_limit`].
    pub const MIN_MEMORY: usize = 64 * 1024;

    /// An empty store. Its open segment, a tenth of the limit at most, is allocated here.
    ///
    /// # Errors
    /// [`LimitTooSmall`] below [`Store::MIN_MEMORY`].
    pub fn new(config: StoreConfig) -> Result<Store, LimitTooSmall> {
        if config.memory_limit < Self::MIN_MEMORY {
            return Err(LimitTooSmall {
                given: config.memory_limit,
                least: Self::MIN_MEMORY,
            });
        }
        let memory = Arc::new(Memory::default());
        let tape = RwLock::new(Tape::new(config, &memory));
        Ok(Store {
            tape,
            aliases: RwLock::default(),
            memory,
        })
    }

    /// Appends one event; see [`Appender::append`].
    ///
    /// # Errors
    /// [`Refused`] when there is no room for it.
    pub fn append(&self, event: &NewEvent<'_>) -> Result<EventId, Refused> {
        self.appender().append(event)
    }

    /// Appends many events under one lock.
    #[must_use]
    pub fn appender(&self) -> Appender<'_> {
        Appender {
            tape: self.tape.write(),
            aliases: &self.aliases,
        }
    }

    /// Makes room, in `budget` bytes that are not on this store's account, for roots that turn out to go back to others.
    pub(crate) fn reserve_aliases(&self, budget: usize) {
        self.aliases.write().reserve(budget);
    }

    /// Which roots go back to which others.
    pub(crate) fn aliases(&self) -> parking_lot::RwLockReadGuard<'_, Aliases> {
        self.aliases.read()
    }

    /// Takes away what is older than [`StoreConfig::max_age_ns`] at `now`.
    pub fn retain(&self, now: TimeNs) {
        self.tape.write().retain(now);
    }

    /// Takes away all events. Ids go on.
    pub fn clear(&self) {
        self.tape.write().clear();
    }

    /// The largest payload that it takes, in bytes: an event with a larger one is refused as [`Refused::TooBig`].
    #[must_use]
    pub fn max_payload(&self) -> usize {
        self.tape.read().max_payload()
    }

    /// Figures of this moment.
    #[must_use]
    pub fn stats(&self) -> StoreStats {
        let tape = self.tape.read();
        tape.stats(&self.memory)
    }

    /// The account that counts its bytes.
    #[must_use]
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// The tape, for a look that must be short.
    pub(crate) fn tape(&self) -> parking_lot::RwLockReadGuard<'_, Tape> {
        self.tape.read()
    }
}

/// Appends events under one lock; queries wait for it.
#[derive(Debug)]
pub struct Appender<'a> {
    tape: RwLockWriteGuard<'a, Tape>,
    aliases: &'a RwLock<Aliases>,
}

impl Appender<'_> {
    /// Appends one event and answers its id, which is one above that of the event before.
    ///
    /// # Errors
    /// [`Refused`] when there is no room for it.
    #[inline]
    pub fn append(&mut self, event: &NewEvent<'_>) -> Result<EventId, Refused> {
        self.tape.append(event)
    }

    /// The id that the next event will have.
    #[must_use]
    pub fn next_id(&self) -> EventId {
        EventId(self.tape.next_id())
    }

    /// What was stored with the causal root `root` goes back to `to`: so queries show it, and find it.
    pub fn alias(&mut self, root: CorrelationId, to: CorrelationId) {
        if to.is_some() && root != to {
            self.aliases.write().add(root, to);
        }
    }

    /// Evicts the oldest events until so many bytes more are within the limit; false where there are not enough.
    pub(crate) fn make_room(&mut self, bytes: usize) -> bool {
        self.tape.make_room(bytes)
    }

    /// Lets waiting queries in.
    pub fn pause(&mut self) {
        RwLockWriteGuard::bump(&mut self.tape);
    }
}

/// All uses, in the order of [`StoreStats::bytes`].
pub(crate) const USES: [Use; 5] = [
    Use::Columns,
    Use::Index,
    Use::Payload,
    Use::Open,
    Use::Timelines,
];

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests;
