//! Events as packets of a Perfetto trace: calls and spans as slices, the rest as instants, on one track for each process.

use std::collections::{HashMap, HashSet};

use ahash::RandomState;

use super::ExportOptions;
use super::fields::{clocks, descriptor, event, interned, packet};
use super::packets::{
    Around, CATEGORIES, Category, Mark, Track, annotated, cached, end_all, named, packet, write,
};
use super::payload::{atom, integer, length, pid, token, value};
use super::proto::{double, int, message, text, uint};
use super::texts::{self, Atoms, Name, Numbers};
use super::tracks::{End, Tracks};
use crate::event::{EventId, EventKind, ProcessId, SiteId, Symbol, TimeNs};
use crate::query::Context;
use crate::store::{EventHead, Loss};
use crate::value::{Names, Token, split_first};

/// Writes events one after another, in the order of time.
pub(super) struct Perfetto {
    annotate: bool,
    pub(super) given: HashMap<ProcessId, Box<str>, RandomState>,
    pub(super) tracks: Tracks,
    pub(super) atoms: Atoms,
    pub(super) names: Numbers,
    counters: Numbers,
    losses: HashSet<u32, RandomState>,
    /// How the name of each site is written; nothing for those not seen yet.
    pub(super) sites: Vec<Option<Name>>,
    /// Numbers of the fields of each kind.
    fields: Vec<Vec<u64>>,
    pub(super) text: String,
    value: String,
}

impl Perfetto {
    pub(super) fn new(options: ExportOptions) -> Perfetto {
        Perfetto {
            annotate: options.values,
            given: options
                .names
                .into_iter()
                .map(|(process, name)| (process, name.into()))
                .collect(),
            tracks: Tracks::default(),
            atoms: Atoms::default(),
            names: Numbers::default(),
            counters: Numbers::default(),
            losses: HashSet::default(),
            sites: Vec::new(),
            fields: Vec::new(),
            text: String::new(),
            value: String::new(),
        }
    }

    /// What comes first: the clock, the names that all share, the track that all are part of.
    pub(super) fn begin(
        &mut self,
        start: TimeNs,
        context: &Context<'_>,
        names: &dyn Names,
        out: &mut Vec<u8>,
    ) {
        let mut fields: Vec<&str> = Vec::new();
        for kind in EventKind::ALL {
            let numbers = kind.fields().iter().map(|field| {
                let known = fields.iter().position(|known| known == field);
                known.unwrap_or_else(|| {
                    fields.push(field);
                    fields.len() - 1
                }) as u64
                    + 1
            });
            let numbers = numbers.collect();
            let place = *kind as usize;
            self.fields
                .resize(self.fields.len().max(place + 1), Vec::new());
            if let Some(entry) = self.fields.get_mut(place) {
                *entry = numbers;
            }
        }
        packet(out, packet::CLEARED, |out| {
            uint(out, packet::FIRST_ON_SEQUENCE, 1);
            message(out, packet::INTERNED_DATA, |out| {
                for (number, name) in (1..).zip(CATEGORIES) {
                    named(out, interned::CATEGORIES, number, name);
                }
                for (number, name) in (1..).zip(&fields) {
                    named(out, interned::ANNOTATION_NAMES, number, name);
                }
            });
        });
        // The clock of the trace is the time of day.
        let start = start.0.saturating_add(context.time_offset_ns).max(0);
        packet(out, packet::NEEDS_STATE, |out| {
            message(out, packet::CLOCK_SNAPSHOT, |out| {
                for clock in [clocks::BOOTTIME, clocks::REALTIME] {
                    message(out, clocks::CLOCKS, |out| {
                        uint(out, clocks::ID, clock);
                        uint(out, clocks::TIMESTAMP, start.unsigned_abs());
                    });
                }
            });
        });
        let mut name = String::new();
        names.atom_name(context.node, &mut name);
        packet(out, packet::NEEDS_STATE, |out| {
            message(out, packet::TRACK_DESCRIPTOR, |out| {
                uint(out, descriptor::UUID, Track::Node.number());
                message(out, descriptor::PROCESS, |out| {
                    uint(out, descriptor::PID, u64::from(std::process::id()));
                    text(out, descriptor::PROCESS_NAME, &name);
                });
            });
        });
    }

