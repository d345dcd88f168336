//! What capture knows of the states of one process in one module: whether the next change leads on from the last one.

use crate::event::AtomId;
use crate::sync::{AtomicU16, AtomicU32, Ordering};

/// The states of a process in one module, as far as they were recorded. Written by that process only; all orderings are
/// relaxed for the reason that [`Slot`](super::Slot) gives.
///
/// A chain holds while every change of the state is seen. What it holds by is the epoch of the settings it was begun under: 0
/// is never one, so a chain that was forgotten holds under none.
#[derive(Debug)]
#[repr(C)]
pub struct Chain {
    /// The module, or 0 for none.
    module: AtomicU32,
    epoch: AtomicU32,
    /// Of the state that was recorded last.
    fingerprint: AtomicU32,
    /// The depth of the call of the module that is outermost, and one more; 0 while there is none.
    frame: AtomicU16,
    /// Changes until the next check; and [`Self::CONTINUES`].
    until_check: AtomicU16,
}

/// How the outermost call of a module begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opened {
    /// Whether it is what a loop went on with, so that its state is the one that was recorded last.
    pub continues: bool,
}

impl Chain {
    /// The call that comes next is the loop itself.
    const CONTINUES: u16 = 1 << 15;
    /// The most changes between two checks.
    pub const MOST_UNCHECKED: u16 = Self::CONTINUES - 1;

    #[cfg(not(loom))]
    pub(super) const fn new() -> Chain {
        Chain {
            module: AtomicU32::new(0),
            epoch: AtomicU32::new(0),
            fingerprint: AtomicU32::new(0),
            frame: AtomicU16::new(0),
            until_check: AtomicU16::new(0),
        }
    }

    #[cfg(loom)]
    pub(super) fn new() -> Chain {
        Chain {
            module: AtomicU32::new(0),
            epoch: AtomicU32::new(0),
            fingerprint: AtomicU32::new(0),
            frame: AtomicU16::new(0),
            until_check: AtomicU16::new(0),
        }
    }

    #[inline]
    pub(super) fn is_of(&self, module: AtomId) -> bool {
        self.module.load(Ordering::Relaxed) == module.0
    }

    /// Whether nobody would miss it.
    pub(super) fn is_free(&self) -> bool {
        self.epoch.load(Ordering::Relaxed) == 0 && !self.is_open_below(u16::MAX)
    }

    /// Whether a call of the module is open that stands at less than this depth. One that stands deeper has been left, by a way
    /// that was not seen.
    #[inline]
    pub(super) fn is_open_below(&self, depth: u16) -> bool {
        let frame = self.frame.load(Ordering::Relaxed);
        frame != 0 && frame <= depth
    }

    /// Of this module from now on; what it was before is forgotten.
    pub(super) fn begin(&self, module: AtomId) {
        self.clear();
        self.module.store(module.0, Ordering::Relaxed);
    }

    pub(super) fn open(&self, depth: u16) -> Opened {
        self.frame.store(depth.saturating_add(1), Ordering::Relaxed);
        let until_check = self.until_check.load(Ordering::Relaxed);
        let continues = until_check & Self::CONTINUES != 0;
        if continues {
            self.until_check
                .store(until_check & !Self::CONTINUES, Ordering::Relaxed);
        }
        Opened { continues }
    }

    /// Closes the call at this depth, and those inside of it. Whether one was open.
    #[inline]
    pub(super) fn close(&self, depth: u16) -> bool {
        let was_open = self.frame.load(Ordering::Relaxed) > depth;
        if was_open {
            self.frame.store(0, Ordering::Relaxed);
        }
        was_open
    }

    pub(super) fn clear(&self) {
        self.module.store(0, Ordering::Relaxed);
        self.frame.store(0, Ordering::Relaxed);
        self.forget();
    }

    /// What was recorded is no longer known to be what the process holds.
    pub fn forget(&self) {
        self.epoch.store(0, Ordering::Relaxed);
        self.fingerprint.store(0, Ordering::Relaxed);
        self.until_check.store(0, Ordering::Relaxed);
    }

    /// Whether a state was recorded under this epoch, and its changes were seen since.
    #[inline]
    #[must_use]
    pub fn holds(&self, epoch: u32) -> bool {
        self.epoch.load(Ordering::Relaxed) == epoch
    }

    /// Whether the state that was recorded last is, as far as is known, the one of this fingerprint.
    #[inline]
    #[must_use]
    pub fn leads_to(&self, epoch: u32, fingerprint: u32) -> bool {
        self.holds(epoch) && self.fingerprint.load(Ordering::Relaxed) == fingerprint
    }

    /// A change was recorded that leads on to the state of this fingerprint. Whether a check is due.
    #[inline]
    pub fn advance(&self, fingerprint: u32) -> bool {
        self.fingerprint.store(fingerprint, Ordering::Relaxed);
        let until_check = self.until_check.load(Ordering::Relaxed);
        if until_check & Self::MOST_UNCHECKED <= 1 {
            return true;
        }
        self.until_check.store(until_check - 1, Ordering::Relaxed);
        false
    }

    /// A whole state of this fingerprint was recorded; the next check is due after so many changes.
    pub fn renew(&self, epoch: u32, fingerprint: u32, until_check: u16) {
        self.epoch.store(epoch, Ordering::Relaxed);
        self.fingerprint.store(fingerprint, Ordering::Relaxed);
        self.check_after(until_check);
    }

    /// The next check is due after so many changes.
    pub fn check_after(&self, until_check: u16) {
        self.until_check.store(
            until_check.clamp(1, Self::MOST_UNCHECKED),
            Ordering::Relaxed,
        );
    }

    /// The loop goes on: its next call begins with the state that was recorded last.
    pub fn go_on(&self) {
        let until_check = self.until_check.load(Ordering::Relaxed);
        self.until_check
            .store(until_check | Self::CONTINUES, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_chain_holds_until_it_is_forgotten_or_the_epoch_changes() {
        let chain = Chain::new();
        assert!(!chain.holds(1) && !chain.leads_to(1, 0));
        chain.renew(1, 7, 16);
        assert!(chain.holds(1) && chain.leads_to(1, 7));
        assert!(!chain.leads_to(1, 8), "another state");
        assert!(!chain.leads_to(2, 7), "another epoch");
        chain.advance(8);
        assert!(chain.leads_to(1, 8));
        chain.forget();
        assert!(!chain.holds(1) && !chain.leads_to(1, 8) && !chain.leads_to(1, 0));
    }

    #[test]
    fn a_check_is_due_after_as_many_changes_as_were_asked_for() {
        let chain = Chain::new();
        for changes in [1, 2, 16, u16::MAX] {
            chain.renew(1, 0, changes);
            let wait = (0..).take_while(|_| !chain.advance(0)).count();
            assert_eq!(wait, usize::from(changes.min(Chain::MOST_UNCHECKED)) - 1);
            assert!(chain.advance(0), "until it was done");
        }
    }

    #[test]
    fn a_loop_goes_on_once() {
        let chain = Chain::new();
        chain.begin(AtomId(5));
        chain.renew(1, 0, 3);
        assert!(!chain.open(0).continues);
        chain.go_on();
        assert!(chain.close(0));
        assert!(chain.open(0).continues);
        assert!(!chain.open(0).continues);
        assert!(!chain.advance(0) && !chain.advance(0) && chain.advance(0));
    }

    #[test]
    fn a_chain_is_a_quarter_of_a_slot() {
        assert_eq!(size_of::<Chain>(), 16);
    }
}
