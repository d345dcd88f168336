//! The places of the program that record. A site's number is made at compile time; the engine gives it an index.
//!
//! Tables of growing size, each filled to three quarters before the next is made; within one, open addressing over a
//! bounded window. Append-only, so a lookup is one load in almost every case and never waits. Entries live as long as the
//! library.
//!
//! Beside its number each entry tells whether the place records, and whether its calls end with a state, so that a lookup tells
//! all of it at the cost of one.

mod def;
mod switch;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use once_cell::race::OnceBox;
use parking_lot::Mutex;

pub use self::def::{Callee, Receives, SiteDef, StateArgument, Via};
pub use self::switch::{Rule, SiteClass, Strategy, Switches};
use crate::event::SiteId;

/// What a lookup finds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FoundSite {
    /// The index; [`SiteId::NONE`] of a site that is not defined.
    pub site: SiteId,
    /// Whether it records. One that is not defined does: nothing is known against it.
    pub is_on: bool,
    /// Whether a call of it ends with a state.
    pub holds_state: bool,
}

impl FoundSite {
    /// No site.
    pub const NONE: FoundSite = FoundSite {
        site: SiteId::NONE,
        is_on: true,
        holds_state: false,
    };

    #[inline(always)]
    fn new(site: SiteId, word: u64) -> FoundSite {
        FoundSite {
            site,
            is_on: word & OFF == 0,
            holds_state: word & STATE != 0,
        }
    }
}

/// All sites that were ever seen.
#[derive(Debug)]
pub struct SiteTable {
    /// The first level stands in the table itself, and all of that is zeros at first, so that the lookup of almost every
    /// site is one load from a place known when the library is linked, and the table costs nothing that is not used.
    first: [Entry; 1 << FIRST_BITS],
    larger: [OnceBox<Box<[Entry]>>; LARGER],
    used: [AtomicU32; 1 + LARGER],
    refused: AtomicU64,
    /// What new sites are switched by; `None` for nothing. Held while one site is switched; `switching` while all sites follow a
    /// change.
    switches: Mutex<Option<Arc<Switches>>>,
    switching: Mutex<()>,
}

const FIRST_BITS: u32 = 12;
/// log2 of the entries in each level after the first. All together a little more than 2^18.
const LARGER_BITS: [u32; LARGER] = [15, 18];
const LARGER: usize = 2;
/// How far from its place an entry may stand.
const WINDOW: usize = 16;
/// Set beside the number of a site that is switched off. Numbers are without it.
const OFF: u64 = 1 << 62;
/// Set beside the number of a site whose calls end with a state. Numbers are without it, too.
const STATE: u64 = 1 << 61;
const FLAGS: u64 = OFF | STATE;

#[derive(Debug)]
struct Entry {
    /// 0, or the site's number, with [`OFF`] if it does not record and [`STATE`] if its calls end with a state; set after
    /// `site`.
    id: AtomicU64,
    site: OnceBox<(u64, SiteDef)>,
}

/// The entries of one level.
#[derive(Clone, Copy)]
struct Level<'e> {
    bits: u32,
    /// Sites of smaller levels, so that each index is given once.
    base: u32,
    entries: &'e [Entry],
    used: &'e AtomicU32,
}

static SHARED: SiteTable = SiteTable::new();

impl Default for SiteTable {
    fn default() -> Self {
        SiteTable::new()
    }
}

impl SiteTable {
    /// An empty table.
    #[must_use]
    pub const fn new() -> SiteTable {
        SiteTable {
            first: [const { Entry::new() }; 1 << FIRST_BITS],
            larger: [const { OnceBox::new() }; LARGER],
            used: [const { AtomicU32::new(0) }; 1 + LARGER],
            refused: AtomicU64::new(0),
            switches: Mutex::new(None),
            switching: Mutex::new(()),
        }
    }