    /// Takes note of a birth, or of a name that a process took.
    pub(super) fn learn(&mut self, head: &EventHead, payload: &[u8], around: &Around<'_>) {
        let nil = around.symbols.id(Symbol::Nil);
        let name = |place| atom(payload, place).filter(|name| *name != nil);
        match head.kind {
            EventKind::ProcessSpawn => {
                let (Some(child), parent) = (pid(payload, 0), pid(payload, 1)) else {
                    return;
                };
                let arity = value(payload, 4).and_then(length).unwrap_or(0);
                let function = name(2).zip(name(3)).map(|(m, f)| (m, f, arity));
                let name = name(5);
                self.tracks.learn(child, |birth| {
                    birth.parent = parent.or(birth.parent);
                    birth.function = function.or(birth.function);
                    birth.name = name.or(birth.name);
                });
            }
            EventKind::ProcessRegister => {
                let name = name(0);
                self.tracks
                    .learn(head.process, |birth| birth.name = name.or(birth.name));
            }
            _ => {}
        }
    }

    /// Writes one event. `sent` is the event that tells of the sending of the message that it is about, or none.
    pub(super) fn event(
        &mut self,
        head: &EventHead,
        payload: &[u8],
        sent: EventId,
        around: &Around<'_>,
        out: &mut Vec<u8>,
    ) {
        if head.kind == EventKind::DataLoss {
            return self.loss(head, payload, around, out);
        }
        let track = match head.process.some() {
            Some(process) => {
                if !self.tracks.is_described(process) {
                    self.describe(head, around, out);
                }
                Track::Process(process)
            }
            None => Track::Node,
        };
        let begins = matches!(head.kind, EventKind::FunctionEntry | EventKind::SpanStart);
        let ends = matches!(head.kind, EventKind::FunctionExit | EventKind::SpanStop);
        if begins || head.parent.is_some() && !ends {
            let ended = self.tracks.inside(head.process, head.parent);
            end_all(ended, track, head.time.0, around, out);
        }
        let born = self.tracks.take_birth(head.process).unwrap_or_default();
        let mut mark = Mark::new(event::INSTANT, track, head.time.0);
        mark.correlation = head.correlation.0;
        mark.last_flows = [born, EventId::NONE];
        match head.kind {
            _ if begins => {
                mark.last_flows = [born, sent];
                self.begins(mark, head, payload, around, out);
            }
            _ if ends => {
                self.ends(mark, head, payload, around, out);
            }
            EventKind::PerformanceMetric if self.measured(head, payload, around, out) => {}
            EventKind::GarbageCollection => self.collected(mark, head, payload, around, out),
            _ => {
                mark.flow = match head.kind {
                    EventKind::MessageSend => head.id,
                    EventKind::MessageReceive => sent,
                    _ => EventId::NONE,
                };
                if head.kind == EventKind::ProcessSpawn
                    && let Some(child) = pid(payload, 0)
                {
                    self.tracks.born(child, head.id);
                    mark.flow = head.id;
                }
                self.instant(mark, head, payload, around, out);
                if head.kind == EventKind::ProcessExit {
                    let open = self.tracks.exit(head.process);
                    end_all(open, track, head.time.0, around, out);
                }
            }
        }
    }

    fn begins(
        &mut self,
        mut mark: Mark,
        head: &EventHead,
        payload: &[u8],
        around: &Around<'_>,
        out: &mut Vec<u8>,
    ) {
        self.name_call(&mut mark, head, payload, around, out);
        if self.tracks.begin(head.process, head.id) {
            mark.sort = event::BEGIN;
        }
        self.write(mark, head.kind, payload, around, out);
    }

    /// The name of a call is that of its site, and of a span what it was called.
    fn name_call(
        &mut self,
        mark: &mut Mark,
        head: &EventHead,
        payload: &[u8],
        around: &Around<'_>,
        out: &mut Vec<u8>,
    ) {
        if matches!(head.kind, EventKind::SpanStart | EventKind::SpanStop) {
            mark.category = Some(Category::Span);
            mark.name = Some(self.name_value(payload, around, out));
        } else {
            mark.category = Some(Category::Call);
            mark.source = head.site;
            mark.name = Some(self.name_site(head.site, around, out));
        }
    }

