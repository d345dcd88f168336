//! The VM's own tracer: what it calls instead of sending trace messages. `enabled/3` says whether an event is wanted, `trace/5` records
//! it. Which processes and functions have flags is the business of `ElixirScope.Tracing`; which trace an event belongs to, and
//! whether that has had enough, is told by the engine's [`Traces`].
//!
//! The tracee is taken from the arguments: some environments here have no process. Events come on any scheduler's thread, dirty ones
//! among them. Nothing here sends a message or calls back.
//!
//! * `calls`: functions that are called, and come back
//! * `messages`: what is sent, and what arrives
//! * `tokens`: which message is which, by the tokens of `seq_trace`
//! * `life`: births, deaths, links, names, garbage collections
//! * `control`: what `ElixirScope.Tracing` asks for
//! * `crashes`: what the logger hears of

mod calls;
mod control;
mod crashes;
mod life;
mod messages;
mod tokens;

use std::ffi::c_int;

use elixir_scope_engine::event::{EventKind, ProcessId, SiteId};
use elixir_scope_engine::record::RecordHead;
use elixir_scope_engine::{Entered, Group, ProcessSlots, Slot, Standing, TraceSet, Traces};
use once_cell::sync::OnceCell;
use rustler::sys::{ErlNifEnv, ErlNifTerm};
use rustler::{Atom, Env, Term};

use crate::capture::{NOWHERE, What, atom, claim, with_thread};
use crate::entry::{asked, capture};
use crate::payload::Body;
use crate::term::{self, Word, word, word_of};
use crate::thread::Thread;
use crate::{atoms, gate, host};

pub use crashes::{crash_note, crash_state};
pub use tokens::Sending;

pub use control::{
    trace_end, trace_free, trace_function, trace_leave_out, trace_members, trace_note, trace_open,
    trace_record, trace_status,
};

/// What the VM calls for `enabled/3` and for `trace/5`. It calls both, and for any event, at one place; where that leads to one function alone
/// the processor foresees it. With a function for each, or more of them (`enabled_call` and its like), it took 5 to 9 ns to find out.
///
/// # Safety
/// `env`, `argc` and `argv` are those of a NIF call that is running.
#[allow(unsafe_code, reason = "the C interface of the emulator")]
pub unsafe extern "C" fn told(
    env: *mut ErlNifEnv,
    argc: c_int,
    argv: *const ErlNifTerm,
) -> ErlNifTerm {
    // SAFETY: by this function's contract; the emulator checked the arity.
    unsafe {
        match argc {
            3 => asked::<3>(env, argv, at_once, otherwise),
            _ => capture::<5>(env, argv, |env| atoms::ok().to_term(env), trace),
        }
    }
}

/// # Safety
/// As [`told`], with three arguments.
#[allow(unsafe_code, reason = "the C interface of the emulator")]
unsafe extern "C" fn otherwise(
    env: *mut ErlNifEnv,
    _argc: c_int,
    argv: *const ErlNifTerm,
) -> ErlNifTerm {
    // SAFETY: by this function's contract.
    unsafe { capture::<3>(env, argv, |env| atoms::discard().to_term(env), enabled) }
}

/// What `enabled(tag, state, tracee)` answers if that is seen at first sight, as mostly. The status is what the VM asks for most: before
/// each call, and whenever a process goes on.
#[inline(always)]
fn at_once(tag: Word, tracee: Word) -> Option<Atom> {
    let process = local_of(tracee).filter(|_| gate::word() != 0)?;
    let traces = Traces::shared();
    let wants = |group| traces.surely_wants(group, process);
    let is_sure = match tag {
        _ if tag == atom(atoms::trace_status()) => traces.surely_has(process),
        _ if tag == atom(atoms::call()) => wants(Group::Call),
        _ if tag == atom(atoms::send()) => wants(Group::Send),
        _ if tag == atom(atoms::receive()) => wants(Group::Receive),
        _ => false,
    };
    is_sure.then(atoms::trace)
}

