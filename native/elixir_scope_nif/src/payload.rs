//! The payload of a record: encoded values one after another, as its kind has them.

use elixir_scope_engine::NoWay;
use elixir_scope_engine::event::{AtomId, SiteId};
use elixir_scope_engine::value::{Full, Sink, Watched, format};
use rustler::{Atom, Env, Term};

use crate::callback::State;
use crate::fields::list;
use crate::settings::Settings;
use crate::site;
use crate::term::encode::{EncodeError, Quick, Rules, Values, encode_word, quickly};
use crate::term::nif::NifTerms;
use crate::term::raw::RawTerms;
use crate::term::redact::Redaction;
use crate::term::{Terms, Word, atom_word, word};

/// Writes the values of one record.
pub struct Payload<'p, 't, S> {
    env: Env<'t>,
    rules: &'p Rules,
    settings: &'p Settings,
    sink: &'p mut S,
}

impl<'p, 't, S: Sink> Payload<'p, 't, S> {
    #[inline(always)]
    pub fn new(env: Env<'t>, settings: &'p Settings, sink: &'p mut S) -> Self {
        Payload {
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
        match RawTerms::new(self.env) {
            Some(raw) => done(encode_word(raw, value, self.rules, self.sink)),
            None => self.word_by_nif(value),
        }
    }

    #[cold]
    fn word_by_nif(&mut self, value: Word) -> Result<(), Full> {
        let terms = NifTerms::new(self.env);
        done(encode_word(terms, value, self.rules, self.sink))
    }

    /// Terms by their words, each within a budget of its own.
    #[inline]
    pub fn words(&mut self, values: &[Word]) -> Result<(), Full> {
        if let Some(raw) = RawTerms::new(self.env)
            && quickly(raw, self.rules, self.sink, AllWords(values)).is_some()
        {
            return Ok(());
        }
        values.iter().try_for_each(|value| self.word(*value))
    }

    /// A state, within the budget of states and masked. Whether it is there as a whole, but for masks.
    pub fn state(&mut self, state: State) -> Result<bool, Full> {
        let mut sink = Watched::new(self.sink);
        let mut payload = Payload {
            env: self.env,
            rules: &self.settings.state_rules,
            settings: self.settings,
            sink: &mut sink,
        };
        match state {
            State::Term(state) => payload.word(state)?,
            State::Named(name, data) => {
                payload.sink.put(&[format::TUPLE, 2])?;
                payload.word(name)?;
                payload.word(data)?;
            }
        }
        Ok(sink.is_whole())
    }

    /// Terms, each within a budget of its own.
    #[inline(always)]
    pub fn values(&mut self, values: &[Term<'t>]) -> Result<(), Full> {
        if let Some(raw) = RawTerms::new(self.env)
            && quickly(raw, self.rules, self.sink, All(values)).is_some()
        {
            return Ok(());
        }
        self.each(values)
    }

    #[inline(never)]
    fn each(&mut self, values: &[Term<'t>]) -> Result<(), Full> {
        values.iter().try_for_each(|value| self.value(*value))
    }

    /// A tuple, each element within a budget of its own.
    pub fn tuple(&mut self, elements: &[Term<'t>]) -> Result<(), Full> {
        self.sink.put(&[format::TUPLE, elements.len() as u8])?;
        self.values(elements)
    }

    /// The arguments of a call as a list, each within a budget of its own; those whose names are to be masked as marks.
    #[inline(always)]
    pub fn args(&mut self, args: &[Term<'t>], site: SiteId) -> Result<(), Full> {
        if args.is_empty() {
            return self.sink.put(&[format::NIL]);
        }
        let redaction = &self.rules.redaction;
        let names = if redaction.is_on() {
            site::arguments(site)
        } else {
            &[]
        };
        if let Some(raw) = RawTerms::new(self.env) {
            let all = Args {
                args,
                names,
                redaction,
            };
            if quickly(raw, self.rules, self.sink, all).is_some() {
                return Ok(());
            }
        }
        self.each_arg(args, names)
    }

    #[inline(never)]
    fn each_arg(&mut self, args: &[Term<'t>], names: &[AtomId]) -> Result<(), Full> {
        let redaction = &self.rules.redaction;
        let mut names = names.iter();
        self.sink.put(&[format::LIST])?;
        for arg in args {
            if names.next().is_some_and(|name| redaction.masks_atom(*name)) {
                self.sink.put(&[format::REDACTED])?;
            } else {
                self.value(*arg)?;
            }
        }
        self.sink.put(&[format::END])
    }

    /// The same of arguments that come as a list: few functions have so many.
    pub fn arg_list(&mut self, args: Term<'t>, site: SiteId) -> Result<(), Full> {
        match list(args) {
            Some(args) => self.args(&args, site),
            None => self.value(args),
        }
    }

    /// An atom of ours.
    pub fn symbol(&mut self, atom: Atom) -> Result<(), Full> {
        self.value(atom.to_term(self.env))
    }

    /// `nil`
    pub fn nil(&mut self) -> Result<(), Full> {
        self.symbol(crate::atoms::nil())
    }
}

/// Values one after another.
struct All<'v, 't>(&'v [Term<'t>]);

impl Values for All<'_, '_> {
    #[inline(always)]
    fn write<'t, T: Terms<'t>>(self, quick: &mut Quick<'_, '_, T>) -> Result<(), NoWay> {
        for value in self.0 {
            quick.term(word(*value))?;
        }
        Ok(())
    }
}

/// The same, by their words.
struct AllWords<'v>(&'v [Word]);

impl Values for AllWords<'_> {
    #[inline(always)]
    fn write<'t, T: Terms<'t>>(self, quick: &mut Quick<'_, '_, T>) -> Result<(), NoWay> {
        self.0.iter().try_for_each(|value| quick.term(*value))
    }
}

/// The arguments of a call.
struct Args<'v, 't> {
    args: &'v [Term<'t>],
    names: &'static [AtomId],
    redaction: &'v Redaction,
}

impl Values for Args<'_, '_> {
    #[inline(always)]
    fn write<'t, T: Terms<'t>>(self, quick: &mut Quick<'_, '_, T>) -> Result<(), NoWay> {
        quick.byte(format::LIST)?;
        let mut names = self.names.iter();
        for arg in self.args {
            if names
                .next()
                .is_some_and(|name| self.redaction.masks_atom(*name))
            {
                quick.byte(format::REDACTED)?;
            } else {
                quick.term(word(*arg))?;
            }
        }
        quick.byte(format::END)
    }
}

/// A sink that is full says so; a term within a budget is never too big.
#[inline(always)]
fn done(encoded: Result<u64, EncodeError>) -> Result<(), Full> {
    encoded.map(|_steps| ()).map_err(|_| Full)
}