    fn ends(
        &mut self,
        mut mark: Mark,
        head: &EventHead,
        payload: &[u8],
        around: &Around<'_>,
        out: &mut Vec<u8>,
    ) {
        match self.tracks.end(head.process, head.call) {
            End::Of(before) => {
                end_all(before, mark.track, mark.time, around, out);
                mark.sort = event::END;
            }
            End::Unknown => {
                self.name_call(&mut mark, head, payload, around, out);
                let place = if head.kind == EventKind::SpanStop {
                    3
                } else {
                    2
                };
                if let Some(duration) = integer(payload, place) {
                    // All that was written of its inside began later, so it stands around that.
                    let mut begin = Mark::new(event::BEGIN, mark.track, mark.time - duration);
                    (begin.name, begin.category) = (mark.name, mark.category);
                    begin.source = mark.source;
                    begin.correlation = mark.correlation;
                    write(out, begin, &self.text, around, |_| {});
                    mark = Mark { name: None, ..mark };
                    mark.sort = event::END;
                }
            }
        }
        if mark.sort == event::END {
            // The beginning has told them.
            (mark.category, mark.source, mark.correlation) = (None, SiteId::NONE, 0);
        }
        self.write(mark, head.kind, payload, around, out);
    }

    /// A collection is told of at its end.
    fn collected(
        &mut self,
        mut mark: Mark,
        head: &EventHead,
        payload: &[u8],
        around: &Around<'_>,
        out: &mut Vec<u8>,
    ) {
        let duration = integer(payload, 3).unwrap_or(0);
        texts::of_value(payload, &cached(&self.atoms, around), &mut self.text);
        self.text.insert_str(0, "gc ");
        mark.name = Some(self.number(out));
        mark.category = Some(Category::Memory);
        mark.sort = event::BEGIN;
        mark.time -= duration;
        self.write(mark, head.kind, payload, around, out);
        let end = Mark::new(event::END, mark.track, head.time.0);
        write(out, end, "", around, |_| {});
    }

    /// A number is a point of a curve; whether it is one.
    fn measured(
        &mut self,
        head: &EventHead,
        payload: &[u8],
        around: &Around<'_>,
        out: &mut Vec<u8>,
    ) -> bool {
        let number = match value(payload, 1).and_then(token) {
            Some(number @ (Token::Int(_) | Token::Float(_))) => number,
            _ => return false,
        };
        texts::of_value(payload, &cached(&self.atoms, around), &mut self.text);
        let counter = match self.counters.of(&self.text) {
            Name::Known(counter) => counter,
            Name::New(counter) => {
                packet(out, packet::NEEDS_STATE, |out| {
                    message(out, packet::TRACK_DESCRIPTOR, |out| {
                        uint(out, descriptor::UUID, Track::Counter(counter).number());
                        uint(out, descriptor::PARENT, Track::Node.number());
                        text(out, descriptor::NAME, &self.text);
                        message(out, descriptor::COUNTER, |_| {});
                    });
                });
                counter
            }
            Name::Plain => return false,
        };
        let mark = Mark::new(event::COUNTER, Track::Counter(counter), head.time.0);
        write(out, mark, "", around, |out| match number {
            Token::Float(number) => double(out, event::COUNTER_DOUBLE, number),
            Token::Int(number) => int(out, event::COUNTER_INT, number),
            _ => {}
        });
        true
    }

