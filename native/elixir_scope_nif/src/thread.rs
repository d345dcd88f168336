//! What one OS thread keeps for itself while it records: its ring, and what the gate's word stands for.

#![allow(
    unsafe_code,
    reason = "a thread-local with a destructor would be asked at each call whether it still lives"
)]

use std::cell::Cell;
use std::ptr;
use std::sync::Arc;

use elixir_scope_engine::event::{EventKind, SiteId, Symbol, Ticks, TimeNs};
use elixir_scope_engine::record::RecordHead;
use elixir_scope_engine::{RecordBuf, Recorder, RingWriter};
use rustler::Env;

use crate::capture::Thrift;
use crate::payload::{Body, Payload, Quickly};
use crate::settings::{Level, Settings};
use crate::term::encode::Quick;
use crate::term::raw::RawTerms;
use crate::term::redact::Redaction;
use crate::tracer::Sending;
use crate::{cost, gate, runtime, site};

/// Taken out by the call that uses it, and put back. Capture does not call itself, and a thread runs one call at a time.
pub struct Thread {
    /// The gate's word that all of this was fetched for.
    word: u64,
    pub writer: RingWriter,
    pub settings: Arc<Settings>,
    pub random: u64,
    /// Records until one is timed.
    untimed: u32,
    /// An instant that was converted, and what holds for some microseconds behind it.
    instant: (Ticks, TimeNs),
    /// By these settings.
    masks: Masks,
    /// A message that was recorded as sent, until the VM tells its token.
    pub sending: Option<Sending>,
    /// Where a state is written before it is recorded, so that it can be told how much of it there is, or be left out.
    pub scratch: Vec<u8>,
    /// How much time is left for large states.
    pub thrift: Thrift,
}

/// Room for what a change of a state mostly takes; and how much is kept at most when more was taken.
const SCRATCH_BYTES: usize = 4 * 1_024;
const MOST_SCRATCH_BYTES: usize = 64 * 1_024;

thread_local! {
    /// From `Box::into_raw`, or null.
    static STORED: Cell<*mut Thread> = const { Cell::new(ptr::null_mut()) };
    static AT_END: AtEnd = const { AtEnd };
}

/// Frees what is stored when the thread ends: its ring is retired then.
struct AtEnd;

impl Drop for AtEnd {
    fn drop(&mut self) {
        drop(Thread::stored());
    }
}

impl Thread {
    /// Takes out what is stored.
    #[inline(always)]
    fn stored() -> Option<Box<Thread>> {
        let stored = STORED.with(|stored| stored.replace(ptr::null_mut()));
        // SAFETY: it came from a box, and stands nowhere else now that it is taken out.
        (!stored.is_null()).then(|| unsafe { Box::from_raw(stored) })
    }

    /// This thread's, for the gate's word; `None` if that is out of date.
    #[inline(always)]
    pub fn take(word: u64) -> Option<Box<Thread>> {
        match Self::stored() {
            Some(thread) if thread.word == word => Some(thread),
            other => Self::attach(other, word),
        }
    }

    /// Gives it back.
    #[inline(always)]
    pub fn put(thread: Box<Thread>) {
        STORED.with(|stored| stored.set(Box::into_raw(thread)));
    }

    /// Fetches what the gate's word names; the one place of the capture path that may lock and allocate.
    #[cold]
    #[inline(never)]
    fn attach(old: Option<Box<Thread>>, mut word: u64) -> Option<Box<Thread>> {
        AT_END.with(|_| ());
        let (recorder, settings) = Self::find(&mut word)?;
        let (writer, scratch) =
            old.map_or((None, None), |old| (Some(old.writer), Some(old.scratch)));
        // The ring goes on when only the settings changed.
        let mut writer = writer
            .filter(|writer| Arc::ptr_eq(writer.rings(), recorder.rings()))
            .unwrap_or_else(|| recorder.writer());
        writer.refuse((settings.level == Level::Paused).then_some(Symbol::Guard));
        let random = u64::from(writer.number()).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Some(Box::new(Thread {
            word,
            writer,
            settings,
            random,
            untimed: cost::EVERY,
            instant: (Ticks(u64::MAX), TimeNs(0)),
            masks: Masks::new(),
            sending: None,
            scratch: scratch.unwrap_or_else(|| Vec::with_capacity(SCRATCH_BYTES)),
            thrift: Thrift::default(),
        }))
    }

    /// What the gate's word names. Where other settings came into force since it was read, these, and their word: a record is
    /// not to be missed for it.
    fn find(word: &mut u64) -> Option<(Arc<Recorder>, Arc<Settings>)> {
        loop {
            let found = runtime::attach(*word);
            let now = gate::word();
            if found.is_some() || now == 0 || now == *word {
                return found;
            }
            *word = now;
        }
    }

