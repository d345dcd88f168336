//! The life of the recorder, and its state as `status/0` tells it.

use std::time::Duration;

use elixir_scope_engine::event::{Symbol, Symbols};
use elixir_scope_engine::{
    Host, KindNames, ProcessSlots, Recorder, RecorderConfig, SiteTable, StartError, Status,
    StoreStats, TimelineStats,
};
use rustler::{Atom, Encoder, Env, Term};

use crate::entry::Answer;
use crate::fields::{can_reserve, need, out_of_memory};
use crate::host::BEAM;
use crate::library::{map, shapes};
use crate::settings::{self, Settings};
use crate::subscription::close_orphans;
use crate::term::{self, raw};
use crate::{atoms, cost, faults, gate, runtime};

fn ok(env: Env<'_>) -> Answer<'_> {
    Ok(atoms::ok().encode(env))
}

/// `{:error, :not_running}`
pub fn not_running(env: Env<'_>) -> Term<'_> {
    (atoms::error(), atoms::not_running()).encode(env)
}

/// What has been done to the running recorder, if there was one.
pub fn ok_or_not_running(env: Env<'_>, done: bool) -> Answer<'_> {
    Ok(if done {
        atoms::ok().encode(env)
    } else {
        not_running(env)
    })
}

/// How long a query waits for writers in the middle of a record.
pub const PATIENCE: Duration = Duration::from_millis(500);

/// `start(config)`
pub fn start<'a>(env: Env<'a>, [config]: [Term<'a>; 1]) -> Answer<'a> {
    let origin = settings::origin(config)?;
    let engine = RecorderConfig {
        rings: settings::rings(config)?,
        store: settings::store(config)?,
        symbols: Symbols::new(|name| term::intern(env, name)),
        kinds: KindNames::new(|name| term::intern(env, name)),
        node: origin.node,
        time_offset_ns: origin.time_offset_ns,
    };
    let memory = engine.rings.total_bytes;
    let memory = memory.saturating_add(engine.store.memory_limit);
    if !can_reserve(memory) {
        return Ok(out_of_memory(env, memory));
    }
    let settings = Settings::decode(config, runtime::next_generation())?;
    let raw: Atom = need(config, atoms::raw_terms())?;
    let started = runtime::start(|| {
        raw::switch(raw != atoms::false_());
        cost::reset();
        Ok((Recorder::start(engine, BEAM.clone())?, settings))
    });
    Ok(match started {
        Ok(true) => atoms::ok().encode(env),
        Ok(false) => (atoms::error(), atoms::already_running()).encode(env),
        Err(StartError::LimitTooSmall(limit)) => {
            let reason = (atoms::memory_limit_too_small(), limit.given, limit.least);
            (atoms::error(), reason).encode(env)
        }
        Err(StartError::Thread(error)) => {
            (atoms::error(), (atoms::thread_refused(), error.to_string())).encode(env)
        }
    })
}

/// `stop()`
pub fn stop<'a>(env: Env<'a>, []: [Term<'a>; 0]) -> Answer<'a> {
    runtime::stop();
    ok(env)
}

/// `pause()`
pub fn pause<'a>(env: Env<'a>, []: [Term<'a>; 0]) -> Answer<'a> {
    ok_or_not_running(env, runtime::pause(true))
}

/// `resume()`
pub fn resume<'a>(env: Env<'a>, []: [Term<'a>; 0]) -> Answer<'a> {
    ok_or_not_running(env, runtime::pause(false))
}

/// `running()`
pub fn running<'a>(env: Env<'a>, []: [Term<'a>; 0]) -> Answer<'a> {
    Ok(runtime::running().is_some().encode(env))
}

/// `update_config(changes)`
pub fn update_config<'a>(env: Env<'a>, [changes]: [Term<'a>; 1]) -> Answer<'a> {
    let done = runtime::update(|settings| settings.changed(changes))?;
    ok_or_not_running(env, done)
}

/// `now()`
pub fn now<'a>(env: Env<'a>, []: [Term<'a>; 0]) -> Answer<'a> {
    Ok(runtime::running().map_or_else(
        || not_running(env),
        |running| running.recorder.now().0.encode(env),
    ))
}

/// `time_offset()`
pub fn time_offset<'a>(env: Env<'a>, []: [Term<'a>; 0]) -> Answer<'a> {
    Ok(runtime::running().map_or_else(
        || not_running(env),
        |running| running.recorder.config().time_offset_ns.encode(env),
    ))
}

/// `status()`
pub fn status<'a>(env: Env<'a>, []: [Term<'a>; 0]) -> Answer<'a> {
    let Some(running) = runtime::running() else {
        return Ok(not_running(env));
    };
    close_orphans(&running.recorder);
    // Figures of this moment: what lies in the rings is counted where it belongs. How the wait ended does not matter here.
    running.recorder.sync(PATIENCE);
    // A scheduler looks at the time, and the clock with it: see `Beam::monotonic_ns`.
    BEAM.monotonic_ns();
    let status = running.recorder.status();
    if !status.recording {
        // Ingest met a fault of ours: better no tape than a host at risk.
        gate::close();
    }
    let (panics, last) = faults::seen();
    let last = last.or(status.faults.last.clone());
    let slots = ProcessSlots::shared();
    map(
        env,
        &[
            (atoms::paused(), running.paused.encode(env)),
            (
                atoms::recording(),
                (gate::word() != 0 && status.recording).encode(env),
            ),
            (atoms::started_at(), status.started_at.0.encode(env)),
            (atoms::capture(), capture(env, &status)?),
            (
                atoms::store(),
                recorder_store(env, &running.recorder, &status)?,
            ),
            (atoms::timelines(), timelines(env, &status.timelines)?),
            (
                atoms::clock(),
                map(
                    env,
                    &[
                        (atoms::source(), status.clock_source.encode(env)),
                        (atoms::skew_ns(), status.clock_skew_ns.encode(env)),
                    ],
                )?,
            ),
            (atoms::terms(), shapes(env)),
            (
                atoms::faults(),
                map(
                    env,
                    &[
                        (atoms::panics(), (panics + status.faults.panics).encode(env)),
                        (atoms::last(), last.encode(env)),
                    ],
                )?,
            ),
            (
                atoms::overhead(),
                map(
                    env,
                    &[
                        (atoms::capture_ns(), cost::median_ns().encode(env)),
                        (atoms::cpu_ns(), status.cpu_ns.encode(env)),
                    ],
                )?,
            ),
            (
                atoms::processes(),
                numbers(
                    env,
                    &[
                        (atoms::slots(), ProcessSlots::SHARED_SLOTS as u64),
                        (atoms::in_use(), slots.claimed() as u64),
                        (atoms::without_slot(), slots.misses()),
                        (atoms::bytes(), slots.bytes() as u64),
                    ],
                )?,
            ),
            (
                atoms::sites(),
                (SiteTable::shared().len() as u64).encode(env),
            ),
            (atoms::subscriptions(), status.subscriptions.0.encode(env)),
        ],
    )
}

/// A map of numbers.
pub fn numbers<'a>(env: Env<'a>, pairs: &[(Atom, u64)]) -> Answer<'a> {
    map(env, pairs)
}

fn capture<'a>(env: Env<'a>, status: &Status) -> Answer<'a> {
    let rings = &status.rings;
    let mut lost: Vec<(Atom, u64)> = Vec::new();
    let mut by_writer: Vec<(u32, Atom, u64)> = Vec::new();
    for &(writer, cause, count) in &rings.lost {
        let cause = symbol(cause);
        if count == 0 {
            continue;
        }
        match lost.iter_mut().find(|(name, _)| *name == cause) {
            Some((_, sum)) => *sum += count,
            None => lost.push((cause, count)),
        }
        by_writer.push((writer, cause, count));
    }
    let ingest = &status.ingest;
    for (cause, count) in [
        (Symbol::StoreFull, ingest.refused_full),
        (Symbol::TooBig, ingest.refused_too_big),
    ] {
        if count > 0 {
            lost.push((symbol(cause), count));
        }
    }
    map(
        env,
        &[
            (atoms::events(), rings.recorded.encode(env)),
            (atoms::per_second(), status.per_second.encode(env)),
            (atoms::lost(), numbers(env, &lost)?),
            (atoms::lost_by_writer(), by_writer.encode(env)),
            (atoms::bytes(), rings.bytes_in_use.encode(env)),
            (atoms::capacity_bytes(), rings.capacity_bytes.encode(env)),
            (atoms::writers(), rings.writers.encode(env)),
        ],
    )
}

fn symbol(symbol: Symbol) -> Atom {
    match symbol {
        Symbol::DroppedOldest => atoms::dropped_oldest(),
        Symbol::DroppedNewest => atoms::dropped_newest(),
        Symbol::TooBig => atoms::too_big(),
        Symbol::StoreFull => atoms::store_full(),
        Symbol::Guard => atoms::guard(),
        // No causes of a loss.
        _ => atoms::nil(),
    }
}

/// The recorder's store, with the open calls that it keeps beside it.
fn recorder_store<'a>(env: Env<'a>, recorder: &Recorder, status: &Status) -> Answer<'a> {
    let limit = recorder.config().store.memory_limit;
    store(env, &status.store, Some(status.ingest.stack_bytes), limit)
}

fn timelines<'a>(env: Env<'a>, stats: &TimelineStats) -> Answer<'a> {
    numbers(
        env,
        &[
            (atoms::processes(), stats.processes as u64),
            (atoms::changes(), stats.changes),
            (atoms::verified(), stats.verified),
            (atoms::mismatches(), stats.mismatches),
            (atoms::evicted(), stats.evicted),
            (atoms::refused(), stats.refused),
            (atoms::bytes(), stats.bytes as u64),
        ],
    )
}

/// Figures of a store, the recorder's or one fed by hand.
pub fn store<'a>(
    env: Env<'a>,
    stats: &StoreStats,
    stacks: Option<usize>,
    limit: usize,
) -> Answer<'a> {
    let [columns, index, payload, open, timelines] = stats.bytes;
    let mut bytes = vec![
        (atoms::columns(), columns as u64),
        (atoms::index(), index as u64),
        (atoms::payload(), payload as u64),
        (atoms::open(), open as u64),
        (atoms::timelines(), timelines as u64),
    ];
    bytes.extend(stacks.map(|bytes| (atoms::stacks(), bytes as u64)));
    let total = bytes.iter().map(|(_, bytes)| bytes).sum();
    bytes.push((atoms::total(), total));
    let nil = atoms::nil().encode(env);
    map(
        env,
        &[
            (atoms::events(), stats.events.encode(env)),
            (atoms::segments(), stats.segments.encode(env)),
            (atoms::bytes(), numbers(env, &bytes)?),
            (atoms::memory_limit(), limit.encode(env)),
            (
                atoms::oldest(),
                stats.times.map_or(nil, |(oldest, _)| oldest.0.encode(env)),
            ),
            (
                atoms::newest(),
                stats.times.map_or(nil, |(_, newest)| newest.0.encode(env)),
            ),
            (atoms::evicted(), stats.evicted.encode(env)),
        ],
    )
}
