//! Which send an arrival is the arrival of, and which message a callback handles; who is at the other end of an event, and for how
//! long a process has lived.
//!
//! What one process sends to another arrives in that order, and a behaviour handles what arrived in the order of arrival: both are
//! lines ([`Lanes`]). They are kept from the moment that arrivals are recorded.

mod read;

use super::encode::{put_atom, put_int};
use super::lanes::{Lanes, Out, Waiting};
use super::recent::Recent;
use super::sends::Sends;
use super::stacks::Stacks;
use super::tokens::{self, Tokens};
use crate::event::{AtomId, CorrelationId, EventId, ProcessId, Symbol, Symbols, TimeNs};
use crate::record::RecordHead;
use crate::site::Via;
use crate::value::{Reader, Token};
pub(crate) use read::carried;
use read::{Arrival, as_reply};

use super::causality::Message;

/// What ties an event to others, and what ingest adds to its payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Ties {
    /// The process at the other end.
    pub peer: ProcessId,
    /// The message that it is about.
    pub message: EventId,
    /// Of an exit: for how long the process lived.
    pub lifetime_ns: Option<i64>,
}

/// The messages on their way and in mailboxes, and what was said of processes lately.
#[derive(Debug)]
pub(crate) struct Flows {
    symbols: Symbols,
    /// Whether arrivals are recorded.
    is_active: bool,
    /// What one process sent to another, and has not arrived.
    flights: Lanes,
    /// What arrived at a process, and was not handled.
    mailboxes: Lanes,
    /// Who made a request, by its reference: the receiver of its answer; and the number of the request.
    callers: Recent<(ProcessId, u32)>,
    births: Recent<TimeNs>,
}

/// What is known of a message that was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    /// The event that tells of it.
    pub id: EventId,
    /// Of a request, its number.
    pub request: u32,
    pub root: CorrelationId,
}

/// What is known around the arrival of a message.
#[derive(Debug)]
pub(crate) struct Around<'a> {
    pub time: TimeNs,
    /// The event that tells of it.
    pub id: EventId,
    pub sends: &'a Sends,
    pub tokens: &'a mut Tokens,
}

/// How a message is told from others to one receiver.
fn content(lanes: &Lanes, sort: u32, message: &[u8]) -> u64 {
    lanes.content(&(sort, message))
}

/// How a message is told from others in one mailbox; of requests the sender is known when they are handled.
fn in_mailbox(lanes: &Lanes, via: Via, sender: ProcessId, message: &[u8]) -> u64 {
    lanes.content(&(via as u32, sender, message))
}

impl Flows {
    /// Three sevenths of `budget` bytes each are for what is on its way and for mailboxes.
    pub(crate) fn new(budget: usize, symbols: Symbols) -> Flows {
        let seventh = budget / 7;
        Flows {
            symbols,
            is_active: false,
            flights: Lanes::new(3 * seventh),
            mailboxes: Lanes::new(3 * seventh),
            callers: Recent::new(seventh / 2),
            births: Recent::new(seventh / 2),
        }
    }

    /// Bytes allocated.
    pub(crate) fn bytes(&self) -> usize {
        self.flights.bytes() + self.mailboxes.bytes() + self.callers.bytes() + self.births.bytes()
    }

    /// Up to now messages may have been sent that nobody told of.
    pub(crate) fn gap(&mut self, now: TimeNs) {
        self.flights.doubt(now);
        self.mailboxes.doubt(now);
    }

    fn is(&self, sort: AtomId, symbol: Symbol) -> bool {
        sort == self.symbols.id(symbol)
    }

    /// Whether the VM made such a message.
    fn is_signal(&self, sort: AtomId) -> bool {
        [Symbol::Down, Symbol::Exit, Symbol::Timer]
            .into_iter()
            .any(|symbol| self.is(sort, symbol))
    }

    /// A trace began or ended.
    pub(crate) fn traced(&mut self, payload: &[u8]) {
        let operation = Reader::new(payload).token();
        if let Ok(Token::Atom(operation)) = operation {
            if self.is(operation, Symbol::Started) {
                self.is_active = true;
                self.flights.drop_silent();
            } else {
                self.flights.silence();
            }
        }
    }

