//! States through time: of each process, by module, whole states and the deltas between them. See the README beside this
//! file.

mod answer;
mod part;
mod walk;

use std::ops::RangeInclusive;
use std::sync::Arc;

pub use answer::{Asked, Found, Missing, Quality, Seek, TimelineStats, When};
pub use part::{StateHead, StatePart};
pub use walk::{Stride, View, Walk};

use crate::event::{AtomId, EventId, ProcessId, TimeNs};
use crate::memory::{Charge, Memory, Use};
use crate::value::Change;

/// The timelines of all processes.
#[derive(Debug)]
pub struct Timelines {
    charge: Charge,
    cap: usize,
}

impl Timelines {
    /// None yet. They will hold `cap` bytes at most, charged to `memory` as [`Use::Timelines`].
    #[must_use]
    pub fn new(memory: &Arc<Memory>, cap: usize) -> Timelines {
        Timelines {
            charge: memory.charge(Use::Timelines, 0),
            cap,
        }
    }

    /// Takes one recorded change: the event `id` of `process` tells of its state in `module`. Ids rise. Before more memory
    /// is taken, `room` is asked for so many bytes of it; without room the oldest of what is kept here goes.
    pub fn change(
        &mut self,
        _process: ProcessId,
        _module: AtomId,
        _id: EventId,
        _time: TimeNs,
        _part: &StatePart<'_>,
        _room: &mut dyn FnMut(usize) -> bool,
    ) -> Asked {
        Asked::No
    }

    /// The process has ended: when its turn comes, nothing of it is carried on.
    pub fn ended(&mut self, _process: ProcessId) {}

    /// Takes away what was over before `oldest`; the state of that time stays.
    pub fn retain(&mut self, _oldest: TimeNs) {}

    /// Takes away everything.
    pub fn clear(&mut self) {}

    /// The state of a process at a time; of the module in which it first had one, unless another is given.
    ///
    /// # Errors
    /// [`Missing`] where none is known.
    pub fn state_at(
        &self,
        _process: ProcessId,
        _module: Option<AtomId>,
        _when: When,
    ) -> Result<Found, Missing> {
        Err(Missing::NoStateRecorded)
    }

    /// Calls `found` for every place at which the states of two times differ.
    ///
    /// # Errors
    /// [`Missing`] where one of them is not known.
    pub fn diff(
        &self,
        _process: ProcessId,
        _module: Option<AtomId>,
        _from: When,
        _to: When,
        _found: &mut dyn FnMut(Change<'_>),
    ) -> Result<(), Missing> {
        Err(Missing::NoStateRecorded)
    }

    /// The nearest change that touched the value at `path`, encoded steps as [`find_step`](crate::value::find_step) takes
    /// them: it differs between the state before the change and the one after, is in only one of them, or is masked in
    /// both and was written. The state that a process begins with touches what is in it; the first one that was recorded
    /// of a process that had states before touches nothing.
    ///
    /// # Errors
    /// [`Missing`] where there is none.
    pub fn last_change(
        &self,
        _process: ProcessId,
        _module: Option<AtomId>,
        _path: &[&[u8]],
        _seek: Seek,
    ) -> Result<EventId, Missing> {
        Err(Missing::NoStateRecorded)
    }

    /// Calls `found` for the state of every timeline that had one at this time.
    pub fn all_at(&self, _when: When, _found: &mut dyn FnMut(ProcessId, Found)) {}

    /// The modules in which a process has states, the first-born first.
    #[must_use]
    pub fn modules(&self, _process: ProcessId) -> Vec<AtomId> {
        Vec::new()
    }

    /// All timelines.
    #[must_use]
    pub fn all(&self) -> Vec<(ProcessId, AtomId)> {
        Vec::new()
    }

    /// What is needed to walk along the changes whose ids are in `ids`. It is a copy: these timelines can go on.
    #[must_use]
    pub fn view(
        &self,
        _process: ProcessId,
        _module: AtomId,
        _ids: RangeInclusive<EventId>,
    ) -> Option<View> {
        None
    }

    /// Figures of this moment.
    #[must_use]
    pub fn stats(&self) -> TimelineStats {
        TimelineStats {
            bytes: self.charge.bytes(),
            cap: self.cap,
            ..TimelineStats::default()
        }
    }
}
