//! What records of calls and messages tell of a message.

use super::{Causality, Handled, Message};
use crate::event::{ProcessId, Symbol};
use crate::site::{Receives, Via};
use crate::value::{Reader, Token, split_first, split_whole};

impl Causality {
    /// The message that a call handles, by its arguments.
    pub(super) fn handled<'a>(
        &self,
        receives: Receives,
        receiver: ProcessId,
        payload: &'a [u8],
    ) -> Handled<'a> {
        let Some(via) = self.via(receives, payload) else {
            return Handled::Nothing;
        };
        let message = |(via, sender)| {
            let (bytes, is_whole) = element(payload, receives.message)?;
            let message = Message {
                via,
                receiver,
                sender,
                bytes,
            };
            Some(Handled::Message(message, is_whole))
        };
        via.and_then(message).unwrap_or(Handled::Unknown)
    }

    /// How the message came, and of a request from whom: `None` for what is no message, `Some(None)` where it is not known.
    #[allow(clippy::option_option, reason = "no message, unknown, known")]
    pub(super) fn via(
        &self,
        receives: Receives,
        payload: &[u8],
    ) -> Option<Option<(Via, ProcessId)>> {
        let sender = |index: Option<u32>| {
            let (argument, _) = element(payload, index?)?;
            first_process(argument)
        };
        let by_argument = receives.message.checked_sub(1);
        Some(match (receives.via, by_argument) {
            (Via::Request, _) => sender(receives.sender).map(|sender| (Via::Request, sender)),
            // A state machine is told in front of each event what sort it is.
            (Via::Plain, Some(before)) => {
                let Some((sort, _)) = element(payload, before) else {
                    return Some(None);
                };
                let mut reader = Reader::new(sort);
                match reader.token() {
                    Ok(Token::Atom(name)) if name == self.symbols.id(Symbol::Cast) => {
                        Some((Via::Notice, ProcessId::NONE))
                    }
                    Ok(Token::Atom(name)) if name == self.symbols.id(Symbol::Info) => {
                        Some((Via::Plain, ProcessId::NONE))
                    }
                    Ok(Token::Tuple(2)) => match reader.token() {
                        Ok(Token::Atom(name)) if name == self.symbols.id(Symbol::Call) => {
                            first_process(reader.rest()).map(|sender| (Via::Request, sender))
                        }
                        _ => return None,
                    },
                    Ok(Token::Redacted | Token::Truncated(_)) => None,
                    _ => return None,
                }
            }
            (via, _) => Some((via, ProcessId::NONE)),
        })
    }

    /// Receiver, message and way of a message that somebody may handle: whole, and to a process of this node, or to a name
    /// that may be one's. The fields come in the order of their kind's.
    pub(super) fn message<'a>(&self, payload: &'a [u8]) -> Option<(ProcessId, &'a [u8], Via)> {
        let (_sender, rest) = split_first(payload).ok()?;
        let (receiver, rest) = split_first(rest).ok()?;
        let (name, rest) = split_first(rest).ok()?;
        let receiver = match process(receiver) {
            Some(process) => process,
            None if self.is_looked_up(name) => ProcessId::NONE,
            None => return None,
        };
        let (bytes, is_whole, rest) = split_whole(rest).ok()?;
        let (_message_id, rest) = split_first(rest).ok()?;
        let Ok(Token::Atom(sort)) = Reader::new(rest).token() else {
            return None;
        };
        let is = |symbol| sort == self.symbols.id(symbol);
        let via = match sort {
            _ if is(Symbol::Call) => Via::Request,
            _ if is(Symbol::Cast) => Via::Notice,
            _ if is(Symbol::Send) => Via::Plain,
            _ => return None,
        };
        is_whole.then_some((receiver, bytes, via))
    }

    /// Whether this is what only the host can look up: `{global, name}`, `{via, module, name}`, an alias. Others stand beside
    /// their process, or have none on this node.
    pub(super) fn is_looked_up(&self, name: &[u8]) -> bool {
        let mut reader = Reader::new(name);
        match reader.token() {
            Ok(Token::Ref(_) | Token::Tuple(3)) => true,
            Ok(Token::Tuple(2)) => {
                matches!(reader.token(), Ok(Token::Atom(kind)) if kind == self.symbols.id(Symbol::Global))
            }
            _ => false,
        }
    }
}

/// An argument of an entry, and whether nothing of it is missing.
fn element(payload: &[u8], index: u32) -> Option<(&[u8], bool)> {
    let mut reader = Reader::new(payload);
    let Ok(Token::List) = reader.token() else {
        return None;
    };
    let mut rest = reader.rest();
    for _ in 0..index {
        rest = split_first(rest).ok()?.1;
    }
    let (value, is_whole, _) = split_whole(rest).ok()?;
    Some((value, is_whole))
}

/// Whether a request has a reference by which its answer is known: the VM saw it, and its sender need not wait for that.
pub(super) fn has_reference(payload: &[u8]) -> bool {
    let mut rest = payload;
    for _ in 0..6 {
        let Ok((_, behind)) = split_first(rest) else {
            return false;
        };
        rest = behind;
    }
    matches!(
        Reader::new(rest).token(),
        Ok(Token::Ref(_) | Token::Foreign(_))
    )
}

/// The local process that a value is.
pub(in crate::ingest) fn process(value: &[u8]) -> Option<ProcessId> {
    match Reader::new(value).token() {
        Ok(Token::Pid(process)) => ProcessId(process).some(),
        _ => None,
    }
}

/// The local process that a tuple begins with.
fn first_process(tuple: &[u8]) -> Option<ProcessId> {
    let mut reader = Reader::new(tuple);
    match reader.token() {
        Ok(Token::Tuple(1..)) => process(reader.rest()),
        _ => None,
    }
}
