//! What instrumented code calls. Nothing here raises, waits or allocates (a thread's first record, and a site's, excepted).
//!
//! The order of every call: the gate, the place with its switch, the process's slot, the thread's ring, the terms, publish.
//!
//! * `calls`: where functions begin and end
//! * `states`: callbacks that end with a new state, and loops
//! * `messages`: what is sent, and who is spawned
//! * `marks`: spans, events, measurements, variables

mod calls;
mod marks;
mod messages;
mod states;

use std::cell::RefCell;
use std::sync::Arc;

use elixir_scope_engine::event::{CorrelationId, EventKind, ProcessId, SiteId, Ticks};
use elixir_scope_engine::record::RecordHead;
use elixir_scope_engine::value::Full;
use elixir_scope_engine::{Entered, FoundSite, ProcessSlots, RecordBuf, RingWriter, Slot};
use rustler::{Encoder, Env, Term};

use crate::host::BEAM;
use crate::payload::Payload;
use crate::settings::Settings;
use crate::term::raw;
use crate::{atoms, cost, gate, host, runtime, site};

pub use calls::{enter_args, enter_list, exit, exit_error, exit_tail, exit_void};
pub use marks::{event, metric, snapshot, span_start, span_stop};
pub use messages::{message, spawned};
pub use states::{exit_callback, loop_state};

/// What one OS thread keeps for itself.
struct Thread {
    /// The gate's word that all of this was fetched for.
    word: u64,
    writer: RingWriter,
    settings: Arc<Settings>,
    random: u64,
    /// Records until one is timed.
    untimed: u32,
}

thread_local! {
    static THREAD: RefCell<Option<Thread>> = const { RefCell::new(None) };
}

