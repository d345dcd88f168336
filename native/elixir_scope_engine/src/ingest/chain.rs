//! What stands behind the fields of calls that are links of a chain of tail calls: a call that ends in a tail call has its
//! result and its duration from the end of the chain, which comes later. Queries put the two together.
//!
//! | event | behind its fields |
//! | --- | --- |
//! | entry | where it was called from, if a trace asked: a list; the first call of the chain, nothing for the first one itself |
//! | tail call | the time since its entry, then as of an entry |
//! | other exit | as of its entry |

use super::encode::{Integers, put_int};
use crate::event::{EventId, EventKind};
use crate::value::format::LIST;
use crate::value::split_first;

/// What stands behind the fields of a call's event.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Link {
    /// Of a tail call: nanoseconds since its entry.
    pub since_entry: Option<i64>,
    /// The first call of the chain, for a link that is not the first.
    pub chain: EventId,
}

impl Link {
    /// Appends it.
    #[inline]
    pub(crate) fn encode(self, out: &mut Vec<u8>) {
        if let Some(since) = self.since_entry {
            put_int(out, since);
        }
        if self.chain.is_some() {
            put_int(out, i64::try_from(self.chain.0).unwrap_or(0));
        }
    }

    /// Reads it off the payload of an event; `is_tail` says whether that is of a tail call.
    pub(crate) fn decode(kind: EventKind, payload: &[u8], is_tail: bool) -> Option<Link> {
        let mut rest = payload;
        for _ in kind.fields() {
            rest = split_first(rest).ok()?.1;
        }
        // An entry can tell where it was called from, in front of this.
        if rest.first() == Some(&LIST) {
            rest = split_first(rest).ok()?.1;
        }
        let mut values = Integers(rest);
        Some(Link {
            since_entry: if is_tail { Some(values.int()?) } else { None },
            chain: EventId(values.int().unwrap_or(0).unsigned_abs()),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;
    use crate::value::format::{END, NIL};

    #[test]
    fn where_an_entry_was_called_from_is_no_link() {
        let (args, frames) = (NIL, [LIST, 0x81, END]);
        let mut payload = vec![args];
        payload.extend(frames);
        let read = |payload: &[u8]| Link::decode(EventKind::FunctionEntry, payload, false);
        assert_eq!(read(&payload), Some(Link::default()));
        let link = Link {
            since_entry: None,
            chain: EventId(9),
        };
        link.encode(&mut payload);
        assert_eq!(read(&payload), Some(link));
    }

    #[test]
    fn a_link_is_read_back_and_where_none_stands_none_is_read() {
        let exit = [0x81, 0x82, 0x83];
        for since_entry in [None, Some(0), Some(1 << 40)] {
            for chain in [0, 1, 1 << 50].map(EventId) {
                let link = Link { since_entry, chain };
                let mut payload = exit.to_vec();
                link.encode(&mut payload);
                let read = |payload: &[u8]| {
                    Link::decode(EventKind::FunctionExit, payload, since_entry.is_some())
                };
                assert_eq!(read(&payload), Some(link));
                assert_eq!(read(&payload[..2]), None);
                assert_eq!(read(&exit).is_some(), since_entry.is_none());
            }
        }
    }
}
