//! Who sent what to whom: the sends between processes in their order, each with what became of it, and what arrived of which nobody
//! told that it was sent.

mod collect;
mod ends;

use super::receipts::{Receipt, as_send, fill_send, find};
use super::run::{describe, direction};
use super::{Context, Explain, Order, Query, QueryResult, Rows as Answer};
use crate::event::{EventKind, KindSet, ProcessId};
use crate::store::Store;
use crate::value::split_first;
use collect::Batch;

/// One side of a flow of messages.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Party {
    /// One of these processes; `None` stands for any.
    pub processes: Option<Vec<ProcessId>>,
    /// As a receiver: what it may be called, encoded.
    pub names: Vec<Vec<u8>>,
}

impl Party {
    fn is(&self, process: ProcessId) -> bool {
        self.processes
            .as_ref()
            .is_none_or(|processes| processes.contains(&process))
    }

    /// Whether it is the process at the other end, by its number there: 0 where it is not known.
    fn is_peer(&self, peer: u64) -> bool {
        match &self.processes {
            None => true,
            Some(processes) => peer != 0 && processes.contains(&ProcessId(peer)),
        }
    }
}

/// What is asked for of the flow of messages.
#[derive(Clone, Debug, Default)]
pub struct FlowQuery {
    /// Who sends.
    pub from: Party,
    /// Who gets it.
    pub to: Party,
    /// Whether the other way round counts too.
    pub both: bool,
    /// What else must hold. Processes and kinds do not matter; conditions are on the fields of a send, what became of it among them.
    pub query: Query,
}

/// Rows that are looked at together, at least and at most.
const BATCH: (usize, usize) = (256, 8_192);
/// So many processes are looked for in the columns of a segment at once.
const FEW: usize = 4;

/// Whether a row belongs to the flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    Yes,
    /// If its receiver turns out to be one asked for, this way round or the other.
    IfReceived {
        forwards: bool,
        backwards: bool,
    },
    No,
}

impl FlowQuery {
    /// The processes that stand at the other end of a row of the flow, where they are few; 0 for one that is not known. Of an arrival
    /// that is who sent it.
    fn ends(&self, has_loners: bool) -> Option<Vec<u64>> {
        let (from, to) = (self.from.processes.as_ref()?, self.to.processes.as_ref()?);
        let is_few = from.len() + to.len() <= FEW && self.to.names.is_empty();
        if !is_few || self.both && !self.from.names.is_empty() {
            return None;
        }
        let from = from.iter().filter(|_| has_loners || self.both);
        let mut ends: Vec<u64> = from.chain(to).map(|process| process.0).collect();
        ends.push(0);
        Some(ends)
    }

    /// Whether a row belongs to the flow; of an arrival, if nobody told that it was sent.
    fn verdict<'a>(
        &self,
        kind: Option<EventKind>,
        process: ProcessId,
        peer: u64,
        payload: impl Fn() -> &'a [u8],
    ) -> Verdict {
        let ways = [
            (&self.from, &self.to, true),
            (&self.to, &self.from, self.both),
        ];
        let ways = ways.map(|(from, to, counts)| match kind {
            _ if !counts => (false, false),
            Some(EventKind::MessageReceive) => (to.is(process) && from.is_peer(peer), false),
            Some(EventKind::MessageSend) if from.is(process) => {
                let is_to = to.is_peer(peer) || is_named(to, &payload);
                (is_to, peer == 0 && !is_to)
            }
            _ => (false, false),
        });
        match ways {
            [(true, _), _] | [_, (true, _)] => Verdict::Yes,
            [(_, false), (_, false)] => Verdict::No,
            [(_, forwards), (_, backwards)] => Verdict::IfReceived {
                forwards,
                backwards,
            },
        }
    }
}

