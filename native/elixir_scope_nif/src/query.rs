//! Queries: from the map that `ElixirScope.Query.Options` made to the engine's, and their answers.

use elixir_scope_engine::event::{CorrelationId, EventId, EventKind, KindSet, ProcessId, TimeNs};
use elixir_scope_engine::{Condition, Field, Index, Loss, Op, Order, Path, Query};
use rustler::{Atom, Encoder, Env, LocalPid, Term};

use crate::entry::{Answer, Raise};
use crate::events::Shared;
use crate::fields::{bounded, clamped, get, need, optional};
use crate::recorder::{PATIENCE, not_running};
use crate::term::encode::encode_whole;
use crate::text::Texts;
use crate::{atoms, fields, host, library, runtime, term};

/// Reads a query map. It was validated by `ElixirScope.Query.Options`: what is odd here is a fault of ours.
pub fn decode(map: Term<'_>) -> Result<Query, Raise> {
    let env = map.get_env();
    let mut query = Query::default();
    if let Some(pids) = get(map, atoms::pid()) {
        query.processes = Some(list(pids)?.into_iter().filter_map(process).collect());
    }
    query.exclude = get(map, atoms::exclude())
        .and_then(process)
        .into_iter()
        .collect();
    if let Some(kinds) = get(map, atoms::event_type()) {
        query.kinds = list(kinds)?
            .into_iter()
            .try_fold(KindSet::EMPTY, |set, kind| {
                Ok(set.with(self::kind(env, kind)?))
            })?;
    }
    query.module = name(map, atoms::module())?;
    query.function = name(map, atoms::function())?;
    query.arity = optional(map, atoms::arity())?;
    query.since = time(map, atoms::since())?;
    query.until = time(map, atoms::until())?;
    query.limit = bounded(map, atoms::limit())?;
    query.order = match need::<Atom>(map, atoms::order())? {
        order if order == atoms::desc() => Order::Desc,
        _ => Order::Asc,
    };
    query.before = event_id(map, atoms::before())?;
    query.after = event_id(map, atoms::after())?;
    query.correlation = correlation(map)?;
    query.call = number(map, atoms::call_id())?.map(EventId);
    query.payload = optional(map, atoms::payload())?.unwrap_or(true);
    if let Some(conditions) = get(map, atoms::where_()) {
        query.conditions = list(conditions)?
            .into_iter()
            .map(condition)
            .collect::<Result<_, _>>()?;
    }
    Ok(query)
}

