//! From the rings to the store: time, nesting, losses, subscriptions.

mod causality;
pub(crate) mod chain;
pub(crate) mod encode;
mod flows;
mod lanes;
mod newcomers;
mod preceding;
mod recent;
mod sends;
mod stacks;
mod tokens;

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::clock::Clock;
use crate::event::{CorrelationId, EventId, EventKind, ProcessId, SiteId, Symbol, Symbols, TimeNs};
use crate::process::ProcessSlots;
use crate::record::{Preceding, RecordHead};
use crate::recorder::Gap;
use crate::ring::{DrainItem, LossReport};
use crate::site::SiteTable;
use crate::store::{Appender, Call, EventHead, Loss, NewEvent, Refused};
use crate::timeline::{Asked, StatePart, Timelines};
use crate::value::split_first;
use causality::Causality;
use chain::Link;
use encode::{put_atom, put_int};
use flows::Ties;
pub(crate) use flows::carried;
use preceding::Parts;
use stacks::{Nesting, Stacks, is_exit};
pub(crate) use tokens::Carried;
use tokens::Stamp;

/// Takes what the rings hand out, one by one, and appends it to the store.
#[derive(Debug)]
pub(crate) struct Ingest {
    clock: Arc<Clock>,
    symbols: Symbols,
    stacks: Stacks,
    causality: Causality,
    timelines: Arc<RwLock<Timelines>>,
    sites: &'static SiteTable,
    /// How the payload of a tail call begins.
    tail_call: Vec<u8>,
    newest: TimeNs,
    /// What the store refused and no event tells of yet.
    refused: Vec<Loss>,
    stored: u64,
    refused_full: u64,
    refused_too_big: u64,
    scratch: Vec<u8>,
    /// The payload of a callback's reply that came with the callback's end.
    reply: Vec<u8>,
}

/// Is shown each event that was stored, with its payload in two parts.
pub(crate) trait Watcher {
    /// An event was stored.
    fn stored(&mut self, head: &EventHead, payload: &[u8], more: &[u8]);
}

/// Figures of ingest.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct IngestStats {
    /// Events stored, those that tell of losses among them.
    pub stored: u64,
    /// Records that the store had no room for.
    pub refused_full: u64,
    /// Records that were too big for the store.
    pub refused_too_big: u64,
    /// Processes whose open calls are kept.
    pub stacks: usize,
    /// Bytes of these, and of what is kept to find causal roots.
    pub stack_bytes: usize,
    /// Messages that were sent and not handled yet, as far as is known.
    pub messages: usize,
}

impl Ingest {
    /// Open calls take two thirds of `budget` bytes at most, what is kept to find causal roots the rest.
    pub(crate) fn new(
        clock: Arc<Clock>,
        symbols: Symbols,
        sites: &'static SiteTable,
        timelines: Arc<RwLock<Timelines>>,
        budget: usize,
    ) -> Ingest {
        let mut tail_call = Vec::new();
        put_atom(&mut tail_call, symbols.id(Symbol::TailCall));
        Ingest {
            clock,
            symbols,
            stacks: Stacks::new(budget / 3 * 2, sites),
            causality: Causality::new(budget / 3, sites, symbols),
            timelines,
            sites,
            tail_call,
            newest: TimeNs(i64::MIN),
            refused: Vec::new(),
            stored: 0,
            refused_full: 0,
            refused_too_big: 0,
            scratch: Vec::with_capacity(64),
            reply: Vec::new(),
        }
    }

    /// Takes one item; items come in the order of ticks.
    #[inline]
    pub(crate) fn take(
        &mut self,
        item: &DrainItem<'_>,
        store: &mut Appender<'_>,
        watcher: Option<&mut dyn Watcher>,
    ) {
        match item {
            DrainItem::Record { head, payload, .. } => self.record(head, payload, store, watcher),
            DrainItem::Loss(report) => self.loss(report, store, watcher),
        }
    }

    fn record(
        &mut self,
        head: &RecordHead,
        payload: &[u8],
        store: &mut Appender<'_>,
        mut watcher: Option<&mut dyn Watcher>,
    ) {
        if head.preceding == Preceding::NOTHING {
            let (payload, state) = match head.kind {
                EventKind::StateChange => split_first(payload).unwrap_or((payload, &[])),
                _ => (payload, &[][..]),
            };
            return self.event(head, payload, state, store, watcher);
        }
        let parts = Parts::read(head, payload);
        if let Some((trigger, state)) = parts.state {
            let head = parts.head_of(head, EventKind::StateChange);
            self.event(&head, trigger, state, store, again(&mut watcher));
        }
        if let Some(reply) = &parts.reply {
            let mut payload = std::mem::take(&mut self.reply);
            payload.clear();
            let callback = self.sites.get(head.site).and_then(|site| site.function);
            reply.encode(callback, &self.symbols, &mut payload);
            let head = parts.head_of(head, EventKind::CallbackReply);
            self.event(&head, &payload, &[], store, again(&mut watcher));
            self.reply = payload;
        }
        self.event(head, parts.end, &[], store, watcher);
    }

