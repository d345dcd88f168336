//! When a value in the state last changed, or will next.

use smallvec::SmallVec;

use super::Timelines;
use super::answer::{Missing, Seek};
use super::block::{Entry, flag};
use super::index::Wanted;
use super::line::Line;
use super::query::redacted;
use super::replay::Replay;
use super::walk::{StateChange, quality};
use crate::event::{AtomId, EventId, ProcessId};
use crate::value::{equal, find_step};

/// A change that was looked for.
#[derive(Clone, Debug)]
pub struct Nearest {
    /// Which it is.
    pub event: EventId,
    /// What it did, where that came up on the way.
    pub change: Option<Box<StateChange>>,
}

impl From<u64> for Nearest {
    fn from(id: u64) -> Nearest {
        Nearest {
            event: EventId(id),
            change: None,
        }
    }
}

impl Timelines {
    /// The nearest change that touched the value at `path`, encoded steps as [`find_step`] takes them: it differs between the
    /// state before the change and the one after, is in only one of them, or has masked values in both and one was written. The
    /// state that a process begins with touches what is in it; the first one that was recorded of a process that had states
    /// before touches nothing.
    ///
    /// # Errors
    /// [`Missing`] where there is none.
    pub fn last_change(
        &self,
        process: ProcessId,
        module: Option<AtomId>,
        path: &[&[u8]],
        seek: Seek,
    ) -> Result<EventId, Missing> {
        let found = self.nearest_change(process, module, path, seek)?;
        Ok(found.event)
    }

    /// The same, with what the change did where that came up on the way.
    ///
    /// # Errors
    /// [`Missing`] where there is none.
    pub fn nearest_change(
        &self,
        process: ProcessId,
        module: Option<AtomId>,
        path: &[&[u8]],
        seek: Seek,
    ) -> Result<Nearest, Missing> {
        let line = self.line_of(process, module)?;
        let wanted = Wanted::new(path);
        match seek {
            Seek::Before(time) => line.change_before(&wanted, time.0),
            Seek::After(time) => line.change_after(&wanted, time.0),
        }
    }
}

impl Line {
    fn change_before(&self, wanted: &Wanted<'_>, time: i64) -> Result<Nearest, Missing> {
        let last = self.block_at(time).ok_or_else(|| self.before_oldest())?;
        let mut next = Some(last);
        while let Some(block) = next.and_then(|block| self.candidate_before(wanted, block)) {
            if let Some(found) = self.newest_in(wanted, block, time) {
                return Ok(found);
            }
            next = block.checked_sub(1);
        }
        Err(self.none())
    }

    fn change_after(&self, wanted: &Wanted<'_>, time: i64) -> Result<Nearest, Missing> {
        let oldest = self.oldest();
        if self.has_evicted() && time < oldest.time {
            return Err(Missing::Evicted);
        }
        let mut block = self.block_at(time).unwrap_or(0);
        while block < self.blocks() {
            block = self.candidate_after(wanted, block);
            if let Some(id) = self.oldest_in(wanted, block, time) {
                return Ok(id.into());
            }
            block += 1;
        }
        Err(Missing::NeverChanged)
    }

    fn none(&self) -> Missing {
        if self.has_evicted() {
            Missing::Evicted
        } else {
            Missing::NeverChanged
        }
    }

