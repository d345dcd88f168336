//! The places of the program that record. A site's number is made at compile time; the engine gives it an index.
//!
//! Tables of growing size, each filled to three quarters before the next is made; within one, open addressing over a
//! bounded window. Append-only, so a lookup is one load in almost every case and never waits. Entries live as long as the
//! library.
//!
//! Beside its number each entry tells whether the place records, so that a lookup tells both at the cost of one.

mod def;
mod switch;

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use once_cell::race::OnceBox;

pub use self::def::{Receives, SiteDef, Via};
pub use self::switch::{Rule, SiteClass, Strategy, Switches};
use crate::event::SiteId;
use crate::sync::Mutex;

/// What a lookup finds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FoundSite {
    /// The index; [`SiteId::NONE`] of a site that is not defined.
    pub site: SiteId,
    /// Whether it records. One that is not defined does: nothing is known against it.
    pub is_on: bool,
}

impl FoundSite {
    /// No site.
    pub const NONE: FoundSite = FoundSite {
        site: SiteId::NONE,
        is_on: true,
    };
}

/// All sites that were ever seen.
#[derive(Debug)]
pub struct SiteTable {
    levels: [Level; LEVELS],
    refused: AtomicU64,
    /// What new sites are switched by. Held for a moment only; `switching` while all sites follow a change.
    switches: Mutex<Arc<Switches>>,
    switching: Mutex<()>,
}

/// log2 of the entries in each level. Together a little more than 2^18.
const BITS: [u32; LEVELS] = [12, 15, 18];
const LEVELS: usize = 3;
/// How far from its place an entry may stand.
const WINDOW: usize = 16;
/// Set beside the number of a site that is switched off. Numbers are without it.
const OFF: u64 = 1 << 62;

#[derive(Debug)]
struct Level {
    bits: u32,
    /// Sites of smaller levels, so that each index is given once.
    base: u32,
    entries: OnceBox<Box<[Entry]>>,
    used: AtomicU32,
}

#[derive(Debug, Default)]
struct Entry {
    /// 0, or the site's number, with [`OFF`] if it does not record; set after `site`.
    id: AtomicU64,
    site: OnceBox<(u64, SiteDef)>,
}

impl Default for SiteTable {
    fn default() -> Self {
        SiteTable::new()
    }
}

impl SiteTable {
    /// An empty table.
    #[must_use]
    pub fn new() -> SiteTable {
        let mut base = 0;
        let levels = BITS.map(|bits| {
            let level = Level {
                bits,
                base,
                entries: OnceBox::new(),
                used: AtomicU32::new(0),
            };
            base += 1 << bits;
            level
        });
        SiteTable {
            levels,
            refused: AtomicU64::new(0),
            switches: Mutex::default(),
            switching: Mutex::default(),
        }
    }

