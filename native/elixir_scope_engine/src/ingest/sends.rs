//! Messages that were sent and, as far as is known, not handled yet: each with the causal root that it goes back to.
//!
//! A ring of fixed size: a message is forgotten when as many others were sent after it. Equal messages to one receiver (and,
//! of requests, from one sender) stand in one queue; a message that is handled takes the oldest out of its queue. Which of
//! several equal ones is handled cannot be told: while they differ in their roots, the answer is that there are several, and
//! so it is of all that are left behind, until the queue is empty.
//!
//! A queue is known by a hash of 64 bits, with random keys, over receiver, sender and the whole encoded message, and by the
//! message's length. That two different messages are taken for equal takes a collision in both, among the few thousand
//! that wait: less than one in 2^50 for a message, and not to be provoked.

use ahash::RandomState;

use crate::event::{CorrelationId, EventId, ProcessId, TimeNs};
use crate::site::Via;

/// A message as both sides know it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Message<'a> {
    /// How it is sent.
    pub via: Via,
    /// Who gets it; none where it goes to a name that only the host can look up.
    pub receiver: ProcessId,
    /// Who sent it. Known of requests only: nothing else names its sender.
    pub sender: ProcessId,
    /// It itself, encoded, and whole.
    pub bytes: &'a [u8],
}

impl Message<'_> {
    fn size(&self) -> u32 {
        u32::try_from(self.bytes.len()).unwrap_or(u32::MAX)
    }
}

/// Messages that wait.
#[derive(Debug)]
pub(crate) struct Sends {
    hasher: RandomState,
    ring: Box<[Sent]>,
    /// Of each hash the queues that share it: the place of the first one's first message plus one, or 0.
    buckets: Box<[u32]>,
    /// The number that the next message gets; its place follows from it.
    next: u32,
    /// Where the next sweep goes on.
    swept: u32,
    /// Of each hash, when a message of such a queue was forgotten last.
    forgotten: Box<[TimeNs]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    /// 0 where there is none.
    number: u32,
    size: u32,
    key: u64,
    receiver: ProcessId,
    root: CorrelationId,
    time: TimeNs,
    /// The event that tells of it, and who sent it.
    id: EventId,
    sender: ProcessId,
    /// Place plus one of the next message in its queue.
    next: u32,
    // The rest is of a queue as a whole, and stands in its first message.
    /// Place plus one of its last message.
    last: u32,
    /// Place plus one of the first message of the next queue in the bucket.
    beside: u32,
    /// How many messages differ from the one before in their root; [`MIXED`] once one was taken while they differed.
    changes: u32,
    /// How many differ from the one before in their sender.
    strangers: u32,
}

const MIXED: u32 = 1 << 31;
/// Queues whose losses are told apart, more or less.
const FORGOTTEN: usize = 1_024;

/// The event that tells of a message, and who sent it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told {
    pub by: EventId,
    pub sender: ProcessId,
}

/// What is known of the messages in a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Taken {
    /// What it goes back to: [`CorrelationId::AMBIGUOUS`] where there are several roots that it could be.
    pub root: CorrelationId,
    /// When the oldest and the newest of the messages that it could be were sent.
    pub oldest: TimeNs,
    pub newest: TimeNs,
    /// The event that tells of it, and who sent it: [`ProcessId::UNKNOWN`], and no event, where several have sent one.
    pub id: EventId,
    pub sender: ProcessId,
    /// When one of them may have been forgotten last.
    pub forgotten: TimeNs,
}

fn place(link: u32) -> Option<usize> {
    link.checked_sub(1).map(|place| place as usize)
}

impl Sends {
    /// Room for as many messages as fit into `budget` bytes, for some at least.
    pub(crate) fn new(budget: usize) -> Sends {
        let budget = budget.saturating_sub(FORGOTTEN * size_of::<TimeNs>());
        let fit = budget / (size_of::<Sent>() + size_of::<u32>());
        let room = fit.clamp(16, 1 << 20);
        let room = 1 << room.ilog2();
        Sends {
            hasher: RandomState::default(),
            ring: vec![Sent::default(); room].into(),
            buckets: vec![0; room].into(),
            next: 1,
            swept: 0,
            forgotten: vec![TimeNs(i64::MIN); FORGOTTEN].into(),
        }
    }

