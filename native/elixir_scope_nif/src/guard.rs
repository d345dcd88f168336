//! What `ElixirScope.Guard` looks at, and what it does.

use elixir_scope_engine::event::Symbol;
use elixir_scope_engine::{Ending, Gap, Traces};
use rustler::{Encoder, Env, Term};

use crate::entry::{Answer, Raise};
use crate::library::map;
use crate::recorder::{not_running, ok_or_not_running};
use crate::settings::Level;
use crate::{atoms, cost, runtime};

/// `guard_level(level)`: how much is recorded from now on, from 0 for all to 4 for nothing.
pub fn set_level<'a>(env: Env<'a>, [level]: [Term<'a>; 1]) -> Answer<'a> {
    let level: usize = level.decode().map_err(|_| Raise::BadArgument)?;
    let level = *Level::ALL.get(level).ok_or(Raise::BadArgument)?;
    let done = runtime::update(|settings| Ok::<_, Raise>(settings.at(level)))?;
    if let Some(running) = runtime::running() {
        // What was written before does not look like what is written from now on, or nothing was.
        running.recorder.gap(Gap::Everything);
    }
    if level >= Level::NoTraces {
        let traces = Traces::shared();
        for number in traces.running().numbers() {
            traces.end(number, Ending::Guard);
        }
    }
    ok_or_not_running(env, done)
}

/// `guard_reading()`: figures since the start, none of which waits for a writer.
pub fn reading<'a>(env: Env<'a>, []: [Term<'a>; 0]) -> Answer<'a> {
    let Some(running) = runtime::running() else {
        return Ok(not_running(env));
    };
    let rings = running.recorder.rings().stats();
    let lost: u64 = rings
        .lost
        .iter()
        .filter(|(_, cause, _)| matches!(cause, Symbol::DroppedOldest | Symbol::DroppedNewest))
        .map(|(_, _, count)| count)
        .sum();
    let level = Level::ALL
        .iter()
        .position(|level| *level == running.settings.level);
    map(
        env,
        &[
            (atoms::level(), level.encode(env)),
            (atoms::paused(), running.paused.encode(env)),
            (atoms::recorded(), rings.recorded.encode(env)),
            (atoms::lost(), lost.encode(env)),
            (atoms::cpu_ns(), running.recorder.cpu_ns().encode(env)),
            (atoms::capture_ns(), cost::median_ns().encode(env)),
        ],
    )
}
