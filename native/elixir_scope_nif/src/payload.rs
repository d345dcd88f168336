//! The payload of a record: encoded values one after another, as its kind has them.

use elixir_scope_engine::event::SiteId;
use elixir_scope_engine::value::{Full, Sink, format};
use rustler::{Atom, Env, Term};

use crate::site;
use crate::term::encode::{EncodeError, Rules, encode};

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
        match encode(value, self.rules, self.sink) {
            Ok(_steps) => Ok(()),
            Err(EncodeError::Full | EncodeError::TooBig) => Err(Full),
        }
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

    /// The arguments of a call as a list, each within a budget of its own; those whose
    /// names are to be masked as marks.
    #[inline(always)]
    pub fn args(&mut self, args: &[Term<'t>], site: SiteId) -> Result<(), Full> {
        self.arg_terms(args.iter().copied(), site)
    }

    /// The same of arguments that come as a list.
    pub fn arg_list(&mut self, args: Term<'t>, site: SiteId) -> Result<(), Full> {
        match args.into_list_iterator() {
            Ok(args) => self.arg_terms(args, site),
            Err(_) => self.value(args),
        }
    }

    #[inline(always)]
    fn arg_terms(
        &mut self,
        args: impl Iterator<Item = Term<'t>>,
        site: SiteId,
    ) -> Result<(), Full> {
        let names = if self.rules.redaction.is_on() {
            site::arguments(site)
        } else {
            &[]
        };
        let mut names = names.iter();
        let mut any = false;
        for arg in args {
            if !any {
                self.byte(format::LIST)?;
                any = true;
            }
            if names
                .next()
                .is_some_and(|name| self.rules.redaction.masks_atom(*name))
            {
                self.byte(format::REDACTED)?;
            } else {
                self.value(arg)?;
            }
        }
        self.byte(if any { format::END } else { format::NIL })
    }

    #[inline(always)]
    fn byte(&mut self, byte: u8) -> Result<(), Full> {
        let mut item = [0; 16];
        item[0] = byte;
        self.sink.put_small(&item, 1)
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
