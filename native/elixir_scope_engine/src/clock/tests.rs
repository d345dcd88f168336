#![allow(clippy::indexing_slicing, reason = "tests")]

use super::*;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// A host whose clock runs on the manual counter, at a rate and with an offset that the test changes.
struct Fake {
    clock: Clock,
    rate: Cell<f64>,
    base: Cell<(u64, f64)>,
}

impl Fake {
    fn new(rate: f64) -> Fake {
        let base = (1_000, -5e9);
        let at = move |ticks: u64| (base.1 + (ticks - base.0) as f64 * rate) as i64;
        let clock = Clock::manual(1_000);
        let first = Sample {
            ticks: 1_000,
            ns: at(1_000),
            uncertain_ticks: 1,
        };
        let second = Sample {
            ticks: 3_000_000,
            ns: at(3_000_000),
            uncertain_ticks: 1,
        };
        clock.set(3_000_000);
        clock.push(Line {
            ticks: 0,
            ns: at(1_000),
            slope: slope(rate),
        });
        clock.push(Line {
            ticks: second.ticks,
            ns: second.ns,
            slope: slope(rate),
        });
        *clock.slew.lock() = Slew {
            base: first,
            next_base: second,
            rate,
            due: 0,
            interval_ns: 10_000_000,
            errors: [0; 16],
            adjustments: 0,
        };
        Fake {
            clock,
            rate: Cell::new(rate),
            base: Cell::new((base.0, base.1)),
        }
    }

    fn ticks(&self) -> u64 {
        let Counter::Manual(ticks) = &self.clock.counter else {
            unreachable!()
        };
        ticks.load(Ordering::Relaxed)
    }

    fn host(&self) -> i64 {
        let (ticks, ns) = self.base.get();
        (ns + (self.ticks() - ticks) as f64 * self.rate.get()) as i64
    }

    fn change(&self, rate: f64, step_ns: f64) {
        let ns = self.host() as f64 + step_ns;
        self.base.set((self.ticks(), ns));
        self.rate.set(rate);
    }

    fn run(&self, ns: u64) {
        let ticks = (ns as f64 / self.rate.get()) as u64;
        for _ in 0..100 {
            self.clock.set(self.ticks() + ticks / 100);
            self.clock.adjust(&|| self.host());
        }
    }
}

impl Clock {
    fn set(&self, to: u64) {
        let Counter::Manual(ticks) = &self.counter else {
            unreachable!()
        };
        ticks.store(to, Ordering::Relaxed);
    }
}

#[test]
fn slews_to_a_host_that_changes_its_rate_and_steps() {
    let fake = Fake::new(0.4);
    fake.run(3_000_000_000);
    assert!(fake.host().abs_diff(fake.clock.now().0) < 100);
    fake.change(0.4 * 1.000_05, 0.0);
    fake.run(60_000_000_000);
    let off = fake.host().abs_diff(fake.clock.now().0);
    assert!(off < 1_000, "{off}");
    fake.change(0.4, 40_000_000.0);
    fake.run(60_000_000_000);
    let off = fake.host().abs_diff(fake.clock.now().0);
    assert!(off as i64 <= fake.clock.skew_ns().max(1_000), "{off}");
}

#[test]
fn conversions_are_monotone_and_never_change() {
    let fake = Fake::new(0.5);
    let mut made: Vec<(u64, TimeNs)> = Vec::new();
    for round in 0..300 {
        if round % 50 == 7 {
            fake.change(0.5 * (1.0 + f64::from(round % 3) * 1e-4), -2_000_000.0);
        }
        fake.clock.set(fake.ticks() + 300_000_000);
        fake.clock.adjust(&|| fake.host());
        let ticks = fake.ticks();
        made.push((ticks, fake.clock.convert(Ticks(ticks))));
        for &(ticks, time) in made.iter().rev().take(40) {
            assert_eq!(fake.clock.convert(Ticks(ticks)), time);
        }
    }
    assert!(made.windows(2).all(|pair| pair[0].1 < pair[1].1));
}

#[test]
fn agrees_with_the_host_within_the_skew_it_reports() {
    let start = Instant::now();
    let host = || start.elapsed().as_nanos() as i64 - 1_000_000_000_000;
    let clock = Clock::new(&host);
    let mut worst = 0;
    while start.elapsed() < Duration::from_millis(1_500) {
        clock.adjust(&host);
        std::thread::sleep(Duration::from_millis(5));
        // The clock lies between two readings of the host, but for the skew; whoever takes the processor from us
        // between them only widens the gap.
        let before = host();
        let now = clock.now().0;
        let after = host();
        worst = worst.max(before - now).max(now - after);
        assert!(before - now <= clock.skew_ns() && now - after <= clock.skew_ns());
    }
    println!(
        "source {}, skew {} ns, worst {} ns",
        clock.source(),
        clock.skew_ns(),
        worst
    );
    assert!(clock.skew_ns() < 1_000_000, "{}", clock.skew_ns());
}

#[test]
fn readers_see_whole_anchors_while_they_are_replaced() {
    let clock = Clock::manual(0);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut last = TimeNs(0);
                    while last.0 < 2_000_000 {
                        let now = clock.convert(Ticks(clock.count.load(Ordering::Acquire)));
                        assert!(now >= last, "{now:?} after {last:?}");
                        last = now;
                    }
                })
            })
            .collect();
        // Every anchor lies on the line ns = 10 × ticks.
        let mut next = 1;
        while readers.iter().any(|reader| !reader.is_finished()) {
            clock.push(Line {
                ticks: next,
                ns: next as i64 * 10,
                slope: 10 << SHIFT,
            });
            next += 1;
        }
    });
}