/// Whether a message was sent to one of the names of `to`.
fn is_named<'a>(to: &Party, payload: &impl Fn() -> &'a [u8]) -> bool {
    if to.names.is_empty() {
        return false;
    }
    let name = split_first(payload())
        .and_then(|(_, rest)| split_first(rest))
        .and_then(|(_, rest)| split_first(rest));
    name.is_ok_and(|(name, _)| to.names.iter().any(|wanted| wanted == name))
}

impl Store {
    /// The messages that `flow` asks for, each as a send with what became of it.
    #[must_use]
    pub fn message_flow(&self, flow: &FlowQuery, context: &Context<'_>) -> QueryResult {
        let started = std::time::Instant::now();
        let asked = &flow.query;
        let order = direction(asked);
        let limit = asked.limit.unwrap_or(usize::MAX);
        let mut plain = Query {
            processes: None,
            exclude: Vec::new(),
            kinds: KindSet::EMPTY
                .with(EventKind::MessageSend)
                .with(EventKind::MessageReceive),
            conditions: Vec::new(),
            ..asked.clone()
        };
        let mut explain = Explain::default();
        let mut rows = Answer::default();
        while rows.rows().len() < limit {
            let least = if asked.conditions.is_empty() {
                1
            } else {
                BATCH.0
            };
            let room = (limit - rows.rows().len()).clamp(least, BATCH.1);
            let batch = self.flow_batch(flow, &plain, context, order, room, &mut explain);
            let found = batch.verdicts.len();
            match (batch.rows.rows().last(), order) {
                (Some(last), Order::Asc) => plain.after = Some(last.head.id),
                (Some(last), Order::Desc) => plain.before = Some(last.head.id),
                (None, _) => {}
            }
            self.fill(flow, &batch, context, limit, &mut rows);
            if found < room {
                break;
            }
        }
        explain.matched = rows.rows().len() as u64;
        if order != asked.order {
            rows.reverse();
        }
        describe(self, asked, &mut explain);
        explain.duration_ns = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        QueryResult { rows, explain }
    }

    /// Puts the rows of a batch that belong to the flow into the answer, with what became of them.
    fn fill(
        &self,
        flow: &FlowQuery,
        batch: &Batch,
        context: &Context<'_>,
        limit: usize,
        rows: &mut Answer,
    ) {
        let mut ids: Vec<u64> = batch.rows.rows().iter().map(|row| row.head.id.0).collect();
        let receipts = find(self, &mut ids);
        let mut filled = Vec::new();
        let mut scratch = Vec::new();
        for ((head, payload), &(verdict, peer)) in batch.rows.iter().zip(&batch.verdicts) {
            if rows.rows().len() >= limit {
                return;
            }
            let receipt = receipts.get(&head.id.0).copied().unwrap_or_default();
            if !is_received_as(flow, verdict, &receipt) {
                continue;
            }
            filled.clear();
            let shown = match head.kind {
                EventKind::MessageReceive => as_send(context, head, payload, &receipt, &mut filled),
                _ => {
                    let peer = ProcessId(peer).some();
                    fill_send(context, head, payload, peer, &receipt, &mut filled).map(|()| *head)
                }
            };
            // A payload that cannot be read is shown as what it is.
            let (head, payload) = match shown {
                Some(head) => (head, filled.as_slice()),
                None => (*head, payload),
            };
            let mut conditions = flow.query.conditions.iter();
            if conditions.all(|one| one.holds(&head, payload, context, &mut scratch)) {
                rows.push(head, if flow.query.payload { payload } else { &[] });
            }
        }
    }
}

/// Whether who got a message is who was asked for.
fn is_received_as(flow: &FlowQuery, verdict: Verdict, receipt: &Receipt) -> bool {
    match (verdict, receipt.receiver) {
        (Verdict::Yes, _) => true,
        (
            Verdict::IfReceived {
                forwards,
                backwards,
            },
            Some(receiver),
        ) => forwards && flow.to.is(receiver) || backwards && flow.from.is(receiver),
        _ => false,
    }
}
