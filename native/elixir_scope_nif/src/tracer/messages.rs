//! Messages: what they carry is taken out of the wrappers of `gen`, so that a request is the same on both sides, and whether it was
//! seen by an injected call or by the VM.

use elixir_scope_engine::event::{EventKind, ProcessId};
use elixir_scope_engine::{Group, ProcessSlots, Slot, Traces};
use rustler::{Atom, Env, Term};

use super::Event;
use crate::capture::{Receiver, atom, newest_record};
use crate::host::{self, BEAM};
use crate::payload::Values;
use crate::term::{self, Word, word, word_of};
use crate::{atoms, host::pid_word};

impl<'a> Event<'a> {
    /// A message is sent by the tracee; to nobody, if the VM says so.
    pub(super) fn sent(&self, is_to_nobody: bool) {
        let traces = Traces::shared();
        let wanted = traces.wanted(Group::Send, self.process);
        if traces.was_told(self.process, || newest_record(self.process)) {
            return;
        }
        self.record(wanted, |thread, slot, counted| {
            let env = self.env;
            let nil = atom(atoms::nil());
            let message = Message::sent(env, self.first);
            let node = thread.settings.node;
            let receiver = self.extra().map_or_else(Receiver::default, |receiver| {
                Receiver::of(env, receiver, |name| name == term::atom_word(node))
            });
            if let Some(process) = receiver.process {
                let receiver = host::process(term::term(env, process));
                traces.sent(receiver, counted, &**BEAM);
            }
            let to_dead = match is_to_nobody || receiver.is_nobody {
                true => atom(atoms::true_()),
                false => nil,
            };
            let place = slot.map_or(crate::capture::NOWHERE, |slot| {
                slot.current(thread.settings.generation)
            });
            let fields = [
                pid_word(self.process),
                receiver.process.unwrap_or(nil),
                receiver.name.unwrap_or(nil),
                message.content,
                nil,
                atom(message.sort),
                message.reference.unwrap_or(nil),
                nil,
                nil,
                nil,
                to_dead,
            ];
            let none = elixir_scope_engine::event::SiteId::NONE;
            let kind = EventKind::MessageSend;
            self.write(thread, slot, kind, none, place, Values(&fields));
        });
    }

    /// A message has come into the mailbox of the tracee. The end of a wait without one is no message.
    pub(super) fn received(&self) {
        let env = self.env;
        if self.first.is_atom() && self.result().is_none() && atoms::timeout() == self.first {
            // A message `:timeout` has a sender.
            return;
        }
        let nil = atom(atoms::nil());
        let (origin, sender) = self.origin();
        let message = match Message::by_vm(env, self.first) {
            // Only the VM says of a process that it is no more, in that one's name.
            Some(message) if sender.is_none() || sender == message.sender => message,
            _ if origin == Some(word_of(atoms::clock_service().as_c_arg())) => Message {
                sort: atoms::timer(),
                ..Message::plain(self.first)
            },
            _ => Message::sent(env, self.first),
        };
        let fields = [
            pid_word(self.process),
            sender.or(message.sender).unwrap_or(nil),
            message.content,
            atom(message.sort),
            message.reference.unwrap_or(nil),
        ];
        let kind = EventKind::MessageReceive;
        let body = Values(&fields);
        let asks_us = ProcessSlots::shared()
            .find(self.process)
            .is_some_and(Slot::is_muted);
        // What one of ours answers is no event.
        if !asks_us || !sender.or(message.sender).is_some_and(is_ours) {
            self.befell(Group::Receive, kind, body);
        }
    }
}

impl Event<'_> {
    /// Where a message came from: a node, a port, or the VM's timers; and the process, if it was one of this node.
    fn origin(&self) -> (Option<Word>, Option<Word>) {
        let Some(result) = self.result() else {
            return (None, None);
        };
        let (node, sender) = match term::elements(self.env, word(result)) {
            Some(&[node, sender]) => (Some(node), sender),
            _ => (None, word(result)),
        };
        let is_local = term::is_local_pid(sender as u64);
        (node, is_local.then_some(sender))
    }
}

/// Whether a process is one of ours.
fn is_ours(process: Word) -> bool {
    ProcessSlots::shared()
        .find(ProcessId(process as u64))
        .is_some_and(Slot::is_muted_for_life)
}

/// A message, out of its wrapper.
struct Message {
    content: Word,
    sort: Atom,
    /// What a request and its answer have in common, or a monitor and its message.
    reference: Option<Word>,
    /// Whom it names as its sender.
    sender: Option<Word>,
}

impl Message {
    fn plain(message: Term<'_>) -> Message {
        Message {
            content: word(message),
            sort: atoms::send(),
            reference: None,
            sender: None,
        }
    }

    /// A message that a process sent: it can look like anything.
    fn sent(env: Env<'_>, message: Term<'_>) -> Message {
        let Some(elements) = term::elements(env, word(message)) else {
            return Message::plain(message);
        };
        let is = |tag: Word, name: Atom| tag == word_of(name.as_c_arg());
        match *elements {
            [tag, from, content] if is(tag, atoms::gen_call()) || is(tag, atoms::system()) => {
                let Some([sender, request]) = term::elements(env, from) else {
                    return Message::plain(message);
                };
                let sort = match is(tag, atoms::system()) {
                    true => atoms::system(),
                    false => atoms::call(),
                };
                Message {
                    content,
                    sort,
                    reference: reference(env, *request),
                    sender: Some(*sender),
                }
            }
            [tag, content] if is(tag, atoms::gen_cast()) => Message {
                content,
                sort: atoms::cast(),
                reference: None,
                sender: None,
            },
            [tag, content] if reference(env, tag).is_some() => Message {
                content,
                sort: atoms::reply(),
                reference: reference(env, tag),
                sender: None,
            },
            _ => Message::plain(message),
        }
    }

    /// A message of a form that the VM makes: of a monitor, a link or a timer.
    fn by_vm(env: Env<'_>, message: Term<'_>) -> Option<Message> {
        let elements = term::elements(env, word(message))?;
        let is = |tag: Word, name: Atom| tag == word_of(name.as_c_arg());
        let is_pid = |who: Word| term::term(env, who).is_pid();
        let whole = |sort, reference, sender| Message {
            content: word(message),
            sort,
            reference,
            sender,
        };
        match *elements {
            [tag, monitor, _, who, _] if is(tag, atoms::down_signal()) && is_pid(who) => {
                Some(whole(atoms::down(), Some(monitor), Some(who)))
            }
            [tag, who, _] if is(tag, atoms::exit_signal()) && is_pid(who) => {
                Some(whole(atoms::exit(), None, Some(who)))
            }
            [tag, timer, _] if is(tag, atoms::timeout()) && term::term(env, timer).is_ref() => {
                Some(whole(atoms::timer(), Some(timer), None))
            }
            _ => None,
        }
    }
}

/// The reference that a tag of `gen` holds: it is one, or `[:alias | one]`.
fn reference(env: Env<'_>, tag: Word) -> Option<Word> {
    let tag = term::term(env, tag);
    if tag.is_ref() {
        return Some(word(tag));
    }
    let (first, rest) = tag.list_get_cell().ok()?;
    (atoms::alias() == first && rest.is_ref()).then(|| word(rest))
}
