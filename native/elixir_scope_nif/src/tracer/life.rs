//! Births, deaths, links, names and garbage collections.

use std::cell::Cell;

use elixir_scope_engine::event::{EventKind, ProcessId, SiteId, Ticks};
use elixir_scope_engine::value::{Full, format};
use elixir_scope_engine::{Group, RecordBuf, TraceSet, Traces};
use rustler::{Atom, Env, Term};

use super::{Event, local};
use crate::atoms;
use crate::capture::{NOWHERE, atom, with_thread};
use crate::host::{BEAM, pid_word};
use crate::payload::{Payload, Values, by};
use crate::term::{self, Word, cells, cells_of, raw, word, word_of};

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
        let extra = self.extra().and_then(|extra| term::elements(env, extra));
        let Some(&[module, function, args]) = extra else {
            return;
        };
        self.mark(Group::Procs, EventKind::ProcessSpawn, |_counted| {
            by(move |payload: &mut Payload<'_, 'a, RecordBuf<'_>>| {
                let start = Start::of(env, module, function, args);
                let who = [pid_word(child), pid_word(parent)];
                payload.words(&who)?;
                payload.words(&[start.module, start.function])?;
                start.write_args(payload)?;
                payload.words(&[start.name.unwrap_or(atom(atoms::nil()))])
            })
        });
    }

    /// The tracee ends. It stays what it was in its traces: others may be told only now that it linked with them, or bore them.
    pub(super) fn exited(&self) {
        let reason = [word(self.first)];
        self.befell(Group::Procs, EventKind::ProcessExit, |_counted| {
            Values(&reason)
        });
    }

    /// The tracee was linked with another process, or a link was taken away; by itself, or by the other one, which tells of it too if
    /// it is traced.
    pub(super) fn linked(&self, kind: EventKind, by_itself: bool) {
        let other = local(self.first).unwrap_or(ProcessId::NONE);
        let first = [word(self.first)];
        if by_itself {
            self.mark(Group::Procs, kind, |_counted| Values(&first));
        } else if Traces::shared().wanted(Group::Procs, other).is_empty() {
            self.befell(Group::Procs, kind, |_counted| Values(&first));
        }
    }

    /// The tracee has got a name, or lost it; by itself, or by another process.
    pub(super) fn named(&self, kind: EventKind) {
        let first = [word(self.first)];
        match self.is_own_doing() {
            true => self.mark(Group::Procs, kind, |_counted| Values(&first)),
            false => self.done_by_other(Group::Procs, kind, Values(&first)),
        }
    }

    /// A garbage collection of the tracee begins on this thread.
    pub(super) fn gc_began(&self) {
        let wanted = Traces::shared().wanted(Group::Gc, self.process);
        if !wanted.is_empty()
            && let Some(now) =
                with_thread(self.word, |thread| thread.writer.rings().clock().ticks())
        {
            let words = words(self.env, self.first);
            COLLECTING.with(|collecting| collecting.set((now, words)));
        }
    }

    /// And ends, on the same thread.
    pub(super) fn gc_ended(&self, sort: Atom) {
        let (began, before) = COLLECTING.with(Cell::take);
        if began == Ticks(0) {
            return;
        }
        let wanted: TraceSet = Traces::shared().wanted(Group::Gc, self.process);
        let after = words(self.env, self.first);
        let kind = EventKind::GarbageCollection;
        self.record(wanted, kind, SiteId::NONE, |thread, slot, _counted| {
            let clock = thread.writer.rings().clock();
            let ended = clock.convert(clock.ticks());
            let duration = ended.0.saturating_sub(clock.convert(began).0).max(0);
            let place = slot.map_or(NOWHERE, |slot| slot.current(thread.settings.generation));
            let body = by(move |payload: &mut Payload<'_, 'a, RecordBuf<'_>>| {
                payload.symbol(sort)?;
                for number in [before, after, duration.unsigned_abs()] {
                    payload.integer(number)?;
                }
                Ok(())
            });
            (place, body)
        });
    }
}

/// Words of both heaps, by what the VM tells of a collection: a list of names and numbers.
fn words(env: Env<'_>, info: Term<'_>) -> u64 {
    let [young, old] = [atoms::heap_size(), atoms::old_heap_size()].map(atom);
    let sizes = cells(env, word(info)).filter_map(|size| match term::elements(env, size) {
        Some(&[name, words]) if name == young || name == old => {
            raw::small_value(term::term(env, words)).and_then(|words| u64::try_from(words).ok())
        }
        _ => None,
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
        if !is(module, atoms::proc_lib()) || !is(function, atoms::init_p()) {
            return plain;
        }
        let Some([_parent, _ancestors, module, function, args]) = cells_of(env, args) else {
            return plain;
        };
        let begun = Start {
            module,
            function,
            args: Args::List(args),
            name: None,
        };
        if !is(begun.module, atoms::gen_()) || !is(begun.function, atoms::init_it()) {
            return begun;
        }
        let (name, module, args) = if let Some(named) = cells_of::<7>(env, args) {
            let [_behaviour, _starter, _parent, name, module, args, _opts] = named;
            (registered(env, name), module, args)
        } else if let Some(nameless) = cells_of::<6>(env, args) {
            let [_behaviour, _starter, _parent, module, args, _opts] = nameless;
            (None, module, args)
        } else {
            return begun;
        };
        Start {
            module,
            function: atom(atoms::init()),
            args: Args::One(args),
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
