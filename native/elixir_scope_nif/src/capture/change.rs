//! How a state is recorded: by what changed, where the one before is on the tape for sure; whole otherwise, and now and then
//! as a check of what the changes lead to.

use std::sync::atomic::{AtomicU64, Ordering};

use elixir_scope_engine::event::{AtomId, Ticks};
use elixir_scope_engine::value::{Full, delta_format};
use elixir_scope_engine::{Chain, Entered, RecordBuf, StateHead, StatePart, Window};
use rustler::schedule::consume_timeslice;
use rustler::{Encoder, Env, Term};

use super::What;
use crate::callback::State;
use crate::entry::Answer;
use crate::payload::{Body, Payload, Values, encode_state};
use crate::settings::{Level, Settings};
use crate::term::delta::{self, TooMuch, Written};
use crate::term::encode::Quick;
use crate::term::fingerprint::fingerprint;
use crate::term::nif::NifTerms;
use crate::term::raw::RawTerms;
use crate::term::{Terms, Word};
use crate::thread::Thread;

/// Checks take a tenth of a nanosecond of each change, at most so many changes apart and at least so many.
const CHECK_SHARE_NS: i64 = 10;
const OFTEN: i64 = 16;
/// A scheduler gives a process a millisecond at a time; what takes less than a hundredth of that is not accounted.
const TIMESLICE_PERCENT_NS: i64 = 10_000;
/// What a step of a delta takes, in nanoseconds, with some room.
const STEP_NS: i64 = 5;

/// How many states were recorded whole, and how many were checked: by all recorders. What is rare costs nothing to count.
static WHOLE: AtomicU64 = AtomicU64::new(0);
static CHECKED: AtomicU64 = AtomicU64::new(0);

/// `states_told()`: `{whole, checked}`
pub fn states_told<'a>(env: Env<'a>, []: [Term<'a>; 0]) -> Answer<'a> {
    // Relaxed, here and below: the numbers alone matter.
    let told = [&WHOLE, &CHECKED].map(|count| count.load(Ordering::Relaxed));
    Ok((told[0], told[1]).encode(env))
}

/// What the process held before.
#[derive(Clone, Copy)]
pub(super) enum Before {
    /// Nothing: it begins.
    Nothing,
    /// That is not known.
    Unknown,
    State(State),
    /// What was seen of it last, from beside its callbacks: `sys:replace_state` may have come in between.
    Seen(State),
}

/// A state that a process has now.
pub(super) struct Change<'e> {
    pub env: Env<'e>,
    pub what: What,
    pub place: Entered,
    /// The module that it is the state of.
    pub module: AtomId,
    pub trigger: Word,
    pub before: Before,
    pub now: State,
}

/// What is recorded of it, behind the bytes of the thread.
struct Told {
    flags: u8,
}

