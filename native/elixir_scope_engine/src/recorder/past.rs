//! Questions about the past: states, what changed in them, and where processes stood.

use std::time::Duration;

use super::Recorder;
use crate::event::{AtomId, EventId, ProcessId};
use crate::query::{Context, LiveStacks, Query, Rows, Way, put_changes};
use crate::timeline::{Found, Missing, Seek, When};

/// An answer, and whether all that was recorded before the question is in it.
#[derive(Clone, Debug)]
pub struct Answered<T> {
    /// The answer.
    pub answer: T,
    /// Whether no writer kept its record back.
    pub complete: bool,
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
                self.timelines.read().diff(process, module, from, to, found)
            })?;
            Ok(changes)
        })
    }

    /// The change of the part of the state at `path`, encoded steps, that is nearest in this direction: one row, as a query shows
    /// it, or none where the event has been evicted.
    #[must_use]
    pub fn last_change(
        &self,
        process: ProcessId,
        module: Option<AtomId>,
        path: &[&[u8]],
        seek: Seek,
        timeout: Duration,
    ) -> Answered<Result<Rows, Missing>> {
        self.asked(timeout, |context| {
            let found = self
                .timelines
                .read()
                .nearest_change(process, module, path, seek)?;
            let Some(change) = found.change else {
                return Ok(self.event(process, found.event, context));
            };
            // what it did came up on the way: nobody has to replay it once more
            let bare = Context {
                states: None,
                ..*context
            };
            let mut rows = self.event(process, found.event, &bare);
            let mut payload = Vec::new();
            if let Some(row) = rows.rows().first() {
                let trigger = rows.payload(row);
                let change = Some(change.as_ref());
                self.states()
                    .put_change(&row.head, trigger, change, &mut payload);
                rows.set_payload(0, &[&payload]);
            }
            Ok(rows)
        })
    }

    /// The event of this id, alone; no row where it was evicted.
    fn event(&self, process: ProcessId, id: EventId, context: &Context<'_>) -> Rows {
        let query = Query {
            processes: Some(vec![process]),
            after: Some(EventId(id.0.saturating_sub(1))),
            before: Some(EventId(id.0 + 1)),
            ..Query::default()
        };
        self.store.query(&query, context).rows
    }

    /// Up to `limit` events that led to the event `id`, or followed from it, by time; `None` where it is not on the tape.
    #[must_use]
    pub fn chain(
        &self,
        id: EventId,
        way: Way,
        limit: usize,
        timeout: Duration,
    ) -> Answered<Option<Rows>> {
        self.asked(timeout, |context| self.store.chain(id, way, limit, context))
    }

    /// The states of all processes that have one.
    #[must_use]
    pub fn states_at(&self, when: When, timeout: Duration) -> Answered<Vec<(ProcessId, Found)>> {
        self.asked(timeout, |_| {
            let mut states = Vec::new();
            self.timelines
                .read()
                .all_at(when, &mut |process, found| states.push((process, found)));
            states
        })
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
            When::Before(_) | When::Last => None,
        };
        self.asked(timeout, |context| self.store.stacks_at(at, context))
    }
}
