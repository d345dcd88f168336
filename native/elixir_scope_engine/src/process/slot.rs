//! What capture knows of one process.

use super::chain::{Chain, Opened};
use crate::event::{AtomId, CorrelationId, ProcessId, SiteId};
use crate::record::RecordHead;
use crate::sync::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

/// One process. Written by that process only, but for what says otherwise, so all orderings are relaxed: what a process
/// wrote on one scheduler it sees on the next through the host's own hand-over.
///
/// Depth, sampling and correlation belong to one run of the recorder, told by its generation; what an older one left is not
/// seen. Mutes, and the sequence of states, outlast recorders.
///
/// One cache line, so that a call touches no other.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Slot {
    /// The process, or 0.
    pub(super) key: AtomicU64,
    correlation: AtomicU64,
    generation: AtomicU32,
    state_sequence: AtomicU32,
    muted: AtomicU16,
    sequence: AtomicU16,
    depth: AtomicU16,
    is_sampled: AtomicU8,
    wants_keyframe: AtomicU8,
    /// The states of the process, by module.
    chains: [Chain; 2],
}

/// Where a process stands in its calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entered {
    /// How many calls it is in; at [`Slot::enter`], not counting the one entered.
    pub depth: u16,
    /// The causal root; [`CorrelationId::NONE`] outside of any call.
    pub correlation: CorrelationId,
    /// Whether the outermost call was sampled; true outside of any call.
    pub is_sampled: bool,
}

impl Slot {
    /// All zeros.
    #[cfg(not(loom))]
    pub(super) const fn new() -> Slot {
        Slot {
            key: AtomicU64::new(0),
            correlation: AtomicU64::new(0),
            generation: AtomicU32::new(0),
            state_sequence: AtomicU32::new(0),
            muted: AtomicU16::new(0),
            sequence: AtomicU16::new(0),
            depth: AtomicU16::new(0),
            is_sampled: AtomicU8::new(0),
            wants_keyframe: AtomicU8::new(0),
            chains: [const { Chain::new() }; 2],
        }
    }

    #[cfg(loom)]
    pub(super) fn new() -> Slot {
        Slot {
            key: AtomicU64::new(0),
            correlation: AtomicU64::new(0),
            generation: AtomicU32::new(0),
            state_sequence: AtomicU32::new(0),
            muted: AtomicU16::new(0),
            sequence: AtomicU16::new(0),
            depth: AtomicU16::new(0),
            is_sampled: AtomicU8::new(0),
            wants_keyframe: AtomicU8::new(0),
            chains: [Chain::new(), Chain::new()],
        }
    }

    /// The process that it belongs to.
    #[must_use]
    pub fn process(&self) -> ProcessId {
        ProcessId(self.key.load(Ordering::Relaxed))
    }

    /// The process enters a call. At the outermost one `sample` decides whether it is recorded, and `correlation` names its
    /// causal root. Calls nested deeper than can be counted all bear the greatest depth.
    #[inline]
    pub fn enter(
        &self,
        generation: u32,
        sample: impl FnOnce() -> bool,
        correlation: impl FnOnce() -> CorrelationId,
    ) -> Entered {
        let now = self.current(generation);
        if now.depth == 0 {
            let (is_sampled, correlation) = (sample(), correlation());
            self.generation.store(generation, Ordering::Relaxed);
            self.depth.store(1, Ordering::Relaxed);
            self.is_sampled
                .store(u8::from(is_sampled), Ordering::Relaxed);
            self.correlation.store(correlation.0, Ordering::Relaxed);
            self.close_chains(0);
            return Entered {
                depth: 0,
                correlation,
                is_sampled,
            };
        }
        self.depth
            .store((now.depth + 1).min(Self::DEEPEST), Ordering::Relaxed);
        now
    }

    /// The process leaves the call that it entered at `depth`, and with it all those inside whose end was not seen. Gives
    /// what held inside of the call, with the depth of its entry.
    #[inline]
    pub fn exit(&self, generation: u32, depth: u16) -> Entered {
        let now = self.current(generation);
        if now.depth > depth {
            self.depth.store(depth, Ordering::Relaxed);
        }
        Entered { depth, ..now }
    }

    /// Says of the outermost call, which has just been left, that it was left by the tail call at `place`: what that leads to is
    /// part of it, to the program. In the room of the causal root, which is none outside of any call.
    pub fn leave_by_tail(&self, generation: u32, place: SiteId, is_sampled: bool) {
        if self.current(generation).depth == 0 {
            let tail = Self::TAIL | u64::from(is_sampled) << 32 | u64::from(place.0);
            self.correlation.store(tail, Ordering::Relaxed);
        }
    }

