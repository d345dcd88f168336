//! Who sent what to whom: the flow of messages.

use elixir_scope_engine::event::EventId;
use elixir_scope_engine::{FlowQuery, Party, Way};
use rustler::{Atom, Encoder, Env, Term};

use crate::entry::{Answer, Raise};
use crate::events::Shared;
use crate::fields::{bounded, clamped, get, need};
use crate::query::{decode, encoded, list, process, timeout};
use crate::recorder::{PATIENCE, not_running};
use crate::{atoms, runtime};

/// A side of a flow: pids, or nothing for any process; and names.
fn party(map: Term<'_>, pids: Atom, names: Atom) -> Result<Party, Raise> {
    let processes = get(map, pids)
        .map(|pids| Ok(list(pids)?.into_iter().filter_map(process).collect()))
        .transpose()?;
    let names = list(need(map, names)?)?
        .into_iter()
        .map(encoded)
        .collect::<Result<_, Raise>>()?;
    Ok(Party { processes, names })
}

/// `message_flow(query + %{from: [pid] | absent, from_names: [term], to: [pid] | absent, to_names: [term], both: boolean})`
pub fn message_flow<'a>(env: Env<'a>, [map]: [Term<'a>; 1]) -> Answer<'a> {
    let flow = FlowQuery {
        from: party(map, atoms::from(), atoms::from_names())?,
        to: party(map, atoms::to(), atoms::to_names())?,
        both: need(map, atoms::both())?,
        query: decode(map)?,
    };
    let Some(running) = runtime::running() else {
        return Ok(not_running(env));
    };
    let result = running.recorder.message_flow(&flow, PATIENCE);
    if !result.explain.complete {
        return Ok(timeout(env));
    }
    let origin = running.recorder.config().into();
    Ok(Shared::new(env, origin, flow.query.payload).list(&result.rows))
}

/// `causes(%{id: id, limit: n | :infinity})`
pub fn causes<'a>(env: Env<'a>, [map]: [Term<'a>; 1]) -> Answer<'a> {
    chain(env, map, Way::Back)
}

/// `effects(%{id: id, limit: n | :infinity})`
pub fn effects<'a>(env: Env<'a>, [map]: [Term<'a>; 1]) -> Answer<'a> {
    chain(env, map, Way::Forth)
}

fn chain<'a>(env: Env<'a>, map: Term<'a>, way: Way) -> Answer<'a> {
    let id = clamped(need(map, atoms::id())?)?;
    let limit = bounded(map, atoms::limit())?.unwrap_or(usize::MAX);
    let Some(running) = runtime::running() else {
        return Ok(not_running(env));
    };
    let id = EventId(u64::try_from(id).unwrap_or(0));
    let found = running.recorder.chain(id, way, limit, PATIENCE);
    if !found.complete {
        return Ok(timeout(env));
    }
    let Some(rows) = found.answer else {
        return Ok((atoms::error(), atoms::no_event()).encode(env));
    };
    Ok(Shared::new(env, running.recorder.config().into(), true).list(&rows))
}
