//! The payload of a record: encoded values one after another, as its kind has them.

use elixir_scope_engine::event::SiteId;
use elixir_scope_engine::value::{Full, Sink, format};
use rustler::{Atom, Env, Term};

use crate::site;
use crate::term::encode::{EncodeError, Rules, encode, encode_args};
use crate::term::{Word, word};

/// Writes the values of one record.
pub struct Payload<'p, 't, S> {
    env: Env<'t>,
    rules: &'p Rules,
    sink: &'p mut S,
}

impl<'p, 't, S: Sink> Payload<'p, 't, S> {
    #[inline(always)]
    pub fn new(env: Env<'t>, rules: &'p Rules, sink: &'p mut S) -> Self {
        Payload { env, rules, sink }
    }

    /// A term, within the budget and masked.
    #[inline(always)]
    pub fn value(&mut self, value: Term<'t>) -> Result<(), Full> {
        done(encode(value, self.rules, self.sink))
    }

    /// Terms, each within a budget of its own.
    #[inline(always)]
    pub fn values(&mut self, values: &[Term<'t>]) -> Result<(), Full> {
        values.iter().try_for_each(|value| self.value(*value))
    }

    /// A tuple, each element within a budget of its own.
    pub fn tuple(&mut self, elements: &[Term<'t>]) -> Result<(), Full> {
        self.sink.put(&[format::TUPLE, elements.len() as u8])?;
        self.values(elements)
    }

    /// The arguments of a call as a list, within one budget; those whose names are to be masked as marks.
    #[inline(always)]
    pub fn args(&mut self, args: &[Word], site: SiteId) -> Result<(), Full> {
        let mask = self.mask(site);
        done(encode_args(self.env, args, mask, self.rules, self.sink))
    }

    /// The same of arguments that come as a list: few functions have so many.
    pub fn arg_list(&mut self, args: Term<'t>, site: SiteId) -> Result<(), Full> {
        match args.into_list_iterator() {
            Ok(list) => self.args(&list.map(word).collect::<Vec<_>>(), site),
            Err(_) => self.value(args),
        }
    }

    /// One bit for each argument with a name that is masked.
    #[inline(always)]
    fn mask(&self, site: SiteId) -> u64 {
        let redaction = &self.rules.redaction;
        if !redaction.is_on() {
            return 0;
        }
        let names = site::arguments(site).iter().take(64).enumerate();
        names.fold(0, |mask, (index, name)| {
            mask | u64::from(redaction.masks_atom(*name)) << index
        })
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

/// A sink that is full says so; a term within a budget is never too big.
#[inline(always)]
fn done(encoded: Result<u64, EncodeError>) -> Result<(), Full> {
    encoded.map(|_steps| ()).map_err(|_| Full)
}
