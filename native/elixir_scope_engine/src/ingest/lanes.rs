//! Lines of messages that wait, each in the order in which they will come out: what one process sent to another and has not
//! arrived, or what has arrived at a process and was not handled yet.
//!
//! What comes out is looked for by its content, and by its reference where both sides know one. What stands in front of it came
//! out unseen. So equal messages are told apart by their order, as long as nothing else is in the line than is known.
//!
//! Three things blur that. A message that there is no room for is counted by its line: so many come out before those that are
//! left. When a record of what went in may be lost, anything may be in the line for a while: then a reference alone is trusted. And
//! when one of what came out may be, it is not known how many of several equal ones are gone: a content that is there once sets
//! the line right again. Whether a record of a process is lost is told by the number of its next one: so a message that is lost, and
//! comes out before that, can be taken for an equal one in a line that is not right yet.

mod room;

use std::hash::Hash;

use ahash::RandomState;

use crate::event::{CorrelationId, EventId, TimeNs};

/// A message that waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Waiting {
    /// A hash of what it says.
    pub content: u64,
    /// A hash of the reference that it carries, or 0.
    pub reference: u64,
    /// The event that tells of it.
    pub id: EventId,
    /// The causal root that it goes back to.
    pub root: CorrelationId,
    /// When it came into the line.
    pub time: TimeNs,
}

/// What came out of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Out {
    /// This one.
    One(Waiting),
    /// One of those that are known, or one that was known once.
    Several,
    /// None that is known.
    Unknown,
}

const NEVER: TimeNs = TimeNs(i64::MIN);

/// No message waits for longer.
const WAIT_NS: i64 = 60_000_000_000;
/// So far one looks into a line.
const REACH: usize = 64;
/// Lines that are remembered after their last message had to go.
const GONE: usize = 1_024;
/// Places that are looked at for a line that nothing comes out of.
const TRIED: usize = 4;

/// Lines of messages, within a budget.
#[derive(Debug)]
pub(crate) struct Lanes {
    hasher: RandomState,
    budget: usize,
    places: Box<[Place]>,
    /// Of each hash the lines that share it: the place of the first one's first message plus one, or 0.
    buckets: Box<[u32]>,
    /// Of each hash, until when a line may hold what had to go.
    gone: Box<[TimeNs]>,
    /// Place plus one of the first free one.
    free: u32,
    hand: usize,
    waiting: usize,
    /// When it was last unknown what goes into any line.
    doubt: TimeNs,
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    message: Waiting,
    key: u64,
    /// Place plus one of the next message in its line; of a free one, of the next free one.
    next: u32,
    is_used: bool,
    // The rest is of a line as a whole, and stands in its first message.
    /// Whether something came out of it.
    is_live: bool,
    /// Whether it is not known which of several equal ones are left.
    is_blurred: bool,
    last: u32,
    /// Place plus one of the first message of the next line in the bucket.
    beside: u32,
    /// So many of those in front of the first had to go.
    forgotten: u32,
    /// How many wait in it.
    count: u32,
    /// Until then anything may be in it.
    unsure_until: TimeNs,
    /// The losses that it takes into account: of what went in, and of what came out.
    in_lost: TimeNs,
    out_lost: TimeNs,
}

/// When all that came into a line until `time` has come out of it.
pub(super) fn after(time: TimeNs) -> TimeNs {
    TimeNs(time.0.saturating_add(WAIT_NS))
}

fn index(link: u32) -> Option<usize> {
    link.checked_sub(1).map(|place| place as usize)
}

impl Lanes {
    /// Room for as many messages as fit into `budget` bytes; it is allocated when the first one comes.
    pub(crate) fn new(budget: usize) -> Lanes {
        Lanes {
            hasher: RandomState::default(),
            budget,
            places: Box::default(),
            buckets: Box::default(),
            gone: Box::default(),
            free: 0,
            hand: 0,
            waiting: 0,
            doubt: NEVER,
        }
    }

