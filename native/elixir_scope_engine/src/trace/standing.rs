//! How one process stands in the traces: looked up once for an event, however much is asked of it.

use super::{Group, Member, TraceSet, Traces};
use crate::event::ProcessId;

/// A process, and the running traces that it belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'t> {
    all: &'t Traces,
    member: Option<&'t Member>,
    traces: TraceSet,
}

impl Traces {
    /// How a process stands now.
    #[inline(always)]
    #[must_use]
    pub fn standing(&self, process: ProcessId) -> Standing<'_> {
        let member = self.member(process);
        Standing {
            all: self,
            member,
            traces: self.belongs(member) & self.running(),
        }
    }
}

impl Traces {
    /// Whether an event is wanted, if that is seen at first sight: false says nothing. The host asks this before each event, and the answer
    /// is mostly yes.
    #[inline(always)]
    #[must_use]
    pub fn surely_wants(&self, group: Group, process: ProcessId) -> bool {
        let wanting = self.wanting(group).load() & self.recording.load() & !self.inside_only.load();
        !(self.surely_of(process) & wanting).is_empty()
    }

    /// Whether a process belongs to a running trace, if that is seen at first sight: false says nothing.
    #[inline(always)]
    #[must_use]
    pub fn surely_has(&self, process: ProcessId) -> bool {
        !self.surely_of(process).is_empty()
    }

    #[inline(always)]
    fn surely_of(&self, process: ProcessId) -> TraceSet {
        self.belongs(self.members.find_at_home(process)) & self.running.load()
    }
}

impl<'t> Standing<'t> {
    /// Its entry, if it has one.
    #[inline(always)]
    #[must_use]
    pub fn member(self) -> Option<&'t Member> {
        self.member
    }

    /// The running traces that it belongs to.
    #[inline(always)]
    #[must_use]
    pub fn traces(self) -> TraceSet {
        self.traces
    }

    /// Those of them that record, and want an event of this sort.
    #[inline(always)]
    #[must_use]
    pub fn wanted(self, group: Group) -> TraceSet {
        let wanted = self.all.wanting(group).load() & self.all.recording.load() & self.traces;
        let enclosed = wanted & self.all.inside_only.load();
        if enclosed.is_empty() {
            return wanted;
        }
        wanted & !enclosed | self.inside(enclosed)
    }

    /// Those of them that want to know of the end of a call.
    #[inline(always)]
    #[must_use]
    pub fn wanted_ends(self) -> TraceSet {
        self.wanted(Group::Return) | self.wanted(Group::Exception)
    }

    #[inline(never)]
    fn inside(self, enclosed: TraceSet) -> TraceSet {
        self.member
            .map_or(TraceSet::EMPTY, |member| member.inside(enclosed))
    }

    /// Whether an event of this sort has to be looked at closer: it is wanted, or it may open what encloses a trace.
    #[inline(always)]
    #[must_use]
    pub fn may_want(self, group: Group) -> bool {
        !self.wanted(group).is_empty() || self.is_frame_of_interest(group)
    }

    fn is_frame_of_interest(self, group: Group) -> bool {
        // The host sees to the end of a call only if it was let tell of the call.
        let is_frame = matches!(group, Group::Call | Group::Return | Group::Exception);
        let is_ended = group == Group::Call && !self.wanted_ends().is_empty();
        is_ended || is_frame && !(self.traces & self.all.inside_only.load()).is_empty()
    }
}
