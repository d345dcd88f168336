//! Calls of traced functions. With their ends they are frames of the process's call stack, as those of injected calls are.

use elixir_scope_engine::event::{AtomId, EventKind, SiteId};
use elixir_scope_engine::value::{Full, format};
use elixir_scope_engine::{
    Ending, Group, Member, ProcessSlots, RecordBuf, SiteTable, Slot, Standing, TraceSet, Traces,
    Window,
};
use rustler::{Env, Term};

use super::Event;
use crate::atoms;
use crate::capture::{NOWHERE, atom, with_thread};
use crate::host::BEAM;
use crate::payload::{Body, Payload, Values};
use crate::term::encode::Quick;
use crate::term::redact::Redaction;
use crate::term::{self, Terms, Word, raw, word, word_of};
use crate::thread::Masks;

/// A function as the VM names it.
struct Function {
    site: SiteId,
    /// Its arguments, a list, or how many there are.
    args: Word,
}

/// The number of a function's site: the highest bits keep it apart from those of compiled sites and of stores fed by hand.
pub(super) fn number(module: AtomId, function: AtomId, arity: u32) -> u64 {
    // splitmix64
    let mut number = u64::from(module.0) << 32 ^ u64::from(function.0) << 8 ^ u64::from(arity);
    number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (number ^ number >> 31) & SiteTable::NUMBERS | 1 << 60
}

impl Function {
    /// `{module, function, arguments | arity}`
    #[inline(always)]
    fn of(env: Env<'_>, function: Term<'_>) -> Option<Function> {
        let &[module, name, args] = term::elements(env, word(function))? else {
            return None;
        };
        let arity = match raw::small_value(term::term(env, args)) {
            Some(arity) => u32::try_from(arity).ok()?,
            None => term::length(env, args),
        };
        let module = term::atom_id(term::term(env, module))?;
        let name = term::atom_id(term::term(env, name))?;
        let site = SiteTable::shared().find(number(module, name, arity));
        site.is_some().then_some(Function { site, args })
    }
}

impl<'a> Event<'a> {
    /// The tracee calls a function.
    #[inline(never)]
    pub(super) fn called(&self) {
        let traces = Traces::shared();
        let Some(Function { site, args }) = Function::of(self.env, self.first) else {
            return;
        };
        let standing = self.enclosed(traces.standing(self.process), site);
        let wanted = standing.wanted(Group::Call) & traces.of_function(site);
        let verdict = Verdict::of(self.env, self.result());
        self.record(
            wanted,
            EventKind::FunctionEntry,
            site,
            |thread, slot, counted| {
                let generation = thread.settings.generation;
                let waiting = standing.wanted_ends() & counted;
                let place = match slot {
                    Some(slot) if !waiting.is_empty() => {
                        if let Some(member) = self.member(standing, waiting) {
                            member.enter();
                        }
                        slot.enter(generation, || true, || thread.writer.next_correlation())
                    }
                    Some(slot) => slot.current(generation),
                    None => NOWHERE,
                };
                let is_told = !traces.with_args(counted).is_empty();
                let body = Call {
                    args: is_told.then_some(args),
                    site,
                    masks: 0,
                    stack: verdict.stack,
                };
                (place, body)
            },
        );
        let stops = wanted & verdict.stops;
        if !stops.is_empty() {
            stop(stops);
        }
    }

    /// How the tracee stands when this call has begun, which may be what encloses a trace.
    #[inline(always)]
    fn enclosed<'t>(&self, standing: Standing<'t>, site: SiteId) -> Standing<'t> {
        let enclosed = Traces::shared().enclosed_by(site) & standing.traces();
        if enclosed.is_empty() {
            return standing;
        }
        if let Some(member) = self.member(standing, enclosed) {
            member.enclose(enclosed, true);
        }
        Traces::shared().standing(self.process)
    }

    /// The entry of the tracee, for what these traces have to remember of it.
    #[inline(always)]
    fn member<'t>(&self, standing: Standing<'t>, traces: TraceSet) -> Option<&'t Member>
    where
        'static: 't,
    {
        standing
            .member()
            .or_else(|| Traces::shared().member_or_new(self.process, traces, &**BEAM))
    }

    /// A function has come back.
    #[inline(never)]
    pub(super) fn returned(&self) {
        let value = self.extra().unwrap_or(atom(atoms::nil()));
        self.left(Group::Return, Left::Normally(value));
    }

    /// An exception has left a function.
    pub(super) fn raised(&self) {
        let extra = self
            .extra()
            .and_then(|extra| term::elements(self.env, extra));
        if let Some(&[class, reason]) = extra {
            self.left(Group::Exception, Left::By([class, reason]));
        }
    }

    #[inline(always)]
    fn left(&self, group: Group, how: Left) {
        let traces = Traces::shared();
        let Some(Function { site, .. }) = Function::of(self.env, self.first) else {
            return;
        };
        let standing = traces.standing(self.process);
        let wanted = standing.wanted(group) & traces.of_function(site);
        let enclosed = traces.enclosed_by(site) & standing.traces();
        if !enclosed.is_empty()
            && let Some(member) = standing.member()
        {
            member.enclose(enclosed, false);
        }
        // A frame of the VM that a trace before this one left tells of its end too.
        let is_known = standing.member().is_some_and(Member::leave_call);
        let mut is_left = false;
        let leave = |slot: &Slot, generation| {
            let now = slot.current(generation);
            match is_known {
                true => slot.exit(generation, now.depth.saturating_sub(1)),
                false => now,
            }
        };
        self.record(
            wanted,
            EventKind::FunctionExit,
            site,
            |thread, slot, counted| {
                is_left = true;
                let generation = thread.settings.generation;
                let place = slot.map_or(NOWHERE, |slot| leave(slot, generation));
                let how = match how {
                    Left::Normally(_) if traces.with_results(counted).is_empty() => {
                        Left::Normally(atom(atoms::nil()))
                    }
                    how => how,
                };
                (place, how)
            },
        );
        // Its frame is gone, whether that was recorded or not.
        if is_known
            && !is_left
            && let Some(slot) = ProcessSlots::shared().find(self.process)
        {
            with_thread(self.word, |thread| leave(slot, thread.settings.generation));
        }
    }
}