    /// The one table of this library, shared by all recorders.
    #[inline(always)]
    #[must_use]
    pub fn shared() -> &'static SiteTable {
        &SHARED
    }

    /// The levels that exist, or with `more` all of them, made one after the other as they are asked for.
    fn levels(&self, more: bool) -> impl Iterator<Item = Level<'_>> {
        let [first_used, larger_used @ ..] = &self.used;
        let first = Level {
            bits: FIRST_BITS,
            base: 0,
            entries: &self.first,
            used: first_used,
        };
        let mut base = 1 << FIRST_BITS;
        let larger = self.larger.iter().zip(LARGER_BITS).zip(larger_used);
        let larger = larger.map_while(move |((entries, bits), used)| {
            let entries = match more {
                true => Some(entries.get_or_init(|| Box::new(Entry::many(bits)))),
                false => entries.get(),
            }?;
            let level = Level {
                bits,
                base,
                entries,
                used,
            };
            base += 1 << bits;
            Some(level)
        });
        std::iter::once(first).chain(larger)
    }

    /// More indexes than this are never given; they count from 1.
    pub const CAPACITY: usize = (1 << FIRST_BITS) + (1 << LARGER_BITS[0]) + (1 << LARGER_BITS[1]);

    /// The numbers that sites may have: all but 0 and those with one of two certain bits.
    pub const NUMBERS: u64 = !FLAGS;

    /// The index of the site with this number, or [`SiteId::NONE`] if it was not defined yet.
    #[inline(always)]
    #[must_use]
    pub fn find(&self, id: u64) -> SiteId {
        self.look(id).site
    }

    /// The same, and whether the site records.
    #[inline(always)]
    #[must_use]
    pub fn look(&self, id: u64) -> FoundSite {
        let at = home(id, FIRST_BITS);
        if let Some(entry) = self.first.get(at)
            // Acquire: as in `look_further`.
            && let word = entry.id.load(Ordering::Acquire)
            && word & !FLAGS == id
        {
            return FoundSite::new(SiteId(at as u32 + 1), word);
        }
        self.look_further(id)
    }

    /// Of a site that does not stand in its own place of the first level.
    #[inline(never)]
    fn look_further(&self, id: u64) -> FoundSite {
        for level in self.levels(false) {
            for (site, entry) in level.window(id) {
                // Acquire: pairs with the Release in `Entry::switch`; who finds the number finds the definition.
                let word = entry.id.load(Ordering::Acquire);
                if word & !FLAGS == id {
                    return FoundSite::new(site, word);
                }
            }
        }
        FoundSite::NONE
    }

    /// Switches all sites, those that are defined later as well.
    pub fn switch(&self, switches: Switches) {
        let _turn = self.switching.lock();
        let switches = Some(Arc::new(switches));
        self.switches.lock().clone_from(&switches);
        for entry in self.levels(false).flat_map(|level| level.entries) {
            entry.switch(switches.as_deref());
        }
    }

    /// Makes a site seen, switched as those that are seen already. Under the lock: a change of the switches comes before it, and
    /// these are the new ones, or behind it, and finds this entry.
    fn publish(&self, entry: &Entry) {
        let switches = self.switches.lock();
        entry.switch(switches.as_deref());
    }

    /// Gives the site with this number an index; the same one for ever, whoever defines it and how often. Whoever called
    /// this finds the site.
    /// [`SiteId::NONE`] when the table is full, or for what is no number of a site.
    pub fn define(&self, id: u64, def: SiteDef) -> SiteId {
        if id == 0 || id & FLAGS != 0 {
            return SiteId::NONE;
        }
        let found = self.find(id);
        if found.is_some() {
            return found;
        }
        let mut boxed = Box::new((id, def));
        for level in self.levels(true) {
            // A level that is three quarters full takes no more; two that race past the mark do no harm. Relaxed: a hint.
            let capacity = 1u32 << level.bits;
            let is_full = level.used.load(Ordering::Relaxed) >= capacity - capacity / 4;
            for (index, entry) in level.window(id) {
                if entry.site.get().is_none() {
                    if is_full {
                        continue;
                    }
                    match entry.site.set(boxed) {
                        Ok(()) => {
                            level.used.fetch_add(1, Ordering::Relaxed);
                            self.publish(entry);
                            return index;
                        }
                        Err(back) => boxed = back,
                    }
                }
                if entry.site.get().is_some_and(|site| site.0 == id) {
                    // Whoever defines it may not have come to make it seen yet. To us it is defined when this returns: what we
                    // record next must not go without its place.
                    self.publish(entry);
                    return index;
                }
            }
        }
        self.refused.fetch_add(1, Ordering::Relaxed);
        SiteId::NONE
    }

    /// What is known of a site.
    #[inline]
    #[must_use]
    pub fn get(&self, site: SiteId) -> Option<&SiteDef> {
        let index = site.0.checked_sub(1)?;
        let entry = match self.first.get(index as usize) {
            Some(entry) => entry,
            None => self.get_further(index)?,
        };
        entry.site.get().map(|site| &site.1)
    }

    /// The entry of an index behind the first level.
    #[inline(never)]
    fn get_further(&self, index: u32) -> Option<&Entry> {
        let level = self
            .levels(false)
            .filter(|level| index >= level.base)
            .last()?;
        level.entries.get((index - level.base) as usize)
    }

    /// Whether a call entered at `entry` may be what the tail call at `place` leads to.
    #[must_use]
    pub fn is_callee(&self, place: SiteId, entry: SiteId) -> bool {
        let callee = self.get(place).and_then(|def| def.callee);
        callee.is_some_and(|callee| {
            self.get(entry).is_some_and(|def| {
                (def.module, def.function, def.arity)
                    == (callee.module, Some(callee.function), callee.arity)
            })
        })
    }

    /// How many sites are defined.
    #[must_use]
    pub fn len(&self) -> usize {
        self.used
            .iter()
            .map(|used| used.load(Ordering::Relaxed) as usize)
            .sum()
    }

    /// Whether no site is defined.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How often a definition found no room.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Bytes held, names of files aside.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let tables: usize = self
            .levels(false)
            .map(|level| size_of_val(level.entries))
            .sum();
        tables + self.len() * size_of::<(u64, SiteDef)>()
    }
}

