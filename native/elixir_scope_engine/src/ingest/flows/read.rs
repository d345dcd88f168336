//! What records of sends and arrivals tell.

use super::Flows;
use crate::event::{AtomId, EventKind, ProcessId, Symbol};
use crate::ingest::causality::process;
use crate::ingest::tokens::{Carried, Taking};
use crate::value::{Reader, Token, split_first};

/// A send as its record tells it.
pub(super) struct Sent<'a> {
    pub(super) receiver: ProcessId,
    pub(super) message: &'a [u8],
    pub(super) sort: AtomId,
    pub(super) reference: u64,
    /// Whether nobody was there, or nobody on this node.
    pub(super) is_elsewhere: bool,
}

/// What a send tells of the token of its process; it stands behind its fields.
pub(crate) fn carried(payload: &[u8]) -> Option<Carried> {
    let mut rest = payload;
    for _ in EventKind::MessageSend.fields() {
        rest = split_first(rest).ok()?.1;
    }
    if rest.is_empty() {
        return None;
    }
    Carried::read(rest)
}

fn atom(value: &[u8]) -> Option<AtomId> {
    match Reader::new(value).token() {
        Ok(Token::Atom(atom)) => Some(atom),
        _ => None,
    }
}

/// `{reference, answer}`
pub(super) fn as_reply(message: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut reader = Reader::new(message);
    if !matches!(reader.token(), Ok(Token::Tuple(2))) {
        return None;
    }
    let (reference, answer) = split_first(reader.rest()).ok()?;
    matches!(Reader::new(reference).token(), Ok(Token::Ref(_))).then_some((reference, answer))
}

/// An arrival as its record tells it.
pub(super) struct Arrival<'a> {
    pub(super) sender: ProcessId,
    pub(super) message: &'a [u8],
    pub(super) sort: AtomId,
    pub(super) reference: &'a [u8],
    /// The first fields of its kind, and what stands behind all of them.
    pub(super) fields: &'a [u8],
    pub(super) behind: &'a [u8],
    /// What stands behind what is read here.
    pub(super) rest: &'a [u8],
}

impl<'a> Arrival<'a> {
    pub(super) fn taking(&self, receiver: ProcessId) -> Taking<'a> {
        Taking {
            receiver,
            sender: self.sender,
            sort: self.sort.0,
            message: self.message,
        }
    }

    pub(super) fn read(payload: &'a [u8]) -> Option<Arrival<'a>> {
        let (_receiver, rest) = split_first(payload).ok()?;
        let (sender, rest) = split_first(rest).ok()?;
        let (message, behind) = split_first(rest).ok()?;
        let (sort, rest) = split_first(behind).ok()?;
        let (reference, rest) = split_first(rest).ok()?;
        Some(Arrival {
            sender: process(sender).unwrap_or_default(),
            message,
            sort: atom(sort)?,
            reference,
            fields: payload.get(..payload.len() - behind.len())?,
            behind,
            rest,
        })
    }
}

impl Flows {
    pub(super) fn read_sent<'a>(&self, payload: &'a [u8]) -> Option<Sent<'a>> {
        let (_sender, rest) = split_first(payload).ok()?;
        let (receiver, rest) = split_first(rest).ok()?;
        let (name, rest) = split_first(rest).ok()?;
        let (message, rest) = split_first(rest).ok()?;
        let (_id, rest) = split_first(rest).ok()?;
        let (sort, rest) = split_first(rest).ok()?;
        let (reference, rest) = split_first(rest).ok()?;
        let mut to_dead = rest;
        for _ in 0..3 {
            to_dead = split_first(to_dead).ok()?.1;
        }
        let is_nil = |value| matches!(Reader::new(value).token(), Ok(Token::Atom(name)) if name == self.symbols.id(Symbol::Nil));
        let receiver_process = process(receiver);
        Some(Sent {
            receiver: receiver_process.unwrap_or_default(),
            message,
            sort: atom(sort)?,
            reference: self.reference(reference),
            is_elsewhere: !is_nil(to_dead)
                || receiver_process.is_none() && (!is_nil(receiver) || self.is_remote(name)),
        })
    }

    /// Whether a name is one of another node, `{name, node}`.
    fn is_remote(&self, name: &[u8]) -> bool {
        let mut reader = Reader::new(name);
        matches!(reader.token(), Ok(Token::Tuple(2)))
            && !matches!(reader.token(), Ok(Token::Atom(kind)) if self.is(kind, Symbol::Global))
    }
}
