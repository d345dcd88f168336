//! Runs a query: over the segments from the end where the limit keeps its events, until there are enough.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::time::Instant;

use super::scan::{count as count_segment, scan};
use super::segment::{Scan, ruled_out};
use super::{
    Context, Estimate, Explain, Filter, Index, Order, Query, QueryResult, Rows as Answer, Wanted,
};
use super::{late, receipts, tails, unordered};
use crate::event::EventId;
use crate::store::{EventHead, Rows, Segment, Store, Tape};

/// The ids that a query can see.
fn visible(tape: &Tape, query: &Query) -> Range<u64> {
    let after = query.after.map_or(0, |id| id.0.saturating_add(1));
    let start = tape.floor().max(after);
    let end = query.before.map_or(u64::MAX, |id| id.0).min(tape.next_id());
    start..end.max(start)
}

/// Which end the limit keeps.
pub(crate) fn direction(query: &Query) -> Order {
    match (query.limit, query.after) {
        (None, _) => query.order,
        (_, Some(_)) => Order::Asc,
        (_, None) => Order::Desc,
    }
}

pub(crate) fn run(store: &Store, query: &Query, context: &Context<'_>) -> QueryResult {
    let started = Instant::now();
    let wanted = Wanted::new(query, &store.aliases());
    let filter = Filter::new(query, context, &wanted);
    let mut explain = Explain::default();
    let mut rows = Answer::default();
    if store.tape().ordered() {
        let direction = direction(query);
        let limit = query.limit.unwrap_or(usize::MAX);
        if limit > 0 {
            let mut take = |head: EventHead, payload: &[u8]| {
                rows.push(head, if query.payload { payload } else { &[] });
                if rows.rows().len() < limit {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            };
            let _ = match late::split(query, context) {
                Some(asked) => late::each(
                    store,
                    asked,
                    context,
                    direction,
                    &mut explain,
                    &mut |head, payload| take(*head, payload),
                ),
                None => walk(store, &filter, direction, &mut explain, &mut take),
            };
        }
        if direction != query.order {
            rows.reverse();
        }
    } else {
        rows = unordered::run(store, &filter, &mut explain);
    }
    if query.payload {
        finish(store, context, &mut rows);
    }
    describe(store, query, &mut explain);
    explain.duration_ns = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
    QueryResult { rows, explain }
}

/// Puts into the payloads of an answer what stands in other rows, or elsewhere.
pub(crate) fn finish(store: &Store, context: &Context<'_>, rows: &mut Answer) {
    tails::resolve(store, context, rows);
    if context.flows {
        receipts::fill_all(store, context, rows);
    }
    if let Some(states) = context.states {
        states.expand_all(rows);
    }
}

pub(crate) fn count(store: &Store, query: &Query, context: &Context<'_>) -> (u64, Explain) {
    let started = Instant::now();
    let mut explain = Explain::default();
    let wanted = Wanted::new(query, &store.aliases());
    let count = if let Some(asked) = late::split(query, context) {
        let mut count = 0;
        let _ = late::each(
            store,
            asked,
            context,
            Order::Asc,
            &mut explain,
            &mut |_, _| {
                count += 1;
                ControlFlow::Continue(())
            },
        );
        count
    } else if store.tape().ordered() || query.before.is_none() && query.after.is_none() {
        let filter = Filter::new(query, context, &wanted);
        let mut count = 0;
        let _ = each_segment(
            store,
            &filter,
            Order::Asc,
            &mut explain,
            &mut |segment, ids, explain| {
                let aliases = store.aliases();
                count += match segment {
                    Pinned::Sealed(segment) => {
                        count_segment(segment.as_ref(), &filter, &aliases, &ids, explain)
                    }
                    Pinned::Open(tape) => {
                        count_segment(tape.open(), &filter, &aliases, &ids, explain)
                    }
                };
                ControlFlow::Continue(())
            },
        );
        count
    } else {
        let query = Query {
            limit: None,
            payload: false,
            ..query.clone()
        };
        unordered::run(store, &Filter::new(&query, context, &wanted), &mut explain)
            .rows()
            .len() as u64
    };
    describe(store, query, &mut explain);
    explain.duration_ns = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
    (count, explain)
}

pub(crate) fn estimate(store: &Store, query: &Query, context: &Context<'_>) -> Estimate {
    let wanted = Wanted::new(query, &store.aliases());
    let filter = Filter::new(query, context, &wanted);
    let mut explain = Explain::default();
    let mut estimate = Estimate::default();
    let _ = each_segment(
        store,
        &filter,
        Order::Asc,
        &mut explain,
        &mut |segment, ids, explain| {
            let tests = match segment {
                Pinned::Sealed(segment) => segment.tests(&filter, &ids, explain),
                Pinned::Open(tape) => tape.open().tests(&filter, &ids, explain),
            };
            if let Some(tests) = tests {
                estimate.scanned += 1;
                estimate.rows += tests.rows.len() as u64;
                estimate.matches += tests.most as u64;
            }
            ControlFlow::Continue(())
        },
    );
    estimate.segments = explain.segments;
    estimate
}

/// Calls `found` for each event that the filter takes, in the order of ids.
pub(crate) fn walk(
    store: &Store,
    filter: &Filter<'_>,
    order: Order,
    explain: &mut Explain,
    found: &mut dyn FnMut(EventHead, &[u8]) -> ControlFlow<()>,
) -> ControlFlow<()> {
    each_segment(
        store,
        filter,
        order,
        explain,
        &mut |segment, ids, explain| {
            // Held for one segment at a time, so that ingest need not wait for the whole query.
            let aliases = store.aliases();
            match segment {
                Pinned::Sealed(segment) => {
                    let segment = segment.as_ref();
                    scan(segment, filter, &aliases, &ids, order, explain, found)
                }
                Pinned::Open(tape) => {
                    scan(tape.open(), filter, &aliases, &ids, order, explain, found)
                }
            }
        },
    )
}

/// A segment that cannot go away while it is looked at.
pub(crate) enum Pinned<'a> {
    /// Held by this query.
    Sealed(Arc<Segment>),
    /// The open one, under the tape's lock.
    Open(&'a Tape),
}

type Visit<'a> = &'a mut dyn FnMut(Pinned<'_>, Range<u64>, &mut Explain) -> ControlFlow<()>;

/// Calls `visit` for each segment that zones do not rule out, in the order of ids. At most one sealed segment is held at a
/// time; the tape's lock is held to find the next one, and while the open one is looked at.
pub(crate) fn each_segment(
    store: &Store,
    filter: &Filter<'_>,
    order: Order,
    explain: &mut Explain,
    visit: Visit<'_>,
) -> ControlFlow<()> {
    let mut ids = {
        let tape = store.tape();
        explain.segments = tape.segments().len() + 1;
        let ids = visible(&tape, filter.query);
        if let Some(after) = filter.query.after {
            let before = filter.query.before.map_or(u64::MAX, |before| before.0);
            let evicted = ids.start.min(before);
            explain.overtaken += evicted.saturating_sub(after.0.saturating_add(1));
        }
        ids
    };
    while !ids.is_empty() {
        let segment = {
            let tape = store.tape();
            // Evicted since.
            let floor = tape.floor().min(ids.end);
            explain.overtaken += floor.saturating_sub(ids.start);
            ids.start = ids.start.max(floor);
            let Some(found) = next_segment(&tape, filter, order, &mut ids, explain) else {
                break;
            };
            let Some(segment) = found else {
                let open = tape.open().first();
                let (looked, rest) = split(&ids, open..open + tape.open().rows() as u64, order);
                ids = rest;
                visit(Pinned::Open(&tape), looked, explain)?;
                continue;
            };
            segment
        };
        let of_segment = segment.first()..segment.first() + segment.rows() as u64;
        let (looked, rest) = split(&ids, of_segment, order);
        ids = rest;
        visit(Pinned::Sealed(segment), looked, explain)?;
    }
    ControlFlow::Continue(())
}

/// The ids within a segment, and those that come behind it in this order.
fn split(ids: &Range<u64>, segment: Range<u64>, order: Order) -> (Range<u64>, Range<u64>) {
    let within = ids.start.max(segment.start)..ids.end.min(segment.end);
    let rest = match order {
        Order::Asc => within.end..ids.end,
        Order::Desc => ids.start..within.start,
    };
    (within, rest)
}

/// The next segment to look at: `Some(None)` stands for the open one. Takes those that are ruled out off `ids`.
#[allow(clippy::option_option, reason = "open, sealed, or none left")]
fn next_segment(
    tape: &Tape,
    filter: &Filter<'_>,
    order: Order,
    ids: &mut Range<u64>,
    explain: &mut Explain,
) -> Option<Option<Arc<Segment>>> {
    while !ids.is_empty() {
        let next = match order {
            Order::Asc => ids.start,
            Order::Desc => ids.end - 1,
        };
        if next >= tape.open().first() {
            return Some(None);
        }
        let segment = match order {
            Order::Asc => tape.segment_from(next),
            Order::Desc => tape.segment_until(next),
        }?;
        let Some(index) = ruled_out(segment.zone(), filter) else {
            return Some(Some(Arc::clone(segment)));
        };
        explain.prune(index);
        let of_segment = segment.first()..segment.first() + segment.rows() as u64;
        *ids = split(ids, of_segment, order).1;
        if index == Index::Time && tape.ordered() {
            let (first, last) = segment.zone().times;
            let early = filter.query.since.is_some_and(|since| last < since.0);
            let late = filter.query.until.is_some_and(|until| first > until.0);
            match order {
                Order::Asc if late => return None,
                Order::Desc if early => return None,
                _ => {}
            }
        }
    }
    None
}

/// What the store lost, and no longer has, of the window that was asked for.
pub(crate) fn describe(store: &Store, query: &Query, explain: &mut Explain) {
    let tape = store.tape();
    let sealed = tape.segments().iter().flat_map(|segment| segment.losses());
    for loss in sealed.chain(tape.open().losses()) {
        if loss.id.0 >= tape.floor() && loss.overlaps(query.since, query.until) {
            explain.add_loss(loss);
        }
    }
    explain.oldest = tape
        .time_of(EventId(tape.floor()))
        .map(|time| (time, EventId(tape.floor())));
    let reaches_back = explain.oldest.is_none_or(|(time, id)| {
        query.since.is_none_or(|since| since < time)
            && query.after.is_none_or(|after| after.0 + 1 < id.0)
    });
    if reaches_back {
        explain.evicted = tape.floor() - 1;
    }
}
