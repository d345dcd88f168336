//! The tests of a query against the rows of one segment, by its dictionaries when it is sealed and by its plain columns
//! while it is open.

use std::ops::Range;

use super::{Explain, Filter, Index};
use crate::event::SiteId;
use crate::store::{Column, Dictionary, Open, Rows, Segment, Zone, first_at, keep};

/// Which values of a column are wanted.
pub(crate) enum Choice {
    /// All.
    Any,
    /// The rows with this code (or value, in the open segment).
    One(u64),
    /// The rows with these codes.
    Codes(Vec<bool>),
    /// What the filter takes, asked for each value (in the open segment).
    Each,
}

impl Choice {
    fn is_any(&self) -> bool {
        matches!(self, Choice::Any)
    }
}

/// The tests of a query that are left for the rows of one segment.
pub(crate) struct Tests {
    /// The rows that can match.
    pub rows: Range<usize>,
    /// Of these, at most so many do.
    pub most: usize,
    processes: Choice,
    sites: Choice,
    /// Bits of the kinds wanted.
    kinds: Option<u32>,
    times: Option<(i64, i64)>,
    root: bool,
    call: Option<u64>,
}

impl Tests {
    /// Whether nothing is left to test but the conditions: all rows match.
    pub(crate) fn none(&self) -> bool {
        self.processes.is_any()
            && self.sites.is_any()
            && self.kinds.is_none()
            && self.times.is_none()
            && !self.root
            && self.call.is_none()
    }
}