impl Change<'_> {
    /// Records it, unless it is the state that was recorded last.
    pub fn record(&self, thread: &mut Thread) {
        if thread.settings.level == Level::Paused {
            return self.lose(thread);
        }
        let mut bytes = std::mem::take(&mut thread.scratch);
        if let Some(head) = self.told(thread, &mut bytes) {
            let body = Recorded {
                trigger: self.trigger,
                head,
                bytes: &bytes,
            };
            thread.write(self.env, self.what.at(self.place), body);
        }
        thread.keep_scratch(bytes);
    }

    /// Writes what a record is to tell of it, and answers what stands in front of that; `None` if it is the state that was recorded
    /// last. The record has to be made: the change has its number among those of the process.
    #[inline]
    pub fn told(&self, thread: &Thread, bytes: &mut Vec<u8>) -> Option<StateHead> {
        bytes.clear();
        let Told { flags } = match RawTerms::new(self.env) {
            Some(raw) => self.tell(raw, thread, bytes),
            None => self.tell(NifTerms::new(self.env), thread, bytes),
        }?;
        let slot = self.what.slot;
        let sequence = slot.map_or(0, |slot| slot.next_state_sequence());
        Some(StatePart::head(flags, sequence))
    }

    /// Records that the process holds another state in this module than before, and that it is not known which. For a call whose
    /// place among the calls of the module is not known either: an outer one of them may take its state back.
    #[cold]
    pub fn record_unknown(&self, thread: &mut Thread) {
        let Some(slot) = self.what.slot else {
            return;
        };
        let body = Recorded {
            trigger: self.trigger,
            head: StatePart::head(
                StatePart::DELTA | StatePart::CUT,
                slot.next_state_sequence(),
            ),
            bytes: &[delta_format::UNKNOWN],
        };
        thread.write(self.env, self.what.at(self.place), body);
    }

    /// Has it counted as lost, without the work.
    #[cold]
    fn lose(&self, thread: &mut Thread) {
        if let Some(slot) = self.what.slot {
            slot.next_state_sequence();
        }
        thread.write(self.env, self.what.at(self.place), Values(&[]));
    }

    #[inline]
    fn chain(&self) -> Option<&'static Chain> {
        self.what.slot?.chain(self.module)
    }

    /// Writes the state, or how it came to be; `None` if it is the one before.
    #[inline]
    fn tell<'t, T: Terms<'t>>(
        &self,
        terms: T,
        thread: &Thread,
        bytes: &mut Vec<u8>,
    ) -> Option<Told> {
        let settings = &*thread.settings;
        let is_wanted = self
            .what
            .slot
            .is_some_and(|slot| slot.take_keyframe_wanted());
        let old = match self.before {
            Before::State(old) | Before::Seen(old) => Some(old),
            _ => None,
        };
        let chain = self.chain();
        let Some((old, chain)) = old
            .zip(chain)
            .filter(|(old, chain)| chain.leads_to(settings.state_epoch, print(terms, *old)))
        else {
            return Some(self.tell_whole(terms, thread, bytes, self.breaks()));
        };
        let mut steps = delta::MOST_STEPS;
        if is_wanted {
            if let Some(told) = self.tell_large(terms, thread, bytes, self.breaks()) {
                return Some(told);
            }
            steps = delta::FEW_STEPS;
        }
        match write_delta(terms, old, self.now, (settings, steps), bytes) {
            Ok(written) if written.is_same => None,
            Ok(written) => {
                self.took(i64::from(written.steps) * STEP_NS);
                let is_due = chain.advance(print(terms, self.now));
                if !is_due {
                    return Some(Told {
                        flags: StatePart::DELTA | cut(written.is_whole),
                    });
                }
                // A check would prove what was held in between, too.
                if matches!(self.before, Before::Seen(_)) {
                    chain.check_after(Chain::MOST_UNCHECKED);
                    return Some(Told {
                        flags: StatePart::DELTA | cut(written.is_whole),
                    });
                }
                if written.is_whole {
                    return Some(self.check(terms, thread, bytes, chain));
                }
                bytes.clear();
                Some(self.tell_whole(terms, thread, bytes, 0))
            }
            Err(TooMuch) => {
                self.took(i64::from(steps) * STEP_NS);
                bytes.clear();
                if let Some(told) = self.tell_large(terms, thread, bytes, 0) {
                    return Some(told);
                }
                chain.advance(print(terms, self.now));
                bytes.clear();
                bytes.push(delta_format::UNKNOWN);
                Some(Told {
                    flags: StatePart::DELTA | StatePart::CUT,
                })
            }
        }
    }

    /// Writes the whole state if there is time for it; if not, the next change will try.
    #[cold]
    fn tell_large<'t, T: Terms<'t>>(
        &self,
        terms: T,
        thread: &Thread,
        bytes: &mut Vec<u8>,
        breaks: u8,
    ) -> Option<Told> {
        let clock = thread.writer.rings().clock();
        let start = clock.convert(clock.ticks()).0;
        if !thread.thrift.allows(start) {
            if let Some(slot) = self.what.slot {
                slot.want_keyframe();
            }
            return None;
        }
        let told = self.tell_whole(terms, thread, bytes, breaks);
        thread
            .thrift
            .spend(clock.convert(clock.ticks()).0.saturating_sub(start));
        Some(told)
    }

    /// What a whole state says of how it hangs together with what is on the tape.
    fn breaks(&self) -> u8 {
        match self.before {
            Before::Nothing => {
                let slot = self.what.slot;
                let is_first = slot.is_some_and(|slot| slot.state_sequence() == 0);
                StatePart::FIRST | if is_first { 0 } else { StatePart::BREAKS }
            }
            _ => StatePart::BREAKS,
        }
    }

    #[inline(never)]
    fn tell_whole<'t, T: Terms<'t>>(
        &self,
        terms: T,
        thread: &Thread,
        bytes: &mut Vec<u8>,
        breaks: u8,
    ) -> Told {
        WHOLE.fetch_add(1, Ordering::Relaxed);
        let (is_whole, took) = self.write_whole(terms, thread, bytes);
        if let Some(chain) = self.chain() {
            let epoch = thread.settings.state_epoch;
            chain.renew(epoch, print(terms, self.now), until_check(took));
        }
        Told {
            flags: StatePart::WHOLE | breaks | cut(is_whole),
        }
    }

    /// Writes the whole state behind the delta that leads to it.
    #[inline(never)]
    fn check<'t, T: Terms<'t>>(
        &self,
        terms: T,
        thread: &Thread,
        bytes: &mut Vec<u8>,
        chain: &Chain,
    ) -> Told {
        let before = bytes.len();
        let (is_whole, took) = self.write_whole(terms, thread, bytes);
        if is_whole {
            CHECKED.fetch_add(1, Ordering::Relaxed);
            chain.check_after(until_check(took));
            return Told {
                flags: StatePart::CHECK,
            };
        }
        // What is cut proves nothing.
        bytes.truncate(before);
        chain.check_after(Chain::MOST_UNCHECKED);
        Told {
            flags: StatePart::DELTA,
        }
    }

    /// Whether nothing is missing, and how long it took.
    fn write_whole<'t, T: Terms<'t>>(
        &self,
        terms: T,
        thread: &Thread,
        bytes: &mut Vec<u8>,
    ) -> (bool, i64) {
        let clock = thread.writer.rings().clock();
        let start: Ticks = clock.ticks();
        // A vector is never full.
        let is_whole = encode_state(terms, self.now, &thread.settings, bytes).unwrap_or(false);
        let took = clock.convert(clock.ticks()).0 - clock.convert(start).0;
        self.took(took);
        (is_whole, took)
    }

    /// Takes what was done out of the time that the process has before it is another one's turn.
    #[inline]
    fn took(&self, took_ns: i64) {
        if took_ns > TIMESLICE_PERCENT_NS {
            let percent = (took_ns / TIMESLICE_PERCENT_NS).clamp(1, 100);
            consume_timeslice(self.env, percent as i32);
        }
    }
}

