//! States at a time, and how they differ.

use super::Timelines;
use super::answer::{Found, Missing, Quality, When};
use super::block::{Mark, flag};
use super::index::Wanted;
use super::line::Line;
use super::replay::Replay;
use crate::event::{AtomId, EventId, ProcessId, TimeNs};
use crate::value::{Change, Reader, Step, Token, changes, format};

impl When {
    /// Whether a change has happened by then.
    #[inline]
    fn is_behind(self, change: Mark) -> bool {
        match self {
            When::At(time) => change.time <= time.0,
            When::Before(event) => change.id < event.0,
            When::Last => true,
        }
    }
}

impl Timelines {
    /// The state of a process at a time; of the module in which it first had one, unless another is given.
    ///
    /// # Errors
    /// [`Missing`] where none is known.
    pub fn state_at(
        &self,
        process: ProcessId,
        module: Option<AtomId>,
        when: When,
    ) -> Result<Found, Missing> {
        self.line_of(process, module)?.state_at(when)
    }

    /// Calls `found` for every place at which the states of two times differ.
    ///
    /// # Errors
    /// [`Missing`] where one of them is not known.
    pub fn diff(
        &self,
        process: ProcessId,
        module: Option<AtomId>,
        from: When,
        to: When,
        found: &mut dyn FnMut(Change<'_>),
    ) -> Result<(), Missing> {
        let line = self.line_of(process, module)?;
        let old = line.state_at(from)?;
        let new = line.state_at(to)?;
        let between = (old.event.0.min(new.event.0), old.event.0.max(new.event.0));
        let mut was_masked = |path: &[Step<'_>]| line.was_masked(path, between);
        // what is kept was checked when it came
        let _ = changes(&old.state, &new.state, &mut was_masked, found);
        Ok(())
    }

    /// Calls `found` for the state of every timeline that had one at this time.
    pub fn all_at(&self, when: When, found: &mut dyn FnMut(ProcessId, Found)) {
        for line in self.lines.iter().flatten() {
            if let Ok(state) = line.state_at(when) {
                found(line.process, state);
            }
        }
    }

    /// The modules in which a process has states, the first-born first.
    #[must_use]
    pub fn modules(&self, process: ProcessId) -> Vec<AtomId> {
        let known = self.processes.get(&process);
        let lines = known.iter().flat_map(|known| &known.lines);
        lines.map(|&(module, _)| module).collect()
    }

    /// All timelines.
    #[must_use]
    pub fn all(&self) -> Vec<(ProcessId, AtomId)> {
        let lines = self.lines.iter().flatten();
        lines.map(|line| (line.process, line.module)).collect()
    }

    pub(super) fn line_of(
        &self,
        process: ProcessId,
        module: Option<AtomId>,
    ) -> Result<&Line, Missing> {
        let known = self.processes.get(&process);
        let mut lines = known.iter().flat_map(|known| &known.lines);
        lines
            .find(|(other, _)| module.is_none_or(|module| module == *other))
            .and_then(|&(_, line)| self.line(line))
            .ok_or_else(|| self.unknown(process, module))
    }
}

impl Line {
    /// The block in which a time lies: the last one that begins at or before it.
    pub(super) fn block_at(&self, time: i64) -> Option<usize> {
        self.block_by(When::At(TimeNs(time)))
    }

    fn block_by(&self, when: When) -> Option<usize> {
        let begins = |first: Mark| when.is_behind(first);
        if begins(self.open.stretch().first) {
            return Some(self.sealed.len());
        }
        let behind = self
            .sealed
            .partition_point(|block| begins(block.stretch().first));
        behind.checked_sub(1)
    }

    /// Why there is nothing before its oldest state.
    pub(super) fn before_oldest(&self) -> Missing {
        if self.has_evicted() {
            Missing::Evicted
        } else {
            Missing::NoStateRecorded
        }
    }

    fn state_at(&self, when: When) -> Result<Found, Missing> {
        let block = self.block_by(when).ok_or_else(|| self.before_oldest())?;
        let stretch = self.stretch(block);
        // what is kept was checked when it came
        let mut replay = Replay::new(&stretch, 0).map_err(|_| Missing::NoStateRecorded)?;
        replay.run(|entry| when.is_behind(entry.mark));
        let next = match replay.peek(|_| true) {
            Some(entry) => Some(entry.flags),
            None if block < self.sealed.len() => {
                let next = self.stretch(block + 1);
                next.owns_base().then_some(next.flags)
            }
            None => self.lost.then_some(flag::GAP),
        };
        let is_exactly_at = when == When::At(TimeNs(replay.at.time));
        let quality = if is_exactly_at && replay.flags & flag::SOLID != 0 {
            Quality::Exact
        } else if !is_exactly_at
            && next.is_some_and(|flags| flags & (flag::GAP | flag::BREAKS) != 0)
        {
            Quality::Approximate
        } else {
            self.verdicts.quality(replay.at.id, replay.unfit)
        };
        let mut state = Vec::with_capacity(stretch.base.len() + 64);
        replay.write(&mut state);
        Ok(Found {
            redacted: redacted(&state),
            state,
            quality,
            module: self.module,
            recorded_at: TimeNs(replay.at.time),
            event: EventId(replay.at.id),
            replayed: replay.applied,
        })
    }

    /// Whether a change behind the first id, up to the second, wrote a masked value at a path.
    fn was_masked(&self, path: &[Step<'_>], (after, until): (u64, u64)) -> bool {
        let steps: Vec<&[u8]> = path.iter().map(Step::bytes).collect();
        let wanted = Wanted::new(&steps);
        let last = self.block_of(until);
        let mut next = Some(last);
        while let Some(block) = next.and_then(|block| self.candidate_before(&wanted, block)) {
            let stretch = self.stretch(block);
            if stretch.last.id <= after {
                return false;
            }
            let between = |id: u64| id > after && id <= until;
            for entry in stretch.entries() {
                let masks = entry.flags & flag::MASKED != 0;
                if masks && between(entry.mark.id) && wanted.is_touched_by(entry.delta, true) {
                    return true;
                }
            }
            next = block.checked_sub(1);
        }
        false
    }

    /// The last block that begins with the change `id` or one before it.
    pub(super) fn block_of(&self, id: u64) -> usize {
        if self.open.stretch().first.id <= id {
            return self.sealed.len();
        }
        let behind = self
            .sealed
            .partition_point(|block| block.stretch().first.id <= id);
        behind.saturating_sub(1)
    }

    /// The last block up to `block` in which the value may have changed. The open one may always.
    pub(super) fn candidate_before(&self, wanted: &Wanted<'_>, block: usize) -> Option<usize> {
        if wanted.is_everything() || block >= self.sealed.len() {
            return Some(block);
        }
        let number = self.number.wrapping_add(block as u32);
        let found = self.postings.newest(wanted, number)?;
        found.checked_sub(self.number).map(|block| block as usize)
    }

    /// The first block from `block` on in which the value may have changed.
    pub(super) fn candidate_after(&self, wanted: &Wanted<'_>, block: usize) -> usize {
        if wanted.is_everything() || block >= self.sealed.len() {
            return block;
        }
        let number = self.number.wrapping_add(block as u32);
        let found = self.postings.oldest(wanted, number);
        found.map_or(self.sealed.len(), |found| (found - self.number) as usize)
    }
}

/// How many masked values are in a value.
pub(super) fn redacted(state: &[u8]) -> u32 {
    if memchr::memchr(format::REDACTED, state).is_none() {
        return 0;
    }
    let mut reader = Reader::new(state);
    let mut found = 0;
    while !reader.rest().is_empty() {
        match reader.token() {
            Ok(token) => found += u32::from(token == Token::Redacted),
            Err(_) => break,
        }
    }
    found
}
