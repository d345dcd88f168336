//! The places of the program that record. A site's number is made at compile time; the engine gives it an index.
//!
//! Tables of growing size, each filled to three quarters before the next is made; within one, open addressing over a
//! bounded window. Append-only, so a lookup is one load in almost every case and never waits. Entries live as long as the
//! library.

use crate::event::{AtomId, SiteId};
use once_cell::race::OnceBox;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Where in the program something records, and what is known of it at compile time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SiteDef {
    /// The module.
    pub module: AtomId,
    /// The function; `None` in the body of a module.
    pub function: Option<AtomId>,
    /// How many arguments the function takes.
    pub arity: u32,
    /// The source file.
    pub file: Box<str>,
    /// The line in it, from 1.
    pub line: u32,
    /// Which clause of the function, from 1; 0 where that means nothing.
    pub clause: u32,
    /// The names of the arguments, as far as they are known.
    pub args: Box<[AtomId]>,
}

/// All sites that were ever seen.
#[derive(Debug)]
pub struct SiteTable {
    levels: [Level; LEVELS],
    refused: AtomicU64,
}

/// log2 of the entries in each level. Together a little more than 2^18.
const BITS: [u32; LEVELS] = [12, 15, 18];
const LEVELS: usize = 3;
/// How far from its place an entry may stand.
const WINDOW: usize = 16;

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
    /// 0, or the site's number; set after `site`.
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
        }
    }

    /// The one table of this library, shared by all recorders.
    pub fn shared() -> &'static SiteTable {
        static TABLE: OnceLock<SiteTable> = OnceLock::new();
        TABLE.get_or_init(SiteTable::new)
    }

    /// The index of the site with this number, or [`SiteId::NONE`] if it was not defined yet.
    #[inline(always)]
    #[must_use]
    pub fn find(&self, id: u64) -> SiteId {
        let [first, ..] = &self.levels;
        if let Some(entries) = first.entries.get()
            && let at = first.home(id)
            && let Some(entry) = entries.get(at)
            // Acquire: as in `find_further`.
            && entry.id.load(Ordering::Acquire) == id
        {
            return first.index(at);
        }
        self.find_further(id)
    }

    /// Of a site that does not stand in its own place of the first level.
    #[inline(never)]
    fn find_further(&self, id: u64) -> SiteId {
        for level in &self.levels {
            let Some(entries) = level.entries.get() else {
                break;
            };
            for (index, entry) in level.window(entries, id) {
                // Acquire: pairs with the Release in `define`; who finds the number finds the definition.
                if entry.id.load(Ordering::Acquire) == id {
                    return index;
                }
            }
        }
        SiteId::NONE
    }

    /// Gives the site with this number an index; the same one for ever, whoever defines it and how often.
    /// [`SiteId::NONE`] when the table is full, or for the number 0.
    pub fn define(&self, id: u64, def: SiteDef) -> SiteId {
        if id == 0 {
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
                            // Release: publishes the definition to those who find the number.
                            entry.id.store(id, Ordering::Release);
                            level.used.fetch_add(1, Ordering::Relaxed);
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
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;

    fn def(line: u32) -> SiteDef {
        SiteDef {
            module: AtomId(1),
            function: Some(AtomId(2)),
            arity: 3,
            file: "lib/a.ex".into(),
            line,
            clause: 1,
            args: Box::default(),
        }
    }

    #[test]
    fn a_site_keeps_its_index_and_its_definition() {
        let table = SiteTable::new();
        assert_eq!(table.find(77), SiteId::NONE);
        let site = table.define(77, def(1));
        assert!(site.is_some());
        assert_eq!(table.find(77), site);
        assert_eq!(
            table.define(77, def(2)),
            site,
            "the first definition stands"
        );
        assert_eq!(table.get(site), Some(&def(1)));
        assert_eq!(table.get(SiteId::NONE), None);
        assert_eq!(table.define(0, def(1)), SiteId::NONE);
    }

    #[test]
    fn tens_of_thousands_of_sites_are_all_found_again() {
        let table = SiteTable::new();
        let sites: Vec<_> = (1..=60_000u32)
            .map(|n| table.define(u64::from(n) * 7919, def(n)))
            .collect();
        let distinct: std::collections::HashSet<_> = sites.iter().collect();
        assert_eq!(distinct.len(), sites.len());
        for (n, site) in (1..=60_000u32).zip(&sites) {
            assert_eq!(table.find(u64::from(n) * 7919), *site);
            assert_eq!(table.get(*site).map(|def| def.line), Some(n));
        }
        assert_eq!((table.len(), table.refused()), (60_000, 0));
    }

    #[test]
    fn a_full_table_refuses_and_counts() {
        let table = SiteTable::new();
        let offered = 300_000u64;
        let taken = (1..=offered)
            .filter(|id| table.define(id * 104_729, def(1)).is_some())
            .count() as u64;
        assert!(taken > 200_000, "{taken}");
        assert_eq!(table.refused(), offered - taken);
    }

    #[test]
    fn threads_that_race_agree_on_one_index() {
        let table = SiteTable::new();
        let seen: Vec<Vec<SiteId>> = std::thread::scope(|scope| {
            let handles: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        (1..2_000u64)
                            .map(|id| table.define(id, def(id as u32)))
                            .collect()
                    })
                })
                .collect();
            handles
                .into_iter()
                .map(|handle| handle.join().unwrap())
                .collect()
        });
        for others in &seen {
            assert_eq!(others, &seen[0]);
        }
        assert_eq!(table.len(), 1_999);
    }
}
