//! The VM's own tracer: what it calls instead of sending trace messages. `enabled/3` says whether an event is wanted, `trace/5` records
//! it. Which processes and functions have flags is the business of `ElixirScope.Tracing`; which trace an event belongs to, and
//! whether that has had enough, is told by the engine's [`Traces`].
//!
//! The tracee is taken from the arguments: some environments here have no process. Events come on any scheduler's thread, dirty ones
//! among them. Nothing here sends a message or calls back.
//!
//! * `calls`: functions that are called, and come back
//! * `messages`: what is sent, and what arrives
//! * `life`: births, deaths, links, names, garbage collections
//! * `control`: what `ElixirScope.Tracing` asks for
//! * `crashes`: what the logger hears of

mod calls;
mod control;
mod crashes;
mod life;
mod messages;

use elixir_scope_engine::event::{EventKind, ProcessId, SiteId};
use elixir_scope_engine::{Entered, Group, ProcessSlots, Slot, TraceSet, Traces};
use once_cell::sync::OnceCell;
use rustler::{Atom, Env, Term};

use crate::capture::{NOWHERE, What, claim, with_thread};
use crate::payload::Body;
use crate::term::{self, Word, word, word_of};
use crate::thread::Thread;
use crate::{atoms, gate, host};

pub use crashes::{crash_note, crash_state};

pub use control::{
    trace_end, trace_free, trace_function, trace_leave_out, trace_members, trace_note, trace_open,
    trace_record, trace_status,
};

/// `enabled(tag, state, tracee)`
pub fn enabled<'a>(env: Env<'a>, [tag, _state, tracee]: [Term<'a>; 3]) -> Term<'a> {
    answer(tag, tracee).to_term(env)
}

fn answer(tag: Term<'_>, tracee: Term<'_>) -> Atom {
    let traces = Traces::shared();
    let Some(tag) = Tag::of(tag) else {
        return atoms::discard();
    };
    if gate::word() == 0 {
        return match tag {
            Tag::Status => atoms::trace(),
            _ => atoms::discard(),
        };
    }
    if traces.running().is_empty() {
        return atoms::remove();
    }
    // A process that is just born may join the traces of its parent.
    if tag == Tag::Spawned {
        return atoms::trace();
    }
    let Some(process) = local(tracee) else {
        return atoms::discard();
    };
    let is_wanted = match tag.group() {
        Some(group) => traces.may_want(group, process),
        None => !traces.of(process).is_empty(),
    };
    if is_wanted {
        atoms::trace()
    } else if traces.of(process).is_empty() && !traces.follows_messages() {
        atoms::remove()
    } else {
        atoms::discard()
    }
}

/// `trace(tag, state, tracee, first, opts)`
pub fn trace<'a>(env: Env<'a>, args: [Term<'a>; 5]) -> Term<'a> {
    let [tag, _state, tracee, first, opts] = args;
    let word = gate::word();
    if word != 0
        && let Some(tag) = Tag::of(tag)
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
    Status,
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
        (atoms::trace_status(), Tag::Status),
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

    /// The sort that it belongs to; none for what is no event.
    fn group(self) -> Option<Group> {
        Some(match self {
            Tag::Send | Tag::SendToNobody => Group::Send,
            Tag::Receive => Group::Receive,
            Tag::Call => Group::Call,
            Tag::Return => Group::Return,
            Tag::Exception => Group::Exception,
            Tag::GcStart | Tag::MinorGcEnd | Tag::MajorGcEnd => Group::Gc,
            Tag::Status => return None,
            _ => Group::Procs,
        })
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
    fn take(&self, tag: Tag) {
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
            Tag::Status => {}
        }
    }

    /// What the VM adds to the event.
    fn extra(&self) -> Option<Term<'a>> {
        self.opts.map_get(atoms::extra()).ok()
    }

    /// What the match spec that let it pass says.
    fn result(&self) -> Option<Term<'a>> {
        self.opts.map_get(atoms::match_spec_result()).ok()
    }

    /// Records something that the tracee does, and that neither begins nor ends a call, if a trace wants it.
    fn mark(&self, group: Group, kind: EventKind, body: impl Body<'a>) {
        let wanted = Traces::shared().wanted(group, self.process);
        self.record(wanted, |thread, slot, _counted| {
            let place = slot.map_or(NOWHERE, |slot| slot.current(thread.settings.generation));
            self.write(thread, slot, kind, SiteId::NONE, place, body);
        });
    }

    /// Records something that happens to the tracee, also while it asks us something: that is no doing of ours.
    fn befell(&self, group: Group, kind: EventKind, body: impl Body<'a>) {
        let wanted = Traces::shared().wanted(group, self.process);
        self.record_unless(Slot::is_muted_for_life, wanted, |thread, slot, _counted| {
            let place = slot.map_or(NOWHERE, |slot| slot.current(thread.settings.generation));
            self.write(thread, slot, kind, SiteId::NONE, place, body);
        });
    }

    /// Records what another process does to the tracee, which may be running meanwhile: so nobody knows which call it is in, and its
    /// records are numbered by itself.
    fn done_by_other(&self, group: Group, kind: EventKind, body: impl Body<'a>) {
        let wanted = Traces::shared().wanted(group, self.process);
        self.record_unless(
            Slot::is_muted_for_life,
            wanted,
            |thread, _slot, _counted| {
                self.write(thread, None, kind, SiteId::NONE, NOWHERE, body);
            },
        );
    }

    /// Whether the tracee is the process that runs here.
    fn is_own_doing(&self) -> bool {
        host::this_process(self.env) == self.process
    }

    /// Runs `write` with this thread's state if one of `wanted` is not at its limits; those it is told.
    fn record(
        &self,
        wanted: TraceSet,
        write: impl FnOnce(&mut Thread, Option<&'static Slot>, TraceSet),
    ) {
        self.record_unless(Slot::is_muted, wanted, write);
    }

    #[inline(always)]
    fn record_unless(
        &self,
        is_muted: impl FnOnce(&Slot) -> bool,
        wanted: TraceSet,
        write: impl FnOnce(&mut Thread, Option<&'static Slot>, TraceSet),
    ) {
        if wanted.is_empty() {
            return;
        }
        let slots = ProcessSlots::shared();
        let slot = slots
            .find(self.process)
            .or_else(|| claim(slots, self.process));
        if slot.is_some_and(is_muted) {
            return;
        }
        with_thread(self.word, |thread| {
            let clock = thread.writer.rings().clock();
            let now = clock.convert(clock.ticks());
            let counted = Traces::shared().count(wanted, now);
            if !counted.is_empty() {
                write(thread, slot, counted);
            }
        });
    }

    fn write(
        &self,
        thread: &mut Thread,
        slot: Option<&'static Slot>,
        kind: EventKind,
        site: SiteId,
        place: Entered,
        body: impl Body<'a>,
    ) {
        let what = What {
            kind,
            process: self.process,
            slot,
            site,
        };
        thread.write(self.env, what.at(place), body);
    }
}

/// The process of this node that a term is.
fn local(term: Term<'_>) -> Option<ProcessId> {
    let word = word(term) as u64;
    term::is_local_pid(word).then_some(ProcessId(word))
}
