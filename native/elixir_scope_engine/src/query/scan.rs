//! Goes over the rows of one segment, block by block, forwards or backwards, and stops when the caller has enough.

use std::ops::{ControlFlow, Range};

use super::segment::{Scan, Tests};
use super::{Explain, Filter, Order};
use crate::store::{Aliases, EventHead};

/// Rows that are tested together.
const BLOCK: usize = 512;

/// Calls `found` for each event of `segment` with an id in `ids` that the filter takes, in the order of ids.
pub(crate) fn scan<S: Scan>(
    segment: &S,
    filter: &Filter<'_>,
    aliases: &Aliases,
    ids: &Range<u64>,
    order: Order,
    explain: &mut Explain,
    found: &mut dyn FnMut(EventHead, &[u8]) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let Some(tests) = segment.tests(filter, ids, explain) else {
        return ControlFlow::Continue(());
    };
    explain.scanned += 1;
    let mut marks = [0; BLOCK];
    let mut scratch = Vec::new();
    let mut rest = tests.rows.clone();
    while !rest.is_empty() {
        let block = match order {
            Order::Asc => rest.start..rest.end.min(rest.start + BLOCK),
            Order::Desc => rest.start.max(rest.end.saturating_sub(BLOCK))..rest.end,
        };
        match order {
            Order::Asc => rest.start = block.end,
            Order::Desc => rest.end = block.start,
        }
        explain.rows += block.len() as u64;
        let Some(marks) = marks.get_mut(..block.len()) else {
            break;
        };
        marks.fill(1);
        segment.mark(filter, &tests, block.clone(), marks);
        let mut visit = |row: usize| {
            let mut head = segment.head(row);
            head.correlation = aliases.resolve(head.correlation);
            let payload = segment.payload(row);
            if !filter.query.conditions.is_empty() {
                explain.verified += 1;
                if !filter.conditions_hold(&head, payload, &mut scratch) {
                    return ControlFlow::Continue(());
                }
            }
            explain.matched += 1;
            found(head, payload)
        };
        let marked = marks
            .iter()
            .zip(block)
            .filter(|(mark, _)| **mark != 0)
            .map(|(_, row)| row);
        match order {
            Order::Asc => marked.into_iter().try_for_each(&mut visit)?,
            Order::Desc => marked.rev().try_for_each(&mut visit)?,
        }
    }
    ControlFlow::Continue(())
}

/// How many events of `segment` the filter takes, without making rows of them.
pub(crate) fn count<S: Scan>(
    segment: &S,
    filter: &Filter<'_>,
    aliases: &Aliases,
    ids: &Range<u64>,
    explain: &mut Explain,
) -> u64 {
    if !filter.query.conditions.is_empty() {
        let mut count = 0;
        let _ = scan(
            segment,
            filter,
            aliases,
            ids,
            Order::Asc,
            explain,
            &mut |_, _| {
                count += 1;
                ControlFlow::Continue(())
            },
        );
        return count;
    }
    let Some(tests) = segment.tests(filter, ids, explain) else {
        return 0;
    };
    explain.scanned += 1;
    let count = count_marks(segment, filter, &tests, explain);
    explain.matched += count;
    count
}

fn count_marks<S: Scan>(
    segment: &S,
    filter: &Filter<'_>,
    tests: &Tests,
    explain: &mut Explain,
) -> u64 {
    if tests.none() {
        return tests.rows.len() as u64;
    }
    explain.rows += tests.rows.len() as u64;
    let mut marks = [0; BLOCK];
    let mut count = 0;
    let mut start = tests.rows.start;
    while start < tests.rows.end {
        let end = tests.rows.end.min(start + BLOCK);
        let Some(marks) = marks.get_mut(..end - start) else {
            break;
        };
        marks.fill(1);
        segment.mark(filter, tests, start..end, marks);
        count += marks.iter().map(|&mark| u64::from(mark)).sum::<u64>();
        start = end;
    }
    count
}
