//! A query made ready: what does not depend on a segment, and the plain test of one event that everything else must
//! agree with.

use super::{Context, Query};
use crate::event::SiteId;
use crate::store::{Aliases, EventHead};

/// The processes and causal roots that a query asks for.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// Sorted; empty for all, unless `nobody`.
    processes: Vec<u64>,
    /// Of those asked for none is left.
    nobody: bool,
    /// The processes left out, sorted.
    exclude: Vec<u64>,
    /// The roots under which events may be stored that go back to the one asked for; empty for all.
    roots: Vec<u64>,
}

impl Wanted {
    /// By what is known of roots that go back to others.
    pub(crate) fn new(query: &Query, aliases: &Aliases) -> Wanted {
        let mut exclude: Vec<u64> = query.exclude.iter().map(|process| process.0).collect();
        exclude.sort_unstable();
        let wanted = query.processes.as_deref().unwrap_or(&[]);
        let mut processes: Vec<u64> = wanted.iter().map(|process| process.0).collect();
        processes.retain(|process| exclude.binary_search(process).is_err());
        processes.sort_unstable();
        processes.dedup();
        let nobody = query.processes.is_some() && processes.is_empty();
        Wanted {
            processes,
            nobody,
            exclude,
            roots: query
                .correlation
                .map_or_else(Vec::new, |root| aliases.all(root)),
        }
    }
}

/// A [`Query`] made ready to be run.
#[derive(Clone, Copy)]
pub(crate) struct Filter<'a> {
    pub query: &'a Query,
    pub context: &'a Context<'a>,
    wanted: &'a Wanted,
}

impl<'a> Filter<'a> {
    pub(crate) fn new(query: &'a Query, context: &'a Context<'a>, wanted: &'a Wanted) -> Self {
        Filter {
            query,
            context,
            wanted,
        }
    }

    /// Whether it asks for processes, and none is left.
    pub(crate) fn asks_nobody(&self) -> bool {
        self.wanted.nobody
    }

    /// The one process asked for, where it is one.
    pub(crate) fn asks_one_process(&self) -> Option<u64> {
        match self.wanted.processes.as_slice() {
            &[one] => Some(one),
            _ => None,
        }
    }

    /// Whether the query names sites.
    pub(crate) fn asks_sites(&self) -> bool {
        let query = self.query;
        query.module.is_some() || query.function.is_some() || query.arity.is_some()
    }

    /// Whether the query leaves processes out, or names them.
    pub(crate) fn asks_processes(&self) -> bool {
        self.query.processes.is_some() || !self.wanted.exclude.is_empty()
    }

    /// Whether events of `process` may match.
    pub(crate) fn takes_process(&self, process: u64) -> bool {
        let Wanted {
            processes, exclude, ..
        } = self.wanted;
        (self.query.processes.is_none() || processes.binary_search(&process).is_ok())
            && (exclude.is_empty() || exclude.binary_search(&process).is_err())
    }

    /// The causal roots under which events may be stored that go back to the one asked for; empty where none is.
    pub(crate) fn roots(&self) -> &'a [u64] {
        &self.wanted.roots
    }

    /// Whether events at `site` may match.
    pub(crate) fn takes_site(&self, site: SiteId) -> bool {
        if !self.asks_sites() {
            return true;
        }
        let Some(facts) = self.context.sites.site(site) else {
            return false;
        };
        let query = self.query;
        query.module.is_none_or(|module| module == facts.module)
            && query
                .function
                .is_none_or(|function| facts.function == Some(function))
            && query
                .arity
                .is_none_or(|arity| facts.function.is_some() && facts.arity == arity)
    }

    /// Whether the conditions hold.
    pub(crate) fn conditions_hold(
        &self,
        head: &EventHead,
        payload: &[u8],
        scratch: &mut Vec<u8>,
    ) -> bool {
        let mut conditions = self.query.conditions.iter();
        if self.query.conditions.is_empty() {
            return true;
        }
        let mut expanded = Vec::new();
        let is_expanded = self
            .context
            .states
            .is_some_and(|states| states.expand(head, payload, &mut expanded));
        let payload = if is_expanded { &expanded } else { payload };
        conditions.all(|condition| condition.holds(head, payload, self.context, scratch))
    }

    /// Whether an event matches, by looking at it alone.
    pub(crate) fn matches(&self, head: &EventHead, payload: &[u8], scratch: &mut Vec<u8>) -> bool {
        let query = self.query;
        query.kinds.contains(head.kind)
            && self.takes_process(head.process.0)
            && query.since.is_none_or(|since| head.time >= since)
            && query.until.is_none_or(|until| head.time <= until)
            && query.before.is_none_or(|before| head.id < before)
            && query.after.is_none_or(|after| head.id > after)
            && (self.roots().is_empty() || self.roots().contains(&head.correlation.0))
            && query
                .call
                .is_none_or(|call| head.call == call || head.parent == call)
            && self.takes_site(head.site)
            && self.conditions_hold(head, payload, scratch)
    }
}
