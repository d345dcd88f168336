//! What led to an event, and what followed from it, across processes: along enclosing calls, messages and what handles them, answers,
//! births and deaths. Nearest first, until there are enough.

mod back;
mod forth;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;

use ahash::RandomState;

use super::run::walk;
use super::{Context, Explain, Filter, Order, Query, Rows as Answer, Wanted, run};
use crate::event::{AtomId, EventId, ProcessId, Symbol};
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
