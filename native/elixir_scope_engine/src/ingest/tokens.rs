//! Which message is which, by the tokens that the host sends along: a token names one message among all that its sender sends, and is
//! told again when the message is taken out of the mailbox. Neither order nor content matter, and no loss blurs it.
//!
//! The record of a send does not know its token yet; a second record of the same process, right behind it, tells it. What a process sends
//! goes back to the message that it took last, unless it had no token then: that the send itself tells.

use ahash::RandomState;

use super::lanes::{Lanes, Out, Waiting};
use super::recent::Recent;
use crate::event::{CorrelationId, EventId, ProcessId, TimeNs};
use crate::record::RecordHead;
use crate::value::{Reader, Token, split_first};

/// What names a message: the tracing that it belongs to, and its number among those of its sender.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub(crate) struct Name {
    pub epoch: i64,
    pub serial: i64,
}

impl Name {
    /// Two integers.
    pub(super) fn read(bytes: &[u8]) -> Option<Name> {
        let mut reader = Reader::new(bytes);
        let mut int = || match reader.token() {
            Ok(Token::Int(number)) => Some(number),
            _ => None,
        };
        Some(Name {
            epoch: int()?,
            serial: int()?,
        })
    }
}

/// The record behind a send: its name, and who gets it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stamp {
    name: Name,
    receiver: ProcessId,
}

impl Stamp {
    /// `None` for the record of a message that was taken, which begins with a process.
    #[inline]
    pub(crate) fn read(payload: &[u8]) -> Option<Stamp> {
        let name = Name::read(payload)?;
        let (_, rest) = split_first(payload).ok()?;
        let (_, rest) = split_first(rest).ok()?;
        Some(Stamp {
            name,
            receiver: super::causality::process(rest)?,
        })
    }
}

/// What the record of a send tells of the token of its process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Carried {
    /// It goes on with the token of the message that it took last.
    On,
    /// It had none: the message goes back to this root, if to no other.
    New(CorrelationId),
}

impl Carried {
    /// It stands behind the fields of a send: 0, or a root.
    pub(crate) fn read(behind: &[u8]) -> Option<Carried> {
        match Reader::new(behind).token() {
            Ok(Token::Int(0)) => Some(Carried::On),
            Ok(Token::Int(root)) => Some(Carried::New(CorrelationId(root.unsigned_abs()))),
            _ => None,
        }
    }
}

/// A message as the tape tells of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Known {
    id: EventId,
    root: CorrelationId,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    sequence: u16,
    message: Known,
}

/// What a process took last.
#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    content: u64,
    message: Known,
}

/// A message that is taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taking<'a> {
    pub receiver: ProcessId,
    pub sender: ProcessId,
    pub sort: u32,
    pub message: &'a [u8],
}

/// What the host tells of a message that is taken, behind the message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Told {
    pub name: Name,
    /// The root that what follows goes back to, if nobody told of the sending.
    pub root: CorrelationId,
}

impl Told {
    pub(super) fn read(bytes: &[u8]) -> Option<Told> {
        let name = Name::read(bytes)?;
        let (_, rest) = split_first(bytes).ok()?;
        let (_, rest) = split_first(rest).ok()?;
        match Reader::new(rest).token() {
            Ok(Token::Int(root)) => Some(Told {
                name,
                root: CorrelationId(root.unsigned_abs()),
            }),
            _ => None,
        }
    }
}

/// Messages with tokens.
#[derive(Debug)]
pub(crate) struct Tokens {
    hasher: RandomState,
    is_active: bool,
    epoch: i64,
    /// When tokens of an epoch that is not known yet were first given.
    began: Option<TimeNs>,
    /// Since when names are remembered, and whether one had to be forgotten.
    since: TimeNs,
    has_forgotten: bool,
    /// By process.
    sent: Recent<Sent>,
    taken: Recent<Taken>,
    roots: Recent<CorrelationId>,
    /// By sender, receiver and name.
    named: Recent<Known>,
    /// What arrived and was not taken: lines of equal ones from one process.
    arrived: Lanes,
}

impl Tokens {
    pub(crate) fn new(budget: usize) -> Tokens {
        Tokens {
            hasher: RandomState::default(),
            is_active: false,
            epoch: 0,
            began: None,
            since: TimeNs(i64::MAX),
            has_forgotten: false,
            sent: Recent::new(budget / 16),
            taken: Recent::new(budget / 16),
            roots: Recent::new(budget / 16),
            named: Recent::new(budget / 16 * 7),
            arrived: Lanes::new(budget / 16 * 6),
        }
    }

    /// Bytes allocated.
    pub(crate) fn bytes(&self) -> usize {
        self.sent.bytes()
            + self.taken.bytes()
            + self.roots.bytes()
            + self.named.bytes()
            + self.arrived.bytes()
    }

    fn key(&self, sender: ProcessId, receiver: ProcessId, name: Name) -> u64 {
        self.hasher.hash_one((sender, receiver, name)).max(1)
    }