    /// One event; `state` is what it says of the state of its process.
    fn event(
        &mut self,
        head: &RecordHead,
        payload: &[u8],
        state: &[u8],
        store: &mut Appender<'_>,
        watcher: Option<&mut dyn Watcher>,
    ) {
        let time = self.clock.convert(head.ticks).max(self.newest);
        if head.kind == EventKind::MessageTaken && !head.process.is_some() {
            return self.causality.names_messages(time);
        }
        if head.kind == EventKind::MessageTaken
            && let Some(stamp) = Stamp::read(payload)
        {
            self.stacks.count(head, time);
            return self.causality.stamped(head, &stamp, time);
        }
        let is_tail = head.kind == EventKind::FunctionExit && payload.starts_with(&self.tail_call);
        let mut place = self.stacks.nest(head, time, is_tail);
        if place.answered != 0 {
            self.causality.answered(place.answered, time);
        }
        let mut ties = Ties::default();
        self.scratch.clear();
        let Ingest {
            causality,
            stacks,
            scratch,
            ..
        } = self;
        let payload = causality.follow(
            head, payload, time, &mut place, &mut ties, stacks, store, scratch,
        );
        self.add_fields(head.kind, &place, &ties, is_tail);
        let event = NewEvent {
            kind: head.kind,
            time,
            process: head.process,
            site: head.site,
            call: place.call,
            parent: place.parent,
            correlation: place.root,
            peer: ties.peer,
            message: ties.message,
            payload,
            more: &self.scratch,
        };
        match store.append(&event) {
            Ok(id) => {
                self.newest = time;
                self.stored += 1;
                self.stacks.enter(head, time, id, &place);
                if !state.is_empty() {
                    self.state(head, id, time, state, store);
                }
                if let Some(watcher) = watcher {
                    watcher.stored(&event_head(&event, id), event.payload, event.more);
                }
                if !self.refused.is_empty() {
                    self.tell_refused(store);
                }
            }
            Err(refused) => {
                if ties.peer.is_some() {
                    self.causality
                        .untold(head.process, ties.peer, store.next_id());
                }
                self.refuse(refused, time);
            }
        }
    }

    /// What the event `id` says of the state of its process.
    fn state(
        &self,
        head: &RecordHead,
        id: EventId,
        time: TimeNs,
        part: &[u8],
        store: &mut Appender<'_>,
    ) {
        let (Some(part), Some(site)) = (StatePart::read(part), self.sites.get(head.site)) else {
            return;
        };
        let mut room = |bytes| store.make_room(bytes);
        let mut timelines = self.timelines.write();
        let asked = timelines.change(head.process, site.module, id, time, &part, &mut room);
        drop(timelines);
        if asked == Asked::Keyframe
            && let Some(slot) = ProcessSlots::shared().find(head.process)
        {
            slot.want_keyframe();
        }
    }

    /// What is known only here: the duration of a call, what joins the links of a chain of tail calls, and the life of a process.
    fn add_fields(&mut self, kind: EventKind, place: &Nesting, ties: &Ties, is_tail: bool) {
        if kind == EventKind::ProcessExit {
            match ties.lifetime_ns {
                Some(lifetime) => put_int(&mut self.scratch, lifetime),
                None => put_atom(&mut self.scratch, self.symbols.id(Symbol::Nil)),
            }
        }
        if is_exit(kind) {
            match place.duration_ns {
                // That of the chain comes with its end.
                Some(duration) if !is_tail => put_int(&mut self.scratch, duration),
                _ => put_atom(&mut self.scratch, self.symbols.id(Symbol::Nil)),
            }
        }
        if kind == EventKind::ProcessExit {
            put_atom(&mut self.scratch, self.symbols.id(Symbol::Nil));
        }
        if is_tail || place.chain.is_some() {
            let link = Link {
                since_entry: place.duration_ns.filter(|_| is_tail),
                chain: place.chain,
            };
            link.encode(&mut self.scratch);
        }
    }

    fn loss(
        &mut self,
        report: &LossReport,
        store: &mut Appender<'_>,
        watcher: Option<&mut dyn Watcher>,
    ) {
        let until = self.clock.convert(report.until);
        self.stacks.doubt(until, report.count);
        let loss = Loss {
            id: EventId::NONE,
            from: self.clock.convert(report.from),
            until,
            count: report.count,
            cause: self.symbols.id(report.cause),
            writer: report.writer,
        };
        if self.append_loss(&loss, store, watcher).is_err() {
            self.add_refused(loss);
        }
    }

