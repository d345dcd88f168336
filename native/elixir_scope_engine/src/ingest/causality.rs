//! Which causal root an outermost call really goes back to: that of the message that it handles, or that of the call in which
//! its process was spawned.

mod read;

use super::Stacks;
use read::has_reference;
pub(super) use read::process;

use super::flows::{self, Flows, Ties};
use super::lanes::{Out, after};
use super::newcomers::Newcomers;
pub(super) use super::sends::Message;
use super::sends::{Sends, Taken, Told};
use super::stacks::{Nesting, Origin};
use super::tokens::{Stamp, Tokens};
use crate::event::{CorrelationId, EventId, EventKind, ProcessId, Symbols, TimeNs};
use crate::record::RecordHead;
use crate::site::{SiteTable, Via};
use crate::store::Appender;

/// The messages on their way, and the processes that nobody told the birth of.
#[derive(Debug)]
pub(crate) struct Causality {
    sites: &'static SiteTable,
    symbols: Symbols,
    sends: Sends,
    newcomers: Newcomers,
    flows: Flows,
    tokens: Tokens,
}

/// What an entry tells of the message that its call handles.
enum Handled<'a> {
    /// This one, and whether nothing of it is missing.
    Message(Message<'a>, bool),
    /// One that was not recorded.
    Unknown,
    /// None.
    Nothing,
}

impl Causality {
    /// Half of `budget` bytes is for messages that may be handled, half of the rest for where messages are, what is left for processes
    /// and for tokens.
    pub(crate) fn new(budget: usize, sites: &'static SiteTable, symbols: Symbols) -> Causality {
        Causality {
            sites,
            symbols,
            sends: Sends::new(budget / 2),
            newcomers: Newcomers::new(budget / 8),
            flows: Flows::new(budget / 4, symbols),
            tokens: Tokens::new(budget / 8),
        }
    }

    /// Bytes allocated.
    pub(crate) fn bytes(&self) -> usize {
        self.sends.bytes() + self.newcomers.bytes() + self.flows.bytes() + self.tokens.bytes()
    }

    /// How many messages wait to be handled.
    pub(crate) fn waiting(&self) -> usize {
        self.sends.len()
    }

    /// The processes that the next sweep will ask for.
    pub(crate) fn swept_next(&self) -> impl Iterator<Item = ProcessId> {
        self.sends.swept_next()
    }

    /// Forgets what dead processes will not handle, some at a time.
    pub(crate) fn sweep(&mut self, is_alive: &mut dyn FnMut(ProcessId) -> bool) {
        self.sends.sweep(is_alive);
    }

    /// The sender of a request goes on.
    #[cold]
    pub(crate) fn answered(&mut self, request: u32, now: TimeNs) {
        self.sends.answered(request, now);
    }

