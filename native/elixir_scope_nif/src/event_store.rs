//! The native side of `ElixirScope.Storage.EventStore`: a store of its own, fed by hand.

use std::sync::Arc;

use elixir_scope_engine::event::{CorrelationId, EventId, ProcessId, SiteId, Symbols, TimeNs};
use elixir_scope_engine::{Call, Context, KindNames, NewEvent, SiteDef, SiteTable, Store};
use rustler::{Atom, Encoder, Env, LocalPid, Term};

use crate::entry::{Answer, Raise};
use crate::events::{Layout, Origin, Shared, Source, layouts};
use crate::fields::{can_reserve, get, list, out_of_memory};
use crate::handle::{self, Object};
use crate::term::encode::encode_whole;
use crate::{atoms, host, query, recorder, settings, term};

/// A store, and what its queries need to know.
pub struct HandStore {
    store: Store,
    symbols: Symbols,
    kinds: KindNames,
    origin: Origin,
}

impl HandStore {
    fn context(&self) -> Context<'_> {
        Context {
            sites: SiteTable::shared(),
            names: &host::Names,
            symbols: &self.symbols,
            kinds: &self.kinds,
            time_offset_ns: self.origin.time_offset_ns,
            node: self.origin.node,
            states: None,
            flows: false,
        }
    }
}

fn store(term: Term<'_>) -> Result<Arc<HandStore>, Raise> {
    match handle::get(term) {
        Some(Object::Store(store)) => Ok(store),
        _ => Err(Raise::BadArgument),
    }
}

