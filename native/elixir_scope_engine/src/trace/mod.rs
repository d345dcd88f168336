//! Traces of the host's own tracer: who belongs to which, what each wants, and when it has had enough. See the README beside
//! this file.

mod members;
mod set;
mod standing;
#[allow(
    clippy::module_inception,
    reason = "the file of one trace, in the room of all"
)]
mod trace;

use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, Ordering};

use crate::event::{ProcessId, SiteId, TimeNs};
use crate::host::Host;
use crate::site::SiteTable;

pub use members::Member;
pub use set::{Group, TraceSet};
pub use standing::Standing;
pub use trace::{Ending, TraceState};

use members::Members;
use set::SetWord;
use trace::Trace;

/// What a trace records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceConfig<'a> {
    /// Which sorts of events.
    pub groups: &'a [Group],
    /// Which processes besides its members.
    pub scope: Scope,
    /// Whether arguments of calls are recorded.
    pub args: bool,
    /// Whether results are recorded.
    pub results: bool,
    /// Only what happens while a call of this function is open.
    pub only_inside: SiteId,
    /// Who joins the members.
    pub follow: Option<Follow>,
    /// Whether tokens of the host tell which message is which.
    pub exact: bool,
    /// So many events end it.
    pub max: u64,
    /// More than so many in one second end it.
    pub rate: u32,
    /// It ends then.
    pub until: TimeNs,
}

/// Which processes belong to a trace besides its members.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// None.
    Members,
    /// All.
    Everyone,
    /// Those that are born while it runs; each becomes a member at its birth.
    Newborn,
}

/// Who joins the members of a trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Follow {
    /// Whom they spawn.
    Spawn,
    /// Whom they send a message.
    Message,
}

/// All traces.
#[derive(Debug)]
pub struct Traces {
    running: SetWord,
    /// Those that run and record: not while the host is still being told of whom it is to tell.
    recording: SetWord,
    /// Whether a process told of a message itself while one was about to record.
    is_told: AtomicBool,
    /// Numbers that are given, running or ended.
    taken: SetWord,
    wanting: [SetWord; Group::COUNT],
    everyone: SetWord,
    newborn: SetWord,
    with_args: SetWord,
    with_results: SetWord,
    inside_only: SetWord,
    follow_spawn: SetWord,
    follow_message: SetWord,
    exact: SetWord,
    enclosing: [AtomicU32; TraceSet::MOST],
    traces: [Trace; TraceSet::MOST],
    /// By site: the traces that a function belongs to.
    functions: [AtomicU16; SiteTable::CAPACITY],
    members: Members,
}

static SHARED: Traces = Traces::new();

impl Default for Traces {
    fn default() -> Self {
        Traces::new()
    }
}

impl Traces {
    /// No traces.
    #[must_use]
    pub const fn new() -> Traces {
        Traces {
            running: SetWord::new(),
            recording: SetWord::new(),
            is_told: AtomicBool::new(false),
            taken: SetWord::new(),
            wanting: [const { SetWord::new() }; Group::COUNT],
            everyone: SetWord::new(),
            newborn: SetWord::new(),
            with_args: SetWord::new(),
            with_results: SetWord::new(),
            inside_only: SetWord::new(),
            follow_spawn: SetWord::new(),
            follow_message: SetWord::new(),
            exact: SetWord::new(),
            enclosing: [const { AtomicU32::new(0) }; TraceSet::MOST],
            traces: [const { Trace::new() }; TraceSet::MOST],
            functions: [const { AtomicU16::new(0) }; SiteTable::CAPACITY],
            members: Members::new(),
        }
    }

