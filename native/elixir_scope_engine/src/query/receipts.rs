//! What became of messages: when they arrived, and when a callback began to handle them. The rows that tell of it lie behind the one
//! that tells of the sending and link back to it; here they are looked for from there, and put into the payloads of answers.

use std::collections::HashMap;

use ahash::RandomState;

use super::{Context, Rows};
use crate::event::{EventId, EventKind, ProcessId, Symbol, TimeNs};
use crate::ingest::encode::{put_atom, put_int, put_pid};
use crate::store::{EventHead, Rows as _, Store};
use crate::value::{Reader, Token, split_first};

/// What became of one message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Receipt {
    /// Who got it, as far as that is known.
    pub receiver: Option<ProcessId>,
    pub arrived: Option<(EventId, TimeNs)>,
    /// When it was taken out of the mailbox, where the host's tokens tell, and when it had arrived by that.
    pub taken: Option<(EventId, TimeNs)>,
    waited_since: Option<TimeNs>,
    pub handled: Option<(EventId, TimeNs)>,
}

impl Receipt {
    fn add(&mut self, head: &EventHead, payload: &[u8]) {
        let place = Some((head.id, head.time));
        match head.kind {
            EventKind::MessageReceive => self.arrived = self.arrived.or(place),
            EventKind::FunctionEntry => self.handled = self.handled.or(place),
            EventKind::MessageTaken => {
                self.taken = self.taken.or(place);
                let waited = field(payload, 4).map(|value| Reader::new(value).token());
                if let Some(Ok(Token::Int(waited))) = waited {
                    self.waited_since = Some(TimeNs(head.time.0.saturating_sub(waited)));
                }
            }
            _ => return,
        }
        self.receiver = self.receiver.or(head.process.some());
    }

    /// When it arrived.
    fn arrived_at(&self) -> Option<TimeNs> {
        self.waited_since
            .or(self.arrived.map(|(_, arrived)| arrived))
    }

    /// When a callback began to handle it, or else when it was taken out of the mailbox.
    fn handled_at(&self) -> Option<TimeNs> {
        self.handled.or(self.taken).map(|(_, handled)| handled)
    }
}

/// Receipts by message.
pub(crate) type Receipts = HashMap<u64, Receipt, RandomState>;

/// What became of the messages that the events `wanted` tell of. One segment is held at a time.
pub(crate) fn find(store: &Store, wanted: &mut Vec<u64>) -> Receipts {
    let mut receipts = Receipts::default();
    wanted.sort_unstable();
    wanted.dedup();
    let (Some(&first), Some(&last)) = (wanted.first(), wanted.last()) else {
        return receipts;
    };
    let mut next = first;
    loop {
        let tape = store.tape();
        next = next.max(tape.floor());
        if next >= tape.open().first() {
            let open = tape.open();
            let set: std::collections::HashSet<u64, RandomState> = wanted.iter().copied().collect();
            for (row, message) in open.ties().links.iter() {
                if (first..=last).contains(&message) && set.contains(&message) {
                    receipts
                        .entry(message)
                        .or_default()
                        .add(&open.head(row), open.payload(row));
                }
            }
            return receipts;
        }
        let Some(segment) = tape.segment_from(next).cloned() else {
            return receipts;
        };
        drop(tape);
        next = segment.first() + segment.rows() as u64;
        // A message that was sent behind it has nothing in it.
        let earlier = wanted.partition_point(|&message| message < next);
        for &message in wanted.get(..earlier).unwrap_or(&[]) {
            for row in segment.links().to(message) {
                receipts
                    .entry(message)
                    .or_default()
                    .add(&segment.head(row), segment.payload(row));
            }
        }
    }
}

/// Puts what became of the messages into the events among `rows` that tell of one.
pub(crate) fn fill_all(store: &Store, context: &Context<'_>, rows: &mut Rows) {
    let mut wanted = Vec::new();
    for (head, payload) in rows.iter() {
        match head.kind {
            EventKind::MessageSend => wanted.push(head.id.0),
            EventKind::MessageReceive => {
                wanted.push(of_arrival(context, head, payload).unwrap_or(0))
            }
            _ => {}
        }
    }
    if wanted.is_empty() {
        return;
    }
    let receipts = find(store, &mut wanted);
    let mut filled = Vec::new();
    for place in 0..rows.rows().len() {
        let Some(row) = rows.rows().get(place) else {
            continue;
        };
        let (head, payload) = (row.head, rows.payload(row));
        filled.clear();
        let is_filled = match head.kind {
            EventKind::MessageSend => {
                let receipt = receipts.get(&head.id.0).copied().unwrap_or_default();
                // Of an answer to an alias.
                let peer = match receipt.receiver {
                    None => store.tape().peer_of(head.id),
                    known => known,
                };
                fill_send(context, &head, payload, peer, &receipt, &mut filled)
            }
            EventKind::MessageReceive => {
                let message = of_arrival(context, &head, payload).unwrap_or(0);
                let receipt = receipts.get(&message).copied().unwrap_or_default();
                fill_arrival(context, &head, payload, &receipt, &mut filled)
            }
            _ => None,
        };
        if is_filled.is_some() {
            rows.set_payload(place, &[&filled]);
        }
    }
}