/// `store_new(config)`
pub fn new<'a>(env: Env<'a>, [config]: [Term<'a>; 1]) -> Answer<'a> {
    let bounds = settings::store(config)?;
    if !can_reserve(bounds.memory_limit) {
        return Ok(out_of_memory(env, bounds.memory_limit));
    }
    let store = match Store::new(bounds) {
        Ok(store) => store,
        Err(limit) => {
            let reason = (atoms::memory_limit_too_small(), limit.given, limit.least);
            return Ok((atoms::error(), reason).encode(env));
        }
    };
    let store = HandStore {
        store,
        symbols: Symbols::new(|name| term::intern(env, name)),
        kinds: KindNames::new(|name| term::intern(env, name)),
        origin: settings::origin(config)?,
    };
    Ok((
        atoms::ok(),
        handle::new(env, Object::Store(Arc::new(store))),
    )
        .encode(env))
}

/// One event read from a struct, before any of the list is stored.
struct Read {
    kind: elixir_scope_engine::event::EventKind,
    time: TimeNs,
    process: ProcessId,
    site: SiteId,
    call: EventId,
    parent: EventId,
    correlation: CorrelationId,
    payload: Vec<u8>,
}

/// `store_put(store, events)`: all of them, or none with the reason.
pub fn put<'a>(env: Env<'a>, [handle, events]: [Term<'a>; 2]) -> Answer<'a> {
    let store = store(handle)?;
    let events = list(events).ok_or(Raise::BadArgument)?;
    let mut read = Vec::with_capacity(events.len());
    for event in events {
        match read_struct(event) {
            Some(event) => read.push(event),
            None => return Ok((atoms::error(), (atoms::malformed(), event)).encode(env)),
        }
    }
    // Checked first, so that none of the list is stored when one of them cannot be.
    let most = store.store.max_payload();
    if let Some(event) = read.iter().find(|event| event.payload.len() > most) {
        let reason = (atoms::too_big(), event.payload.len(), most);
        return Ok((atoms::error(), reason).encode(env));
    }
    let mut appender = store.store.appender();
    for event in &read {
        let new = NewEvent {
            kind: event.kind,
            time: event.time,
            process: event.process,
            site: event.site,
            call: if event.call.is_some() {
                Call::Of(event.call)
            } else {
                Call::None
            },
            parent: event.parent,
            correlation: event.correlation,
            peer: ProcessId::NONE,
            message: EventId::NONE,
            payload: &event.payload,
            more: &[],
        };
        if appender.append(&new).is_err() {
            return Ok((atoms::error(), atoms::store_full()).encode(env));
        }
    }
    Ok(atoms::ok().encode(env))
}

fn read_struct(event: Term<'_>) -> Option<Read> {
    let env = event.get_env();
    let kind_name: Atom = get(event, atoms::event_type())?.decode().ok()?;
    let layout: &Layout = layouts(env)
        .iter()
        .find(|layout| layout.event_type == kind_name)?;
    let number = |key: Atom| -> Option<u64> {
        get(event, key).map_or(Some(0), |value| {
            if value.is_atom() {
                Some(0)
            } else {
                value.decode().ok()
            }
        })
    };
    let mut payload = Vec::new();
    for (name, source) in &layout.fields {
        if let Source::Payload(_) = source {
            encode_whole(get(event, *name)?, &mut payload).ok()?;
        }
    }
    // An entry has its stack only if there is one; see `Source::Stack`.
    let stack = layout
        .fields
        .iter()
        .find(|(_, from)| *from == Source::Stack);
    if let Some(stack) = stack.and_then(|(name, _)| get(event, *name))
        && stack.is_list()
        && !stack.is_empty_list()
    {
        encode_whole(stack, &mut payload).ok()?;
    }
    let pid = get(event, atoms::pid())?;
    let process = match pid.decode::<LocalPid>() {
        Ok(_) => host::process(pid),
        Err(_) if pid.is_atom() => ProcessId::NONE,
        Err(_) => return None,
    };
    Some(Read {
        kind: layout.kind,
        time: TimeNs(get(event, atoms::timestamp())?.decode().ok()?),
        process,
        site: site(event),
        call: EventId(number(atoms::call_id())?),
        parent: EventId(number(atoms::parent_id())?),
        correlation: match get(event, atoms::correlation_id()) {
            Some(root) if atoms::ambiguous() == root => CorrelationId::AMBIGUOUS,
            _ => CorrelationId(number(atoms::correlation_id())?),
        },
        payload,
    })
}

/// A site for the place that the struct names, if it names one.
fn site(event: Term<'_>) -> SiteId {
    let nil = term::atom_id(atoms::nil().encode(event.get_env()));
    let atom = |key: Atom| {
        get(event, key)
            .and_then(term::atom_id)
            .filter(|name| Some(*name) != nil)
    };
    let number = |key: Atom| {
        get(event, key)
            .and_then(|value| value.decode::<u32>().ok())
            .unwrap_or(0)
    };
    let Some(module) = atom(atoms::module()) else {
        return SiteId::NONE;
    };
    let def = SiteDef {
        module,
        function: atom(atoms::function()),
        arity: number(atoms::arity()),
        file: get(event, atoms::file())
            .and_then(|file| file.decode::<&str>().ok())
            .unwrap_or("")
            .into(),
        line: number(atoms::line()),
        clause: number(atoms::clause()),
        behaviour: atom(atoms::behaviour()),
        ..SiteDef::default()
    };
    SiteTable::shared().define(hash(&def), def)
}

/// The number of a place that no compiler has numbered. Compiled sites use 58 bits; the highest bit keeps these apart.
fn hash(def: &SiteDef) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    (
        def.module,
        def.function,
        def.arity,
        &def.file,
        def.line,
        def.clause,
        def.behaviour,
    )
        .hash(&mut hasher);
    hasher.finish() & SiteTable::NUMBERS | 1 << 63
}

/// `store_query(store, query)`
pub fn query<'a>(env: Env<'a>, [handle, map]: [Term<'a>; 2]) -> Answer<'a> {
    let store = store(handle)?;
    let query = query::decode(map)?;
    let result = store.store.query(&query, &store.context());
    Ok(Shared::new(env, store.origin, query.payload).list(&result.rows))
}

/// `store_stats(store)`
pub fn stats<'a>(env: Env<'a>, [handle]: [Term<'a>; 1]) -> Answer<'a> {
    let stats = store(handle)?.store.stats();
    recorder::store(env, &stats, None, stats.memory_limit)
}
