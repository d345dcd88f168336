//! What is known of a place of the program before anything is recorded there.

use super::SiteClass;
use crate::event::AtomId;

/// Which argument of a callback is the state of its process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StateArgument {
    /// Its index.
    pub index: u32,
    /// Whether it is the data of a state machine, whose state is a name besides.
    pub is_data: bool,
}

/// Where in the program something records, and what is known of it at compile time.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SiteDef {
    /// The module.
    pub module: AtomId,
    /// The function; `None` in the body of a module.
    pub function: Option<AtomId>,
    /// How many arguments the function takes.
    pub arity: u32,
    /// The source file.
    pub file: Box<str>,
    /// The line in it, from 1.
    pub line: u32,
    /// Which clause of the function, from 1; 0 where that means nothing.
    pub clause: u32,
    /// The names of the arguments, as far as they are known.
    pub args: Box<[AtomId]>,
    /// What it is to a strategy.
    pub class: SiteClass,
    /// The behaviour that calls the function.
    pub behaviour: Option<AtomId>,
    /// Whether a call of the function ends with a state of its process.
    pub holds_state: bool,
    /// By which of its forms the host reads the state in what the function answers: a number of the host's own, which means
    /// nothing here.
    pub form: u8,
    /// The state that it is called with.
    pub state_argument: Option<StateArgument>,
    /// How a call of the function takes up a message of its process.
    pub receives: Option<Receives>,
    /// Of a place where a call ends in a tail call: the function that is called, where that is known.
    pub callee: Option<Callee>,
}

/// A function that is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Callee {
    /// Its module.
    pub module: AtomId,
    /// Its name.
    pub function: AtomId,
    /// How many arguments it takes.
    pub arity: u32,
}

/// Where a call that takes up a message finds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Receives {
    /// How the message was sent.
    pub via: Via,
    /// Which argument holds it, from 0.
    pub message: u32,
    /// Which argument names the sender, from 0, if one does.
    pub sender: Option<u32>,
}

/// How a message was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Via {
    /// As a request, whose sender waits for the answer.
    Request,
    /// As a request that is not answered.
    Notice,
    /// As it is.
    Plain,
}
