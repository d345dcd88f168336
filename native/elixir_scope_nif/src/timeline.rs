//! Questions about states: what a process held at an instant, what changed, and where all processes stood.

use elixir_scope_engine::event::{AtomId, ProcessId, TimeNs};
use elixir_scope_engine::value::Reader;
use elixir_scope_engine::{Answered, Found, Missing, Quality, Recorder, Seek, When};
use rustler::{Encoder, Env, Term};

use crate::entry::{Answer, Raise};
use crate::events::Shared;
use crate::fields::{clamped, get};
use crate::query::{encoded, timeout};
use crate::recorder::{PATIENCE, not_running};
use crate::runtime::{self, Running};
use crate::term::decode::{Decoder, decode};
use crate::text::Texts;
use crate::{atoms, fields, host, library, term};

/// Asks the running recorder; `None` in time says that a writer kept it waiting.
fn asked<'a, T>(
    env: Env<'a>,
    ask: impl FnOnce(&Recorder) -> Answered<T>,
    tell: impl FnOnce(&Running, T) -> Answer<'a>,
) -> Answer<'a> {
    let Some(running) = runtime::running() else {
        return Ok(not_running(env));
    };
    match ask(&running.recorder) {
        Answered {
            complete: false, ..
        } => Ok(timeout(env)),
        Answered { answer, .. } => tell(&running, answer),
    }
}

fn process(map: Term<'_>) -> Result<ProcessId, Raise> {
    get(map, atoms::pid())
        .filter(|pid| pid.is_pid())
        .map(host::process)
        .ok_or(Raise::BadArgument)
}

fn module(map: Term<'_>) -> Option<AtomId> {
    get(map, atoms::module()).and_then(term::atom_id)
}

/// An instant, or `:last`.
fn when(time: Option<Term<'_>>) -> Result<When, Raise> {
    match time {
        Some(time) if atoms::last() == time => Ok(When::Last),
        Some(time) => Ok(When::At(TimeNs(clamped(time)?))),
        None => Err(Raise::BadArgument),
    }
}

fn missing<'a>(env: Env<'a>, missing: Missing) -> Term<'a> {
    let reason = match missing {
        Missing::NoStateRecorded => atoms::no_state_recorded(),
        Missing::Evicted => atoms::evicted(),
        Missing::NeverChanged => atoms::never_changed(),
    };
    (atoms::error(), reason).encode(env)
}

fn quality(quality: Quality) -> rustler::Atom {
    match quality {
        Quality::Exact => atoms::exact(),
        Quality::Unverified => atoms::unverified(),
        Quality::Approximate => atoms::approximate(),
    }
}

/// The state, and what is known of it.
fn found<'a>(env: Env<'a>, found: &Found) -> Result<(Term<'a>, Term<'a>), Raise> {
    let state = decode(env, &found.state).unwrap_or_else(|_| malformed(env));
    let meta = library::map(
        env,
        &[
            (atoms::quality(), quality(found.quality).encode(env)),
            (atoms::module(), term::atom_term(env, found.module)),
            (atoms::recorded_at(), found.recorded_at.0.encode(env)),
            (atoms::event_id(), found.event.0.encode(env)),
            (atoms::replayed(), found.replayed.encode(env)),
            (atoms::redacted(), found.redacted.encode(env)),
        ],
    )?;
    Ok((state, meta))
}