    /// The one table of this library: it stands in the library itself, all zeros at first, and what is not used costs nothing.
    #[inline(always)]
    #[must_use]
    pub fn shared() -> &'static Traces {
        &SHARED
    }

    /// Begins a trace at `now` that records, and gives its number; `None` when there are [`TraceSet::MOST`] already.
    pub fn open(&self, config: &TraceConfig<'_>, now: TimeNs) -> Option<u32> {
        let number = self.prepare(config, now)?;
        self.record(number);
        Some(number)
    }

    /// Begins a trace that records nothing before [`record`](Traces::record): whom the host does not tell of yet tells of itself
    /// until then. Who joins it is noted.
    pub fn prepare(&self, config: &TraceConfig<'_>, now: TimeNs) -> Option<u32> {
        let number = self.taken.take_free()?;
        let one = TraceSet::of(number);
        for group in Group::ALL {
            self.wanting(*group).put(one, config.groups.contains(group));
        }
        self.everyone.put(one, config.scope == Scope::Everyone);
        self.newborn.put(one, config.scope == Scope::Newborn);
        self.with_args.put(one, config.args);
        self.with_results.put(one, config.results);
        self.inside_only.put(one, config.only_inside.is_some());
        self.follow_spawn
            .put(one, config.follow == Some(Follow::Spawn));
        self.follow_message
            .put(one, config.follow == Some(Follow::Message));
        self.exact.put(one, config.exact);
        if let Some(enclosing) = self.enclosing.get(number as usize) {
            enclosing.store(config.only_inside.0, Ordering::Relaxed);
        }
        self.trace(number)?.begin(config, now);
        // Last: what it wants is there by now.
        self.running.put(one, true);
        Some(number)
    }

    /// The host tells of all that belong to a trace: from now on it records.
    pub fn record(&self, number: u32) {
        let one = TraceSet::of(number);
        self.recording.put(one, true);
        // It may have ended meanwhile.
        if (self.running.load() & one).is_empty() {
            self.recording.put(one, false);
        }
    }

    /// Whether a trace is about to record.
    #[inline(always)]
    #[must_use]
    pub fn is_one_prepared(&self) -> bool {
        self.running.load() != self.recording.load()
    }

    /// The code of a process has told of a message that it is about to send, by this record, while a trace was prepared. If that records
    /// before the message is sent, the host tells of it as well.
    #[cold]
    pub fn tell(&self, process: ProcessId, record: u16, host: &dyn Host) {
        if !self.of(process).is_empty()
            && let Some(member) = self.members.get(process, host)
        {
            member.tell(record);
            self.is_told.store(true, Ordering::Relaxed);
        }
    }

    /// The host tells of a message that a process sends, whose newest record has this number: whether its code told of it already.
    #[inline(always)]
    pub fn was_told(&self, process: ProcessId, record: impl FnOnce() -> u16) -> bool {
        self.is_told.load(Ordering::Relaxed) && self.was_told_late(process, record())
    }

    #[cold]
    fn was_told_late(&self, process: ProcessId, record: u16) -> bool {
        let told = self.member(process).map_or(0, Member::take_told);
        told != 0 && told == record
    }

    /// The host does not tell of a process what a trace would be told: it belongs to somebody else, or is spared.
    pub fn leave_out(&self, number: u32, process: ProcessId, host: &dyn Host) {
        if let Some(member) = self.members.get(process, host) {
            member.leave_out(TraceSet::of(number));
        }
    }

    /// Ends a trace: nothing more is recorded by it. The first reason holds.
    pub fn end(&self, number: u32, ending: Ending) {
        if let Some(trace) = self.trace(number) {
            self.running.put(TraceSet::of(number), false);
            self.recording.put(TraceSet::of(number), false);
            trace.end(ending);
        }
    }

    /// Gives the number of an ended trace back, with all that belongs to it.
    pub fn free(&self, number: u32) {
        let one = TraceSet::of(number);
        self.end(number, Ending::Stopped);
        for functions in &self.functions {
            if functions.load(Ordering::Relaxed) != 0 {
                functions.fetch_and(!(one.bits() as u16), Ordering::Relaxed);
            }
        }
        self.taken.put(one, false);
        if self.taken.load().is_empty() {
            self.is_told.store(false, Ordering::Relaxed);
            self.members.clear();
        } else {
            self.members.leave(one);
        }
    }

    /// How a trace stands, and how many events it has counted; `None` for a number that is not given.
    #[must_use]
    pub fn state(&self, number: u32) -> Option<TraceState> {
        self.taken
            .load()
            .contains(number)
            .then(|| self.trace(number).map(Trace::state))
            .flatten()
    }

    /// The traces that run.
    #[inline(always)]
    #[must_use]
    pub fn running(&self) -> TraceSet {
        self.running.load()
    }

    /// The numbers that are given.
    #[must_use]
    pub fn taken(&self) -> TraceSet {
        self.taken.load()
    }

    /// Puts a process into a trace, or takes it out; false when there is no room.
    pub fn set_member(
        &self,
        number: u32,
        process: ProcessId,
        is_in: bool,
        host: &dyn Host,
    ) -> bool {
        let one = TraceSet::of(number);
        if is_in {
            return self.join(process, one, host);
        }
        if let Some(member) = self.members.find(process) {
            member.leave(one);
        }
        true
    }

    /// The entry of a process, if it has one.
    #[inline(always)]
    #[must_use]
    pub fn member(&self, process: ProcessId) -> Option<&Member> {
        self.members.find(process)
    }

    /// The entry of a process; one is made if there is room. If there is none, these traces miss the process.
    pub fn member_or_new(
        &self,
        process: ProcessId,
        traces: TraceSet,
        host: &dyn Host,
    ) -> Option<&Member> {
        let member = self.members.get(process, host);
        if member.is_none() {
            self.miss(traces);
        }
        member
    }

    fn join(&self, process: ProcessId, traces: TraceSet, host: &dyn Host) -> bool {
        let member = self.member_or_new(process, traces, host);
        if let Some(member) = member {
            member.join(traces);
        }
        member.is_some()
    }

    #[cold]
    fn miss(&self, traces: TraceSet) {
        for trace in traces.numbers().filter_map(|number| self.trace(number)) {
            trace.miss();
        }
    }

    /// The running traces that a process belongs to.
    #[inline]
    #[must_use]
    pub fn of(&self, process: ProcessId) -> TraceSet {
        if self.running.load().is_empty() {
            return TraceSet::EMPTY;
        }
        self.standing(process).traces()
    }

    #[inline(always)]
    fn belongs(&self, member: Option<&Member>) -> TraceSet {
        let everyone = self.everyone.load();
        member.map_or(everyone, |member| member.belongs(everyone))
    }

    /// The traces that record and want an event of this sort from a process.
    #[inline]
    #[must_use]
    pub fn wanted(&self, group: Group, process: ProcessId) -> TraceSet {
        if !self.any_wants(group) {
            return TraceSet::EMPTY;
        }
        self.standing(process).wanted(group)
    }

    /// Whether any trace that records wants events of this sort at all.
    #[inline(always)]
    #[must_use]
    pub fn any_wants(&self, group: Group) -> bool {
        !(self.wanting(group).load() & self.recording.load()).is_empty()
    }

    /// Whether flags on processes that belong to no trace have to stay, because they may be drawn in.
    #[must_use]
    pub fn follows_messages(&self) -> bool {
        !(self.follow_message.load() & self.running.load()).is_empty()
    }

    /// A process was born of `parent`: joins the traces that follow births, and those of the newborn. The traces that it is in now.
    pub fn born(&self, child: ProcessId, parent: ProcessId, host: &dyn Host) -> TraceSet {
        let running = self.running.load();
        let newborn = self.newborn.load();
        let followed = self.of(parent) & self.follow_spawn.load();
        let joins = (newborn | followed) & running;
        if !joins.is_empty() {
            self.join(child, joins, host);
        }
        self.of(child)
    }

    /// A member of `senders` sends to `receiver`, who joins those of them that follow messages.
    #[inline]
    pub fn sent(&self, receiver: ProcessId, senders: TraceSet, host: &dyn Host) {
        let joins = senders & self.follow_message.load();
        if !joins.is_empty() && receiver.is_some() && (self.of(receiver) & joins) != joins {
            self.join(receiver, joins, host);
        }
    }

    /// Says which traces a function belongs to.
    pub fn set_function(&self, site: SiteId, traces: TraceSet) {
        if let Some(functions) = self.function(site) {
            functions.store(traces.bits() as u16, Ordering::Relaxed);
        }
    }

    /// Which traces a function belongs to.
    #[inline]
    #[must_use]
    pub fn of_function(&self, site: SiteId) -> TraceSet {
        self.function(site).map_or(TraceSet::EMPTY, |traces| {
            TraceSet::from_bits(u32::from(traces.load(Ordering::Relaxed)))
        })
    }

    fn function(&self, site: SiteId) -> Option<&AtomicU16> {
        self.functions.get((site.0 as usize).checked_sub(1)?)
    }

    /// The running traces that record only inside of calls of this function.
    #[inline]
    #[must_use]
    pub fn enclosed_by(&self, site: SiteId) -> TraceSet {
        let enclosed = self.inside_only.load() & self.running.load();
        if enclosed.is_empty() {
            return enclosed;
        }
        enclosed.filter(|number| {
            let enclosing = self.enclosing.get(number as usize);
            enclosing.is_some_and(|enclosing| enclosing.load(Ordering::Relaxed) == site.0)
        })
    }

    /// Counts an event at `now` in each of `wanted`, and gives those that were not at their limit.
    #[inline]
    pub fn count(&self, wanted: TraceSet, now: TimeNs) -> TraceSet {
        wanted.filter(|number| {
            let Some(trace) = self.trace(number) else {
                return false;
            };
            let counted = trace.count(now);
            if let Some(ending) = counted.ending {
                self.end(number, ending);
            }
            counted.is_recorded
        })
    }

    /// Those of a set that record arguments.
    #[inline]
    #[must_use]
    pub fn with_args(&self, traces: TraceSet) -> TraceSet {
        traces & self.with_args.load()
    }

    /// Those of a set that record results.
    #[inline]
    #[must_use]
    pub fn with_results(&self, traces: TraceSet) -> TraceSet {
        traces & self.with_results.load()
    }

    /// Those of a set that tell messages by tokens of the host.
    #[inline]
    #[must_use]
    pub fn exact(&self, traces: TraceSet) -> TraceSet {
        traces & self.exact.load()
    }

    #[inline(always)]
    #[allow(clippy::indexing_slicing, reason = "one entry for each sort")]
    const fn wanting(&self, group: Group) -> &SetWord {
        &self.wanting[group as usize]
    }

    fn trace(&self, number: u32) -> Option<&Trace> {
        self.traces.get(number as usize)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests;
