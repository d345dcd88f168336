//! The recorder: clock, rings, ingest and store, the one native thread that brings them together, and the questions that
//! can be asked of them.

mod export;
mod history;
mod past;
mod thread;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, RwLock};

use history::History;
pub use history::Sample;
pub use past::Answered;

use crate::barrier::Barrier;
use crate::clock::Clock;
use crate::event::{AtomId, Symbols, TimeNs};
use crate::host::Host;
use crate::ingest::{Ingest, IngestStats, Watcher};
use crate::query::{
    Context, Estimate, Explain, FlowQuery, KindNames, Query, QueryResult, StateRows, States,
};
use crate::ring::{DrainItem, DrainState, Drained, RingConfig, RingStats, RingWriter, Rings};
use crate::site::SiteTable;
use crate::store::{LimitTooSmall, Store, StoreConfig, StoreStats};
use crate::subscription::{Subscriptions, Taken};
use crate::timeline::{TimelineStats, Timelines};
use crate::value::Names;

/// How a recorder is set up.
#[derive(Clone, Copy, Debug)]
pub struct RecorderConfig {
    /// Sizes of the rings.
    pub rings: RingConfig,
    /// Bounds of the store; a tenth of its memory is for ingest: open calls, and what is kept to find causal roots.
    pub store: StoreConfig,
    /// Words of the engine's own.
    pub symbols: Symbols,
    /// Names of the kinds of events.
    pub kinds: KindNames,
    /// The name of this node.
    pub node: AtomId,
    /// Added to a time, gives the wall time.
    pub time_offset_ns: i64,
}

/// Why a recorder did not start.
#[derive(Debug)]
pub enum StartError {
    /// The store's memory is too small.
    LimitTooSmall(LimitTooSmall),
    /// The system refused a thread.
    Thread(std::io::Error),
}

/// Records until it is stopped. Capture writes through [`Recorder::writer`]; everything else asks.
pub struct Recorder {
    config: RecorderConfig,
    host: Arc<dyn Host>,
    clock: Arc<Clock>,
    rings: Arc<Rings>,
    store: Arc<Store>,
    /// Taken behind the store's lock, where both are.
    timelines: Arc<RwLock<Timelines>>,
    subscriptions: Subscriptions,
    /// Taken in turns by the native thread and by whoever wants to see what was recorded up to now. No writer takes it.
    drain: Mutex<Drain>,
    /// Whether the thread shall stop.
    stop: Mutex<bool>,
    stop_changed: Condvar,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    history: Mutex<History>,
    recording: AtomicBool,
    panics: AtomicU64,
    last_panic: Mutex<Option<String>>,
    cpu_ns: AtomicU64,
    /// Where the next look for timelines of dead processes begins.
    timelines_turn: AtomicUsize,
    started_at: TimeNs,
}

/// How capture was switched off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gap {
    /// Some places of the program did not record.
    Places,
    /// Nothing was recorded: messages were sent that nobody told of.
    Everything,
}

struct Drain {
    state: DrainState,
    ingest: Ingest,
}

/// What went wrong inside.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Faults {
    /// Panics that were caught.
    pub panics: u64,
    /// The message of the last one.
    pub last: Option<String>,
}

/// Figures of a recorder, all of them measured.
#[derive(Clone, Debug)]
pub struct Status {
    /// Whether it takes events: not after a fault, nor once it was stopped.
    pub recording: bool,
    /// When it started.
    pub started_at: TimeNs,
    /// The rings: recorded, lost, bytes, writers.
    pub rings: RingStats,
    /// Events recorded per second, over the last seconds.
    pub per_second: f64,
    /// Ingest: stored, refused, open calls.
    pub ingest: IngestStats,
    /// The store.
    pub store: StoreStats,
    /// The states of processes.
    pub timelines: TimelineStats,
    /// Which counter the clock reads.
    pub clock_source: &'static str,
    /// The host's monotonic time and the tape's clock agree within this.
    pub clock_skew_ns: i64,
    /// What went wrong.
    pub faults: Faults,
    /// CPU time of the native thread in nanoseconds; 0 where the system does not tell.
    pub cpu_ns: u64,
    /// Subscriptions, and the bytes that wait in their queues.
    pub subscriptions: (usize, usize),
}

