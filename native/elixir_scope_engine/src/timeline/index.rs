//! From a path to the blocks in which the value there may have changed.
//!
//! A path is known by a hash of its steps. For each place that a change touches there is a posting under the path of the place
//! itself ("all in here may be another"), and under each path that leads to it ("something in here changed"). Postings are kept
//! as in a log-structured merge tree: sorted runs that are merged when they are of like size, eight bytes a path and block.
//! An index may say too much: what it finds is verified by the values.

use smallvec::SmallVec;

use crate::value::{Malformed, Step, Touched, delta_format, equal, format, touch};

/// A posting: something at this path, or in it, changed.
const IN: u32 = 0;
/// A posting: the value at this path was replaced, or its elements moved.
const AT: u32 = 0x5bd1_e995;
/// A posting: something changed in a part of the value at this path that is found by an index. It may be a list, and a path
/// may lead through that by a key.
const BY_INDEX: u32 = 0xc2b2_ae35;

/// Steps of a path that are told apart. What is touched deeper is posted as if all of the value there were replaced.
const DEPTH: usize = 6;
/// Postings of one change; with more of them, everything may have changed.
const MOST_OF_CHANGE: usize = 256;
/// Postings of one block; with more of them, everything may have changed.
const MOST_OF_BLOCK: usize = 32 << 10;

/// The hash of the path without steps.
const ROOT: u64 = 0x9e37_79b9_7f4a_7c15;
/// Everything may have changed.
pub(super) const EVERYTHING: u32 = posting(ROOT, AT);

const fn posting(path: u64, kind: u32) -> u32 {
    (path >> 32) as u32 ^ kind
}

/// The hash of a path with one more step. Steps that can be equal with other bytes have the same.
fn extend(path: u64, step: &[u8]) -> u64 {
    let plain = is_plain(step);
    let mut hash = path.rotate_left(23);
    if plain {
        for chunk in step.chunks(8) {
            let mut word = [0; 8];
            if let Some(word) = word.get_mut(..chunk.len()) {
                word.copy_from_slice(chunk);
            }
            hash = mix(hash ^ u64::from_le_bytes(word));
        }
    }
    mix(hash ^ if plain { step.len() as u64 } else { 0 })
}

fn mix(hash: u64) -> u64 {
    let product = u128::from(hash ^ 0x2d35_8dcc_aa6c_78a5) * 0x9e37_79b9_7f4a_7c15;
    (product >> 64) as u64 ^ product as u64
}

/// Whether equal steps have the same bytes: the pairs of a map may stand in any order, and so on. May say no in vain.
fn is_plain(step: &[u8]) -> bool {
    let container = matches!(
        step.first(),
        Some(&(format::LIST | format::TUPLE | format::MAP | format::FUN))
    );
    !container || memchr::memchr2(format::MAP, format::FUN, step).is_none()
}

/// Whether two steps are the same.
fn same(a: &[u8], b: &[u8]) -> bool {
    a == b || !is_plain(a) && !is_plain(b) && equal(a, b) == Ok(true)
}

fn is_index(step: &[u8]) -> bool {
    matches!(step.first(), Some(&(format::INT | format::SMALL_INT..)))
}

/// What a delta does, as far as it has to be known when it is taken.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Its postings, few of them twice.
    pub(super) postings: Vec<u32>,
    /// It writes a masked value.
    pub(super) masked: bool,
    /// A part of it is missing or not known.
    pub(super) hides: bool,
}

impl Scan {
    /// As many postings has a change at most, one more place among them.
    const MOST: usize = MOST_OF_CHANGE + 2 * DEPTH + 2;
    /// Bytes that it takes.
    pub(super) const BYTES: usize = Self::MOST * size_of::<u32>();

    /// Makes room for the postings of any change.
    pub(super) fn reserve(&mut self) {
        self.postings.clear();
        self.postings.reserve_exact(Self::MOST);
    }

