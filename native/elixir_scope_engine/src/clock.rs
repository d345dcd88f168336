//! The tape's clock: a raw counter at capture, nanoseconds on the host's monotonic time line at ingest.
//!
//! A table of anchors maps ticks to nanoseconds, piecewise linear and monotone. Each new anchor lies on the old line at a
//! tick that is still ahead, and only the slope behind it changes: the clock slews towards the host's time and never jumps,
//! and a conversion once made gives the same answer ever after (for as long as the table reaches back, about a minute;
//! ingest converts each record once).

mod counter;

use crate::event::{Ticks, TimeNs};
use crate::sync::{AtomicU64, Mutex, Ordering, fence};
use counter::Counter;
#[cfg(not(loom))]
pub(crate) use counter::wait_for_instructions;

/// Converts [`Ticks`] to [`TimeNs`]. Shared by writers, ingest and whoever asks for the time.
#[derive(Debug)]
pub struct Clock {
    counter: Counter,
    /// How many anchors were ever set.
    count: AtomicU64,
    anchors: [Anchor; ANCHORS],
    skew_ns: AtomicU64,
    slew: Mutex<Slew>,
}

const ANCHORS: usize = if cfg!(loom) { 2 } else { 64 };
/// How far ahead a new anchor takes effect.
const AHEAD_NS: u64 = 5_000_000;
/// An error is to be gone after this time.
const HORIZON_NS: f64 = 1e9;
/// Anchors are set this often once the clock has settled.
const INTERVAL_NS: u64 = 1_000_000_000;
/// A rate is measured over at least this time, when there was as much.
const BASELINE_NS: i64 = 20_000_000_000;
/// Fraction bits of a slope.
const SHIFT: u32 = 32;

#[derive(Debug)]
struct Anchor {
    ticks: AtomicU64,
    ns: AtomicU64,
    /// Nanoseconds per tick, times 2^[`SHIFT`].
    slope: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
struct Line {
    ticks: u64,
    ns: i64,
    slope: u64,
}

impl Line {
    fn at(self, ticks: u64) -> i64 {
        let scale = |ticks: u64| ((u128::from(ticks) * u128::from(self.slope)) >> SHIFT) as i64;
        if ticks >= self.ticks {
            self.ns.wrapping_add(scale(ticks - self.ticks))
        } else {
            self.ns.wrapping_sub(scale(self.ticks - ticks))
        }
    }
}

/// The host's time at a tick, and how far off the pair can be.
#[derive(Clone, Copy, Debug)]
struct Sample {
    ticks: u64,
    ns: i64,
    uncertain_ticks: u64,
}

#[derive(Debug)]
struct Slew {
    /// Where the rate is measured from, and the sample that takes its place next.
    base: Sample,
    next_base: Sample,
    /// Nanoseconds per tick.
    rate: f64,
    due: u64,
    interval_ns: u64,
    errors: [u64; 16],
    adjustments: usize,
}

impl Clock {
    /// A clock on the best counter of this machine, set to the host's monotonic time. Takes about 2 ms, to learn the
    /// counter's rate.
    #[must_use]
    pub fn new(host_now: &dyn Fn() -> i64) -> Clock {
        Clock::on(Counter::best(), host_now)
    }

    fn on(counter: Counter, host_now: &dyn Fn() -> i64) -> Clock {
        let first = sample(&counter, host_now);
        std::thread::sleep(std::time::Duration::from_millis(2));
        let second = sample(&counter, host_now);
        let rate = rate(first, second).unwrap_or(1.0);
        let line = Line {
            ticks: second.ticks,
            ns: second.ns,
            slope: slope(rate),
        };
        let clock = Clock::with_line(counter, line);
        let uncertain = (second.uncertain_ticks as f64 * rate) as u64;
        clock
            .skew_ns
            .store(uncertain * 2 + 1_000, Ordering::Relaxed);
        *clock.slew.lock() = Slew {
            base: first,
            next_base: second,
            rate,
            due: second.ticks,
            interval_ns: 10_000_000,
            errors: [0; 16],
            adjustments: 0,
        };
        clock
    }

