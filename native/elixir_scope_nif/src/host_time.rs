//! The emulator's monotonic time, on any thread.
#![allow(unsafe_code, reason = "an interface call that rustler does not offer")]

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use once_cell::sync::Lazy;
use rustler::sys::{ERL_NIF_TIME_ERROR, ErlNifTimeUnit, enif_monotonic_time};

/// The emulator answers only its own schedulers. For other threads the operating system's monotonic time stands in, at
/// the distance that a scheduler measured last: the emulator corrects its rate by some parts in a million, so that a
/// measurement now and then keeps the two together.
#[derive(Debug)]
pub struct HostTime {
    began: Instant,
    offset_ns: AtomicI64,
}

/// The one emulator's time.
pub static HOST_TIME: Lazy<HostTime> = Lazy::new(|| {
    let time = HostTime {
        began: Instant::now(),
        offset_ns: AtomicI64::new(0),
    };
    time.measure();
    time
});

impl HostTime {
    /// The emulator's monotonic time.
    pub fn now_ns(&self) -> i64 {
        emulator_ns().unwrap_or_else(|| {
            // Relaxed: an offset stands for itself, an older one will do.
            self.system_ns() + self.offset_ns.load(Ordering::Relaxed)
        })
    }

    /// Measures the distance between both times: the tightest of a few readings. Does nothing outside of the
    /// emulator's schedulers.
    pub fn measure(&self) {
        let readings = (0..4).filter_map(|_| {
            let before = self.system_ns();
            let emulator = emulator_ns()?;
            let window = self.system_ns() - before;
            Some((window, emulator - before - window / 2))
        });
        if let Some((_, offset)) = readings.min() {
            self.offset_ns.store(offset, Ordering::Relaxed);
        }
    }

    fn system_ns(&self) -> i64 {
        i64::try_from(self.began.elapsed().as_nanos()).unwrap_or(i64::MAX)
    }
}

fn emulator_ns() -> Option<i64> {
    // SAFETY: may be called from any thread; where there is no scheduler it answers with an error value.
    let ns = unsafe { enif_monotonic_time(ErlNifTimeUnit::ERL_NIF_NSEC) };
    (ns != ERL_NIF_TIME_ERROR).then_some(ns)
}
