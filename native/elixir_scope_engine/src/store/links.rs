//! Columns of ids: of events (a call, a parent), which lie a little before the row itself, and of causal roots, which
//! count upwards under a few writers.

use super::column::{Column, bounds, width};

/// Event ids, as distances back from the row's own id where that is possible.
#[derive(Debug)]
pub(crate) struct Links {
    column: Column,
    /// Distance plus one, with 0 for none; otherwise the ids themselves.
    relative: bool,
}

fn distance(id: u64, link: u64) -> u64 {
    if link == 0 {
        0
    } else {
        id.wrapping_sub(link).wrapping_add(1)
    }
}

/// How a column of links will be stored.
pub(crate) struct LinksPlan {
    bounds: (u64, u64),
    relative: bool,
}

impl LinksPlan {
    /// Looks at the links of the rows from id `first` on.
    pub(crate) fn new(first: u64, links: &[u64]) -> LinksPlan {
        let relative = (first..).zip(links).all(|(id, &link)| link <= id);
        let bounds = if relative {
            bounds((first..).zip(links).map(|(id, &link)| distance(id, link)))
        } else {
            bounds(links.iter().copied())
        };
        LinksPlan { bounds, relative }
    }

    /// Bytes a row.
    pub(crate) fn width(&self) -> usize {
        width(self.bounds.1 - self.bounds.0)
    }

    /// Stores the links.
    pub(crate) fn build(&self, first: u64, links: &[u64]) -> Links {
        let column = if self.relative {
            Column::new(
                (first..).zip(links).map(|(id, &link)| distance(id, link)),
                self.bounds,
            )
        } else {
            Column::new(links.iter().copied(), self.bounds)
        };
        Links {
            column,
            relative: self.relative,
        }
    }
}

impl Links {
    /// The link of `row`, whose own id is `id`; 0 for none.
    #[inline]
    pub(crate) fn get(&self, row: usize, id: u64) -> u64 {
        let code = self.column.get(row);
        if self.relative && code != 0 {
            id.wrapping_sub(code - 1)
        } else {
            code
        }
    }

    /// Whether a row of a segment from `first` on, `rows` long, can link to `target`.
    pub(crate) fn may_hold(&self, first: u64, rows: usize, target: u64) -> bool {
        if !self.relative || target == 0 {
            return target <= self.column.largest();
        }
        let reach = self.column.largest();
        reach > 0 && target < first + rows as u64 && target + reach > first
    }

    /// Bytes allocated.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.column.bytes()
    }
}

/// The bits of a causal root below its writer's number.
const COUNTER_BITS: u32 = 40;

/// Causal roots: the writer by its place in a short list, the counter from the writer's smallest one.
#[derive(Debug)]
pub(crate) struct Roots {
    /// Smallest root of each writer.
    writers: Box<[u64]>,
    /// Place of the row's writer in the list plus one; 0 for no root. Empty list: `counters` holds the roots.
    places: Column,
    counters: Column,
}

/// How a column of roots will be stored.
pub(crate) struct RootsPlan {
    writers: Vec<u64>,
    largest_counter: u64,
    plain: (u64, u64),
}

impl RootsPlan {
    const MAX_WRITERS: usize = 255;

    /// Looks at a column.
    pub(crate) fn new(roots: &[u64]) -> RootsPlan {
        let mut plan = RootsPlan {
            writers: Vec::new(),
            largest_counter: 0,
            plain: (0, 0),
        };
        let mut last = 0;
        for &root in roots {
            if root == 0 || root == last {
                continue;
            }
            last = root;
            let same = |least: &&mut u64| **least >> COUNTER_BITS == root >> COUNTER_BITS;
            if let Some(least) = plan.writers.iter_mut().find(same) {
                *least = root.min(*least);
            } else if plan.writers.len() < Self::MAX_WRITERS {
                plan.writers.push(root);
            } else {
                plan.writers = Vec::new();
                plan.plain = bounds(roots.iter().copied());
                return plan;
            }
        }
        plan.largest_counter = plan
            .places(roots)
            .map(|(_, counter)| counter)
            .max()
            .unwrap_or(0);
        plan
    }

    /// Of each root the place of its writer plus one, and the distance from the writer's smallest.
    fn places(&self, roots: &[u64]) -> impl Iterator<Item = (u64, u64)> {
        let mut last = (0, 0);
        roots.iter().map(move |&root| {
            if root == 0 {
                return (0, 0);
            }
            // Neighbours mostly share their writer.
            let (place, least) = last;
            if place != 0 && least >> COUNTER_BITS == root >> COUNTER_BITS {
                return (place, root - least);
            }
            let same = |(_, least): &(u64, &u64)| **least >> COUNTER_BITS == root >> COUNTER_BITS;
            last = (1..)
                .zip(&self.writers)
                .find(same)
                .map_or((0, root), |(p, &least)| (p, least));
            (last.0, root - last.1)
        })
    }

    /// Bytes of the columns of `rows` rows, and of the list.
    pub(crate) fn bytes(&self, rows: usize) -> (usize, usize) {
        let narrow = width(self.writers.len() as u64) + width(self.largest_counter);
        (
            rows * (narrow + width(self.plain.1 - self.plain.0)),
            self.writers.len() * 8,
        )
    }