/// A whole state of another process, which was asked for it.
pub(super) fn record_of_another(
    env: Env<'_>,
    thread: &mut Thread,
    what: What,
    place: Entered,
    state: Word,
    nil: Word,
) {
    let mut bytes = std::mem::take(&mut thread.scratch);
    bytes.clear();
    let (settings, state) = (&*thread.settings, State::Term(state));
    WHOLE.fetch_add(1, Ordering::Relaxed);
    let is_whole = match RawTerms::new(env) {
        Some(raw) => encode_state(raw, state, settings, &mut bytes),
        None => encode_state(NifTerms::new(env), state, settings, &mut bytes),
    };
    let body = Recorded {
        trigger: nil,
        // Nobody saw what lies between two snapshots.
        head: StatePart::head(
            StatePart::WHOLE | StatePart::BREAKS | cut(is_whole.unwrap_or(false)),
            0,
        ),
        bytes: &bytes,
    };
    thread.write(env, what.at(place), body);
    thread.keep_scratch(bytes);
}

fn cut(is_whole: bool) -> u8 {
    if is_whole { 0 } else { StatePart::CUT }
}

/// After how many changes the next check is due, if one takes so long.
fn until_check(took_ns: i64) -> u16 {
    let changes = (took_ns / CHECK_SHARE_NS).clamp(OFTEN, Chain::MOST_UNCHECKED.into());
    changes as u16
}

#[inline]
fn print<'t, T: Terms<'t>>(terms: T, state: State) -> u32 {
    match state {
        State::Term(state) => fingerprint(terms, &[state]),
        State::Named(name, data) => fingerprint(terms, &[name, data]),
    }
}

/// The same by whichever way the terms can be read.
#[inline]
pub(super) fn print_of(env: Env<'_>, state: State) -> u32 {
    match RawTerms::new(env) {
        Some(raw) => print(raw, state),
        None => print(NifTerms::new(env), state),
    }
}

#[inline]
fn write_delta<'t, T: Terms<'t>>(
    terms: T,
    old: State,
    new: State,
    (settings, steps): (&Settings, u32),
    bytes: &mut Vec<u8>,
) -> Result<Written, TooMuch> {
    let rules = (&settings.state_rules, steps);
    match (old, new) {
        (State::Term(old), State::Term(new)) => delta::write(terms, old, new, rules, bytes),
        (State::Named(old_name, old_data), State::Named(name, data)) => {
            delta::write_pair(terms, (old_name, old_data), (name, data), rules, bytes)
        }
        _ => Err(TooMuch),
    }
}

/// What stands in the record.
struct Recorded<'b> {
    trigger: Word,
    head: StateHead,
    bytes: &'b [u8],
}

impl<'t> Body<'t> for Recorded<'_> {
    const IS_QUICK: bool = true;

    #[inline(always)]
    fn quick<'w, T: Terms<'t>>(
        &self,
        quick: Quick<'_, T>,
        window: Window<'w>,
    ) -> Option<Window<'w>> {
        let window = quick.term(window, self.trigger)?;
        self.head.write(window)?.bytes(self.bytes)
    }

    fn write(self, payload: &mut Payload<'_, 't, RecordBuf<'_>>) -> Result<(), Full> {
        payload.word(self.trigger)?;
        payload.state_head(self.head)?;
        payload.bytes(self.bytes)
    }
}
