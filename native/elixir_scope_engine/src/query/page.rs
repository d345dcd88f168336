//! Events as they are stored, one page after another.

use std::ops::ControlFlow;

use super::run::walk;
use super::{Context, Explain, Filter, Order, Query, Rows, Wanted, late};
use crate::event::EventId;
use crate::store::Store;

/// Some events, and where to go on.
pub(crate) struct Page {
    pub rows: Rows,
    /// Behind which event there may be more.
    pub more: Option<EventId>,
    /// Events that were evicted before they could be looked at.
    pub overtaken: u64,
}

/// The next events in the order of ids, up to the query's limit or so many bytes of payloads, as they are stored: without the states
/// and the results of tail calls that queries put in.
pub(crate) fn page(store: &Store, query: &Query, context: &Context<'_>, most_bytes: usize) -> Page {
    let wanted = Wanted::new(query, &store.aliases());
    let filter = Filter::new(query, context, &wanted);
    let limit = query.limit.unwrap_or(usize::MAX).max(1);
    let mut rows = Rows::default();
    let mut bytes = 0;
    let mut take = |head, payload: &[u8]| {
        let payload = if query.payload { payload } else { &[] };
        bytes += payload.len();
        rows.push(head, payload);
        if rows.rows().len() < limit && bytes < most_bytes {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    };
    let mut explain = Explain::default();
    let walked = match late::split(query, context) {
        Some(asked) => late::each(
            store,
            asked,
            context,
            Order::Asc,
            &mut explain,
            &mut |head, payload| take(*head, payload),
        ),
        None => walk(store, &filter, Order::Asc, &mut explain, &mut take),
    };
    let last = rows.rows().last().map(|row| row.head.id);
    Page {
        more: last.filter(|_| walked.is_break()),
        overtaken: explain.overtaken,
        rows,
    }
}