    /// Stores the roots.
    pub(crate) fn build(&self, roots: &[u64]) -> Roots {
        let counters = if self.plain.1 != 0 {
            Column::new(roots.iter().copied(), self.plain)
        } else {
            let counters = self.places(roots).map(|(_, counter)| counter);
            Column::new(counters, (0, self.largest_counter))
        };
        Roots {
            writers: self.writers.clone().into_boxed_slice(),
            places: Column::new(
                self.places(roots).map(|(place, _)| place),
                (0, self.writers.len() as u64),
            ),
            counters,
        }
    }
}

impl Roots {
    /// The root of `row`; 0 for none.
    #[inline]
    pub(crate) fn get(&self, row: usize) -> u64 {
        let counter = self.counters.get(row);
        if self.writers.is_empty() {
            return counter;
        }
        match (self.places.get(row) as usize)
            .checked_sub(1)
            .and_then(|place| self.writers.get(place))
        {
            Some(least) => least + counter,
            None => 0,
        }
    }

    /// Whether a row can go back to `root`.
    pub(crate) fn may_hold(&self, root: u64) -> bool {
        if self.writers.is_empty() || root == 0 {
            return root <= self.counters.largest();
        }
        let writer = root >> COUNTER_BITS;
        self.writers.iter().any(|&least| {
            least >> COUNTER_BITS == writer
                && (least..=least + self.counters.largest()).contains(&root)
        })
    }

    /// Clears the marks of those of `rows` that do not go back to `root`.
    pub(crate) fn keep(&self, rows: std::ops::Range<usize>, root: u64, marks: &mut [u8]) {
        if self.writers.is_empty() {
            return self.counters.keep_equal(rows, root, marks);
        }
        if root == 0 {
            return self.places.keep_equal(rows, 0, marks);
        }
        let place = (1..)
            .zip(&self.writers)
            .find(|(_, least)| **least >> COUNTER_BITS == root >> COUNTER_BITS);
        match place {
            Some((place, &least)) if root >= least => {
                self.places.keep_equal(rows.clone(), place, marks);
                self.counters.keep_equal(rows, root - least, marks);
            }
            _ => marks.fill(0),
        }
    }

    /// Bytes of the columns, and of the list.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> (usize, usize) {
        (
            self.places.bytes() + self.counters.bytes(),
            self.writers.len() * 8,
        )
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn links_are_given_back_and_none_is_ruled_out(
            first in 1u64..1 << 40,
            distances in prop::collection::vec(prop_oneof![Just(None), (0u64..5).prop_map(Some), (0u64..70_000).prop_map(Some)], 1..40),
            ahead in prop_oneof![4 => Just(0), 1 => 1u64..100],
        ) {
            let links: Vec<u64> = (first..)
                .zip(&distances)
                .map(|(id, distance)| distance.map_or(0, |d| id.saturating_sub(d) + ahead))
                .collect();
            let plan = LinksPlan::new(first, &links);
            let column = plan.build(first, &links);
            prop_assert_eq!(column.bytes(), plan.width() * links.len());
            for ((row, &link), id) in links.iter().enumerate().zip(first..) {
                prop_assert_eq!(column.get(row, id), link);
                prop_assert!(column.may_hold(first, links.len(), link));
            }
            let least = links.iter().copied().filter(|&link| link > 0).min();
            if ahead == 0 && let Some(least) = least {
                prop_assert!(!column.may_hold(first, links.len(), first + links.len() as u64));
                // The reach is that of the farthest link, from the first row.
                let farthest = (first..).zip(&links).filter(|(_, link)| **link > 0).map(|(id, link)| id - link).max();
                prop_assert!(least >= first - farthest.unwrap_or(0));
                prop_assert!(first <= farthest.unwrap_or(0) || !column.may_hold(first, links.len(), first - farthest.unwrap_or(0) - 1));
            }
        }

        #[test]
        fn roots_are_given_back_and_found(
            drafts in prop::collection::vec((0u64..4, 0u64..400), 1..100), many in any::<bool>()
        ) {
            // Counters of few writers; or of more writers than a list takes.
            let spread = if many { 97 } else { 1 };
            let mut roots: Vec<u64> = drafts
                .iter()
                .enumerate()
                .map(|(row, &(writer, counter))| {
                    if counter == 0 { 0 } else { ((writer + row as u64 % spread * 4) << 40) + counter + 5_000 }
                })
                .collect();
            if many {
                roots.extend((0..300).map(|writer| (writer << 40) + 1));
            }
            let plan = RootsPlan::new(&roots);
            let column = plan.build(&roots);
            prop_assert_eq!(column.bytes(), plan.bytes(roots.len()));
            for (row, &root) in roots.iter().enumerate() {
                prop_assert_eq!(column.get(row), root);
                prop_assert!(column.may_hold(root));
            }
            for &wanted in roots.iter().chain(&[0, (1 << 40) + 7, 99]) {
                let mut marks = vec![1; roots.len()];
                column.keep(0..roots.len(), wanted, &mut marks);
                let kept: Vec<bool> = marks.iter().map(|&mark| mark == 1).collect();
                let holds: Vec<bool> = roots.iter().map(|&root| root == wanted).collect();
                prop_assert_eq!(kept, holds);
            }
        }
    }
}