    /// Reads a delta, and checks it whole.
    pub(super) fn read(&mut self, delta: &[u8]) -> Result<(), Malformed> {
        self.postings.clear();
        (self.masked, self.hides) = (false, false);
        let Scan {
            postings,
            masked,
            hides,
        } = self;
        touch(delta, &mut |touch| {
            match touch.kind {
                Touched::Replaced {
                    masked: writes_masked,
                    cut,
                } => {
                    *masked |= writes_masked;
                    *hides |= cut;
                }
                Touched::Unknown => *hides = true,
                Touched::Removed | Touched::Reshaped => {}
            }
            if postings.len() < MOST_OF_CHANGE {
                post(touch.path, postings);
            }
        })?;
        if self.postings.len() >= MOST_OF_CHANGE {
            self.everything();
        }
        Ok(())
    }

    /// As of a change of everything.
    pub(super) fn everything(&mut self) {
        self.postings.clear();
        self.postings.push(EVERYTHING);
    }
}

fn post(path: &[Step<'_>], postings: &mut Vec<u32>) {
    let mut hash = ROOT;
    for step in path.iter().take(DEPTH) {
        if is_index(step.bytes()) {
            add(postings, posting(hash, BY_INDEX));
        }
        hash = extend(hash, step.bytes());
        add(postings, posting(hash, IN));
    }
    if let Some(step) = path.get(DEPTH)
        && is_index(step.bytes())
    {
        add(postings, posting(hash, BY_INDEX));
    }
    add(postings, posting(hash, AT));
}

fn add(postings: &mut Vec<u32>, posting: u32) {
    let recent = postings.len().saturating_sub(8);
    if !postings
        .get(recent..)
        .is_some_and(|recent| recent.contains(&posting))
    {
        postings.push(posting);
    }
}

/// The path of a query.
#[derive(Debug)]
pub(super) struct Wanted<'p> {
    /// Its steps.
    pub(super) path: &'p [&'p [u8]],
    /// Under these postings are the blocks in which the value there may have changed.
    postings: SmallVec<[u32; 16]>,
}

impl<'p> Wanted<'p> {
    pub(super) fn new(path: &'p [&'p [u8]]) -> Wanted<'p> {
        let mut postings = SmallVec::new();
        postings.push(EVERYTHING);
        let mut hash = ROOT;
        for (step, depth) in path.iter().zip(0..=DEPTH) {
            if !is_index(step) {
                postings.push(posting(hash, BY_INDEX));
            }
            if depth < DEPTH {
                hash = extend(hash, step);
                let is_all = depth + 1 == path.len();
                postings.push(posting(hash, if is_all { IN } else { AT }));
            }
        }
        Wanted { path, postings }
    }

    /// Whether every change may be one of the value there.
    pub(super) fn is_everything(&self) -> bool {
        self.path.is_empty()
    }

    /// Whether what happened at `place` may have changed the value.
    pub(super) fn concerns(&self, place: &[Step<'_>]) -> bool {
        for (wanted, step) in self.path.iter().zip(place) {
            if !same(wanted, step.bytes()) {
                return !is_index(wanted) && is_index(step.bytes());
            }
        }
        true
    }

    /// Whether a delta may change the value there. With `masked`, whether it writes a masked value there or around it.
    pub(super) fn is_touched_by(&self, delta: &[u8], masked: bool) -> bool {
        if self.is_everything() && !masked {
            return delta.first() != Some(&delta_format::SAME);
        }
        let mut touched = false;
        let whole = touch(delta, &mut |touch| {
            let writes_masked = matches!(touch.kind, Touched::Replaced { masked: true, .. });
            touched = touched || (!masked || writes_masked) && self.concerns(touch.path);
        });
        touched || whole.is_err() && !masked
    }
}

/// The postings of a block that is still growing.
#[derive(Debug, Default)]
pub(super) struct Growing {
    /// Some of them twice.
    postings: Vec<u32>,
}

impl Growing {
    /// Bytes by which its memory has to grow to take so many more; none mostly.
    #[inline]
    pub(super) fn growth(&mut self, more: usize) -> usize {
        if self.postings.len() + more <= self.postings.capacity() {
            return 0;
        }
        self.tidy();
        let needed = self.postings.len() + more;
        let capacity = self.postings.capacity();
        // half of it free at least, or it would be sorted all the time
        if needed <= capacity / 2 || needed <= capacity && capacity <= 8 {
            return 0;
        }
        (needed.max(capacity + capacity / 2).saturating_sub(capacity)) * size_of::<u32>()
    }

