//! A store that was fed by hand, out of the order of time: the answer is sorted by time and then by id, `before` and `after`
//! mean that order too, and the limit keeps the latest (or, with `after`, the earliest) in it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::ControlFlow;

use super::run::{direction, walk};
use super::{Explain, Filter, Order, Query, Rows, Wanted};
use crate::event::{EventId, TimeNs};
use crate::store::Store;

type Place = (TimeNs, EventId);

/// Runs a query on such a store.
pub(crate) fn run(store: &Store, filter: &Filter<'_>, explain: &mut Explain) -> Rows {
    let query = filter.query;
    // An event that is no longer there has no time: then its id alone decides.
    let place_of =
        |id: Option<EventId>| id.map(|id| (id, store.tape().time_of(id).map(|time| (time, id))));
    let (before, after) = (place_of(query.before), place_of(query.after));
    let within = |place: Place| {
        before.is_none_or(|(id, known)| known.map_or(place.1 < id, |known| place < known))
            && after.is_none_or(|(id, known)| known.map_or(place.1 > id, |known| place > known))
    };
    let anywhere = Query {
        before: None,
        after: None,
        ..query.clone()
    };
    let wanted = Wanted::new(&anywhere, &store.aliases());
    let filter = Filter::new(&anywhere, filter.context, &wanted);
    let places = choose(store, &filter, query, within, explain);
    fetch(store, &places, query)
}

/// The places of the events to answer, sorted as asked for.
fn choose(
    store: &Store,
    filter: &Filter<'_>,
    query: &Query,
    within: impl Fn(Place) -> bool,
    explain: &mut Explain,
) -> Vec<Place> {
    let limit = query.limit.unwrap_or(usize::MAX);
    let keeps_oldest = direction(query) == Order::Asc;
    let mut latest = BinaryHeap::new();
    let mut earliest = BinaryHeap::new();
    let _ = walk(store, filter, Order::Asc, explain, &mut |head, _| {
        let place = (head.time, head.id);
        if within(place) {
            if keeps_oldest {
                earliest.push(place);
                if earliest.len() > limit {
                    earliest.pop();
                }
            } else {
                latest.push(Reverse(place));
                if latest.len() > limit {
                    latest.pop();
                }
            }
        }
        ControlFlow::Continue(())
    });
    let mut places: Vec<Place> = earliest
        .into_iter()
        .chain(latest.into_iter().map(|r| r.0))
        .collect();
    places.sort_unstable();
    if query.order == Order::Desc {
        places.reverse();
    }
    places
}

/// The events at these places, but for those that were evicted meanwhile.
fn fetch(store: &Store, places: &[Place], query: &Query) -> Rows {
    let mut rows = Rows::default();
    for &(_, id) in places {
        store.tape().with_event(id, |head, payload| {
            rows.push(head, if query.payload { payload } else { &[] });
        });
    }
    rows
}
