//! What led to an event, and what followed from it, across processes: along enclosing calls, messages and what handles them, answers,
//! births and deaths. Nearest first, until there are enough.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;

use ahash::RandomState;

use super::run::walk;
use super::{
    Context, Explain, Filter, FlowQuery, Order, Party, Query, Rows as Answer, Wanted, receipts, run,
};
use crate::event::{AtomId, CorrelationId, EventId, EventKind, KindSet, ProcessId, Symbol};
use crate::ingest::chain::Link;
use crate::store::{EventHead, Store};
use crate::value::{Reader, Token, split_first};

/// Events that are looked at for one step.
const STEP: usize = 65_536;
/// And for all steps of one answer.
const STEPS: usize = 16 << 20;

/// Which way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// To what led to it.
    Back,
    /// To what followed from it.
    Forth,
}

/// An event as the tape has it.
struct Event {
    head: EventHead,
    payload: Box<[u8]>,
    message: EventId,
    peer: ProcessId,
}

struct Search<'a> {
    store: &'a Store,
    context: &'a Context<'a>,
    left: usize,
    found: HashMap<u64, Event, RandomState>,
    /// Those found whose own neighbours are still to be looked for.
    open: BTreeSet<u64>,
}

impl Store {
    /// Up to `limit` events that led to the event `id`, or followed from it, by time; `None` where it is not on the tape.
    #[must_use]
    pub fn chain(
        &self,
        id: EventId,
        way: Way,
        limit: usize,
        context: &Context<'_>,
    ) -> Option<Answer> {
        let mut search = Search {
            store: self,
            context,
            left: STEPS,
            found: HashMap::default(),
            open: BTreeSet::new(),
        };
        let start = search.event(id)?;
        let mut seen: HashSet<u64, RandomState> = HashSet::default();
        seen.insert(id.0);
        search.found.insert(id.0, start);
        search.open.insert(id.0);
        let mut chosen = BTreeSet::new();
        // Whatever led to an event has a smaller number, and what followed a larger one: those that come out of here are the nearest.
        while let Some(next) = match way {
            Way::Back => search.open.pop_last(),
            Way::Forth => search.open.pop_first(),
        } {
            if next != id.0 {
                if chosen.len() >= limit {
                    break;
                }
                chosen.insert(next);
            }
            let neighbours = match way {
                Way::Back => search.causes(next),
                Way::Forth => search.effects(next),
            };
            for event in neighbours {
                let number = event.head.id.0;
                let is_onward = match way {
                    Way::Back => number < next,
                    Way::Forth => number > next,
                };
                if is_onward && seen.insert(number) {
                    search.found.insert(number, event);
                    search.open.insert(number);
                }
            }
        }
        let mut rows = Answer::default();
        let aliases = self.aliases();
        for number in chosen {
            if let Some(event) = search.found.get(&number) {
                let mut head = event.head;
                head.correlation = aliases.resolve(head.correlation);
                rows.push(head, &event.payload);
            }
        }
        drop(aliases);
        run::finish(self, context, &mut rows);
        Some(rows)
    }
}

impl Search<'_> {
    fn event(&self, id: EventId) -> Option<Event> {
        self.store.tape().with_row(id, |rows, row| Event {
            head: rows.head(row),
            payload: rows.payload(row).into(),
            message: EventId(rows.message(row).unwrap_or(0)),
            peer: ProcessId(rows.peer(row).unwrap_or(0)),
        })
    }

    fn some(&self, id: EventId) -> Option<Event> {
        id.some().and_then(|id| self.event(id))
    }

    /// The first event of `query` in this order for which `ask` says so; at most so many are looked at.
    fn first(
        &mut self,
        query: &Query,
        order: Order,
        mut ask: impl FnMut(&EventHead, &[u8]) -> ControlFlow<bool>,
    ) -> Option<Event> {
        let wanted = Wanted::new(query, &self.store.aliases());
        let filter = Filter::new(query, self.context, &wanted);
        let mut steps = STEP.min(self.left);
        let mut found = None;
        let before = steps;
        let _ = walk(
            self.store,
            &filter,
            order,
            &mut Explain::default(),
            &mut |head, payload| {
                if steps == 0 {
                    return ControlFlow::Break(());
                }
                steps -= 1;
                match ask(&head, payload) {
                    ControlFlow::Continue(()) => ControlFlow::Continue(()),
                    ControlFlow::Break(is_it) => {
                        found = is_it.then_some(head.id);
                        ControlFlow::Break(())
                    }
                }
            },
        );
        self.left -= before - steps;
        self.event(found?)
    }

    /// All events of `query` for which `ask` says so, until it says that there are no more.
    fn all(
        &mut self,
        query: &Query,
        mut ask: impl FnMut(&EventHead, &[u8]) -> ControlFlow<bool, bool>,
    ) -> Vec<Event> {
        let mut ids = Vec::new();
        let _ = self.first(query, Order::Asc, |head, payload| {
            match ask(head, payload) {
                ControlFlow::Continue(is_one) => {
                    if is_one {
                        ids.push(head.id);
                    }
                    ControlFlow::Continue(())
                }
                ControlFlow::Break(is_one) => {
                    if is_one {
                        ids.push(head.id);
                    }
                    ControlFlow::Break(false)
                }
            }
        });
        ids.into_iter().filter_map(|id| self.event(id)).collect()
    }

    fn is(&self, value: Option<&[u8]>, symbol: Symbol) -> bool {
        let atom = value.and_then(|value| match Reader::new(value).token() {
            Ok(Token::Atom(atom)) => Some(atom),
            _ => None,
        });
        atom == Some(self.context.symbols.id(symbol) as AtomId)
    }

    /// Which of these sorts a message is of, by the field that tells.
    fn is_one_of(&self, value: Option<&[u8]>, symbols: &[Symbol]) -> bool {
        symbols.iter().any(|&symbol| self.is(value, symbol))
    }

    // -- Back -------------------------------------------------------------------------------------------------------------------

    fn causes(&mut self, id: u64) -> Vec<Event> {
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

    // -- Forth ------------------------------------------------------------------------------------------------------------------

    fn effects(&mut self, id: u64) -> Vec<Event> {
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
        [receipt.arrived, receipt.handled]
            .into_iter()
            .flatten()
            .filter_map(|(id, _)| self.event(id))
            .collect()
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

fn found(is_it: bool) -> ControlFlow<bool> {
    if is_it {
        ControlFlow::Break(true)
    } else {
        ControlFlow::Continue(())
    }
}

fn field(payload: &[u8], place: usize) -> Option<&[u8]> {
    let mut rest = payload;
    for _ in 0..place {
        rest = split_first(rest).ok()?.1;
    }
    split_first(rest).ok().map(|(value, _)| value)
}

/// A value, where it is a reference.
fn reference(value: &[u8]) -> Option<&[u8]> {
    matches!(
        Reader::new(value).token(),
        Ok(Token::Ref(_) | Token::Foreign(_))
    )
    .then_some(value)
}

/// The local process that a payload begins with.
fn process(payload: &[u8]) -> Option<ProcessId> {
    match Reader::new(payload).token() {
        Ok(Token::Pid(process)) => ProcessId(process).some(),
        _ => None,
    }
}
