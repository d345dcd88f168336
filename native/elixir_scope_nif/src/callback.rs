//! What the results of callbacks say: where the new state stands in one, and what else the process answers.
//!
//! All that is known here of behaviours is the form of these results. What has another form than the behaviour asks for says
//! nothing: the process is about to end for it.

use elixir_scope_engine::StateArgument;
use elixir_scope_engine::event::AtomId;
use rustler::{Atom, Env};

use crate::atoms;
use crate::term::{self, Shape, Word, word_of};

/// Which family of results a callback belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StateShape {
    /// The first state of a process: `{:ok, state}`, `{:ok, state, more}`.
    Init = 1,
    /// `GenServer`: `{:noreply, state}`, `{:reply, reply, state}`, `{:stop, reason, state}` and the like.
    Server,
    /// The state in the form of newer code: `{:ok, state}`.
    CodeChange,
    /// `gen_statem`: the state is a name and data.
    Statem,
    /// `gen_event`: `{:ok, state}`; of a call `{:ok, reply, state}`.
    Event,
    /// Channels and live views: those of a server, and `{:ok, socket}`; of a join `{:ok, reply, socket}`.
    Socket,
    /// `GenStage`: those of a server with the events before the state; `{:producer, state}` and the like.
    Stage,
}

impl StateShape {
    const ALL: [StateShape; 7] = [
        StateShape::Init,
        StateShape::Server,
        StateShape::CodeChange,
        StateShape::Statem,
        StateShape::Event,
        StateShape::Socket,
        StateShape::Stage,
    ];

    /// The shape of this name, an atom's word.
    pub fn of_name(name: Word) -> Option<StateShape> {
        Some(match name {
            _ if is(name, atoms::init()) => StateShape::Init,
            _ if is(name, atoms::server()) => StateShape::Server,
            _ if is(name, atoms::code_change()) => StateShape::CodeChange,
            _ if is(name, atoms::statem()) => StateShape::Statem,
            _ if is(name, atoms::event()) => StateShape::Event,
            _ if is(name, atoms::socket()) => StateShape::Socket,
            _ if is(name, atoms::stage()) => StateShape::Stage,
            _ => return None,
        })
    }

    /// A number for it, other than 0.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The shape of this number; `None` for 0.
    #[inline]
    pub fn of_number(number: u8) -> Option<StateShape> {
        StateShape::ALL
            .into_iter()
            .find(|shape| *shape as u8 == number)
    }

    /// Which of so many arguments is the state.
    pub fn argument(self, arity: u32) -> Option<StateArgument> {
        let index = match self {
            StateShape::Init => None,
            StateShape::CodeChange => Some(1),
            // the first one begins with no state
            StateShape::Statem if arity < 3 => None,
            _ => arity.checked_sub(1),
        };
        index.map(|index| StateArgument {
            index,
            is_data: self == StateShape::Statem,
        })
    }
}

/// A state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// One term.
    Term(Word),
    /// The name and the data of a state machine.
    Named(Word, Word),
}

/// What the result of a callback says.
#[derive(Clone, Copy, Default, Debug)]
pub struct Outcome {
    /// The state from here on, which may be the one that it was; `None` where that is not known.
    pub state: Option<State>,
    /// What a caller is answered.
    pub reply: Option<Word>,
    /// When the process wants to hear that nothing came.
    pub timeout: Option<Word>,
    /// Whether it hibernates.
    pub hibernates: bool,
    /// What it goes on with before it takes up a message.
    pub continue_data: Option<Word>,
}

impl Outcome {
    /// Whether there is more in it than a state.
    pub fn answers(&self) -> bool {
        self.reply.is_some()
            || self.timeout.is_some()
            || self.hibernates
            || self.continue_data.is_some()
    }

    fn of_state(state: Word) -> Outcome {
        Outcome {
            state: Some(State::Term(state)),
            ..Outcome::default()
        }
    }

    fn of_reply(reply: Word, state: Word) -> Outcome {
        Outcome {
            reply: Some(reply),
            ..Outcome::of_state(state)
        }
    }
}

/// So many actions of a state machine are looked at.
const MOST_ACTIONS: usize = 64;

fn is(word: Word, atom: Atom) -> bool {
    word == word_of(atom.as_c_arg())
}

/// Whether a state machine stays what it is.
fn keeps_all(tag: Word) -> bool {
    is(tag, atoms::keep_state_and_data()) || is(tag, atoms::repeat_state_and_data())
}

/// Reads results, within one call.
#[derive(Clone, Copy)]
pub struct Results<'a> {
    env: Env<'a>,
    shape: StateShape,
    /// The callback's name.
    function: Option<AtomId>,
    /// The state that it was called with.
    old: Word,
}

impl<'a> Results<'a> {
    /// Of a callback that was called with the state `old`.
    pub fn new(env: Env<'a>, shape: StateShape, function: Option<AtomId>, old: Word) -> Self {
        Results {
            env,
            shape,
            function,
            old,
        }
    }

