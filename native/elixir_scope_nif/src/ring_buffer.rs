//! The native side of `ElixirScope.Capture.RingBuffer`: a bounded ring of terms, kept as encoded values.

use std::sync::Arc;

use elixir_scope_engine::{FullPolicy, TermRead, TermRing, WriteError};
use rustler::{Atom, Encoder, Env, Term};

use crate::atoms;
use crate::entry::{Answer, Raise};
use crate::fields::{can_reserve, out_of_memory};
use crate::handle::{self, Object};
use crate::term::decode::decode;
use crate::term::encode::encode_whole;

/// The ring of a handle; `Ok(None)` when it was destroyed.
fn ring(term: Term<'_>) -> Result<Option<Arc<TermRing>>, Raise> {
    match handle::get(term) {
        Some(Object::Ring(ring)) => Ok(Some(ring)),
        Some(Object::Destroyed) => Ok(None),
        _ => Err(Raise::BadArgument),
    }
}

fn destroyed(env: Env<'_>) -> Answer<'_> {
    Ok((atoms::error(), atoms::destroyed()).encode(env))
}

/// `ring_new(size, policy)`
pub fn new<'a>(env: Env<'a>, [size, policy]: [Term<'a>; 2]) -> Answer<'a> {
    let size: usize = size.decode().map_err(|_| Raise::BadArgument)?;
    let policy: Atom = policy.decode().map_err(|_| Raise::BadArgument)?;
    let policy = match policy {
        policy if policy == atoms::drop_oldest() => FullPolicy::DropOldest,
        policy if policy == atoms::drop_newest() => FullPolicy::DropNewest,
        policy if policy == atoms::block() => FullPolicy::Refuse,
        _ => return Err(Raise::BadArgument),
    };
    let memory = size.saturating_mul(TermRing::SLOT_BYTES);
    if !can_reserve(memory) {
        return Ok(out_of_memory(env, memory));
    }
    let ring = TermRing::new(size, policy).map_err(|_| Raise::BadArgument)?;
    Ok((atoms::ok(), handle::new(env, Object::Ring(Arc::new(ring)))).encode(env))
}

/// `ring_write(ring, term)`
pub fn write<'a>(env: Env<'a>, [handle, value]: [Term<'a>; 2]) -> Answer<'a> {
    let Some(ring) = ring(handle)? else {
        return destroyed(env);
    };
    let mut bytes = Vec::new();
    if encode_whole(value, &mut bytes).is_err() {
        return Ok((atoms::error(), atoms::too_big()).encode(env));
    }
    match ring.write(bytes.into()) {
        Ok(_position) => Ok(atoms::ok().encode(env)),
        Err(WriteError::Full) => Ok((atoms::error(), atoms::buffer_full()).encode(env)),
        Err(WriteError::Destroyed) => destroyed(env),
    }
}

/// `ring_refused(ring)`: the caller gave up after its last try.
pub fn refused<'a>(env: Env<'a>, [handle]: [Term<'a>; 1]) -> Answer<'a> {
    if let Some(ring) = ring(handle)? {
        ring.give_up();
    }
    Ok(atoms::ok().encode(env))
}

/// `ring_read(ring, position)`
pub fn read<'a>(env: Env<'a>, [handle, position]: [Term<'a>; 2]) -> Answer<'a> {
    let Some(ring) = ring(handle)? else {
        return destroyed(env);
    };
    let position: u64 = position.decode().map_err(|_| Raise::BadArgument)?;
    let Ok(read) = ring.read(position) else {
        return destroyed(env);
    };
    Ok(match read {
        TermRead::Term(bytes, next) => (atoms::ok(), value(env, &bytes)?, next).encode(env),
        TermRead::Lapped { missed, next } => (atoms::lapped(), missed, next).encode(env),
        TermRead::Empty => atoms::empty().encode(env),
    })
}

/// `ring_read_batch(ring, position, max)`: `{terms, next, missed}`
pub fn read_batch<'a>(env: Env<'a>, [handle, position, max]: [Term<'a>; 3]) -> Answer<'a> {
    let Some(ring) = ring(handle)? else {
        return destroyed(env);
    };
    let position: u64 = position.decode().map_err(|_| Raise::BadArgument)?;
    let max: usize = max.decode().map_err(|_| Raise::BadArgument)?;
    let Ok(batch) = ring.read_batch(position, max) else {
        return destroyed(env);
    };
    let terms = batch
        .terms
        .iter()
        .map(|bytes| value(env, bytes))
        .collect::<Result<Vec<_>, _>>()?;
    Ok((terms, batch.next, batch.missed).encode(env))
}

/// What was written by this very library decodes.
fn value<'a>(env: Env<'a>, bytes: &[u8]) -> Answer<'a> {
    decode(env, bytes).map_err(|_| Raise::BadArgument)
}

/// `ring_stats(ring)`
pub fn stats<'a>(env: Env<'a>, [handle]: [Term<'a>; 1]) -> Answer<'a> {
    let Some(ring) = ring(handle)? else {
        return destroyed(env);
    };
    let Ok(stats) = ring.stats() else {
        return destroyed(env);
    };
    let pairs = [
        (atoms::size(), stats.size as u64),
        (atoms::available(), stats.available),
        (atoms::total_writes(), stats.total_writes),
        (atoms::dropped(), stats.dropped),
        (atoms::bytes(), stats.bytes as u64),
    ];
    Term::map_from_pairs(env, &pairs).map_err(|_| Raise::BadArgument)
}

/// `ring_clear(ring)`
pub fn clear<'a>(env: Env<'a>, [handle]: [Term<'a>; 1]) -> Answer<'a> {
    let Some(ring) = ring(handle)? else {
        return destroyed(env);
    };
    match ring.clear() {
        Ok(()) => Ok(atoms::ok().encode(env)),
        Err(_) => destroyed(env),
    }
}

/// `ring_destroy(ring)`
pub fn destroy<'a>(env: Env<'a>, [handle]: [Term<'a>; 1]) -> Answer<'a> {
    if let Some(ring) = ring(handle)? {
        ring.destroy();
    }
    handle::destroy(handle);
    Ok(atoms::ok().encode(env))
}
