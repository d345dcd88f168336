//! Callbacks that end with a new state, and loops that begin with one.

use elixir_scope_engine::event::{AtomId, EventKind, ProcessId, SiteId};
use elixir_scope_engine::{Entered, Slot};
use rustler::{Env, Term};

use super::{NOWHERE, Thread, Token, What, When, atom, leave_by, ok, recording};
use crate::callback::{Outcome, Results, State};
use crate::payload::{Values, by};
use crate::term::{self, Word, atom_word};
use crate::{atoms, gate, site};

/// `exit_callback(site, token, result, old_state, trigger)`: a new state is recorded even where the call was not sampled.
pub fn exit_callback<'a>(env: Env<'a>, args: [Term<'a>; 5]) -> Term<'a> {
    let [literal, token, result, old_state, trigger] = args;
    leave_by(
        env,
        token,
        When::Always,
        |thread, process, slot, token, place| {
            let site = site::find(literal);
            let inside = Inside {
                env,
                process,
                slot,
                site,
                callback: site::function(site),
                place: token.inside(place),
            };
            if let Some(shape) = site::state_shape(literal) {
                let results = Results::new(env, shape, inside.callback, term::word(old_state));
                let outcome = results.read(term::word(result));
                if let Some(state) = outcome.state.filter(|state| results.is_new(*state)) {
                    inside.state(thread, state, Some(term::word(trigger)));
                }
                if token.is_sampled && outcome.answers() {
                    inside.reply(thread, &outcome);
                }
            }
            if token.is_sampled {
                let what = inside.what(EventKind::FunctionExit);
                let fields = [atom(atoms::normal()), term::word(result)];
                thread.write(env, what.at(place), Values(&fields));
            }
        },
    )
}

/// `loop_state(site, token, state)`: the state with which a loop goes on.
pub fn loop_state<'a>(env: Env<'a>, [literal, token, state]: [Term<'a>; 3]) -> Term<'a> {
    let Some(token) = Token::of(token) else {
        return ok(env);
    };
    let word = gate::word();
    if word == 0 {
        return ok(env);
    }
    recording(env, word, |thread, process, slot| {
        let generation = thread.settings.generation;
        if generation != token.generation {
            return;
        }
        let site = site::find(literal);
        let inside = Inside {
            env,
            process,
            slot,
            site,
            callback: site::function(site),
            place: token.inside(slot.map_or(NOWHERE, |slot| slot.current(generation))),
        };
        inside.state(thread, State::Term(term::word(state)), None);
    });
    ok(env)
}

/// What is recorded inside of a call, right at its begin or its end.
struct Inside<'a> {
    env: Env<'a>,
    process: ProcessId,
    slot: Option<&'static Slot>,
    site: SiteId,
    callback: Option<AtomId>,
    place: Entered,
}

impl Inside<'_> {
    fn what(&self, kind: EventKind) -> What {
        What {
            kind,
            process: self.process,
            slot: self.slot,
            site: self.site,
        }
    }

    /// The word of the callback's name.
    fn name_or(&self, nil: Word) -> Word {
        self.callback.map_or(nil, atom_word)
    }

    fn state(&self, thread: &mut Thread, state: State, trigger: Option<Word>) {
        let what = self.what(EventKind::StateChange);
        let nil = atom(atoms::nil());
        let body = by(|payload| {
            payload.words(&[self.name_or(nil), trigger.unwrap_or(nil), nil])?;
            let quality = match payload.state(state)? {
                true => atoms::unverified(),
                false => atoms::approximate(),
            };
            payload.words(&[nil, atom(quality)])
        });
        thread.write(self.env, what.at(self.place), body);
    }

    fn reply(&self, thread: &mut Thread, outcome: &Outcome) {
        let what = self.what(EventKind::CallbackReply);
        let nil = atom(atoms::nil());
        let hibernates = match outcome.hibernates {
            true => atoms::true_(),
            false => atoms::false_(),
        };
        let fields = [
            self.name_or(nil),
            outcome.reply.unwrap_or(nil),
            outcome.timeout.unwrap_or(nil),
            atom(hibernates),
            outcome.continue_data.unwrap_or(nil),
        ];
        thread.write(self.env, what.at(self.place), Values(&fields));
    }
}