    /// A message was sent. Answers who gets it, and of an answer the number of its request.
    pub(crate) fn sent(
        &mut self,
        head: &RecordHead,
        payload: &[u8],
        time: TimeNs,
        told: Told,
        stacks: &mut Stacks,
    ) -> (ProcessId, u32) {
        let Some(sent) = self.read_sent(payload) else {
            return (ProcessId::UNKNOWN, 0);
        };
        let sender = head.process;
        let is_request = self.is(sent.sort, Symbol::Call) || self.is(sent.sort, Symbol::System);
        if is_request && sent.reference != 0 {
            self.callers.put(sent.reference, (sender, told.request));
        }
        let mut receiver = sent.receiver;
        let mut answered = 0;
        if sent.reference != 0
            && self.is(sent.sort, Symbol::Reply)
            && let Some((caller, request)) = self.callers.take(sent.reference)
        {
            answered = request;
            receiver = receiver.some().unwrap_or(caller);
        }
        let lost = stacks.heed(head, time);
        if self.is_active && !sent.is_elsewhere {
            let waiting = Waiting {
                content: content(&self.flights, sent.sort.0, sent.message),
                reference: sent.reference,
                id: told.id,
                root: told.root,
                time,
            };
            self.flights.push(&(sender, receiver), waiting, lost);
        }
        (receiver.some().unwrap_or(ProcessId::UNKNOWN), answered)
    }

    /// The event that was to tell of a message was not stored.
    pub(crate) fn untold(&mut self, process: ProcessId, peer: ProcessId, id: EventId) {
        let receiver = if peer == ProcessId::UNKNOWN {
            ProcessId::NONE
        } else {
            peer
        };
        self.flights.untold(&(process, receiver), id);
        self.mailboxes.untold(&process, id);
    }

    /// A hash of a reference, 0 where it is none.
    fn reference(&self, value: &[u8]) -> u64 {
        match Reader::new(value).token() {
            Ok(Token::Ref(words)) => self.flights.content(&words) | 1,
            _ => 0,
        }
    }

