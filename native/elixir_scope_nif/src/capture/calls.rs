//! Where functions begin and end.

use elixir_scope_engine::event::EventKind;
use rustler::{Env, Term};

use super::{enter, leave, ok};
use crate::atoms;

/// `enter_0(site)` … `enter_8(site, a1, …, a8)`
pub fn enter_args<'a, const N: usize>(env: Env<'a>, args: [Term<'a>; N]) -> Term<'a> {
    let Some((place, args)) = args.split_first() else {
        return ok(env);
    };
    enter(env, EventKind::FunctionEntry, *place, |payload, site| {
        payload.args(args, site)
    })
}

/// `enter_n(site, args)`
pub fn enter_list<'a>(env: Env<'a>, [place, args]: [Term<'a>; 2]) -> Term<'a> {
    enter(env, EventKind::FunctionEntry, place, |payload, site| {
        payload.arg_list(args, site)
    })
}

/// `exit(site, token, result)`
pub fn exit<'a>(env: Env<'a>, [place, token, result]: [Term<'a>; 3]) -> Term<'a> {
    leave(env, EventKind::FunctionExit, place, token, |payload| {
        payload.values(&[atoms::normal().to_term(env), result])
    })
}

/// `exit_void(site, token)`: the result is not to be recorded.
pub fn exit_void<'a>(env: Env<'a>, [place, token]: [Term<'a>; 2]) -> Term<'a> {
    leave(env, EventKind::FunctionExit, place, token, |payload| {
        payload.values(&[atoms::normal().to_term(env), atoms::nil().to_term(env)])
    })
}

/// `exit_tail(site, token)`
pub fn exit_tail<'a>(env: Env<'a>, [place, token]: [Term<'a>; 2]) -> Term<'a> {
    leave(env, EventKind::FunctionExit, place, token, |payload| {
        payload.values(&[atoms::tail_call().to_term(env), atoms::nil().to_term(env)])
    })
}

/// `exit_error(site, token, class, reason, stacktrace)`
pub fn exit_error<'a>(env: Env<'a>, args: [Term<'a>; 5]) -> Term<'a> {
    let [place, token, class, reason, stacktrace] = args;
    leave(env, EventKind::FunctionExit, place, token, |payload| {
        payload.tuple(&[class, reason, stacktrace])?;
        payload.nil()
    })
}
