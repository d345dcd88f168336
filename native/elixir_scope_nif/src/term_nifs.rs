//! The encoder and the decoder by themselves, for tests in Elixir.

use elixir_scope_engine::value::{Budget, Reader};
use rustler::{Atom, Binary, Encoder, Env, ListIterator, NifResult, OwnedBinary, Term};

use crate::term::decode::Decoder;
use crate::term::encode::{
    EncodeError, Rules, WHOLE_BYTES, encode, encode_whole, encode_word, encode_word_whole,
};
use crate::term::nif::NifTerms;
use crate::term::raw;
use crate::term::redact::Redaction;
use crate::term::{immediate_atom, word};

mod atoms {
    rustler::atoms! { raw, bytes, depth, length, redact, whole, error, too_big, ok, fallback, auto }
}

fn option<'t>(options: Term<'t>, key: Atom) -> Option<Term<'t>> {
    options.map_get(key).ok()
}

fn number(options: Term<'_>, key: Atom) -> NifResult<Option<u64>> {
    match option(options, key) {
        None => Ok(None),
        Some(value) if value.is_atom() => Ok(None),
        Some(value) => value.decode().map(Some),
    }
}

fn rules(options: Term<'_>) -> NifResult<Rules> {
    let bytes = number(options, atoms::bytes())?.map_or(WHOLE_BYTES, |bytes| bytes as usize);
    let depth = number(options, atoms::depth())?.map_or(u32::MAX, |depth| depth as u32);
    let length = number(options, atoms::length())?.map(|length| length as u32);
    let redaction = match option(options, atoms::redact()) {
        Some(keys) if keys.is_list() => redaction(keys, false)?,
        Some(keys) if keys.is_tuple() => {
            let (_, keys): (Atom, Term<'_>) = keys.decode()?;
            redaction(keys, true)?
        }
        _ => Redaction::off(),
    };
    Ok(Rules {
        budget: Budget {
            bytes,
            depth,
            length,
        },
        redaction,
    })
}

fn redaction(keys: Term<'_>, only: bool) -> NifResult<Redaction> {
    let env = keys.get_env();
    let keys = keys
        .decode::<ListIterator<'_>>()?
        .map(|key| {
            if key.is_atom() {
                key.atom_to_string()
            } else {
                key.decode()
            }
        })
        .collect::<NifResult<Vec<String>>>()?;
    let intern = |name: &str| {
        Atom::from_str(env, name)
            .ok()
            .and_then(|atom| immediate_atom(word(atom.to_term(env))))
            .unwrap_or_default()
    };
    let keys = keys.iter().map(String::as_str);
    Ok(if only {
        Redaction::only(keys, intern)
    } else {
        Redaction::deny(keys, intern)
    })
}

/// `{bytes, steps}` of a term, or `{:error, :too_big}`. Options, a map: `raw: false` goes through the NIF interface;
/// `bytes`, `depth`, `length`; `redact: keys | {:only, keys} | false`; `whole: true` for no budget and no masks.
#[rustler::nif(schedule = "DirtyCpu")]
fn term_encode<'a>(env: Env<'a>, term: Term<'a>, options: Term<'a>) -> NifResult<Term<'a>> {
    let raw = option(options, atoms::raw())
        .and_then(|raw| raw.decode::<bool>().ok())
        .unwrap_or(true);
    let whole = option(options, atoms::whole())
        .and_then(|whole| whole.decode::<bool>().ok())
        .unwrap_or(false);
    let rules = rules(options)?;
    let mut out = Vec::new();
    let steps = match (whole, raw) {
        (true, true) => encode_whole(term, &mut out),
        (true, false) => encode_word_whole(NifTerms::new(env), word(term), &mut out),
        (false, true) => encode(term, &rules, &mut out),
        (false, false) => encode_word(NifTerms::new(env), word(term), &rules, &mut out),
    };
    match steps {
        Ok(steps) => {
            let mut binary = OwnedBinary::new(out.len());
            binary.as_mut_slice().copy_from_slice(&out);
            Ok((Binary::from_owned(binary, env), steps).encode(env))
        }
        Err(EncodeError::Full | EncodeError::TooBig) => {
            Ok((atoms::error(), atoms::too_big()).encode(env))
        }
    }
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

/// Learns how this VM lays out its terms, once; `samples` is a list of terms that only the VM and compiled code can make.
#[rustler::nif(schedule = "DirtyCpu")]
fn raw_learn<'a>(env: Env<'a>, samples: Term<'a>) -> Atom {
    raw::learn(env, samples);
    atoms::ok()
}

/// Each shape of terms by name: `:raw`, or `{:fallback, reason}`. Empty before `raw_learn`.
#[rustler::nif]
fn term_shapes(env: Env<'_>) -> NifResult<Term<'_>> {
    let mut shapes = Term::map_new(env);
    for (name, failure) in raw::shapes() {
        let status = match failure {
            None => atoms::raw().encode(env),
            Some(reason) => (atoms::fallback(), reason).encode(env),
        };
        shapes = shapes.map_put(Atom::from_str(env, name)?, status)?;
    }
    Ok(shapes)
}

/// `:auto` reads words where they were learnt, `false` leaves all terms to the NIF interface.
#[rustler::nif]
fn raw_terms(mode: Atom) -> Atom {
    raw::switch(mode == atoms::auto());
    atoms::ok()
}
