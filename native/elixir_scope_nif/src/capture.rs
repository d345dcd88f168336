//! What instrumented code calls. Nothing here raises, waits or allocates (a thread's first record, and a site's, excepted).
//!
//! The order of every call: the gate, the process's slot, the thread's ring, the terms, publish.

use std::cell::Cell;
use std::sync::Arc;

use elixir_scope_engine::event::{CorrelationId, EventKind, ProcessId, SiteId, Ticks};
use elixir_scope_engine::record::RecordHead;
use elixir_scope_engine::{Entered, ProcessSlots, RecordBuf, RingWriter, Slot};
use rustler::{Encoder, Env, Term};

use crate::host::BEAM;
use crate::payload::{Args, Body, Masks, Payload, Quickly, Values};
use crate::settings::Settings;
use crate::term::encode::{Quick, Rules};
use crate::term::raw::{self, RawTerms};
use crate::term::{Word, word};
use crate::{atoms, cost, gate, host, runtime, site};

/// What one OS thread keeps for itself.
struct Thread {
    /// The gate's word that all of this was fetched for.
    word: u64,
    writer: RingWriter,
    settings: Arc<Settings>,
    random: u64,
    /// Records until one is timed.
    untimed: u32,
    /// By these settings.
    masks: Masks,
}

thread_local! {
    /// Taken out by the call that uses it, and put back: capture does not call itself, and a thread runs one call at a time.
    static THREAD: Cell<Option<Box<Thread>>> = const { Cell::new(None) };
}

impl Thread {
    /// Fetches what the gate's word names; the one place of the capture path that may lock and allocate.
    #[cold]
    #[inline(never)]
    fn attach(old: Option<Box<Thread>>, word: u64) -> Option<Box<Thread>> {
        let (recorder, settings) = runtime::attach(word)?;
        // The ring goes on when only the settings changed.
        let writer = old
            .map(|thread| thread.writer)
            .filter(|writer| Arc::ptr_eq(writer.rings(), recorder.rings()))
            .unwrap_or_else(|| recorder.writer());
        let random = u64::from(writer.number()).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Some(Box::new(Thread {
            word,
            writer,
            settings,
            random,
            untimed: cost::EVERY,
            masks: Masks::new(),
        }))
    }

    /// Whether a new outermost call is recorded.
    #[inline]
    fn sample(settings: &Settings, random: &mut u64) -> bool {
        if settings.samples_all() {
            return true;
        }
        // xorshift64: sampling needs no better numbers
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        settings.sampled(*random)
    }

    #[inline(always)]
    fn write<'a>(&mut self, env: Env<'a>, head: RecordHead, body: impl Body<'a>) {
        self.untimed -= 1;
        let start = (self.untimed == 0).then(|| self.writer.rings().clock().ticks());
        self.record(env, head, body);
        if let Some(start) = start {
            self.untimed = cost::EVERY;
            cost::note(self.writer.rings().clock(), start);
        }
    }

    #[inline(always)]
    fn record<'a, B: Body<'a>>(&mut self, env: Env<'a>, head: RecordHead, mut body: B) {
        let rules = &self.settings.rules;
        body.prepare(&mut self.masks, &rules.redaction);
        let begun = match RawTerms::new(env) {
            Some(raw) if B::IS_QUICK => {
                let quick = Quick::new(raw, rules, ());
                let fill = Quickly { quick, body: &body };
                self.writer.record(head, self.settings.quick_bytes, fill)
            }
            _ => self.writer.begin(head).map(Some),
        };
        // A record that finds no room is counted as lost by the ring.
        if let Ok(Some(record)) = begun {
            finish(env, rules, record, body);
        }
    }
}

/// Writes the payload of a record that was begun, and publishes it.
#[inline(never)]
fn finish<'a>(env: Env<'a>, rules: &Rules, mut record: RecordBuf<'_>, body: impl Body<'a>) {
    if body
        .write(&mut Payload::new(env, rules, &mut record))
        .is_ok()
    {
        record.commit();
    }
}

/// The place of a process that has no slot.
const NOWHERE: Entered = Entered {
    depth: RecordHead::NO_DEPTH,
    correlation: CorrelationId::NONE,
    is_sampled: true,
};

