//! The encoder, the decoder and deltas by themselves, for tests in Elixir.

use elixir_scope_engine::value::{Budget, Malformed, Patched, Reader, skip_delta};
use rustler::{Atom, Binary, Encoder, Env, OwnedBinary, Term};

use crate::entry::{Answer, Raise};

use crate::term::decode::Decoder;
use crate::term::delta::{self, MOST_STEPS, TooMuch};
use crate::term::encode::{
    Rules, WHOLE_BYTES, encode, encode_whole, encode_word, encode_word_whole,
};
use crate::term::fingerprint::fingerprint;
use crate::term::nif::NifTerms;
use crate::term::raw::RawTerms;
use crate::term::redact::Redaction;
use crate::term::word;

mod atoms {
    rustler::atoms! { raw, bytes, depth, length, redact, whole, steps, error, same, too_big, too_much }
}

fn number(options: Term<'_>, key: Atom) -> Result<Option<usize>, Raise> {
    match options.map_get(key) {
        Ok(value) if !value.is_atom() => value.decode().map(Some).map_err(|_| Raise::BadArgument),
        _ => Ok(None),
    }
}

fn flag(options: Term<'_>, key: Atom, default: bool) -> Result<bool, Raise> {
    options.map_get(key).map_or(Ok(default), |value| {
        value.decode().map_err(|_| Raise::BadArgument)
    })
}

fn rules(options: Term<'_>) -> Result<Rules, Raise> {
    let small = |size: usize| u32::try_from(size).unwrap_or(u32::MAX);
    let budget = Budget {
        bytes: number(options, atoms::bytes())?.unwrap_or(WHOLE_BYTES),
        depth: number(options, atoms::depth())?.map_or(u32::MAX, small),
        length: number(options, atoms::length())?.map(small),
    };
    let redaction = match options.map_get(atoms::redact()) {
        Ok(keys) => Redaction::from_term(keys).ok_or(Raise::BadArgument)?,
        Err(_) => Redaction::off(),
    };
    Ok(Rules { budget, redaction })
}

/// The bytes of a term, or `{:error, :too_big}`; with `steps: true`, `{bytes, steps}`. Options, a map: `raw: false` goes
/// through the NIF interface; `bytes`, `depth`, `length` (an atom for no limit); `redact`, as
/// [`Redaction::from_term`] takes it; `whole: true` for no budget and no masks.
pub fn encode_term<'a>(env: Env<'a>, [term, options]: [Term<'a>; 2]) -> Answer<'a> {
    let mut out = Vec::new();
    let whole = flag(options, atoms::whole(), false)?;
    let raw = flag(options, atoms::raw(), true)?;
    let rules = rules(options)?;
    let steps = match (whole, raw) {
        (true, true) => encode_whole(term, &mut out),
        (true, false) => encode_word_whole(NifTerms::new(env), word(term), &mut out),
        (false, true) => encode(term, &rules, &mut out),
        (false, false) => encode_word(NifTerms::new(env), word(term), &rules, &mut out),
    };
    let Ok(steps) = steps else {
        return Ok((atoms::error(), atoms::too_big()).encode(env));
    };
    let bytes = binary(env, &out);
    Ok(if flag(options, atoms::steps(), false)? {
        (bytes, steps).encode(env)
    } else {
        bytes
    })
}

fn binary<'a>(env: Env<'a>, bytes: &[u8]) -> Term<'a> {
    let mut binary = OwnedBinary::new(bytes.len());
    binary.as_mut_slice().copy_from_slice(bytes);
    Binary::from_owned(binary, env).to_term(env)
}

/// The term of one encoded value, or `{:error, message}`.
pub fn decode_term<'a>(env: Env<'a>, [bytes]: [Term<'a>; 1]) -> Answer<'a> {
    let bytes: Binary<'a> = bytes.decode().map_err(|_| Raise::BadArgument)?;
    let mut reader = Reader::new(bytes.as_slice());
    Ok(match Decoder::new(env).next(&mut reader) {
        Ok(term) if reader.rest().is_empty() => term,
        Ok(_) => (atoms::error(), "bytes after the value").encode(env),
        Err(malformed) => (atoms::error(), malformed.to_string()).encode(env),
    })
}

/// How the old term became the new one: `{delta, whole}`, `:same`, or `:too_much`. Options as [`encode_term`] has them, but for
/// `whole`.
pub fn delta_of<'a>(env: Env<'a>, [old, new, options]: [Term<'a>; 3]) -> Answer<'a> {
    let (rules, mut out) = (rules(options)?, Vec::new());
    let is_raw = flag(options, atoms::raw(), true)?;
    let (old, new) = (word(old), word(new));
    let nif = NifTerms::new(env);
    let written = match RawTerms::new(env).filter(|_| is_raw) {
        Some(raw) => delta::write(raw, old, new, (&rules, MOST_STEPS), &mut out),
        None => delta::write(nif, old, new, (&rules, MOST_STEPS), &mut out),
    };
    Ok(match written {
        Ok(written) if written.is_same => atoms::same().encode(env),
        Ok(written) => (binary(env, &out), written.is_whole).encode(env),
        Err(TooMuch) => atoms::too_much().encode(env),
    })
}

/// An encoded value with encoded deltas laid over it: `{value, fits, knows}`, or `{:error, message}`.
pub fn patch<'a>(env: Env<'a>, [value, deltas]: [Term<'a>; 2]) -> Answer<'a> {
    let value: Binary<'a> = value.decode().map_err(|_| Raise::BadArgument)?;
    let deltas: Vec<Binary<'a>> = deltas.decode().map_err(|_| Raise::BadArgument)?;
    let patched = || {
        let mut patched = Patched::new(value.as_slice())?;
        let (mut fits, mut knows) = (true, true);
        for delta in &deltas {
            let applied = patched.apply(delta.as_slice())?;
            fits &= applied.fits && skip_delta(delta.as_slice())? == delta.len();
            knows &= applied.knows;
        }
        let mut out = Vec::new();
        patched.write(&mut out);
        Ok::<_, Malformed>((out, fits, knows))
    };
    Ok(match patched() {
        Ok((out, fits, knows)) => (binary(env, &out), fits, knows).encode(env),
        Err(malformed) => (atoms::error(), malformed.to_string()).encode(env),
    })
}

/// The fingerprint of a term.
pub fn fingerprint_of<'a>(env: Env<'a>, [term, options]: [Term<'a>; 2]) -> Answer<'a> {
    let words = [word(term)];
    let is_raw = flag(options, atoms::raw(), true)?;
    let raw = RawTerms::new(env).filter(|_| is_raw);
    let print = match raw {
        Some(raw) => fingerprint(raw, &words),
        None => fingerprint(NifTerms::new(env), &words),
    };
    Ok(print.encode(env))
}
