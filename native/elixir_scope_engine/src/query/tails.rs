//! Calls that ended in a tail call have their result and their duration from the end of the chain: the last call in it, which
//! came back. Ingest told of each link which chain it belongs to (`ingest/chain.rs`); here the end is looked for.

use std::collections::HashMap;
use std::ops::ControlFlow;

use ahash::RandomState;

use super::run::walk;
use super::{Context, Explain, Filter, Order, Query, Rows, Wanted};
use crate::event::{EventId, EventKind, Symbol, TimeNs};
use crate::ingest::chain::Link;
use crate::ingest::encode::{put_atom, put_int};
use crate::store::{EventHead, Store};
use crate::value::split_first;

/// Calls and ends of one process that are looked at for one chain, and for all chains of one answer.
const STEPS: u32 = 65_536;
const STEPS_OF_ALL: u32 = 4 << 20;
/// Events, of whatever process, among which these are looked for.
const REACH: u64 = 4 << 20;

/// How a chain ended.
struct End {
    time: TimeNs,
    result: Box<[u8]>,
}

/// Fills in the results and durations of the tail calls among `rows`, where the ends of their chains are stored, and not too
/// far behind them.
pub(crate) fn resolve(store: &Store, context: &Context<'_>, rows: &mut Rows) {
    let mut tail_call = Vec::new();
    put_atom(&mut tail_call, context.symbols.id(Symbol::TailCall));
    let mut ends: HashMap<EventId, Option<End>, RandomState> = HashMap::default();
    let mut steps_left = STEPS_OF_ALL;
    let mut duration = Vec::new();
    for index in 0..rows.rows().len() {
        let Some((head, link)) = tail(rows, index, &tail_call) else {
            continue;
        };
        let chain = link.chain.some().unwrap_or(head.call);
        let end = ends
            .entry(chain)
            .or_insert_with(|| find(store, context, &head, chain, &tail_call, &mut steps_left));
        if let (Some(end), Some(since_entry)) = (end, link.since_entry) {
            duration.clear();
            let after = end.time.0.saturating_sub(head.time.0);
            put_int(&mut duration, after.saturating_add(since_entry));
            rows.set_payload(index, &[&tail_call, &end.result, &duration]);
        }
    }
}

/// The tail call at a row, if there is one that ingest knows the entry of.
fn tail(rows: &Rows, index: usize, tail_call: &[u8]) -> Option<(EventHead, Link)> {
    let row = rows.rows().get(index)?;
    let payload = rows.payload(row);
    if row.head.kind != EventKind::FunctionExit || !payload.starts_with(tail_call) {
        return None;
    }
    let link = Link::decode(row.head.kind, payload, true)?;
    Some((row.head, link))
}

/// The end of the chain that goes on behind the tail call `from`.
///
/// Behind each tail call of the chain comes, as the next event of the process, the entry of its next link; otherwise nobody
/// recorded it. Between the two ends of a link stands what it did, at a greater depth.
fn find(
    store: &Store,
    context: &Context<'_>,
    from: &EventHead,
    chain: EventId,
    tail_call: &[u8],
    steps_left: &mut u32,
) -> Option<End> {
    let query = Query {
        processes: Some(vec![from.process]),
        after: Some(from.id),
        before: Some(EventId(from.id.0.saturating_add(REACH))),
        ..Query::default()
    };
    let wanted = Wanted::new(&query, &store.aliases());
    let filter = Filter::new(&query, context, &wanted);
    let mut steps = STEPS.min(*steps_left);
    let mut is_entry_next = true;
    let mut end = None;
    let _ = walk(
        store,
        &filter,
        Order::Asc,
        &mut Explain::default(),
        &mut |head, payload| {
            let Some(left) = steps.checked_sub(1) else {
                return ControlFlow::Break(());
            };
            steps = left;
            *steps_left = steps_left.saturating_sub(1);
            let is_link = |is_tail| {
                Link::decode(head.kind, payload, is_tail).is_some_and(|link| link.chain == chain)
            };
            if is_entry_next {
                is_entry_next = false;
                return if head.kind == EventKind::FunctionEntry && is_link(false) {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                };
            }
            // All links are called by the one who called the first.
            if head.kind != EventKind::FunctionExit || head.parent != from.parent {
                return ControlFlow::Continue(());
            }
            let is_tail = payload.starts_with(tail_call);
            if is_link(is_tail) {
                if !is_tail {
                    end = result(payload).map(|result| End {
                        time: head.time,
                        result,
                    });
                    return ControlFlow::Break(());
                }
                is_entry_next = true;
            }
            ControlFlow::Continue(())
        },
    );
    end
}

/// The result in the payload of an exit.
fn result(payload: &[u8]) -> Option<Box<[u8]>> {
    let (_reason, rest) = split_first(payload).ok()?;
    let (result, _) = split_first(rest).ok()?;
    Some(result.into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests;
