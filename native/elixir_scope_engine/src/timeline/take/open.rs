//! Room in the block that changes are added to, and its end.

use super::super::Timelines;
use super::super::block::flag;
use super::super::line::{Line, Place};
use super::super::retention::Room;

/// Room for what grows by a little beside what was asked for.
pub(super) const SPARE: usize = 128;

impl Timelines {
    /// Makes room for a delta of `size` bytes, which was scanned.
    #[inline]
    pub(super) fn reserve(&mut self, at: u32, size: usize, room: Room<'_>) -> bool {
        let postings = self.scan.postings.len();
        let Some(line) = self.line_mut(at) else {
            return false;
        };
        let growth = line.growth(size, postings);
        growth == 0 || self.reserve_more(at, size, growth, room)
    }

    #[cold]
    fn reserve_more(&mut self, at: u32, size: usize, growth: usize, room: Room<'_>) -> bool {
        let postings = self.scan.postings.len();
        self.recount_tables();
        if !self.make_room(growth + SPARE, Some(at), room) {
            return false;
        }
        if let Some(line) = self.line_mut(at) {
            line.grow(size, postings);
        }
        true
    }

    /// A change was added to the open block.
    #[inline]
    pub(super) fn pushed(&mut self, at: u32, room: Room<'_>) {
        let most = self.cap / 16;
        let Some(line) = self.line_mut(at) else {
            return;
        };
        if matches!(line.place, Place::Bases(..)) {
            self.place(at);
        }
        if self.line(at).is_some_and(|line| line.open.is_full(most)) {
            self.seal(at, room);
        }
    }

    /// Ends the open block; the state that it leads to is the base of the next one.
    fn seal(&mut self, at: u32, room: Room<'_>) {
        let mut state = std::mem::take(&mut self.scratch);
        state.clear();
        let replayed = self.line(at).and_then(|line| {
            let replay = line.replay().ok()?;
            replay.write(&mut state);
            Some((replay.at, replay.flags, replay.first_unfit))
        });
        if let Some((last, flags, unfit)) = replayed {
            if let Some(unfit) = unfit
                && let Some(line) = self.line_mut(at)
            {
                line.unfit(unfit);
                line.unhealed = true;
            }
            let growth = self.line_mut(at).map_or(0, Line::seal_growth);
            let fits = state.len() <= self.max_state();
            if fits && self.make_room(growth + state.len() + SPARE, Some(at), room) {
                if let Some(line) = self.lines.get_mut(at as usize).and_then(Option::as_mut)
                    && line.open.count() > 0
                {
                    line.seal(
                        last,
                        flags | flag::CARRIED,
                        state.as_slice().into(),
                        &self.memory,
                    );
                }
            } else if let Some(line) = self.line_mut(at) {
                // what comes behind it is not kept, up to a whole state that can be
                (line.lost, line.unhealed, line.dropped) = (true, true, 1);
            }
        }
        self.give_back(state);
    }
}
