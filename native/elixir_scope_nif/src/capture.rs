//! What instrumented code calls. Nothing here raises, waits or allocates (a thread's first record, and a site's, excepted).
//!
//! The order of every call: the gate, the place with its switch, the process's slot, the thread's ring, the terms, publish.
//!
//! * `calls`: where functions begin and end
//! * `states`: callbacks that end with a new state, loops, and states that are handed over
//! * `change`: how a state is recorded: whole, or by what changed
//! * `messages`: what is sent, and who is spawned
//! * `marks`: spans, events, measurements, variables

mod calls;
mod change;
mod marks;
mod messages;
mod states;
mod thrift;

use elixir_scope_engine::event::{CorrelationId, EventKind, ProcessId, SiteId, Ticks};
use elixir_scope_engine::record::{Preceding, RecordHead};
use elixir_scope_engine::value::{DATA_MARK, STATE_MARK};
use elixir_scope_engine::{
    Entered, FoundSite, Opened, ProcessSlots, SharedSlots, SiteDef, SiteTable, Slot, StateArgument,
};
use rustler::{Atom, Encoder, Env, Term};

use crate::host::BEAM;
use crate::payload::{Body, MarkedArgs};
use crate::settings::Settings;
use crate::term::{Word, raw, word_of};
use crate::thread::Thread;
use crate::{atoms, gate, host, runtime, site};

pub use calls::{Enter, enter_list, exit, exit_error, exit_tail, exit_void};
pub use change::states_told;
pub use marks::{Fields, MapFields, SpanStart, span_stop};
pub use messages::{Receiver, message, newest_record, spawned};
pub use states::{exit_callback, loop_next, loop_state, state_of, state_seen};
pub use thrift::Thrift;

/// What is recorded, and of whom.
#[derive(Clone, Copy)]
pub struct What {
    pub kind: EventKind,
    pub process: ProcessId,
    pub slot: Option<&'static Slot>,
    pub site: SiteId,
}

impl What {
    /// The head of the record, which takes the next number of its process: to be written, or to be missed.
    #[inline(always)]
    pub fn at(self, place: Entered) -> RecordHead {
        RecordHead {
            kind: self.kind,
            preceding: Preceding::NOTHING,
            depth: place.depth,
            ticks: Ticks(0),
            process: self.process,
            site: self.site,
            sequence: self.slot.map_or(0, Slot::next_record),
            correlation: place.correlation,
        }
    }

    /// The same of a record that tells of other events as well, each of which takes a number.
    #[inline(always)]
    fn behind(self, preceding: Preceding, place: Entered) -> RecordHead {
        let head = RecordHead {
            kind: self.kind,
            preceding,
            depth: place.depth,
            ticks: Ticks(0),
            process: self.process,
            site: self.site,
            sequence: 0,
            correlation: place.correlation,
        };
        let number = |slot: &Slot| slot.next_records(head.events());
        RecordHead {
            sequence: self.slot.map_or(0, number),
            ..head
        }
    }
}

/// The place of a process that has no slot.
pub const NOWHERE: Entered = Entered {
    depth: RecordHead::NO_DEPTH,
    correlation: CorrelationId::NONE,
    is_sampled: true,
};