    /// A clock whose counter moves by one at each reading, starting at `ticks`, and whose ticks are nanoseconds. For
    /// models and tests that need to know the order of all readings.
    #[must_use]
    pub fn manual(ticks: u64) -> Clock {
        let line = Line {
            ticks: 0,
            ns: 0,
            slope: 1 << SHIFT,
        };
        Clock::with_line(Counter::Manual(AtomicU64::new(ticks)), line)
    }

    fn with_line(counter: Counter, line: Line) -> Clock {
        let anchor = |_| Anchor {
            ticks: AtomicU64::new(line.ticks),
            ns: AtomicU64::new(line.ns as u64),
            slope: AtomicU64::new(line.slope),
        };
        let none = Sample {
            ticks: 0,
            ns: 0,
            uncertain_ticks: 0,
        };
        Clock {
            counter,
            count: AtomicU64::new(1),
            anchors: std::array::from_fn(anchor),
            skew_ns: AtomicU64::new(0),
            slew: Mutex::new(Slew {
                base: none,
                next_base: none,
                rate: 1.0,
                due: u64::MAX,
                interval_ns: 0,
                errors: [0; 16],
                adjustments: 0,
            }),
        }
    }

    /// Reads the counter. The reading may move a little against its neighbours; behind a fence of the announce protocol
    /// it is in order.
    #[inline(always)]
    #[must_use]
    pub fn ticks(&self) -> Ticks {
        Ticks(self.counter.read())
    }

    /// Reads the counter, in order with what stands before and behind.
    #[must_use]
    pub fn ticks_ordered(&self) -> Ticks {
        Ticks(self.counter.read_ordered())
    }

    /// The instant of a reading.
    #[must_use]
    pub fn convert(&self, ticks: Ticks) -> TimeNs {
        TimeNs(self.line_of(ticks.0).at(ticks.0))
    }

    /// This instant: between the events recorded before and those recorded after this call.
    #[must_use]
    pub fn now(&self) -> TimeNs {
        self.convert(self.ticks_ordered())
    }

    /// The counter in use.
    #[must_use]
    pub fn source(&self) -> &'static str {
        self.counter.name()
    }

    /// The host's monotonic time and this clock agree within this many nanoseconds: twice the largest difference among
    /// the last sixteen measurements, the uncertainty of each included.
    #[must_use]
    pub fn skew_ns(&self) -> i64 {
        self.skew_ns.load(Ordering::Relaxed) as i64
    }

    /// Measures the difference to the host's time and slews towards it. Cheap when called often: it measures about once
    /// a second, in the beginning faster.
    pub fn adjust(&self, host_now: &dyn Fn() -> i64) {
        let mut slew = self.slew.lock();
        if self.counter.read() < slew.due {
            return;
        }
        let sample = sample(&self.counter, host_now);
        slew.learn_rate(sample);
        self.note_error(&mut slew, sample);

        let ahead_ns = AHEAD_NS.min(slew.interval_ns);
        // A new anchor must not stand where somebody has converted already: try again if we were kept from running.
        for _ in 0..8 {
            let at = self.counter.read() + (ahead_ns as f64 / slew.rate) as u64;
            let host_then =
                sample.ns + (at.saturating_sub(sample.ticks) as f64 * slew.rate).round() as i64;
            let ns = self.line_of(at).at(at);
            let error = (host_then - ns) as f64;
            // A millisecond is gone in about a second; more than that is the host's clock stepping, or a machine that
            // was moved: at most a tenth faster or slower.
            let most = if error.abs() < 1e6 { 1e-3 } else { 0.1 };
            let correction = (error / HORIZON_NS).clamp(-most, most);
            let line = Line {
                ticks: at,
                ns,
                slope: slope(slew.rate * (1.0 + correction)),
            };
            if self.counter.read() < at {
                self.push(line);
                break;
            }
        }
        slew.due = sample.ticks + (slew.interval_ns as f64 / slew.rate) as u64;
        slew.interval_ns = (slew.interval_ns * 2).min(INTERVAL_NS);
    }

