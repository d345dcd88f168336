//! Events that are points: of a curve, of a process; and what was lost, which has a track of its own.

use super::super::fields::{descriptor, event, packet};
use super::super::packets::{Around, Category, Mark, Track, cached, packet, write};
use super::super::payload::{pid, token, value};
use super::super::proto::{double, int, message, text, uint};
use super::super::texts::{self, Name};
use super::Perfetto;
use crate::event::{EventKind, TimeNs};
use crate::store::{EventHead, Loss};
use crate::value::Token;

impl Perfetto {
    /// A number is a point of a curve; whether it is one.
    pub(super) fn measured(
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

    pub(super) fn instant(
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
            EventKind::MessageTaken => (Category::Message, "take", Some(5)),
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
            EventKind::MessageSend | EventKind::MessageReceive | EventKind::MessageTaken
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

    /// So many events had left the tape before they could be written: told where the first of them was.
    pub(in crate::export) fn overtaken(
        &mut self,
        events: u64,
        at: TimeNs,
        around: &Around<'_>,
        out: &mut Vec<u8>,
    ) {
        self.text = format!("{events} events left the tape before they were written");
        let mut mark = Mark::new(event::INSTANT, Track::Node, at.0);
        mark.category = Some(Category::Other);
        mark.name = Some(self.number(out));
        write(out, mark, &self.text, around, |_| {});
    }

    /// What a writer lost stands on a track of its own, over the time in which it was lost.
    pub(super) fn loss(
        &mut self,
        head: &EventHead,
        payload: &[u8],
        around: &Around<'_>,
        out: &mut Vec<u8>,
    ) {
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
}
