//! The rows of the tape that may belong to a flow, segment after segment.

use std::ops::{ControlFlow, Range};

use super::ends::Ends;
use super::{FlowQuery, Verdict};
use crate::event::EventKind;
use crate::query::run::{Pinned, each_segment};
use crate::query::{Context, Explain, Filter, Order, Query, Rows as Answer, Wanted};
use crate::store::{Aliases, Store};

/// Rows that may belong to the flow.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) rows: Answer,
    /// Of each whether it does, and who is at its other end.
    pub(super) verdicts: Vec<(Verdict, u64)>,
}

/// Looks for rows until there are enough.
pub(super) struct Collector<'a> {
    flow: &'a FlowQuery,
    filter: &'a Filter<'a>,
    order: Order,
    room: usize,
    batch: Batch,
    marks: Vec<u8>,
    scratch: Vec<u8>,
}

impl Store {
    /// The next rows that may belong to `flow`, of those that `plain` asks for; `room` of them at most.
    pub(super) fn flow_batch(
        &self,
        flow: &FlowQuery,
        plain: &Query,
        context: &Context<'_>,
        order: Order,
        room: usize,
        explain: &mut Explain,
    ) -> Batch {
        let wanted = Wanted::new(plain, &self.aliases());
        let filter = Filter::new(plain, context, &wanted);
        let mut collector = Collector {
            flow,
            filter: &filter,
            order,
            room,
            batch: Batch::default(),
            marks: Vec::new(),
            scratch: Vec::new(),
        };
        let _ = each_segment(
            self,
            &filter,
            order,
            explain,
            &mut |segment, ids, explain| {
                let aliases = self.aliases();
                match segment {
                    Pinned::Sealed(segment) => {
                        collector.look(segment.as_ref(), &aliases, &ids, explain)
                    }
                    Pinned::Open(tape) => collector.look(tape.open(), &aliases, &ids, explain),
                }
            },
        );
        collector.batch
    }
}

impl Collector<'_> {
    /// Takes what one segment has of the ids.
    fn look<S: Ends>(
        &mut self,
        segment: &S,
        aliases: &Aliases,
        ids: &Range<u64>,
        explain: &mut Explain,
    ) -> ControlFlow<()> {
        let first = segment.first();
        let places = segment.places();
        let from = places.partition_point(|&row| first + u64::from(row) < ids.start);
        let to = places.partition_point(|&row| first + u64::from(row) < ids.end);
        let range = from..to.max(from);
        explain.scanned += 1;
        explain.rows += range.len() as u64;
        let mut marks = std::mem::take(&mut self.marks);
        let is_marked = self
            .flow
            .ends(segment.has_loners())
            .is_some_and(|ends| segment.mark(range.clone(), &ends, &mut marks));
        let answer = if is_marked {
            let found = memchr::memchr_iter(1, &marks).map(|mark| range.start + mark);
            self.take_all(segment, aliases, found)
        } else {
            self.take_all(segment, aliases, range)
        };
        self.marks = marks;
        answer
    }

    fn take_all<S: Ends>(
        &mut self,
        segment: &S,
        aliases: &Aliases,
        mut places: impl DoubleEndedIterator<Item = usize>,
    ) -> ControlFlow<()> {
        let order = self.order;
        let mut take = |place| self.take(segment, aliases, place);
        match order {
            Order::Asc => places.try_for_each(&mut take),
            Order::Desc => places.rev().try_for_each(&mut take),
        }
    }

    /// Takes the row with this place among those with a process at the other end, if it may belong to the flow.
    fn take<S: Ends>(&mut self, segment: &S, aliases: &Aliases, place: usize) -> ControlFlow<()> {
        let Some(&row) = segment.places().get(place) else {
            return ControlFlow::Continue(());
        };
        let row = usize::from(row);
        let (kind, process) = segment.who(row);
        let peer = segment.end(place);
        let verdict = self
            .flow
            .verdict(kind, process, peer, || segment.payload(row));
        let is_linked =
            || kind == Some(EventKind::MessageReceive) && segment.message(row).is_some();
        if verdict == Verdict::No || is_linked() {
            return ControlFlow::Continue(());
        }
        let mut head = segment.head(row);
        let payload = segment.payload(row);
        head.correlation = aliases.resolve(head.correlation);
        if !self.filter.matches(&head, payload, &mut self.scratch) {
            return ControlFlow::Continue(());
        }
        self.batch.rows.push(head, payload);
        self.batch.verdicts.push((verdict, peer));
        if self.batch.verdicts.len() < self.room {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    }
}
