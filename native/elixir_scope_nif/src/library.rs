//! What can be asked of the library itself.

use rustler::{Encoder, Env, Term};

use crate::entry::Answer;
use crate::term::raw;
use crate::{atoms, handle};

/// Called by the emulator when it loads the library for `ElixirScope.Native`, or loads that module anew.
pub fn load(env: Env<'_>) -> bool {
    handle::register(env)
}

/// `load_info()`
pub fn load_info<'a>(env: Env<'a>, []: [Term<'a>; 0]) -> Answer<'a> {
    let profile = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    let pairs = [
        (atoms::profile(), profile),
        (atoms::version(), env!("CARGO_PKG_VERSION")),
    ];
    map(env, &pairs)
}

/// `raw_learn(samples)`
pub fn raw_learn<'a>(env: Env<'a>, [samples]: [Term<'a>; 1]) -> Answer<'a> {
    raw::learn(env, samples);
    Ok(atoms::ok().encode(env))
}

/// `term_shapes()`
pub fn term_shapes<'a>(env: Env<'a>, []: [Term<'a>; 0]) -> Answer<'a> {
    Ok(shapes(env))
}

/// Each shape by name: `:raw`, or `{:nif, reason}`.
pub fn shapes(env: Env<'_>) -> Term<'_> {
    raw::shapes().fold(Term::map_new(env), |map, (name, failure)| {
        let how = match failure {
            None => atoms::raw().encode(env),
            Some(reason) => (atoms::nif(), reason).encode(env),
        };
        map.map_put(name, how).unwrap_or(map)
    })
}

/// `raw_terms(:auto | false)`
pub fn raw_terms<'a>(env: Env<'a>, [path]: [Term<'a>; 1]) -> Answer<'a> {
    raw::switch(path.decode::<bool>().unwrap_or(true));
    Ok(atoms::ok().encode(env))
}

/// A map with these keys.
pub fn map<'a, K: Encoder, V: Encoder>(env: Env<'a>, pairs: &[(K, V)]) -> Answer<'a> {
    Term::map_from_pairs(env, pairs).map_err(|_| crate::entry::Raise::BadArgument)
}