    /// What `result` says.
    pub fn read(self, result: Word) -> Outcome {
        let Some([tag, rest @ ..]) = term::elements(self.env, result) else {
            return self.word(result);
        };
        let outcome = match self.shape {
            StateShape::Init => self.first(*tag, rest),
            StateShape::Server => self.server(*tag, rest),
            StateShape::CodeChange => match rest {
                [state] if is(*tag, atoms::ok()) => Some(Outcome::of_state(*state)),
                _ => None,
            },
            StateShape::Statem => Some(self.statem(*tag, rest)),
            StateShape::Event => self.event(*tag, rest),
            StateShape::Socket => self.socket(*tag, rest),
            StateShape::Stage => self.stage(*tag, rest),
        };
        outcome.unwrap_or_default()
    }

    /// Whether `state` is another one than the callback was called with. Terms do not change: the same word is the same
    /// state, and any other is taken for a new one, unseen.
    pub fn is_new(self, state: State) -> bool {
        match (state, self.old_parts()) {
            (State::Term(new), _) => new != self.old,
            (State::Named(name, data), Some(old)) => (name, data) != old,
            (State::Named(..), None) => true,
        }
    }

    /// The state that the callback was called with, if it is of the form of the new one.
    pub fn before(self, now: State) -> Option<State> {
        match now {
            State::Term(_) => Some(State::Term(self.old)),
            State::Named(..) => self.old_state(),
        }
    }

    /// The state that a state machine was in.
    fn old_state(self) -> Option<State> {
        self.old_parts()
            .map(|(name, data)| State::Named(name, data))
    }

    /// Its name and its data.
    fn old_parts(self) -> Option<(Word, Word)> {
        match term::elements(self.env, self.old)? {
            [name, data] => Some((*name, *data)),
            _ => None,
        }
    }

    fn is_called(self, name: Atom) -> bool {
        self.function == term::immediate_atom(word_of(name.as_c_arg()))
    }

    /// What a result says that has no parts.
    fn word(self, result: Word) -> Outcome {
        let leaves = keeps_all(result) || is(result, atoms::stop());
        Outcome {
            state: match self.shape {
                StateShape::Statem if leaves => self.old_state(),
                _ => None,
            },
            ..Outcome::default()
        }
    }

    fn first(self, tag: Word, rest: &[Word]) -> Option<Outcome> {
        if !is(tag, atoms::ok()) {
            return None;
        }
        match rest {
            [state] => Some(Outcome::of_state(*state)),
            // A `gen_server2` adds how long it waits before it hibernates. What it says with a fifth part is another module's
            // state.
            [state, next] | [state, next, _] => Some(self.then(Outcome::of_state(*state), *next)),
            _ => None,
        }
    }

    fn server(self, tag: Word, rest: &[Word]) -> Option<Outcome> {
        Some(match rest {
            [state] if is(tag, atoms::noreply()) => Outcome::of_state(*state),
            // of a `gen_server2`, before it hibernates
            [state] if is(tag, atoms::hibernate()) => Outcome {
                hibernates: true,
                ..Outcome::of_state(*state)
            },
            [state, next] if is(tag, atoms::noreply()) => {
                self.then(Outcome::of_state(*state), *next)
            }
            [reply, state] if is(tag, atoms::reply()) => Outcome::of_reply(*reply, *state),
            [reply, state, next] if is(tag, atoms::reply()) => {
                self.then(Outcome::of_reply(*reply, *state), *next)
            }
            [_reason, state] if is(tag, atoms::stop()) => Outcome::of_state(*state),
            [_reason, reply, state] if is(tag, atoms::stop()) => Outcome::of_reply(*reply, *state),
            _ => return None,
        })
    }

    fn event(self, tag: Word, rest: &[Word]) -> Option<Outcome> {
        let replies = self.is_called(atoms::handle_call());
        Some(match rest {
            [state] if is(tag, atoms::ok()) => Outcome::of_state(*state),
            [reply, state] if is(tag, atoms::ok()) && replies => Outcome::of_reply(*reply, *state),
            [state, next] if is(tag, atoms::ok()) => self.then(Outcome::of_state(*state), *next),
            [reply, state, next] if is(tag, atoms::ok()) && replies => {
                self.then(Outcome::of_reply(*reply, *state), *next)
            }
            [_args, state, _handler, _its] if is(tag, atoms::swap_handler()) => {
                Outcome::of_state(*state)
            }
            [reply, _args, state, _handler, _its] if is(tag, atoms::swap_handler()) => {
                Outcome::of_reply(*reply, *state)
            }
            [reply] if is(tag, atoms::remove_handler()) => Outcome {
                reply: Some(*reply),
                ..Outcome::default()
            },
            _ => return None,
        })
    }

    fn socket(self, tag: Word, rest: &[Word]) -> Option<Outcome> {
        match rest {
            [reply, socket] if is(tag, atoms::ok()) && self.is_called(atoms::join()) => {
                Some(Outcome::of_reply(*reply, *socket))
            }
            // More than a socket are options, of a live view.
            [socket, ..] if is(tag, atoms::ok()) => Some(Outcome::of_state(*socket)),
            _ => self.server(tag, rest),
        }
    }

