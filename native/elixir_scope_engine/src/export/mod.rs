//! The tape as a file for tools that draw it: a Perfetto trace, written step by step. See the README beside this file.

mod fields;
mod names;
mod packets;
mod payload;
mod perfetto;
mod proto;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests;
mod texts;
mod tracks;

use crate::event::{EventId, EventKind, KindSet, ProcessId, TimeNs};
use crate::query::{Context, Order, Page, Query, page};
use crate::store::{EventHead, Store};
use crate::value::Names;
use packets::Around;
use perfetto::Perfetto;

/// What of an export is not a question of which events.
#[derive(Clone, Debug, Default)]
pub struct ExportOptions {
    /// Whether captured values are written.
    pub values: bool,
    /// What the host calls processes.
    pub names: Vec<(ProcessId, String)>,
}

/// How far an export has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Events written.
    pub events: u64,
    /// Processes whose tracks were described.
    pub tracks: u64,
    /// What has been looked at, and what there is.
    pub done: u64,
    /// Of whatever `done` counts.
    pub of: u64,
    /// Events that left the tape before they could be looked at, of whatever sort.
    pub evicted: u64,
    /// Whether it is complete.
    pub is_complete: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// Nothing was written.
    Begin,
    /// Births and names are looked for, on the whole tape.
    Births,
    /// Older events than the limit keeps are passed over, so many.
    Skip,
    /// Events are written.
    Events,
    /// All were.
    Complete,
}

/// Rows of one step, and bytes of their payloads: what is in memory at a time.
const PAGE_ROWS: usize = 4_096;
const PAGE_BYTES: usize = 1 << 20;

/// An export under way.
pub struct Export {
    query: Query,
    /// Of the first event that may be written, and of the first that is not: what is recorded meanwhile is not seen.
    from: EventId,
    until: EventId,
    /// The event behind which to go on.
    after: EventId,
    /// Events to be passed over, and to be written.
    skip: usize,
    left: usize,
    stage: Stage,
    events: u64,
    evicted: u64,
    /// When the first event was.
    began: TimeNs,
    writer: Perfetto,
}

impl Export {
    /// Begins an export of the events that `query` asks for as of now, in the order of time. Its limit keeps the newest, or, with
    /// `after`, the oldest behind that.
    pub(crate) fn new(
        store: &Store,
        query: Query,
        options: ExportOptions,
        context: &Context<'_>,
    ) -> Export {
        let (floor, next) = {
            let tape = store.tape();
            (tape.floor(), tape.next_id())
        };
        let after = query.after.map_or(0, |after| after.0);
        let until = EventId(query.before.map_or(next, |before| before.0.min(next)));
        let query = Query {
            before: Some(until),
            ..query
        };
        let skip = match (query.limit, query.after) {
            (Some(limit), None) => {
                let all = usize::try_from(store.count(&query, context).0).unwrap_or(usize::MAX);
                all.saturating_sub(limit)
            }
            _ => 0,
        };
        Export {
            from: EventId(floor.max(after + 1).min(until.0)),
            until,
            after: EventId(after),
            skip,
            left: query.limit.unwrap_or(usize::MAX),
            stage: Stage::Begin,
            events: 0,
            evicted: 0,
            began: TimeNs::default(),
            writer: Perfetto::new(options),
            query,
        }
    }

