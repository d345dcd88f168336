//! The marks of `ElixirScope.Trace`, and the variables of instrumented code.

use elixir_scope_engine::event::EventKind;
use rustler::{Env, Term};

use super::{atom, enter, leave, mark, ok};
use crate::atoms;
use crate::entry::AtPlace;
use crate::payload::{NamedMap, Values};
use crate::term::{Word, raw, word};

/// `event(site, name, data)`, `metric(site, name, value, unit, metadata)`, `snapshot(site, bindings)`: the fields as they come.
pub struct Fields;

impl AtPlace for Fields {
    fn closed(env: Env<'_>) -> Term<'_> {
        ok(env)
    }

    fn open<'a>(env: Env<'a>, kind: EventKind, place: Term<'a>, fields: &'a [Word]) -> Term<'a> {
        mark(env, kind, place, Values(fields))
    }
}

/// `event_map(site, name, places, value, …)`: an event whose data is a map that was not made.
pub struct MapFields;

impl AtPlace for MapFields {
    fn closed(env: Env<'_>) -> Term<'_> {
        ok(env)
    }

    fn open<'a>(env: Env<'a>, kind: EventKind, place: Term<'a>, fields: &'a [Word]) -> Term<'a> {
        let [name, places, values @ ..] = fields else {
            return ok(env);
        };
        let body = NamedMap {
            name: *name,
            places: *places,
            values,
        };
        mark(env, kind, place, body)
    }
}

/// `span_start(site, name, metadata)`
pub struct SpanStart;

impl AtPlace for SpanStart {
    fn closed(env: Env<'_>) -> Term<'_> {
        raw::small(env, -1)
    }

    fn open<'a>(env: Env<'a>, kind: EventKind, place: Term<'a>, fields: &'a [Word]) -> Term<'a> {
        enter(env, kind, place, |_site| Values(fields))
    }
}

/// `span_stop(site, token, name, exit_reason)`
pub fn span_stop<'a>(env: Env<'a>, args: [Term<'a>; 4]) -> Term<'a> {
    let [place, token, name, reason] = args;
    let fields = [word(name), atom(atoms::nil()), word(reason)];
    leave(env, EventKind::SpanStop, place, token, Values(&fields))
}