    /// The place of the tail call by which the last outermost call was left, and whether that was sampled.
    #[must_use]
    pub fn left_by_tail(&self, generation: u32) -> Option<(SiteId, bool)> {
        let tail = self.correlation.load(Ordering::Relaxed);
        let is_left = self.generation.load(Ordering::Relaxed) == generation
            && self.depth.load(Ordering::Relaxed) == 0
            && tail & Self::TAIL != 0;
        is_left.then_some((SiteId(tail as u32), tail >> 32 & 1 == 1))
    }

    /// No causal root that a process has bears this bit.
    const TAIL: u64 = 1 << 63;

    /// Where the process stands.
    #[inline]
    #[must_use]
    pub fn current(&self, generation: u32) -> Entered {
        let depth = self.depth.load(Ordering::Relaxed);
        if depth == 0 || self.generation.load(Ordering::Relaxed) != generation {
            return Entered {
                depth: 0,
                correlation: CorrelationId::NONE,
                is_sampled: true,
            };
        }
        Entered {
            depth,
            correlation: CorrelationId(self.correlation.load(Ordering::Relaxed)),
            is_sampled: self.is_sampled.load(Ordering::Relaxed) != 0,
        }
    }

    /// The greatest depth that is told apart from no depth at all, with one more call inside.
    const DEEPEST: u16 = RecordHead::NO_DEPTH - 1;

    /// In `muted`: for the rest of its life.
    const FOR_LIFE: u16 = 1 << 15;

