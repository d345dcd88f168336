//! Messages: what they carry is taken out of the wrappers of `gen`, so that a request is the same on both sides, and whether it was
//! seen by an injected call or by the VM.

use elixir_scope_engine::event::{EventKind, ProcessId, SiteId};
use elixir_scope_engine::value::Full;
use elixir_scope_engine::{Group, ProcessSlots, RecordBuf, Slot, Traces, Window};
use rustler::{Atom, Env, Term};

use super::tokens::Sending;
use super::{Event, local_of};
use crate::atoms;
use crate::capture::{NOWHERE, Receiver, atom, newest_record};
use crate::host::{BEAM, pid_word};
use crate::payload::{Body, Payload, Values};
use crate::term::encode::Quick;
use crate::term::{self, Terms, Word, raw, word, word_of};
use written::{Bytes, Sort, WRITTEN};

mod written;

impl<'a> Event<'a> {
    /// A message is sent by the tracee; to nobody, if the VM says so.
    #[inline(never)]
    pub(super) fn sent(&self, is_to_nobody: bool) {
        let traces = Traces::shared();
        let wanted = traces.wanted(Group::Send, self.process);
        if traces.was_told(self.process, || newest_record(self.process)) {
            return;
        }
        self.record(
            wanted,
            EventKind::MessageSend,
            SiteId::NONE,
            |thread, slot, counted| {
                let generation = thread.settings.generation;
                let node = thread.settings.node;
                let receiver = self.extra().map_or_else(Receiver::default, |receiver| {
                    Receiver::of(self.env, term::term(self.env, receiver), |name| {
                        name == term::atom_word(node)
                    })
                });
                if let Some(process) = receiver.process.and_then(local_of) {
                    traces.sent(process, counted, &**BEAM);
                }
                let place = slot.map_or(NOWHERE, |slot| slot.current(generation));
                let is_exact = !traces.exact(counted).is_empty();
                if is_exact {
                    thread.sending = Some(Sending::of(self.env, self.process, self.first));
                }
                let sent = Sent {
                    carried: is_exact.then(|| self.carried(thread)),
                    sender: self.process,
                    message: Message::sent(self.env, self.first),
                    to_dead: is_to_nobody || receiver.is_nobody,
                    receiver,
                };
                (place, sent)
            },
        );
    }

    /// A message has come into the mailbox of the tracee. The end of a wait without one is no message.
    #[inline(never)]
    pub(super) fn received(&self) {
        let result = self.result();
        if result.is_none() && word(self.first) == atom(atoms::timeout()) {
            // A message `:timeout` has a sender.
            return;
        }
        // What one of ours answers is no event.
        let is_muted = |slot: &Slot| {
            slot.is_muted_for_life()
                || slot.is_muted() && self.arrival(result).sender.is_some_and(is_ours)
        };
        let kind = EventKind::MessageReceive;
        self.befell_unless(is_muted, Group::Receive, kind, |_counted| {
            self.arrival(result)
        });
    }

    #[inline(always)]
    fn arrival(&self, result: Option<Word>) -> Received {
        let env = self.env;
        let (origin, sender) = origin(result);
        let message = match Message::by_vm(env, self.first) {
            // Only the VM says of a process that it is no more, in that one's name.
            Some(message) if sender.is_none() || sender == message.sender => message,
            _ if origin == Some(atom(atoms::clock_service())) => Message {
                sort: Sort::Timer,
                ..Message::plain(self.first)
            },
            _ => Message::sent(env, self.first),
        };
        Received {
            receiver: self.process,
            sender: sender.or(message.sender),
            message,
        }
    }
}

/// What a record of a message that was sent says. Most of it is the same each time, and is written at once.
struct Sent {
    sender: ProcessId,
    receiver: Receiver,
    message: Message,
    to_dead: bool,
    /// Behind the fields, where a trace is exact.
    carried: Option<Word>,
}

impl<'t> Body<'t> for Sent {
    const IS_QUICK: bool = true;

    #[inline(always)]
    fn quick<'w, T: Terms<'t>>(
        &self,
        quick: Quick<'_, T>,
        window: Window<'w>,
    ) -> Option<Window<'w>> {
        let written = WRITTEN.get().filter(|_| self.carried.is_none())?;
        let nil = written.nil();
        let window = window.pid(self.sender.0)?;
        let window = or_nil(quick, window, self.receiver.process, nil)?;
        let window = or_nil(quick, window, self.receiver.name, nil)?;
        let window = quick.term(window, self.message.content)?;
        if self.message.reference.is_none() && !self.to_dead {
            return written.behind_sent(self.message.sort).put(window);
        }
        let window = nil.put(window)?;
        let window = written.sort(self.message.sort).put(window)?;
        let window = or_nil(quick, window, self.message.reference, nil)?;
        let window = written.three_nils().put(window)?;
        match self.to_dead {
            true => quick.term(window, atom(atoms::true_())),
            false => nil.put(window),
        }
    }

    fn write(self, payload: &mut Payload<'_, 't, RecordBuf<'_>>) -> Result<(), Full> {
        written::prepare();
        let nil = atom(atoms::nil());
        let to_dead = match self.to_dead {
            true => atom(atoms::true_()),
            false => nil,
        };
        let fields = [
            pid_word(self.sender),
            self.receiver.process.unwrap_or(nil),
            self.receiver.name.unwrap_or(nil),
            self.message.content,
            nil,
            atom(self.message.sort.name()),
            self.message.reference.unwrap_or(nil),
            nil,
            nil,
            nil,
            to_dead,
        ];
        Values(&fields).write(payload)?;
        Values(self.carried.as_slice()).write(payload)
    }
}

