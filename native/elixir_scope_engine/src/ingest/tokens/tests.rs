//! Messages with tokens against what processes really did, with records that are lost: what is told is true, and what no loss concerns
//! is told.

use std::collections::{HashMap, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::event::{EventKind, SiteId, Ticks};
use crate::ingest::encode::{put_int, put_pid};

#[derive(Clone, Copy, Debug)]
struct Message {
    sender: u64,
    serial: i64,
    content: u8,
    /// The event that tells of its sending, and whether that and its name were recorded.
    sent: Option<EventId>,
    arrived: TimeNs,
}

fn head(process: u64, sequence: u16) -> RecordHead {
    RecordHead {
        kind: EventKind::MessageSend,
        depth: 0,
        ticks: Ticks(0),
        process: ProcessId(process),
        site: SiteId::NONE,
        sequence,
        correlation: CorrelationId::NONE,
        preceding: crate::record::Preceding::NOTHING,
    }
}

#[derive(Default)]
struct World {
    now: i64,
    next_id: u64,
    sequences: HashMap<u64, u16>,
    serials: HashMap<u64, i64>,
    mailboxes: HashMap<u64, VecDeque<Message>>,
    /// When a record of a process was missed last.
    gaps: HashMap<u64, TimeNs>,
}

const NEVER: TimeNs = TimeNs(i64::MIN);
const EPOCH: i64 = 7;

impl World {
    fn sequence(&mut self, process: u64) -> u16 {
        let sequence = self.sequences.entry(process).or_default();
        *sequence = RecordHead::next_sequence(*sequence);
        *sequence
    }

    fn send(&mut self, tokens: &mut Tokens, from: u64, to: u64, content: u8, lost: (bool, bool)) {
        self.now += 1;
        self.next_id += 1;
        let id = EventId(self.next_id);
        let root = CorrelationId(self.next_id);
        let sequences = [self.sequence(from), self.sequence(from)];
        let serial = self.serials.entry(from).or_default();
        *serial += 1;
        let name = Name {
            epoch: EPOCH,
            serial: *serial,
        };
        let stamp = Stamp {
            name,
            receiver: ProcessId(to),
        };
        if !lost.0 {
            tokens.sent(&head(from, sequences[0]), id, root);
        }
        if !lost.1 {
            tokens.stamped(&head(from, sequences[1]), &stamp, TimeNs(self.now));
        }
        if lost.0 || lost.1 {
            self.gaps.insert(from, TimeNs(self.now));
        }
        let message = Message {
            sender: from,
            serial: name.serial,
            content,
            sent: (lost == (false, false)).then_some(id),
            arrived: TimeNs(self.now),
        };
        let taking = taking(to, &message);
        tokens.arrived(&taking, EventId(1), message.arrived, NEVER);
        self.mailboxes.entry(to).or_default().push_back(message);
    }

    /// Takes one of a mailbox: the first that says the same as the one at `place`.
    fn take(&mut self, tokens: &mut Tokens, process: u64, place: usize) {
        self.now += 1;
        let mailbox = self.mailboxes.entry(process).or_default();
        let Some(content) = mailbox.get(place % mailbox.len().max(1)).map(|m| m.content) else {
            return;
        };
        let first = mailbox.iter().position(|m| m.content == content).unwrap();
        let message = mailbox.remove(first).unwrap();
        let told = Told {
            name: Name {
                epoch: EPOCH,
                serial: message.serial,
            },
            root: CorrelationId(1 << 30),
        };
        let gap = self.gaps.get(&message.sender).copied().unwrap_or(NEVER);
        let (id, root, arrived) = tokens.taken(
            &taking(process, &message),
            told,
            TimeNs(self.now),
            (NEVER, gap, NEVER),
        );
        match message.sent {
            Some(sent) => {
                assert_eq!((id, root), (sent, CorrelationId(sent.0)));
                let handled = tokens.handled(ProcessId(process), &[message.content]);
                assert_eq!(handled, Some((sent, root)));
                assert_eq!(tokens.handled(ProcessId(process), &[99]), None);
            }
            None => {
                assert_eq!((id, root), (EventId::AMBIGUOUS, CorrelationId::AMBIGUOUS));
                let handled = tokens.handled(ProcessId(process), &[message.content]);
                assert_eq!(handled, None);
            }
        }
        assert_eq!(arrived, Some(message.arrived));
    }
}

fn taking(receiver: u64, message: &Message) -> Taking<'static> {
    const CONTENTS: [u8; 4] = [0, 1, 2, 3];
    let place = usize::from(message.content);
    Taking {
        receiver: ProcessId(receiver),
        sender: ProcessId(message.sender),
        sort: 1,
        message: &CONTENTS[place..=place],
    }
}

