//! The payload of a record: encoded values one after another, as its kind has them.

mod ending;

use elixir_scope_engine::event::{AtomId, EventKind, SiteId};
use elixir_scope_engine::value::{Full, GUARD_MARK, Sink, Watched, format};
use elixir_scope_engine::{Fill, RecordBuf, StateHead, Window};
use rustler::{Atom, Encoder, Env, MapIterator, Term};
use smallvec::SmallVec;

use crate::callback::State;
use crate::settings::Settings;
use crate::site;
use crate::term::encode::{EncodeError, Quick, Rules, encode_any, encode_word, most_bytes};
use crate::term::nif::NifTerms;
use crate::term::raw::{self, RawTerms};
use crate::term::redact::Redaction;
use crate::term::{Terms, Word, atom_word, cells, map, term, word};
use crate::thread::Masks;

pub use ending::{Ending, Marked, NewState, Reply};

/// What stands in a record behind its head. Those that come often have a quick way.
pub trait Body<'t> {
    /// Whether there is a quick way.
    const IS_QUICK: bool = false;

    /// Looks up what both ways need.
    #[inline(always)]
    fn prepare(&mut self, _masks: &mut Masks, _redaction: &Redaction) {}

    /// The arguments of a call, where these are what is written.
    #[inline(always)]
    fn arguments(&self) -> &[Word] {
        &[]
    }

    /// Writes all of it the quick way; `None` if that cannot be.
    #[inline(always)]
    fn quick<'w, T: Terms<'t>>(&self, _: Quick<'_, T>, _: Window<'w>) -> Option<Window<'w>> {
        None
    }

    /// Writes it, whatever the terms are.
    ///
    /// # Errors
    /// [`Full`] as the sink says.
    fn write(self, payload: &mut Payload<'_, 't, RecordBuf<'_>>) -> Result<(), Full>;
}

/// What a closure writes.
pub struct By<F>(F);

/// What `write` writes.
pub fn by<'t, F>(write: F) -> By<F>
where
    F: FnOnce(&mut Payload<'_, 't, RecordBuf<'_>>) -> Result<(), Full>,
{
    By(write)
}

impl<'t, F: FnOnce(&mut Payload<'_, 't, RecordBuf<'_>>) -> Result<(), Full>> Body<'t> for By<F> {
    #[inline(always)]
    fn write(self, payload: &mut Payload<'_, 't, RecordBuf<'_>>) -> Result<(), Full> {
        (self.0)(payload)
    }
}

/// A body on its quick way.
pub struct Quickly<'q, T, B> {
    pub quick: Quick<'q, T>,
    pub body: &'q B,
}

impl<'t, T: Terms<'t>, B: Body<'t>> Fill for Quickly<'_, T, B> {
    #[inline(always)]
    fn fill<'w>(self, window: Window<'w>) -> Option<Window<'w>> {
        self.body.quick(self.quick, window)
    }
}

/// Writes the values of one record.
pub struct Payload<'p, 't, S> {
    env: Env<'t>,
    rules: &'p Rules,
    settings: &'p Settings,
    /// Whether terms are left out to spare the host, but for those that cost nothing.
    withholds: bool,
    sink: &'p mut S,
}

/// Whether events of a kind hold what the guard leaves out: arguments, results, messages. Names, and what the program itself
/// wrote down as an event, stay.
fn is_withheld(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::FunctionEntry
            | EventKind::FunctionExit
            | EventKind::MessageSend
            | EventKind::MessageReceive
            | EventKind::MessageTaken
            | EventKind::CallbackReply
            | EventKind::StateChange
            | EventKind::VariableAssignment
    )
}

impl<'p, 't, S: Sink> Payload<'p, 't, S> {
    #[inline(always)]
    pub fn new(env: Env<'t>, settings: &'p Settings, kind: EventKind, sink: &'p mut S) -> Self {
        Payload {
            withholds: settings.level.withholds() && is_withheld(kind),
            env,
            rules: &settings.rules,
            settings,
            sink,
        }
    }