    /// Bytes allocated.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.ring) + size_of_val(&*self.buckets) + size_of_val(&*self.forgotten)
    }

    fn key(&self, message: &Message<'_>) -> u64 {
        let via = message.via as u8;
        let of = (via, message.receiver, message.sender, message.bytes);
        self.hasher.hash_one(of)
    }

    fn place_of(&self, number: u32) -> usize {
        number as usize & (self.ring.len() - 1)
    }

    fn sent(&self, link: u32) -> Option<&Sent> {
        self.ring.get(place(link)?)
    }

    fn sent_mut(&mut self, link: u32) -> Option<&mut Sent> {
        self.ring.get_mut(place(link)?)
    }

    fn bucket(&self, key: u64) -> usize {
        (key >> 32) as usize & (self.buckets.len() - 1)
    }

    /// The queue with this key: its first message, and the first one of the queue before it in the bucket.
    fn find(&self, key: u64, size: u32) -> Option<(u32, u32)> {
        let mut before = 0;
        let mut link = *self.buckets.get(self.bucket(key))?;
        while let Some(first) = self.sent(link) {
            if first.key == key && first.size == size {
                return Some((link, before));
            }
            before = link;
            link = first.beside;
        }
        None
    }

    /// Puts `link` where the queue behind `before` was.
    fn relink(&mut self, key: u64, before: u32, link: u32) {
        let bucket = self.bucket(key);
        match self.sent_mut(before) {
            Some(before) => before.beside = link,
            None => {
                if let Some(first) = self.buckets.get_mut(bucket) {
                    *first = link;
                }
            }
        }
    }

    /// A message was sent. Answers its number, and the receiver of the one that is forgotten for it.
    pub(crate) fn push(
        &mut self,
        message: &Message<'_>,
        told: Told,
        root: CorrelationId,
        time: TimeNs,
    ) -> (u32, Option<ProcessId>) {
        let number = self.next;
        // Zero is no number; what follows the greatest keeps its place in the ring.
        self.next = match number.checked_add(1) {
            Some(next) => next,
            None => self.ring.len() as u32,
        };
        let at = self.place_of(number);
        let link = at as u32 + 1;
        let forgotten = self.forget(link, time);
        let key = self.key(message);
        let size = message.size();
        let queue = self.find(key, size);
        let mut sent = Sent {
            number,
            size,
            key,
            receiver: message.receiver,
            root,
            time,
            id: told.by,
            sender: told.sender,
            last: link,
            ..Sent::default()
        };
        if let Some((first, _)) = queue {
            let last = self.sent(first).map_or(0, |first| first.last);
            let mut differs = false;
            let mut is_strange = false;
            if let Some(last) = self.sent_mut(last) {
                differs = last.root != root;
                is_strange = last.sender != told.sender;
                last.next = link;
            }
            if let Some(first) = self.sent_mut(first) {
                first.last = link;
                first.changes += u32::from(differs);
                first.strangers += u32::from(is_strange);
            }
        } else {
            let bucket = self.bucket(key);
            if let Some(first) = self.buckets.get_mut(bucket) {
                sent.beside = std::mem::replace(first, link);
            }
        }
        if let Some(free) = self.ring.get_mut(at) {
            *free = sent;
        }
        (number, forgotten)
    }

    /// Makes the place free that the next message gets: what stands there is the oldest of all, so the first of its queue.
    fn forget(&mut self, link: u32, now: TimeNs) -> Option<ProcessId> {
        let oldest = *self.sent(link).filter(|sent| sent.number != 0)?;
        let (first, before) = self.find(oldest.key, oldest.size)?;
        let is_mixed = self.sent(first).is_some_and(|first| first.changes != 0);
        self.pop(first, before, is_mixed);
        if let Some(forgotten) = self.forgotten.get_mut(oldest.key as usize % FORGOTTEN) {
            *forgotten = now;
        }
        Some(oldest.receiver)
    }

    /// Takes the first message off a queue; those behind it are mixed from now on, or not more than they were.
    fn pop(&mut self, first: u32, before: u32, mixes: bool) {
        let Some(sent) = self.sent_mut(first).map(std::mem::take) else {
            return;
        };
        let Some(next) = self.sent_mut(sent.next) else {
            self.relink(sent.key, before, sent.beside);
            return;
        };
        next.last = sent.last;
        next.beside = sent.beside;
        next.changes = sent.changes - u32::from(next.root != sent.root);
        next.strangers = sent.strangers - u32::from(next.sender != sent.sender);
        if mixes {
            next.changes |= MIXED;
        }
        self.relink(sent.key, before, sent.next);
    }

    /// What is known of a message, or of those that it could be.
    pub(crate) fn look(&self, message: &Message<'_>) -> Option<Taken> {
        let (link, _) = self.find(self.key(message), message.size())?;
        let first = self.sent(link)?;
        let is_one = first.strangers == 0 && first.changes < MIXED;
        Some(Taken {
            id: if is_one { first.id } else { EventId::NONE },
            forgotten: self
                .forgotten
                .get(first.key as usize % FORGOTTEN)
                .copied()
                .unwrap_or_default(),
            sender: if is_one {
                first.sender
            } else {
                ProcessId::UNKNOWN
            },
            root: if first.changes == 0 {
                first.root
            } else {
                CorrelationId::AMBIGUOUS
            },
            oldest: first.time,
            newest: self.sent(first.last)?.time,
        })
    }

    /// A message is handled: takes the oldest of those that it could be. `mixes` says that it could be one of another queue
    /// as well, with another root.
    pub(crate) fn take(&mut self, message: &Message<'_>, mixes: bool) {
        if let Some((first, before)) = self.find(self.key(message), message.size()) {
            let is_mixed = self.sent(first).is_some_and(|first| first.changes != 0);
            self.pop(first, before, mixes || is_mixed);
        }
    }

    /// The event that was to tell of the newest message was not stored.
    pub(crate) fn untold(&mut self, id: EventId) {
        let newest = self.place_of(self.next.wrapping_sub(1));
        if let Some(newest) = self.ring.get_mut(newest)
            && newest.id == id
        {
            newest.id = EventId::NONE;
        }
    }

    /// A message was handled that could be one of this queue, or of another one with another root.
    pub(crate) fn mix(&mut self, message: &Message<'_>) {
        if let Some((first, _)) = self.find(self.key(message), message.size())
            && let Some(first) = self.sent_mut(first)
        {
            first.changes |= MIXED;
        }
    }

    /// The sender of the request `number` goes on at `now`. If it had waited for a moment only, it got its answer and did not
    /// lose its patience: then all that it had sent of this kind is handled, whether that was recorded or not.
    pub(crate) fn answered(&mut self, number: u32, now: TimeNs) {
        /// No one gives up sooner.
        const PATIENCE_NS: i64 = 10_000_000;
        let at = self.place_of(number);
        let Some(&sent) = self.ring.get(at).filter(|sent| sent.number == number) else {
            return;
        };
        if now.0.saturating_sub(sent.time.0) < PATIENCE_NS {
            self.remove_queue(sent.key, sent.size);
        }
    }

    /// The request `number` has been answered, so it is handled, whether that was recorded or not.
    pub(crate) fn remove(&mut self, number: u32) {
        let at = self.place_of(number);
        let Some(&sent) = self.ring.get(at).filter(|sent| sent.number == number) else {
            return;
        };
        // What stands in front of it in its queue may be on its way.
        if let Some((first, before)) = self.find(sent.key, sent.size)
            && place(first) == Some(at)
        {
            self.pop(first, before, false);
        }
    }

    fn remove_queue(&mut self, key: u64, size: u32) {
        let Some((first, before)) = self.find(key, size) else {
            return;
        };
        let beside = self.sent(first).map_or(0, |first| first.beside);
        self.relink(key, before, beside);
        let mut link = first;
        while let Some(sent) = self.sent_mut(link) {
            link = std::mem::take(sent).next;
        }
    }

    /// So many are looked at in one sweep.
    const SWEPT: usize = 256;

    /// The receivers that the next sweep will ask for.
    pub(crate) fn swept_next(&self) -> impl Iterator<Item = ProcessId> {
        (1..=Self::SWEPT.min(self.ring.len())).filter_map(|ahead| {
            let at = self.place_of(self.swept.wrapping_add(ahead as _));
            let sent = self.ring.get(at).filter(|sent| sent.number != 0)?;
            sent.receiver.some()
        })
    }

    /// Looks at some of the messages, each time at others: those to dead processes go.
    pub(crate) fn sweep(&mut self, is_alive: &mut dyn FnMut(ProcessId) -> bool) {
        for _ in 0..Self::SWEPT.min(self.ring.len()) {
            self.swept = self.swept.wrapping_add(1);
            let at = self.place_of(self.swept);
            if let Some(&sent) = self.ring.get(at)
                && sent.number != 0
                && sent.receiver.is_some()
                && !is_alive(sent.receiver)
            {
                self.remove_queue(sent.key, sent.size);
            }
        }
    }

    /// How many messages wait.
    pub(crate) fn len(&self) -> usize {
        self.ring.iter().filter(|sent| sent.number != 0).count()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests;
