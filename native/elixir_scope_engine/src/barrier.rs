//! The fence between a writer that announces its bound and the drainer that reads it.
//!
//! Both sides need store-then-load order (Dekker). Writers are many and hot, the drainer is one and slow, so where Linux
//! offers `membarrier(2)` the drainer pays for both: the kernel interrupts every core that runs one of our threads, and the
//! writer is left with a fence for the compiler. See "Nothing arrives late" in DESIGN.md.

#![allow(unsafe_code, reason = "a system call that libc does not wrap")]

use crate::sync::{Ordering, fence};

/// How writers and the drainer keep their order. All rings of one recorder use one and the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Barrier {
    /// The drainer issues `membarrier`; a writer's side costs nothing.
    Asymmetric,
    /// A full fence on both sides.
    Fence,
}

impl Barrier {
    /// The cheapest one that works here. Registers this process with the kernel where it has to.
    #[must_use]
    pub fn register() -> Barrier {
        if membarrier::register() {
            Barrier::Asymmetric
        } else {
            Barrier::Fence
        }
    }

    /// The name for `status`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Barrier::Asymmetric => "membarrier",
            Barrier::Fence => "fence",
        }
    }

    /// The writer's side: the announcement before it is visible to the drainer before the counter is read after it.
    #[inline(always)]
    pub(crate) fn light(self) {
        #[cfg(not(loom))]
        match self {
            Barrier::Asymmetric => crate::sync::compiler_fence(Ordering::SeqCst),
            Barrier::Fence => {
                fence(Ordering::SeqCst);
                // The fence does not order the counter.
                crate::clock::wait_for_instructions();
            }
        }
        #[cfg(loom)]
        fence(Ordering::SeqCst);
    }

    /// The drainer's side: what a writer announced before it read a counter later than ours is visible afterwards. False
    /// when the kernel refused; then nothing may be concluded from the bounds.
    pub(crate) fn heavy(self) -> bool {
        fence(Ordering::SeqCst);
        match self {
            Barrier::Asymmetric => membarrier::issue(),
            Barrier::Fence => true,
        }
    }
}

#[cfg(all(target_os = "linux", not(loom)))]
mod membarrier {
    // linux/membarrier.h
    const QUERY: libc::c_int = 0;
    const PRIVATE_EXPEDITED: libc::c_int = 1 << 3;
    const REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;

    fn call(command: libc::c_int) -> libc::c_long {
        // SAFETY: membarrier takes three integers and touches no memory of ours; an unknown command or a kernel without
        // it answers an error.
        unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) }
    }

    pub(super) fn register() -> bool {
        let offered = call(QUERY);
        let wanted = libc::c_long::from(PRIVATE_EXPEDITED | REGISTER_PRIVATE_EXPEDITED);
        offered >= 0
            && offered & wanted == wanted
            && call(REGISTER_PRIVATE_EXPEDITED) == 0
            && call(PRIVATE_EXPEDITED) == 0
    }

    pub(super) fn issue() -> bool {
        call(PRIVATE_EXPEDITED) == 0
    }
}

#[cfg(not(all(target_os = "linux", not(loom))))]
mod membarrier {
    pub(super) fn register() -> bool {
        false
    }

    pub(super) fn issue() -> bool {
        false
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_registered_barrier_can_be_issued() {
        assert!(Barrier::register().heavy());
        assert!(Barrier::Fence.heavy());
    }
}