    /// The one table of this library, shared by all recorders.
    pub fn shared() -> &'static SiteTable {
        static TABLE: OnceLock<SiteTable> = OnceLock::new();
        TABLE.get_or_init(SiteTable::new)
    }

    /// The numbers that sites may have: all but 0 and those with one certain bit.
    pub const NUMBERS: u64 = !OFF;

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
        let [first, ..] = &self.levels;
        if let Some(entries) = first.entries.get()
            && let at = first.home(id)
            && let Some(entry) = entries.get(at)
            // Acquire: as in `look_further`.
            && let word = entry.id.load(Ordering::Acquire)
            && word & !OFF == id
        {
            return FoundSite {
                site: first.index(at),
                is_on: word & OFF == 0,
            };
        }
        self.look_further(id)
    }

    /// Of a site that does not stand in its own place of the first level.
    #[inline(never)]
    fn look_further(&self, id: u64) -> FoundSite {
        for level in &self.levels {
            let Some(entries) = level.entries.get() else {
                break;
            };
            for (site, entry) in level.window(entries, id) {
                // Acquire: pairs with the Release in `Entry::switch`; who finds the number finds the definition.
                let word = entry.id.load(Ordering::Acquire);
                if word & !OFF == id {
                    let is_on = word & OFF == 0;
                    return FoundSite { site, is_on };
                }
            }
        }
        FoundSite::NONE
    }

    /// Switches all sites, those that are defined later as well.
    pub fn switch(&self, switches: Switches) {
        let _turn = self.switching.lock();
        let switches = Arc::new(switches);
        *self.switches.lock() = switches.clone();
        let levels = self.levels.iter().filter_map(|level| level.entries.get());
        for entry in levels.flatten() {
            entry.switch(&switches);
        }
    }

    /// Makes a new site seen, switched as those that are seen already. If the switches change meanwhile, either the one who
    /// changes them finds this entry, or this finds the new ones: the lock puts the two in an order.
    fn publish(&self, entry: &Entry) {
        let mut switches = self.switches.lock().clone();
        loop {
            entry.switch(&switches);
            let now = self.switches.lock().clone();
            if Arc::ptr_eq(&now, &switches) {
                return;
            }
            switches = now;
        }
    }

    /// Gives the site with this number an index; the same one for ever, whoever defines it and how often.
    /// [`SiteId::NONE`] when the table is full, or for what is no number of a site.
    pub fn define(&self, id: u64, def: SiteDef) -> SiteId {
        if id == 0 || id & OFF != 0 {
            return SiteId::NONE;
        }
        let found = self.find(id);
        if found.is_some() {
            return found;
        }
        let mut boxed = Box::new((id, def));
        for level in &self.levels {
            // A level that is three quarters full takes no more; two that race past the mark do no harm. Relaxed: a hint.
            let capacity = 1u32 << level.bits;
            let is_full = level.used.load(Ordering::Relaxed) >= capacity - capacity / 4;
            let entries = level.entries.get_or_init(|| Box::new(level.make()));
            for (index, entry) in level.window(entries, id) {
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
                    return index;
                }
            }
        }
        self.refused.fetch_add(1, Ordering::Relaxed);
        SiteId::NONE
    }

    /// What is known of a site.
    #[must_use]
    pub fn get(&self, site: SiteId) -> Option<&SiteDef> {
        let index = site.0.checked_sub(1)?;
        let level = self.levels.iter().rev().find(|level| index >= level.base)?;
        let entry = level.entries.get()?.get((index - level.base) as usize)?;
        entry.site.get().map(|site| &site.1)
    }

    /// How many sites are defined.
    #[must_use]
    pub fn len(&self) -> usize {
        self.levels
            .iter()
            .map(|level| level.used.load(Ordering::Relaxed) as usize)
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
            .levels
            .iter()
            .filter_map(|level| level.entries.get())
            .map(|entries| entries.len() * size_of::<Entry>())
            .sum();
        tables + self.len() * size_of::<(u64, SiteDef)>()
    }
}

impl Entry {
    /// Sets what a lookup finds, if there is a definition.
    fn switch(&self, switches: &Switches) {
        if let Some((id, def)) = self.site.get() {
            let off = if switches.takes(def) { 0 } else { OFF };
            // Release: publishes the definition to those who find the number.
            self.id.store(id | off, Ordering::Release);
        }
    }
}

impl Level {
    fn make(&self) -> Box<[Entry]> {
        std::iter::repeat_with(Entry::default)
            .take(1 << self.bits)
            .collect()
    }

    /// The entries where `id` may stand, with the index that each one gives.
    #[inline]
    fn window<'e>(
        &'e self,
        entries: &'e [Entry],
        id: u64,
    ) -> impl Iterator<Item = (SiteId, &'e Entry)> {
        let (home, mask) = (self.home(id), entries.len().wrapping_sub(1));
        (0..WINDOW).filter_map(move |step| {
            let at = (home + step) & mask;
            entries.get(at).map(|entry| (self.index(at), entry))
        })
    }

    #[inline(always)]
    fn home(&self, id: u64) -> usize {
        (id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - self.bits)) as usize
    }

    #[inline(always)]
    fn index(&self, at: usize) -> SiteId {
        SiteId(self.base + at as u32 + 1)
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
