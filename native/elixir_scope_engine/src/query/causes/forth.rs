//! What followed from an event, one step forth.

use std::ops::ControlFlow;

use super::{Event, Search, field, found, reference};
use crate::event::{CorrelationId, EventId, EventKind, KindSet, ProcessId, Symbol};
use crate::ingest::chain::Link;
use crate::ingest::{Carried, carried};
use crate::query::{FlowQuery, Order, Party, Query, receipts};
use crate::store::EventHead;

impl Search<'_> {
    pub(super) fn effects(&mut self, id: u64) -> Vec<Event> {
        let Some(event) = self.found.get(&id) else {
            return Vec::new();
        };
        let (head, message, peer) = (event.head, event.message, event.peer);
        let payload = event.payload.clone();
        match head.kind {
            EventKind::FunctionEntry | EventKind::SpanStart => self.inside(&head),
            EventKind::FunctionExit => self.next_link(&head, &payload).into_iter().collect(),
            EventKind::MessageSend => self.received(head.id),
            EventKind::MessageReceive => {
                let message = match message {
                    EventId::AMBIGUOUS => EventId::NONE,
                    EventId::NONE => head.id,
                    message => message,
                };
                let mut effects = self.received(message);
                effects.extend(self.answered(&head, &payload));
                effects
            }
            EventKind::MessageTaken => self.carried_on(&head),
            EventKind::ProcessSpawn => self.born(&head, peer),
            EventKind::ProcessExit => self.told(&head),
            _ => Vec::new(),
        }
    }

    /// What happened directly inside of a call, and its end.
    fn inside(&mut self, entry: &EventHead) -> Vec<Event> {
        let query = Query {
            processes: Some(vec![entry.process]),
            call: Some(entry.id),
            after: Some(entry.id),
            ..Query::default()
        };
        let call = entry.id;
        self.all(&query, |head, _| {
            let is_end = matches!(head.kind, EventKind::FunctionExit | EventKind::SpanStop);
            if is_end && head.call == call {
                ControlFlow::Break(true)
            } else {
                ControlFlow::Continue(true)
            }
        })
    }

    /// The call that a tail call became.
    fn next_link(&mut self, exit: &EventHead, payload: &[u8]) -> Option<Event> {
        if !self.is(field(payload, 0), Symbol::TailCall) {
            return None;
        }
        let link = Link::decode(exit.kind, payload, true)?;
        let chain = link.chain.some().unwrap_or(exit.call);
        let query = Query {
            processes: Some(vec![exit.process]),
            after: Some(exit.id),
            ..Query::default()
        };
        self.first(&query, Order::Asc, |head, payload| {
            let link = Link::decode(head.kind, payload, false);
            let is_it = head.kind == EventKind::FunctionEntry
                && link.is_some_and(|link| link.chain == chain);
            ControlFlow::Break(is_it)
        })
    }

    /// The arrival of a message, and the call that handles it.
    fn received(&mut self, message: EventId) -> Vec<Event> {
        if !message.is_some() {
            return Vec::new();
        }
        let receipts = receipts::find(self.store, &mut vec![message.0]);
        let receipt = receipts.get(&message.0).copied().unwrap_or_default();
        [receipt.arrived, receipt.taken, receipt.handled]
            .into_iter()
            .flatten()
            .filter_map(|(id, _)| self.event(id))
            .collect()
    }

    /// What a process sent with the token of a message that it took, outside of any call.
    fn carried_on(&mut self, taken: &EventHead) -> Vec<Event> {
        let query = Query {
            processes: Some(vec![taken.process]),
            kinds: KindSet::EMPTY
                .with(EventKind::MessageSend)
                .with(EventKind::MessageTaken),
            after: Some(taken.id),
            ..Query::default()
        };
        self.all(&query, |head, payload| {
            match (head.kind, carried(payload)) {
                (EventKind::MessageSend, Some(Carried::On)) => {
                    ControlFlow::Continue(!head.parent.is_some())
                }
                // It took another, or one without a token.
                (EventKind::MessageTaken, _) | (_, Some(Carried::New(_))) => {
                    ControlFlow::Break(false)
                }
                _ => ControlFlow::Continue(false),
            }
        })
    }

    /// The answer to a request that arrived.
    fn answered(&mut self, head: &EventHead, payload: &[u8]) -> Option<Event> {
        if !self.is_one_of(field(payload, 5), &[Symbol::Call, Symbol::System]) {
            return None;
        }
        let reference = reference(field(payload, 6)?)?;
        let query = Query {
            processes: Some(vec![head.process]),
            kinds: KindSet::EMPTY.with(EventKind::MessageSend),
            after: Some(head.id),
            ..Query::default()
        };
        self.first(&query, Order::Asc, |_, payload| {
            found(field(payload, 6) == Some(reference))
        })
    }

    /// What a process did because it was born: the calls that go back to that, and all that it did before any message came.
    fn born(&mut self, birth: &EventHead, child: ProcessId) -> Vec<Event> {
        if !child.is_some() {
            return Vec::new();
        }
        let root = self.store.aliases().resolve(birth.correlation);
        let query = Query {
            processes: Some(vec![child]),
            after: Some(birth.id),
            ..Query::default()
        };
        let mut has_heard = false;
        let found = self.all(&query, |head, _| {
            has_heard |= head.kind == EventKind::MessageReceive;
            let is_outermost = !head.parent.is_some()
                && !matches!(head.kind, EventKind::FunctionExit | EventKind::SpanStop)
                && head.kind != EventKind::MessageReceive;
            let is_of_it = match head.correlation {
                CorrelationId::NONE => !has_heard,
                own => own == root,
            };
            ControlFlow::Continue(is_outermost && is_of_it)
        });
        found
            .into_iter()
            .filter(|event| !event.message.is_some())
            .collect()
    }

    /// The messages that tell others that a process is no more.
    fn told(&mut self, exit: &EventHead) -> Vec<Event> {
        let flow = FlowQuery {
            from: Party {
                processes: Some(vec![exit.process]),
                names: Vec::new(),
            },
            query: Query {
                after: Some(exit.id),
                limit: Some(1_000),
                ..Query::default()
            },
            ..FlowQuery::default()
        };
        let told = self.store.message_flow(&flow, self.context).rows;
        let ids: Vec<EventId> = told
            .iter()
            .filter(|(_, payload)| self.is_one_of(field(payload, 5), &[Symbol::Down, Symbol::Exit]))
            .map(|(head, _)| head.id)
            .collect();
        ids.into_iter().filter_map(|id| self.event(id)).collect()
    }
}