    /// Goes on for a while: appends to `out` what is to be written next.
    pub(crate) fn step(
        &mut self,
        store: &Store,
        context: &Context<'_>,
        names: &dyn Names,
        out: &mut Vec<u8>,
    ) -> Progress {
        let around = Around::new(context, names);
        match self.stage {
            Stage::Begin => {
                let start = store.tape().time_of(self.from).unwrap_or_default();
                self.began = start;
                self.writer.begin(start, context, names, out);
                self.after = EventId::NONE;
                self.stage = Stage::Births;
            }
            Stage::Births => {
                let query = self.page_of(Query {
                    kinds: KindSet::EMPTY
                        .with(EventKind::ProcessSpawn)
                        .with(EventKind::ProcessRegister),
                    ..Query::default()
                });
                let Page { rows, more, .. } = page(store, &query, context, PAGE_BYTES);
                for (head, payload) in rows.iter() {
                    self.writer.learn(head, payload, &around);
                }
                self.go_on(more, Stage::Skip);
                if more.is_none() {
                    // What was evicted before it began is no part of it.
                    self.after = EventId(self.from.0.saturating_sub(1));
                }
            }
            Stage::Skip => {
                let query = self.page_of(Query {
                    payload: false,
                    ..self.query.clone()
                });
                let query = Query {
                    limit: query.limit.map(|limit| limit.min(self.skip)),
                    ..query
                };
                let mut more = None;
                if self.skip > 0 {
                    let Page {
                        rows,
                        more: behind,
                        overtaken,
                    } = page(store, &query, context, PAGE_BYTES);
                    self.evicted += overtaken;
                    self.skip = self.skip.saturating_sub(rows.rows().len());
                    self.after = behind.unwrap_or(self.after);
                    more = behind;
                }
                // Some may have been evicted since they were counted.
                if self.skip == 0 || more.is_none() {
                    self.stage = Stage::Events;
                }
            }
            Stage::Events if self.left == 0 => self.stage = Stage::Complete,
            Stage::Events => {
                let query = self.page_of(Query {
                    payload: true,
                    ..self.query.clone()
                });
                let query = Query {
                    limit: query.limit.map(|limit| limit.min(self.left)),
                    ..query
                };
                let Page {
                    rows,
                    more,
                    overtaken,
                } = page(store, &query, context, PAGE_BYTES);
                self.evicted += overtaken;
                for (head, payload) in rows.iter() {
                    let message = message_of(store, head);
                    self.writer.event(head, payload, message, &around, out);
                }
                self.left = self.left.saturating_sub(rows.rows().len());
                self.events += rows.rows().len() as u64;
                self.go_on(more.filter(|_| self.left > 0), Stage::Complete);
                if self.stage == Stage::Complete && self.evicted > 0 {
                    self.writer
                        .overtaken(self.evicted, self.began, &around, out);
                }
            }
            Stage::Complete => {}
        }
        self.progress()
    }

    /// The next page of what `query` asks for.
    fn page_of(&self, query: Query) -> Query {
        Query {
            after: Some(self.after),
            before: Some(self.until),
            limit: Some(PAGE_ROWS),
            order: Order::Asc,
            ..query
        }
    }

    fn go_on(&mut self, more: Option<EventId>, stage: Stage) {
        match more {
            Some(after) => self.after = after,
            None => self.stage = stage,
        }
    }

    fn progress(&self) -> Progress {
        let of = self.until.0 - self.from.0;
        let done = match self.stage {
            Stage::Begin | Stage::Births => 0,
            Stage::Skip | Stage::Events => (self.after.0 + 1).saturating_sub(self.from.0),
            Stage::Complete => of,
        };
        Progress {
            events: self.events,
            tracks: self.writer.tracks.described(),
            done: done.min(of),
            of,
            evicted: self.evicted,
            is_complete: self.stage == Stage::Complete,
        }
    }
}

/// The message that an arrival is one of, or that a call handles, by the event that it begins with; none where that is not known.
fn message_of(store: &Store, head: &EventHead) -> EventId {
    if !matches!(
        head.kind,
        EventKind::MessageReceive | EventKind::MessageTaken | EventKind::FunctionEntry
    ) {
        return EventId::NONE;
    }
    let message = store
        .tape()
        .with_row(head.id, |rows, row| rows.message(row));
    match message.flatten().map(EventId) {
        Some(EventId::AMBIGUOUS) => EventId::NONE,
        Some(message) => message,
        // Nobody told that it was sent: a call that handles it names the arrival.
        None if head.kind == EventKind::MessageReceive => head.id,
        None => EventId::NONE,
    }
}

impl std::fmt::Debug for Export {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Export")
            .field("stage", &self.stage)
            .field("events", &self.events)
            .finish_non_exhaustive()
    }
}
