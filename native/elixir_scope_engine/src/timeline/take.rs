//! Taking changes as they are recorded.

mod begin;
mod open;
mod whole;

use super::Timelines;
use super::answer::{Asked, Quality};
use super::block::{Mark, flag};
use super::line::Line;
use super::part::StatePart;
use super::retention::Room;
use crate::event::{AtomId, EventId, ProcessId, TimeNs};
use crate::value::{Malformed, Reader, Token, delta_format, format, split_first};

/// What becomes of a change.
enum Taken {
    Kept,
    /// It is no change, or comes from nowhere.
    Refused,
    /// There is no memory for it.
    Dropped,
}

impl From<Malformed> for Taken {
    fn from(_: Malformed) -> Taken {
        Taken::Refused
    }
}

impl Timelines {
    /// Takes one recorded change: the event `id` of `process` tells of its state in `module`. Ids rise. Before more memory
    /// is taken, `room` is asked for so many bytes of it; without room the oldest of what is kept here goes.
    pub fn change(
        &mut self,
        process: ProcessId,
        module: AtomId,
        id: EventId,
        time: TimeNs,
        part: &StatePart<'_>,
        room: &mut dyn FnMut(usize) -> bool,
    ) -> Asked {
        let at = self.find(process, module, part.sequence);
        let mut mark = Mark {
            id: id.0,
            time: time.0,
        };
        let Some((at, line)) = at.and_then(|at| Some((at, self.line_mut(at)?))) else {
            return self.begin(process, module, mark, part, room);
        };
        let newest = line.newest();
        mark.time = mark.time.max(newest.time);
        let taken = if mark.id <= newest.id {
            Taken::Refused
        } else {
            let taken = match part.kind() {
                StatePart::DELTA => self.delta(at, mark, part.body, part.is(StatePart::CUT), room),
                StatePart::CHECK => self.check(at, mark, part, room),
                _ => self.whole(at, mark, part, room),
            };
            taken.unwrap_or_else(Taken::from)
        };
        match taken {
            Taken::Kept => {
                self.changes += 1;
                self.line_mut(at).map_or(Asked::No, |line| {
                    // a process may have the number of one that is dead
                    line.ended = false;
                    line.asks()
                })
            }
            taken => self.lose(at, &taken),
        }
    }

    /// Where the timeline stands. Changes of the process that are missing before this one break all its timelines.
    #[inline]
    fn find(&mut self, process: ProcessId, module: AtomId, sequence: u32) -> Option<u32> {
        let known = self.processes.get_mut(&process)?;
        // A snapshot that another process took has no number: nothing is known of what came before it, nor missing.
        let follows = sequence == 0 || known.sequence.wrapping_add(1) == sequence;
        if sequence != 0 {
            known.sequence = sequence;
        }
        if !follows {
            for &(_, line) in &known.lines {
                if let Some(Some(line)) = self.lines.get_mut(line as usize) {
                    line.lost = true;
                }
            }
        }
        let found = known.lines.iter().find(|(other, _)| *other == module);
        found.map(|&(_, line)| line)
    }

    /// A change was not taken.
    #[cold]
    fn lose(&mut self, at: u32, taken: &Taken) -> Asked {
        self.refused += 1;
        let Some(line) = self.line_mut(at) else {
            return Asked::Keyframe;
        };
        line.lost = true;
        line.unhealed = true;
        if matches!(taken, Taken::Refused) {
            return Asked::Keyframe;
        }
        // what does not fit will not fit the next time
        line.dropped = line.dropped.saturating_add(1);
        if line.dropped.is_power_of_two() && line.dropped > 1 {
            Asked::Keyframe
        } else {
            Asked::No
        }
    }

    /// Takes a delta. One that puts another value in the place of the whole state, with nothing left out, tells all of it: it heals
    /// as a whole state does.
    #[inline]
    fn delta(
        &mut self,
        at: u32,
        mark: Mark,
        delta: &[u8],
        cut: bool,
        room: Room<'_>,
    ) -> Result<Taken, Malformed> {
        self.scan.read(delta)?;
        let hides = cut || self.scan.hides;
        let heals = match self.line(at) {
            Some(line) if line.is_sound() || hides => None,
            Some(_) => replaced(delta),
            None => return Ok(Taken::Dropped),
        };
        let is_kept = self.line(at).is_some_and(|line| line.dropped == 0);
        if !is_kept && heals.is_none_or(|value| value.len() > self.max_state()) {
            return Ok(Taken::Dropped);
        }
        if !self.reserve(at, delta.len(), room) {
            return Ok(Taken::Dropped);
        }
        let Some(line) = self.lines.get_mut(at as usize).and_then(Option::as_mut) else {
            return Ok(Taken::Dropped);
        };
        let mut flags = if self.scan.masked { flag::MASKED } else { 0 };
        flags |= if line.lost { flag::GAP } else { 0 };
        match heals {
            Some(value) => {
                line.settle(mark.id, Quality::Unverified, false);
                (line.lost, line.unhealed, line.dropped, line.since_whole) = (false, false, 0, 0);
                self.scratch.clear();
                // Without the proof: what was there is known to be doubtful.
                self.scratch.push(delta_format::REPLACE);
                self.scratch.extend_from_slice(value);
                line.push(mark, flags | flag::SOLID, &self.scratch, &self.scan);
                let scratch = std::mem::take(&mut self.scratch);
                self.give_back(scratch);
            }
            None => {
                if line.lost || hides {
                    line.begin_doubt(mark.id);
                    line.unhealed |= line.lost;
                    line.lost = false;
                }
                line.push(mark, flags, delta, &self.scan);
                line.since_whole = line.since_whole.saturating_add(1);
            }
        }
        self.pushed(at, room);
        Ok(Taken::Kept)
    }
}

impl Line {
    /// What the next change should bring.
    #[inline]
    fn asks(&mut self) -> Asked {
        if self.unhealed {
            return Asked::Keyframe;
        }
        if self.verdicts.doubt() && self.since_whole >= self.patience() {
            self.since_whole = 0;
            return Asked::Keyframe;
        }
        Asked::No
    }

    /// Whether nothing is missing or doubtful since the newest whole state.
    #[inline]
    fn is_sound(&self) -> bool {
        !(self.lost || self.unhealed || self.dropped > 0 || self.verdicts.doubt())
    }

    /// A state of which a part is cut is asked for after so many changes; it may be cut again.
    fn patience(&self) -> u32 {
        (self.open.bytes() as u32 / 16).clamp(64, 4096)
    }
}

/// The value that a delta puts in the place of the whole state, if it does.
fn replaced(delta: &[u8]) -> Option<&[u8]> {
    let (&tag, rest) = delta.split_first()?;
    let value = match tag {
        delta_format::REPLACE => rest,
        delta_format::PROVED_REPLACE => rest.get(2..)?,
        _ => return None,
    };
    split_first(value).ok().map(|(value, _)| value)
}

/// Whether a part of a value was left out.
fn is_cut(value: &[u8]) -> bool {
    if memchr::memchr2(format::TRUNCATED, format::CUT, value).is_none() {
        return false;
    }
    let mut reader = Reader::new(value);
    while !reader.rest().is_empty() {
        match reader.token() {
            Ok(Token::Truncated(_) | Token::Cut(_)) | Err(_) => return true,
            Ok(_) => {}
        }
    }
    false
}