    fn stage(self, tag: Word, rest: &[Word]) -> Option<Outcome> {
        let begins = is(tag, atoms::producer())
            || is(tag, atoms::consumer())
            || is(tag, atoms::producer_consumer());
        Some(match rest {
            // More than a state are options.
            [state] | [state, _] if begins => Outcome::of_state(*state),
            [state] if is(tag, atoms::automatic()) || is(tag, atoms::manual()) => {
                Outcome::of_state(*state)
            }
            [_events, state] if is(tag, atoms::noreply()) => Outcome::of_state(*state),
            [_events, state, next] if is(tag, atoms::noreply()) => {
                self.then(Outcome::of_state(*state), *next)
            }
            [reply, _events, state] if is(tag, atoms::reply()) => Outcome::of_reply(*reply, *state),
            [reply, _events, state, next] if is(tag, atoms::reply()) => {
                self.then(Outcome::of_reply(*reply, *state), *next)
            }
            [_reason, state] if is(tag, atoms::stop()) => Outcome::of_state(*state),
            [_reason, reply, state] if is(tag, atoms::stop()) => Outcome::of_reply(*reply, *state),
            _ => return None,
        })
    }

    /// What a server does next.
    fn then(self, outcome: Outcome, next: Word) -> Outcome {
        if is(next, atoms::hibernate()) {
            return Outcome {
                hibernates: true,
                ..outcome
            };
        }
        if self.is_time(next) {
            return Outcome {
                timeout: Some(next),
                ..outcome
            };
        }
        match term::elements(self.env, next) {
            Some([tag, data]) if is(*tag, atoms::continue_()) => Outcome {
                continue_data: Some(*data),
                ..outcome
            },
            _ => outcome,
        }
    }

    fn is_time(self, word: Word) -> bool {
        is(word, atoms::infinity()) || matches!(term::shape(self.env, word), Shape::Int(_))
    }

    fn statem(self, tag: Word, rest: &[Word]) -> Outcome {
        let named = |name: Word, data: Word| Some(State::Named(name, data));
        let kept = |data: Word| self.old_parts().map(|(name, _)| State::Named(name, data));
        let ends = is(tag, atoms::stop_and_reply());
        // Any other exported function of three arguments may be taken for a state: it answers so for reasons of its own.
        let begins = is(tag, atoms::ok()) && self.is_called(atoms::init());
        let moves = begins || is(tag, atoms::next_state());
        let keeps = is(tag, atoms::keep_state()) || is(tag, atoms::repeat_state());
        let (state, actions) = match rest {
            [name, data] if moves => (named(*name, *data), None),
            [name, data, actions] if moves => (named(*name, *data), Some(*actions)),
            [data] if keeps => (kept(*data), None),
            [data, actions] if keeps => (kept(*data), Some(*actions)),
            [actions] if keeps_all(tag) => (self.old_state(), Some(*actions)),
            [_reason] if is(tag, atoms::stop()) => (self.old_state(), None),
            [_reason, data] if is(tag, atoms::stop()) => (kept(*data), None),
            [_reason, actions] if ends => (self.old_state(), Some(*actions)),
            [_reason, actions, data] if ends => (kept(*data), Some(*actions)),
            _ => (None, None),
        };
        let outcome = Outcome {
            state,
            ..Outcome::default()
        };
        actions.map_or(outcome, |actions| self.act(outcome, actions))
    }

    /// One action of a state machine, or a list of them.
    fn act(self, mut outcome: Outcome, actions: Word) -> Outcome {
        let mut rest = actions;
        for _ in 0..MOST_ACTIONS {
            let Shape::Cons(action, after) = term::shape(self.env, rest) else {
                break;
            };
            self.act_once(&mut outcome, action);
            rest = after;
        }
        if rest == actions {
            self.act_once(&mut outcome, actions);
        }
        outcome
    }

    /// The first of each kind counts.
    fn act_once(self, outcome: &mut Outcome, action: Word) {
        if is(action, atoms::hibernate()) {
            outcome.hibernates = true;
        } else if self.is_time(action) {
            outcome.timeout = outcome.timeout.or(Some(action));
        }
        let (tag, first, second) = match term::elements(self.env, action) {
            Some([tag, first]) => (*tag, *first, None),
            Some([tag, first, second, ..]) => (*tag, *first, Some(*second)),
            _ => return,
        };
        if is(tag, atoms::hibernate()) {
            outcome.hibernates |= is(first, atoms::true_());
        } else if is(tag, atoms::reply()) {
            outcome.reply = outcome.reply.or(second);
        } else if self.is_time(first) && self.names_timeout(tag) {
            outcome.timeout = outcome.timeout.or(Some(first));
        }
    }

    fn names_timeout(self, tag: Word) -> bool {
        is(tag, atoms::timeout())
            || is(tag, atoms::state_timeout())
            || term::elements(self.env, tag)
                .is_some_and(|name| matches!(name, [tag, _] if is(*tag, atoms::timeout())))
    }
}