/// A segment that can be scanned.
pub(crate) trait Scan: Rows {
    /// What is left to test for the rows with ids in `ids`, or nothing when no row can match.
    fn tests(&self, filter: &Filter<'_>, ids: &Range<u64>, explain: &mut Explain) -> Option<Tests>;
    /// Clears the marks of those of `rows` that fail.
    fn mark(&self, filter: &Filter<'_>, tests: &Tests, rows: Range<usize>, marks: &mut [u8]);
}

/// Narrows to the rows of these ids and of the window of time, and to the kinds.
fn common(
    segment: &impl Rows,
    filter: &Filter<'_>,
    ids: &Range<u64>,
    explain: &mut Explain,
) -> Option<Tests> {
    let query = filter.query;
    let zone = segment.zone();
    let first = segment.first();
    let count = segment.rows();
    let mut rows = ids.start.saturating_sub(first) as usize
        ..(ids.end.saturating_sub(first) as usize).min(count);
    if rows.len() < count {
        explain.narrow(Index::Id);
    }
    let mut times = None;
    let since = query.since.map_or(i64::MIN, |time| time.0);
    let until = query.until.map_or(i64::MAX, |time| time.0);
    if zone.times.0 < since || zone.times.1 > until {
        explain.narrow(Index::Time);
        if zone.sorted {
            rows.start = rows.start.max(first_at(segment, since));
            if let Some(behind) = until.checked_add(1) {
                rows.end = rows.end.min(first_at(segment, behind));
            }
        } else {
            times = Some((since, until));
        }
    }
    let kinds = query.kinds.bits();
    let kinds = (zone.kinds & !kinds != 0).then_some(kinds);
    (rows.start < rows.end).then_some(Tests {
        most: rows.len(),
        rows,
        processes: Choice::Any,
        sites: Choice::Any,
        kinds,
        times,
        root: query.correlation.is_some(),
        call: query.call.map(|call| call.0),
    })
}

/// Whether zones alone rule a segment out.
pub(crate) fn ruled_out(zone: &Zone, filter: &Filter<'_>) -> Option<Index> {
    let query = filter.query;
    let early = query.since.is_some_and(|since| zone.times.1 < since.0);
    if early || query.until.is_some_and(|until| zone.times.0 > until.0) {
        return Some(Index::Time);
    }
    (zone.kinds & query.kinds.bits() == 0).then_some(Index::Kind)
}

fn choose(
    dictionary: &Dictionary,
    takes: impl Fn(u64) -> bool,
    tests: &mut Tests,
) -> Option<Choice> {
    let wanted: Vec<bool> = dictionary
        .values()
        .iter()
        .map(|&value| takes(value))
        .collect();
    let mut all = 0;
    let mut found = 0;
    let (mut start, mut end) = (usize::MAX, 0);
    let mut one = 0;
    for (code, _) in wanted.iter().enumerate().filter(|(_, wanted)| **wanted) {
        let (rows, count) = dictionary.rows(code);
        (start, end) = (start.min(rows.start), end.max(rows.end));
        all += count;
        found += 1;
        one = code;
    }
    narrow(tests, start..end, all)?;
    Some(match found {
        _ if found == wanted.len() => Choice::Any,
        1 => Choice::One(one as u64),
        _ => Choice::Codes(wanted),
    })
}

fn choose_one(dictionary: &Dictionary, value: u64, tests: &mut Tests) -> Option<Choice> {
    let code = dictionary.code(value)?;
    let (rows, count) = dictionary.rows(code);
    narrow(tests, rows, count)?;
    Some(if dictionary.values().len() == 1 {
        Choice::Any
    } else {
        Choice::One(code as u64)
    })
}

fn narrow(tests: &mut Tests, hull: Range<usize>, most: usize) -> Option<()> {
    tests.rows.start = tests.rows.start.max(hull.start);
    tests.rows.end = tests.rows.end.min(hull.end);
    tests.most = tests.most.min(most).min(tests.rows.len());
    (tests.rows.start < tests.rows.end).then_some(())
}

impl Scan for Segment {
    fn tests(&self, filter: &Filter<'_>, ids: &Range<u64>, explain: &mut Explain) -> Option<Tests> {
        let mut ruled = |index: Index| {
            explain.prune(index);
            None
        };
        if let Some(index) = ruled_out(self.zone(), filter) {
            return ruled(index);
        }
        let roots = filter.roots();
        if !roots.is_empty() && !roots.iter().any(|&root| self.roots().may_hold(root)) {
            return ruled(Index::Correlation);
        }
        if let Some(call) = filter.query.call {
            let (first, rows) = (self.first(), self.rows());
            if !self.calls().may_hold(first, rows, call.0)
                && !self.parents().may_hold(first, rows, call.0)
            {
                return ruled(Index::Call);
            }
        }
        let Some(mut tests) = common(self, filter, ids, explain) else {
            explain.prune(Index::Time);
            return None;
        };
        if filter.asks_processes() {
            explain.narrow(Index::Process);
            let chosen = match filter.asks_one_process() {
                _ if filter.asks_nobody() => None,
                Some(one) => choose_one(self.processes(), one, &mut tests),
                None => choose(
                    self.processes(),
                    |value| filter.takes_process(value),
                    &mut tests,
                ),
            };
            let Some(chosen) = chosen else {
                explain.prune(Index::Process);
                return None;
            };
            tests.processes = chosen;
        }
        if filter.asks_sites() {
            explain.narrow(Index::Site);
            let takes = |value: u64| filter.takes_site(SiteId(value as u32));
            let Some(chosen) = choose(self.sites(), takes, &mut tests) else {
                explain.prune(Index::Site);
                return None;
            };
            tests.sites = chosen;
        }
        Some(tests)
    }

    fn mark(&self, filter: &Filter<'_>, tests: &Tests, rows: Range<usize>, marks: &mut [u8]) {
        mark_codes(
            self.processes().codes(),
            &tests.processes,
            rows.clone(),
            marks,
        );
        mark_codes(self.sites().codes(), &tests.sites, rows.clone(), marks);
        if let Some(kinds) = tests.kinds {
            mark_kinds(self.kinds(), kinds, rows.clone(), marks);
        }
        if let Some((since, until)) = tests.times {
            each(rows.clone(), marks, |row| {
                (since..=until).contains(&self.time(row))
            });
        }
        match filter.roots() {
            [] => {}
            &[root] => self.roots().keep(rows.clone(), root, marks),
            roots => each(rows.clone(), marks, |row| {
                roots.contains(&self.roots().get(row))
            }),
        }
        if let Some(call) = tests.call {
            let first = self.first();
            each(rows, marks, |row| {
                let id = first + row as u64;
                self.calls().get(row, id) == call || self.parents().get(row, id) == call
            });
        }
    }
}

fn mark_codes(codes: &Column, choice: &Choice, rows: Range<usize>, marks: &mut [u8]) {
    match choice {
        Choice::One(code) => codes.keep_equal(rows, *code, marks),
        Choice::Codes(wanted) => codes.keep_wanted(rows, wanted, marks),
        Choice::Any | Choice::Each => {}
    }
}

fn mark_kinds(kinds: &[u8], wanted: u32, rows: Range<usize>, marks: &mut [u8]) {
    if wanted.count_ones() == 1 {
        let kind = wanted.trailing_zeros() as u8;
        keep(kinds, rows, marks, |k| k == kind);
    } else {
        keep(kinds, rows, marks, |k| wanted >> (k & 31) & 1 == 1);
    }
}

/// Tests the rows that are still marked, one by one.
fn each(rows: Range<usize>, marks: &mut [u8], test: impl Fn(usize) -> bool) {
    for (mark, row) in marks.iter_mut().zip(rows) {
        if *mark != 0 {
            *mark = u8::from(test(row));
        }
    }
}

impl Scan for Open {
    fn tests(&self, filter: &Filter<'_>, ids: &Range<u64>, explain: &mut Explain) -> Option<Tests> {
        if let Some(index) = ruled_out(self.zone(), filter) {
            explain.prune(index);
            return None;
        }
        let Some(mut tests) = common(self, filter, ids, explain) else {
            explain.prune(Index::Time);
            return None;
        };
        if filter.asks_nobody() {
            explain.prune(Index::Process);
            return None;
        }
        if filter.asks_processes() {
            tests.processes = match filter.asks_one_process() {
                Some(one) => Choice::One(one),
                None => Choice::Each,
            };
        }
        if filter.asks_sites() {
            tests.sites = Choice::Each;
        }
        Some(tests)
    }

    fn mark(&self, filter: &Filter<'_>, tests: &Tests, rows: Range<usize>, marks: &mut [u8]) {
        match tests.processes {
            Choice::One(process) => {
                keep(self.processes(), rows.clone(), marks, |value| {
                    value == process
                });
            }
            Choice::Each => {
                let takes = |value| filter.takes_process(value);
                keep(self.processes(), rows.clone(), marks, takes);
            }
            Choice::Any | Choice::Codes(_) => {}
        }
        if let Some(kinds) = tests.kinds {
            mark_kinds(self.kinds(), kinds, rows.clone(), marks);
        }
        if let Some((since, until)) = tests.times {
            each(rows.clone(), marks, |row| {
                (since..=until).contains(&self.time(row))
            });
        }
        match filter.roots() {
            [] => {}
            &[root] => keep(self.roots(), rows.clone(), marks, |value| value == root),
            roots => {
                keep(self.roots(), rows.clone(), marks, |value| {
                    roots.contains(&value)
                });
            }
        }
        if let Some(call) = tests.call {
            each(rows.clone(), marks, |row| {
                let head = self.head(row);
                head.call.0 == call || head.parent.0 == call
            });
        }
        if matches!(tests.sites, Choice::Each) {
            each(rows, marks, |row| filter.takes_site(self.head(row).site));
        }
    }
}