/// The slot of a process that has none yet, unless there is no room.
#[cold]
pub fn claim(slots: &'static SharedSlots, process: ProcessId) -> Option<&'static Slot> {
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
pub fn recording_of<R>(
    word: u64,
    process: ProcessId,
    slot: Option<&'static Slot>,
    record: impl FnOnce(&mut Thread, ProcessId, Option<&'static Slot>) -> R,
) -> Option<R> {
    if slot.is_some_and(Slot::is_muted) {
        return None;
    }
    with_thread(word, |thread| record(thread, process, slot))
}

/// Runs `record` with this thread's state, whatever process it is about.
#[inline(always)]
pub fn with_thread<R>(word: u64, record: impl FnOnce(&mut Thread) -> R) -> Option<R> {
    let mut thread = Thread::take(word)?;
    let answer = record(&mut thread);
    Thread::put(thread);
    Some(answer)
}

/// Records something that neither begins nor ends a call. It is never sampled away: what was sent is found again where it
/// arrives only if all that was sent is known. The place is not looked for while the gate is closed.
#[inline(always)]
fn mark<'a>(env: Env<'a>, kind: EventKind, place: Term<'a>, body: impl Body<'a>) -> Term<'a> {
    let word = gate::word();
    if word == 0 {
        return ok(env);
    }
    let FoundSite { site, is_on, .. } = site::look(place);
    if !is_on {
        return ok(env);
    }
    recording(env, word, |thread, process, slot| {
        let place = slot.map_or(NOWHERE, |slot| slot.current(thread.settings.generation));
        let what = What {
            kind,
            process,
            slot,
            site,
        };
        thread.write(env, what.at(place), body);
    });
    ok(env)
}

/// Records the beginning of a call, and answers its token.
#[inline(always)]
fn enter<'a, B: Body<'a>>(
    env: Env<'a>,
    kind: EventKind,
    place: Term<'a>,
    body: impl FnOnce(SiteId) -> B,
) -> Term<'a> {
    let word = gate::word();
    if word == 0 {
        return raw::small(env, -1);
    }
    let found = site::look(place);
    // No chain holds over what is missed of a place that is switched off: each switch begins another epoch of states.
    if !found.is_on {
        return raw::small(env, -1);
    }
    let site = found.site;
    if found.holds_state {
        return enter_with_state(env, word, kind, site, body(site));
    }
    let token = recording(env, word, |thread, process, slot| {
        let place = begin(thread, slot, site);
        if place.is_sampled {
            let what = What {
                kind,
                process,
                slot,
                site,
            };
            thread.write(env, what.at(place), body(site));
        }
        Token::of_call(place, thread.settings.generation).pack()
    });
    raw::small(env, token.unwrap_or(-1))
}

/// The same of a call that may end with a new state. (A function of its own: other calls would pay for it.)
#[inline(never)]
fn enter_with_state<'a>(
    env: Env<'a>,
    word: u64,
    kind: EventKind,
    site: SiteId,
    body: impl Body<'a>,
) -> Term<'a> {
    let record = |thread: &mut Thread, process, slot| {
        let place = begin(thread, slot, site);
        let def = SiteTable::shared().get(site);
        let chain = open_chain(slot, def, place.depth);
        let mark = match chain {
            Some(_) if place.is_sampled => mark_of_state(&thread.settings, slot, def, &body),
            _ => None,
        };
        if place.is_sampled {
            let what = What {
                kind,
                process,
                slot,
                site,
            };
            match mark {
                Some((index, mark)) => {
                    let body = MarkedArgs::new(body.arguments(), site, index, mark);
                    thread.write(env, what.at(place), body);
                }
                None => thread.write(env, what.at(place), body),
            }
        }
        let token = Token {
            commits: chain.is_some(),
            continues: chain.is_some_and(|chain| chain.continues),
            knows: mark.is_some(),
            ..Token::of_call(place, thread.settings.generation)
        };
        token.pack()
    };
    let token = recording(env, word, record);
    if token.is_none() {
        unseen(env, site);
    }
    raw::small(env, token.unwrap_or(-1))
}

/// The process enters the call; whether an outermost one is recorded is decided here.
#[inline(always)]
fn begin(thread: &mut Thread, slot: Option<&'static Slot>, site: SiteId) -> Entered {
    let Thread {
        writer,
        settings,
        random,
        ..
    } = thread;
    slot.map_or(NOWHERE, |slot| {
        let sample = || {
            if settings.samples_all() {
                return true;
            }
            // To the program it is one call: what a tail call leads to shares the fate of its caller.
            let tail = slot.left_by_tail(settings.generation);
            match tail.filter(|(place, _)| SiteTable::shared().is_callee(*place, site)) {
                Some((_, is_sampled)) => is_sampled,
                None => Thread::sample(settings, random),
            }
        };
        slot.enter(settings.generation, sample, || writer.next_correlation())
    })
}

/// The call may end with a new state. `None` if an outer one of its module will say so.
#[inline(never)]
fn open_chain(slot: Option<&'static Slot>, def: Option<&SiteDef>, depth: u16) -> Option<Opened> {
    // Where there is no slot, nothing is known of an outer one.
    let Some(slot) = slot else {
        return Some(Opened { continues: false });
    };
    slot.open_chain(def?.module, depth)
}

/// The mark for the state that a callback is called with, and which argument that is: it is on the tape already, as far as is
/// known. If it is not, the next change will say so, and queries do not put in what is doubtful.
fn mark_of_state<'a>(
    settings: &Settings,
    slot: Option<&Slot>,
    def: Option<&SiteDef>,
    body: &impl Body<'a>,
) -> Option<(u32, [u8; 4])> {
    let def = def?;
    let StateArgument { index, is_data } = def.state_argument?;
    let chain = slot?.chain(def.module)?;
    let argument = body.arguments().get(index as usize)?;
    let is_known = chain.holds(settings.state_epoch) && !raw::is_immediate(*argument);
    is_known.then_some((index, if is_data { DATA_MARK } else { STATE_MARK }))
}