/// `enabled(tag, state, tracee)`
fn enabled<'a>(env: Env<'a>, [tag, _state, tracee]: [Term<'a>; 3]) -> Term<'a> {
    let answer = match word(tag) == atom(atoms::trace_status()) {
        true => status(tracee),
        false => rare(tag, tracee),
    };
    answer.to_term(env)
}

#[inline(never)]
fn rare(tag: Term<'_>, tracee: Term<'_>) -> Atom {
    match Tag::of(tag) {
        // Else the VM sends the same number along once more, and two messages have one name.
        Some(Tag::Token) => atoms::trace(),
        // A process that is just born may join the traces of its parent.
        Some(Tag::Spawned) => answer(tracee, |_| true),
        Some(tag) => answer(tracee, |standing| standing.may_want(tag.group())),
        None => atoms::discard(),
    }
}

/// Whether the VM is to tell of an event, or to take the flags of a process away that belongs to nothing.
#[inline(always)]
fn answer(tracee: Term<'_>, is_wanted: impl FnOnce(Standing<'_>) -> bool) -> Atom {
    if gate::word() == 0 {
        return atoms::discard();
    }
    let traces = Traces::shared();
    if traces.running().is_empty() {
        return atoms::remove();
    }
    let Some(process) = local(tracee) else {
        return atoms::discard();
    };
    let standing = traces.standing(process);
    if is_wanted(standing) {
        atoms::trace()
    } else if standing.traces().is_empty() && !traces.follows_messages() {
        atoms::remove()
    } else {
        atoms::discard()
    }
}

/// Whether the tracer is there, and whether a process belongs to anything.
#[inline(always)]
fn status(tracee: Term<'_>) -> Atom {
    match gate::word() {
        0 => atoms::trace(),
        // Of the system tracer itself, which the VM would forget: it is given back with the tokens.
        _ if atoms::undefined() == tracee => atoms::trace(),
        _ => answer(tracee, |standing| !standing.traces().is_empty()),
    }
}

/// `trace(tag, state, tracee, first, opts)`
fn trace<'a>(env: Env<'a>, args: [Term<'a>; 5]) -> Term<'a> {
    let [tag, _state, tracee, first, opts] = args;
    let word = gate::word();
    let tag = if word == 0 { None } else { Tag::of(tag) };
    if tag == Some(Tag::Token) {
        tokens::seen(env, word, tracee, first);
    } else if let Some(tag) = tag
        && let Some(process) = local(tracee)
    {
        let event = Event {
            env,
            word,
            process,
            first,
            opts,
        };
        event.take(tag);
    }
    atoms::ok().to_term(env)
}

/// What the VM tells of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tag {
    Send,
    SendToNobody,
    Receive,
    Call,
    Return,
    Exception,
    Spawn,
    Spawned,
    Exit,
    Link,
    LinkedBy,
    Unlink,
    UnlinkedBy,
    Register,
    Unregister,
    GcStart,
    MinorGcEnd,
    MajorGcEnd,
    /// A message with a token; it has no tracee.
    Token,
}

/// The tags by the words of their atoms, those that come most often first.
static TAGS: OnceCell<[(Word, Tag); 20]> = OnceCell::new();

#[cold]
fn tags() -> [(Word, Tag); 20] {
    let named = [
        (atoms::send(), Tag::Send),
        (atoms::receive(), Tag::Receive),
        (atoms::call(), Tag::Call),
        (atoms::return_from(), Tag::Return),
        (atoms::exception_from(), Tag::Exception),
        (atoms::spawn(), Tag::Spawn),
        (atoms::spawned(), Tag::Spawned),
        (atoms::exit(), Tag::Exit),
        (atoms::link(), Tag::Link),
        (atoms::getting_linked(), Tag::LinkedBy),
        (atoms::unlink(), Tag::Unlink),
        (atoms::getting_unlinked(), Tag::UnlinkedBy),
        (atoms::register(), Tag::Register),
        (atoms::unregister(), Tag::Unregister),
        (atoms::gc_minor_start(), Tag::GcStart),
        (atoms::gc_major_start(), Tag::GcStart),
        (atoms::gc_minor_end(), Tag::MinorGcEnd),
        (atoms::gc_major_end(), Tag::MajorGcEnd),
        (atoms::send_to_non_existing_process(), Tag::SendToNobody),
        (atoms::seq_trace(), Tag::Token),
    ];
    named.map(|(name, tag)| (word_of(name.as_c_arg()), tag))
}