    /// Whether a word is the name of this node.
    pub fn is_this_node(&self, name: Word) -> bool {
        name == atom_word(self.settings.node)
    }

    /// A term, within the budget and masked.
    #[inline(always)]
    pub fn value(&mut self, value: Term<'t>) -> Result<(), Full> {
        self.word(word(value))
    }

    /// The same of a term's word.
    #[inline(always)]
    pub fn word(&mut self, value: Word) -> Result<(), Full> {
        if self.withholds {
            return self.scant(value);
        }
        match RawTerms::new(self.env) {
            Some(raw) => done(encode_word(raw, value, self.rules, self.sink)),
            None => self.word_by_nif(value),
        }
    }

    /// The same of a term that was tried the quick way, or stands beside one.
    fn any_word(&mut self, value: Word) -> Result<(), Full> {
        if self.withholds {
            return self.scant(value);
        }
        match RawTerms::new(self.env) {
            Some(raw) => done(encode_any(raw, value, self.rules, self.sink)),
            None => self.word_by_nif(value),
        }
    }

    #[cold]
    fn word_by_nif(&mut self, value: Word) -> Result<(), Full> {
        let terms = NifTerms::new(self.env);
        done(encode_word(terms, value, self.rules, self.sink))
    }

    /// The value if it is a number, a name, or says who or which; else a mark.
    #[cold]
    fn scant(&mut self, value: Word) -> Result<(), Full> {
        let value_term = term(self.env, value);
        let is_kept = raw::is_immediate(value)
            || value_term.is_ref()
            || value_term.is_pid()
            || value_term.is_port();
        if !is_kept {
            return self.sink.put(&GUARD_MARK);
        }
        let terms = NifTerms::new(self.env);
        done(encode_word(terms, value, self.rules, self.sink))
    }

    /// Terms by their words, each within a budget of its own.
    #[inline]
    pub fn words(&mut self, values: &[Word]) -> Result<(), Full> {
        if let Some(raw) = RawTerms::new(self.env)
            && !self.withholds
        {
            let quick = Quick::new(raw, self.rules, ());
            let body = &Values(values);
            let most = most_bytes(self.rules.budget);
            if self.sink.in_window(most, Quickly { quick, body }) {
                return Ok(());
            }
        }
        values.iter().try_for_each(|value| self.word(*value))
    }

    /// What stands in front of a state.
    pub fn state_head(&mut self, head: StateHead) -> Result<(), Full> {
        head.put(self.sink)
    }