/// The slot of a process that has none yet, unless there is no room.
#[cold]
fn claim(slots: &'static ProcessSlots, process: ProcessId) -> Option<&'static Slot> {
    slots.get(process, &**BEAM)
}

/// A call that records: this thread's state, and the process with its slot.
struct Recording {
    thread: Box<Thread>,
    process: ProcessId,
    slot: Option<&'static Slot>,
}

impl Recording {
    /// If the gate is open and the process is not muted.
    #[inline(always)]
    fn begin(env: Env<'_>) -> Option<Recording> {
        let word = gate::word();
        if word == 0 {
            return None;
        }
        let process = host::this_process(env);
        let slots = ProcessSlots::shared();
        let slot = slots.find(process).or_else(|| claim(slots, process));
        Recording::of(word, process, slot)
    }

    /// The same, for a gate's word and a process that were looked up.
    #[inline(always)]
    fn of(word: u64, process: ProcessId, slot: Option<&'static Slot>) -> Option<Recording> {
        if slot.is_some_and(Slot::is_muted) {
            return None;
        }
        let thread = match THREAD.with(Cell::take) {
            Some(thread) if thread.word == word => thread,
            other => Thread::attach(other, word)?,
        };
        Some(Recording {
            thread,
            process,
            slot,
        })
    }

    #[inline(always)]
    fn generation(&self) -> u32 {
        self.thread.settings.generation
    }

    #[inline(always)]
    fn write<'a>(
        &mut self,
        env: Env<'a>,
        kind: EventKind,
        site: SiteId,
        place: Entered,
        body: impl Body<'a>,
    ) {
        let head = RecordHead {
            kind,
            depth: place.depth,
            ticks: Ticks(0),
            process: self.process,
            site,
            correlation: place.correlation,
        };
        self.thread.write(env, head, body);
    }

    /// Gives the thread back its state.
    #[inline(always)]
    fn end(self) {
        THREAD.with(|cell| cell.set(Some(self.thread)));
    }
}

/// Records something that neither begins nor ends a call. It is never sampled away.
#[inline(always)]
fn plain<'a>(env: Env<'a>, kind: EventKind, site: SiteId, body: impl Body<'a>) -> Term<'a> {
    if let Some(mut recording) = Recording::begin(env) {
        let generation = recording.generation();
        let place = recording
            .slot
            .map_or(NOWHERE, |slot| slot.current(generation));
        recording.write(env, kind, site, place, body);
        recording.end();
    }
    ok(env)
}

/// Records the beginning of a call, and answers its token.
#[inline(always)]
fn enter<'a>(env: Env<'a>, kind: EventKind, site: SiteId, body: impl Body<'a>) -> Term<'a> {
    let Some(mut recording) = Recording::begin(env) else {
        return raw::small(env, -1);
    };
    let Thread {
        writer,
        settings,
        random,
        ..
    } = &mut *recording.thread;
    let place = recording.slot.map_or(NOWHERE, |slot| {
        let sample = || Thread::sample(settings, random);
        slot.enter(settings.generation, sample, || writer.next_correlation())
    });
    let token = Token {
        depth: place.depth,
        is_sampled: place.is_sampled,
        generation: settings.generation,
    };
    if place.is_sampled {
        recording.write(env, kind, site, place, body);
    }
    recording.end();
    raw::small(env, token.pack())
}

/// Records the end of a call.
#[inline(always)]
fn leave<'a>(
    env: Env<'a>,
    kind: EventKind,
    site: SiteId,
    token: Term<'a>,
    body: impl Body<'a>,
) -> Term<'a> {
    let Some(token) = raw::small_value(token).and_then(Token::unpack) else {
        return ok(env);
    };
    let process = host::this_process(env);
    let slot = ProcessSlots::shared().find(process);
    // The depth is taken back even when nothing is recorded now: the gate may have closed, or the process been muted.
    let place = slot.map_or(NOWHERE, |slot| slot.exit(token.generation, token.depth));
    let word = gate::word();
    if token.is_sampled
        && word != 0
        && let Some(mut recording) = Recording::of(word, process, slot)
    {
        if recording.generation() == token.generation {
            recording.write(env, kind, site, place, body);
        }
        recording.end();
    }
    ok(env)
}

/// What `enter` answers, and the end of the call gives back: the depth of the entry, whether it was recorded, and by which
/// recorder.
#[derive(Clone, Copy)]
struct Token {
    depth: u16,
    is_sampled: bool,
    generation: u32,
}

impl Token {
    /// As a small integer of the emulator.
    fn pack(self) -> i64 {
        i64::from(self.generation) << 17 | i64::from(self.depth) << 1 | i64::from(self.is_sampled)
    }

    /// `None` for the token of a call that met a closed gate.
    fn unpack(token: i64) -> Option<Token> {
        (token >= 0).then_some(Token {
            depth: (token >> 1) as u16,
            is_sampled: token & 1 == 1,
            generation: (token >> 17) as u32,
        })
    }
}