impl Tag {
    #[inline]
    fn of(tag: Term<'_>) -> Option<Tag> {
        let tag = word(tag);
        let known = TAGS.get_or_init(tags).iter();
        known
            .copied()
            .find(|(name, _)| *name == tag)
            .map(|(_, tag)| tag)
    }

    /// The sort that it belongs to.
    fn group(self) -> Group {
        match self {
            Tag::Send | Tag::SendToNobody => Group::Send,
            Tag::Receive => Group::Receive,
            Tag::Call => Group::Call,
            Tag::Return => Group::Return,
            Tag::Exception => Group::Exception,
            Tag::GcStart | Tag::MinorGcEnd | Tag::MajorGcEnd => Group::Gc,
            _ => Group::Procs,
        }
    }
}

/// One event as the VM tells it.
#[derive(Clone, Copy)]
struct Event<'a> {
    env: Env<'a>,
    /// What the gate was seen open with.
    word: u64,
    /// The tracee.
    process: ProcessId,
    first: Term<'a>,
    opts: Term<'a>,
}

impl<'a> Event<'a> {
    /// By compares where it comes often: a table of places to go to is not foreseen as well.
    #[inline(always)]
    fn take(&self, tag: Tag) {
        if tag == Tag::Call {
            self.called();
        } else if tag == Tag::Return {
            self.returned();
        } else if tag == Tag::Send {
            self.sent(false);
        } else if tag == Tag::Receive {
            self.received();
        } else {
            self.take_rare(tag);
        }
    }

    #[inline(never)]
    fn take_rare(&self, tag: Tag) {
        match tag {
            Tag::Send => self.sent(false),
            Tag::SendToNobody => self.sent(true),
            Tag::Receive => self.received(),
            Tag::Call => self.called(),
            Tag::Return => self.returned(),
            Tag::Exception => self.raised(),
            Tag::Spawn => self.spawned(),
            Tag::Spawned => self.born(),
            Tag::Exit => self.exited(),
            Tag::Link => self.linked(EventKind::ProcessLink, true),
            Tag::LinkedBy => self.linked(EventKind::ProcessLink, false),
            Tag::Unlink => self.linked(EventKind::ProcessUnlink, true),
            Tag::UnlinkedBy => self.linked(EventKind::ProcessUnlink, false),
            Tag::Register => self.named(EventKind::ProcessRegister),
            Tag::Unregister => self.named(EventKind::ProcessUnregister),
            Tag::GcStart => self.gc_began(),
            Tag::MinorGcEnd => self.gc_ended(atoms::minor()),
            Tag::MajorGcEnd => self.gc_ended(atoms::major()),
            // It has no process of its own.
            Tag::Token => {}
        }
    }

    /// What the VM adds to the event.
    #[inline(always)]
    fn extra(&self) -> Option<Word> {
        term::value_under(self.env, word(self.opts), atom(atoms::extra()))
    }

    /// What the match spec that let it pass says.
    #[inline(always)]
    fn result(&self) -> Option<Word> {
        let key = atom(atoms::match_spec_result());
        term::value_under(self.env, word(self.opts), key)
    }