/// What a record of a message that arrived says.
struct Received {
    receiver: ProcessId,
    sender: Option<Word>,
    message: Message,
}

impl<'t> Body<'t> for Received {
    const IS_QUICK: bool = true;

    #[inline(always)]
    fn quick<'w, T: Terms<'t>>(
        &self,
        quick: Quick<'_, T>,
        window: Window<'w>,
    ) -> Option<Window<'w>> {
        let written = WRITTEN.get()?;
        let nil = written.nil();
        let window = window.pid(self.receiver.0)?;
        let window = or_nil(quick, window, self.sender, nil)?;
        let window = quick.term(window, self.message.content)?;
        if self.message.reference.is_none() {
            return written.behind_received(self.message.sort).put(window);
        }
        let window = written.sort(self.message.sort).put(window)?;
        or_nil(quick, window, self.message.reference, nil)
    }

    fn write(self, payload: &mut Payload<'_, 't, RecordBuf<'_>>) -> Result<(), Full> {
        written::prepare();
        let nil = atom(atoms::nil());
        let fields = [
            pid_word(self.receiver),
            self.sender.unwrap_or(nil),
            self.message.content,
            atom(self.message.sort.name()),
            self.message.reference.unwrap_or(nil),
        ];
        Values(&fields).write(payload)
    }
}

/// A pid mostly, or nothing.
#[inline(always)]
fn or_nil<'t, 'w, T: Terms<'t>>(
    quick: Quick<'_, T>,
    window: Window<'w>,
    value: Option<Word>,
    nil: &Bytes,
) -> Option<Window<'w>> {
    match value {
        None => nil.put(window),
        Some(process) if term::is_local_pid(process as u64) => window.pid(process as u64),
        Some(other) => quick.term(window, other),
    }
}

/// Where a message came from, by what the match spec says: a node, a port, or the VM's timers; or the process, if it was one of this node.
fn origin(result: Option<Word>) -> (Option<Word>, Option<Word>) {
    match result {
        Some(sender) if term::is_local_pid(sender as u64) => (None, Some(sender)),
        other => (other, None),
    }
}

/// Whether a process is one of ours.
fn is_ours(process: Word) -> bool {
    ProcessSlots::shared()
        .find(ProcessId(process as u64))
        .is_some_and(Slot::is_muted_for_life)
}

/// A message, out of its wrapper.
pub(super) struct Message {
    pub(super) content: Word,
    pub(super) sort: Sort,
    /// What a request and its answer have in common, or a monitor and its message.
    pub(super) reference: Option<Word>,
    /// Whom it names as its sender.
    pub(super) sender: Option<Word>,
}

impl Message {
    #[inline(always)]
    fn plain(message: Term<'_>) -> Message {
        Message {
            content: word(message),
            sort: Sort::Send,
            reference: None,
            sender: None,
        }
    }

    /// A message that a process sent: it can look like anything.
    #[inline(always)]
    pub(super) fn sent(env: Env<'_>, message: Term<'_>) -> Message {
        let plain = Message::plain(message);
        match term::elements(env, word(message)) {
            Some(elements @ ([_, _] | [_, _, _])) => {
                Message::wrapped(env, elements).unwrap_or(plain)
            }
            _ => plain,
        }
    }

    #[inline(always)]
    fn wrapped(env: Env<'_>, elements: &[Word]) -> Option<Message> {
        let is = |tag: Word, name: Atom| tag == word_of(name.as_c_arg());
        match *elements {
            [tag, from, content] => {
                let sort = match () {
                    () if is(tag, atoms::gen_call()) => Sort::Call,
                    () if is(tag, atoms::system()) => Sort::System,
                    () => return None,
                };
                let &[sender, request] = term::elements(env, from)? else {
                    return None;
                };
                Some(Message {
                    content,
                    sort,
                    reference: reference(env, request),
                    sender: Some(sender),
                })
            }
            [tag, content] if is(tag, atoms::gen_cast()) => Some(Message {
                content,
                sort: Sort::Cast,
                reference: None,
                sender: None,
            }),
            [tag, content] => Some(Message {
                content,
                sort: Sort::Reply,
                reference: Some(reference(env, tag)?),
                sender: None,
            }),
            _ => None,
        }
    }

    /// A message of a form that the VM makes: of a monitor, a link or a timer.
    #[inline(always)]
    pub(super) fn by_vm(env: Env<'_>, message: Term<'_>) -> Option<Message> {
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
                Some(whole(Sort::Down, Some(monitor), Some(who)))
            }
            [tag, who, _] if is(tag, atoms::exit_signal()) && is_pid(who) => {
                Some(whole(Sort::Exit, None, Some(who)))
            }
            [tag, timer, _] if is(tag, atoms::timeout()) && term::term(env, timer).is_ref() => {
                Some(whole(Sort::Timer, Some(timer), None))
            }
            _ => None,
        }
    }
}

/// The reference that a tag of `gen` holds: it is one, or `[:alias | one]`.
#[inline(always)]
fn reference(env: Env<'_>, tag: Word) -> Option<Word> {
    // As of most messages: an atom.
    if raw::is_immediate(tag) {
        return None;
    }
    reference_in(term::term(env, tag))
}

fn reference_in(tag: Term<'_>) -> Option<Word> {
    if tag.is_ref() {
        return Some(word(tag));
    }
    let (first, rest) = tag.list_get_cell().ok()?;
    (atoms::alias() == first && rest.is_ref()).then(|| word(rest))
}
