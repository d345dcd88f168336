//! The native side of `ElixirScope.Subscriptions`: queues of events that relays empty.

use elixir_scope_engine::Recorder;
use rustler::{Encoder, Env, LocalPid, Term};

use crate::entry::{Answer, Raise};
use crate::events::Shared;
use crate::host::{self, BEAM};
use crate::recorder::not_running;
use crate::{atoms, query, runtime};

/// `subscribe(query, relay, subscriber, capacity)`
pub fn subscribe<'a>(env: Env<'a>, args: [Term<'a>; 4]) -> Answer<'a> {
    let [map, relay, subscriber, capacity] = args;
    let mut query = query::decode(map)?;
    query
        .exclude
        .extend([host::process(relay), host::process(subscriber)]);
    let relay: LocalPid = relay.decode().map_err(|_| Raise::BadArgument)?;
    let capacity: usize = capacity.decode().map_err(|_| Raise::BadArgument)?;
    let Some(running) = runtime::running() else {
        return Ok(not_running(env));
    };
    let id = running
        .recorder
        .subscribe(query, capacity, |id| BEAM.add_relay(id, relay));
    Ok((atoms::ok(), id).encode(env))
}

/// Ends the subscriptions whose relay has died.
pub fn close_orphans(recorder: &Recorder) {
    for id in BEAM.orphans() {
        BEAM.remove_relay(id);
        recorder.unsubscribe(id);
    }
}

/// `subscription_take(id, max)`: `{events, dropped}`
pub fn take<'a>(env: Env<'a>, [id, max]: [Term<'a>; 2]) -> Answer<'a> {
    let id: u64 = id.decode().map_err(|_| Raise::BadArgument)?;
    let max: usize = max.decode().map_err(|_| Raise::BadArgument)?;
    let taken = runtime::running().and_then(|running| {
        let taken = running.recorder.take(id, max)?;
        Some((running, taken))
    });
    let Some((running, taken)) = taken else {
        return Ok((atoms::error(), atoms::closed()).encode(env));
    };
    let mut shared = Shared::new(env, running.recorder.config().into(), true);
    Ok((shared.list(&taken.events), taken.dropped).encode(env))
}

/// `subscription_close(id)`
pub fn close<'a>(env: Env<'a>, [id]: [Term<'a>; 1]) -> Answer<'a> {
    let id: u64 = id.decode().map_err(|_| Raise::BadArgument)?;
    BEAM.remove_relay(id);
    if let Some(running) = runtime::running() {
        running.recorder.unsubscribe(id);
    }
    Ok(atoms::ok().encode(env))
}
