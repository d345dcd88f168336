//! Of the table: what was defined is found, whoever defines and however many there are; and it is switched as it should be.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;
use crate::event::AtomId;

fn def(line: u32) -> SiteDef {
    SiteDef {
        module: AtomId(1),
        function: Some(AtomId(2)),
        arity: 3,
        file: "lib/a.ex".into(),
        line,
        clause: 1,
        ..SiteDef::default()
    }
}

fn of_module(module: u32) -> SiteDef {
    SiteDef {
        module: AtomId(module),
        ..def(1)
    }
}

fn without(module: u32) -> Switches {
    Switches {
        strategy: None,
        rules: vec![Rule {
            module: AtomId(module),
            function: None,
            is_on: false,
        }],
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
fn what_is_no_number_is_not_defined() {
    let table = SiteTable::new();
    table.define(77, def(1));
    table.switch(without(1));
    for flag in [OFF, STATE] {
        assert_eq!(table.find(77 | flag), SiteId::NONE);
        assert_eq!(table.define(77 | flag, def(1)), SiteId::NONE);
    }
    assert_eq!(table.look(78), FoundSite::NONE);
}

#[test]
fn sites_are_switched_before_and_after_they_are_defined() {
    let table = SiteTable::new();
    // More than the first level takes.
    let sites = 1..10_000u64;
    let define = |id: u64| table.define(id, of_module((id % 3) as u32 + 1));
    let (before, after): (Vec<u64>, Vec<u64>) = sites.partition(|id| id % 2 == 0);
    let defined: Vec<SiteId> = before.iter().map(|id| define(*id)).collect();
    for off in [2, 3, 0, 1] {
        table.switch(without(off));
        for (id, site) in before.iter().zip(&defined) {
            let is_on = (id % 3) as u32 + 1 != off;
            let found = table.look(*id);
            assert_eq!((found.site, found.is_on), (*site, is_on));
            assert_eq!(table.find(*id), *site);
        }
    }
    for id in after {
        define(id);
        assert_eq!(table.look(id).is_on, id % 3 != 0, "{id}");
    }
    table.switch(Switches::default());
    assert!((1..10_000).all(|id| table.look(id).is_on));
}

#[test]
fn a_site_that_is_defined_while_switches_change_obeys_the_last_ones() {
    for round in 0..200u64 {
        let table = SiteTable::new();
        std::thread::scope(|scope| {
            for part in 0..2 {
                let table = &table;
                scope.spawn(move || {
                    for id in 1..300 {
                        table.define(id * 2 + part, of_module(1));
                    }
                });
            }
            scope.spawn(|| {
                for module in [1, 2, 1, 2, 1, 2, 1, 2, (round % 2) as u32 + 1] {
                    table.switch(without(module));
                }
            });
        });
        let is_on = round % 2 == 1;
        assert!((2..600).all(|id| table.look(id).is_on == is_on), "{round}");
    }
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

#[test]
fn a_site_that_another_thread_is_defining_is_found_by_who_defines_it_too() {
    const SITES: u64 = 20_000;
    let table = SiteTable::new();
    table.switch(without(1));
    let next: Vec<AtomicU64> = (0..2).map(|_| AtomicU64::new(0)).collect();
    let wrong: usize = std::thread::scope(|scope| {
        let see = |turn: usize| {
            let (table, next) = (&table, &next);
            scope.spawn(move || {
                let unlike = |id: &u64| {
                    // Both come to each site at the same moment.
                    next[turn].store(*id, Ordering::Release);
                    while next[1 - turn].load(Ordering::Acquire) < *id {
                        std::hint::spin_loop();
                    }
                    let stateful = SiteDef {
                        holds_state: true,
                        ..of_module((*id % 2) as u32 + 1)
                    };
                    let site = table.define(*id, stateful);
                    let expected = FoundSite {
                        site,
                        is_on: id % 2 == 1,
                        holds_state: true,
                    };
                    table.look(*id) != expected
                };
                (1..=SITES).filter(unlike).count()
            })
        };
        let seen = [see(0), see(1)];
        seen.into_iter().map(|seen| seen.join().unwrap()).sum()
    });
    assert_eq!(wrong, 0, "of {SITES} sites that two threads met at once");
}

#[test]
fn a_place_whose_calls_end_with_a_state_says_so_whether_it_records_or_not() {
    let table = SiteTable::new();
    let stateful = SiteDef {
        holds_state: true,
        ..def(1)
    };
    table.define(1, stateful);
    table.define(2, def(2));
    for is_on in [true, false] {
        let rules = vec![Rule {
            module: def(1).module,
            function: None,
            is_on,
        }];
        table.switch(Switches {
            strategy: None,
            rules,
        });
        let found = [table.look(1), table.look(2)];
        assert_eq!(found.map(|found| found.holds_state), [true, false]);
        assert_eq!(found[0].is_on, is_on);
    }
}
