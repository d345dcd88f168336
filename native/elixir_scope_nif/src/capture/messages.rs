//! Messages that are sent, and processes that are spawned.

use elixir_scope_engine::event::{EventKind, ProcessId};
use elixir_scope_engine::{Group, ProcessSlots, Slot, Traces};
use rustler::{Atom, Env, Term};

use super::{atom, mark};
use crate::host::BEAM;
use crate::payload::by;
use crate::term::{self, Word, word, word_of};
use crate::{atoms, host};

/// `message(site, type, receiver, message)`: nothing where the VM's tracer tells of it.
pub fn message<'a>(env: Env<'a>, args: [Term<'a>; 4]) -> Term<'a> {
    // Asked first: one that is not prepared any more may have begun to record by now.
    let is_one_prepared = Traces::shared().is_one_prepared();
    if is_traced(env, Group::Send) {
        return atoms::ok().to_term(env);
    }
    let [place, send_type, receiver, message] = args;
    let body = by(|payload| {
        let to = Receiver::of(env, receiver, |node| payload.is_this_node(node));
        let sender = host::pid_word(host::this_process(env));
        let nil = atom(atoms::nil());
        let to_dead = match to.is_nobody {
            true => atom(atoms::true_()),
            false => nil,
        };
        payload.words(&[
            sender,
            to.process.unwrap_or(nil),
            to.name.unwrap_or(nil),
            word(message),
            nil,
            word(send_type),
            nil,
            nil,
            nil,
            nil,
            to_dead,
        ])
    });
    let answer = mark(env, EventKind::MessageSend, place, body);
    if is_one_prepared {
        let process = host::this_process(env);
        Traces::shared().tell(process, newest_record(process), &**BEAM);
    }
    answer
}

/// The number of the newest record of a process.
pub fn newest_record(process: ProcessId) -> u16 {
    let slot = ProcessSlots::shared().find(process);
    slot.map_or(0, Slot::newest_record)
}

/// `spawned(site, result)`: nothing where the result names no process, or the VM's tracer tells of it.
pub fn spawned<'a>(env: Env<'a>, [place, result]: [Term<'a>; 2]) -> Term<'a> {
    if is_traced(env, Group::Procs) {
        return atoms::ok().to_term(env);
    }
    let Some(process) = child(env, result) else {
        return atoms::ok().to_term(env);
    };
    // By a closure, so that the marks of `Trace` have the quick way for fields to themselves, and inlined.
    let body = by(|payload| {
        let parent = host::pid_word(host::this_process(env));
        let nil = atom(atoms::nil());
        payload.words(&[process, parent, nil, nil, nil, nil])
    });
    mark(env, EventKind::ProcessSpawn, place, body)
}

/// Whether a trace records what this process does of such a sort, so that it would be recorded twice.
#[inline]
fn is_traced(env: Env<'_>, group: Group) -> bool {
    let traces = Traces::shared();
    traces.any_wants(group) && !traces.wanted(group, host::this_process(env)).is_empty()
}

/// Who a message goes to.
#[derive(Default)]
pub struct Receiver {
    pub process: Option<Word>,
    /// What it was called, unless by its pid.
    pub name: Option<Word>,
    /// Whether a name of this node is known to be nobody's.
    pub is_nobody: bool,
}

impl Receiver {
    /// A pid, `{pid, tag}` of a caller, or a name of any form.
    pub fn of(env: Env<'_>, receiver: Term<'_>, is_this_node: impl Fn(Word) -> bool) -> Receiver {
        if receiver.is_pid() {
            return Receiver {
                process: Some(word(receiver)),
                ..Receiver::default()
            };
        }
        if receiver.is_atom() {
            return Receiver::named(env, receiver, receiver);
        }
        match term::elements(env, word(receiver)) {
            Some([caller, _tag]) if term::term(env, *caller).is_pid() => Receiver {
                process: Some(*caller),
                ..Receiver::default()
            },
            Some([name, node]) if is_this_node(*node) => {
                Receiver::named(env, receiver, term::term(env, *name))
            }
            _ => Receiver {
                name: Some(word(receiver)),
                ..Receiver::default()
            },
        }
    }

    /// `name` is looked up here, as the emulator does when it sends.
    fn named(env: Env<'_>, receiver: Term<'_>, name: Term<'_>) -> Receiver {
        let process = host::whereis(env, name);
        Receiver {
            process: process.map(host::pid_word),
            name: Some(word(receiver)),
            is_nobody: process.is_none() && !host::names_port(env, name),
        }
    }
}

/// The process in what a spawn answers: a pid, `{pid, reference}`, `{:ok, pid}`, `{:ok, pid, more}`, or a task.
fn child(env: Env<'_>, result: Term<'_>) -> Option<Word> {
    let is_ok = |tag: Word| tag == word_of(atoms::ok().as_c_arg());
    let process = if result.is_pid() {
        word(result)
    } else if result.is_map() {
        let field = |name: Atom| result.map_get(name).ok();
        field(atoms::struct_()).filter(|name| atoms::task() == *name)?;
        word(field(atoms::pid())?)
    } else {
        match term::elements(env, word(result))? {
            [tag, process] | [tag, process, _] if is_ok(*tag) => *process,
            [process, _reference] => *process,
            _ => return None,
        }
    };
    term::term(env, process).is_pid().then_some(process)
}
