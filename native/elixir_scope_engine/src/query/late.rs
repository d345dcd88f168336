//! Conditions on what became of a message: that stands in other rows than the one that tells of it, so that rows are found first,
//! filled in, and only then held against them.

use std::ops::ControlFlow;

use super::condition::{Condition, Field};
use super::run::walk;
use super::{Context, Explain, Filter, Order, Query, Rows, Wanted, receipts};
use crate::event::EventId;
use crate::store::Store;

/// Fields of messages that queries fill in.
const FILLED: [&str; 6] = [
    "message_id",
    "receiver_pid",
    "received_at",
    "handled_at",
    "queue_time_ns",
    "to_dead",
];

/// Rows that are filled in together, at least and at most.
const BATCH: (usize, usize) = (256, 8_192);

/// A query in two: what can be held against a row by itself, and the conditions that cannot; `None` where there are none of these.
pub(super) fn split(query: &Query, context: &Context<'_>) -> Option<(Query, Vec<Condition>)> {
    let is_late = |condition: &Condition| matches!(&condition.path.field, Field::Payload(name) if FILLED.contains(&&**name));
    if !context.flows || !query.conditions.iter().any(is_late) {
        return None;
    }
    let (late, early) = query.conditions.iter().cloned().partition(is_late);
    let plain = Query {
        conditions: early,
        payload: true,
        ..query.clone()
    };
    Some((plain, late))
}

/// Calls `found` for each row of `plain` that the late conditions hold for, with its payload as it is stored.
pub(super) fn each(
    store: &Store,
    (mut plain, late): (Query, Vec<Condition>),
    context: &Context<'_>,
    order: Order,
    explain: &mut Explain,
    found: &mut dyn FnMut(&super::EventHead, &[u8]) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let mut room = BATCH.0;
    let mut scratch = Vec::new();
    loop {
        let stored = batch(store, &plain, context, order, room, explain);
        let Some(last) = stored.rows().last().map(|row| row.head.id) else {
            return ControlFlow::Continue(());
        };
        let mut filled = stored.clone();
        receipts::fill_all(store, context, &mut filled);
        for ((head, payload), (_, filled)) in stored.iter().zip(filled.iter()) {
            let mut conditions = late.iter();
            if conditions.all(|one| one.holds(head, filled, context, &mut scratch)) {
                found(head, payload)?;
            }
        }
        if stored.rows().len() < room {
            return ControlFlow::Continue(());
        }
        go_on(&mut plain, last, order);
        room = (room * 2).min(BATCH.1);
    }
}

fn go_on(query: &mut Query, last: EventId, order: Order) {
    match order {
        Order::Asc => query.after = Some(last),
        Order::Desc => query.before = Some(last),
    }
}

fn batch(
    store: &Store,
    plain: &Query,
    context: &Context<'_>,
    order: Order,
    room: usize,
    explain: &mut Explain,
) -> Rows {
    let wanted = Wanted::new(plain, &store.aliases());
    let filter = Filter::new(plain, context, &wanted);
    let mut rows = Rows::default();
    let _ = walk(store, &filter, order, explain, &mut |head, payload| {
        rows.push(head, payload);
        if rows.rows().len() < room {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    });
    rows
}