    /// Bytes allocated.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.places) + size_of_val(&*self.buckets) + size_of_val(&*self.gone)
    }

    /// How many messages wait.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.waiting
    }

    /// Up to now, messages may have come into any line that nobody told of.
    pub(crate) fn doubt(&mut self, now: TimeNs) {
        self.doubt = self.doubt.max(now);
    }

    /// The hash of what a message says.
    pub(crate) fn content(&self, content: &impl Hash) -> u64 {
        self.hasher.hash_one(content)
    }

    /// Takes losses into account: of what went in, and of what came out.
    fn refresh(&mut self, first: u32, in_lost: TimeNs, out_lost: TimeNs) {
        let in_lost = in_lost.max(self.doubt);
        let Some(first) = self.at_mut(first) else {
            return;
        };
        if in_lost > first.in_lost {
            first.in_lost = in_lost;
            first.is_blurred = true;
            first.unsure_until = first.unsure_until.max(after(in_lost));
        }
        if out_lost > first.out_lost {
            first.out_lost = out_lost;
            first.is_blurred = true;
            // Those that had to go may have come out, or not.
            if first.forgotten > 0 {
                first.unsure_until = first.unsure_until.max(after(out_lost));
            }
        }
    }

    /// A message comes into a line. Of what came in before it, something may have been lost up to `lost`.
    pub(crate) fn push(&mut self, lane: &impl Hash, message: Waiting, lost: TimeNs) {
        if self.places.is_empty() {
            self.allocate();
        }
        let now = message.time;
        let key = self.key(lane);
        if self.free == 0 {
            self.make_room(now);
        }
        if let Some((first, before)) = self.find(key)
            && self
                .at(first)
                .is_some_and(|first| first.is_blurred && first.count as usize >= REACH)
        {
            self.forget(first, before, now);
        }
        let link = self.free;
        let Some(free) = self.at(link).map(|place| place.next) else {
            return;
        };
        self.free = free;
        self.waiting += 1;
        let mut place = Place {
            message,
            key,
            is_used: true,
            last: link,
            count: 1,
            in_lost: lost.max(self.doubt),
            out_lost: now,
            ..Place::default()
        };
        if let Some((first, _)) = self.find(key) {
            self.refresh(first, lost, NEVER);
            let last = self.at(first).map_or(0, |first| first.last);
            if let Some(last) = self.at_mut(last) {
                last.next = link;
            }
            if let Some(first) = self.at_mut(first) {
                first.last = link;
                first.count += 1;
            }
        } else {
            let gone = self.gone_mut(key).map_or(NEVER, |gone| *gone);
            place.unsure_until = after(place.in_lost).max(gone);
            place.is_blurred = place.unsure_until > now;
            let bucket = self.bucket(key);
            if let Some(first) = self.buckets.get_mut(bucket) {
                place.beside = std::mem::replace(first, link);
            }
        }
        if let Some(at) = self.at_mut(link) {
            *at = place;
        }
    }

    /// Of a line of which it is not known what is left, what waits for too long goes: it has come out.
    fn drop_stale(&mut self, key: u64, now: TimeNs) {
        while let Some((first, before)) = self.find(key)
            && let Some(place) = self.at(first)
            && place.is_blurred
            && after(place.message.time) < now
            && self.pop(first, before)
        {}
    }

    /// Places of messages with this content, the first two of them, and whether the whole line was looked at.
    fn matching(&self, first: u32, content: u64, reference: u64) -> (u32, bool, bool) {
        let mut found = 0;
        let mut is_more = false;
        let mut link = first;
        for _ in 0..REACH {
            let Some(place) = self.at(link) else {
                break;
            };
            let message = &place.message;
            let is_other =
                message.reference != reference && message.reference != 0 && reference != 0;
            if message.content == content && !is_other {
                if found == 0 {
                    found = link;
                } else {
                    is_more = true;
                    break;
                }
            }
            link = place.next;
        }
        (found, is_more, link == 0)
    }

    /// A message comes out of a line. Of what came in and out before, something may have been lost up to the times of `lost`.
    pub(crate) fn take(
        &mut self,
        lane: &impl Hash,
        content: u64,
        reference: u64,
        now: TimeNs,
        lost: (TimeNs, TimeNs),
    ) -> Out {
        let key = self.key(lane);
        let Some((first, _)) = self.find(key) else {
            return Out::Unknown;
        };
        self.refresh(first, lost.0, lost.1);
        self.drop_stale(key, now);
        let Some((first, _)) = self.find(key) else {
            return Out::Unknown;
        };
        let (found, is_more, is_all) = self.matching(first, content, reference);
        let Some(place) = self.at_mut(first) else {
            return Out::Unknown;
        };
        place.is_live = true;
        let head = *place;
        let message = self.at(found).map(|place| place.message);
        if let Some(message) = message
            && reference != 0
            && message.reference == reference
        {
            // There is no other with it. What came into the line behind it is all there.
            let is_clear = message.time >= head.in_lost;
            self.take_up_to(key, found, is_clear);
            return Out::One(message);
        }
        if now < head.unsure_until {
            return match message {
                Some(_) => Out::Several,
                None => Out::Unknown,
            };
        }
        if head.is_blurred {
            let Some(message) = message else {
                return Out::Unknown;
            };
            if is_more || !is_all {
                return Out::Several;
            }
            self.take_up_to(key, found, true);
            return Out::One(message);
        }
        if head.forgotten > 0 {
            if let Some(place) = self.at_mut(first) {
                place.forgotten -= 1;
            }
            return Out::Several;
        }
        match message {
            Some(message) => {
                self.take_up_to(key, found, false);
                Out::One(message)
            }
            None => Out::Unknown,
        }
    }

    /// Takes a message off a line, and all in front of it. Now it is known again what the line holds, if `clears`.
    fn take_up_to(&mut self, key: u64, last: u32, clears: bool) {
        while let Some((first, before)) = self.find(key) {
            if let Some(place) = self.at_mut(first) {
                // They were in front of these.
                place.forgotten = 0;
                if clears {
                    place.is_blurred = false;
                    place.unsure_until = NEVER;
                }
            }
            self.pop(first, before);
            if first == last {
                return;
            }
        }
    }

    /// A message comes out of a line whose messages come out in no order: the only one with this content.
    pub(crate) fn take_only(&mut self, lane: &impl Hash, content: u64, reference: u64) -> Out {
        let Some((first, before)) = self.find(self.key(lane)) else {
            return Out::Unknown;
        };
        self.refresh(first, NEVER, NEVER);
        let (found, is_more, is_all) = self.matching(first, content, reference);
        let head = self.at(first).copied().unwrap_or_default();
        let Some(message) = self.at(found).map(|place| place.message) else {
            return Out::Unknown;
        };
        let is_named = reference != 0 && message.reference == reference;
        let is_sure = !is_more && is_all && !head.is_blurred && head.forgotten == 0;
        if !is_named && !is_sure {
            return Out::Several;
        }
        self.unlink(first, before, found);
        Out::One(message)
    }

    /// The event that was to tell of the newest message was not stored.
    pub(crate) fn untold(&mut self, lane: &impl Hash, id: EventId) {
        let last = self
            .find(self.key(lane))
            .and_then(|(first, _)| self.at(first))
            .map_or(0, |first| first.last);
        if let Some(last) = self.at_mut(last)
            && last.message.id == id
        {
            last.message.id = EventId::NONE;
        }
    }

    /// Nothing is known to come out of any line any more.
    pub(crate) fn silence(&mut self) {
        self.places
            .iter_mut()
            .for_each(|place| place.is_live = false);
    }

    /// Forgets the lines that nothing came out of.
    pub(crate) fn drop_silent(&mut self) {
        for place in 0..self.places.len() {
            while let Some(key) = self.places.get(place).filter(|p| p.is_used).map(|p| p.key)
                && let Some((first, before)) = self.find(key)
                && self.at(first).is_some_and(|first| !first.is_live)
            {
                self.pop(first, before);
            }
        }
    }

    /// From now on it is seen what comes out of a line, and was not before.
    pub(crate) fn restart(&mut self, lane: &impl Hash, now: TimeNs) {
        if let Some((first, _)) = self.find(self.key(lane))
            && let Some(first) = self.at_mut(first)
        {
            first.is_blurred = true;
            if first.forgotten > 0 {
                first.unsure_until = after(now);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests;
