//! What a query needs to know of the host.

use crate::event::{AtomId, EventKind, SiteId, Symbols};
use crate::query::Rows;
use crate::site::SiteTable;
use crate::store::EventHead;
use crate::value::Names;

/// What is known of a site.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SiteFacts<'a> {
    /// Its module.
    pub module: AtomId,
    /// Its function, where it is in one.
    pub function: Option<AtomId>,
    /// Number of arguments of the function.
    pub arity: u32,
    /// The source file.
    pub file: &'a str,
    /// The line in it.
    pub line: u32,
    /// The number of the clause.
    pub clause: u32,
    /// The behaviour that calls the function.
    pub behaviour: Option<AtomId>,
}

/// Knows the sites of the program.
pub trait Sites: Sync {
    /// What is known of `site`.
    fn site(&self, site: SiteId) -> Option<SiteFacts<'_>>;
}

impl Sites for SiteTable {
    fn site(&self, site: SiteId) -> Option<SiteFacts<'_>> {
        self.get(site).map(|def| SiteFacts {
            module: def.module,
            function: def.function,
            arity: def.arity,
            file: &def.file,
            line: def.line,
            clause: def.clause,
            behaviour: def.behaviour,
        })
    }
}

/// The host's [`AtomId`] of the name of each [`EventKind`].
#[derive(Clone, Copy, Debug)]
pub struct KindNames([AtomId; EventKind::ALL.len()]);

impl KindNames {
    /// Asks `intern` for the id of each name.
    pub fn new(mut intern: impl FnMut(&'static str) -> AtomId) -> KindNames {
        let mut ids = [AtomId(0); EventKind::ALL.len()];
        for (id, kind) in ids.iter_mut().zip(EventKind::ALL) {
            *id = intern(kind.name());
        }
        KindNames(ids)
    }

    /// The host's id of the name of `kind`.
    #[must_use]
    pub fn id(&self, kind: EventKind) -> AtomId {
        let index = EventKind::ALL.iter().position(|&k| k == kind);
        index
            .and_then(|index| self.0.get(index))
            .copied()
            .unwrap_or_default()
    }
}

/// Knows the states between which processes changed.
pub trait States: Sync {
    /// Appends the payload of an event, as [`EventKind::fields`] lists it, if the store keeps it without its states, and they
    /// are known; otherwise answers false, and the payload is as it is.
    fn expand(&self, head: &EventHead, payload: &[u8], out: &mut Vec<u8>) -> bool;

    /// Does so for all of `rows`.
    fn expand_all(&self, rows: &mut Rows);
}

/// What a query needs to know of the host.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The sites of the program.
    pub sites: &'a dyn Sites,
    /// The names of atoms, for order.
    pub names: &'a (dyn Names + Sync),
    /// Words of the engine's own.
    pub symbols: &'a Symbols,
    /// Names of the kinds of events.
    pub kinds: &'a KindNames,
    /// Added to a time, gives the wall time.
    pub time_offset_ns: i64,
    /// The name of this node.
    pub node: AtomId,
    /// What fills in state changes of which the store keeps the trigger alone; `None` where it keeps them whole.
    pub states: Option<&'a dyn States>,
    /// Whether the rows link sends with arrivals, so that what became of messages is put into those that tell of them.
    pub flows: bool,
}