    fn note_error(&self, slew: &mut Slew, sample: Sample) {
        let error = sample
            .ns
            .abs_diff(self.line_of(sample.ticks).at(sample.ticks));
        let uncertain = (sample.uncertain_ticks as f64 * slew.rate).ceil() as u64;
        let at = slew.adjustments % slew.errors.len();
        if let Some(slot) = slew.errors.get_mut(at) {
            *slot = error + uncertain;
        }
        slew.adjustments += 1;
        let worst = slew.errors.iter().copied().max().unwrap_or(0);
        self.skew_ns.store(worst * 2, Ordering::Relaxed);
    }

    /// Only under the lock of `slew`.
    fn push(&self, line: Line) {
        let count = self.count.load(Ordering::Relaxed);
        if let Some(anchor) = self.anchor(count) {
            // Release on each: a reader that sees one of them, and then looks at `count`, sees at least the count of
            // the round before, by which it knows that the slot was being reused.
            anchor.ticks.store(line.ticks, Ordering::Release);
            anchor.ns.store(line.ns as u64, Ordering::Release);
            anchor.slope.store(line.slope, Ordering::Release);
        }
        // Release: publishes the anchor.
        self.count.store(count + 1, Ordering::Release);
    }

    #[allow(clippy::indexing_slicing, reason = "a remainder of the length")]
    fn anchor(&self, number: u64) -> Option<&Anchor> {
        self.anchors.get(number as usize % ANCHORS)
    }

    /// The newest line that begins at or before `ticks`, or the oldest one kept.
    fn line_of(&self, ticks: u64) -> Line {
        loop {
            // Acquire: the anchors below the count are complete.
            let count = self.count.load(Ordering::Acquire);
            // The oldest one is left out: it is the next to be overwritten.
            let oldest = count.saturating_sub(ANCHORS as u64 - 1);
            let mut line = Line {
                ticks: 0,
                ns: 0,
                slope: 0,
            };
            for number in (oldest..count).rev() {
                let Some(anchor) = self.anchor(number) else {
                    break;
                };
                line = Line {
                    ticks: anchor.ticks.load(Ordering::Acquire),
                    ns: anchor.ns.load(Ordering::Acquire) as i64,
                    slope: anchor.slope.load(Ordering::Acquire),
                };
                if line.ticks <= ticks {
                    break;
                }
            }
            // As in a seqlock: what was read above is whole if the writer had not come round to it by now.
            fence(Ordering::Acquire);
            if self.count.load(Ordering::Relaxed) < oldest + ANCHORS as u64 {
                return line;
            }
        }
    }
}

impl Slew {
    /// Measures the rate over 20 to 40 s, or all the time that there was.
    fn learn_rate(&mut self, sample: Sample) {
        if sample.ns - self.next_base.ns >= BASELINE_NS {
            self.base = self.next_base;
            self.next_base = sample;
        }
        if let Some(rate) = rate(self.base, sample) {
            self.rate = rate;
        }
    }
}

/// The tightest of a few readings of the host's time between two readings of the counter.
fn sample(counter: &Counter, host_now: &dyn Fn() -> i64) -> Sample {
    let read = || {
        let before = counter.read_ordered();
        let ns = host_now();
        let after = counter.read_ordered();
        let window = after.saturating_sub(before);
        Sample {
            ticks: before + window / 2,
            ns,
            uncertain_ticks: window / 2 + 1,
        }
    };
    let mut best = read();
    for _ in 0..7 {
        let next = read();
        if next.uncertain_ticks <= best.uncertain_ticks {
            best = next;
        }
    }
    best
}

/// Nanoseconds per tick between two samples; `None` for what no counter does.
fn rate(from: Sample, to: Sample) -> Option<f64> {
    let ticks = to
        .ticks
        .checked_sub(from.ticks)
        .filter(|&ticks| ticks > 0)? as f64;
    let rate = (to.ns - from.ns) as f64 / ticks;
    (rate > 1e-4 && rate < 1e6).then_some(rate)
}

fn slope(rate: f64) -> u64 {
    ((rate * (1u64 << SHIFT) as f64).round() as u64).max(1)
}

#[cfg(all(test, not(loom)))]
mod tests;