proptest! {
    #[test]
    fn a_message_is_told_by_its_name_whatever_is_lost_and_in_whatever_order_it_is_taken(
        steps in prop::collection::vec((0..3u8, 1..5u64, 1..5u64, 0..3u8, 0..12u8), 1..200),
    ) {
        let mut tokens = Tokens::new(1 << 20);
        tokens.begins(TimeNs(0));
        let mut world = World { next_id: 10, ..World::default() };
        for (what, one, other, content, luck) in steps {
            if what < 2 {
                world.send(&mut tokens, one, other, content, (luck == 0, luck == 1));
            } else {
                world.take(&mut tokens, one, usize::from(luck));
            }
        }
    }
}

#[test]
fn what_goes_on_with_a_token_bears_the_root_of_what_was_taken_last() {
    let mut tokens = Tokens::new(1 << 16);
    tokens.begins(TimeNs(0));
    let mut world = World {
        next_id: 10,
        ..World::default()
    };
    let (own, new) = (CorrelationId(5), CorrelationId(6));
    let process = ProcessId(2);
    assert_eq!(tokens.root(Carried::On, process, own), own);
    assert_eq!(
        tokens.root(Carried::On, process, CorrelationId::NONE),
        CorrelationId::NONE
    );
    assert_eq!(
        tokens.root(Carried::New(new), process, CorrelationId::NONE),
        new
    );
    assert_eq!(tokens.root(Carried::On, process, CorrelationId::NONE), new);
    world.send(&mut tokens, 1, 2, 0, (false, false));
    world.take(&mut tokens, 2, 0);
    let taken = CorrelationId(11);
    assert_eq!(
        tokens.root(Carried::On, process, CorrelationId::NONE),
        taken
    );
    assert_eq!(
        tokens.root(Carried::New(new), process, CorrelationId::NONE),
        new
    );
    assert_eq!(tokens.handled(process, &[0]), None);
}

#[test]
fn what_had_to_be_forgotten_is_not_said_to_be_untold() {
    let mut tokens = Tokens::new(1 << 16);
    tokens.begins(TimeNs(0));
    let mut world = World {
        next_id: 10,
        ..World::default()
    };
    for _ in 0..5_000 {
        world.send(&mut tokens, 1, 2, 0, (false, false));
    }
    assert!(tokens.bytes() <= 1 << 16, "{}", tokens.bytes());
    let told = |serial| Told {
        name: Name {
            epoch: EPOCH,
            serial,
        },
        root: CorrelationId(3),
    };
    let lost = (NEVER, NEVER, NEVER);
    let mut forgotten = 0;
    // Which of the old ones had to go is a matter of hashes.
    for message in world.mailboxes[&2].iter().take(200) {
        let told = told(message.serial);
        let (id, ..) = tokens.taken(&taking(2, message), told, TimeNs(6_000), lost);
        assert!(id == EventId::AMBIGUOUS || Some(id) == message.sent);
        forgotten += usize::from(id == EventId::AMBIGUOUS);
    }
    assert!(forgotten > 100, "{forgotten} of 200");
    let oldest = world.mailboxes[&2][0];
    // In an epoch of which nothing was forgotten it is known that nobody told.
    let told = Told {
        name: Name {
            epoch: EPOCH + 1,
            serial: 1,
        },
        ..told(1)
    };
    tokens.begins(TimeNs(6_000));
    let (id, root, _) = tokens.taken(&taking(2, &oldest), told, TimeNs(6_001), lost);
    assert_eq!((id, root), (EventId::NONE, CorrelationId(3)));
}

#[test]
fn a_stamp_is_told_from_a_message_that_is_taken() {
    let (mut stamp, mut taken) = (Vec::new(), Vec::new());
    put_int(&mut stamp, EPOCH);
    put_int(&mut stamp, 3);
    put_pid(&mut stamp, ProcessId(9));
    let name = Name {
        epoch: EPOCH,
        serial: 3,
    };
    let receiver = ProcessId(9);
    assert_eq!(Stamp::read(&stamp), Some(Stamp { name, receiver }));
    put_pid(&mut taken, ProcessId(9));
    taken.extend_from_slice(&stamp);
    assert_eq!(Stamp::read(&taken), None);
    assert_eq!(Stamp::read(&stamp[..2]), None);
}
