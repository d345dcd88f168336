//! What led to an event, one step back.

use std::ops::ControlFlow;

use super::{Event, Search, field, found, process, reference};
use crate::event::{EventId, EventKind, KindSet, ProcessId, Symbol};
use crate::ingest::chain::Link;
use crate::ingest::{Carried, carried};
use crate::query::{Order, Query, receipts};
use crate::store::EventHead;

impl Search<'_> {
    pub(super) fn causes(&mut self, id: u64) -> Vec<Event> {
        let Some(event) = self.found.get(&id) else {
            return Vec::new();
        };
        let (head, message) = (event.head, event.message);
        let payload = event.payload.clone();
        let mut causes: Vec<Event> = Vec::new();
        if head.call != head.id {
            causes.extend(self.some(head.call));
        }
        causes.extend(self.some(head.parent));
        if head.kind == EventKind::FunctionEntry {
            // The call that ended in this one.
            let link = Link::decode(head.kind, &payload, false).unwrap_or_default();
            causes.extend(self.some(link.chain));
        }
        if message.is_some() && message != EventId::AMBIGUOUS {
            let sent = self.event(message);
            if head.kind != EventKind::MessageReceive {
                let arrived = receipts::find(self.store, &mut vec![message.0]);
                let arrived = arrived.get(&message.0).and_then(|receipt| receipt.arrived);
                causes.extend(arrived.and_then(|(id, _)| self.event(id)));
            }
            causes.extend(sent);
        }
        let has_none = causes.is_empty() && !message.is_some();
        match head.kind {
            EventKind::MessageSend if has_none && carried(&payload) == Some(Carried::On) => {
                causes.extend(self.taken(&head));
            }
            EventKind::MessageSend => {
                let asked = self.asked(&head, &payload);
                if asked.is_none() && has_none {
                    causes.extend(self.birth(&head));
                }
                causes.extend(asked);
            }
            EventKind::MessageReceive if !message.is_some() => {
                causes.extend(self.death(&head, &payload));
            }
            EventKind::ProcessSpawn => {}
            _ if has_none => causes.extend(self.birth(&head)),
            _ => {}
        }
        causes
    }

    /// The message whose token a send carries on: what its process took last.
    fn taken(&mut self, head: &EventHead) -> Option<Event> {
        let query = Query {
            processes: Some(vec![head.process]),
            kinds: KindSet::EMPTY
                .with(EventKind::MessageSend)
                .with(EventKind::MessageTaken),
            before: Some(head.id),
            ..Query::default()
        };
        self.first(&query, Order::Desc, |head, payload| match head.kind {
            EventKind::MessageTaken => found(true),
            // From there on it had a token that goes back to nothing.
            _ if matches!(carried(payload), Some(Carried::New(_))) => ControlFlow::Break(false),
            _ => ControlFlow::Continue(()),
        })
    }

    /// The arrival of the request that an answer answers.
    fn asked(&mut self, head: &EventHead, payload: &[u8]) -> Option<Event> {
        if !self.is(field(payload, 5), Symbol::Reply) {
            return None;
        }
        let reference = reference(field(payload, 6)?)?;
        let query = Query {
            processes: Some(vec![head.process]),
            kinds: KindSet::EMPTY.with(EventKind::MessageReceive),
            before: Some(head.id),
            ..Query::default()
        };
        self.first(&query, Order::Desc, |_, payload| {
            found(field(payload, 6) == Some(reference))
        })
    }

    /// The birth of the process, if what it does goes back to that as far as is known.
    fn birth(&mut self, head: &EventHead) -> Option<Event> {
        let child = head.process.some()?;
        let query = Query {
            kinds: KindSet::EMPTY.with(EventKind::ProcessSpawn),
            before: Some(head.id),
            ..Query::default()
        };
        let birth = self.first(&query, Order::Desc, |_, payload| {
            found(process(payload) == Some(child))
        })?;
        // With a root of its own it goes back to something else.
        let aliases = self.store.aliases();
        let roots = [head.correlation, birth.head.correlation].map(|root| aliases.resolve(root));
        let is_of_it = !roots[0].is_some() || roots[0] == roots[1];
        (is_of_it && !self.heard(&birth.head, child, head)).then_some(birth)
    }

    /// Whether a message arrived at a process between its birth and another event.
    fn heard(&self, birth: &EventHead, child: ProcessId, head: &EventHead) -> bool {
        if head.correlation.is_some() {
            return false;
        }
        let query = Query {
            processes: Some(vec![child]),
            kinds: KindSet::EMPTY.with(EventKind::MessageReceive),
            after: Some(birth.id),
            before: Some(head.id),
            ..Query::default()
        };
        self.store.count(&query, self.context).0 > 0
    }

    /// The death that a message of a monitor or a link tells of.
    fn death(&mut self, head: &EventHead, payload: &[u8]) -> Option<Event> {
        if !self.is_one_of(field(payload, 5), &[Symbol::Down, Symbol::Exit]) {
            return None;
        }
        let dead = process(field(payload, 1)?)?;
        let query = Query {
            processes: Some(vec![dead]),
            kinds: KindSet::EMPTY.with(EventKind::ProcessExit),
            before: Some(head.id),
            ..Query::default()
        };
        self.first(&query, Order::Desc, |_, _| found(true))
    }
}