    /// Takes back what was in use, and gives up what only a large state needed.
    #[inline]
    pub fn keep_scratch(&mut self, mut scratch: Vec<u8>) {
        if scratch.capacity() > MOST_SCRATCH_BYTES {
            scratch.clear();
            scratch.shrink_to(MOST_SCRATCH_BYTES);
        }
        self.scratch = scratch;
    }

    /// Whether a new outermost call is recorded.
    #[inline]
    pub fn sample(settings: &Settings, random: &mut u64) -> bool {
        if settings.samples_all() {
            return true;
        }
        // xorshift64: sampling needs no better numbers
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        settings.sampled(*random)
    }

    /// The instant of a reading, or one some microseconds before it (a millisecond, with a slow counter): near enough for limits of
    /// seconds, and without the table that the clock keeps.
    #[inline(always)]
    pub fn about(&mut self, ticks: Ticks) -> TimeNs {
        const HOLDS_TICKS: u64 = 1 << 15;
        let (known, instant) = self.instant;
        match ticks.0.wrapping_sub(known.0) < HOLDS_TICKS {
            true => instant,
            false => self.convert(ticks),
        }
    }

    #[cold]
    #[inline(never)]
    fn convert(&mut self, ticks: Ticks) -> TimeNs {
        let instant = self.writer.rings().clock().convert(ticks);
        self.instant = (ticks, instant);
        instant
    }

    /// Writes a record; one in so many is timed.
    #[inline(always)]
    pub fn write<'a>(&mut self, env: Env<'a>, head: RecordHead, body: impl Body<'a>) {
        self.untimed -= 1;
        let start = (self.untimed == 0).then(|| self.writer.rings().clock().ticks());
        let ticks = self.writer.announce();
        self.record(env, RecordHead { ticks, ..head }, body);
        if let Some(start) = start {
            self.note_cost(start);
        }
    }

    /// Writes a record that was announced, with the answer to that in its head.
    #[inline(always)]
    pub fn write_announced<'a>(&mut self, env: Env<'a>, head: RecordHead, body: impl Body<'a>) {
        self.untimed -= 1;
        self.record(env, head, body);
        if self.untimed == 0 {
            self.note_cost(head.ticks);
        }
    }

    #[cold]
    fn note_cost(&mut self, start: Ticks) {
        self.untimed = cost::EVERY;
        cost::note(self.writer.rings().clock(), start);
    }

    #[inline(always)]
    fn record<'a, B: Body<'a>>(&mut self, env: Env<'a>, head: RecordHead, mut body: B) {
        let settings = &*self.settings;
        body.prepare(&mut self.masks, &settings.rules.redaction);
        let begun = match RawTerms::new(env) {
            Some(raw) if B::IS_QUICK => {
                let quick = Quick::new(raw, &settings.rules, ());
                let fill = Quickly { quick, body: &body };
                self.writer
                    .record_announced(head, settings.quick_bytes, fill)
            }
            _ => self.writer.begin_announced(head).map(Some),
        };
        // A record that finds no room is counted as lost by the ring.
        if let Ok(Some(record)) = begun {
            finish(env, settings, head.kind, record, body);
        }
    }
}

/// Writes the payload of a record that was begun, and publishes it.
#[inline(never)]
fn finish<'a>(
    env: Env<'a>,
    settings: &Settings,
    kind: EventKind,
    mut record: RecordBuf<'_>,
    body: impl Body<'a>,
) {
    let mut payload = Payload::new(env, settings, kind, &mut record);
    if body.write(&mut payload).is_ok() {
        record.commit();
    }
}

/// Which arguments of a site are masked, by one set of rules: remembered for the sites that the thread met last.
pub struct Masks([(SiteId, u32); Masks::SITES]);

impl Masks {
    /// A power of two.
    const SITES: usize = 256;

    fn new() -> Self {
        Masks([(SiteId::NONE, 0); Masks::SITES])
    }

    /// One bit for each of the first 32 arguments, from the lowest; it is set where the argument is masked.
    #[inline(always)]
    pub fn of(&mut self, site: SiteId, redaction: &Redaction) -> u32 {
        match self.0.get(site.0 as usize & (Masks::SITES - 1)) {
            Some((known, masks)) if *known == site => *masks,
            _ => self.work_out(site, redaction),
        }
    }

    #[cold]
    #[inline(never)]
    fn work_out(&mut self, site: SiteId, redaction: &Redaction) -> u32 {
        let names = site::arguments(site).iter().take(32);
        let masks = names.enumerate().fold(0, |masks, (at, name)| {
            masks | u32::from(redaction.masks_atom(*name)) << at
        });
        if let Some(known) = self.0.get_mut(site.0 as usize & (Masks::SITES - 1)) {
            *known = (site, masks);
        }
        masks
    }
}
