//! Events as packets of a Perfetto trace: calls and spans as slices, the rest as instants, on one track for each process.

use std::collections::HashMap;
use std::collections::HashSet;

use ahash::RandomState;

use super::ExportOptions;
use super::fields::{annotation, clocks, descriptor, event, interned, packet, trace};
use super::proto::{double, fixed64, int, message, text, uint};
use super::texts::{self, Atoms, Cached, Name, Numbers};
use super::tracks::{End, Tracks};
use crate::event::{AtomId, EventId, EventKind, ProcessId, SiteId, Symbol, Symbols, TimeNs};
use crate::query::{Context, Sites};
use crate::store::{EventHead, Loss};
use crate::value::{Names, Reader, Token, split_first};

/// Numbers of tracks. Those of processes are spread over the others, and all stay small.
#[derive(Clone, Copy)]
enum Track {
    Node,
    Process(ProcessId),
    /// What one writer lost.
    Losses(u32),
    Counter(u64),
}

impl Track {
    fn number(self) -> u64 {
        match self {
            Track::Node => 4,
            Track::Process(ProcessId(process)) => process << 2 | 1,
            Track::Losses(writer) => u64::from(writer) << 2 | 2,
            Track::Counter(name) => name << 2 | 3,
        }
    }
}

/// What an event is about, to be shown in one colour and searched for.
#[derive(Clone, Copy)]
#[repr(u64)]
enum Category {
    Call = 1,
    Span = 2,
    Event = 3,
    Message = 4,
    Process = 5,
    State = 6,
    Memory = 7,
    Error = 8,
    Other = 9,
}

const CATEGORIES: [&str; 9] = [
    "call", "span", "event", "message", "process", "state", "memory", "error", "other",
];

/// How far parents of a process are described before it.
const ANCESTORS: usize = 64;

/// What the host and the recorder know.
pub(super) struct Around<'a> {
    sites: &'a dyn Sites,
    symbols: &'a Symbols,
    names: &'a dyn Names,
    time_offset_ns: i64,
}

impl<'a> Around<'a> {
    pub(super) fn new(context: &Context<'a>, names: &'a dyn Names) -> Around<'a> {
        Around {
            sites: context.sites,
            symbols: context.symbols,
            names,
            time_offset_ns: context.time_offset_ns,
        }
    }
}

/// One event of a track.
#[derive(Clone, Copy)]
struct Mark {
    sort: u64,
    track: Track,
    time: i64,
    category: Option<Category>,
    name: Option<Name>,
    source: SiteId,
    flow: EventId,
    last_flows: [EventId; 2],
    correlation: u64,
}

impl Mark {
    fn new(sort: u64, track: Track, time: i64) -> Mark {
        Mark {
            sort,
            track,
            time,
            category: None,
            name: None,
            source: SiteId::NONE,
            flow: EventId::NONE,
            last_flows: [EventId::NONE; 2],
            correlation: 0,
        }
    }
}

/// Writes events one after another, in the order of time.
pub(super) struct Perfetto {
    annotate: bool,
    given: HashMap<ProcessId, Box<str>, RandomState>,
    pub(super) tracks: Tracks,
    atoms: Atoms,
    names: Numbers,
    counters: Numbers,
    losses: HashSet<u32, RandomState>,
    /// How the name of each site is written; nothing for those not seen yet.
    sites: Vec<Option<Name>>,
    /// Numbers of the fields of each kind.
    fields: Vec<Vec<u64>>,
    text: String,
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

    // -- Tracks -----------------------------------------------------------------------------------------------------------

