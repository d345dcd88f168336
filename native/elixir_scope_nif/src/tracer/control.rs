//! What `ElixirScope.Tracing` asks for: traces are opened here before any flag of the VM is set, and freed after all are gone.

use elixir_scope_engine::event::{AtomId, EventKind, ProcessId, SiteId, TimeNs};
use elixir_scope_engine::{
    Ending, Follow, Group, Scope, SiteClass, SiteDef, SiteTable, TraceConfig, TraceSet, Traces,
};
use rustler::{Atom, Encoder, Env, Term};

use super::calls::number;
use super::local;
use crate::capture::{NOWHERE, What};
use crate::entry::{Answer, Raise};
use crate::fields::{bounded, get, list, need};
use crate::host::BEAM;
use crate::payload::Values;
use crate::recorder::not_running;
use crate::settings::Level;
use crate::term::{Word, word};
use crate::thread::Thread;
use crate::{atoms, gate, runtime, term};

fn ok(env: Env<'_>) -> Answer<'_> {
    Ok(atoms::ok().encode(env))
}

/// `trace_open(config)`
pub fn trace_open<'a>(env: Env<'a>, [config]: [Term<'a>; 1]) -> Answer<'a> {
    let Some(running) = runtime::running() else {
        return Ok(not_running(env));
    };
    if is_guarded() {
        return Ok((atoms::error(), atoms::guard()).encode(env));
    }
    let now = running.recorder.now();
    let events = get(config, atoms::events()).and_then(list);
    let groups: Vec<Group> = events
        .ok_or(Raise::BadArgument)?
        .into_iter()
        .map(group)
        .collect::<Option<_>>()
        .ok_or(Raise::BadArgument)?;
    let only_inside = match get(config, atoms::only_inside()).and_then(function) {
        Some((module, function, arity)) => site(module, function, arity, "", 0),
        None => SiteId::NONE,
    };
    let millis: Option<i64> = bounded(config, atoms::for_())?;
    let until = millis.map_or(i64::MAX, |ms| {
        now.0.saturating_add(ms.saturating_mul(1_000_000))
    });
    let config = TraceConfig {
        groups: &groups,
        scope: scope(need(config, atoms::scope())?)?,
        args: need(config, atoms::args())?,
        results: need(config, atoms::returns())?,
        only_inside,
        follow: follow(need(config, atoms::follow())?)?,
        exact: need(config, atoms::exact())?,
        max: bounded(config, atoms::max())?.unwrap_or(u64::MAX),
        rate: bounded(config, atoms::rate())?.unwrap_or(u32::MAX),
        until: TimeNs(until),
    };
    if config.exact {
        // Before anything can arrive.
        tell(env, EventKind::MessageTaken, &[word(0.encode(env)); 2]);
    }
    Ok(match Traces::shared().prepare(&config, now) {
        // The guard ends those that it finds: one that it did not find yet ends here.
        Some(number) if is_guarded() => {
            Traces::shared().free(number);
            (atoms::error(), atoms::guard()).encode(env)
        }
        Some(number) => (atoms::ok(), number).encode(env),
        None => (atoms::error(), atoms::too_many_traces()).encode(env),
    })
}

/// Whether no trace may run, to spare the host.
fn is_guarded() -> bool {
    runtime::running().is_some_and(|running| running.settings.level >= Level::NoTraces)
}

fn group(event: Term<'_>) -> Option<Group> {
    let known = [
        (atoms::call(), Group::Call),
        (atoms::return_(), Group::Return),
        (atoms::exception(), Group::Exception),
        (atoms::send(), Group::Send),
        (atoms::receive(), Group::Receive),
        (atoms::procs(), Group::Procs),
        (atoms::gc(), Group::Gc),
    ];
    let found = known.into_iter().find(|(name, _)| *name == event);
    found.map(|(_, group)| group)
}

fn scope(scope: Atom) -> Result<Scope, Raise> {
    match scope {
        _ if scope == atoms::members() => Ok(Scope::Members),
        _ if scope == atoms::everyone() => Ok(Scope::Everyone),
        _ if scope == atoms::newborn() => Ok(Scope::Newborn),
        _ => Err(Raise::BadArgument),
    }
}

fn follow(follow: Atom) -> Result<Option<Follow>, Raise> {
    match follow {
        _ if follow == atoms::nil() => Ok(None),
        _ if follow == atoms::spawn() => Ok(Some(Follow::Spawn)),
        _ if follow == atoms::message() => Ok(Some(Follow::Message)),
        _ => Err(Raise::BadArgument),
    }
}

/// `{module, function, arity}`
fn function(term: Term<'_>) -> Option<(AtomId, AtomId, u32)> {
    let (module, function, arity) = term.decode::<(Term<'_>, Term<'_>, u32)>().ok()?;
    Some((term::atom_id(module)?, term::atom_id(function)?, arity))
}

/// The site of a traced function. What was said first of its place holds.
fn site(module: AtomId, function: AtomId, arity: u32, file: &str, line: u32) -> SiteId {
    let def = SiteDef {
        module,
        function: Some(function),
        arity,
        file: file.into(),
        line,
        class: SiteClass::Chosen,
        ..SiteDef::default()
    };
    SiteTable::shared().define(number(module, function, arity), def)
}

/// `trace_members(number, pids, is_in)`
pub fn trace_members<'a>(env: Env<'a>, [number, pids, is_in]: [Term<'a>; 3]) -> Answer<'a> {
    let number: u32 = number.decode().map_err(|_| Raise::BadArgument)?;
    let is_in: bool = is_in.decode().map_err(|_| Raise::BadArgument)?;
    for pid in list(pids).ok_or(Raise::BadArgument)? {
        let process = local(pid).ok_or(Raise::BadArgument)?;
        Traces::shared().set_member(number, process, is_in, &**BEAM);
    }
    ok(env)
}

/// `trace_leave_out(number, pids)`
pub fn trace_leave_out<'a>(env: Env<'a>, [number, pids]: [Term<'a>; 2]) -> Answer<'a> {
    let number: u32 = number.decode().map_err(|_| Raise::BadArgument)?;
    for pid in list(pids).ok_or(Raise::BadArgument)? {
        let process = local(pid).ok_or(Raise::BadArgument)?;
        Traces::shared().leave_out(number, process, &**BEAM);
    }
    ok(env)
}

/// `trace_record(number)`
pub fn trace_record<'a>(env: Env<'a>, [number]: [Term<'a>; 1]) -> Answer<'a> {
    Traces::shared().record(number.decode().map_err(|_| Raise::BadArgument)?);
    ok(env)
}

/// `trace_function({module, function, arity}, file, line, numbers)`
pub fn trace_function<'a>(env: Env<'a>, args: [Term<'a>; 4]) -> Answer<'a> {
    let [function, file, line, numbers] = args;
    let (module, function, arity) = self::function(function).ok_or(Raise::BadArgument)?;
    let file: &str = file.decode().map_err(|_| Raise::BadArgument)?;
    let line: u32 = line.decode().map_err(|_| Raise::BadArgument)?;
    let traces = list(numbers)
        .ok_or(Raise::BadArgument)?
        .into_iter()
        .map(|number| number.decode::<u32>().ok())
        .try_fold(TraceSet::EMPTY, |set, number| {
            Some(set | TraceSet::of(number?))
        });
    let traces = traces.ok_or(Raise::BadArgument)?;
    Traces::shared().set_function(site(module, function, arity, file, line), traces);
    ok(env)
}

/// `trace_end(number, reason)`: a reason that the engine knows, or any other for "somebody ended it".
pub fn trace_end<'a>(env: Env<'a>, [number, reason]: [Term<'a>; 2]) -> Answer<'a> {
    let number: u32 = number.decode().map_err(|_| Raise::BadArgument)?;
    let known = ENDINGS
        .into_iter()
        .find(|ending| name(*ending) == reason)
        .unwrap_or(Ending::Stopped);
    Traces::shared().end(number, known);
    ok(env)
}

const ENDINGS: [Ending; 6] = [
    Ending::Max,
    Ending::Rate,
    Ending::Time,
    Ending::StopWhen,
    Ending::Stopped,
    Ending::Guard,
];

fn name(ending: Ending) -> Atom {
    match ending {
        Ending::Max => atoms::max(),
        Ending::Rate => atoms::rate(),
        Ending::Time => atoms::for_(),
        Ending::StopWhen => atoms::stop_when(),
        Ending::Stopped => atoms::stopped(),
        Ending::Guard => atoms::guard(),
    }
}

/// `trace_free(number)`
pub fn trace_free<'a>(env: Env<'a>, [number]: [Term<'a>; 1]) -> Answer<'a> {
    Traces::shared().free(number.decode().map_err(|_| Raise::BadArgument)?);
    ok(env)
}

/// `trace_status()`: `[{number, :running | {:ended, reason}, recorded, skipped, missed}]`
pub fn trace_status<'a>(env: Env<'a>, []: [Term<'a>; 0]) -> Answer<'a> {
    let traces = Traces::shared();
    let all: Vec<Term<'a>> = traces
        .taken()
        .numbers()
        .filter_map(|number| {
            let state = traces.state(number)?;
            let how = match state.ending {
                None => atoms::running().encode(env),
                Some(ending) => (atoms::ended(), name(ending)).encode(env),
            };
            Some((number, how, state.recorded, state.skipped, state.missed).encode(env))
        })
        .collect();
    Ok(all.encode(env))
}

/// `trace_note(operation, target, limits, reason)`: a trace began or ended. It is of no process: whoever tells it is one of ours.
pub fn trace_note<'a>(env: Env<'a>, fields: [Term<'a>; 4]) -> Term<'a> {
    tell(env, EventKind::TraceControl, &fields.map(word));
    atoms::ok().encode(env)
}

/// Writes a record of no process.
fn tell(env: Env<'_>, kind: EventKind, fields: &[Word]) {
    let gate = gate::word();
    if gate != 0
        && let Some(mut thread) = Thread::take(gate)
    {
        let what = What {
            kind,
            process: ProcessId::NONE,
            slot: None,
            site: SiteId::NONE,
        };
        thread.write(env, what.at(NOWHERE), Values(fields));
        Thread::put(thread);
    }
}