    fn instant(
        &mut self,
        mut mark: Mark,
        head: &EventHead,
        payload: &[u8],
        around: &Around<'_>,
        out: &mut Vec<u8>,
    ) {
        let (category, plain, named_by) = match head.kind {
            EventKind::UserEvent => (Category::Event, "", Some(0)),
            EventKind::MessageSend => (Category::Message, "", Some(5)),
            EventKind::MessageReceive => (Category::Message, "receive", Some(5)),
            EventKind::ProcessSpawn => (Category::Process, "spawn", None),
            EventKind::ProcessExit => (Category::Process, "exit", None),
            EventKind::ProcessLink => (Category::Process, "link", None),
            EventKind::ProcessUnlink => (Category::Process, "unlink", None),
            EventKind::ProcessRegister => (Category::Process, "register", Some(0)),
            EventKind::ProcessUnregister => (Category::Process, "unregister", Some(0)),
            EventKind::StateChange => (Category::State, "state", None),
            EventKind::CallbackReply => (Category::State, "reply", None),
            EventKind::VariableAssignment => (Category::Event, "variables", None),
            EventKind::PerformanceMetric => (Category::Event, "", Some(0)),
            EventKind::Error => (Category::Error, "error", None),
            EventKind::Crash => (Category::Error, "crash", None),
            EventKind::Telemetry => (Category::Event, "", Some(0)),
            EventKind::TraceControl => (Category::Other, "trace", Some(0)),
            EventKind::NodeEvent => (Category::Other, "node", Some(1)),
            kind => (Category::Other, kind.name(), None),
        };
        let named_by = named_by.and_then(|place| value(payload, place));
        match named_by {
            Some(value) => texts::of_value(value, &cached(&self.atoms, around), &mut self.text),
            None => self.text.clear(),
        }
        if matches!(
            head.kind,
            EventKind::MessageSend | EventKind::MessageReceive
        ) {
            // `call`, not `:call`
            self.text.retain(|character| character != ':');
        }
        if head.kind == EventKind::ProcessSpawn
            && let Some(function) =
                pid(payload, 0).and_then(|child| self.tracks.birth(child).function)
        {
            let (module, name, arity) = function;
            let names = cached(&self.atoms, around);
            texts::function((module, Some(name), arity), &names, &mut self.text);
        }
        if !plain.is_empty() {
            let space = if self.text.is_empty() { "" } else { " " };
            self.text.insert_str(0, space);
            self.text.insert_str(0, plain);
        }
        mark.category = Some(category);
        mark.name = Some(self.number(out));
        self.write(mark, head.kind, payload, around, out);
    }

    /// What a writer lost stands on a track of its own, over the time in which it was lost.
    fn loss(&mut self, head: &EventHead, payload: &[u8], around: &Around<'_>, out: &mut Vec<u8>) {
        let Some(loss) = Loss::decode(head.id, payload) else {
            return;
        };
        let track = Track::Losses(loss.writer);
        if self.losses.insert(loss.writer) {
            packet(out, packet::NEEDS_STATE, |out| {
                message(out, packet::TRACK_DESCRIPTOR, |out| {
                    uint(out, descriptor::UUID, track.number());
                    uint(out, descriptor::PARENT, Track::Node.number());
                    let name = format!("lost events, writer {}", loss.writer);
                    text(out, descriptor::NAME, &name);
                });
            });
        }
        self.text.clear();
        self.text.push_str("lost");
        let name = self.number(out);
        let mut begin = Mark::new(event::BEGIN, track, loss.from.0);
        begin.category = Some(Category::Other);
        begin.name = Some(name);
        self.write(begin, head.kind, payload, around, out);
        let end = Mark::new(event::END, track, loss.until.0.max(loss.from.0));
        write(out, end, "", around, |_| {});
    }

    // -- Packets ----------------------------------------------------------------------------------------------------------

    /// Writes an event with the values of its payload.
    fn write(
        &mut self,
        mark: Mark,
        kind: EventKind,
        payload: &[u8],
        around: &Around<'_>,
        out: &mut Vec<u8>,
    ) {
        let (fields, names) = (&self.fields, cached(&self.atoms, around));
        let scratch = &mut self.value;
        let annotate = self.annotate;
        write(out, mark, &self.text, around, |out| {
            let numbers = fields.get(kind as usize).filter(|_| annotate);
            let mut numbers = numbers.map_or(&[][..], Vec::as_slice);
            if kind == EventKind::StateChange {
                // The store keeps of a change what triggered it.
                numbers = numbers.get(1..2).unwrap_or(&[]);
            }
            let mut rest = payload;
            for (place, &number) in numbers.iter().enumerate() {
                let Ok((value, behind)) = split_first(rest) else {
                    break;
                };
                rest = behind;
                if !is_told(kind, place, mark.sort) {
                    annotated(out, number, value, around, &names, scratch);
                }
            }
        });
    }
}

/// Whether a value is told by the event itself.
fn is_told(kind: EventKind, place: usize, sort: u64) -> bool {
    match kind {
        EventKind::SpanStart | EventKind::UserEvent | EventKind::GarbageCollection => place == 0,
        // At an end the beginning has told the name and the metadata.
        EventKind::SpanStop => place == 0 || place == 3 || sort == event::END && place == 1,
        EventKind::FunctionExit => place == 2,
        EventKind::MessageSend => place == 0,
        EventKind::MessageReceive => place == 0,
        _ => false,
    }
}
