//! Questions about the past: states, what changed in them, and where processes stood.

use std::time::Duration;

use super::Recorder;
use crate::event::{AtomId, EventId, EventKind, ProcessId, TimeNs};
use crate::query::{Context, LiveStacks, Query, Rows, StateRows, put_changes};
use crate::timeline::{Found, Missing, When};

/// An answer, and whether all that was recorded before the question is in it.
#[derive(Clone, Debug)]
pub struct Answered<T> {
    /// The answer.
    pub answer: T,
    /// Whether no writer kept its record back.
    pub complete: bool,
}

/// When a part of a state changed last, or next.
#[derive(Clone, Debug)]
pub enum LastChange {
    /// The state change, as a query shows it.
    At(Rows),
    /// In all that is known it did not.
    Never,
    /// There is no state to ask about.
    Missing(Missing),
}

impl Recorder {
    fn asked<T>(&self, timeout: Duration, ask: impl FnOnce(&Context<'_>) -> T) -> Answered<T> {
        let (answer, complete) = self.synced(timeout, ask);
        Answered { answer, complete }
    }

    /// The state that `process` held, in `module` or in the one that it was started with.
    #[must_use]
    pub fn state_at(
        &self,
        process: ProcessId,
        module: Option<AtomId>,
        when: When,
        timeout: Duration,
    ) -> Answered<Result<Found, Missing>> {
        self.asked(timeout, |_| {
            self.timelines.read().state_at(process, module, when)
        })
    }

    /// What is different between the states at two instants: an encoded list of maps, as events have it in `state_diff`.
    #[must_use]
    pub fn state_diff(
        &self,
        process: ProcessId,
        module: Option<AtomId>,
        from: When,
        to: When,
        timeout: Duration,
    ) -> Answered<Result<Vec<u8>, Missing>> {
        self.asked(timeout, |context| {
            let mut changes = Vec::new();
            put_changes(&mut changes, context.symbols, |found| {
                self.timelines
                    .read()
                    .diff(process, module, from, to, found)
            })?;
            Ok(changes)
        })
    }

    /// The newest change of the part of the state at `path` (encoded keys) up to `before`; or with `after`, the oldest one
    /// later than that.
    #[must_use]
    pub fn last_change(
        &self,
        process: ProcessId,
        module: Option<AtomId>,
        path: &[Vec<u8>],
        before: When,
        after: Option<TimeNs>,
        timeout: Duration,
    ) -> Answered<LastChange> {
        self.asked(timeout, |context| {
            let found = self
                .timelines
                .read()
                .last_change(process, module, path, before, after);
            match found {
                Ok(Some(id)) => LastChange::At(self.event(process, id, context)),
                Ok(None) => LastChange::Never,
                Err(missing) => LastChange::Missing(missing),
            }
        })
    }

    /// The event of this id, alone; no row where it was evicted.
    fn event(&self, process: ProcessId, id: EventId, context: &Context<'_>) -> Rows {
        let query = Query {
            processes: Some(vec![process]),
            after: EventId(id.0.saturating_sub(1)).into(),
            before: Some(EventId(id.0 + 1)),
            ..Query::default()
        };
        self.store.query(&query, context).rows
    }

    /// The states of all processes that have one.
    #[must_use]
    pub fn states_at(
        &self,
        when: When,
        timeout: Duration,
    ) -> Answered<Vec<(ProcessId, Found)>> {
        self.asked(timeout, |_| self.timelines.read().all_at(when))
    }

    /// The processes whose states are known, and their modules.
    #[must_use]
    pub fn timelines_of(&self, timeout: Duration) -> Answered<Vec<(ProcessId, AtomId)>> {
        self.asked(timeout, |_| self.timelines.read().all())
    }

    /// The calls that each process was in.
    #[must_use]
    pub fn stacks_at(&self, when: When, timeout: Duration) -> Answered<LiveStacks> {
        let at = match when {
            When::At(time) => Some(time),
            When::Last => None,
        };
        self.asked(timeout, |context| self.store.stacks_at(at, context))
    }
}