    /// Records something that the tracee does, and that neither begins nor ends a call, if a trace wants it.
    #[inline(always)]
    fn mark<B: Body<'a>>(&self, group: Group, kind: EventKind, body: impl FnOnce(TraceSet) -> B) {
        let wanted = Traces::shared().wanted(group, self.process);
        self.record(wanted, kind, SiteId::NONE, |thread, slot, counted| {
            let place = slot.map_or(NOWHERE, |slot| slot.current(thread.settings.generation));
            (place, body(counted))
        });
    }

    /// Records something that happens to the tracee, also while it asks us something: that is no doing of ours.
    fn befell<B: Body<'a>>(&self, group: Group, kind: EventKind, body: impl FnOnce(TraceSet) -> B) {
        self.befell_unless(Slot::is_muted_for_life, group, kind, body);
    }

    /// The same, unless this is said of the tracee.
    #[inline(always)]
    fn befell_unless<B: Body<'a>>(
        &self,
        is_muted: impl FnOnce(&Slot) -> bool,
        group: Group,
        kind: EventKind,
        body: impl FnOnce(TraceSet) -> B,
    ) {
        let wanted = Traces::shared().wanted(group, self.process);
        let slot = self.slot(wanted).filter(|slot| !slot.is_some_and(is_muted));
        self.record_of(slot, wanted, kind, SiteId::NONE, |thread, slot, counted| {
            let place = slot.map_or(NOWHERE, |slot| slot.current(thread.settings.generation));
            (place, body(counted))
        });
    }

    /// Records what another process does to the tracee, which may be running meanwhile: so nobody knows which call it is in, and its
    /// records are numbered by itself.
    fn done_by_other<B: Body<'a>>(&self, group: Group, kind: EventKind, body: B) {
        let wanted = Traces::shared().wanted(group, self.process);
        let slot = self.slot(wanted);
        let slot = slot.filter(|slot| !slot.is_some_and(Slot::is_muted_for_life));
        let nobody = slot.map(|_| None);
        self.record_of(
            nobody,
            wanted,
            kind,
            SiteId::NONE,
            |_thread, _slot, _counted| (NOWHERE, body),
        );
    }

    /// Whether the tracee is the process that runs here.
    fn is_own_doing(&self) -> bool {
        host::this_process(self.env) == self.process
    }

    /// The tracee's slot, if there is room for one; nothing where nobody wants to know.
    #[inline(always)]
    #[allow(clippy::option_option, reason = "wanted, and whether there is a slot")]
    fn slot(&self, wanted: TraceSet) -> Option<Option<&'static Slot>> {
        let slots = ProcessSlots::shared();
        let slot = || {
            slots
                .find(self.process)
                .or_else(|| claim(slots, self.process))
        };
        (!wanted.is_empty()).then(slot)
    }

    /// Records an event if one of `wanted` is not at its limits. `make` is told those that are not, and says where the process stands,
    /// and what is written; it is called in between of the record's announcement and its end.
    #[inline(always)]
    fn record<B: Body<'a>>(
        &self,
        wanted: TraceSet,
        kind: EventKind,
        site: SiteId,
        make: impl FnOnce(&mut Thread, Option<&'static Slot>, TraceSet) -> (Entered, B),
    ) {
        let slot = self.slot(wanted);
        let slot = slot.filter(|slot| !slot.is_some_and(Slot::is_muted));
        self.record_of(slot, wanted, kind, site, make);
    }

    #[inline(always)]
    #[allow(clippy::option_option, reason = "as of `slot`")]
    fn record_of<B: Body<'a>>(
        &self,
        slot: Option<Option<&'static Slot>>,
        wanted: TraceSet,
        kind: EventKind,
        site: SiteId,
        make: impl FnOnce(&mut Thread, Option<&'static Slot>, TraceSet) -> (Entered, B),
    ) {
        let Some(slot) = slot else {
            return;
        };
        with_thread(self.word, |thread| {
            // One reading for the limits and for the record.
            let ticks = thread.writer.announce();
            let now = thread.about(ticks);
            let counted = Traces::shared().count(wanted, now);
            if counted.is_empty() {
                thread.writer.take_back();
                return;
            }
            let (place, body) = make(thread, slot, counted);
            let what = What {
                kind,
                process: self.process,
                slot,
                site,
            };
            let head = RecordHead {
                ticks,
                ..what.at(place)
            };
            thread.write_announced(self.env, head, body);
        });
    }
}

/// The process of this node that a term is.
#[inline(always)]
fn local(term: Term<'_>) -> Option<ProcessId> {
    local_of(word(term))
}

#[inline(always)]
fn local_of(word: Word) -> Option<ProcessId> {
    let word = word as u64;
    term::is_local_pid(word).then_some(ProcessId(word))
}