/// The message that an arrival is one of, by its payload: itself where nobody told of its sending, none where that is ambiguous.
fn of_arrival(context: &Context<'_>, head: &EventHead, payload: &[u8]) -> Option<u64> {
    match Reader::new(field(payload, 3)?).token().ok()? {
        Token::Int(message) => u64::try_from(message).ok(),
        Token::Atom(name) if name == context.symbols.id(Symbol::Ambiguous) => None,
        _ => Some(head.id.0),
    }
}

fn field(payload: &[u8], place: usize) -> Option<&[u8]> {
    let mut rest = payload;
    for _ in 0..place {
        rest = split_first(rest).ok()?.1;
    }
    split_first(rest).ok().map(|(value, _)| value)
}

/// What the words of the engine look like.
fn is_word(context: &Context<'_>, value: &[u8], symbol: Symbol) -> bool {
    matches!(Reader::new(value).token(), Ok(Token::Atom(name)) if name == context.symbols.id(symbol))
}

/// The payload of a send. `peer` is its receiver, where the tape knows more of it than the payload.
pub(crate) fn fill_send(
    context: &Context<'_>,
    head: &EventHead,
    payload: &[u8],
    peer: Option<ProcessId>,
    receipt: &Receipt,
    out: &mut Vec<u8>,
) -> Option<()> {
    let (sender, rest) = split_first(payload).ok()?;
    let (receiver, rest) = split_first(rest).ok()?;
    let (name, rest) = split_first(rest).ok()?;
    let (message, rest) = split_first(rest).ok()?;
    let (_id, rest) = split_first(rest).ok()?;
    let (sort, rest) = split_first(rest).ok()?;
    let (reference, _) = split_first(rest).ok()?;
    let to_dead = field(payload, 10)?;
    let is_told = !is_word(context, receiver, Symbol::Nil);
    out.extend_from_slice(sender);
    match receipt.receiver.or(peer) {
        Some(receiver) if !is_told => put_pid(out, receiver),
        _ => out.extend_from_slice(receiver),
    }
    out.extend_from_slice(name);
    out.extend_from_slice(message);
    put_int(out, i64::try_from(head.id.0).unwrap_or(0));
    out.extend_from_slice(sort);
    out.extend_from_slice(reference);
    put_receipt(context, receipt, out);
    if receipt.receiver.is_some() {
        put_atom(out, context.symbols.id(Symbol::False));
    } else {
        out.extend_from_slice(to_dead);
    }
    Some(())
}

/// The payload of a send as it is when it is told: what became of the message is not known.
pub(crate) fn name_send(
    context: &Context<'_>,
    head: &EventHead,
    payload: &[u8],
    out: &mut Vec<u8>,
) -> Option<()> {
    fill_send(context, head, payload, None, &Receipt::default(), out)
}

/// `received_at`, `handled_at`, `queue_time_ns`
fn put_receipt(context: &Context<'_>, receipt: &Receipt, out: &mut Vec<u8>) {
    let times = [receipt.arrived_at(), receipt.handled_at()].map(|time| time.map(|time| time.0));
    let waited = match times {
        [Some(arrived), Some(handled)] => Some(handled.saturating_sub(arrived)),
        _ => None,
    };
    for number in times.into_iter().chain([waited]) {
        put_number(context, number, out);
    }
}

fn put_number(context: &Context<'_>, number: Option<i64>, out: &mut Vec<u8>) {
    match number {
        Some(number) => put_int(out, number),
        None => put_atom(out, context.symbols.id(Symbol::Nil)),
    }
}

/// The payload of an arrival.
fn fill_arrival(
    context: &Context<'_>,
    head: &EventHead,
    payload: &[u8],
    receipt: &Receipt,
    out: &mut Vec<u8>,
) -> Option<()> {
    let waiting = field(payload, 4)?;
    let place = waiting.as_ptr() as usize - payload.as_ptr() as usize;
    let (before, from) = payload.split_at_checked(place)?;
    out.extend_from_slice(before);
    let waited = receipt
        .handled_at()
        .map(|handled| handled.0.saturating_sub(head.time.0));
    put_number(context, waited, out);
    out.extend_from_slice(from.get(waiting.len()..)?);
    Some(())
}

/// An arrival of which nobody told that it was sent, told as a send: the head, and the payload.
pub(crate) fn as_send(
    context: &Context<'_>,
    head: &EventHead,
    payload: &[u8],
    receipt: &Receipt,
    out: &mut Vec<u8>,
) -> Option<EventHead> {
    let (receiver, rest) = split_first(payload).ok()?;
    let (sender, rest) = split_first(rest).ok()?;
    let (message, rest) = split_first(rest).ok()?;
    let (_id, rest) = split_first(rest).ok()?;
    let (_waited, rest) = split_first(rest).ok()?;
    let (sort, rest) = split_first(rest).ok()?;
    let (reference, _) = split_first(rest).ok()?;
    out.extend_from_slice(sender);
    out.extend_from_slice(receiver);
    put_atom(out, context.symbols.id(Symbol::Nil));
    out.extend_from_slice(message);
    put_int(out, i64::try_from(head.id.0).unwrap_or(0));
    out.extend_from_slice(sort);
    out.extend_from_slice(reference);
    let receipt = Receipt {
        arrived: Some((head.id, head.time)),
        ..*receipt
    };
    put_receipt(context, &receipt, out);
    put_atom(out, context.symbols.id(Symbol::False));
    Some(EventHead {
        kind: EventKind::MessageSend,
        ..*head
    })
}
