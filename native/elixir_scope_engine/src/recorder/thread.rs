//! The native thread: drains the rings every few milliseconds, at once again when they fill fast, less often when nothing happens, and looks after the clock,
//! retention and the open calls of dead processes.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::{Recorder, Sample};
use crate::record::RecordHead;
use crate::ring::Drained;

/// Between two drains while events arrive.
const BUSY: Duration = Duration::from_millis(5);
/// Between two drains when none do.
const IDLE: Duration = Duration::from_millis(50);
/// Timelines whose processes are asked for in one round of housekeeping.
const TIMELINES_ASKED: usize = 256;
/// Between two looks at what this thread has used of the processor.
const ACCOUNT: Duration = Duration::from_millis(50);
/// Between two rounds of housekeeping.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

pub(super) fn spawn(recorder: &Arc<Recorder>) -> std::io::Result<()> {
    let weak = Arc::downgrade(recorder);
    let handle = std::thread::Builder::new()
        .name("es_ingest".to_owned())
        .spawn(move || run(&weak))?;
    *recorder.thread.lock() = Some(handle);
    Ok(())
}

fn run(recorder: &Weak<Recorder>) {
    let mut pace = BUSY;
    let mut housekeeping = Instant::now();
    let mut account = Instant::now();
    // The recorder is held for one round at a time, so that one that is dropped without `stop` goes away.
    while let Some(recorder) = recorder.upgrade() {
        let drained = recorder.caught(|| {
            let drained = recorder.round();
            if account.elapsed() >= ACCOUNT {
                account = Instant::now();
                recorder.keep_account();
            }
            if housekeeping.elapsed() >= HOUSEKEEPING {
                housekeeping = Instant::now();
                recorder.keep_house();
            }
            drained
        });
        let ring_bytes = recorder.rings.config().buffer_bytes;
        pace = match drained {
            // A writer that fills an eighth of its ring in one round may fill the rest before the next.
            Some(drained) if bytes(&drained) >= ring_bytes as u64 / 8 => Duration::ZERO,
            Some(drained) if drained.records > 0 => BUSY,
            Some(_) => (pace * 2).clamp(BUSY, IDLE),
            // Something is broken; what was recorded can still be asked for.
            None => HOUSEKEEPING,
        };
        if recorder.pause(pace) {
            break;
        }
    }
}

/// What a drain took out of the rings.
fn bytes(drained: &Drained) -> u64 {
    drained.bytes + drained.records * RecordHead::SIZE as u64
}

impl Recorder {
    fn round(&self) -> Drained {
        self.clock.adjust(&|| self.host.monotonic_ns());
        let drained = self.drain_once(&mut self.drain.lock());
        self.retain();
        self.subscriptions.tell(self.host.as_ref());
        drained
    }

    /// Waits; whether it is time to stop.
    fn pause(&self, time: Duration) -> bool {
        let mut stop = self.stop.lock();
        if !*stop && !time.is_zero() {
            let _ = self.stop_changed.wait_for(&mut stop, time);
        }
        *stop
    }

    /// In this order: a process may have recorded its last call and ended since the last drain.
    fn forget_the_dead(&self) {
        let mut drain = self.drain.lock();
        let dead = drain.ingest.dead(&|process| self.host.is_alive(process));
        self.drain_once(&mut drain);
        drain.ingest.sweep(&mut |process| !dead.contains(&process));
        drop(drain);
        // Their last changes are in the timelines, and stay there until their turn comes.
        let mut turn = self.timelines_turn.load(Ordering::Relaxed);
        let mut asked = self.timelines.read().some(&mut turn, TIMELINES_ASKED);
        self.timelines_turn.store(turn, Ordering::Relaxed);
        asked.retain(|process| !self.host.is_alive(*process));
        if !asked.is_empty() {
            let mut timelines = self.timelines.write();
            asked
                .into_iter()
                .for_each(|process| timelines.ended(process));
        }
    }

    fn keep_account(&self) {
        if let Some(cpu_ns) = thread_cpu_ns() {
            // Relaxed: a figure.
            self.cpu_ns.store(cpu_ns, Ordering::Relaxed);
        }
    }

    fn keep_house(&self) {
        // Statics of the library are no part of loom's models.
        #[cfg(not(loom))]
        {
            let slots = crate::process::ProcessSlots::shared();
            if slots.is_crowded() {
                slots.sweep(self.host.as_ref());
            }
        }
        self.forget_the_dead();
        let rings = self.rings.stats();
        let store = self.store.stats();
        self.history.lock().push(Sample {
            at: Instant::now(),
            time: self.clock.now(),
            recorded: rings.recorded,
            lost: rings.lost_total(),
            ring_bytes: rings.bytes_in_use,
            events: store.events,
            evicted: store.evicted,
            store_bytes: store.total_bytes,
            cpu_ns: self.cpu_ns.load(Ordering::Relaxed),
        });
    }
}

/// CPU time of this thread, from the first figure in Linux's `schedstat` (`Documentation/scheduler/sched-stats.rst`).
fn thread_cpu_ns() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_ascii_whitespace().next()?.parse().ok()
}
