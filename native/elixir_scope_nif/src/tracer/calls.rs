//! Calls of traced functions. With their ends they are frames of the process's call stack, as those of injected calls are.

use std::cell::Cell;

use elixir_scope_engine::event::{AtomId, EventKind, SiteId};
use elixir_scope_engine::value::{Full, format};
use elixir_scope_engine::{
    Ending, Group, ProcessSlots, RecordBuf, SiteTable, Slot, TraceSet, Traces, Window,
};
use rustler::{Env, Term};
use smallvec::SmallVec;

use super::Event;
use crate::atoms;
use crate::capture::{NOWHERE, atom};
use crate::host::BEAM;
use crate::payload::{Args, Body, Payload, Values, by};
use crate::term::encode::Quick;
use crate::term::redact::Redaction;
use crate::term::{self, Terms, Word, raw, word, word_of};
use crate::thread::Masks;

/// A function as the VM names it, with its arguments where they are given.
struct Function {
    site: SiteId,
    args: Words,
}

type Words = SmallVec<[Word; 8]>;

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
    #[inline]
    fn of(env: Env<'_>, function: Term<'_>) -> Option<Function> {
        let &[module, name, args] = term::elements(env, word(function))? else {
            return None;
        };
        let mut rest = term::term(env, args);
        let mut args = Words::new();
        let arity = match raw::small_value(rest) {
            Some(arity) => u32::try_from(arity).ok()?,
            None => {
                while let Ok((arg, others)) = rest.list_get_cell() {
                    args.push(word(arg));
                    rest = others;
                }
                u32::try_from(args.len()).ok()?
            }
        };
        let module = term::atom_id(term::term(env, module))?;
        let name = term::atom_id(term::term(env, name))?;
        let site = SiteTable::shared().find(number(module, name, arity));
        site.is_some().then_some(Function { site, args })
    }
}

impl<'a> Event<'a> {
    /// The tracee calls a function.
    pub(super) fn called(&self) {
        let traces = Traces::shared();
        let Some(function) = Function::of(self.env, self.first) else {
            return;
        };
        let site = function.site;
        let enclosed = traces.enclosed_by(site) & traces.of(self.process);
        if !enclosed.is_empty()
            && let Some(member) = traces.member_or_new(self.process, &**BEAM)
        {
            member.enclose(enclosed, true);
        }
        let of_function = traces.of_function(site);
        let wanted = traces.wanted(Group::Call, self.process) & of_function;
        let verdict = Verdict::of(self.env, self.result());
        self.record(wanted, |thread, slot, counted| {
            let ends = traces.wanted(Group::Return, self.process)
                | traces.wanted(Group::Exception, self.process);
            let generation = thread.settings.generation;
            let place = match slot {
                Some(slot) if !(ends & counted).is_empty() => {
                    if let Some(member) = traces.member_or_new(self.process, &**BEAM) {
                        member.enter();
                    }
                    slot.enter(generation, || true, || thread.writer.next_correlation())
                }
                Some(slot) => slot.current(generation),
                None => NOWHERE,
            };
            let args = match traces.with_args(counted).is_empty() {
                true => &[],
                false => function.args.as_slice(),
            };
            let body = Call {
                args: Args::new(args, site),
                stack: verdict.stack,
            };
            self.write(thread, slot, EventKind::FunctionEntry, site, place, body);
        });
        for number in (wanted & verdict.stops).numbers() {
            traces.end(number, Ending::StopWhen);
        }
    }

    /// A function has come back.
    pub(super) fn returned(&self) {
        let nil = atom(atoms::nil());
        let value = self.extra().map_or(nil, word);
        self.left(Group::Return, |results| {
            let value = if results { value } else { nil };
            Left::Normally([atom(atoms::normal()), value])
        });
    }

    /// An exception has left a function.
    pub(super) fn raised(&self) {
        let env = self.env;
        let extra = self
            .extra()
            .and_then(|extra| term::elements(env, word(extra)));
        let Some(&[class, reason]) = extra else {
            return;
        };
        self.left(Group::Exception, |_results| Left::By([class, reason]));
    }

    fn left(&self, group: Group, how: impl FnOnce(bool) -> Left) {
        let traces = Traces::shared();
        let Some(Function { site, .. }) = Function::of(self.env, self.first) else {
            return;
        };
        let enclosed = traces.enclosed_by(site) & traces.of(self.process);
        let member = traces.member(self.process);
        let wanted = traces.wanted(group, self.process) & traces.of_function(site);
        if !enclosed.is_empty()
            && let Some(member) = member
        {
            member.enclose(enclosed, false);
        }
        // A frame of the VM that a trace before this one left tells of its end too.
        let is_known = member.is_some_and(|member| member.leave_call());
        let is_left = Cell::new(false);
        let leave = |slot: &Slot, generation| {
            is_left.set(true);
            let now = slot.current(generation);
            match is_known {
                true => slot.exit(generation, now.depth.saturating_sub(1)),
                false => now,
            }
        };
        self.record(wanted, |thread, slot, counted| {
            let generation = thread.settings.generation;
            let place = slot.map_or(NOWHERE, |slot| leave(slot, generation));
            let kind = EventKind::FunctionExit;
            match how(!traces.with_results(counted).is_empty()) {
                Left::Normally(fields) => {
                    self.write(thread, slot, kind, site, place, Values(&fields));
                }
                Left::By([class, reason]) => {
                    let body = by(|payload| {
                        let [class, reason] =
                            [class, reason].map(|word| term::term(self.env, word));
                        payload.exception(&[class, reason, Term::list_new_empty(self.env)])?;
                        payload.nil()
                    });
                    self.write(thread, slot, kind, site, place, body);
                }
            }
        });
        // Its frame is gone, whether that was recorded or not.
        if is_known
            && !is_left.get()
            && let Some(slot) = ProcessSlots::shared().find(self.process)
            && let Some(running) = crate::runtime::running()
        {
            leave(slot, running.settings.generation);
        }
    }
}

/// How a call ended.
enum Left {
    Normally([Word; 2]),
    By([Word; 2]),
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

    fn of(env: Env<'a>, result: Option<Term<'a>>) -> Verdict<'a> {
        let elements = result.and_then(|result| term::elements(env, word(result)));
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
struct Call<'v, 'a> {
    args: Args<'v>,
    stack: Option<Term<'a>>,
}

impl<'a> Body<'a> for Call<'_, 'a> {
    const IS_QUICK: bool = true;

    #[inline(always)]
    fn prepare(&mut self, masks: &mut Masks, redaction: &Redaction) {
        self.args.prepare(masks, redaction);
    }

    #[inline(always)]
    fn quick<'w, T: Terms<'a>>(
        &self,
        quick: Quick<'_, T>,
        window: Window<'w>,
    ) -> Option<Window<'w>> {
        /// `Args` has so many bits for masks.
        const MOST: usize = 32;
        if self.stack.is_some() || self.args.arguments().len() > MOST {
            return None;
        }
        self.args.quick(quick, window)
    }

    fn write(self, payload: &mut Payload<'_, 'a, RecordBuf<'_>>) -> Result<(), Full> {
        self.args.write(payload)?;
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
