//! Causal roots against what the processes really did: they send, cast, call, give up waiting, and spawn, with and without
//! losses.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use proptest::prelude::*;

use crate::clock::Clock;
use crate::event::{AtomId, CorrelationId, EventKind, ProcessId, SiteId, Symbol, Symbols, Ticks};
use crate::ingest::Ingest;
use crate::ingest::encode::{put_atom, put_int, put_pid};
use crate::query::tests::Fake;
use crate::query::{Query, Rows};
use crate::record::RecordHead;
use crate::ring::{DrainItem, LossReport};
use crate::site::{Receives, SiteDef, SiteTable, Via};
use crate::store::{Store, StoreConfig};
use crate::value::format::{END, LIST, REDACTED, TUPLE};

const NIL: AtomId = AtomId(1);
const AMBIGUOUS: u64 = CorrelationId::AMBIGUOUS.0;

fn symbols() -> Symbols {
    let mut next = 0;
    Symbols::new(|_| {
        next += 1;
        AtomId(next)
    })
}

/// A function that handles nothing, and one for each way that a message takes; a state machine's is the last.
fn sites() -> (&'static SiteTable, [SiteId; 5]) {
    let table: &SiteTable = Box::leak(Box::default());
    let receives = |via, message, sender| {
        Some(Receives {
            via,
            message,
            sender,
        })
    };
    let all = [
        None,
        receives(Via::Request, 0, Some(1)),
        receives(Via::Notice, 0, None),
        receives(Via::Plain, 0, None),
        receives(Via::Plain, 1, None),
    ];
    let mut number = 0;
    let ids = all.map(|receives| {
        number += 1;
        let def = SiteDef {
            function: Some(AtomId(number as u32)),
            receives,
            ..SiteDef::default()
        };
        table.define(number, def)
    });
    (table, ids)
}

/// A message in a mailbox.
#[derive(Clone, Debug)]
struct Mail {
    via: Via,
    sender: usize,
    /// Masked ones are none that anybody could tell from another.
    content: Option<u8>,
    /// The roots of the calls that led to it.
    ancestry: Vec<u64>,
    /// Of a request: which one it is.
    number: u64,
}

/// A process, as it knows itself.
#[derive(Clone, Debug, Default)]
struct Actor {
    mailbox: VecDeque<Mail>,
    depth: u16,
    /// Of the outermost call: the root that it gave itself, and what it goes back to as far as ingest can know by now.
    own: u64,
    known: u64,
    ancestry: Vec<u64>,
    /// The request that is being handled: whose, and which.
    client: Option<(usize, u64)>,
    /// The request whose answer it waits for.
    waits: Option<u64>,
    /// Whose child it is, if nobody told of that yet.
    untold: bool,
    /// It may go back to this root, as long as it has handled nothing.
    origin: Option<u64>,
    spawner: Vec<u64>,
    first_roots: Vec<u64>,
    /// The child that it has spawned and not told of.
    tells: Option<usize>,
}

type Group = (u8, usize, usize, u8);
type Step = (u8, u8, u8, bool);

/// What is recorded, and what ingest should make of it.
struct Told {
    head: RecordHead,
    payload: Vec<u8>,
    /// The root to be told, before births that come later.
    wanted: u64,
    ancestry: Vec<u64>,
    lost: bool,
}

struct World {
    actors: Vec<Actor>,
    told: Vec<Told>,
    /// Of each group of equal messages all that may be left of it, in roots.
    left: BTreeMap<Group, BTreeSet<Vec<u64>>>,
    aliases: HashMap<u64, u64>,
    sites: [SiteId; 5],
    ticks: u64,
    next_root: u64,
    may_give_up: bool,
    losses: bool,
    /// Whether some messages go to names that ingest does not know the process of.
    names: bool,
}

fn pid(actor: usize) -> ProcessId {
    ProcessId(100 + actor as u64)
}

fn content(out: &mut Vec<u8>, content: Option<u8>) {
    match content {
        Some(number) => put_int(out, i64::from(number)),
        None => out.push(REDACTED),
    }
}

