//! Texts of what is written: names that many events share, and values.

use std::cell::RefCell;
use std::collections::HashMap;

use ahash::RandomState;

use crate::event::AtomId;
use crate::value::{Limits, Names, inspect};

/// Names of events that are written once; others stand with each event.
const MOST_NAMES: usize = 1 << 14;
/// Names of atoms that are kept.
const MOST_ATOMS: usize = 1 << 16;
/// Bytes of one text.
const LONGEST: usize = 512;

const LIMITS: Limits = Limits {
    items: 16,
    binary_bytes: 128,
    text_bytes: 256,
    depth: 6,
};

type Map<K, V> = HashMap<K, V, RandomState>;

/// Names of atoms that were asked for before: the host takes its time to tell them.
#[derive(Debug, Default)]
pub(super) struct Atoms(RefCell<Map<u32, Option<Box<str>>>>);

/// The host's names, by way of [`Atoms`].
pub(super) struct Cached<'a> {
    pub names: &'a dyn Names,
    pub atoms: &'a Atoms,
}

impl Names for Cached<'_> {
    fn atom_name(&self, atom: AtomId, out: &mut String) -> bool {
        if let Some(name) = self.atoms.0.borrow().get(&atom.0) {
            name.iter().for_each(|name| out.push_str(name));
            return name.is_some();
        }
        let start = out.len();
        let is_known = self.names.atom_name(atom, out);
        let mut atoms = self.atoms.0.borrow_mut();
        if atoms.len() < MOST_ATOMS {
            let name = out.get(start..).filter(|_| is_known).map(Box::from);
            atoms.insert(atom.0, name);
        }
        is_known
    }

    fn process_name(&self, process: u64, out: &mut String) {
        self.names.process_name(process, out);
    }

    fn port_name(&self, port: u64, out: &mut String) {
        self.names.port_name(port, out);
    }
}

/// Replaces `text` by that of an encoded value; empty where there is none.
pub(super) fn of_value(value: &[u8], names: &dyn Names, text: &mut String) {
    text.clear();
    if inspect(value, names, LIMITS, text).is_err() {
        text.clear();
    }
    if text.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|&end| text.is_char_boundary(end));
        text.truncate(end.unwrap_or(0));
        text.push_str("...");
    }
}

/// Appends `Module.function/arity`.
pub(super) fn function(
    (module, function, arity): (AtomId, Option<AtomId>, u32),
    names: &dyn Names,
    text: &mut String,
) {
    use std::fmt::Write as _;

    let mut name = String::new();
    names.atom_name(module, &mut name);
    match name.strip_prefix("Elixir.") {
        Some(alias) => text.push_str(alias),
        None => write!(text, ":{name}").unwrap_or_default(),
    }
    if let Some(function) = function {
        text.push('.');
        names.atom_name(function, text);
        write!(text, "/{arity}").unwrap_or_default();
    }
}

/// Numbers for the names of events.
#[derive(Debug, Default)]
pub(super) struct Numbers(Map<Box<str>, u64>);

/// How a name is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Name {
    /// By a number that was written before.
    Known(u64),
    /// By a number that has to be written first.
    New(u64),
    /// As it is: there are too many.
    Plain,
}

impl Numbers {
    /// How to write `name`.
    pub(super) fn of(&mut self, name: &str) -> Name {
        if let Some(&number) = self.0.get(name) {
            return Name::Known(number);
        }
        if self.0.len() >= MOST_NAMES {
            return Name::Plain;
        }
        let number = self.0.len() as u64 + 1;
        self.0.insert(name.into(), number);
        Name::New(number)
    }
}