    fn append_loss(
        &mut self,
        loss: &Loss,
        store: &mut Appender<'_>,
        watcher: Option<&mut dyn Watcher>,
    ) -> Result<(), Refused> {
        self.scratch.clear();
        loss.encode(&mut self.scratch);
        let event = NewEvent {
            kind: EventKind::DataLoss,
            time: loss.until.max(self.newest),
            process: ProcessId::NONE,
            site: SiteId::NONE,
            call: Call::None,
            parent: EventId::NONE,
            correlation: CorrelationId::NONE,
            peer: ProcessId::NONE,
            message: EventId::NONE,
            payload: &self.scratch,
            more: &[],
        };
        let id = store.append(&event)?;
        self.newest = event.time;
        self.stored += 1;
        if let Some(watcher) = watcher {
            watcher.stored(&event_head(&event, id), event.payload, event.more);
        }
        Ok(())
    }

    #[cold]
    fn refuse(&mut self, refused: Refused, time: TimeNs) {
        let cause = match refused {
            Refused::Full => {
                self.refused_full += 1;
                Symbol::StoreFull
            }
            Refused::TooBig => {
                self.refused_too_big += 1;
                Symbol::TooBig
            }
        };
        let cause = self.symbols.id(cause);
        // No message is lost with it: what it tells of others was noted.
        self.stacks.doubt(time, 0);
        self.add_refused(Loss {
            id: EventId::NONE,
            from: time,
            until: time,
            count: 1,
            cause,
            writer: 0,
        });
    }

    /// Keeps in mind what no event tells of, one for each cause and writer.
    fn add_refused(&mut self, loss: Loss) {
        let same = |kept: &&mut Loss| (kept.cause, kept.writer) == (loss.cause, loss.writer);
        if let Some(kept) = self.refused.iter_mut().find(same) {
            kept.from = kept.from.min(loss.from);
            kept.until = kept.until.max(loss.until);
            kept.count += loss.count;
        } else {
            self.refused.push(loss);
        }
    }

    /// Tells of what was refused, when there is room again.
    #[cold]
    pub(crate) fn tell_refused(&mut self, store: &mut Appender<'_>) {
        while let Some(loss) = self.refused.pop() {
            if self.append_loss(&loss, store, None).is_err() {
                self.refused.push(loss);
                break;
            }
        }
    }

    /// Whether something was refused that no event tells of.
    pub(crate) fn has_untold(&self) -> bool {
        !self.refused.is_empty()
    }

    /// Up to now records may be missing that were never made.
    pub(crate) fn gap(&mut self, now: TimeNs, how: Gap) {
        self.stacks.gap(now);
        if how == Gap::Everything {
            self.causality.gap(now);
        }
    }

    /// Those of the processes that the next sweep will ask for that are dead by now. What they recorded is in the rings already,
    /// and has to be taken before they are forgotten: their last records are of calls that they were in, and of messages that
    /// they handled.
    pub(crate) fn dead(&self, is_alive: &dyn Fn(ProcessId) -> bool) -> HashSet<ProcessId> {
        let asked = self.stacks.swept_next().chain(self.causality.swept_next());
        asked.filter(|process| !is_alive(*process)).collect()
    }

    /// Looks after the open calls of dead processes, some at a time.
    pub(crate) fn sweep(&mut self, is_alive: &mut dyn FnMut(ProcessId) -> bool) {
        self.stacks.sweep(is_alive);
        self.causality.sweep(is_alive);
    }

    /// Figures of this moment.
    pub(crate) fn stats(&self) -> IngestStats {
        IngestStats {
            stored: self.stored,
            refused_full: self.refused_full,
            refused_too_big: self.refused_too_big,
            stacks: self.stacks.len(),
            stack_bytes: self.stacks.bytes() + self.causality.bytes(),
            messages: self.causality.waiting(),
        }
    }
}

/// The same watcher, for one more event.
fn again<'a>(watcher: &'a mut Option<&mut dyn Watcher>) -> Option<&'a mut dyn Watcher> {
    match watcher {
        Some(watcher) => Some(&mut **watcher),
        None => None,
    }
}

fn event_head(event: &NewEvent<'_>, id: EventId) -> EventHead {
    EventHead {
        id,
        kind: event.kind,
        time: event.time,
        process: event.process,
        site: event.site,
        call: match event.call {
            Call::None => EventId::NONE,
            Call::Begins => id,
            Call::Of(entry) => entry,
        },
        parent: event.parent,
        correlation: event.correlation,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
pub(crate) mod tests;