impl World {
    fn new(sites: [SiteId; 5], losses: bool, may_give_up: bool) -> World {
        World {
            actors: vec![Actor::default(); 4],
            told: Vec::new(),
            left: BTreeMap::new(),
            aliases: HashMap::new(),
            sites,
            ticks: 10,
            next_root: 1_000,
            may_give_up,
            losses,
            names: false,
        }
    }

    fn tell(&mut self, actor: usize, kind: EventKind, site: SiteId, payload: Vec<u8>, lost: bool) {
        let me = &self.actors[actor];
        self.ticks += 3;
        let is_inside = me.depth > 0 || kind == EventKind::FunctionEntry;
        self.told.push(Told {
            head: RecordHead {
                preceding: crate::record::Preceding::NOTHING,
                sequence: 0,
                kind,
                depth: me.depth,
                ticks: Ticks(self.ticks),
                process: pid(actor),
                site,
                correlation: CorrelationId(if is_inside { me.own } else { 0 }),
            },
            payload,
            wanted: self.root(actor, is_inside),
            ancestry: self.ancestry(actor, is_inside),
            lost: lost && self.losses,
        });
    }

    fn root(&self, actor: usize, is_inside: bool) -> u64 {
        let me = &self.actors[actor];
        if is_inside {
            me.known
        } else {
            me.origin.filter(|_| !me.untold).unwrap_or(0)
        }
    }

    fn ancestry(&self, actor: usize, is_inside: bool) -> Vec<u64> {
        let me = &self.actors[actor];
        if is_inside {
            me.ancestry.clone()
        } else if me.origin.is_some() {
            me.spawner.clone()
        } else {
            Vec::new()
        }
    }

    /// Begins an outermost call; of the message that it handles what it goes back to, if it handles one.
    fn begin(&mut self, actor: usize, cause: Option<(u64, Vec<u64>)>) {
        self.next_root += 1;
        let own = self.next_root;
        let me = &mut self.actors[actor];
        me.own = own;
        me.known = own;
        me.ancestry = vec![own];
        if let Some((root, ancestry)) = cause {
            me.origin = None;
            me.untold = false;
            me.known = if root == 0 { own } else { root };
            me.ancestry.extend(ancestry);
        } else if let Some(root) = me.origin {
            me.ancestry.extend(me.spawner.iter().copied());
            if !me.untold {
                me.known = root;
            } else {
                me.first_roots.push(own);
                if me.first_roots.len() == 4 {
                    me.origin = None;
                }
            }
        }
    }

    fn step(&mut self, (actor, action, arg, lost): Step) {
        let actor = actor as usize % self.actors.len();
        if let Some(child) = self.actors[actor].tells {
            if action % 2 == 0 {
                self.tell_of_birth(actor, child, lost);
            }
            return;
        }
        if self.actors[actor].waits.is_some() {
            if self.may_give_up && action == 0 {
                self.ticks += 20_000_000;
                self.actors[actor].waits = None;
            }
            return;
        }
        let inside = self.actors[actor].depth > 0;
        match action {
            0..=2 if !inside && !self.actors[actor].mailbox.is_empty() => {
                self.handle(actor, lost, arg)
            }
            0 | 3 => self.call(actor, lost),
            1 | 4 | 5 if inside => self.leave(actor, Symbol::Normal, lost),
            2 | 6..=8 => self.send(actor, action, arg, lost),
            9 if self.actors.len() < 12 => self.spawn(actor, arg, lost),
            _ => self.tell(
                actor,
                EventKind::UserEvent,
                SiteId::NONE,
                vec![0x80, 0x80],
                lost,
            ),
        }
    }

    fn call(&mut self, actor: usize, lost: bool) {
        if self.actors[actor].depth == 0 {
            self.begin(actor, None);
        }
        let mut payload = vec![LIST, 0x85, END];
        payload.shrink_to_fit();
        self.tell(
            actor,
            EventKind::FunctionEntry,
            self.sites[0],
            payload,
            lost,
        );
        self.actors[actor].depth += 1;
    }