    /// Grows by so many bytes.
    pub(super) fn grow(&mut self, bytes: usize) {
        let capacity = self.postings.capacity() + bytes / size_of::<u32>();
        self.postings.reserve_exact(capacity - self.postings.len());
    }

    #[inline]
    pub(super) fn add(&mut self, postings: &[u32]) {
        for &posting in postings {
            add(&mut self.postings, posting);
        }
        if self.postings.len() > MOST_OF_BLOCK {
            self.tidy();
            if self.postings.len() > MOST_OF_BLOCK / 2 {
                self.postings.clear();
                self.postings.push(EVERYTHING);
            }
        }
    }

    fn tidy(&mut self) {
        self.postings.sort_unstable();
        self.postings.dedup();
    }

    /// Each once, in order.
    pub(super) fn sorted(&mut self) -> &[u32] {
        self.tidy();
        if self.postings.binary_search(&EVERYTHING).is_ok() {
            self.postings.clear();
            self.postings.push(EVERYTHING);
        }
        &self.postings
    }

    pub(super) fn clear(&mut self) {
        self.postings.clear();
    }

    /// Bytes allocated.
    pub(super) fn bytes(&self) -> usize {
        self.postings.capacity() * size_of::<u32>()
    }
}

/// The postings of the sealed blocks of a timeline.
#[derive(Debug, Default)]
pub(super) struct Postings {
    /// Each sorted; the posting in the upper half, the number of the block in the lower. The older, the longer.
    runs: Vec<Box<[u64]>>,
}

impl Postings {
    /// How many of the last runs are merged with a new one of this length, and the length of all of them.
    fn merging(&self, length: usize) -> (usize, usize) {
        let (mut runs, mut total) = (0, length);
        for run in self.runs.iter().rev() {
            if run.len() > 2 * total {
                break;
            }
            runs += 1;
            total += run.len();
        }
        (runs, total)
    }

    /// Bytes that are allocated when so many are added, at most.
    pub(super) fn growth(&self, length: usize) -> usize {
        let list = match self.runs.len() == self.runs.capacity() {
            true => (self.runs.capacity() / 4 + 4) * size_of::<Box<[u64]>>(),
            false => 0,
        };
        self.merging(length).1 * size_of::<u64>() + list
    }

    /// Adds those of a block, sorted. Those of blocks before `floor` may go.
    pub(super) fn add(&mut self, block: u32, postings: &[u32], floor: u32) {
        let (mut runs, total) = self.merging(postings.len());
        let mut all = Vec::with_capacity(total);
        all.extend(postings.iter().map(|&posting| join(posting, block)));
        while runs > 0 {
            let run = self.runs.pop().unwrap_or_default();
            all.extend(run.iter().filter(|&&entry| entry as u32 >= floor));
            runs -= 1;
        }
        // it finds the runs that are there
        all.sort();
        if self.runs.len() == self.runs.capacity() {
            self.runs.reserve_exact(self.runs.capacity() / 4 + 4);
        }
        self.runs.push(all.into_boxed_slice());
    }

    /// Takes away those of blocks before `floor`.
    pub(super) fn purge(&mut self, floor: u32) {
        for run in &mut self.runs {
            let stays = |entry: &&u64| **entry as u32 >= floor;
            if run.iter().filter(stays).count() < run.len() {
                *run = run.iter().filter(stays).copied().collect();
            }
        }
        self.runs.retain(|run| !run.is_empty());
    }

    /// The newest block up to `last` in which the value may have changed.
    pub(super) fn newest(&self, wanted: &Wanted<'_>, last: u32) -> Option<u32> {
        let mut newest = None;
        for run in &self.runs {
            for &posting in &wanted.postings {
                let end = join(posting, last);
                let at = run.partition_point(|&entry| entry <= end);
                let found = at.checked_sub(1).and_then(|at| run.get(at));
                newest = newest.max(block_of(found, posting));
            }
        }
        newest
    }

