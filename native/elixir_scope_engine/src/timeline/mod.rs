//! States through time: of each process, by module, whole states and the deltas between them. See the README beside this
//! file.

mod answer;
mod block;
mod forgotten;
mod index;
mod last_change;
mod line;
mod part;
mod query;
mod replay;
mod retention;
mod take;
mod verdicts;
mod walk;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use smallvec::SmallVec;

pub use answer::{Asked, Found, Missing, Quality, Seek, TimelineStats, When};
pub use last_change::Nearest;
pub use part::{StateHead, StatePart};
pub use walk::{StateChange, Stride, View, Walk};

use crate::event::{AtomId, ProcessId};
use crate::memory::{Charge, Memory, Use};
use forgotten::Forgotten;
use index::Scan;
use line::Line;

/// The timelines of all processes.
#[derive(Debug)]
pub struct Timelines {
    memory: Arc<Memory>,
    cap: usize,
    processes: HashMap<ProcessId, Process, ahash::RandomState>,
    lines: Vec<Option<Line>>,
    /// Places in `lines` that are free.
    free: Vec<u32>,
    /// Timelines with something to evict, by the id of the last change of their oldest block, as it was when they came here.
    queue: BTreeSet<(u64, u32)>,
    /// Timelines of one state each, by the id of its change.
    bases: BTreeSet<(u64, u32)>,
    bases_bytes: usize,
    forgotten: Forgotten,
    /// Timelines whose first state could not be kept, some of them.
    homeless: Vec<Homeless>,
    /// For the tables above.
    tables: Charge,
    scan: Scan,
    /// For states that are replayed here.
    scratch: Vec<u8>,
    changes: u64,
    evicted: u64,
    refused: u64,
    verified: u64,
    mismatches: u64,
}

/// What is known of a process.
#[derive(Debug)]
struct Process {
    /// The number of its newest change.
    sequence: u32,
    /// Where its timelines stand, the first-born first.
    lines: SmallVec<[(AtomId, u32); 2]>,
}

/// A timeline that there is not, and how many changes it would have.
#[derive(Debug)]
struct Homeless {
    process: ProcessId,
    module: AtomId,
    changes: u32,
}

impl Timelines {
    /// None yet. They will hold `cap` bytes at most, charged to `memory` as [`Use::Timelines`].
    #[must_use]
    pub fn new(memory: &Arc<Memory>, cap: usize) -> Timelines {
        Timelines {
            memory: Arc::clone(memory),
            cap,
            processes: HashMap::default(),
            lines: Vec::new(),
            free: Vec::new(),
            queue: BTreeSet::new(),
            bases: BTreeSet::new(),
            bases_bytes: 0,
            forgotten: Forgotten::new(cap / 64),
            homeless: Vec::new(),
            tables: memory.charge(Use::Timelines, 0),
            scan: Scan::default(),
            scratch: Vec::new(),
            changes: 0,
            evicted: 0,
            refused: 0,
            verified: 0,
            mismatches: 0,
        }
    }

    /// The largest state that is kept, in bytes.
    #[must_use]
    pub fn max_state(&self) -> usize {
        self.cap / 8
    }

    /// Figures of this moment.
    #[must_use]
    pub fn stats(&self) -> TimelineStats {
        let lines = self.lines.iter().flatten();
        TimelineStats {
            processes: self.processes.len(),
            timelines: lines.clone().count(),
            blocks: lines.clone().map(Line::blocks).sum(),
            changes: self.changes,
            evicted: self.evicted + lines.map(|line| line.evicted).sum::<u64>(),
            refused: self.refused,
            verified: self.verified,
            mismatches: self.mismatches,
            bytes: self.memory.of(Use::Timelines),
            cap: self.cap,
        }
    }

    fn line(&self, at: u32) -> Option<&Line> {
        self.lines.get(at as usize)?.as_ref()
    }

    fn line_mut(&mut self, at: u32) -> Option<&mut Line> {
        self.lines.get_mut(at as usize)?.as_mut()
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests"
)]
mod tests;