    fn leave(&mut self, actor: usize, how: Symbol, lost: bool) {
        self.actors[actor].depth -= 1;
        let mut payload = Vec::new();
        put_atom(&mut payload, symbols().id(how));
        payload.push(0x80);
        let me = &self.actors[actor];
        let (own, known, ancestry) = (me.own, me.known, me.ancestry.clone());
        self.tell(actor, EventKind::FunctionExit, self.sites[0], payload, lost);
        // The exit of an outermost call is still inside of it.
        let told = self.told.last_mut().unwrap();
        told.head.correlation = CorrelationId(own);
        (told.wanted, told.ancestry) = (known, ancestry);
        if self.actors[actor].depth == 0
            && let Some((client, number)) = self.actors[actor].client.take()
            && self.actors[client].waits == Some(number)
        {
            self.actors[client].waits = None;
        }
    }

    fn group(mail: &Mail, receiver: usize) -> Option<Group> {
        let sender = if mail.via == Via::Request {
            mail.sender
        } else {
            0
        };
        Some((mail.via as u8, receiver, sender, mail.content?))
    }

    fn send(&mut self, actor: usize, action: u8, arg: u8, lost: bool) {
        let receiver = arg as usize / 4 % self.actors.len();
        let is_request = action == 8 && receiver != actor;
        let via = match action {
            8 if is_request => Via::Request,
            7 => Via::Notice,
            _ => Via::Plain,
        };
        let inside = self.actors[actor].depth > 0;
        let root = self.root(actor, inside);
        let mail = Mail {
            via,
            sender: actor,
            content: (arg % 4 != 3).then_some(arg % 2),
            ancestry: self.ancestry(actor, inside),
            number: self.ticks,
        };
        let mut payload = Vec::new();
        let symbols = symbols();
        put_pid(&mut payload, pid(actor));
        if self.names && arg.is_multiple_of(3) {
            // {via, module, name}
            put_atom(&mut payload, NIL);
            payload.extend([TUPLE, 3, 0x80, 0x80, 0x80 + receiver as u8]);
        } else {
            put_pid(&mut payload, pid(receiver));
            put_atom(&mut payload, NIL);
        }
        content(&mut payload, mail.content);
        put_atom(&mut payload, NIL);
        let sort = match via {
            Via::Request => Symbol::Call,
            Via::Notice => Symbol::Cast,
            Via::Plain => Symbol::Send,
        };
        put_atom(&mut payload, symbols.id(sort));
        for _ in 0..5 {
            put_atom(&mut payload, NIL);
        }
        self.tell(actor, EventKind::MessageSend, SiteId::NONE, payload, lost);
        if let Some(group) = World::group(&mail, receiver) {
            let worlds = self.left.remove(&group).unwrap_or_default();
            let mut worlds: Vec<_> = worlds.into_iter().collect();
            if worlds.is_empty() {
                worlds.push(Vec::new());
            }
            let with = worlds.into_iter().map(|mut world| {
                world.push(root);
                world.sort_unstable();
                world
            });
            self.left.insert(group, with.collect());
        }
        self.actors[actor].waits = is_request.then_some(mail.number);
        // Some requests are made in a tail call, which is told of before it is made.
        let handles = self.actors[actor].depth == 1 && self.actors[actor].client.is_some();
        if is_request && inside && arg.is_multiple_of(2) && !handles {
            self.leave(actor, Symbol::TailCall, false);
        }
        self.actors[receiver].mailbox.push_back(mail);
    }