    /// A record that tells of other processes, or begins an outermost call: finds its root, or what goes back to it, and what ties
    /// it to others. Answers the part of the payload that is stored; what stands behind it is appended to `more`.
    #[inline]
    #[allow(clippy::too_many_arguments, reason = "the record, and what is known")]
    pub(crate) fn follow<'a>(
        &mut self,
        head: &RecordHead,
        payload: &'a [u8],
        time: TimeNs,
        place: &mut Nesting,
        ties: &mut Ties,
        stacks: &mut Stacks,
        store: &mut Appender<'_>,
        more: &mut Vec<u8>,
    ) -> &'a [u8] {
        let id = store.next_id();
        match head.kind {
            EventKind::FunctionEntry | EventKind::SpanStart
                if head.depth == 0 && !place.chain.is_some() =>
            {
                ties.message = self.begin(head, payload, time, place, stacks);
            }
            EventKind::MessageSend => {
                let carried = flows::carried(payload);
                if let Some(carried) = carried {
                    place.root = self.tokens.root(carried, head.process, place.root);
                    self.tokens.sent(head, id, place.root);
                }
                let told = Told {
                    by: id,
                    sender: head.process,
                };
                let request = self.sent(told, payload, time, place.root, stacks);
                let told = flows::Told {
                    id,
                    request,
                    root: place.root,
                };
                let (peer, answered) = self.flows.sent(head, payload, time, told, stacks);
                ties.peer = peer;
                if answered != 0 {
                    self.sends.remove(answered);
                }
            }
            EventKind::MessageReceive => {
                let Causality {
                    flows,
                    sends,
                    tokens,
                    ..
                } = self;
                let known = flows::Around {
                    time,
                    id,
                    sends,
                    tokens,
                };
                let (found, fields) = flows.received(head, payload, known, stacks, more);
                *ties = found;
                return fields;
            }
            EventKind::MessageTaken => {
                let Causality { flows, tokens, .. } = self;
                let (found, root, fields) = flows.taken(head, payload, time, tokens, stacks, more);
                *ties = found;
                place.root = root;
                return fields;
            }
            EventKind::ProcessSpawn => {
                if let Some(child) = process(payload) {
                    ties.peer = child;
                    self.flows.spawned(child, time);
                }
                self.spawned(head.process, payload, time, place.root, stacks, store);
            }
            EventKind::ProcessExit => ties.lifetime_ns = self.flows.exited(head.process, time),
            EventKind::TraceControl => self.flows.traced(payload),
            _ => {}
        }
        payload
    }

    /// The event that [`Causality::follow`] took for `id` was not stored.
    #[cold]
    pub(crate) fn untold(&mut self, process: ProcessId, peer: ProcessId, id: EventId) {
        self.sends.untold(id);
        self.flows.untold(process, peer, id);
        self.tokens.untold(process, id);
    }

    /// From now on the host may name messages.
    #[cold]
    pub(crate) fn names_messages(&mut self, time: TimeNs) {
        self.tokens.begins(time);
    }

    /// The record behind a send, which names the message.
    #[cold]
    pub(crate) fn stamped(&mut self, head: &RecordHead, stamp: &Stamp, time: TimeNs) {
        self.tokens.stamped(head, stamp, time);
    }

    /// Up to now, messages may have been sent that nobody told of.
    pub(crate) fn gap(&mut self, now: TimeNs) {
        self.flows.gap(now);
    }

    /// An outermost call. Answers the message that it handles.
    fn begin(
        &mut self,
        head: &RecordHead,
        payload: &[u8],
        time: TimeNs,
        place: &mut Nesting,
        stacks: &mut Stacks,
    ) -> EventId {
        let def = match head.kind {
            EventKind::FunctionEntry => self.sites.get(head.site),
            _ => None,
        };
        let is_callback = def.is_some_and(|def| def.behaviour.is_some());
        // What a behaviour's loop calls outside of its callbacks, once its birth was told, goes back to a message that nobody
        // recorded: a supervisor that restarts a child has seen an exit. Until then it belongs to the birth, which is told when
        // the process has started: a supervisor starts its first children.
        if place.serves && !is_callback && matches!(place.origin, Origin::Spawned(_)) {
            place.origin = Origin::Past;
        }
        if is_callback && !place.serves {
            self.flows.serves(head.process, time);
        }
        place.serves |= is_callback;
        let handled = def
            .and_then(|def| def.receives)
            .map_or(Handled::Nothing, |receives| {
                self.handled(receives, head.process, payload)
            });
        match handled {
            Handled::Message(message, is_whole) => {
                place.origin = Origin::Past;
                // What was cut may be equal to what is not.
                let taken = if is_whole {
                    self.taken(&message, time, stacks)
                } else {
                    None
                };
                let lost = stacks.gap_of(head.process);
                let arrived = self.flows.handled(&message, time, lost);
                if let Some((root, _)) = taken
                    && root.is_some()
                {
                    place.root = root;
                }
                // The host knows better.
                if let Some((id, root)) = self.tokens.handled(head.process, message.bytes) {
                    place.root = root.some().unwrap_or(place.root);
                    return id;
                }
                match arrived {
                    Out::One(arrived) => {
                        if arrived.root.is_some() {
                            place.root = arrived.root;
                        }
                        arrived.id
                    }
                    Out::Several => EventId::NONE,
                    Out::Unknown => taken.map_or(EventId::NONE, |(_, id)| id),
                }
            }
            // From somewhere else.
            Handled::Unknown => {
                place.origin = Origin::Past;
                EventId::NONE
            }
            Handled::Nothing => {
                self.go_on(head, time, place, stacks);
                EventId::NONE
            }
        }
    }

    /// The root of a message, where it is known who may have sent it; and the event that tells of it, where that is sure.
    fn taken(
        &mut self,
        message: &Message<'_>,
        now: TimeNs,
        stacks: &mut Stacks,
    ) -> Option<(CorrelationId, EventId)> {
        // It may have been sent to a name that the receiver has.
        let by_name = Message {
            receiver: ProcessId::NONE,
            ..*message
        };
        let taken = match (self.sends.look(message), self.sends.look(&by_name)) {
            (Some(taken), None) => {
                self.sends.take(message, false);
                taken
            }
            (None, Some(taken)) => {
                self.sends.take(&by_name, false);
                taken
            }
            (Some(one), Some(other)) => {
                let differ = one.root != other.root;
                self.sends.take(message, differ);
                if differ {
                    self.sends.mix(&by_name);
                }
                Taken {
                    root: if differ {
                        CorrelationId::AMBIGUOUS
                    } else {
                        one.root
                    },
                    oldest: one.oldest.min(other.oldest),
                    newest: one.newest.max(other.newest),
                    id: EventId::NONE,
                    sender: ProcessId::UNKNOWN,
                    forgotten: one.forgotten.max(other.forgotten),
                }
            }
            (None, None) => return None,
        };
        let is_sure = match message.via {
            // Its sender waits, so that the newest is the one, if no other record of that process is missing since.
            Via::Request => taken.newest > stacks.gap_until(),
            Via::Notice | Via::Plain => !stacks.may_be_unknown(message.receiver, taken.oldest, now),
        };
        if is_sure {
            // An equal one before it may have been sent, or handled, by a record that is missing.
            let is_first = taken.oldest > stacks.gap_of(message.receiver)
                && now > after(stacks.gap_of(taken.sender))
                && now > after(taken.forgotten);
            let id = if is_first { taken.id } else { EventId::NONE };
            Some((taken.root, id))
        } else {
            Some((CorrelationId::AMBIGUOUS, EventId::NONE))
        }
    }

    /// A call of a process that handles no message.
    fn go_on(&mut self, head: &RecordHead, time: TimeNs, place: &mut Nesting, stacks: &Stacks) {
        match place.origin {
            Origin::Spawned(root) if stacks.is_sure_of_origin(head.process) => place.root = root,
            // It may have handled a message that was lost.
            Origin::Spawned(_) => place.origin = Origin::Past,
            Origin::Unknown => {
                if !self.newcomers.note(head.process, head.correlation, time) {
                    place.origin = Origin::Past;
                }
            }
            Origin::Past => {}
        }
    }

    /// A message was sent. Answers the number of a request.
    fn sent(
        &mut self,
        told: Told,
        payload: &[u8],
        time: TimeNs,
        root: CorrelationId,
        stacks: &mut Stacks,
    ) -> u32 {
        let Some((receiver, bytes, via)) = self.message(payload) else {
            return 0;
        };
        let is_request = via == Via::Request;
        let message = Message {
            via,
            receiver,
            sender: if is_request {
                told.sender
            } else {
                ProcessId::NONE
            },
            bytes,
        };
        let (number, forgotten) = self.sends.push(&message, told, root, time);
        if is_request && !has_reference(payload) {
            stacks.waits(told.sender, number);
        }
        if let Some(receiver) = forgotten {
            stacks.forgot(receiver, time);
        }
        if is_request { number } else { 0 }
    }

    /// A process was spawned.
    fn spawned(
        &mut self,
        parent: ProcessId,
        payload: &[u8],
        time: TimeNs,
        root: CorrelationId,
        stacks: &mut Stacks,
        store: &mut Appender<'_>,
    ) {
        /// A birth is told no later than this.
        const TOLD_WITHIN_NS: i64 = 1_000_000_000;
        let Some(child) = process(payload).filter(|child| *child != parent) else {
            return;
        };
        // It was born within its parent's call; if that is not known, not long ago.
        let born = stacks.began(parent);
        let earliest = born.unwrap_or(TimeNs(time.0.saturating_sub(TOLD_WITHIN_NS)));
        // A message that it handled since, or has yet to handle, may be among what was lost.
        if stacks.doubt_until() >= earliest {
            stacks.spawned(child, CorrelationId::NONE, None);
            stacks.may_have_got_all_lost(child);
            return;
        }
        // Its first calls may have been recorded before this: they go back to the same root.
        let newcomer = self.newcomers.get(child);
        let newcomer = newcomer.filter(|child| child.since >= earliest);
        if let Some(newcomer) = &newcomer {
            for own in newcomer.roots() {
                store.alias(own, root);
            }
        }
        stacks.spawned(child, root, newcomer.as_ref());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests;