    /// Describes the track of the process of an event, and before it those of its parents.
    fn describe(&mut self, head: &EventHead, around: &Around<'_>, out: &mut Vec<u8>) {
        let mut line = vec![head.process];
        while let Some(parent) = line.last().and_then(|&last| self.tracks.birth(last).parent) {
            if line.len() > ANCESTORS || line.contains(&parent) {
                break;
            }
            line.push(parent);
            if self.tracks.is_described(parent) {
                break;
            }
        }
        while let Some(process) = line.pop() {
            if self.tracks.is_described(process) {
                continue;
            }
            self.label(
                process,
                (process == head.process).then_some(head.site),
                around,
            );
            let parent = self.tracks.birth(process).parent;
            let parent = parent.filter(|parent| self.tracks.is_described(*parent));
            self.tracks.describe(process);
            packet(out, packet::NEEDS_STATE, |out| {
                message(out, packet::TRACK_DESCRIPTOR, |out| {
                    uint(out, descriptor::UUID, Track::Process(process).number());
                    let parent = parent.map_or(Track::Node, Track::Process);
                    uint(out, descriptor::PARENT, parent.number());
                    text(out, descriptor::NAME, &self.text);
                });
            });
        }
    }

    /// What a process is called: its name, or how it began, or the module of the callback that it is first seen in.
    fn label(&mut self, process: ProcessId, first: Option<SiteId>, around: &Around<'_>) {
        let birth = self.tracks.birth(process);
        let names = cached(&self.atoms, around);
        let text = &mut self.text;
        text.clear();
        if let Some(name) = self.given.get(&process) {
            text.push_str(name);
        } else if let Some(name) = birth.name {
            texts::function((name, None, 0), &names, text);
        } else if let Some((module, function, arity)) = birth.function {
            texts::function((module, Some(function), arity), &names, text);
        } else if let Some(facts) = first.and_then(|site| around.sites.site(site))
            && facts.behaviour.is_some()
        {
            texts::function((facts.module, None, 0), &names, text);
        }
        if !text.is_empty() {
            text.push(' ');
        }
        around.names.process_name(process.0, text);
    }

    // -- Names ------------------------------------------------------------------------------------------------------------

    /// How to write the name that stands in `text`; what has to be written before it is.
    fn number(&mut self, out: &mut Vec<u8>) -> Name {
        let name = self.names.of(&self.text);
        if let Name::New(number) = name {
            packet(out, packet::NEEDS_STATE, |out| {
                message(out, packet::INTERNED_DATA, |out| {
                    named(out, interned::EVENT_NAMES, number, &self.text);
                });
            });
            return Name::Known(number);
        }
        name
    }

    fn name_value(&mut self, value: &[u8], around: &Around<'_>, out: &mut Vec<u8>) -> Name {
        texts::of_value(value, &cached(&self.atoms, around), &mut self.text);
        self.number(out)
    }

