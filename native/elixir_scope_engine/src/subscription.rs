//! Subscriptions: events that match a query are copied into a bounded queue as they are stored.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use crate::event::EventKind;
use crate::host::Host;
use crate::ingest::Watcher;
use crate::query::{Context, Filter, Query, Rows, Wanted, receipts};
use crate::store::{Aliases, EventHead};

/// Bytes of payload that one queue holds, at most.
const MAX_BYTES: usize = 4 << 20;

/// All subscriptions of a recorder.
#[derive(Default)]
pub(crate) struct Subscriptions {
    list: RwLock<Vec<Arc<Subscription>>>,
}

struct Subscription {
    id: u64,
    query: Query,
    wanted: Wanted,
    capacity: usize,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    events: VecDeque<(EventHead, Box<[u8]>)>,
    bytes: usize,
    dropped: u64,
    /// The host knows that the queue is not empty.
    told: bool,
}

/// Events of a subscription.
#[derive(Clone, Debug, Default)]
pub struct Taken {
    /// The events, oldest first.
    pub events: Rows,
    /// How many were dropped since the last time, because the queue was full.
    pub dropped: u64,
}

impl Subscriptions {
    /// Begins to queue the events that `query` asks for (its limit, order and place do not matter), up to `capacity` of
    /// them. `id` is the caller's, by which the host is told.
    pub(crate) fn add(&self, id: u64, query: Query, capacity: usize) {
        let query = Query {
            before: None,
            after: None,
            limit: None,
            ..query
        };
        let wanted = Wanted::new(&query, &Aliases::default());
        let queue = Mutex::default();
        let subscription = Arc::new(Subscription {
            id,
            query,
            wanted,
            capacity,
            queue,
        });
        self.list.write().push(subscription);
    }

    /// Ends a subscription; whether there was one.
    pub(crate) fn remove(&self, id: u64) -> bool {
        let mut list = self.list.write();
        let before = list.len();
        list.retain(|subscription| subscription.id != id);
        list.len() < before
    }

    /// Ends all.
    pub(crate) fn clear(&self) {
        self.list.write().clear();
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.list.read().len()
    }

    /// Takes up to `most` events out of the queue. When it takes fewer, the host is told of the next one.
    pub(crate) fn take(&self, id: u64, most: usize) -> Option<Taken> {
        let found = self
            .list
            .read()
            .iter()
            .find(|subscription| subscription.id == id)
            .cloned()?;
        let mut queue = found.queue.lock();
        let mut taken = Taken {
            dropped: std::mem::take(&mut queue.dropped),
            ..Taken::default()
        };
        while taken.events.rows().len() < most {
            let Some((head, payload)) = queue.events.pop_front() else {
                queue.told = false;
                break;
            };
            queue.bytes -= payload.len();
            taken.events.push(head, &payload);
        }
        Some(taken)
    }

    /// Shows stored events to all subscriptions there are now, until it is dropped; `None` when there are none.
    pub(crate) fn watch<'a>(&self, context: &'a Context<'a>) -> Option<Watch<'a>> {
        let list = self.list.read();
        (!list.is_empty()).then(|| Watch {
            list: list.clone(),
            context,
            payload: Vec::new(),
            scratch: Vec::new(),
        })
    }

    /// Tells the host of the queues that are not empty and of which it was not told yet. For the recorder's own thread: a
    /// thread that drains for a query may be one from which the host cannot be told.
    pub(crate) fn tell(&self, host: &dyn Host) {
        for subscription in self.list.read().iter() {
            let mut queue = subscription.queue.lock();
            let is_news = (!queue.events.is_empty() || queue.dropped > 0) && !queue.told;
            if is_news {
                queue.told = true;
                drop(queue);
                host.notify(subscription.id);
            }
        }
    }

    /// Bytes of payload in all queues.
    pub(crate) fn bytes(&self) -> usize {
        self.list
            .read()
            .iter()
            .map(|subscription| subscription.queue.lock().bytes)
            .sum()
    }
}

/// See [`Subscriptions::watch`].
pub(crate) struct Watch<'a> {
    list: Vec<Arc<Subscription>>,
    context: &'a Context<'a>,
    payload: Vec<u8>,
    scratch: Vec<u8>,
}

impl Watcher for Watch<'_> {
    fn stored(&mut self, head: &EventHead, payload: &[u8], more: &[u8]) {
        let payload = if more.is_empty() {
            payload
        } else {
            self.payload.clear();
            self.payload.extend_from_slice(payload);
            self.payload.extend_from_slice(more);
            &self.payload
        };
        // A message is named by the event that tells of its sending; what becomes of it nobody knows yet.
        let mut named = Vec::new();
        let is_named = head.kind == EventKind::MessageSend
            && receipts::name_send(self.context, head, payload, &mut named).is_some();
        let payload = if is_named { &named } else { payload };
        let mut expanded = Vec::new();
        let mut is_expanded = None;
        for subscription in &self.list {
            let filter = Filter::new(&subscription.query, self.context, &subscription.wanted);
            if !filter.matches(head, payload, &mut self.scratch) {
                continue;
            }
            let states = self.context.states.filter(|_| subscription.query.payload);
            let is_expanded = states.is_some_and(|states| {
                *is_expanded.get_or_insert_with(|| states.expand(head, payload, &mut expanded))
            });
            subscription.push(head, if is_expanded { &expanded } else { payload });
        }
    }
}

impl Subscription {
    fn push(&self, head: &EventHead, payload: &[u8]) {
        let payload = if self.query.payload { payload } else { &[] };
        let mut queue = self.queue.lock();
        if queue.events.len() >= self.capacity || queue.bytes + payload.len() > MAX_BYTES {
            queue.dropped += 1;
        } else {
            queue.bytes += payload.len();
            queue.events.push_back((*head, payload.into()));
        }
    }
}