#[cold]
fn stop(traces: TraceSet) {
    for number in traces.numbers() {
        Traces::shared().end(number, Ending::StopWhen);
    }
}

/// How a call ended.
#[derive(Clone, Copy)]
enum Left {
    /// With a value.
    Normally(Word),
    /// By a class and a reason.
    By([Word; 2]),
}

impl<'t> Body<'t> for Left {
    const IS_QUICK: bool = true;

    #[inline(always)]
    fn quick<'w, T: Terms<'t>>(
        &self,
        quick: Quick<'_, T>,
        window: Window<'w>,
    ) -> Option<Window<'w>> {
        let Left::Normally(value) = *self else {
            return None;
        };
        let window = quick.term(window, atom(atoms::normal()))?;
        quick.field(window, value)
    }

    fn write(self, payload: &mut Payload<'_, 't, RecordBuf<'_>>) -> Result<(), Full> {
        match self {
            Left::Normally(value) => Values(&[atom(atoms::normal()), value]).write(payload),
            Left::By([class, reason]) => {
                payload.raised(class, reason)?;
                payload.nil()
            }
        }
    }
}

/// What the match spec of a function says: `{:es, traces to stop, frames}`.
struct Verdict<'a> {
    stops: TraceSet,
    /// Frames as a list, one frame, or nothing.
    stack: Option<Term<'a>>,
}

impl<'a> Verdict<'a> {
    const NONE: Self = Verdict {
        stops: TraceSet::EMPTY,
        stack: None,
    };

    #[inline(always)]
    fn of(env: Env<'a>, result: Option<Word>) -> Verdict<'a> {
        match result {
            None => Verdict::NONE,
            Some(result) => Verdict::in_term(env, result),
        }
    }

    fn in_term(env: Env<'a>, result: Word) -> Verdict<'a> {
        let elements = term::elements(env, result);
        let Some(&[tag, stops, stack]) = elements else {
            return Verdict::NONE;
        };
        if tag != word_of(atoms::es().as_c_arg()) {
            return Verdict::NONE;
        }
        let stops = match term::term(env, stops) {
            all if atoms::true_() == all => u32::MAX,
            some => some.decode().unwrap_or(0),
        };
        let stack = term::term(env, stack);
        let has_frames = stack.is_tuple() || (stack.is_list() && !stack.is_empty_list());
        Verdict {
            stops: TraceSet::from_bits(stops),
            stack: has_frames.then_some(stack),
        }
    }
}

/// The arguments of a call, and where it came from: a list behind the fields, which an entry without it does not have.
struct Call<'a> {
    /// A list, or how many there are; none where they are not wanted.
    args: Option<Word>,
    site: SiteId,
    masks: u32,
    stack: Option<Term<'a>>,
}

impl<'a> Body<'a> for Call<'a> {
    const IS_QUICK: bool = true;

    #[inline(always)]
    fn prepare(&mut self, masks: &mut Masks, redaction: &Redaction) {
        self.masks = masks.of(self.site, redaction);
    }

    #[inline(always)]
    fn quick<'w, T: Terms<'a>>(
        &self,
        quick: Quick<'_, T>,
        window: Window<'w>,
    ) -> Option<Window<'w>> {
        match (self.stack, self.args) {
            (Some(_), _) => None,
            (None, Some(args)) => quick.elements(window, args, self.masks),
            (None, None) => window.byte(format::NIL),
        }
    }

    fn write(self, payload: &mut Payload<'_, 'a, RecordBuf<'_>>) -> Result<(), Full> {
        match self.args {
            Some(args) => payload.arg_cells(args, self.site)?,
            None => payload.bytes(&[format::NIL])?,
        }
        match self.stack {
            None => Ok(()),
            Some(stack) if stack.is_list() => payload.value(stack),
            Some(caller) => {
                payload.bytes(&[format::LIST])?;
                frame(caller, payload)?;
                payload.bytes(&[format::END])
            }
        }
    }
}

/// `{module, function, arity, {file, line}}`, as the VM tells a caller, in the form of a stack trace's frame.
fn frame<'a>(caller: Term<'a>, payload: &mut Payload<'_, 'a, RecordBuf<'_>>) -> Result<(), Full> {
    let env = caller.get_env();
    let Some(&[module, function, arity, place]) = term::elements(env, word(caller)) else {
        return payload.value(caller);
    };
    payload.bytes(&[format::TUPLE, 4])?;
    payload.words(&[module, function, arity])?;
    let Some(&[file, line]) = term::elements(env, place) else {
        return payload.bytes(&[format::NIL]);
    };
    payload.bytes(&[format::LIST])?;
    for (key, value) in [(atoms::file(), file), (atoms::line(), line)] {
        payload.bytes(&[format::TUPLE, 2])?;
        payload.words(&[atom(key), value])?;
    }
    payload.bytes(&[format::END])
}
