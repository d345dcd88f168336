//! The end of a callback, whose record tells of the new state and of the answer as well: taken apart into their events.

use super::encode::put_atom;
use crate::event::{AtomId, EventKind, Symbol, Symbols};
use crate::record::{Preceding, RecordHead};
use crate::value::{format, split_first};

/// The parts of such a record.
pub(super) struct Parts<'a> {
    /// The trigger of a state change, and what is told of the state.
    pub state: Option<(&'a [u8], &'a [u8])>,
    pub reply: Option<Reply<'a>>,
    /// The payload of the end itself.
    pub end: &'a [u8],
}

/// What a callback answers: encoded values.
pub(super) struct Reply<'a> {
    hibernates: bool,
    reply: Option<&'a [u8]>,
    timeout: Option<&'a [u8]>,
    continues_with: Option<&'a [u8]>,
}

impl<'a> Parts<'a> {
    /// Takes a payload apart. Bytes that no host wrote are all of the end, whose readers refuse what they cannot read.
    pub(super) fn read(head: &RecordHead, payload: &'a [u8]) -> Parts<'a> {
        Parts::try_read(head, payload).unwrap_or(Parts {
            state: None,
            reply: None,
            end: payload,
        })
    }

    fn try_read(head: &RecordHead, payload: &'a [u8]) -> Option<Parts<'a>> {
        let (mut state, mut reply, mut rest) = (None, None, payload);
        if head.preceding.has(Preceding::STATE) {
            let (length, after) = rest.split_first_chunk()?;
            let length = u32::from_le_bytes(*length) as usize;
            let (part, after) = after.split_at_checked(length)?;
            let (trigger, after) = split_first(after).ok()?;
            (state, rest) = (Some((trigger, part)), after);
        }
        if head.preceding.has(Preceding::REPLY) {
            let (&told, after) = rest.split_first()?;
            rest = after;
            let mut follows = |bit| -> Option<Option<&'a [u8]>> {
                if told & bit == 0 {
                    return Some(None);
                }
                let (value, after) = split_first(rest).ok()?;
                rest = after;
                Some(Some(value))
            };
            let written = follows(Preceding::REPLY_FOLLOWS)?;
            let timeout = follows(Preceding::TIMEOUT_FOLLOWS)?;
            let continues_with = follows(Preceding::CONTINUE_FOLLOWS)?;
            reply = Some(Reply {
                hibernates: told & Preceding::HIBERNATES != 0,
                reply: match told >> 4 {
                    0 => written,
                    at => Some(element(rest, at)?),
                },
                timeout,
                continues_with,
            });
        }
        Some(Parts {
            state,
            reply,
            end: rest,
        })
    }

    /// The head that a record of this part would have: it was made within the call that ends.
    pub(super) fn head_of(&self, head: &RecordHead, kind: EventKind) -> RecordHead {
        let before = RecordHead::sequence_before(head.sequence);
        RecordHead {
            kind,
            preceding: Preceding::NOTHING,
            depth: head.depth.saturating_add(1),
            sequence: match kind {
                EventKind::StateChange if self.reply.is_some() => {
                    RecordHead::sequence_before(before)
                }
                _ => before,
            },
            ..*head
        }
    }
}

/// An element of the result of a call that ended: a tuple, behind the reason of the end.
fn element(end: &[u8], at: u8) -> Option<&[u8]> {
    let (_reason, result) = split_first(end).ok()?;
    // Few enough elements that their number takes one byte.
    let (&[format::TUPLE, size], mut rest) = result.split_first_chunk()? else {
        return None;
    };
    if at >= size {
        return None;
    }
    for _ in 0..at {
        (_, rest) = split_first(rest).ok()?;
    }
    split_first(rest).ok().map(|(element, _)| element)
}

impl Reply<'_> {
    /// Writes the fields of its event.
    pub(super) fn encode(&self, callback: Option<AtomId>, symbols: &Symbols, to: &mut Vec<u8>) {
        let atom = |to: &mut Vec<u8>, symbol| put_atom(to, symbols.id(symbol));
        let value = |to: &mut Vec<u8>, value: Option<&[u8]>| match value {
            Some(value) => to.extend_from_slice(value),
            None => atom(to, Symbol::Nil),
        };
        put_atom(to, callback.unwrap_or(symbols.id(Symbol::Nil)));
        value(to, self.reply);
        value(to, self.timeout);
        let hibernates = if self.hibernates {
            Symbol::True
        } else {
            Symbol::False
        };
        atom(to, hibernates);
        value(to, self.continues_with);
    }
}
