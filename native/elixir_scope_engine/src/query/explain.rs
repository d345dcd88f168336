//! What a query did, told to whoever asks why it was slow or what it could not see.

use crate::event::{EventId, TimeNs};
use crate::store::Loss;

/// What spared a query from looking at rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Index {
    /// Ids are consecutive: `before`, `after` and retention.
    Id,
    /// Smallest and largest time of a segment; its order within.
    Time,
    /// Which kinds are in a segment.
    Kind,
    /// The dictionary of processes.
    Process,
    /// The dictionary of sites: module, function, arity.
    Site,
    /// Smallest and largest causal root.
    Correlation,
    /// How far back the calls of a segment reach.
    Call,
}

impl Index {
    /// All of them, in the order of [`Explain::pruned`].
    pub const ALL: [Index; 7] = [
        Index::Id,
        Index::Time,
        Index::Kind,
        Index::Process,
        Index::Site,
        Index::Correlation,
        Index::Call,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Index::Id => "id",
            Index::Time => "time",
            Index::Kind => "kind",
            Index::Process => "process",
            Index::Site => "site",
            Index::Correlation => "correlation",
            Index::Call => "call",
        }
    }
}

/// What a query did.
#[derive(Clone, Debug)]
pub struct Explain {
    /// Segments of the store, the open one among them.
    pub segments: usize,
    /// Segments passed over, by the [`Index`] that spared them.
    pub pruned: [usize; Index::ALL.len()],
    /// Segments whose rows were looked at.
    pub scanned: usize,
    /// Whether each [`Index`] narrowed the search, by passing over a segment or within one.
    pub used: [bool; Index::ALL.len()],
    /// Rows looked at.
    pub rows: u64,
    /// Rows whose fields and values the conditions were held against.
    pub verified: u64,
    /// Events found.
    pub matched: u64,
    /// Time spent, waiting for the rings not included.
    pub duration_ns: u64,
    /// Whether all that was recorded before the query had reached the store; set by the recorder.
    pub complete: bool,
    /// Losses that overlap the window, oldest first, [`Explain::MAX_LOSSES`] of them at most.
    pub losses: Vec<Loss>,
    /// Events lost in all of these, and in those that the list leaves out.
    pub lost: u64,
    /// Events evicted in all, when the window reaches behind the oldest event.
    pub evicted: u64,
    /// Events behind the one that the query begins after, and evicted before they could be looked at.
    pub overtaken: u64,
    /// Time and id of the oldest event that the store still has.
    pub oldest: Option<(TimeNs, EventId)>,
}

impl Explain {
    /// Losses named one by one.
    pub const MAX_LOSSES: usize = 100;

    pub(crate) fn prune(&mut self, index: Index) {
        if let Some(count) = self.pruned.get_mut(index as usize) {
            *count += 1;
        }
        self.narrow(index);
    }

    pub(crate) fn narrow(&mut self, index: Index) {
        if let Some(used) = self.used.get_mut(index as usize) {
            *used = true;
        }
    }

    pub(crate) fn add_loss(&mut self, loss: &Loss) {
        self.lost += loss.count;
        if self.losses.len() < Self::MAX_LOSSES {
            self.losses.push(*loss);
        }
    }
}

impl Default for Explain {
    fn default() -> Explain {
        Explain {
            segments: 0,
            pruned: [0; Index::ALL.len()],
            scanned: 0,
            used: [false; Index::ALL.len()],
            rows: 0,
            verified: 0,
            matched: 0,
            duration_ns: 0,
            complete: true,
            losses: Vec::new(),
            lost: 0,
            evicted: 0,
            overtaken: 0,
            oldest: None,
        }
    }
}

/// What a query would cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Estimate {
    /// Segments of the store.
    pub segments: usize,
    /// Segments whose rows would be looked at.
    pub scanned: usize,
    /// Rows that would be looked at, at most.
    pub rows: u64,
    /// Events that would be found, at most.
    pub matches: u64,
}
