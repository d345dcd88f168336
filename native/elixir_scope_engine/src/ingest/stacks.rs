//! The open calls of each process: which call an exit ends, which one encloses an event.
//!
//! Each record tells how deep its process was, and its causal root. So a lost exit leaves nothing behind: the next record
//! takes away what is deeper than it says, or goes back to another root. And a lost entry is no riddle: nothing stands at
//! its depth. What a loss can blur is a call inside of another one that was open while records were lost: the exit at its
//! depth may be that of a later call of the same function. Such a call is not matched; see [`Stacks::doubt`].
//!
//! A call that ends in a tail call of a known function leaves a mark at its depth. If the next record of its process is the
//! entry of that function, both are links of one chain; any other record takes the mark away.

mod kin;
mod room;

use std::collections::HashMap;

use ahash::RandomState;

use crate::event::{CorrelationId, EventId, EventKind, ProcessId, SiteId, TimeNs};
use crate::record::RecordHead;
use crate::site::SiteTable;
use crate::store::Call;

#[derive(Clone, Copy, Debug)]
struct Frame {
    entry: EventId,
    /// When it began; of a tail call, when it was made.
    time: TimeNs,
    /// The first call of the chain of tail calls that it is a link of, or none.
    chain: EventId,
    site: u32,
    depth: u16,
    is_span: bool,
    /// The call has ended, in a tail call at `site`.
    is_tail: bool,
}

#[derive(Debug)]
struct Stack {
    process: ProcessId,
    /// The root that the process gave itself at its outermost call.
    root: u64,
    /// What this goes back to.
    resolved: CorrelationId,
    origin: Origin,
    /// Whether it was seen in a callback: then it is a loop of a behaviour that calls.
    serves: bool,
    /// Rising in depth; calls whose entry was lost are not there.
    frames: Vec<Frame>,
    /// The number of the record that was seen last, or 0.
    sequence: u16,
    /// The sweep before which it was used last.
    used: u32,
    /// The number of the request whose answer it waits for, or 0.
    waits: u32,
    /// So many messages may still be in its mailbox that nobody knows of.
    unknown: u32,
    /// Whether it made no call yet, so that it is here for the numbers of its records alone.
    is_silent: bool,
    /// When a record of its own was found to be missing last.
    gap: TimeNs,
    /// The value of [`Stacks::lost`] that `unknown` takes into account; of a process that was spawned, that of its birth.
    lost: u32,
}

impl Stack {
    /// Sees from the number of a record whether one before it is missing.
    #[inline]
    fn count(&mut self, head: &RecordHead, time: TimeNs) {
        let is_next = RecordHead::next_sequence(self.sequence) == head.sequence;
        if !is_next && self.sequence != 0 && head.sequence != 0 {
            self.gap = time;
            // What was open inside of the outermost call may have ended, and the same function been called again. Nobody may have
            // told of the loss yet: it was on another thread's ring.
            self.frames
                .retain(|frame| frame.depth == 0 && !frame.is_tail);
        }
        self.sequence = head.sequence;
    }
}

/// What a process goes back to while it has handled no message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    /// Nobody told of its birth yet.
    Unknown,
    /// The root of whoever spawned it.
    Spawned(CorrelationId),
    /// That is over, or was never known.
    Past,
}

/// Where an event stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Nesting {
    pub call: Call,
    pub parent: EventId,
    /// Of an exit whose entry is known: the time between them.
    pub duration_ns: Option<i64>,
    /// The causal root that it goes back to.
    pub root: CorrelationId,
    pub origin: Origin,
    /// Whether its process was seen in a callback.
    pub serves: bool,
    /// The first call of the chain of tail calls that an entry goes on, or an exit stands in; or none.
    pub chain: EventId,
    /// The number of the request that its process had waited for, or 0.
    pub answered: u32,
}

/// The open calls of all processes, within a budget of memory.
#[derive(Debug)]
pub(crate) struct Stacks {
    sites: &'static SiteTable,
    index: HashMap<ProcessId, u32, RandomState>,
    stacks: Vec<Stack>,
    last: Option<usize>,
    /// Frames that all stacks have room for.
    room: usize,
    max_stacks: usize,
    max_room: usize,
    doubt_until: TimeNs,
    /// Until when records may be missing, lost or not made.
    gap_until: TimeNs,
    /// How many records were lost.
    lost: u32,
    /// The last time that a process got a message that was forgotten, or may have.
    unknown_until: TimeNs,
    /// Where the next sweep goes on, and how many there were.
    swept: usize,
    sweeps: u32,
    /// Whether processes lost their stacks that may live.
    is_thinned: bool,
}

pub(crate) fn is_entry(kind: EventKind) -> bool {
    matches!(kind, EventKind::FunctionEntry | EventKind::SpanStart)
}