    /// What is encoded already.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), Full> {
        self.sink.put(bytes)
    }

    /// Terms, each within a budget of its own.
    pub fn values(&mut self, values: &[Term<'t>]) -> Result<(), Full> {
        values.iter().try_for_each(|value| self.value(*value))
    }

    /// By what a call ended that did not return, each within a budget of its own. It is never left out.
    pub fn exception(&mut self, elements: &[Term<'t>]) -> Result<(), Full> {
        let withholds = std::mem::replace(&mut self.withholds, false);
        self.sink.put(&[format::TUPLE, elements.len() as u8])?;
        let written = self.values(elements);
        self.withholds = withholds;
        written
    }

    /// The same as the VM tells it, which has no stack trace.
    pub fn raised(&mut self, class: Word, reason: Word) -> Result<(), Full> {
        let env = self.env;
        let [class, reason] = [class, reason].map(|word| term(env, word));
        self.exception(&[class, reason, Term::list_new_empty(env)])
    }

    /// The arguments of a call as a list, each within a budget of its own; those whose names are to be masked as marks.
    fn args(
        &mut self,
        args: impl Iterator<Item = Word>,
        names: &[AtomId],
        state: Option<(u32, [u8; 4])>,
    ) -> Result<(), Full> {
        let mut args = args.enumerate().peekable();
        if args.peek().is_none() {
            return self.sink.put(&[format::NIL]);
        }
        let redaction = &self.rules.redaction;
        let mut names = names.iter();
        self.sink.put(&[format::LIST])?;
        for (at, arg) in args {
            if names.next().is_some_and(|name| redaction.masks_atom(*name)) {
                self.sink.put(&[format::REDACTED])?;
            } else if let Some((state, mark)) = state
                && state as usize == at
            {
                self.sink.put(&mark)?;
            } else {
                self.word(arg)?;
            }
        }
        self.sink.put(&[format::END])
    }

    /// The same of arguments that come as a list.
    pub fn arg_list(&mut self, args: Term<'t>, site: SiteId) -> Result<(), Full> {
        if args.list_length().is_err() {
            return self.value(args);
        }
        self.arg_cells(word(args), site)
    }

    /// The same of a list that is known to be one; anything else stands for no arguments.
    pub fn arg_cells(&mut self, args: Word, site: SiteId) -> Result<(), Full> {
        let args = cells(self.env, args);
        self.args(args, site::arguments(site), None)
    }

    /// An atom of ours.
    pub fn symbol(&mut self, atom: Atom) -> Result<(), Full> {
        self.value(atom.to_term(self.env))
    }

    /// A number of ours.
    pub fn integer(&mut self, number: u64) -> Result<(), Full> {
        self.value(number.encode(self.env))
    }

    /// `nil`
    pub fn nil(&mut self) -> Result<(), Full> {
        self.symbol(crate::atoms::nil())
    }
}

/// Words of this call one after another, each within a budget of its own.
pub struct Values<'v>(pub &'v [Word]);

impl<'t> Body<'t> for Values<'_> {
    const IS_QUICK: bool = true;

    #[inline(always)]
    fn quick<'w, T: Terms<'t>>(
        &self,
        quick: Quick<'_, T>,
        window: Window<'w>,
    ) -> Option<Window<'w>> {
        let mut window = window;
        for value in self.0 {
            window = quick.field(window, *value)?;
        }
        Some(window)
    }

    fn write(self, payload: &mut Payload<'_, 't, RecordBuf<'_>>) -> Result<(), Full> {
        let Values(values) = self;
        values.iter().try_for_each(|value| payload.any_word(*value))
    }
}

/// A name, and a map that was not made: `places`, a map with the same keys, tells for each where its value stands.
pub struct NamedMap<'v> {
    pub name: Word,
    pub places: Word,
    pub values: &'v [Word],
}

impl<'t> Body<'t> for NamedMap<'_> {
    const IS_QUICK: bool = true;

    #[inline(always)]
    fn quick<'w, T: Terms<'t>>(
        &self,
        quick: Quick<'_, T>,
        window: Window<'w>,
    ) -> Option<Window<'w>> {
        let window = quick.term(window, self.name)?;
        quick.map_of(window, self.places, self.values)
    }

    /// Makes the map after all.
    fn write(self, payload: &mut Payload<'_, 't, RecordBuf<'_>>) -> Result<(), Full> {
        let env = payload.env;
        let (mut keys, mut values) = (Words::new(), Words::new());
        if let Some(places) = MapIterator::new(term(env, self.places)) {
            for (key, place) in places {
                let value = place
                    .decode()
                    .ok()
                    .and_then(|at: usize| self.values.get(at));
                keys.push(word(key));
                values.push(value.copied().unwrap_or(word(place)));
            }
        }
        payload.any_word(self.name)?;
        match map(env, &keys, &values) {
            Some(map) => payload.any_word(word(map)),
            None => payload.nil(),
        }
    }
}

type Words = SmallVec<[Word; 8]>;

/// The arguments of a call as a list: words of this call.
pub struct Args<'v> {
    args: &'v [Word],
    site: SiteId,
    masks: u32,
}