/// Names of subscriptions are given once in the life of the library: the host may still know one of an older recorder.
static NEXT_SUBSCRIPTION: AtomicU64 = AtomicU64::new(1);

struct HostNames<'a>(&'a dyn Host);

impl Names for HostNames<'_> {
    fn atom_name(&self, atom: AtomId, out: &mut String) -> bool {
        self.0.atom_name(atom, out)
    }
}

impl Recorder {
    /// Starts to record.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left behind.
    pub fn start(config: RecorderConfig, host: Arc<dyn Host>) -> Result<Arc<Recorder>, StartError> {
        let alias_bytes = config.store.memory_limit / 128;
        let ingest_bytes = config.store.memory_limit / 32 * 3;
        let store = StoreConfig {
            memory_limit: config.store.memory_limit - ingest_bytes - alias_bytes,
            ..config.store
        };
        let store = Arc::new(Store::new(store).map_err(StartError::LimitTooSmall)?);
        store.reserve_aliases(alias_bytes);
        let clock = Arc::new(Clock::new(&|| host.monotonic_ns()));
        let rings = Rings::new(config.rings, Arc::clone(&clock), Barrier::register());
        let timelines = Arc::new(RwLock::new(Timelines::new(
            store.memory(),
            config.store.memory_limit / 2,
        )));
        let ingest = Ingest::new(
            Arc::clone(&clock),
            config.symbols,
            SiteTable::shared(),
            Arc::clone(&timelines),
            ingest_bytes,
        );
        let recorder = Arc::new(Recorder {
            config,
            host,
            rings,
            store,
            timelines,
            subscriptions: Subscriptions::default(),
            drain: Mutex::new(Drain {
                state: DrainState::new(),
                ingest,
            }),
            stop: Mutex::new(false),
            stop_changed: Condvar::new(),
            thread: Mutex::new(None),
            history: Mutex::new(History::default()),
            recording: AtomicBool::new(true),
            panics: AtomicU64::new(0),
            last_panic: Mutex::new(None),
            cpu_ns: AtomicU64::new(0),
            timelines_turn: AtomicUsize::new(0),
            started_at: clock.now(),
            clock,
        });
        thread::spawn(&recorder).map_err(StartError::Thread)?;
        Ok(recorder)
    }

    /// A ring for one more OS thread.
    #[must_use]
    pub fn writer(&self) -> RingWriter {
        self.rings.writer()
    }

    /// The rings that its writers belong to.
    #[must_use]
    pub fn rings(&self) -> &Arc<Rings> {
        &self.rings
    }

    /// How it was set up.
    #[must_use]
    pub fn config(&self) -> &RecorderConfig {
        &self.config
    }

    /// Whether it takes events. Once false it stays so: capture need not go on.
    #[inline]
    #[must_use]
    pub fn recording(&self) -> bool {
        // Relaxed: capture may record a little more.
        self.recording.load(Ordering::Relaxed)
    }

    /// This instant on the tape's clock.
    #[must_use]
    pub fn now(&self) -> TimeNs {
        self.clock.now()
    }

    /// The tape's clock.
    #[must_use]
    pub fn clock(&self) -> &Arc<Clock> {
        &self.clock
    }

