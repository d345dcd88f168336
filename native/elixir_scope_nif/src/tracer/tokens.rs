//! Tokens of `seq_trace`: the VM sends one along with a message, and says so when it does, and when the message is taken out of the mailbox.
//! Which processes have one is the business of `ElixirScope.Tracing.Tokens`.
//!
//! The VM tells of a send first, and of its token right behind, in the same process: that is a record of its own, of few bytes.

use elixir_scope_engine::event::{EventKind, ProcessId, SiteId};
use elixir_scope_engine::value::Full;
use elixir_scope_engine::{Group, ProcessSlots, RecordBuf, Slot, Traces};
use rustler::{Encoder, Env, Term};

use super::messages::Message;
use super::{Event, local};
use crate::atoms;
use crate::capture::{NOWHERE, What, atom, recording_of};
use crate::host::pid_word;
use crate::payload::{Body, Payload, Values};
use crate::term::fingerprint::fingerprint;
use crate::term::nif::NifTerms;
use crate::term::raw::RawTerms;
use crate::term::{self, Word, word};
use crate::thread::Thread;

/// A message that was recorded as sent, and whose token comes next: known again by what it says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sending {
    process: ProcessId,
    print: u32,
}

impl Sending {
    pub(super) fn of(env: Env<'_>, process: ProcessId, message: Term<'_>) -> Sending {
        let words = [word(message)];
        let print = match RawTerms::new(env) {
            Some(raw) => fingerprint(raw, &words),
            None => fingerprint(NifTerms::new(env), &words),
        };
        Sending { process, print }
    }
}

impl Event<'_> {
    /// What a send tells of the token of its process: 0 where it goes on with the one that it has; or a new root, which the message goes back
    /// to if it goes back to no other.
    pub(super) fn carried(&self, thread: &mut Thread) -> Word {
        let is_new = self.result() == Some(atom(atoms::new()));
        let root = match is_new {
            true => thread.writer.next_correlation().0,
            false => 0,
        };
        word(root.encode(self.env))
    }
}

/// What is told of one message with a token.
struct Seen<'a> {
    serial: Term<'a>,
    epoch: Term<'a>,
    from: Term<'a>,
    to: Term<'a>,
    message: Term<'a>,
}

/// The upper half of the labels that are ours, `ElixirScope.Tracing.Tokens` knows the same.
const LABEL: i64 = 0x0e5_c09e;

/// `{:send | :receive, {previous, serial}, from, to, message}`, of a token with this label.
pub(super) fn seen<'a>(env: Env<'a>, gate: u64, label: Term<'a>, told: Term<'a>) {
    let Some(&[what, numbers, from, to, message]) = term::elements(env, word(told)) else {
        return;
    };
    let is_ours = label
        .decode::<i64>()
        .is_ok_and(|label| label >> 32 == LABEL);
    let Some(&[_previous, serial]) = term::elements(env, numbers).filter(|_| is_ours) else {
        return;
    };
    let term = |word| term::term(env, word);
    let seen = Seen {
        serial: term(serial),
        epoch: label,
        from: term(from),
        to: term(to),
        message: term(message),
    };
    if atoms::send() == term(what) {
        seen.sent(env, gate);
    } else if atoms::receive() == term(what) {
        seen.taken(env, gate);
    }
}

impl<'a> Seen<'a> {
    fn sent(&self, env: Env<'a>, gate: u64) {
        let (Some(process), Some(_)) = (local(self.from), local(self.to)) else {
            return;
        };
        let slot = ProcessSlots::shared().find(process);
        recording_of(gate, process, slot, |thread, process, slot| {
            let sending = thread.sending.take();
            if sending == Some(Sending::of(env, process, self.message)) {
                let fields = [self.epoch, self.serial, self.to].map(word);
                write(env, thread, process, slot, &fields);
            }
        });
    }

    fn taken(&self, env: Env<'a>, gate: u64) {
        let Some(process) = local(self.to) else {
            return;
        };
        if is_birth(env, self.message) {
            return;
        }
        let traces = Traces::shared();
        let event = Event {
            env,
            word: gate,
            process,
            first: self.message,
            opts: self.message,
        };
        let wanted = traces.exact(traces.wanted(Group::Receive, process));
        let kind = EventKind::MessageTaken;
        event.record(wanted, kind, SiteId::NONE, |thread, slot, _counted| {
            let nil = atom(atoms::nil());
            let sender = local(self.from).map(pid_word);
            let message = match Message::by_vm(env, self.message) {
                Some(message) if sender.is_none() || sender == message.sender => message,
                _ => Message::sent(env, self.message),
            };
            let fields = [
                pid_word(process),
                sender.unwrap_or(nil),
                message.content,
                atom(message.sort.name()),
                message.reference.unwrap_or(nil),
                word(self.epoch),
                word(self.serial),
                word(thread.writer.next_correlation().0.encode(env)),
            ];
            let place = slot.map_or(NOWHERE, |slot| slot.current(thread.settings.generation));
            (place, Taken(fields))
        });
    }
}

/// What a record of a message that is taken says.
struct Taken([Word; 8]);

impl<'t> Body<'t> for Taken {
    fn write(self, payload: &mut Payload<'_, 't, RecordBuf<'_>>) -> Result<(), Full> {
        Values(&self.0).write(payload)
    }
}

fn write(
    env: Env<'_>,
    thread: &mut Thread,
    process: ProcessId,
    slot: Option<&'static Slot>,
    fields: &[Word],
) {
    let place = slot.map_or(NOWHERE, |slot| slot.current(thread.settings.generation));
    let what = What {
        kind: EventKind::MessageTaken,
        process,
        slot,
        site: SiteId::NONE,
    };
    thread.write(env, what.at(place), Values(fields));
}

/// How the VM itself asks for a process, and is answered: nobody takes these out of a mailbox.
fn is_birth(env: Env<'_>, message: Term<'_>) -> bool {
    let tag = term::elements(env, word(message)).and_then(|elements| elements.first().copied());
    tag.is_some_and(|tag| {
        let tag = term::term(env, tag);
        atoms::spawn_request() == tag || atoms::spawn_reply() == tag
    })
}
