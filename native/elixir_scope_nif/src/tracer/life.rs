//! Births, deaths, links, names and garbage collections.

use std::cell::Cell;

use elixir_scope_engine::event::{EventKind, ProcessId, Ticks};
use elixir_scope_engine::value::{Full, format};
use elixir_scope_engine::{Group, RecordBuf, TraceSet, Traces};
use rustler::{Atom, Env, Term};

use super::{Event, local};
use crate::capture::{NOWHERE, atom};
use crate::host::{BEAM, pid_word};
use crate::payload::{Payload, Values, by};
use crate::term::{self, Word, word, word_of};
use crate::{atoms, fields};

thread_local! {
    /// When the garbage collection began that this thread does, and how many words there were.
    static COLLECTING: Cell<(Ticks, u64)> = const { Cell::new((Ticks(0), 0)) };
}

impl<'a> Event<'a> {
    /// The tracee has spawned a process.
    pub(super) fn spawned(&self) {
        if let Some(child) = local(self.first) {
            self.birth(child, self.process);
        }
    }

    /// The tracee was born; its parent tells of it too if that is traced.
    pub(super) fn born(&self) {
        let Some(parent) = local(self.first) else {
            return;
        };
        let traces = Traces::shared();
        traces.born(self.process, parent, &**BEAM);
        if traces.wanted(Group::Procs, parent).is_empty() {
            self.birth(self.process, parent);
        }
    }

    fn birth(&self, child: ProcessId, parent: ProcessId) {
        let env = self.env;
        let extra = self
            .extra()
            .and_then(|extra| term::elements(env, word(extra)));
        let Some(&[module, function, args]) = extra else {
            return;
        };
        let start = Start::of(env, module, function, args);
        let body = by(|payload: &mut Payload<'_, 'a, RecordBuf<'_>>| {
            let who = [pid_word(child), pid_word(parent)];
            payload.words(&who)?;
            payload.words(&[start.module, start.function])?;
            start.write_args(payload)?;
            payload.words(&[start.name.unwrap_or(atom(atoms::nil()))])
        });
        self.mark(Group::Procs, EventKind::ProcessSpawn, body);
    }

    /// The tracee ends.
    pub(super) fn exited(&self) {
        let reason = [word(self.first)];
        self.befell(Group::Procs, EventKind::ProcessExit, Values(&reason));
        Traces::shared().forget(self.process);
    }

    /// The tracee was linked with another process, or a link was taken away; by itself, or by the other one, which tells of it too if
    /// it is traced.
    pub(super) fn linked(&self, kind: EventKind, by_itself: bool) {
        let other = local(self.first).unwrap_or(ProcessId::NONE);
        let body = [word(self.first)];
        if by_itself {
            self.mark(Group::Procs, kind, Values(&body));
        } else if Traces::shared().wanted(Group::Procs, other).is_empty() {
            self.befell(Group::Procs, kind, Values(&body));
        }
    }

    /// The tracee has got a name, or lost it; by itself, or by another process.
    pub(super) fn named(&self, kind: EventKind) {
        let body = [word(self.first)];
        match self.is_own_doing() {
            true => self.mark(Group::Procs, kind, Values(&body)),
            false => self.done_by_other(Group::Procs, kind, Values(&body)),
        }
    }

    /// A garbage collection of the tracee begins on this thread.
    pub(super) fn gc_began(&self) {
        let wanted = Traces::shared().wanted(Group::Gc, self.process);
        if !wanted.is_empty()
            && let Some(running) = crate::runtime::running()
        {
            let now = running.recorder.clock().ticks();
            COLLECTING.with(|collecting| collecting.set((now, words(self.first))));
        }
    }

    /// And ends, on the same thread.
    pub(super) fn gc_ended(&self, sort: Atom) {
        let (began, before) = COLLECTING.with(Cell::take);
        if began == Ticks(0) {
            return;
        }
        let wanted: TraceSet = Traces::shared().wanted(Group::Gc, self.process);
        let after = words(self.first);
        self.record(wanted, |thread, slot, _counted| {
            let clock = thread.writer.rings().clock();
            let duration = clock.now().0.saturating_sub(clock.convert(began).0);
            let place = slot.map_or(NOWHERE, |slot| slot.current(thread.settings.generation));
            let body = by(|payload| {
                payload.symbol(sort)?;
                for number in [before, after, duration.unsigned_abs()] {
                    payload.integer(number)?;
                }
                Ok(())
            });
            let none = elixir_scope_engine::event::SiteId::NONE;
            let kind = EventKind::GarbageCollection;
            self.write(thread, slot, kind, none, place, body);
        });
    }
}

/// Words of both heaps, by what the VM tells of a collection.
fn words(info: Term<'_>) -> u64 {
    let sizes = fields::list(info).unwrap_or_default();
    let sizes = sizes.into_iter().filter_map(|size| {
        let (name, words) = size.decode::<(Atom, u64)>().ok()?;
        (name == atoms::heap_size() || name == atoms::old_heap_size()).then_some(words)
    });
    sizes.sum()
}

/// With what a process began: what is wrapped by `proc_lib` and `gen` is taken out.
struct Start {
    module: Word,
    function: Word,
    args: Args,
    /// The name that it is to have.
    name: Option<Word>,
}

enum Args {
    List(Word),
    /// The only one.
    One(Word),
}

impl Start {
    fn of(env: Env<'_>, module: Word, function: Word, args: Word) -> Start {
        let plain = Start {
            module,
            function,
            args: Args::List(args),
            name: None,
        };
        let is = |what: Word, name: Atom| what == word_of(name.as_c_arg());
        let list = |args: Word| fields::list(term::term(env, args)).unwrap_or_default();
        if !is(module, atoms::proc_lib()) || !is(function, atoms::init_p()) {
            return plain;
        }
        let &[_parent, _ancestors, module, function, args] = list(args).as_slice() else {
            return plain;
        };
        let begun = Start {
            module: word(module),
            function: word(function),
            args: Args::List(word(args)),
            name: None,
        };
        if !is(begun.module, atoms::gen_()) || !is(begun.function, atoms::init_it()) {
            return begun;
        }
        let (name, module, args) = match *list(word(args)).as_slice() {
            [_behaviour, _starter, _parent, name, module, args, _opts] => {
                (registered(env, word(name)), module, args)
            }
            [_behaviour, _starter, _parent, module, args, _opts] => (None, module, args),
            _ => return begun,
        };
        Start {
            module: word(module),
            function: word_of(atoms::init().as_c_arg()),
            args: Args::One(word(args)),
            name,
        }
    }

    fn write_args(&self, payload: &mut Payload<'_, '_, RecordBuf<'_>>) -> Result<(), Full> {
        match self.args {
            Args::List(args) => payload.words(&[args]),
            Args::One(arg) => {
                payload.bytes(&[format::LIST])?;
                payload.words(&[arg])?;
                payload.bytes(&[format::END])
            }
        }
    }
}

/// The name in `{:local, name}`.
fn registered(env: Env<'_>, name: Word) -> Option<Word> {
    match term::elements(env, name) {
        Some(&[sort, name]) if sort == word_of(atoms::local().as_c_arg()) => Some(name),
        _ => None,
    }
}
