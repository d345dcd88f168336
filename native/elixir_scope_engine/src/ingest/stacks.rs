//! The open calls of each process: which call an exit ends, which one encloses an event.
//!
//! Each record tells how deep its process was, and its causal root. So a lost exit leaves nothing behind: the next record
//! takes away what is deeper than it says, or goes back to another root. And a lost entry is no riddle: nothing stands at
//! its depth. What a loss can blur is a call inside of another one that was open while records were lost: the exit at its
//! depth may be that of a later call of the same function. Such a call is not matched; see [`Stacks::doubt`].

use std::collections::HashMap;

use ahash::RandomState;

use crate::event::{EventId, EventKind, ProcessId, TimeNs};
use crate::record::RecordHead;
use crate::store::Call;

#[derive(Clone, Copy, Debug)]
struct Frame {
    entry: EventId,
    time: TimeNs,
    site: u32,
    depth: u16,
    is_span: bool,
}

#[derive(Debug)]
struct Stack {
    process: ProcessId,
    root: u64,
    /// Rising in depth; calls whose entry was lost are not there.
    frames: Vec<Frame>,
    /// The sweep before which it was used last.
    used: u32,
}

/// Where an event stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Nesting {
    pub call: Call,
    pub parent: EventId,
    /// Of an exit whose entry is known: the time between them.
    pub duration_ns: Option<i64>,
}

/// The open calls of all processes, within a budget of memory.
#[derive(Debug)]
pub(crate) struct Stacks {
    index: HashMap<ProcessId, u32, RandomState>,
    stacks: Vec<Stack>,
    last: Option<usize>,
    /// Frames that all stacks have room for.
    room: usize,
    max_stacks: usize,
    max_room: usize,
    doubt_until: TimeNs,
    /// Where the next sweep goes on, and how many there were.
    swept: usize,
    sweeps: u32,
}

fn is_entry(kind: EventKind) -> bool {
    matches!(kind, EventKind::FunctionEntry | EventKind::SpanStart)
}

fn is_exit(kind: EventKind) -> bool {
    matches!(kind, EventKind::FunctionExit | EventKind::SpanStop)
}