    /// What a message says, for the one who handles it.
    pub(crate) fn content(&self, message: &[u8]) -> u64 {
        self.hasher.hash_one(message)
    }

    /// The root that a send goes back to, if `own` is none.
    pub(crate) fn root(
        &mut self,
        carried: Carried,
        process: ProcessId,
        own: CorrelationId,
    ) -> CorrelationId {
        let root = match (own.some(), carried) {
            (Some(own), _) => own,
            (None, Carried::New(new)) => new,
            (None, Carried::On) => self.roots.get(process.0).unwrap_or_default(),
        };
        if let Carried::New(_) = carried {
            self.roots.put(process.0, root);
            self.taken.take(process.0);
        }
        root
    }

    /// From now on messages may have names: what arrives is remembered.
    pub(crate) fn begins(&mut self, time: TimeNs) {
        self.is_active = true;
        self.began = self.began.or(Some(time));
    }

    /// A message was sent, whose name the next record of its process will tell.
    pub(crate) fn sent(&mut self, head: &RecordHead, id: EventId, root: CorrelationId) {
        let sent = Sent {
            sequence: head.sequence,
            message: Known { id, root },
        };
        self.sent.put(head.process.0, sent);
    }

    /// The event that was to tell of a message was not stored.
    pub(crate) fn untold(&mut self, process: ProcessId, id: EventId) {
        if self
            .sent
            .get(process.0)
            .is_some_and(|sent| sent.message.id == id)
        {
            self.sent.take(process.0);
        }
    }

    /// The name of the message that was sent by the record before.
    pub(crate) fn stamped(&mut self, head: &RecordHead, stamp: &Stamp, time: TimeNs) {
        self.begin(stamp.name.epoch, time);
        let Some(sent) = self.sent.take(head.process.0) else {
            return;
        };
        let is_next =
            head.sequence != 0 && RecordHead::next_sequence(sent.sequence) == head.sequence;
        if is_next {
            let key = self.key(head.process, stamp.receiver, stamp.name);
            self.has_forgotten |= self.named.put(key, sent.message);
        }
    }

    fn begin(&mut self, epoch: i64, time: TimeNs) {
        if epoch != self.epoch {
            self.epoch = epoch;
            // A loss can be older than the first name that is seen.
            self.since = self.began.take().unwrap_or(time);
            self.has_forgotten = false;
        }
    }

    fn lane(taking: &Taking<'_>, content: u64) -> impl std::hash::Hash {
        (taking.receiver, taking.sender, taking.sort, content)
    }

    /// A message has arrived.
    pub(crate) fn arrived(&mut self, taking: &Taking<'_>, id: EventId, time: TimeNs, lost: TimeNs) {
        if !self.is_active {
            return;
        }
        let content = self.content(taking.message);
        let waiting = Waiting {
            content,
            id,
            time,
            ..Waiting::default()
        };
        self.arrived
            .push(&Self::lane(taking, content), waiting, lost);
    }

    /// A message is taken out of a mailbox. Answers the event that tells of its sending, or `AMBIGUOUS` where one may tell of it that is not
    /// known; the root that it goes back to; and when it arrived.
    pub(crate) fn taken(
        &mut self,
        taking: &Taking<'_>,
        told: Told,
        time: TimeNs,
        lost: (TimeNs, TimeNs, TimeNs),
    ) -> (EventId, CorrelationId, Option<TimeNs>) {
        let Told { name, root } = told;
        self.begin(name.epoch, time);
        let (of_any, of_sender, of_receiver) = lost;
        let is_doubtful = self.has_forgotten || of_any >= self.since || of_sender >= self.since;
        let key = self.key(taking.sender, taking.receiver, name);
        let content = self.content(taking.message);
        let message = self.named.take(key).unwrap_or(if is_doubtful {
            Known {
                id: EventId::AMBIGUOUS,
                root: CorrelationId::AMBIGUOUS,
            }
        } else {
            Known {
                id: EventId::NONE,
                root,
            }
        });
        self.roots.put(taking.receiver.0, message.root);
        let known = Taken { content, message };
        self.taken.put(taking.receiver.0, known);
        let lane = Self::lane(taking, content);
        let lost = (of_receiver, of_receiver);
        let arrived = match self.arrived.take(&lane, content, 0, time, lost) {
            Out::One(waiting) => Some(waiting.time),
            _ => None,
        };
        (message.id, message.root, arrived)
    }

    /// A callback handles a message: the one that its process took last, if that says the same and is known.
    pub(crate) fn handled(
        &mut self,
        process: ProcessId,
        message: &[u8],
    ) -> Option<(EventId, CorrelationId)> {
        if !self.is_active {
            return None;
        }
        let content = self.content(message);
        let known = self
            .taken
            .get(process.0)
            .filter(|taken| taken.content == content)?;
        let Known { id, root } = known.message;
        (id.is_some() && id != EventId::AMBIGUOUS).then_some((id, root))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests;