/// A call that may end with a new state is entered, and nothing of it is recorded.
#[cold]
#[inline(never)]
fn unseen(env: Env<'_>, site: SiteId) {
    let slot = ProcessSlots::shared().find(host::this_process(env));
    if let (Some(slot), Some(site)) = (slot, SiteTable::shared().get(site)) {
        slot.forget_chain(site.module);
    }
}

/// Records the end of a call.
#[inline(always)]
fn leave<'a>(
    env: Env<'a>,
    kind: EventKind,
    place: Term<'a>,
    token: Term<'a>,
    body: impl Body<'a>,
) -> Term<'a> {
    leave_by(
        env,
        token,
        When::Sampled,
        |thread, process, slot, _token, entered| {
            let what = What {
                kind,
                process,
                slot,
                site: site::find(place),
            };
            thread.write(env, what.at(entered), body);
        },
    )
}

/// Whether the end of a call that is not sampled matters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    Always,
    /// Where it is the outermost one.
    Outermost,
    Sampled,
}

impl When {
    #[inline(always)]
    fn includes(self, token: Token) -> bool {
        match self {
            When::Always => true,
            When::Outermost => token.is_sampled || token.depth == 0,
            When::Sampled => token.is_sampled,
        }
    }
}

/// Runs `record` with this thread's state and the place of the call that ends.
#[inline(always)]
fn leave_by<'a>(
    env: Env<'a>,
    token: Term<'a>,
    when: When,
    record: impl FnOnce(&mut Thread, ProcessId, Option<&'static Slot>, Token, Entered),
) -> Term<'a> {
    let Some(token) = Token::of(token) else {
        return ok(env);
    };
    let process = host::this_process(env);
    let slot = ProcessSlots::shared().find(process);
    // The depth is taken back even when nothing is recorded now: the gate may have closed, or the process been muted.
    let place = slot.map_or(NOWHERE, |slot| slot.exit(token.generation, token.depth));
    let word = gate::word();
    let mut is_seen = word != 0;
    if when.includes(token) && word != 0 {
        let recorded = recording_of(word, process, slot, |thread, process, slot| {
            if thread.settings.generation == token.generation {
                record(thread, process, slot, token, place);
            }
        });
        is_seen = recorded.is_some();
    }
    if token.commits
        && let Some(slot) = slot
    {
        match is_seen {
            true => slot.close_chains(token.depth),
            false => slot.break_chains(token.depth),
        }
    }
    ok(env)
}

/// What `enter` answers, and the end of the call gives back: the depth of the entry, whether it was recorded, and by which
/// recorder; whether a state at its end is one of the process, whether a loop goes on with it, and whether the state that it
/// began with is on the tape.
#[derive(Clone, Copy)]
struct Token {
    depth: u16,
    is_sampled: bool,
    commits: bool,
    continues: bool,
    knows: bool,
    generation: u32,
}

impl Token {
    /// Of a call that ends with no state.
    #[inline(always)]
    fn of_call(place: Entered, generation: u32) -> Token {
        Token {
            depth: place.depth,
            is_sampled: place.is_sampled,
            commits: false,
            continues: false,
            knows: false,
            generation,
        }
    }

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

    /// As a small integer of the emulator. `Runtime.exit_all` knows the lowest 17 bits.
    fn pack(self) -> i64 {
        i64::from(self.generation) << 20
            | i64::from(self.knows) << 19
            | i64::from(self.continues) << 18
            | i64::from(self.commits) << 17
            | i64::from(self.depth) << 1
            | i64::from(self.is_sampled)
    }

    /// `None` for the token of a call that met a closed gate.
    fn unpack(token: i64) -> Option<Token> {
        (token >= 0).then_some(Token {
            depth: (token >> 1) as u16,
            is_sampled: token & 1 == 1,
            commits: token >> 17 & 1 == 1,
            continues: token >> 18 & 1 == 1,
            knows: token >> 19 & 1 == 1,
            generation: (token >> 20) as u32,
        })
    }
}

/// The word of an atom of ours.
#[inline(always)]
pub fn atom(atom: Atom) -> Word {
    word_of(atom.as_c_arg())
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

/// `mute_for_life()`
pub fn mute_for_life<'a>(env: Env<'a>, []: [Term<'a>; 0]) -> Term<'a> {
    runtime::mute_for_life(host::this_process(env));
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
