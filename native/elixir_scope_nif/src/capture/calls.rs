//! Where functions begin and end.

use elixir_scope_engine::event::EventKind;
use rustler::{Env, Term};

use super::{What, When, atom, enter, leave, leave_by};
use crate::entry::AtPlace;
use crate::payload::{Args, Values, by};
use crate::term::{Word, raw, word};
use crate::{atoms, site};

/// `enter_0(site)` … `enter_8(site, a1, …, a8)`
pub struct Enter;

impl AtPlace for Enter {
    fn closed(env: Env<'_>) -> Term<'_> {
        raw::small(env, -1)
    }

    fn open<'a>(env: Env<'a>, kind: EventKind, place: Term<'a>, args: &'a [Word]) -> Term<'a> {
        enter(env, kind, place, |site| Args::new(args, site))
    }
}

/// `enter_n(site, args)`
pub fn enter_list<'a>(env: Env<'a>, [place, args]: [Term<'a>; 2]) -> Term<'a> {
    enter(env, EventKind::FunctionEntry, place, |site| {
        by(move |payload| payload.arg_list(args, site))
    })
}

/// The end of a call by a reason of one word, with its result.
#[inline(never)]
fn end<'a>(env: Env<'a>, place: Term<'a>, token: Term<'a>, fields: [Word; 2]) -> Term<'a> {
    leave(env, EventKind::FunctionExit, place, token, Values(&fields))
}

/// `exit(site, token, result)`
pub fn exit<'a>(env: Env<'a>, [place, token, result]: [Term<'a>; 3]) -> Term<'a> {
    end(env, place, token, [atom(atoms::normal()), word(result)])
}

/// `exit_void(site, token)`: the result is not to be recorded.
pub fn exit_void<'a>(env: Env<'a>, [place, token]: [Term<'a>; 2]) -> Term<'a> {
    end(env, place, token, [atoms::normal(), atoms::nil()].map(atom))
}

/// `exit_tail(site, token)`
pub fn exit_tail<'a>(env: Env<'a>, [place, token]: [Term<'a>; 2]) -> Term<'a> {
    leave_by(
        env,
        token,
        When::Outermost,
        |thread, process, slot, token, entered| {
            let site = site::find(place);
            if token.depth == 0
                && !thread.settings.samples_all()
                && let Some(slot) = slot
            {
                slot.leave_by_tail(token.generation, site, token.is_sampled);
            }
            if token.is_sampled {
                let what = What {
                    kind: EventKind::FunctionExit,
                    process,
                    slot,
                    site,
                };
                let fields = [atoms::tail_call(), atoms::nil()].map(atom);
                thread.write(env, what.at(entered), Values(&fields));
            }
        },
    )
}

/// `exit_error(site, token, class, reason, stacktrace)`
pub fn exit_error<'a>(env: Env<'a>, args: [Term<'a>; 5]) -> Term<'a> {
    let [place, token, class, reason, stacktrace] = args;
    let body = by(|payload| {
        payload.exception(&[class, reason, stacktrace])?;
        payload.nil()
    });
    leave(env, EventKind::FunctionExit, place, token, body)
}