    fn name_site(&mut self, site: SiteId, around: &Around<'_>, out: &mut Vec<u8>) -> Name {
        let place = site.0 as usize;
        if let Some(Some(name @ Name::Known(_))) = self.sites.get(place) {
            return *name;
        }
        self.text.clear();
        let facts = around.sites.site(site);
        match facts {
            Some(facts) => {
                let function = (facts.module, facts.function, facts.arity);
                texts::function(function, &cached(&self.atoms, around), &mut self.text);
            }
            None => self.text.push_str("unknown"),
        }
        let name = self.number(out);
        if let Some(facts) = facts.filter(|_| matches!(self.sites.get(place), None | Some(None))) {
            packet(out, packet::NEEDS_STATE, |out| {
                message(out, packet::INTERNED_DATA, |out| {
                    message(out, interned::SOURCES, |out| {
                        uint(out, interned::IID, u64::from(site.0));
                        text(out, interned::FILE, facts.file);
                        text(out, interned::FUNCTION, &self.text);
                        uint(out, interned::LINE, u64::from(facts.line));
                    });
                });
            });
        }
        self.sites.resize(self.sites.len().max(place + 1), None);
        if let Some(entry) = self.sites.get_mut(place) {
            *entry = Some(name);
        }
        name
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

fn cached<'a>(atoms: &'a Atoms, around: &Around<'a>) -> Cached<'a> {
    Cached {
        names: around.names,
        atoms,
    }
}

fn packet(out: &mut Vec<u8>, flags: u64, write: impl FnOnce(&mut Vec<u8>)) {
    message(out, trace::PACKET, |out| {
        uint(out, packet::SEQUENCE_ID, 1);
        uint(out, packet::SEQUENCE_FLAGS, flags);
        write(out);
    });
}

fn named(out: &mut Vec<u8>, field: u32, number: u64, name: &str) {
    message(out, field, |out| {
        uint(out, interned::IID, number);
        text(out, interned::NAME, name);
    });
}

fn write(
    out: &mut Vec<u8>,
    mark: Mark,
    name: &str,
    around: &Around<'_>,
    more: impl FnOnce(&mut Vec<u8>),
) {
    packet(out, packet::NEEDS_STATE, |out| {
        let time = mark.time.saturating_add(around.time_offset_ns).max(0);
        uint(out, packet::TIMESTAMP, time.unsigned_abs());
        message(out, packet::TRACK_EVENT, |out| {
            uint(out, event::TYPE, mark.sort);
            uint(out, event::TRACK, mark.track.number());
            if let Some(category) = mark.category {
                uint(out, event::CATEGORIES, category as u64);
            }
            match mark.name {
                Some(Name::Known(number) | Name::New(number)) => {
                    uint(out, event::NAME_IID, number);
                }
                Some(Name::Plain) => text(out, event::NAME, name),
                None => {}
            }
            if mark.source.is_some() {
                uint(out, event::SOURCE_IID, u64::from(mark.source.0));
            }
            if mark.flow.is_some() {
                fixed64(out, event::FLOWS, mark.flow.0);
            }
            for flow in mark.last_flows.iter().filter(|flow| flow.is_some()) {
                fixed64(out, event::LAST_FLOWS, flow.0);
            }
            if mark.correlation != 0 {
                uint(out, event::CORRELATION, mark.correlation);
            }
            more(out);
        });
    });
}

fn end_all(count: usize, track: Track, time: i64, around: &Around<'_>, out: &mut Vec<u8>) {
    for _ in 0..count {
        write(out, Mark::new(event::END, track, time), "", around, |_| {});
    }
}

fn annotated(
    out: &mut Vec<u8>,
    number: u64,
    value: &[u8],
    around: &Around<'_>,
    names: &Cached<'_>,
    scratch: &mut String,
) {
    let is = |name: AtomId, symbol| name == around.symbols.id(symbol);
    let token = token(value);
    // What is not known is not shown, and that a call ended as calls do.
    if matches!(token, Some(Token::Atom(name)) if is(name, Symbol::Nil) || is(name, Symbol::Normal))
    {
        return;
    }
    message(out, event::ANNOTATIONS, |out| {
        uint(out, annotation::NAME_IID, number);
        match token {
            Some(Token::Int(number)) => int(out, annotation::INT, number),
            Some(Token::Float(number)) => double(out, annotation::DOUBLE, number),
            _ => {
                texts::of_value(value, names, scratch);
                match scratch.as_str() {
                    "true" | "false" => uint(out, annotation::BOOL, u64::from(scratch == "true")),
                    value => text(out, annotation::TEXT, value),
                }
            }
        }
    });
}

// -- Payloads -------------------------------------------------------------------------------------------------------------

fn value(payload: &[u8], place: usize) -> Option<&[u8]> {
    let mut rest = payload;
    for _ in 0..place {
        rest = split_first(rest).ok()?.1;
    }
    split_first(rest).ok().map(|(value, _)| value)
}

fn token(value: &[u8]) -> Option<Token<'_>> {
    Reader::new(value).token().ok()
}

fn pid(payload: &[u8], place: usize) -> Option<ProcessId> {
    match value(payload, place).and_then(token)? {
        Token::Pid(process) => Some(ProcessId(process)),
        _ => None,
    }
}

fn atom(payload: &[u8], place: usize) -> Option<AtomId> {
    match value(payload, place).and_then(token)? {
        Token::Atom(name) => Some(name),
        _ => None,
    }
}

fn integer(payload: &[u8], place: usize) -> Option<i64> {
    match value(payload, place).and_then(token)? {
        Token::Int(number) => Some(number),
        _ => None,
    }
}

/// How many elements a list has.
fn length(list: &[u8]) -> Option<u32> {
    let mut reader = Reader::new(list);
    if reader.token().ok()? != Token::List {
        return None;
    }
    let mut rest = reader.rest();
    let mut length = 0;
    while let Ok((_element, behind)) = split_first(rest) {
        length += 1;
        rest = behind;
    }
    Some(length)
}
