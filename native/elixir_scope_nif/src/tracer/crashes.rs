//! Crashes, which `ElixirScope.Life` hears of from the logger.

use elixir_scope_engine::event::{EventKind, SiteId};
use elixir_scope_engine::{ProcessSlots, Slot};
use rustler::{Binary, Encoder, Env, OwnedBinary, Term};

use super::local;
use crate::capture::{NOWHERE, What};
use crate::host::this_process;
use crate::payload::{Payload, by};
use crate::thread::Thread;
use crate::{atoms, gate};

/// `crash_state(state)`: what a process holds that is about to end, within the budget of a payload and masked, as `crash_note` takes it.
/// A report that has the state comes before the one that has the reason.
pub fn crash_state<'a>(env: Env<'a>, [state]: [Term<'a>; 1]) -> Term<'a> {
    encoded(env, state)
        .map(|bytes| Binary::from_owned(bytes, env).to_term(env))
        .unwrap_or_else(|| atoms::nil().encode(env))
}

fn encoded<'a>(env: Env<'a>, state: Term<'a>) -> Option<OwnedBinary> {
    let thread = Thread::take(gate::word())?;
    let mut bytes = Vec::new();
    let written = Payload::new(env, &thread.settings, EventKind::Crash, &mut bytes).value(state);
    Thread::put(thread);
    written.ok()?;
    let mut binary = OwnedBinary::new(bytes.len());
    binary.as_mut_slice().copy_from_slice(&bytes);
    Some(binary)
}

/// `crash_note(pid, reason, state, supervisor, restarts, links)`: a process crashed, by its own report or by that of another one. What
/// its own report tells stands in the order of its other events, and goes back to what they go back to.
pub fn crash_note<'a>(env: Env<'a>, args: [Term<'a>; 6]) -> Term<'a> {
    let [pid, reason, state, supervisor, restarts, links] = args;
    let gate = gate::word();
    if gate != 0
        && let Some(process) = local(pid)
        && let slot = ProcessSlots::shared().find(process)
        && !slot.is_some_and(Slot::is_muted_for_life)
        && let Some(mut thread) = Thread::take(gate)
    {
        let slot = slot.filter(|_| process == this_process(env));
        let what = What {
            kind: EventKind::Crash,
            process,
            slot,
            site: SiteId::NONE,
        };
        let place = slot.map_or(NOWHERE, |slot| slot.current(thread.settings.generation));
        let body = by(|payload| {
            payload.value(reason)?;
            match state.decode::<Binary<'_>>() {
                Ok(state) => payload.bytes(state.as_slice())?,
                Err(_) => payload.nil()?,
            }
            payload.values(&[supervisor, restarts, links])
        });
        thread.write(env, what.at(place), body);
        Thread::put(thread);
    }
    atoms::ok().encode(env)
}
