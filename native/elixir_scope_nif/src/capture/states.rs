//! Callbacks that end with a new state, loops that go on with one, and states that are handed over.

use elixir_scope_engine::event::{AtomId, CorrelationId, EventKind, ProcessId, SiteId};
use elixir_scope_engine::record::RecordHead;
use elixir_scope_engine::value::{DATA_MARK, STATE_MARK};
use elixir_scope_engine::{Chain, Entered, FoundSite, ProcessSlots, SiteDef, SiteTable, Slot};
use rustler::{Env, Term};

use super::change::{Before, Change, print_of, record_of_another};
use super::{NOWHERE, Thread, Token, What, When, atom, leave_by, ok, recording, unseen};
use crate::callback::{Outcome, Results, State, StateShape};
use crate::payload::{Ending, Marked, NewState, Reply, Values};
use crate::settings::Level;
use crate::term::{self, Word, raw, word};
use crate::{atoms, gate, host, site};

/// `exit_callback(site, token, result, old_state, trigger)`: a new state is recorded even where the call was not sampled.
pub fn exit_callback<'a>(env: Env<'a>, args: [Term<'a>; 5]) -> Term<'a> {
    let [_literal, token, ..] = args;
    match Token::of(token) {
        Some(_) => exit_seen(env, args),
        None => ok(env),
    }
}

/// A function of its own, so that the end of a call that was not seen saves no register.
#[inline(never)]
fn exit_seen<'a>(env: Env<'a>, args: [Term<'a>; 5]) -> Term<'a> {
    let [literal, token, result, old_state, trigger] = args;
    leave_by(
        env,
        token,
        When::Always,
        |thread, process, slot, token, place| {
            let inside = Inside::new(env, process, slot, site::find(literal), token.inside(place));
            let result = word(result);
            let Some(shape) = inside.shape() else {
                if token.is_sampled {
                    let what = inside.what(EventKind::FunctionExit);
                    thread.write(
                        env,
                        what.at(place),
                        Values(&[atom(atoms::normal()), result]),
                    );
                }
                return;
            };
            let results = Results::new(env, shape, inside.function(), word(old_state));
            let outcome = results.read(result);
            let is_first = is_none(old_state);
            let change = match outcome.state {
                Some(now) if token.commits => {
                    inside.new_state(thread, results, now, is_first, word(trigger))
                }
                Some(now) if results.is_new(now) && inside.chain().is_none() => {
                    // The chains are those of other modules that it is in.
                    let change = inside.change(Before::Unknown, now, word(trigger));
                    change.record_unknown(thread);
                    None
                }
                _ => None,
            };
            let is_seen = token.is_sampled && thread.settings.level != Level::Paused;
            if !is_seen {
                // What is not recorded is counted as lost, each for itself.
                if let Some(change) = change {
                    change.record(thread);
                }
                if token.is_sampled {
                    inside.lose(thread, outcome.answers(), place);
                }
                return;
            }
            let mut bytes = std::mem::take(&mut thread.scratch);
            let head = change
                .as_ref()
                .and_then(|change| change.told(thread, &mut bytes));
            let is_known = match change {
                Some(_) => inside.holds(thread),
                None => token.knows,
            };
            let elements = term::elements(env, result);
            let marked = elements.and_then(|elements| Inside::marked(elements, &outcome, is_known));
            let state = marked.as_ref().map(|marked| marked.state);
            let ending = Ending {
                state: head.map(|head| NewState {
                    head,
                    bytes: &bytes,
                    trigger: word(trigger),
                }),
                reply: Reply::of(&outcome, elements, state),
                normal: atom(atoms::normal()),
                result,
                marked,
            };
            let what = inside.what(EventKind::FunctionExit);
            thread.write(env, what.behind(ending.preceding(), place), ending);
            thread.keep_scratch(bytes);
        },
    )
}

/// `loop_state(site, token, state)`: the state with which a loop begins, unless it came with it from its last round.
pub fn loop_state<'a>(env: Env<'a>, [literal, token, state]: [Term<'a>; 3]) -> Term<'a> {
    in_loop(env, literal, token, |inside, thread, token| {
        let state = State::Term(word(state));
        let is_known = token.continues
            && inside.leads_to(thread, state)
            && !inside.slot.is_some_and(Slot::is_keyframe_wanted);
        if !is_known {
            inside.state(thread, Before::Unknown, state, atom(atoms::nil()));
        }
    })
}

/// `loop_state(site, token, old_state, new_state)`: the state with which a loop goes on; its next round comes right now.
pub fn loop_next<'a>(env: Env<'a>, args: [Term<'a>; 4]) -> Term<'a> {
    let [literal, token, old, new] = args;
    in_loop(env, literal, token, |inside, thread, _token| {
        let (old, new) = (word(old), word(new));
        if old != new {
            let before = Before::State(State::Term(old));
            inside.state(thread, before, State::Term(new), atom(atoms::nil()));
        }
        let epoch = thread.settings.state_epoch;
        if let Some(chain) = inside.chain().filter(|chain| chain.holds(epoch)) {
            chain.go_on();
        }
    })
}

fn in_loop<'a>(
    env: Env<'a>,
    literal: Term<'a>,
    token: Term<'a>,
    record: impl FnOnce(&Inside<'a>, &mut Thread, Token),
) -> Term<'a> {
    let word = gate::word();
    if let Some(token) = Token::of(token).filter(|token| token.commits)
        && word != 0
    {
        recording(env, word, |thread, process, slot| {
            let generation = thread.settings.generation;
            if generation == token.generation {
                let place = slot.map_or(NOWHERE, |slot| slot.current(generation));
                let site = site::find(literal);
                let inside = Inside::new(env, process, slot, site, token.inside(place));
                record(&inside, thread, token);
            }
        });
    }
    ok(env)
}

/// `state_seen(site, old_state, new_state)`: what the process that calls this held, and what it holds now, in the module of
/// the site.
pub fn state_seen<'a>(env: Env<'a>, [literal, old, new]: [Term<'a>; 3]) -> Term<'a> {
    let gate = gate::word();
    if gate == 0 {
        return ok(env);
    }
    let FoundSite { site, is_on, .. } = site::look(literal);
    if !is_on {
        unseen(env, site);
        return ok(env);
    }
    let seen = recording(env, gate, |thread, process, slot| {
        let place = slot.map_or(NOWHERE, |slot| slot.current(thread.settings.generation));
        let inside = Inside::new(env, process, slot, site, place);
        let chain = slot.and_then(|slot| slot.chain_of(inside.module()));
        let epoch = thread.settings.state_epoch;
        if word(old) == word(new) && chain.is_some_and(|chain| chain.holds(epoch)) {
            return;
        }
        let before = match is_none(old) {
            true => Before::Unknown,
            false => Before::Seen(State::Term(word(old))),
        };
        inside.state(thread, before, State::Term(word(new)), atom(atoms::nil()));
    });
    if seen.is_none() {
        unseen(env, site);
    }
    ok(env)
}

/// `state_of(site, pid, state)`: what another process held when it was asked. It has no number among the changes that the
/// process records itself.
pub fn state_of<'a>(env: Env<'a>, [literal, pid, state]: [Term<'a>; 3]) -> Term<'a> {
    let gate = gate::word();
    let is_local = pid.is_pid() && term::is_local_pid(word(pid) as u64);
    if gate == 0 || !is_local {
        return ok(env);
    }
    let FoundSite { site, is_on, .. } = site::look(literal);
    let process = host::process(pid);
    let slot = ProcessSlots::shared().find(process);
    if !is_on || slot.is_some_and(Slot::is_muted) {
        return ok(env);
    }
    if let Some(mut thread) = Thread::take(gate) {
        let what = What {
            kind: EventKind::StateChange,
            process,
            slot: None,
            site,
        };
        let place = Entered {
            depth: RecordHead::NO_DEPTH,
            correlation: CorrelationId::NONE,
            is_sampled: true,
        };
        let nil = atom(atoms::nil());
        record_of_another(env, &mut thread, what, place, word(state), nil);
        Thread::put(thread);
    }
    ok(env)
}

/// Whether it says that there is no state.
fn is_none(state: Term<'_>) -> bool {
    atoms::none() == state
}

/// What is recorded inside of a call, right at its begin or its end.
struct Inside<'a> {
    env: Env<'a>,
    process: ProcessId,
    slot: Option<&'static Slot>,
    site: SiteId,
    /// What is known of the site.
    def: Option<&'static SiteDef>,
    place: Entered,
}

impl<'a> Inside<'a> {
    fn new(
        env: Env<'a>,
        process: ProcessId,
        slot: Option<&'static Slot>,
        site: SiteId,
        place: Entered,
    ) -> Self {
        Inside {
            env,
            process,
            slot,
            site,
            def: SiteTable::shared().get(site),
            place,
        }
    }

    fn what(&self, kind: EventKind) -> What {
        What {
            kind,
            process: self.process,
            slot: self.slot,
            site: self.site,
        }
    }

    fn module(&self) -> AtomId {
        self.def.map_or(AtomId::default(), |def| def.module)
    }

    /// The name of the callback.
    fn function(&self) -> Option<AtomId> {
        self.def.and_then(|def| def.function)
    }

    /// How the state is found in what it answers.
    #[inline]
    fn shape(&self) -> Option<StateShape> {
        self.def.and_then(|def| StateShape::of_number(def.form))
    }

    /// Whether a state is on the tape.
    fn holds(&self, thread: &Thread) -> bool {
        let epoch = thread.settings.state_epoch;
        self.chain().is_some_and(|chain| chain.holds(epoch))
    }

    /// The elements of a callback's result, with a mark for the state among them, if that is on the tape.
    fn marked(elements: &'a [Word], outcome: &Outcome, is_known: bool) -> Option<Marked<'a>> {
        let (word, mark) = match outcome.state.filter(|_| is_known)? {
            State::Term(state) => (state, STATE_MARK),
            State::Named(_, data) => (data, DATA_MARK),
        };
        // Whatever else has the same word is the same term.
        let state = elements.iter().rposition(|element| *element == word)?;
        (!raw::is_immediate(word)).then_some(Marked {
            elements,
            state,
            mark,
        })
    }

    fn chain(&self) -> Option<&'static Chain> {
        self.slot?.chain(self.module())
    }

    /// Whether this state is on the tape, as far as is known.
    fn leads_to(&self, thread: &Thread, state: State) -> bool {
        let epoch = thread.settings.state_epoch;
        self.chain().is_some_and(|chain| {
            chain.holds(epoch) && chain.leads_to(epoch, print_of(self.env, state))
        })
    }

    /// The change to the state that a callback answers, if there is one. One that is left alone is recorded all the same where it
    /// is not on the tape.
    fn new_state(
        &self,
        thread: &Thread,
        results: Results<'a>,
        now: State,
        is_first: bool,
        trigger: Word,
    ) -> Option<Change<'a>> {
        let is_new = is_first || results.is_new(now);
        if !is_new && self.leads_to(thread, now) {
            return None;
        }
        let before = match results.before(now) {
            _ if is_first => Before::Nothing,
            Some(before) if is_new => Before::State(before),
            _ => Before::Unknown,
        };
        Some(self.change(before, now, trigger))
    }

    fn change(&self, before: Before, now: State, trigger: Word) -> Change<'a> {
        Change {
            env: self.env,
            what: self.what(EventKind::StateChange),
            place: self.place,
            module: self.module(),
            trigger,
            before,
            now,
        }
    }

    fn state(&self, thread: &mut Thread, before: Before, now: State, trigger: Word) {
        self.change(before, now, trigger).record(thread);
    }

    /// The end of a callback, and its answer, of which nothing is recorded.
    #[cold]
    fn lose(&self, thread: &mut Thread, answers: bool, place: Entered) {
        if answers {
            let what = self.what(EventKind::CallbackReply);
            thread.write(self.env, what.at(self.place), Values(&[]));
        }
        let what = self.what(EventKind::FunctionExit);
        thread.write(self.env, what.at(place), Values(&[]));
    }
}
