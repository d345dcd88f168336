//! The encoder and the decoder by themselves, for tests in Elixir; and how terms are read.

use std::collections::HashMap;

use elixir_scope_engine::value::{Budget, Reader};
use rustler::{Atom, Binary, Encoder, Env, Error, NifResult, OwnedBinary, Term};

use crate::term::decode::Decoder;
use crate::term::encode::{
    Rules, WHOLE_BYTES, encode, encode_whole, encode_word, encode_word_whole,
};
use crate::term::nif::NifTerms;
use crate::term::redact::Redaction;
use crate::term::{raw, word};

mod atoms {
    rustler::atoms! { ok, raw, bytes, depth, length, redact, whole, steps, error, too_big, auto, nif }
}

fn number(options: Term<'_>, key: Atom) -> NifResult<Option<usize>> {
    match options.map_get(key) {
        Ok(value) if !value.is_atom() => value.decode().map(Some),
        _ => Ok(None),
    }
}

fn flag(options: Term<'_>, key: Atom, default: bool) -> NifResult<bool> {
    options
        .map_get(key)
        .map_or(Ok(default), |value| value.decode())
}

fn rules(options: Term<'_>) -> NifResult<Rules> {
    let small = |size: usize| u32::try_from(size).unwrap_or(u32::MAX);
    let budget = Budget {
        bytes: number(options, atoms::bytes())?.unwrap_or(WHOLE_BYTES),
        depth: number(options, atoms::depth())?.map_or(u32::MAX, small),
        length: number(options, atoms::length())?.map(small),
    };
    let redaction = match options.map_get(atoms::redact()) {
        Ok(keys) => Redaction::from_term(keys).ok_or(Error::BadArg)?,
        Err(_) => Redaction::off(),
    };
    Ok(Rules { budget, redaction })
}

/// The bytes of a term, or `{:error, :too_big}`; with `steps: true`, `{bytes, steps}`. Options, a map: `raw: false` goes
/// through the NIF interface; `bytes`, `depth`, `length` (an atom for no limit); `redact`, as
/// [`Redaction::from_term`] takes it; `whole: true` for no budget and no masks.
#[rustler::nif(schedule = "DirtyCpu")]
fn term_encode<'a>(env: Env<'a>, term: Term<'a>, options: Term<'a>) -> NifResult<Term<'a>> {
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
    let mut binary = OwnedBinary::new(out.len());
    binary.as_mut_slice().copy_from_slice(&out);
    let bytes = Binary::from_owned(binary, env);
    Ok(if flag(options, atoms::steps(), false)? {
        (bytes, steps).encode(env)
    } else {
        bytes.to_term(env)
    })
}

/// The term of one encoded value, or `{:error, message}`.
#[rustler::nif(schedule = "DirtyCpu")]
fn term_decode<'a>(env: Env<'a>, bytes: Binary<'a>) -> Term<'a> {
    let mut reader = Reader::new(bytes.as_slice());
    match Decoder::new(env).next(&mut reader) {
        Ok(term) if reader.rest().is_empty() => term,
        Ok(_) => (atoms::error(), "bytes after the value").encode(env),
        Err(malformed) => (atoms::error(), malformed.to_string()).encode(env),
    }
}

/// Learns how this VM lays out terms; see [`raw::learn`].
#[rustler::nif(schedule = "DirtyCpu")]
fn raw_learn(env: Env<'_>, samples: Term<'_>) -> Atom {
    raw::learn(env, samples);
    atoms::ok()
}

/// Each shape by name: `:raw`, or `{:nif, reason}`.
#[rustler::nif]
fn term_shapes(env: Env<'_>) -> HashMap<String, Term<'_>> {
    raw::shapes()
        .map(|(name, failure)| {
            let how = match failure {
                None => atoms::raw().encode(env),
                Some(reason) => (atoms::nif(), reason).encode(env),
            };
            (name.to_owned(), how)
        })
        .collect()
}

/// `false` leaves all terms to the NIF interface, `:auto` does not.
#[rustler::nif]
fn raw_terms(how: Term<'_>) -> NifResult<Atom> {
    match how.decode::<bool>() {
        Ok(on) => raw::switch(on),
        Err(_) if how.decode::<Atom>()? == atoms::auto() => raw::switch(true),
        Err(_) => return Err(Error::BadArg),
    }
    Ok(atoms::ok())
}