    fn handle(&mut self, actor: usize, lost: bool, arg: u8) {
        let mail = self.actors[actor].mailbox.pop_front().unwrap();
        let mut roots = BTreeSet::new();
        if let Some(group) = World::group(&mail, actor) {
            let mut after = BTreeSet::new();
            for world in self.left.remove(&group).unwrap_or_default() {
                for at in 0..world.len() {
                    let mut rest = world.clone();
                    roots.insert(rest.remove(at));
                    after.insert(rest);
                }
            }
            if after.iter().any(|world| !world.is_empty()) {
                self.left.insert(group, after);
            }
        }
        let root = match roots.len() {
            0 => 0,
            1 => *roots.first().unwrap(),
            _ => AMBIGUOUS,
        };
        self.begin(actor, Some((root, mail.ancestry.clone())));
        // {sender, tag}
        let from = |payload: &mut Vec<u8>| {
            payload.extend([TUPLE, 2]);
            put_pid(payload, pid(mail.sender));
            payload.push(0x81);
        };
        let symbols = symbols();
        let mut payload = vec![LIST];
        let is_machine = arg.is_multiple_of(5);
        let site = match mail.via {
            _ if is_machine => {
                let sort = match mail.via {
                    Via::Request => Symbol::Call,
                    Via::Notice => Symbol::Cast,
                    Via::Plain => Symbol::Info,
                };
                if mail.via == Via::Request {
                    payload.extend([TUPLE, 2]);
                }
                put_atom(&mut payload, symbols.id(sort));
                if mail.via == Via::Request {
                    from(&mut payload);
                }
                self.sites[4]
            }
            Via::Request => self.sites[1],
            Via::Notice => self.sites[2],
            Via::Plain => self.sites[3],
        };
        content(&mut payload, mail.content);
        if mail.via == Via::Request && !is_machine {
            from(&mut payload);
        }
        payload.extend([0x87, END]);
        self.tell(actor, EventKind::FunctionEntry, site, payload, lost);
        let me = &mut self.actors[actor];
        me.depth = 1;
        me.client = (mail.via == Via::Request).then_some((mail.sender, mail.number));
    }

    fn spawn(&mut self, actor: usize, arg: u8, lost: bool) {
        let inside = self.actors[actor].depth > 0;
        let child = self.actors.len();
        self.actors.push(Actor {
            untold: true,
            origin: Some(0),
            spawner: self.ancestry(actor, inside),
            ..Actor::default()
        });
        if arg.is_multiple_of(2) {
            self.tell_of_birth(actor, child, lost);
        } else {
            self.actors[actor].tells = Some(child);
        }
    }

    fn tell_of_birth(&mut self, actor: usize, child: usize, lost: bool) {
        self.actors[actor].tells = None;
        let mut payload = Vec::new();
        put_pid(&mut payload, pid(child));
        put_pid(&mut payload, pid(actor));
        for _ in 0..4 {
            put_atom(&mut payload, NIL);
        }
        let root = self.root(actor, self.actors[actor].depth > 0);
        self.tell(actor, EventKind::ProcessSpawn, SiteId::NONE, payload, lost);
        let child = &mut self.actors[child];
        if root != 0 {
            for own in &child.first_roots {
                self.aliases.insert(*own, root);
            }
            if child.known == child.own && child.first_roots.contains(&child.own) {
                child.known = root;
            }
        }
        if child.untold {
            child.untold = false;
            child.origin = child.origin.and((root != 0).then_some(root));
        }
    }

    fn resolve(&self, mut root: u64) -> u64 {
        while let Some(to) = self.aliases.get(&root) {
            root = *to;
        }
        root
    }
}

fn new_ingest(table: &'static SiteTable) -> (Store, Ingest) {
    let config = StoreConfig {
        memory_limit: 8 << 20,
        max_events: None,
        max_age_ns: None,
    };
    let store = Store::new(config).unwrap();
    store.reserve_aliases(64 << 10);
    let ingest = Ingest::new(
        Arc::new(Clock::manual(0)),
        symbols(),
        table,
        crate::ingest::tests::timelines(),
        1 << 20,
    );
    (store, ingest)
}

/// What ingest tells of it: losses before the next record that is left.
fn play(table: &'static SiteTable, told: &[Told]) -> (Rows, Store) {
    let (store, mut ingest) = new_ingest(table);
    let mut appender = store.appender();
    let mut lost: Vec<Ticks> = Vec::new();
    for told in told {
        if told.lost {
            lost.push(told.head.ticks);
            continue;
        }
        if let (Some(from), Some(until)) = (lost.first(), lost.last()) {
            let report = LossReport {
                writer: 7,
                cause: Symbol::DroppedOldest,
                count: lost.len() as u64,
                from: *from,
                until: *until,
            };
            ingest.take(&DrainItem::Loss(report), &mut appender, None);
            lost.clear();
        }
        let item = DrainItem::Record {
            head: told.head,
            payload: &told.payload,
            writer: 1,
        };
        ingest.take(&item, &mut appender, None);
    }
    drop(appender);
    let query = Query {
        kinds: crate::event::KindSet::ALL,
        ..Query::default()
    };
    let rows = store.query(&query, &Fake::new().context()).rows;
    (rows, store)
}