    /// Nothing that this process does is recorded until [`unmute`](Slot::unmute) was called as often as this.
    pub fn mute(&self) {
        let _ = self
            .muted
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
                (n | Self::FOR_LIFE != u16::MAX).then(|| n + 1)
            });
    }

    /// Nothing of this process is recorded any more, neither what it does nor what befalls it.
    pub fn mute_for_life(&self) {
        self.muted.fetch_or(Self::FOR_LIFE, Ordering::Relaxed);
    }

    /// Takes one [`mute`](Slot::mute) back. One too many does nothing.
    pub fn unmute(&self) {
        let _ = self
            .muted
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
                (n & !Self::FOR_LIFE != 0).then(|| n - 1)
            });
    }

    /// Whether nothing that this process does is to be recorded.
    #[inline]
    #[must_use]
    pub fn is_muted(&self) -> bool {
        self.muted.load(Ordering::Relaxed) != 0
    }

    /// Whether nothing of this process is to be recorded, ever.
    #[inline]
    #[must_use]
    pub fn is_muted_for_life(&self) -> bool {
        self.muted.load(Ordering::Relaxed) & Self::FOR_LIFE != 0
    }

    /// Numbers one more event of the process.
    #[inline]
    pub fn next_record(&self) -> u16 {
        self.next_records(1)
    }

    /// Numbers so many of them, and gives the number of the last one.
    #[inline]
    pub fn next_records(&self, events: u32) -> u16 {
        let last = self.sequence.load(Ordering::Relaxed);
        let next = (0..events).fold(last, |last, _| RecordHead::next_sequence(last));
        self.sequence.store(next, Ordering::Relaxed);
        next
    }

    /// The number of its newest record.
    #[must_use]
    pub fn newest_record(&self) -> u16 {
        self.sequence.load(Ordering::Relaxed)
    }

    /// How many state changes were counted.
    #[must_use]
    pub fn state_sequence(&self) -> u32 {
        self.state_sequence.load(Ordering::Relaxed)
    }

    /// Counts one more state change, and gives its number, from 1.
    pub fn next_state_sequence(&self) -> u32 {
        let next = self.state_sequence.load(Ordering::Relaxed).wrapping_add(1);
        self.state_sequence.store(next, Ordering::Relaxed);
        next
    }

    /// Asks, from any thread, that the process record its whole state next time.
    pub fn want_keyframe(&self) {
        self.wants_keyframe.store(1, Ordering::Relaxed);
    }

    /// Whether a whole state is asked for.
    #[must_use]
    pub fn is_keyframe_wanted(&self) -> bool {
        self.wants_keyframe.load(Ordering::Relaxed) != 0
    }

    /// Whether a whole state was asked for; not any more, then.
    pub fn take_keyframe_wanted(&self) -> bool {
        self.is_keyframe_wanted() && self.wants_keyframe.swap(0, Ordering::Relaxed) != 0
    }

    /// The process enters a call of `module` at this depth, and may leave it with a new state. `None` if it is in such a call
    /// already, whose state this one only prepares, or if the chains are those of two other modules that it is in.
    pub fn open_chain(&self, module: AtomId, depth: u16) -> Option<Opened> {
        let chain = match self.chain(module) {
            Some(chain) if chain.is_open_below(depth) => return None,
            Some(chain) => chain,
            None => {
                let chain = self.chain_to_take(depth)?;
                chain.begin(module);
                chain
            }
        };
        Some(chain.open(depth))
    }

    /// An unused chain; the second one otherwise, so that of many modules that take turns the first one keeps its own.
    fn chain_to_take(&self, depth: u16) -> Option<&Chain> {
        let is_left = |chain: &&Chain| !chain.is_open_below(depth);
        let mut chains = self.chains.iter();
        chains
            .find(|chain| chain.is_free())
            .or_else(|| self.chains.iter().rev().find(is_left))
    }

    /// The chain of a module, outside of its calls; taken over from another one if need be, and `None` where calls of two other
    /// modules are open.
    #[must_use]
    pub fn chain_of(&self, module: AtomId) -> Option<&Chain> {
        self.chain(module).or_else(|| {
            let chain = self.chain_to_take(u16::MAX)?;
            chain.begin(module);
            Some(chain)
        })
    }

    /// The chain of a module, if there is one.
    #[inline]
    #[must_use]
    pub fn chain(&self, module: AtomId) -> Option<&Chain> {
        self.chains.iter().find(|chain| chain.is_of(module))
    }

    /// The process leaves the call that it entered at `depth`.
    #[inline]
    pub fn close_chains(&self, depth: u16) {
        for chain in &self.chains {
            chain.close(depth);
        }
    }

    /// The same where nobody saw with which state.
    #[cold]
    pub fn break_chains(&self, depth: u16) {
        for chain in &self.chains {
            if chain.close(depth) {
                chain.forget();
            }
        }
    }

    /// A call of `module` is entered of which nothing is seen.
    #[cold]
    pub fn forget_chain(&self, module: AtomId) {
        if let Some(chain) = self.chain(module) {
            chain.forget();
        }
    }

    /// Forgets all about its process, before another one gets it.
    pub(super) fn clear(&self) {
        self.correlation.store(0, Ordering::Relaxed);
        self.generation.store(0, Ordering::Relaxed);
        self.state_sequence.store(0, Ordering::Relaxed);
        self.muted.store(0, Ordering::Relaxed);
        self.sequence.store(0, Ordering::Relaxed);
        self.depth.store(0, Ordering::Relaxed);
        self.is_sampled.store(0, Ordering::Relaxed);
        self.wants_keyframe.store(0, Ordering::Relaxed);
        self.chains.iter().for_each(Chain::clear);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn root(number: u64) -> impl FnOnce() -> CorrelationId {
        move || CorrelationId(number)
    }

    #[test]
    fn a_call_inside_of_another_keeps_its_root_and_its_sampling() {
        let slot = Slot::new();
        let outer = slot.enter(1, || false, root(7));
        let inner = slot.enter(1, || true, root(8));
        assert_eq!(
            outer,
            Entered {
                depth: 0,
                correlation: CorrelationId(7),
                is_sampled: false
            }
        );
        assert_eq!(inner, Entered { depth: 1, ..outer });
        assert_eq!(slot.current(1).depth, 2);
        assert_eq!(slot.exit(1, 1), inner);
        assert_eq!(slot.exit(1, 0), outer);
        assert_eq!(slot.current(1).correlation, CorrelationId::NONE);
        assert_eq!(
            slot.enter(1, || true, root(9)).correlation,
            CorrelationId(9)
        );
    }

    #[test]
    fn an_exit_that_was_not_seen_heals() {
        let slot = Slot::new();
        for _ in 0..5 {
            slot.enter(1, || true, root(1));
        }
        assert_eq!(slot.exit(1, 2).depth, 2);
        assert_eq!(slot.current(1).depth, 2);
        assert_eq!(slot.exit(1, 4).depth, 4, "an exit of a call that is gone");
        assert_eq!(slot.current(1).depth, 2);
    }

    #[test]
    fn what_an_older_recorder_left_is_not_seen_but_mutes_are() {
        let slot = Slot::new();
        slot.enter(1, || true, root(1));
        slot.mute();
        assert_eq!(slot.current(2).depth, 0);
        assert_eq!(slot.exit(2, 0).correlation, CorrelationId::NONE);
        assert_eq!(
            slot.enter(2, || true, root(2)).correlation,
            CorrelationId(2)
        );
        assert!(slot.is_muted());
        slot.unmute();
        slot.unmute();
        assert!(!slot.is_muted());
    }

    #[test]
    fn a_mute_for_life_is_not_taken_back() {
        let slot = Slot::new();
        slot.mute();
        assert!(!slot.is_muted_for_life());
        slot.mute_for_life();
        slot.unmute();
        slot.unmute();
        assert!(slot.is_muted() && slot.is_muted_for_life());
        (0..70_000).for_each(|_| slot.mute());
        (0..70_000).for_each(|_| slot.unmute());
        assert!(slot.is_muted() && slot.is_muted_for_life());
        slot.clear();
        assert!(!slot.is_muted());
    }

    #[test]
    fn depth_ends_at_the_greatest_that_is_not_none() {
        let slot = Slot::new();
        let mut deepest = 0;
        for _ in 0..70_000 {
            deepest = slot.enter(1, || true, root(1)).depth;
        }
        assert_eq!(deepest, RecordHead::NO_DEPTH - 1);
        slot.exit(1, 3);
        assert_eq!(slot.current(1).depth, 3);
    }

    #[test]
    fn a_keyframe_is_asked_for_once() {
        let slot = Slot::new();
        assert!(!slot.take_keyframe_wanted());
        slot.want_keyframe();
        assert!(slot.take_keyframe_wanted());
        assert!(!slot.take_keyframe_wanted());
        assert_eq!(
            (slot.next_state_sequence(), slot.next_state_sequence()),
            (1, 2)
        );
    }

    const A: AtomId = AtomId(11);
    const B: AtomId = AtomId(12);
    const C: AtomId = AtomId(13);

    #[test]
    fn the_outermost_call_of_a_module_has_its_chain() {
        let slot = Slot::new();
        assert!(slot.open_chain(A, 0).is_some());
        assert!(slot.open_chain(A, 1).is_none(), "inside of itself");
        assert!(slot.open_chain(B, 1).is_some(), "another module inside");
        assert!(slot.open_chain(A, 2).is_none());
        assert!(slot.open_chain(C, 2).is_none(), "both are in use");
        slot.close_chains(1);
        assert!(slot.open_chain(C, 1).is_some(), "one is not any more");
        slot.close_chains(1);
        slot.close_chains(0);
        assert!(slot.open_chain(A, 0).is_some());
    }

    #[test]
    fn a_call_whose_end_was_not_seen_keeps_nobody_out() {
        let slot = Slot::new();
        slot.enter(1, || true, root(1));
        assert!(slot.open_chain(A, 1).is_some());
        assert!(slot.open_chain(A, 1).is_some(), "at the same depth");
        assert!(slot.open_chain(A, 0).is_some(), "further out");
        slot.exit(1, 0);
        slot.enter(1, || true, root(2));
        assert!(slot.open_chain(A, 1).is_some(), "after an outermost call");
    }

    #[test]
    fn modules_that_take_turns_leave_the_first_one_its_chain() {
        let slot = Slot::new();
        if slot.open_chain(A, 0).is_some()
            && let Some(chain) = slot.chain(A)
        {
            chain.renew(1, 7, 16);
        }
        for module in [A, B, C, B, C, A] {
            assert!(slot.open_chain(module, 0).is_some());
            if let Some(chain) = slot.chain(module) {
                assert_eq!(chain.leads_to(1, 7), module == A);
                chain.renew(1, 7, 16);
            }
            slot.close_chains(0);
        }
        assert!(slot.chain(B).is_none() && slot.chain(C).is_some());
    }

    #[test]
    fn a_state_that_nobody_saw_breaks_the_chain_of_its_module_alone() {
        let slot = Slot::new();
        for (module, depth) in [(A, 0), (B, 1)] {
            slot.open_chain(module, depth);
            if let Some(chain) = slot.chain(module) {
                chain.renew(1, 7, 16);
            }
        }
        let known = |module| slot.chain(module).is_some_and(|chain| chain.holds(1));
        slot.break_chains(1);
        assert!(known(A) && !known(B));
        slot.forget_chain(A);
        assert!(!known(A));
    }

    #[test]
    fn a_slot_is_a_cache_line() {
        assert_eq!((size_of::<Slot>(), align_of::<Slot>()), (64, 64));
    }
}