    /// Drains once; events that the store takes are shown to subscriptions.
    fn drain_once(&self, drain: &mut Drain) -> Drained {
        let names = HostNames(self.host.as_ref());
        let states = self.states();
        let context = self.context(&names, &states);
        let mut watch = self.subscriptions.watch(&context);
        let Drain { state, ingest } = drain;
        let mut appender = self.store.appender();
        let mut taken = 0_u32;
        let now = self.clock.ticks_ordered();
        let drained = self.rings.drain(state, now, &mut |item: DrainItem<'_>| {
            let watcher = watch.as_mut().map(|watch| watch as &mut dyn Watcher);
            ingest.take(&item, &mut appender, watcher);
            taken = taken.wrapping_add(1);
            if taken.is_multiple_of(1_024) {
                appender.pause();
            }
        });
        if ingest.has_untold() {
            ingest.tell_refused(&mut appender);
        }
        drained
    }

    /// Brings all that was recorded before this call into the store. Waits for writers in the middle of a record, up to
    /// `timeout`; whether nothing is missing.
    pub fn sync(&self, timeout: Duration) -> bool {
        let now = self.clock.ticks_ordered();
        let started = Instant::now();
        loop {
            let drained = self.caught(|| self.drain_once(&mut self.drain.lock()));
            match drained {
                Some(drained) if drained.watermark >= now => return true,
                None => return false,
                _ => {}
            }
            if started.elapsed() >= timeout {
                return false;
            }
            std::thread::sleep(Duration::from_micros(50));
        }
    }

    /// Some of what happened up to now may not have been recorded, though nothing was lost: capture was switched off. Nothing
    /// is said to have followed upon what came before.
    pub fn gap(&self, how: Gap) {
        self.caught(|| {
            let mut drain = self.drain.lock();
            self.drain_once(&mut drain);
            drain.ingest.gap(self.clock.now(), how);
        });
    }

    fn states(&self) -> StateRows<'_> {
        StateRows {
            timelines: &self.timelines,
            sites: SiteTable::shared(),
            symbols: &self.config.symbols,
        }
    }

    fn context<'a>(&'a self, names: &'a HostNames<'a>, states: &'a dyn States) -> Context<'a> {
        Context {
            sites: SiteTable::shared(),
            names,
            symbols: &self.config.symbols,
            kinds: &self.config.kinds,
            time_offset_ns: self.config.time_offset_ns,
            node: self.config.node,
            states: Some(states),
            flows: true,
        }
    }

    fn synced<T>(&self, timeout: Duration, ask: impl FnOnce(&Context<'_>) -> T) -> (T, bool) {
        let complete = self.sync(timeout);
        self.retain();
        let names = HostNames(self.host.as_ref());
        let states = self.states();
        (ask(&self.context(&names, &states)), complete)
    }

    /// Takes away what is too old.
    fn retain(&self) {
        let now = self.clock.now();
        self.store.retain(now);
        if let Some(age) = self.config.store.max_age_ns {
            let oldest = TimeNs(now.0.saturating_sub(age));
            self.timelines.write().retain(oldest);
        }
    }

    /// The events that `query` asks for, all that were recorded before this call among them, unless
    /// [`Explain::complete`] says otherwise.
    #[must_use]
    pub fn query(&self, query: &Query, timeout: Duration) -> QueryResult {
        let (mut result, complete) =
            self.synced(timeout, |context| self.store.query(query, context));
        result.explain.complete = complete;
        result
    }

    /// The messages that `flow` asks for, each as a send with what became of it.
    #[must_use]
    pub fn message_flow(&self, flow: &FlowQuery, timeout: Duration) -> QueryResult {
        let (mut result, complete) =
            self.synced(timeout, |context| self.store.message_flow(flow, context));
        result.explain.complete = complete;
        result
    }

    /// How many events `query` asks for; its limit and order do not matter.
    #[must_use]
    pub fn count(&self, query: &Query, timeout: Duration) -> (u64, Explain) {
        let ((count, mut explain), complete) =
            self.synced(timeout, |context| self.store.count(query, context));
        explain.complete = complete;
        (count, explain)
    }

    /// What `query` would look at.
    #[must_use]
    pub fn estimate(&self, query: &Query) -> Estimate {
        let names = HostNames(self.host.as_ref());
        let states = self.states();
        self.store.estimate(query, &self.context(&names, &states))
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Begins to queue the events recorded from now on that `query` asks for, up to `capacity` of them; the answer names the
    /// subscription for [`Host::notify`] and for the calls below.
    /// `named` is told the name before the first event can come.
    pub fn subscribe(&self, query: Query, capacity: usize, named: impl FnOnce(u64)) -> u64 {
        // Relaxed: nothing hangs on it but the number.
        let id = NEXT_SUBSCRIPTION.fetch_add(1, Ordering::Relaxed);
        named(id);
        self.caught(|| {
            let mut drain = self.drain.lock();
            self.drain_once(&mut drain);
            self.subscriptions.add(id, query, capacity);
        });
        id
    }

    /// Takes up to `most` events out of a subscription's queue; `None` when there is no such subscription.
    #[must_use]
    pub fn take(&self, subscription: u64, most: usize) -> Option<Taken> {
        self.subscriptions.take(subscription, most)
    }

    /// Ends a subscription; whether there was one.
    pub fn unsubscribe(&self, subscription: u64) -> bool {
        self.subscriptions.remove(subscription)
    }

    /// Stops recording, ends the subscriptions, and waits for the native thread. Memory is given back when the last
    /// reference to the recorder goes. Twice is no error.
    pub fn stop(&self) {
        self.recording.store(false, Ordering::Relaxed);
        *self.stop.lock() = true;
        self.stop_changed.notify_all();
        if let Some(thread) = self.thread.lock().take() {
            // It catches panics itself.
            let _ = thread.join();
        }
        self.subscriptions.clear();
        self.rings.close();
        self.store.clear();
        self.timelines.write().clear();
    }

    /// Figures of this moment.
    #[must_use]
    pub fn status(&self) -> Status {
        let rings = self.rings.stats();
        let mut ingest = self.drain.lock().ingest.stats();
        ingest.stack_bytes += self.store.aliases().bytes();
        Status {
            recording: self.recording(),
            started_at: self.started_at,
            per_second: self
                .history
                .lock()
                .per_second(Instant::now(), rings.recorded),
            rings,
            ingest,
            store: self.store.stats(),
            timelines: self.timelines.read().stats(),
            clock_source: self.clock.source(),
            clock_skew_ns: self.clock.skew_ns(),
            faults: Faults {
                panics: self.panics.load(Ordering::Relaxed),
                last: self.last_panic.lock().clone(),
            },
            cpu_ns: self.cpu_ns.load(Ordering::Relaxed),
            subscriptions: (self.subscriptions.len(), self.subscriptions.bytes()),
        }
    }

    /// One sample for each second of the last minute, oldest first.
    #[must_use]
    pub fn history(&self) -> Vec<Sample> {
        self.history.lock().samples()
    }

    /// Runs `work`; a panic in it is counted and switches recording off, with its message as the reason.
    fn caught<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)) {
            Ok(value) => Some(value),
            Err(panic) => {
                let text = panic
                    .downcast_ref::<&str>()
                    .map(|text| (*text).to_owned())
                    .or_else(|| panic.downcast_ref::<String>().cloned());
                self.fault(text.unwrap_or_else(|| "unknown panic".to_owned()));
                None
            }
        }
    }

    /// Counts a fault and switches recording off, with `reason`.
    pub fn fault(&self, reason: String) {
        self.recording.store(false, Ordering::Relaxed);
        self.panics.fetch_add(1, Ordering::Relaxed);
        *self.last_panic.lock() = Some(reason);
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // Without `stop`, the thread ends by itself: it holds no reference for longer than one round.
        *self.stop.lock() = true;
        self.stop_changed.notify_all();
    }
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder")
            .field("started_at", &self.started_at)
            .finish_non_exhaustive()
    }
}
