//! Callbacks that end with a new state, and loops that begin with one.

use elixir_scope_engine::Entered;
use elixir_scope_engine::event::{AtomId, EventKind, ProcessId, SiteId};
use rustler::{Env, Term};

use super::{NOWHERE, Thread, Token, What, When, atom, leave_by, ok, recording};
use crate::callback::{Outcome, Results, State};
use crate::payload::{Values, by};
use crate::term::{Word, word};
use crate::{atoms, site};

/// `exit_callback(site, token, result, old_state, trigger)`: a new state is recorded even where the call was not sampled.
pub fn exit_callback<'a>(env: Env<'a>, args: [Term<'a>; 5]) -> Term<'a> {
    let [literal, token, result, old_state, trigger] = args;
    leave_by(env, token, When::Always, |thread, process, token, place| {
        let site = site::find(literal);
        let inside = Inside {
            env,
            process,
            site,
            callback: site::function(site),
            place: token.inside(place),
        };
        if let Some(shape) = site::state_shape(literal) {
            let results = Results::new(env, shape, inside.callback, word(old_state));
            let outcome = results.read(word(result));
            if let Some(state) = outcome.state.filter(|state| results.is_new(*state)) {
                inside.state(thread, state, Some(word(trigger)));
            }
            if token.is_sampled && outcome.answers() {
                inside.reply(thread, &outcome);
            }
        }
        if token.is_sampled {
            let what = inside.what(EventKind::FunctionExit);
            let fields = [atom(atoms::normal()), word(result)];
            thread.write(env, what.at(place), Values(&fields));
        }
    })
}

/// `loop_state(site, token, state)`: the state with which a loop goes on.
pub fn loop_state<'a>(env: Env<'a>, [literal, token, state]: [Term<'a>; 3]) -> Term<'a> {
    let Some(token) = Token::of(token) else {
        return ok(env);
    };
    recording(env, |thread, process, slot| {
        let generation = thread.settings.generation;
        if generation != token.generation {
            return;
        }
        let site = site::find(literal);
        let inside = Inside {
            env,
            process,
            site,
            callback: site::function(site),
            place: token.inside(slot.map_or(NOWHERE, |slot| slot.current(generation))),
        };
        inside.state(thread, State::Term(word(state)), None);
    });
    ok(env)
}

/// What is recorded inside of a call, right at its begin or its end.
struct Inside<'a> {
    env: Env<'a>,
    process: ProcessId,
    site: SiteId,
    callback: Option<AtomId>,
    place: Entered,
}

impl Inside<'_> {
    fn what(&self, kind: EventKind) -> What {
        What {
            kind,
            process: self.process,
            site: self.site,
        }
    }

    fn state(&self, thread: &mut Thread, state: State, trigger: Option<Word>) {
        let what = self.what(EventKind::StateChange);
        let body = by(|payload| {
            payload.name(self.callback)?;
            payload.word_or_nil(trigger)?;
            payload.nil()?;
            let is_whole = payload.state(state)?;
            payload.nil()?;
            payload.symbol(if is_whole {
                atoms::unverified()
            } else {
                atoms::approximate()
            })
        });
        thread.write(self.env, what.at(self.place), body);
    }

    fn reply(&self, thread: &mut Thread, outcome: &Outcome) {
        let what = self.what(EventKind::CallbackReply);
        let body = by(|payload| {
            payload.name(self.callback)?;
            payload.word_or_nil(outcome.reply)?;
            payload.word_or_nil(outcome.timeout)?;
            payload.symbol(if outcome.hibernates {
                atoms::true_()
            } else {
                atoms::false_()
            })?;
            payload.word_or_nil(outcome.continue_data)
        });
        thread.write(self.env, what.at(self.place), body);
    }
}