fn malformed(env: Env<'_>) -> Term<'_> {
    (atoms::error(), atoms::malformed()).encode(env)
}

/// `state_at(%{pid: pid, time: integer | :last, module: module | absent})`
pub fn state_at<'a>(env: Env<'a>, [map]: [Term<'a>; 1]) -> Answer<'a> {
    let (process, module) = (process(map)?, module(map));
    let when = when(get(map, atoms::time()))?;
    asked(
        env,
        |recorder| recorder.state_at(process, module, when, PATIENCE),
        |_, answer| match answer {
            Ok(state) => {
                let (state, meta) = found(env, &state)?;
                Ok((atoms::ok(), state, meta).encode(env))
            }
            Err(reason) => Ok(missing(env, reason)),
        },
    )
}

/// `state_diff(%{pid: pid, from: time, to: time, module: module | absent, text: texts | absent})`
pub fn state_diff<'a>(env: Env<'a>, [map]: [Term<'a>; 1]) -> Answer<'a> {
    let (process, module) = (process(map)?, module(map));
    let from = when(get(map, atoms::from()))?;
    let to = when(get(map, atoms::to()))?;
    let texts = Texts::wanted(map)?;
    asked(
        env,
        |recorder| recorder.state_diff(process, module, from, to, PATIENCE),
        |_, answer| match answer {
            Ok(changes) => {
                let changes = match texts {
                    Some(texts) => {
                        let mut reader = Reader::new(&changes);
                        texts.changes(env, &mut Decoder::new(env), &mut reader)
                    }
                    None => decode(env, &changes),
                };
                let changes = changes.unwrap_or_else(|_| malformed(env));
                Ok((atoms::ok(), changes).encode(env))
            }
            Err(reason) => Ok(missing(env, reason)),
        },
    )
}

/// `last_change(%{pid: pid, path: [term], module: module | absent, before: time | absent, after: time | absent})`
pub fn last_change<'a>(env: Env<'a>, [map]: [Term<'a>; 1]) -> Answer<'a> {
    let (process, module) = (process(map)?, module(map));
    let path = get(map, atoms::path())
        .and_then(fields::list)
        .ok_or(Raise::BadArgument)?
        .into_iter()
        .map(encoded)
        .collect::<Result<Vec<_>, _>>()?;
    let path: Vec<&[u8]> = path.iter().map(Vec::as_slice).collect();
    let at = |key| get(map, key).map(clamped).transpose();
    let seek = match (at(atoms::after())?, at(atoms::before())?) {
        (Some(after), _) => Seek::After(TimeNs(after)),
        (None, before) => Seek::Before(TimeNs(before.unwrap_or(i64::MAX))),
    };
    asked(
        env,
        |recorder| recorder.last_change(process, module, &path, seek, PATIENCE),
        |running, answer| {
            let rows = match answer {
                Ok(rows) => rows,
                Err(reason) => return Ok(missing(env, reason)),
            };
            let list = Shared::new(env, running.recorder.config().into(), true).list(&rows);
            Ok(fields::list(list)
                .and_then(|events| events.first().copied())
                .unwrap_or_else(|| missing(env, Missing::Evicted)))
        },
    )
}

/// `states_at(%{time: integer | :last})`: `[{pid, module, state, meta}]`
pub fn states_at<'a>(env: Env<'a>, [map]: [Term<'a>; 1]) -> Answer<'a> {
    let when = when(get(map, atoms::time()))?;
    asked(
        env,
        |recorder| recorder.states_at(when, PATIENCE),
        |_, answer| {
            let states = answer
                .iter()
                .map(|(process, state)| {
                    let module = term::atom_term(env, state.module);
                    let (state, meta) = found(env, state)?;
                    Ok((pid(env, *process), module, state, meta).encode(env))
                })
                .collect::<Result<Vec<_>, Raise>>()?;
            Ok(states.encode(env))
        },
    )
}

/// `stacks_at(%{time: integer | :last})`: `[{pid, last event's id, [entry, innermost first]}]`
pub fn stacks_at<'a>(env: Env<'a>, [map]: [Term<'a>; 1]) -> Answer<'a> {
    let when = when(get(map, atoms::time()))?;
    asked(
        env,
        |recorder| recorder.stacks_at(when, PATIENCE),
        |running, answer| {
            let mut shared = Shared::new(env, running.recorder.config().into(), true);
            let stacks: Vec<Term<'a>> = answer
                .stacks
                .iter()
                .map(|stack| {
                    let calls = shared.list(&stack.calls);
                    (pid(env, stack.process), stack.last.id.0, calls).encode(env)
                })
                .collect();
            Ok(stacks.encode(env))
        },
    )
}

/// `timeline_pids()`: `[{pid, module}]`
pub fn timeline_pids<'a>(env: Env<'a>, []: [Term<'a>; 0]) -> Answer<'a> {
    asked(
        env,
        |recorder| recorder.timelines_of(PATIENCE),
        |_, answer| {
            let list: Vec<Term<'a>> = answer
                .iter()
                .map(|(process, module)| {
                    (pid(env, *process), term::atom_term(env, *module)).encode(env)
                })
                .collect();
            Ok(list.encode(env))
        },
    )
}

fn pid(env: Env<'_>, process: ProcessId) -> Term<'_> {
    term::term(env, host::pid_word(process))
}