pub(crate) fn is_exit(kind: EventKind) -> bool {
    matches!(kind, EventKind::FunctionExit | EventKind::SpanStop)
}

/// Whether it happens to a process, whatever that does.
fn is_passive(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::MessageReceive
            | EventKind::GarbageCollection
            | EventKind::ProcessLink
            | EventKind::ProcessUnlink
    )
}

fn is_span(kind: EventKind) -> bool {
    matches!(kind, EventKind::SpanStart | EventKind::SpanStop)
}

/// Whether two places stand in the same clause: a tail call has a place of its own.
fn is_same_clause(sites: &SiteTable, one: u32, other: SiteId) -> bool {
    let clause = |site| {
        let def = sites.get(site)?;
        Some((def.module, def.function, def.arity, def.clause))
    };
    clause(SiteId(one)).is_some_and(|one| clause(other) == Some(one))
}

impl Stacks {
    /// Bytes of an entry of the index: hash tables keep a byte beside each.
    const INDEXED: usize = size_of::<(ProcessId, u32)>() + 1;
    /// Bytes of a stack without its frames, at most: in the list, and in the index. A hash table's size is a power of two
    /// of which an eighth stays empty, and it may double when many of its entries came and went.
    const STACK: usize = size_of::<Stack>() + Self::INDEXED * 32 / 7 + 1;
    /// Deeper calls all say this depth.
    const DEEPEST: u16 = RecordHead::NO_DEPTH - 1;

    /// No open calls, and room for as many as fit into `budget` bytes.
    pub(crate) fn new(budget: usize, sites: &'static SiteTable) -> Stacks {
        let max_stacks = (budget / 2 / Self::STACK).max(8);
        Stacks {
            sites,
            index: HashMap::with_capacity_and_hasher(max_stacks, RandomState::default()),
            stacks: Vec::with_capacity(max_stacks),
            last: None,
            room: 0,
            max_stacks,
            max_room: (budget / 2 / size_of::<Frame>()).max(64),
            doubt_until: TimeNs(i64::MIN),
            gap_until: TimeNs(i64::MIN),
            lost: 0,
            unknown_until: TimeNs(i64::MIN),
            swept: 0,
            sweeps: 0,
            is_thinned: false,
        }
    }

    /// Bytes allocated.
    pub(crate) fn bytes(&self) -> usize {
        self.stacks.capacity() * size_of::<Stack>()
            + (self.index.capacity() * 8 / 7).next_power_of_two() * Self::INDEXED
            + self.room * size_of::<Frame>()
    }

    /// Processes with a stack.
    pub(crate) fn len(&self) -> usize {
        self.stacks.len()
    }

    /// So many records up to this time were lost: calls that were open then, inside of others, are not matched any more, and
    /// any process may have got messages that nobody knows of.
    pub(crate) fn doubt(&mut self, until: TimeNs, count: u64) {
        self.doubt_until = self.doubt_until.max(until);
        self.gap(until);
        if count > 0 {
            self.lost = self
                .lost
                .wrapping_add(u32::try_from(count).unwrap_or(u32::MAX));
            self.unknown_until = self.unknown_until.max(until);
        }
    }

    /// Until when records were lost.
    pub(crate) fn doubt_until(&self) -> TimeNs {
        self.doubt_until
    }

    /// Up to this time records may be missing that were never made: what followed upon what before it is not known. The ends
    /// of open calls are: no end is recorded whose beginning was not.
    pub(crate) fn gap(&mut self, until: TimeNs) {
        self.gap_until = self.gap_until.max(until);
    }

    /// Until when records may be missing, lost or not made.
    pub(crate) fn gap_until(&self) -> TimeNs {
        self.gap_until
    }

    #[inline]
    fn find(&mut self, process: ProcessId) -> Option<usize> {
        if let Some(last) = self.last
            && self
                .stacks
                .get(last)
                .is_some_and(|stack| stack.process == process)
        {
            return Some(last);
        }
        let found = *self.index.get(&process)? as usize;
        self.last = Some(found);
        Some(found)
    }

    fn get_mut(&mut self, process: ProcessId) -> Option<&mut Stack> {
        let place = *self.index.get(&process)? as usize;
        self.stacks.get_mut(place)
    }