    /// The oldest block from `first` on in which the value may have changed.
    pub(super) fn oldest(&self, wanted: &Wanted<'_>, first: u32) -> Option<u32> {
        let mut oldest = None;
        for run in &self.runs {
            for &posting in &wanted.postings {
                let start = join(posting, first);
                let at = run.partition_point(|&entry| entry < start);
                if let Some(block) = block_of(run.get(at), posting) {
                    oldest = Some(oldest.map_or(block, |oldest: u32| oldest.min(block)));
                }
            }
        }
        oldest
    }

    /// Bytes allocated.
    pub(super) fn bytes(&self) -> usize {
        let runs = self.runs.iter().map(|run| size_of_val(&**run));
        runs.sum::<usize>() + self.runs.capacity() * size_of::<Box<[u64]>>()
    }
}

fn join(posting: u32, block: u32) -> u64 {
    u64::from(posting) << 32 | u64::from(block)
}

fn block_of(entry: Option<&u64>, posting: u32) -> Option<u32> {
    let entry = *entry?;
    ((entry >> 32) as u32 == posting).then_some(entry as u32)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const STEPS: [&[u8]; 5] = [
        &[4, 1],
        &[4, 2],
        &[0x80],
        &[0x83],
        b"\x05\x0alonger than one word",
    ];

    fn path() -> impl Strategy<Value = Vec<usize>> {
        prop::collection::vec(0..STEPS.len(), 0..9)
    }

    proptest! {
        #[test]
        fn blocks_are_found_that_touch_a_path_or_one_around_or_in_it(
            blocks in prop::collection::vec(prop::collection::vec(path(), 0..12), 1..40),
            wanted in path(),
            from in 0u32..40,
            floor in 0u32..10,
        ) {
            let mut postings = Postings::default();
            let mut touching = BTreeSet::new();
            let steps: Vec<&[u8]> = wanted.iter().map(|&step| STEPS[step]).collect();
            let query = Wanted::new(&steps);
            for (places, block) in blocks.iter().zip(0..) {
                let mut growing = Growing::default();
                for place in places {
                    let place: Vec<Step<'_>> = place.iter().map(|&step| Step::key(STEPS[step])).collect();
                    let mut of_change = Vec::new();
                    post(&place, &mut of_change);
                    let growth = growing.growth(of_change.len());
                    growing.grow(growth);
                    let bytes = growing.bytes();
                    growing.add(&of_change);
                    prop_assert_eq!(growing.bytes(), bytes);
                    if query.concerns(&place) && !wanted.is_empty() {
                        touching.insert(block);
                    }
                }
                let sorted = growing.sorted().to_vec();
                let most = postings.growth(sorted.len()) + postings.bytes();
                postings.add(block, &sorted, 0);
                prop_assert!(postings.bytes() <= most);
            }
            postings.purge(floor);
            touching.retain(|&block| block >= floor);
            let below = touching.range(..=from).next_back().copied();
            let found = postings.newest(&query, from);
            prop_assert!(found >= below, "{found:?} {below:?}");
            if let Some(above) = touching.range(from..).next() {
                let found = postings.oldest(&query, from).unwrap();
                prop_assert!(found <= *above && found >= from);
            }
        }
    }

    #[test]
    fn a_path_that_was_never_touched_is_in_no_block() {
        let mut scan = Scan::default();
        // the map's entry under 1 is replaced by 5
        scan.read(&[
            delta_format::MAP,
            4,
            1,
            delta_format::REPLACE,
            0x85,
            delta_format::MAP_END,
        ])
        .unwrap();
        let mut postings = Postings::default();
        let mut growing = Growing::default();
        growing.add(&scan.postings);
        for block in 0..100 {
            postings.add(block, growing.sorted(), 0);
        }
        let path: [&[u8]; 1] = [&[4, 2]];
        assert_eq!(postings.newest(&Wanted::new(&path), 99), None);
        let path: [&[u8]; 2] = [&[4, 1], &[4, 2]];
        assert_eq!(postings.newest(&Wanted::new(&path), 70), Some(70));
        assert_eq!(postings.oldest(&Wanted::new(&path), 30), Some(30));
        assert!(postings.runs.len() < 10);
    }
}
