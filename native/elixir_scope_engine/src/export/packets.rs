//! Packets: what an event of a track says, and how it is written.

use super::fields::{annotation, event, interned, packet, trace};
use super::payload::token;
use super::proto::{double, fixed64, int, message, text, uint};
use super::texts::{self, Atoms, Cached, Name};
use crate::event::{AtomId, EventId, ProcessId, SiteId, Symbol, Symbols};
use crate::query::{Context, Sites};
use crate::value::{Names, Token};

/// What the host and the recorder know.
pub(super) struct Around<'a> {
    pub(super) sites: &'a dyn Sites,
    pub(super) symbols: &'a Symbols,
    pub(super) names: &'a dyn Names,
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

/// Numbers of tracks. Those of processes are spread over the others, and all stay small.
#[derive(Clone, Copy)]
pub(super) enum Track {
    Node,
    Process(ProcessId),
    /// What one writer lost.
    Losses(u32),
    Counter(u64),
}

impl Track {
    pub(super) fn number(self) -> u64 {
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
pub(super) enum Category {
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

pub(super) const CATEGORIES: [&str; 9] = [
    "call", "span", "event", "message", "process", "state", "memory", "error", "other",
];

/// One event of a track.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    pub(super) sort: u64,
    pub(super) track: Track,
    pub(super) time: i64,
    pub(super) category: Option<Category>,
    pub(super) name: Option<Name>,
    pub(super) source: SiteId,
    pub(super) flow: EventId,
    pub(super) last_flows: [EventId; 2],
    pub(super) correlation: u64,
}

impl Mark {
    pub(super) fn new(sort: u64, track: Track, time: i64) -> Mark {
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

pub(super) fn packet(out: &mut Vec<u8>, flags: u64, write: impl FnOnce(&mut Vec<u8>)) {
    message(out, trace::PACKET, |out| {
        uint(out, packet::SEQUENCE_ID, 1);
        uint(out, packet::SEQUENCE_FLAGS, flags);
        write(out);
    });
}

pub(super) fn named(out: &mut Vec<u8>, field: u32, number: u64, name: &str) {
    message(out, field, |out| {
        uint(out, interned::IID, number);
        text(out, interned::NAME, name);
    });
}

pub(super) fn write(
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

pub(super) fn end_all(
    count: usize,
    track: Track,
    time: i64,
    around: &Around<'_>,
    out: &mut Vec<u8>,
) {
    for _ in 0..count {
        write(out, Mark::new(event::END, track, time), "", around, |_| {});
    }
}

pub(super) fn annotated(
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

/// The host's names, those that were asked for before without asking again.
pub(super) fn cached<'a>(atoms: &'a Atoms, around: &Around<'a>) -> Cached<'a> {
    Cached {
        names: around.names,
        atoms,
    }
}