impl Thread {
    /// Fetches what the gate's word names; the one place of the capture path that may lock and allocate.
    #[cold]
    fn attach(cell: &mut Option<Thread>, word: u64) -> Option<&mut Thread> {
        let (recorder, settings) = runtime::attach(word)?;
        // The ring goes on when only the settings changed.
        let writer = cell
            .take()
            .map(|thread| thread.writer)
            .filter(|writer| Arc::ptr_eq(writer.rings(), recorder.rings()))
            .unwrap_or_else(|| recorder.writer());
        let random = u64::from(writer.number()).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Some(cell.insert(Thread {
            word,
            writer,
            settings,
            random,
            untimed: cost::EVERY,
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
    fn write<'a>(
        &mut self,
        env: Env<'a>,
        what: What,
        place: Entered,
        body: impl FnOnce(&mut Payload<'_, 'a, RecordBuf<'_>>) -> Result<(), Full>,
    ) {
        let head = RecordHead {
            kind: what.kind,
            depth: place.depth,
            ticks: Ticks(0),
            process: what.process,
            site: what.site,
            correlation: place.correlation,
        };
        self.untimed -= 1;
        let start = (self.untimed == 0).then(|| self.writer.rings().clock().ticks());
        // A record that finds no room is counted as lost by the ring.
        if let Ok(mut record) = self.writer.begin(head)
            && body(&mut Payload::new(env, &self.settings, &mut record)).is_ok()
        {
            record.commit();
        }
        if let Some(start) = start {
            self.untimed = cost::EVERY;
            cost::note(self.writer.rings().clock(), start);
        }
    }
}

/// What is recorded, and of whom.
#[derive(Clone, Copy)]
struct What {
    kind: EventKind,
    process: ProcessId,
    site: SiteId,
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

/// Runs `record` with this thread's state and the process's slot, if the process is not muted. `word` is what the gate was
/// seen open with.
#[inline(always)]
fn recording<R>(
    env: Env<'_>,
    word: u64,
    record: impl FnOnce(&mut Thread, ProcessId, Option<&'static Slot>) -> R,
) -> Option<R> {
    let process = host::this_process(env);
    let slots = ProcessSlots::shared();
    let slot = slots.find(process).or_else(|| claim(slots, process));
    recording_of(word, process, slot, record)
}

/// The same, for a process that was looked up.
#[inline(always)]
fn recording_of<R>(
    word: u64,
    process: ProcessId,
    slot: Option<&'static Slot>,
    record: impl FnOnce(&mut Thread, ProcessId, Option<&'static Slot>) -> R,
) -> Option<R> {
    if slot.is_some_and(Slot::is_muted) {
        return None;
    }
    THREAD.with(|cell| {
        // Held by this call alone: capture does not call itself, and a thread runs one call at a time.
        let mut cell = cell.try_borrow_mut().ok()?;
        let thread = match &mut *cell {
            Some(thread) if thread.word == word => thread,
            _ => Thread::attach(&mut cell, word)?,
        };
        Some(record(thread, process, slot))
    })
}

/// Records something that neither begins nor ends a call. It is never sampled away: what was sent is found again where it
/// arrives only if all that was sent is known. The place is not looked for while the gate is closed.
#[inline(always)]
fn mark<'a>(
    env: Env<'a>,
    kind: EventKind,
    place: Term<'a>,
    body: impl FnOnce(&mut Payload<'_, 'a, RecordBuf<'_>>) -> Result<(), Full>,
) -> Term<'a> {
    let word = gate::word();
    if word == 0 {
        return ok(env);
    }
    let FoundSite { site, is_on } = site::look(place);
    if !is_on {
        return ok(env);
    }
    recording(env, word, |thread, process, slot| {
        let place = slot.map_or(NOWHERE, |slot| slot.current(thread.settings.generation));
        let what = What {
            kind,
            process,
            site,
        };
        thread.write(env, what, place, body);
    });
    ok(env)
}

/// Records the beginning of a call, and answers its token.
#[inline(always)]
fn enter<'a>(
    env: Env<'a>,
    kind: EventKind,
    place: Term<'a>,
    body: impl FnOnce(&mut Payload<'_, 'a, RecordBuf<'_>>, SiteId) -> Result<(), Full>,
) -> Term<'a> {
    let word = gate::word();
    if word == 0 {
        return raw::small(env, -1);
    }
    let FoundSite { site, is_on } = site::look(place);
    if !is_on {
        return raw::small(env, -1);
    }
    let token = recording(env, word, |thread, process, slot| {
        let Thread {
            writer,
            settings,
            random,
            ..
        } = thread;
        let place = slot.map_or(NOWHERE, |slot| {
            let sample = || Thread::sample(settings, random);
            slot.enter(settings.generation, sample, || writer.next_correlation())
        });
        if place.is_sampled {
            let what = What {
                kind,
                process,
                site,
            };
            thread.write(env, what, place, |payload| body(payload, site));
        }
        Token {
            depth: place.depth,
            is_sampled: place.is_sampled,
            generation: thread.settings.generation,
        }
    });
    raw::small(env, token.map_or(-1, Token::pack))
}

/// Records the end of a call.
#[inline(always)]
fn leave<'a>(
    env: Env<'a>,
    kind: EventKind,
    place: Term<'a>,
    token: Term<'a>,
    body: impl FnOnce(&mut Payload<'_, 'a, RecordBuf<'_>>) -> Result<(), Full>,
) -> Term<'a> {
    leave_by(
        env,
        token,
        When::Sampled,
        |thread, process, _token, entered| {
            let what = What {
                kind,
                process,
                site: site::find(place),
            };
            thread.write(env, what, entered, body);
        },
    )
}

/// Whether the end of a call that is not sampled matters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    Always,
    Sampled,
}

/// Runs `record` with this thread's state and the place of the call that ends.
#[inline(always)]
fn leave_by<'a>(
    env: Env<'a>,
    token: Term<'a>,
    when: When,
    record: impl FnOnce(&mut Thread, ProcessId, Token, Entered),
) -> Term<'a> {
    let Some(token) = Token::of(token) else {
        return ok(env);
    };
    let process = host::this_process(env);
    let slot = ProcessSlots::shared().find(process);
    // The depth is taken back even when nothing is recorded now: the gate may have closed, or the process been muted.
    let place = slot.map_or(NOWHERE, |slot| slot.exit(token.generation, token.depth));
    let word = gate::word();
    if (token.is_sampled || when == When::Always) && word != 0 {
        recording_of(word, process, slot, |thread, process, _slot| {
            if thread.settings.generation == token.generation {
                record(thread, process, token, place);
            }
        });
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
    /// Of what `enter` answered; `None` for a call of which nothing is to be recorded, and for anything else.
    #[inline(always)]
    fn of(token: Term<'_>) -> Option<Token> {
        raw::small_value(token).and_then(Token::unpack)
    }

    /// The place of what is recorded within the call, at its end or at its beginning.
    fn inside(self, place: Entered) -> Entered {
        Entered {
            depth: self.depth.saturating_add(1),
            ..place
        }
    }

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
