//! The room of the stacks: who gets one, and who loses it when there are too many.

use super::{Origin, Stack, Stacks};
use crate::event::{CorrelationId, ProcessId, TimeNs};
use crate::record::RecordHead;

const NEVER: TimeNs = TimeNs(i64::MIN);
/// Stands for a process that was heard of before, so that records of it may be missing.
const NOT_SEEN: TimeNs = TimeNs(i64::MAX);

impl Stacks {
    #[cold]
    pub(super) fn add(&mut self, process: ProcessId) -> Option<usize> {
        if self.stacks.len() >= self.max_stacks {
            self.thin();
            self.is_thinned = true;
        }
        let place = self.stacks.len();
        self.stacks.push(Stack {
            process,
            root: 0,
            resolved: CorrelationId::NONE,
            origin: Origin::Unknown,
            serves: false,
            sequence: 0,
            frames: Vec::new(),
            used: self.sweeps,
            waits: 0,
            unknown: 0,
            lost: 0,
            is_silent: false,
            gap: if self.is_thinned { NOT_SEEN } else { NEVER },
        });
        self.index.insert(process, u32::try_from(place).ok()?);
        self.last = Some(place);
        Some(place)
    }

    /// From now on the numbers of a process's records are looked at. Answers when one was found to be missing last.
    pub(crate) fn heed(&mut self, head: &RecordHead, time: TimeNs) -> TimeNs {
        let found = match self.index.get(&head.process) {
            Some(&place) => Some(place as usize),
            None => {
                let added = self.add(head.process);
                if let Some(stack) = added.and_then(|place| self.stacks.get_mut(place)) {
                    stack.is_silent = true;
                }
                added
            }
        };
        let stack = found.and_then(|place| self.stacks.get_mut(place));
        let Some(stack) = stack.filter(|_| head.sequence != 0) else {
            return time;
        };
        if stack.gap == NOT_SEEN {
            stack.gap = if head.sequence == 1 { NEVER } else { time };
        }
        stack.sequence = head.sequence;
        stack.gap
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

    /// So many are looked at in one sweep.
    const SWEPT: usize = 256;

    /// The processes that the next sweep will ask for, if none is added or goes before.
    pub(crate) fn swept_next(&self) -> impl Iterator<Item = ProcessId> {
        let first = match self.swept {
            place if place < self.stacks.len() => place,
            _ => 0,
        };
        let around = self.stacks.iter().cycle().skip(first);
        around
            .take(Self::SWEPT.min(self.stacks.len()))
            .map(|stack| stack.process)
    }

    /// Looks at some of the stacks, each time at others: those of dead processes go, and the room of deep ones that are
    /// empty again.
    pub(crate) fn sweep(&mut self, is_alive: &mut dyn FnMut(ProcessId) -> bool) {
        self.sweeps = self.sweeps.wrapping_add(1);
        for _ in 0..Self::SWEPT.min(self.stacks.len()) {
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
