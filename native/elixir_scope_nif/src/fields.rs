//! Reading maps that the Elixir side has validated already: what is missing or odd is a fault of ours.

use rustler::{Atom, Decoder, Encoder, Env, Term};

use crate::entry::Raise;

/// The value of `key`, if the map has it.
pub fn get<'a>(map: Term<'a>, key: Atom) -> Option<Term<'a>> {
    map.map_get(key).ok()
}

/// The value of `key`, decoded.
pub fn need<'a, T: Decoder<'a>>(map: Term<'a>, key: Atom) -> Result<T, Raise> {
    map.map_get(key)
        .and_then(|value| value.decode())
        .map_err(|_| Raise::BadArgument)
}

/// The value of `key`, decoded, or `None` if the map does not have it.
pub fn optional<'a, T: Decoder<'a>>(map: Term<'a>, key: Atom) -> Result<Option<T>, Raise> {
    get(map, key)
        .map(|value| value.decode().map_err(|_| Raise::BadArgument))
        .transpose()
}

/// A number of things; what is too large to be counted is the most that can be.
pub fn count(map: Term<'_>, key: Atom) -> Result<usize, Raise> {
    let value = clamped(need(map, key)?)?;
    usize::try_from(value).map_err(|_| Raise::BadArgument)
}

/// A positive integer, or `None` for `:infinity` and for what is too large to be reached.
pub fn bounded<'a, T: Decoder<'a>>(map: Term<'a>, key: Atom) -> Result<Option<T>, Raise> {
    let value: Term<'a> = need(map, key)?;
    if value
        .decode::<Atom>()
        .is_ok_and(|atom| atom == crate::atoms::infinity())
    {
        return Ok(None);
    }
    match value.decode() {
        Ok(value) => Ok(Some(value)),
        Err(_) if clamped(value)? > 0 => Ok(None),
        Err(_) => Err(Raise::BadArgument),
    }
}

/// Whether the system has so many bytes to give: asked before what would end the emulator if it had not.
pub fn can_reserve(bytes: usize) -> bool {
    let mut probe = Vec::<u8>::new();
    let granted = probe.try_reserve_exact(bytes).is_ok();
    // Seen by somebody, so that the compiler does not leave the attempt out.
    std::hint::black_box(&probe);
    granted
}

/// `{:error, {:out_of_memory, bytes}}`
pub fn out_of_memory(env: Env<'_>, bytes: usize) -> Term<'_> {
    let reason = (crate::atoms::out_of_memory(), bytes as u64);
    (crate::atoms::error(), reason).encode(env)
}

/// An integer; beyond 64 bits the nearest that fits.
pub fn clamped(value: Term<'_>) -> Result<i64, Raise> {
    if let Ok(value) = value.decode::<i64>() {
        return Ok(value);
    }
    if !value.is_integer() {
        return Err(Raise::BadArgument);
    }
    let zero = 0.encode(value.get_env());
    Ok(if value < zero { i64::MIN } else { i64::MAX })
}

/// The elements of a proper list. rustler's own decoder panics on an improper one.
pub fn list(term: Term<'_>) -> Option<Vec<Term<'_>>> {
    // Counts the cells, and fails where the last one does not end in [].
    term.list_length().ok()?;
    term.decode().ok()
}