    /// Tells where an event stands, and takes away the calls that it shows to have ended. `is_tail` says of the end of a call
    /// that it is a tail call.
    #[inline]
    pub(crate) fn nest(&mut self, head: &RecordHead, time: TimeNs, is_tail: bool) -> Nesting {
        let call = if is_entry(head.kind) {
            Call::Begins
        } else {
            Call::None
        };
        let mut nesting = Nesting {
            call,
            parent: EventId::NONE,
            duration_ns: None,
            root: head.correlation,
            origin: Origin::Unknown,
            serves: false,
            chain: EventId::NONE,
            answered: 0,
        };
        if head.depth >= Self::DEEPEST {
            return nesting;
        }
        let Some(found) = self.find(head.process) else {
            return nesting;
        };
        let (doubt_until, gap_until) = (self.doubt_until, self.gap_until);
        let (sweeps, sites, lost) = (self.sweeps, self.sites, self.lost);
        let Some(stack) = self.stacks.get_mut(found) else {
            return nesting;
        };
        stack.used = sweeps;
        stack.count(head, time);
        // The request may be what the tail call makes: it is told of before both.
        if !is_tail && !is_passive(head.kind) {
            nesting.answered = std::mem::take(&mut stack.waits);
        }
        nesting.origin = stack.origin;
        nesting.serves = stack.serves;
        // What is missing may have come between.
        let goes_on = |frame: &Frame| {
            frame.is_tail
                && frame.depth == head.depth
                && frame.time > gap_until
                && head.kind == EventKind::FunctionEntry
                && sites.is_callee(SiteId(frame.site), head.site)
        };
        if stack.root != head.correlation.0 || !head.correlation.is_some() {
            match stack.frames.last() {
                // To the process a new outermost call.
                Some(frame) if frame.depth == 0 && goes_on(frame) => {
                    nesting.chain = frame.chain;
                    nesting.root = stack.resolved;
                }
                _ => {
                    if let Origin::Spawned(root) = stack.origin
                        && !head.correlation.is_some()
                        && stack.lost == lost
                        && !stack.serves
                    {
                        nesting.root = root;
                    }
                }
            }
            stack.frames.clear();
            return nesting;
        }
        nesting.root = stack.resolved;
        let is_sure = |frame: &Frame| frame.depth == 0 || frame.time > doubt_until;
        let mut ended = None;
        while let Some(frame) = stack.frames.pop_if(|frame| frame.depth >= head.depth) {
            ended = Some(frame);
        }
        let mut tail = None;
        if is_exit(head.kind) {
            let same = |frame: &Frame| {
                frame.depth == head.depth
                    && frame.is_span == is_span(head.kind)
                    && !frame.is_tail
                    && is_sure(frame)
                    && (frame.site == head.site.0
                        || is_tail && is_same_clause(sites, frame.site, head.site))
            };
            if let Some(frame) = ended.filter(same) {
                nesting.call = Call::Of(frame.entry);
                nesting.duration_ns = Some(time.0.saturating_sub(frame.time.0));
                nesting.chain = frame.chain;
                if is_tail && sites.get(head.site).is_some_and(|def| def.callee.is_some()) {
                    tail = Some(Frame {
                        time,
                        chain: frame.chain.some().unwrap_or(frame.entry),
                        site: head.site.0,
                        is_tail: true,
                        ..frame
                    });
                }
            }
        } else if let Some(frame) = ended
            && goes_on(&frame)
        {
            nesting.chain = frame.chain;
        }
        let enclosing = stack.frames.last();
        if let Some(frame) =
            enclosing.filter(|f| f.depth + 1 == head.depth && is_sure(f) && !f.is_tail)
        {
            nesting.parent = frame.entry;
        }
        if matches!(head.kind, EventKind::StateChange | EventKind::CallbackReply)
            && nesting.parent.is_some()
        {
            nesting.call = Call::Of(nesting.parent);
        }
        if let Some(tail) = tail {
            // In the room of the call that ended.
            stack.frames.push(tail);
        }
        nesting
    }

    /// The event that [`Stacks::nest`] saw last was stored as `entry`, and begins a call that goes back to the root in
    /// `place`, and is a link of the chain there.
    #[inline]
    pub(crate) fn enter(
        &mut self,
        head: &RecordHead,
        time: TimeNs,
        entry: EventId,
        place: &Nesting,
    ) {
        if !is_entry(head.kind) || head.depth >= Self::DEEPEST {
            return;
        }
        let Some(found) = self.find(head.process).or_else(|| self.add(head.process)) else {
            return;
        };
        let Some(stack) = self.stacks.get_mut(found) else {
            return;
        };
        stack.is_silent = false;
        stack.root = head.correlation.0;
        stack.resolved = place.root;
        stack.origin = place.origin;
        stack.serves = place.serves;
        stack.sequence = head.sequence;
        if stack.frames.len() == stack.frames.capacity() {
            let more = stack.frames.capacity().max(4);
            if self.room + more > self.max_room {
                // The call will not be matched.
                return;
            }
            stack.frames.reserve_exact(more);
            self.room += more;
        }
        stack.frames.push(Frame {
            entry,
            time,
            chain: place.chain,
            site: head.site.0,
            depth: head.depth,
            is_span: is_span(head.kind),
            is_tail: false,
        });
    }
}