fn is_span(kind: EventKind) -> bool {
    matches!(kind, EventKind::SpanStart | EventKind::SpanStop)
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
    pub(crate) fn new(budget: usize) -> Stacks {
        let max_stacks = (budget / 2 / Self::STACK).max(8);
        Stacks {
            index: HashMap::with_capacity_and_hasher(max_stacks, RandomState::default()),
            stacks: Vec::with_capacity(max_stacks),
            last: None,
            room: 0,
            max_stacks,
            max_room: (budget / 2 / size_of::<Frame>()).max(64),
            doubt_until: TimeNs(i64::MIN),
            swept: 0,
            sweeps: 0,
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

    /// Records until this time were lost: calls that were open then, inside of others, are not matched any more.
    pub(crate) fn doubt(&mut self, until: TimeNs) {
        self.doubt_until = self.doubt_until.max(until);
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

    /// Tells where an event stands, and takes away the calls that it shows to have ended.
    #[inline]
    pub(crate) fn nest(&mut self, head: &RecordHead, time: TimeNs) -> Nesting {
        let call = if is_entry(head.kind) {
            Call::Begins
        } else {
            Call::None
        };
        let mut nesting = Nesting {
            call,
            parent: EventId::NONE,
            duration_ns: None,
        };
        if head.depth >= Self::DEEPEST {
            return nesting;
        }
        let Some(found) = self.find(head.process) else {
            return nesting;
        };
        let (doubt_until, sweeps) = (self.doubt_until, self.sweeps);
        let Some(stack) = self.stacks.get_mut(found) else {
            return nesting;
        };
        stack.used = sweeps;
        if stack.root != head.correlation.0 {
            stack.frames.clear();
            return nesting;
        }
        let is_sure = |frame: &Frame| frame.depth == 0 || frame.time > doubt_until;
        let mut ended = None;
        while let Some(frame) = stack.frames.pop_if(|frame| frame.depth >= head.depth) {
            ended = Some(frame);
        }
        if is_exit(head.kind) {
            let same = |frame: &Frame| {
                frame.depth == head.depth
                    && frame.site == head.site.0
                    && frame.is_span == is_span(head.kind)
                    && is_sure(frame)
            };
            if let Some(frame) = ended.filter(same) {
                nesting.call = Call::Of(frame.entry);
                nesting.duration_ns = Some(time.0.saturating_sub(frame.time.0));
            }
        }
        let enclosing = stack.frames.last();
        if let Some(frame) = enclosing.filter(|f| f.depth + 1 == head.depth && is_sure(f)) {
            nesting.parent = frame.entry;
        }
        if matches!(head.kind, EventKind::StateChange | EventKind::CallbackReply)
            && nesting.parent.is_some()
        {
            nesting.call = Call::Of(nesting.parent);
        }
        nesting
    }

    /// The event that [`Stacks::nest`] saw last was stored as `entry`, and begins a call.
    #[inline]
    pub(crate) fn enter(&mut self, head: &RecordHead, time: TimeNs, entry: EventId) {
        if !is_entry(head.kind) || head.depth >= Self::DEEPEST {
            return;
        }
        let Some(found) = self.find(head.process).or_else(|| self.add(head.process)) else {
            return;
        };
        let Some(stack) = self.stacks.get_mut(found) else {
            return;
        };
        stack.root = head.correlation.0;
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
            site: head.site.0,
            depth: head.depth,
            is_span: is_span(head.kind),
        });
    }

    #[cold]
    fn add(&mut self, process: ProcessId) -> Option<usize> {
        if self.stacks.len() >= self.max_stacks {
            self.thin();
        }
        let place = self.stacks.len();
        self.stacks.push(Stack {
            process,
            root: 0,
            frames: Vec::new(),
            used: self.sweeps,
        });
        self.index.insert(process, u32::try_from(place).ok()?);
        self.last = Some(place);
        Some(place)
    }

    /// Makes room: processes outside of any call go first, and then those that were silent for longest.
    fn thin(&mut self) {
        self.remove_if(|stack| stack.frames.is_empty());
        if self.stacks.len() > self.max_stacks / 2 {
            let mut used: Vec<u32> = self.stacks.iter().map(|stack| stack.used).collect();
            let (_, &mut median, _) = used.select_nth_unstable(self.stacks.len() / 2);
            let mut spare = self.max_stacks / 4;
            self.remove_if(|stack| {
                // Of those used last in the same sweep, no more than must go.
                let go = stack.used < median || stack.used == median && spare > 0;
                spare = spare.saturating_sub(usize::from(go));
                go
            });
        }
    }

    fn remove_if(&mut self, mut gone: impl FnMut(&Stack) -> bool) {
        let mut place = 0;
        while let Some(stack) = self.stacks.get(place) {
            if gone(stack) {
                self.remove(place);
            } else {
                place += 1;
            }
        }
    }

    fn remove(&mut self, place: usize) {
        let stack = self.stacks.swap_remove(place);
        self.index.remove(&stack.process);
        self.room -= stack.frames.capacity();
        if let Some(moved) = self.stacks.get(place)
            && let Some(index) = self.index.get_mut(&moved.process)
        {
            *index = place as u32;
        }
        self.last = None;
    }

    /// Looks at some of the stacks, each time at others: those of dead processes go, and the room of deep ones that are
    /// empty again.
    pub(crate) fn sweep(&mut self, is_alive: &mut dyn FnMut(ProcessId) -> bool) {
        const AT_ONCE: usize = 256;
        self.sweeps = self.sweeps.wrapping_add(1);
        for _ in 0..AT_ONCE.min(self.stacks.len()) {
            if self.swept >= self.stacks.len() {
                self.swept = 0;
            }
            let Some(stack) = self.stacks.get_mut(self.swept) else {
                break;
            };
            if !is_alive(stack.process) {
                self.remove(self.swept);
                continue;
            }
            if stack.frames.len() < stack.frames.capacity() / 4 {
                let before = stack.frames.capacity();
                stack.frames.shrink_to(before / 2);
                self.room -= before - stack.frames.capacity();
            }
            self.swept += 1;
        }
    }
}
