//! The calls that processes were in at an instant: the last event of each process says where it stood, and parents lead
//! outwards from there.

use std::collections::HashSet;
use std::ops::ControlFlow;

use ahash::RandomState;

use super::run::walk;
use super::{Context, Explain, Filter, Order, Query, Rows, Wanted};
use crate::event::{EventId, EventKind, ProcessId, TimeNs};
use crate::store::{EventHead, Store};

/// Events before the instant that are looked at: whoever did nothing for longer is not told.
const REACH: u64 = 4 << 20;
/// Calls of one stack that are told, from the innermost.
const DEEPEST: usize = 1_000;

/// Where one process stood.
#[derive(Clone, Debug)]
pub struct LiveStack {
    /// The process.
    pub process: ProcessId,
    /// The last thing that it recorded.
    pub last: EventHead,
    /// The entries of the calls that it was in, innermost first.
    pub calls: Rows,
}

/// Where all processes stood.
#[derive(Clone, Debug, Default)]
pub struct LiveStacks {
    /// One for each process, the one that recorded last first.
    pub stacks: Vec<LiveStack>,
    /// Whether all events up to the instant were looked at.
    pub complete: bool,
}

impl Store {
    /// Where each process stood at `at`, or stands now.
    #[must_use]
    pub fn stacks_at(&self, at: Option<TimeNs>, context: &Context<'_>) -> LiveStacks {
        let query = Query {
            until: at,
            payload: false,
            ..Query::default()
        };
        let wanted = Wanted::new(&query, &self.aliases());
        let filter = Filter::new(&query, context, &wanted);
        let mut seen: HashSet<ProcessId, RandomState> = HashSet::default();
        let mut last = Vec::new();
        let mut left = REACH;
        let walked = walk(
            self,
            &filter,
            Order::Desc,
            &mut Explain::default(),
            &mut |head, _| {
                left -= 1;
                if head.process.is_some() && seen.insert(head.process) {
                    last.push(head);
                }
                if left == 0 {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            },
        );
        LiveStacks {
            stacks: last.into_iter().map(|last| self.stack(last)).collect(),
            complete: walked.is_continue(),
        }
    }

    fn stack(&self, last: EventHead) -> LiveStack {
        let mut calls = Rows::default();
        let begins = matches!(last.kind, EventKind::FunctionEntry | EventKind::SpanStart);
        let mut next = if begins { last.id } else { last.parent };
        while next.is_some() && calls.rows().len() < DEEPEST {
            let before = next;
            // The tape is let go of after each: a stack can be deep.
            let found = self.tape().with_event(next, |head, payload| {
                calls.push(head, payload);
                head.parent
            });
            next = found.unwrap_or(EventId::NONE);
            // Whoever encloses began before.
            if next >= before {
                break;
            }
        }
        LiveStack {
            process: last.process,
            last,
            calls,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;
    use crate::event::{CorrelationId, SiteId};
    use crate::query::tests::Fake;
    use crate::store::{Call, NewEvent, StoreConfig};

    fn put(store: &Store, process: u64, kind: EventKind, time: i64, parent: EventId) -> EventId {
        let event = NewEvent {
            kind,
            time: TimeNs(time),
            process: ProcessId(process),
            site: SiteId::NONE,
            call: if kind == EventKind::FunctionEntry {
                Call::Begins
            } else {
                Call::None
            },
            parent,
            correlation: CorrelationId(1),
            peer: ProcessId::NONE,
            message: EventId::NONE,
            payload: &[0x07],
            more: &[],
        };
        store.append(&event).unwrap()
    }

    #[test]
    fn each_process_stands_where_its_last_event_says() {
        let store = Store::new(StoreConfig {
            memory_limit: 1 << 20,
            max_events: None,
            max_age_ns: None,
        })
        .unwrap();
        let outer = put(&store, 1, EventKind::FunctionEntry, 1, EventId::NONE);
        let inner = put(&store, 1, EventKind::FunctionEntry, 2, outer);
        let other = put(&store, 2, EventKind::FunctionEntry, 3, EventId::NONE);
        put(&store, 1, EventKind::UserEvent, 4, inner);
        put(&store, 1, EventKind::FunctionExit, 5, outer);
        put(&store, 2, EventKind::FunctionExit, 6, EventId::NONE);

        let host = Fake::new();
        let at = |time| {
            let stacks = store.stacks_at(Some(TimeNs(time)), &host.context());
            assert!(stacks.complete);
            let mut told: Vec<_> = stacks
                .stacks
                .iter()
                .map(|stack| {
                    let ids: Vec<_> = stack.calls.iter().map(|(head, _)| head.id).collect();
                    (stack.process.0, ids)
                })
                .collect();
            told.sort();
            told
        };
        assert_eq!(at(0), []);
        assert_eq!(at(1), [(1, vec![outer])]);
        assert_eq!(at(2), [(1, vec![inner, outer])]);
        assert_eq!(at(4), [(1, vec![inner, outer]), (2, vec![other])]);
        assert_eq!(at(5), [(1, vec![outer]), (2, vec![other])]);
        assert_eq!(at(6), [(1, vec![outer]), (2, vec![])]);
    }
}