fn arb_steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0u8..24, 0u8..10, any::<u8>(), prop::bool::weighted(0.05));
    prop::collection::vec(step, 1..400)
}

fn pairs<'a>(rows: &'a Rows, told: &'a [Told]) -> impl Iterator<Item = (&'a Told, u64, u64)> {
    let kept = told.iter().filter(|told| !told.lost);
    let events = rows
        .iter()
        .filter(|(head, _)| head.kind != EventKind::DataLoss);
    kept.zip(events)
        .map(|(told, (head, _))| (told, head.id.0, head.correlation.0))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn each_event_goes_back_to_its_root_and_ambiguous_are_those_with_several(steps in arb_steps()) {
        let (table, sites) = sites();
        let mut world = World::new(sites, false, true);
        steps.iter().for_each(|step| world.step(*step));
        let (rows, store) = play(table, &world.told);
        prop_assert_eq!(rows.rows().len(), world.told.len());
        let mut of_root: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for (told, id, root) in pairs(&rows, &world.told) {
            prop_assert_eq!(root, world.resolve(told.wanted), "{:?} of {:?}", id, told.head);
            prop_assert!(root == 0 || root == AMBIGUOUS || told.ancestry.contains(&root));
            of_root.entry(root).or_default().push(id);
        }
        // Asked for by what it is shown as, and by what it was stored with.
        let stored = world.aliases.keys().map(|own| (*own, world.resolve(*own)));
        let shown = of_root.keys().map(|root| (*root, *root));
        for (asked, shown) in stored.chain(shown).filter(|(asked, _)| *asked != 0) {
            let query = Query {
                correlation: Some(CorrelationId(asked)),
                ..Query::default()
            };
            let fake = Fake::new();
            let found = store.query(&query, &fake.context()).rows;
            let found: Vec<u64> = found.rows().iter().map(|row| row.head.id.0).collect();
            let wanted = of_root.get(&shown).cloned().unwrap_or_default();
            prop_assert_eq!(store.count(&query, &fake.context()).0, wanted.len() as u64);
            prop_assert_eq!(found, wanted);
        }
    }

    #[test]
    fn names_that_only_the_host_can_look_up_mislead_nobody(
        steps in arb_steps(),
        may_give_up: bool,
    ) {
        let (table, sites) = sites();
        let mut world = World::new(sites, false, may_give_up);
        world.names = true;
        steps.iter().for_each(|step| world.step(*step));
        let (rows, _) = play(table, &world.told);
        for (told, _, root) in pairs(&rows, &world.told) {
            prop_assert!(root == 0 || root == AMBIGUOUS || told.ancestry.contains(&root));
            // Whoever is found although they were called by a name. A request that was given up may be for anybody by then.
            let is_unique = !may_give_up
                && told.wanted != AMBIGUOUS
                && told.wanted != told.head.correlation.0;
            prop_assert!(root != told.head.correlation.0 || !is_unique, "{:?}", told.head);
        }
    }

    #[test]
    fn after_losses_no_root_is_told_that_did_not_lead_there(steps in arb_steps()) {
        let (table, sites) = sites();
        let mut world = World::new(sites, true, false);
        steps.iter().for_each(|step| world.step(*step));
        let (rows, _) = play(table, &world.told);
        for (told, id, root) in pairs(&rows, &world.told) {
            prop_assert!(
                root == 0 || root == AMBIGUOUS || told.ancestry.contains(&root),
                "{} tells {} of {:?}, which goes back to {:?}", id, root, told.head, told.ancestry
            );
        }
    }
}