impl<'v> Args<'v> {
    /// At most as many as there are bits in a [`Masks`]' answer.
    #[inline(always)]
    pub fn new(args: &'v [Word], site: SiteId) -> Self {
        Args {
            args,
            site,
            masks: 0,
        }
    }
}

impl<'t> Body<'t> for Args<'_> {
    const IS_QUICK: bool = true;

    #[inline(always)]
    fn arguments(&self) -> &[Word] {
        self.args
    }

    #[inline(always)]
    fn prepare(&mut self, masks: &mut Masks, redaction: &Redaction) {
        self.masks = masks.of(self.site, redaction);
    }

    #[inline(always)]
    fn quick<'w, T: Terms<'t>>(
        &self,
        quick: Quick<'_, T>,
        window: Window<'w>,
    ) -> Option<Window<'w>> {
        if self.args.is_empty() {
            return window.byte(format::NIL);
        }
        let mut window = window.byte(format::LIST)?;
        for (at, arg) in self.args.iter().enumerate() {
            window = if self.masks >> at & 1 == 1 {
                window.byte(format::REDACTED)?
            } else {
                quick.term(window, *arg)?
            };
        }
        window.byte(format::END)
    }

    fn write(self, payload: &mut Payload<'_, 't, RecordBuf<'_>>) -> Result<(), Full> {
        payload.args(self.args.iter().copied(), site::arguments(self.site), None)
    }
}

/// The same, with a mark for the state of the process, which its timeline knows, in the place of one of them.
pub struct MarkedArgs<'v> {
    args: Args<'v>,
    state: u32,
    mark: [u8; 4],
}

impl<'v> MarkedArgs<'v> {
    pub fn new(args: &'v [Word], site: SiteId, state: u32, mark: [u8; 4]) -> Self {
        MarkedArgs {
            args: Args::new(args, site),
            state,
            mark,
        }
    }
}

impl<'t> Body<'t> for MarkedArgs<'_> {
    const IS_QUICK: bool = true;

    #[inline(always)]
    fn prepare(&mut self, masks: &mut Masks, redaction: &Redaction) {
        self.args.prepare(masks, redaction);
    }

    #[inline(always)]
    fn quick<'w, T: Terms<'t>>(
        &self,
        quick: Quick<'_, T>,
        window: Window<'w>,
    ) -> Option<Window<'w>> {
        let mut window = window.byte(format::LIST)?;
        for (at, arg) in self.args.args.iter().enumerate() {
            window = if self.args.masks >> at & 1 == 1 {
                window.byte(format::REDACTED)?
            } else if at == self.state as usize {
                window.bytes(&self.mark)?
            } else {
                quick.term(window, *arg)?
            };
        }
        window.byte(format::END)
    }

    fn write(self, payload: &mut Payload<'_, 't, RecordBuf<'_>>) -> Result<(), Full> {
        let Args { args, site, .. } = self.args;
        let state = Some((self.state, self.mark));
        payload.args(args.iter().copied(), site::arguments(site), state)
    }
}

/// Writes a state, within the budget of states and masked. Whether it is there as a whole, but for masks.
pub fn encode_state<'t, T: Terms<'t>>(
    terms: T,
    state: State,
    settings: &Settings,
    sink: &mut Vec<u8>,
) -> Result<bool, Full> {
    let rules = &settings.state_rules;
    let mut sink = Watched::new(sink);
    match state {
        State::Term(state) => done(encode_word(terms, state, rules, &mut sink))?,
        State::Named(name, data) => {
            sink.put(&[format::TUPLE, 2])?;
            done(encode_word(terms, name, rules, &mut sink))?;
            done(encode_word(terms, data, rules, &mut sink))?;
        }
    }
    Ok(sink.is_whole())
}

/// A sink that is full says so; a term within a budget is never too big.
#[inline(always)]
fn done(encoded: Result<u64, EncodeError>) -> Result<(), Full> {
    encoded.map(|_steps| ()).map_err(|_| Full)
}