    /// The newest change in a block, at or before `time`, that changed the value.
    fn newest_in(&self, wanted: &Wanted<'_>, block: usize, time: i64) -> Option<Nearest> {
        let stretch = self.stretch(block);
        let mut entries = SmallVec::<[Entry<'_>; 64]>::new();
        entries.extend(
            stretch
                .entries()
                .take_while(|entry| entry.mark.time <= time),
        );
        // most often it is the newest one that looks like it
        let newest = entries
            .iter()
            .rev()
            .find(|entry| wanted.is_touched_by(entry.delta, false));
        if let Some(newest) = newest {
            let mut looked = Looked::new(self, block, wanted)?;
            looked.replay.run(|entry| entry.mark.id < newest.mark.id);
            let (before, unfit) = (looked.replay.at.id, looked.replay.unfit);
            let mut change = Box::<StateChange>::default();
            looked.replay.write(&mut change.old);
            if looked.steps_over_a_change() {
                let (id, flags) = (newest.mark.id, newest.flags);
                // a delta that begins anew is told as a walk tells it
                if flags & flag::FIRST != 0 {
                    return Some(id.into());
                }
                change.has_old = true;
                looked.replay.write(&mut change.new);
                change.delta.extend_from_slice(newest.delta);
                let before = (before, unfit);
                change.quality = quality(&self.verdicts, flags, (id, unfit), Some(before));
                return Some(Nearest {
                    event: EventId(id),
                    change: Some(change),
                });
            }
            // or one before it
            let mut looked = Looked::new(self, block, wanted)?;
            let mut found = None;
            while looked.next_touched(|entry| entry.mark.id < newest.mark.id) {
                if looked.steps_over_a_change() {
                    found = Some(looked.replay.at.id);
                }
            }
            if let Some(found) = found {
                return Some(found.into());
            }
        }
        self.base_changed(wanted, block).map(Nearest::from)
    }

    /// The oldest change in a block, later than `time`, that changed the value.
    fn oldest_in(&self, wanted: &Wanted<'_>, block: usize, time: i64) -> Option<u64> {
        if self.stretch(block).first.time > time
            && let Some(id) = self.base_changed(wanted, block)
        {
            return Some(id);
        }
        let mut looked = Looked::new(self, block, wanted)?;
        looked.replay.run(|entry| entry.mark.time <= time);
        while looked.next_touched(|_| true) {
            if looked.steps_over_a_change() {
                return Some(looked.replay.at.id);
            }
        }
        None
    }

    /// The change that led to the base of a block, if it belongs to it and changed the value.
    fn base_changed(&self, wanted: &Wanted<'_>, block: usize) -> Option<u64> {
        let stretch = self.stretch(block);
        if !stretch.owns_base() {
            return None;
        }
        let new = find(stretch.base, wanted.path);
        let changed = match block.checked_sub(1) {
            Some(before) => {
                let mut looked = Looked::new(self, before, wanted)?;
                looked.replay.run(|_| true);
                let had = looked.replay.write_at(wanted.path, &mut looked.before);
                differs(had.then_some(&looked.before), new)
            }
            None => stretch.flags & flag::FIRST != 0 && new.is_some(),
        };
        changed.then_some(stretch.first.id)
    }
}

/// A replay that looks at one value on its way.
struct Looked<'a, 'w> {
    replay: Replay<'a>,
    wanted: &'w Wanted<'w>,
    before: Vec<u8>,
    after: Vec<u8>,
}

impl<'a, 'w> Looked<'a, 'w> {
    fn new(line: &'a Line, block: usize, wanted: &'w Wanted<'w>) -> Option<Self> {
        Some(Looked {
            replay: Replay::new(&line.stretch(block), 0).ok()?,
            wanted,
            before: Vec::new(),
            after: Vec::new(),
        })
    }

    /// Goes in front of the next change that may have changed the value, while `wanted` accepts it.
    fn next_touched(&mut self, accepts: impl Fn(&Entry<'a>) -> bool) -> bool {
        let wanted = self.wanted;
        self.replay
            .run(|entry| accepts(entry) && !wanted.is_touched_by(entry.delta, false));
        self.replay.peek(|entry| accepts(entry)).is_some()
    }

    /// Goes over the next change: whether it changed the value.
    fn steps_over_a_change(&mut self) -> bool {
        self.before.clear();
        self.after.clear();
        let path = self.wanted.path;
        let had = self.replay.write_at(path, &mut self.before);
        let Some(entry) = self.replay.step() else {
            return false;
        };
        let has = self.replay.write_at(path, &mut self.after);
        differs(
            had.then_some(&self.before),
            has.then_some(self.after.as_slice()),
        ) || has
            && entry.flags & flag::MASKED != 0
            && redacted(&self.after) > 0
            && self.wanted.is_touched_by(entry.delta, true)
    }
}

fn differs(old: Option<&Vec<u8>>, new: Option<&[u8]>) -> bool {
    match (old, new) {
        (Some(old), Some(new)) => old != new && equal(old, new) != Ok(true),
        (old, new) => old.is_some() != new.is_some(),
    }
}

/// The value at a path.
fn find<'a>(value: &'a [u8], path: &[&[u8]]) -> Option<&'a [u8]> {
    let mut at = value;
    for step in path {
        at = find_step(at, step).ok()??;
    }
    Some(at)
}