impl Entry {
    const fn new() -> Entry {
        Entry {
            id: AtomicU64::new(0),
            site: OnceBox::new(),
        }
    }

    fn many(bits: u32) -> Box<[Entry]> {
        std::iter::repeat_with(Entry::new).take(1 << bits).collect()
    }

    /// Sets what a lookup finds, if there is a definition.
    fn switch(&self, switches: Option<&Switches>) {
        if let Some((id, def)) = self.site.get() {
            let is_on = switches.is_none_or(|switches| switches.takes(def));
            let off = if is_on { 0 } else { OFF };
            let state = if def.holds_state { STATE } else { 0 };
            // Release: publishes the definition to those who find the number.
            self.id.store(id | off | state, Ordering::Release);
        }
    }
}

impl<'e> Level<'e> {
    /// The entries where `id` may stand, with the index that each one gives.
    #[inline]
    fn window(self, id: u64) -> impl Iterator<Item = (SiteId, &'e Entry)> {
        let (home, mask) = (home(id, self.bits), self.entries.len().wrapping_sub(1));
        (0..WINDOW).filter_map(move |step| {
            let at = (home + step) & mask;
            let site = SiteId(self.base + at as u32 + 1);
            self.entries.get(at).map(|entry| (site, entry))
        })
    }
}

/// The place of `id` in a level of so many entries. Numbers are hashes already.
#[inline(always)]
const fn home(id: u64, bits: u32) -> usize {
    id as usize & ((1 << bits) - 1)
}

#[cfg(all(test, not(loom)))]
mod tests;
