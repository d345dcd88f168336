//! The figures of the last minute, one sample a second.

use std::collections::VecDeque;
use std::time::Instant;

use crate::event::TimeNs;

/// Figures at one moment; all counts are since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sample {
    /// When.
    pub at: Instant,
    /// When, on the tape's clock.
    pub time: TimeNs,
    /// Records written to rings.
    pub recorded: u64,
    /// Records lost by rings.
    pub lost: u64,
    /// Bytes in rings.
    pub ring_bytes: usize,
    /// Events in the store.
    pub events: u64,
    /// Events that retention took away.
    pub evicted: u64,
    /// Bytes of the store.
    pub store_bytes: usize,
    /// CPU time of the native thread.
    pub cpu_ns: u64,
}

const KEPT: usize = 61;
/// Seconds over which the present rate is measured.
const RATE_SAMPLES: usize = 5;

#[derive(Debug, Default)]
pub(super) struct History {
    samples: VecDeque<Sample>,
}

impl History {
    pub(super) fn push(&mut self, sample: Sample) {
        if self.samples.len() == KEPT {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    pub(super) fn samples(&self) -> Vec<Sample> {
        self.samples.iter().copied().collect()
    }

    /// Events a second between a sample some seconds back and `now`, when `recorded` have been recorded.
    pub(super) fn per_second(&self, now: Instant, recorded: u64) -> f64 {
        let back = self.samples.len().saturating_sub(RATE_SAMPLES);
        let Some(from) = self.samples.get(back) else {
            return 0.0;
        };
        let seconds = now.saturating_duration_since(from.at).as_secs_f64();
        if seconds > 0.0 {
            recorded.saturating_sub(from.recorded) as f64 / seconds
        } else {
            0.0
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn keeps_a_minute_and_measures_the_rate_of_its_end() {
        let start = Instant::now();
        let mut history = History::default();
        assert_eq!(history.per_second(start, 5), 0.0);
        for second in 0..100 {
            history.push(Sample {
                at: start + Duration::from_secs(second),
                time: TimeNs(0),
                recorded: if second < 90 { 0 } else { (second - 90) * 10 },
                lost: 0,
                ring_bytes: 0,
                events: 0,
                evicted: 0,
                store_bytes: 0,
                cpu_ns: 0,
            });
        }
        assert_eq!(history.samples().len(), KEPT);
        assert_eq!(history.samples()[0].at, start + Duration::from_secs(39));
        assert_eq!(
            history.per_second(start + Duration::from_secs(100), 100),
            10.0
        );
    }
}
