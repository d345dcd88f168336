//! Queries on a [`Store`]: filters, conditions on captured values, the plan, and what it did. See the README beside
//! this file.

mod causes;
mod condition;
mod context;
mod explain;
mod filter;
mod flow;
mod late;
mod page;
pub(crate) mod receipts;
mod run;
mod scan;
mod segment;
mod stacks;
mod states;
mod tails;
mod unordered;

pub use causes::Way;
pub use condition::{Condition, Field, Op, Path};
pub use context::{Context, KindNames, SiteFacts, Sites, States};
pub use explain::{Estimate, Explain, Index};
pub(crate) use filter::{Filter, Wanted};
pub use flow::{FlowQuery, Party};
pub(crate) use page::{Page, page};
pub use stacks::{LiveStack, LiveStacks};
pub(crate) use states::{StateRows, put_changes};

use std::ops::Range;

use crate::event::{AtomId, CorrelationId, EventId, KindSet, ProcessId, TimeNs};
use crate::store::{EventHead, Store};

/// Which way the answer is sorted: by id, which is by time where events came in the order of time. In a store that was
/// fed out of order, by time and then by id.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Order {
    /// Oldest first.
    #[default]
    Asc,
    /// Newest first.
    Desc,
}

/// What is asked of a [`Store`]. All that is given must hold.
#[derive(Clone, Debug)]
pub struct Query {
    /// One of these processes recorded it.
    pub processes: Option<Vec<ProcessId>>,
    /// None of these did.
    pub exclude: Vec<ProcessId>,
    /// It is of one of these kinds.
    pub kinds: KindSet,
    /// Its site is in this module.
    pub module: Option<AtomId>,
    /// Its site is in a function of this name.
    pub function: Option<AtomId>,
    /// Its site is in a function of so many arguments.
    pub arity: Option<u32>,
    /// It happened then or later.
    pub since: Option<TimeNs>,
    /// It happened then or earlier.
    pub until: Option<TimeNs>,
    /// Its id is smaller.
    pub before: Option<EventId>,
    /// Its id is larger. The limit then keeps the oldest events, not the newest.
    pub after: Option<EventId>,
    /// It goes back to this causal root, as far as is known by now; [`CorrelationId::AMBIGUOUS`] asks for those that could go
    /// back to several.
    pub correlation: Option<CorrelationId>,
    /// It is this call's entry or exit, or has that entry as its parent.
    pub call: Option<EventId>,
    /// Conditions on its fields and captured values.
    pub conditions: Vec<Condition>,
    /// Keep the newest so many (with `after`, the oldest). 0 keeps none.
    pub limit: Option<usize>,
    /// How the answer is sorted.
    pub order: Order,
    /// Whether captured values are wanted.
    pub payload: bool,
}

impl Default for Query {
    /// Everything, oldest first, with payloads.
    fn default() -> Query {
        Query {
            processes: None,
            exclude: Vec::new(),
            kinds: KindSet::ALL,
            module: None,
            function: None,
            arity: None,
            since: None,
            until: None,
            before: None,
            after: None,
            correlation: None,
            call: None,
            conditions: Vec::new(),
            limit: None,
            order: Order::Asc,
            payload: true,
        }
    }
}

/// An event of an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// The event.
    pub head: EventHead,
    /// Where its payload lies in the answer's bytes; empty where none was wanted.
    pub payload: Range<usize>,
}

/// The events of an answer; payloads lie together in one buffer.
#[derive(Clone, Default, Debug)]
pub struct Rows {
    rows: Vec<Row>,
    bytes: Vec<u8>,
}

impl Rows {
    /// The events, sorted as asked for.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The payload of one of them: encoded values one after another.
    #[must_use]
    pub fn payload(&self, row: &Row) -> &[u8] {
        self.bytes.get(row.payload.clone()).unwrap_or(&[])
    }

    /// Events with their payloads.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&EventHead, &[u8])> + ExactSizeIterator {
        self.rows.iter().map(|row| (&row.head, self.payload(row)))
    }

    pub(crate) fn push(&mut self, head: EventHead, payload: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(payload);
        self.rows.push(Row {
            head,
            payload: start..self.bytes.len(),
        });
    }

    /// Gives the row at `index` another payload.
    pub(crate) fn set_payload(&mut self, index: usize, parts: &[&[u8]]) {
        let start = self.bytes.len();
        parts
            .iter()
            .for_each(|part| self.bytes.extend_from_slice(part));
        if let Some(row) = self.rows.get_mut(index) {
            row.payload = start..self.bytes.len();
        }
    }

    pub(crate) fn reverse(&mut self) {
        self.rows.reverse();
    }

    /// Bytes allocated.
    #[must_use]
    pub fn allocated(&self) -> usize {
        self.rows.capacity() * size_of::<Row>() + self.bytes.capacity()
    }
}

/// What a query answers.
#[derive(Clone, Default, Debug)]
pub struct QueryResult {
    /// The events.
    pub rows: Rows,
    /// How they were found.
    pub explain: Explain,
}

impl Store {
    /// The events that `query` asks for, as of now: what is appended while it runs is not seen.
    #[must_use]
    pub fn query(&self, query: &Query, context: &Context<'_>) -> QueryResult {
        run::run(self, query, context)
    }

    /// How many events `query` asks for; its limit and order do not matter.
    #[must_use]
    pub fn count(&self, query: &Query, context: &Context<'_>) -> (u64, Explain) {
        run::count(self, query, context)
    }

    /// What `query` would look at, from zone maps and dictionaries alone.
    #[must_use]
    pub fn estimate(&self, query: &Query, context: &Context<'_>) -> Estimate {
        run::estimate(self, query, context)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
pub(crate) mod tests;