    /// A message arrived. Answers its ties, how much of the payload is of the kind's fields, and writes what stands behind these.
    pub(crate) fn received<'a>(
        &mut self,
        head: &RecordHead,
        payload: &'a [u8],
        known: Around<'_>,
        stacks: &mut Stacks,
        more: &mut Vec<u8>,
    ) -> (Ties, &'a [u8]) {
        let Around {
            time,
            id,
            sends,
            tokens,
        } = known;
        self.is_active = true;
        let mut ties = Ties {
            peer: ProcessId::UNKNOWN,
            ..Ties::default()
        };
        let Some(arrival) = Arrival::read(payload) else {
            return (ties, payload);
        };
        let receiver = head.process;
        let reference = self.reference(arrival.reference);
        let lost = stacks.heed(head, time);
        tokens.arrived(&arrival.taking(receiver), id, time, lost);
        ties.peer = arrival.sender.some().unwrap_or(ProcessId::UNKNOWN);
        // Whoever asked may not be traced itself.
        let is_request =
            self.is(arrival.sort, Symbol::Call) || self.is(arrival.sort, Symbol::System);
        let is_asked_unseen = is_request
            && reference != 0
            && arrival.sender.is_some()
            && self.callers.get(reference).is_none();
        if is_asked_unseen {
            self.callers.put(reference, (arrival.sender, 0));
        }
        let out = if self.is_signal(arrival.sort) {
            Out::Unknown
        } else {
            self.find_sent(&arrival, receiver, reference, time, lost, stacks, sends)
        };
        let nil = self.symbols.id(Symbol::Nil);
        let (waiting_id, root) = match out {
            Out::One(sent) if sent.id.is_some() => {
                ties.message = sent.id;
                put_int(more, i64::try_from(sent.id.0).unwrap_or(0));
                (sent.id, sent.root)
            }
            Out::Unknown => {
                put_atom(more, nil);
                (id, CorrelationId::NONE)
            }
            _ => {
                ties.message = EventId::AMBIGUOUS;
                put_atom(more, self.symbols.id(Symbol::Ambiguous));
                (EventId::NONE, CorrelationId::NONE)
            }
        };
        put_atom(more, nil);
        more.extend_from_slice(arrival.behind);
        if let Some(content) = self.mailbox_content(&arrival) {
            let waiting = Waiting {
                content,
                reference,
                id: waiting_id,
                root,
                time,
            };
            self.mailboxes.push(&receiver, waiting, lost);
        }
        (ties, arrival.fields)
    }

    /// A message was taken out of a mailbox, of which a token says which it is. Answers its ties, its root, how much of the payload is of
    /// the kind's fields, and writes what stands behind these.
    pub(crate) fn taken<'a>(
        &mut self,
        head: &RecordHead,
        payload: &'a [u8],
        time: TimeNs,
        tokens: &mut Tokens,
        stacks: &mut Stacks,
        more: &mut Vec<u8>,
    ) -> (Ties, CorrelationId, &'a [u8]) {
        let mut ties = Ties {
            peer: ProcessId::UNKNOWN,
            ..Ties::default()
        };
        let named = Arrival::read(payload).and_then(|arrival| {
            let told = tokens::Told::read(arrival.rest)?;
            Some((arrival, told))
        });
        let Some((arrival, told)) = named else {
            return (ties, CorrelationId::NONE, payload);
        };
        let lost = stacks.heed(head, time);
        let lost = (stacks.gap_until(), stacks.gap_of(arrival.sender), lost);
        let taking = arrival.taking(head.process);
        let (message, root, arrived) = tokens.taken(&taking, told, time, lost);
        ties.peer = arrival.sender.some().unwrap_or(ProcessId::UNKNOWN);
        ties.message = message;
        match message {
            EventId::NONE => put_atom(more, self.symbols.id(Symbol::Nil)),
            EventId::AMBIGUOUS => put_atom(more, self.symbols.id(Symbol::Ambiguous)),
            known => put_int(more, i64::try_from(known.0).unwrap_or(0)),
        }
        match arrived {
            Some(arrived) => put_int(more, time.0.saturating_sub(arrived.0)),
            None => put_atom(more, self.symbols.id(Symbol::Nil)),
        }
        more.extend_from_slice(arrival.behind);
        (ties, root, arrival.fields)
    }

    #[allow(clippy::too_many_arguments, reason = "the arrival, and what is known")]
    fn find_sent(
        &mut self,
        arrival: &Arrival<'_>,
        receiver: ProcessId,
        reference: u64,
        time: TimeNs,
        lost: TimeNs,
        stacks: &Stacks,
        sends: &Sends,
    ) -> Out {
        let content = content(&self.flights, arrival.sort.0, arrival.message);
        let mut sender = arrival.sender;
        if !sender.is_some() {
            // By what it says, where one process alone has sent that.
            let Some(via) = self.via(arrival.sort) else {
                return Out::Unknown;
            };
            let message = Message {
                via,
                receiver,
                sender: ProcessId::NONE,
                bytes: arrival.message,
            };
            match sends.look(&message) {
                None => return Out::Unknown,
                Some(taken) if taken.sender == ProcessId::UNKNOWN => return Out::Several,
                Some(taken) => sender = taken.sender,
            }
        }
        let lane = (sender, receiver);
        let lost = (stacks.gap_of(sender), lost);
        match self.flights.take(&lane, content, reference, time, lost) {
            Out::Unknown => {
                let lane = (sender, ProcessId::NONE);
                self.flights.take_only(&lane, content, reference)
            }
            out => out,
        }
    }

    /// How such a message is sent, as far as callbacks handle it.
    fn via(&self, sort: AtomId) -> Option<Via> {
        if self.is(sort, Symbol::Call) {
            Some(Via::Request)
        } else if self.is(sort, Symbol::Cast) {
            Some(Via::Notice)
        } else if self.is(sort, Symbol::Send) || self.is_signal(sort) {
            Some(Via::Plain)
        } else {
            None
        }
    }

    /// How a message that arrived is told from others in its mailbox, if a callback may handle it.
    fn mailbox_content(&self, arrival: &Arrival<'_>) -> Option<u64> {
        if self.is(arrival.sort, Symbol::Reply) {
            return Some(content(&self.mailboxes, REPLY, arrival.message));
        }
        let via = self.via(arrival.sort)?;
        let sender = match via {
            Via::Request => arrival.sender,
            Via::Notice | Via::Plain => ProcessId::NONE,
        };
        Some(in_mailbox(&self.mailboxes, via, sender, arrival.message))
    }

    /// A callback of a process handles a message. Answers it, or `Unknown` where none is known to have arrived.
    pub(crate) fn handled(&mut self, message: &Message<'_>, time: TimeNs, lost: TimeNs) -> Out {
        if !self.is_active {
            return Out::Unknown;
        }
        let answer = as_reply(message.bytes).filter(|_| message.via == Via::Plain);
        let (content, reference) = match answer {
            Some((reference, answer)) => {
                let content = content(&self.mailboxes, REPLY, answer);
                (content, self.reference(reference))
            }
            None => {
                let Message {
                    via, sender, bytes, ..
                } = *message;
                (in_mailbox(&self.mailboxes, via, sender, bytes), 0)
            }
        };
        let process = message.receiver;
        self.mailboxes
            .take(&process, content, reference, time, (lost, lost))
    }

    /// A process is seen in a callback for the first time.
    pub(crate) fn serves(&mut self, process: ProcessId, time: TimeNs) {
        if self.is_active {
            self.mailboxes.restart(&process, time);
        }
    }

    /// A process was spawned.
    pub(crate) fn spawned(&mut self, child: ProcessId, time: TimeNs) {
        if self.births.get(child.0).is_none() {
            self.births.put(child.0, time);
        }
    }

    /// A process ended. Answers how long it lived.
    pub(crate) fn exited(&mut self, process: ProcessId, time: TimeNs) -> Option<i64> {
        let born = self.births.take(process.0)?;
        Some(time.0.saturating_sub(born.0))
    }
}

/// In mailboxes, beside the numbers of [`Via`].
const REPLY: u32 = 9;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests;
