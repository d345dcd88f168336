//! The marks of `ElixirScope.Trace`, and the variables of instrumented code.

use elixir_scope_engine::event::EventKind;
use rustler::{Env, Term};

use super::{enter, leave, mark};
use crate::atoms;

/// `event(site, name, data)`
pub fn event<'a>(env: Env<'a>, args: [Term<'a>; 3]) -> Term<'a> {
    // Left where they are, here and below: a copy of an array of terms is slow to read.
    let [place, fields @ ..] = &args;
    mark(env, EventKind::UserEvent, *place, |payload| {
        payload.values(fields)
    })
}

/// `metric(site, name, value, unit, metadata)`
pub fn metric<'a>(env: Env<'a>, args: [Term<'a>; 5]) -> Term<'a> {
    let [place, fields @ ..] = &args;
    mark(env, EventKind::PerformanceMetric, *place, |payload| {
        payload.values(fields)
    })
}

/// `snapshot(site, bindings)`
pub fn snapshot<'a>(env: Env<'a>, [place, bindings]: [Term<'a>; 2]) -> Term<'a> {
    mark(env, EventKind::VariableAssignment, place, |payload| {
        payload.value(bindings)
    })
}

/// `span_start(site, name, metadata)`
pub fn span_start<'a>(env: Env<'a>, args: [Term<'a>; 3]) -> Term<'a> {
    let [place, fields @ ..] = &args;
    enter(env, EventKind::SpanStart, *place, |payload, _site| {
        payload.values(fields)
    })
}

/// `span_stop(site, token, name, exit_reason)`
pub fn span_stop<'a>(env: Env<'a>, args: [Term<'a>; 4]) -> Term<'a> {
    let [place, token, name, reason] = args;
    leave(env, EventKind::SpanStop, place, token, |payload| {
        payload.values(&[name, atoms::nil().to_term(env), reason])
    })
}
