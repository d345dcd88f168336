//! Events as packets of a Perfetto trace: calls and spans as slices, the rest as instants, on one track for each process.

mod points;
mod slices;

use std::collections::{HashMap, HashSet};

use ahash::RandomState;

use super::ExportOptions;
use super::fields::{clocks, descriptor, event, interned, packet};
use super::packets::{
    Around, CATEGORIES, Mark, Track, annotated, cached, end_all, named, packet, write,
};
use super::payload::{atom, length, pid, value};
use super::proto::{message, text, uint};
use super::texts::{Atoms, Name, Numbers};
use super::tracks::Tracks;
use crate::event::{EventId, EventKind, ProcessId, Symbol, TimeNs};
use crate::query::Context;
use crate::store::EventHead;
use crate::value::{Names, split_first};

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
                    EventKind::MessageReceive | EventKind::MessageTaken => sent,
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
        EventKind::MessageReceive | EventKind::MessageTaken => place == 0,
        _ => false,
    }
}