pub fn list(term: Term<'_>) -> Result<Vec<Term<'_>>, Raise> {
    fields::list(term).ok_or(Raise::BadArgument)
}

/// A remote pid records nothing here: it matches nothing.
pub fn process(pid: Term<'_>) -> Option<ProcessId> {
    pid.decode::<LocalPid>().ok().map(|_| host::process(pid))
}

fn kind(env: Env<'_>, name: Term<'_>) -> Result<EventKind, Raise> {
    let name: Atom = name.decode().map_err(|_| Raise::BadArgument)?;
    let layouts = crate::events::layouts(env);
    let layout = layouts.iter().find(|layout| layout.event_type == name);
    layout.map(|layout| layout.kind).ok_or(Raise::BadArgument)
}

fn name(map: Term<'_>, key: Atom) -> Result<Option<elixir_scope_engine::event::AtomId>, Raise> {
    Ok(get(map, key).and_then(term::atom_id))
}

fn time(map: Term<'_>, key: Atom) -> Result<Option<TimeNs>, Raise> {
    get(map, key)
        .map(|value| clamped(value).map(TimeNs))
        .transpose()
}

fn number(map: Term<'_>, key: Atom) -> Result<Option<u64>, Raise> {
    get(map, key)
        .map(|value| clamped(value).map(|n| u64::try_from(n).unwrap_or(0)))
        .transpose()
}

/// A root, or `:ambiguous`.
fn correlation(map: Term<'_>) -> Result<Option<CorrelationId>, Raise> {
    match get(map, atoms::correlation_id()) {
        Some(root) if atoms::ambiguous() == root => Ok(Some(CorrelationId::AMBIGUOUS)),
        _ => Ok(number(map, atoms::correlation_id())?.map(CorrelationId)),
    }
}

fn event_id(map: Term<'_>, key: Atom) -> Result<Option<EventId>, Raise> {
    Ok(number(map, key)?.map(EventId))
}

/// `{[field | steps], op, value}`
fn condition(term: Term<'_>) -> Result<Condition, Raise> {
    let (path, op, value): (Term<'_>, Term<'_>, Term<'_>) =
        term.decode().map_err(|_| Raise::BadArgument)?;
    let path = list(path)?;
    let (field, steps) = path.split_first().ok_or(Raise::BadArgument)?;
    let field = field.atom_to_string().map_err(|_| Raise::BadArgument)?;
    let steps = steps
        .iter()
        .map(|step| encoded(*step))
        .collect::<Result<_, _>>()?;
    let op = op.atom_to_string().map_err(|_| Raise::BadArgument)?;
    Ok(Condition {
        path: Path {
            field: Field::from_name(&field),
            steps,
        },
        op: operator(&op, value)?,
        value: encoded(value)?,
    })
}

fn operator(name: &str, value: Term<'_>) -> Result<Op, Raise> {
    Ok(match name {
        "==" => Op::Eq,
        "!=" => Op::Ne,
        "<" => Op::Lt,
        ">" => Op::Gt,
        "in" => Op::In,
        "contains" => Op::Contains,
        "exists" if value.decode::<bool>().is_ok_and(|there| !there) => Op::Absent,
        "exists" => Op::Exists,
        _ => return Err(Raise::BadArgument),
    })
}

pub fn encoded(term: Term<'_>) -> Result<Vec<u8>, Raise> {
    let mut bytes = Vec::new();
    encode_whole(term, &mut bytes).map_err(|_| Raise::TermTooBig)?;
    Ok(bytes)
}

/// `get_events(query)`
pub fn get_events<'a>(env: Env<'a>, [map]: [Term<'a>; 1]) -> Answer<'a> {
    let query = decode(map)?;
    let texts = Texts::wanted(map)?;
    let Some(running) = runtime::running() else {
        return Ok(not_running(env));
    };
    let result = running.recorder.query(&query, PATIENCE);
    if !result.explain.complete {
        return Ok(timeout(env));
    }
    let shared = Shared::new(env, running.recorder.config().into(), query.payload);
    Ok(shared.with_texts(texts).list(&result.rows))
}

/// `count_events(query)`
pub fn count_events<'a>(env: Env<'a>, [map]: [Term<'a>; 1]) -> Answer<'a> {
    let query = decode(map)?;
    let Some(running) = runtime::running() else {
        return Ok(not_running(env));
    };
    let (count, explain) = running.recorder.count(&query, PATIENCE);
    Ok(if explain.complete {
        count.encode(env)
    } else {
        timeout(env)
    })
}

/// `{:error, {:timeout, ms}}`: a writer was in the middle of a record for all that time.
pub fn timeout(env: Env<'_>) -> Term<'_> {
    (
        atoms::error(),
        (atoms::timeout(), PATIENCE.as_millis() as u64),
    )
        .encode(env)
}

/// `explain(query)`
pub fn explain<'a>(env: Env<'a>, [map]: [Term<'a>; 1]) -> Answer<'a> {
    let query = decode(map)?;
    let Some(running) = runtime::running() else {
        return Ok(not_running(env));
    };
    let explain = running.recorder.query(&query, PATIENCE).explain;
    let pruned: Vec<(&str, usize)> = Index::ALL
        .iter()
        .zip(explain.pruned)
        .filter(|(_, count)| *count > 0)
        .map(|(index, count)| (index.name(), count))
        .collect();
    let used: Vec<&str> = Index::ALL
        .iter()
        .zip(explain.used)
        .filter_map(|(index, used)| used.then_some(index.name()))
        .collect();
    let losses = explain
        .losses
        .iter()
        .map(|loss| loss_map(env, loss))
        .collect::<Result<Vec<_>, _>>()?;
    library::map(
        env,
        &[
            (atoms::segments(), explain.segments.encode(env)),
            (atoms::pruned(), atom_keys(env, &pruned)?),
            (atoms::scanned(), explain.scanned.encode(env)),
            (atoms::indexes(), atom_list(env, &used)),
            (atoms::rows(), explain.rows.encode(env)),
            (atoms::verified(), explain.verified.encode(env)),
            (atoms::matched(), explain.matched.encode(env)),
            (atoms::duration_ns(), explain.duration_ns.encode(env)),
            (atoms::complete(), explain.complete.encode(env)),
            (atoms::losses(), losses.encode(env)),
            (atoms::lost(), explain.lost.encode(env)),
            (atoms::evicted(), explain.evicted.encode(env)),
        ],
    )
}

fn own_atom<'a>(env: Env<'a>, name: &str) -> Term<'a> {
    Atom::from_str(env, name)
        .unwrap_or_else(|_| atoms::nil())
        .encode(env)
}

fn atom_keys<'a>(env: Env<'a>, pairs: &[(&str, usize)]) -> Answer<'a> {
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(name, count)| (own_atom(env, name), *count))
        .collect();
    library::map(env, &pairs)
}

fn atom_list<'a>(env: Env<'a>, names: &[&str]) -> Term<'a> {
    names
        .iter()
        .map(|name| own_atom(env, name))
        .collect::<Vec<_>>()
        .encode(env)
}

fn loss_map<'a>(env: Env<'a>, loss: &Loss) -> Answer<'a> {
    library::map(
        env,
        &[
            (atoms::from(), loss.from.0.encode(env)),
            (atoms::until(), loss.until.0.encode(env)),
            (atoms::count(), loss.count.encode(env)),
            (atoms::cause(), term::atom_term(env, loss.cause)),
            (atoms::writer(), loss.writer.encode(env)),
        ],
    )
}

/// `estimate(query)`
pub fn estimate<'a>(env: Env<'a>, [map]: [Term<'a>; 1]) -> Answer<'a> {
    let query = decode(map)?;
    let Some(running) = runtime::running() else {
        return Ok(not_running(env));
    };
    let estimate = running.recorder.estimate(&query);
    library::map(
        env,
        &[
            (atoms::segments(), estimate.scanned as u64),
            (atoms::rows(), estimate.rows),
            (atoms::matches(), estimate.matches),
        ],
    )
}
