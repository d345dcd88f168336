//! How much time whole states may take that the program did not ask for.
//!
//! A whole state is written when a process begins, when its chain broke, and as a check, which is paid for by the changes before
//! it. Beside these, a change may be too large for a delta, or ingest asks for a whole state to heal what it doubts. Each of them
//! may take milliseconds, and a program can make changes of that sort all the time. So they take a fiftieth of the time of a
//! thread, over some while: with nothing left, the state is said to be unknown until there is.

use std::cell::Cell;

/// What is put by at most, in nanoseconds: a few large states at once.
const MOST_NS: i64 = 10_000_000;
/// Of so many nanoseconds one is put by.
const SHARE: i64 = 50;
/// What takes less is not counted: small states are never in want.
const SMALL_NS: i64 = 100_000;

/// What one thread has put by.
#[derive(Debug)]
pub struct Thrift {
    left_ns: Cell<i64>,
    /// When that was so.
    at_ns: Cell<i64>,
}

impl Default for Thrift {
    fn default() -> Self {
        Thrift {
            left_ns: Cell::new(MOST_NS),
            at_ns: Cell::new(i64::MIN),
        }
    }
}

impl Thrift {
    /// Whether something is left at this time.
    pub fn allows(&self, now_ns: i64) -> bool {
        let since = now_ns.saturating_sub(self.at_ns.get()).max(0);
        let left = self.left_ns.get().saturating_add(since / SHARE);
        self.left_ns.set(left.min(MOST_NS));
        self.at_ns.set(now_ns);
        left > 0
    }

    /// So long it took.
    pub fn spend(&self, took_ns: i64) {
        if took_ns > SMALL_NS {
            self.left_ns.set(self.left_ns.get().saturating_sub(took_ns));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_states_take_a_fiftieth_of_the_time() {
        let thrift = Thrift::default();
        let (took, every) = (5_000_000, 1_000_000);
        let seconds = 20;
        let mut written = 0;
        for now in (0..seconds * 1_000_000_000).step_by(every) {
            if thrift.allows(now) {
                thrift.spend(took);
                written += 1;
            }
        }
        let fiftieth = seconds * 1_000_000_000 / SHARE / took;
        assert!((fiftieth..=fiftieth + 3).contains(&written), "{written}");
    }

    #[test]
    fn small_states_are_never_in_want() {
        let thrift = Thrift::default();
        for _ in 0..1_000_000 {
            assert!(thrift.allows(7));
            thrift.spend(SMALL_NS);
        }
    }

    #[test]
    fn what_was_not_used_is_put_by_up_to_a_bound() {
        let thrift = Thrift::default();
        assert!(thrift.allows(0));
        thrift.spend(MOST_NS);
        assert!(!thrift.allows(0));
        assert!(thrift.allows(i64::MAX));
        thrift.spend(MOST_NS);
        assert!(!thrift.allows(i64::MAX));
    }
}