#[inline(always)]
fn ok(env: Env<'_>) -> Term<'_> {
    atoms::ok().to_term(env)
}

/// `recording()`: whether a capture call would do anything.
pub fn is_recording<'a>(env: Env<'a>, []: [Term<'a>; 0]) -> Term<'a> {
    (gate::word() != 0).encode(env)
}

/// A mark that is rarer than an event: a function of its own, which they share, since it is large when all that it calls is
/// put into it.
#[inline(never)]
fn fields<'a>(env: Env<'a>, kind: EventKind, place: Term<'a>, fields: &'a [Word]) -> Term<'a> {
    plain(env, kind, site::find(place), Values(fields))
}

/// `event(site, name, data)`
pub fn event<'a>(env: Env<'a>, place: Term<'a>, values: &'a [Word]) -> Term<'a> {
    plain(env, EventKind::UserEvent, site::find(place), Values(values))
}

/// `metric(site, name, value, unit, metadata)`
pub fn metric<'a>(env: Env<'a>, place: Term<'a>, values: &'a [Word]) -> Term<'a> {
    fields(env, EventKind::PerformanceMetric, place, values)
}

/// `snapshot(site, bindings)`
pub fn snapshot<'a>(env: Env<'a>, place: Term<'a>, bindings: &'a [Word]) -> Term<'a> {
    fields(env, EventKind::VariableAssignment, place, bindings)
}

/// `span_start(site, name, metadata)`
pub fn span_start<'a>(env: Env<'a>, place: Term<'a>, fields: &'a [Word]) -> Term<'a> {
    enter(env, EventKind::SpanStart, site::find(place), Values(fields))
}

/// `span_stop(site, token, name, exit_reason)`
pub fn span_stop<'a>(env: Env<'a>, args: [Term<'a>; 4]) -> Term<'a> {
    let [place, token, name, reason] = args;
    let site = site::find(place);
    let fields = [name, atoms::nil().to_term(env), reason].map(word);
    leave(env, EventKind::SpanStop, site, token, Values(&fields))
}

/// `enter_0(site)` … `enter_8(site, a1, …, a8)`
pub fn enter_args<'a>(env: Env<'a>, place: Term<'a>, args: &'a [Word]) -> Term<'a> {
    let site = site::find(place);
    enter(env, EventKind::FunctionEntry, site, Args::new(args, site))
}

/// `enter_n(site, args)`
pub fn enter_list<'a>(env: Env<'a>, [place, args]: [Term<'a>; 2]) -> Term<'a> {
    if gate::word() == 0 {
        return raw::small(env, -1);
    }
    let site = site::find(place);
    let body = |payload: &mut Payload<'_, 'a, RecordBuf<'_>>| payload.arg_list(args, site);
    enter(env, EventKind::FunctionEntry, site, body)
}

/// `exit(site, token, result)`
pub fn exit<'a>(env: Env<'a>, [place, token, result]: [Term<'a>; 3]) -> Term<'a> {
    let fields = [atoms::normal().to_term(env), result].map(word);
    leave(
        env,
        EventKind::FunctionExit,
        site::find(place),
        token,
        Values(&fields),
    )
}

/// `exit_tail(site, token)`
pub fn exit_tail<'a>(env: Env<'a>, [place, token]: [Term<'a>; 2]) -> Term<'a> {
    let fields = [atoms::tail_call().to_term(env), atoms::nil().to_term(env)].map(word);
    leave(
        env,
        EventKind::FunctionExit,
        site::find(place),
        token,
        Values(&fields),
    )
}

/// `exit_error(site, token, class, reason, stacktrace)`
pub fn exit_error<'a>(env: Env<'a>, args: [Term<'a>; 5]) -> Term<'a> {
    let [place, token, class, reason, stacktrace] = args;
    leave(
        env,
        EventKind::FunctionExit,
        site::find(place),
        token,
        |payload: &mut Payload<'_, 'a, RecordBuf<'_>>| {
            payload.tuple(&[class, reason, stacktrace])?;
            payload.nil()
        },
    )
}

/// `mute()`
pub fn mute<'a>(env: Env<'a>, []: [Term<'a>; 0]) -> Term<'a> {
    runtime::mute(host::this_process(env));
    ok(env)
}

/// `unmute()`
pub fn unmute<'a>(env: Env<'a>, []: [Term<'a>; 0]) -> Term<'a> {
    runtime::unmute(host::this_process(env));
    ok(env)
}

/// `noop_3(a, b, c)`: an empty call, which benchmarks measure the others against.
pub fn noop<'a>(env: Env<'a>, _: [Term<'a>; 3]) -> Term<'a> {
    ok(env)
}
