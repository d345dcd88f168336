//! What processes have to do with each other: who was spawned by whom, who waits for an answer, and whose mailbox may hold
//! messages that nobody knows of.

use super::{Origin, Stacks};
use crate::event::{CorrelationId, ProcessId, TimeNs};
use crate::ingest::newcomers::Newcomer;
use crate::record::RecordHead;

impl Stacks {
    /// The outermost call of a process began then.
    pub(crate) fn began(&self, process: ProcessId) -> Option<TimeNs> {
        let place = *self.index.get(&process)? as usize;
        let first = self.stacks.get(place)?.frames.first()?;
        (first.depth == 0).then_some(first.time)
    }

    /// A record that tells of the one before it: it has a number like any other, and says nothing of calls.
    pub(crate) fn count(&mut self, head: &RecordHead, time: TimeNs) {
        if let Some(stack) = self.get_mut(head.process) {
            stack.count(head, time);
        }
    }

    /// When a record of a process was found to be missing last.
    pub(crate) fn gap_of(&self, process: ProcessId) -> TimeNs {
        let place = self.index.get(&process);
        let stack = place.and_then(|&place| self.stacks.get(place as usize));
        stack.map_or(TimeNs(i64::MIN), |stack| stack.gap)
    }

    /// A process was spawned and goes back to `root`. If it was heard of before, it is `known` as a newcomer: else it is
    /// older than that, whatever was told.
    pub(crate) fn spawned(
        &mut self,
        process: ProcessId,
        root: CorrelationId,
        known: Option<&Newcomer>,
    ) {
        let lost = self.lost;
        let origin = match root.some() {
            Some(root) => Origin::Spawned(root),
            None => Origin::Past,
        };
        let known_stack = self.get_mut(process).filter(|stack| !stack.is_silent);
        if let Some(stack) = known_stack {
            if stack.origin == Origin::Unknown {
                stack.origin = known.map_or(Origin::Past, |_| origin);
            }
            // The call that it is in began before its birth was told.
            let own = CorrelationId(stack.root);
            let mut roots = known.into_iter().flat_map(Newcomer::roots);
            if root.is_some() && stack.resolved == own && roots.any(|first| first == own) {
                stack.resolved = root;
            }
        } else {
            if !self.index.contains_key(&process) {
                self.add(process);
            }
            if let Some(stack) = self.get_mut(process) {
                stack.is_silent = false;
                stack.origin = origin;
                stack.lost = lost;
            }
        }
    }

    /// Of a process that was spawned while records were lost: any of them may have been a message to it.
    pub(crate) fn may_have_got_all_lost(&mut self, process: ProcessId) {
        if let Some(stack) = self.get_mut(process)
            && stack.frames.is_empty()
        {
            stack.lost = 0;
        }
    }

    /// Whether nothing was lost since a process was spawned that goes back to whoever did so.
    pub(crate) fn is_sure_of_origin(&self, process: ProcessId) -> bool {
        let stack = self.index.get(&process);
        let stack = stack.and_then(|&place| self.stacks.get(place as usize));
        stack.is_some_and(|stack| stack.lost == self.lost)
    }

    /// A process sent a request and waits for the answer.
    pub(crate) fn waits(&mut self, process: ProcessId, request: u32) {
        if let Some(stack) = self.get_mut(process)
            && !stack.is_silent
        {
            stack.waits = request;
        }
    }

    /// A message to a process was forgotten.
    pub(crate) fn forgot(&mut self, receiver: ProcessId, time: TimeNs) {
        if let Some(stack) = self.get_mut(receiver) {
            stack.unknown = stack.unknown.saturating_add(1);
            self.unknown_until = self.unknown_until.max(time);
        }
    }

    /// A process handles a message that could be one of some known ones, the oldest of which was sent at `oldest`. Whether it
    /// may as well be one that is equal, but that nobody knows of.
    ///
    /// A mailbox is handled in its order. Of as many messages as may be unknown, all handled since, either each was unknown, or
    /// one was a known one that was sent after all of these: the next one is known in any case.
    pub(crate) fn may_be_unknown(
        &mut self,
        process: ProcessId,
        oldest: TimeNs,
        now: TimeNs,
    ) -> bool {
        /// No message waits for longer.
        const WAIT_NS: i64 = 60_000_000_000;
        if now.0.saturating_sub(self.unknown_until.0) >= WAIT_NS {
            return false;
        }
        let (lost, doubt_until) = (self.lost, self.doubt_until);
        let Some(stack) = self.get_mut(process) else {
            return lost > 0;
        };
        let more = lost.wrapping_sub(stack.lost);
        let unknown = stack.unknown.saturating_add(more);
        stack.lost = lost;
        stack.unknown = unknown - u32::from(unknown > 0 && oldest > doubt_until);
        unknown > 0
    }
}
