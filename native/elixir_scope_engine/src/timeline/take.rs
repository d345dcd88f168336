//! Taking changes as they are recorded.

use super::answer::{Asked, Quality};
use super::block::{Mark, flag};
use super::line::{Line, Place};
use super::part::StatePart;
use super::retention::Room;
use super::{Homeless, Process, Timelines};
use crate::event::{AtomId, EventId, ProcessId, TimeNs};
use crate::value::{
    Cut, Malformed, Reader, Token, delta_format, diff, equal, format, skip_delta, split_first,
};

/// What becomes of a change.
enum Taken {
    Kept,
    /// It is no change, or comes from nowhere.
    Refused,
    /// There is no memory for it.
    Dropped,
}

/// A whole state that was recorded.
struct Whole<'a> {
    value: &'a [u8],
    /// Nothing of it was left out.
    solid: bool,
    /// Of the change that led there.
    flags: u8,
    /// How it came from the state before, as far as the process knows.
    delta: Option<&'a [u8]>,
}

/// How a whole state is kept.
enum Form {
    /// It is what replay says; this delta led there.
    Delta,
    /// As the difference, in the scratch, from what replay says.
    Difference,
    /// As it is.
    Base,
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

    /// The first state of a timeline.
    fn begin(
        &mut self,
        process: ProcessId,
        module: AtomId,
        mark: Mark,
        part: &StatePart<'_>,
        room: Room<'_>,
    ) -> Asked {
        // The state that was changed was lost on its way: that there is one is all that is known of it.
        let mut is_unknown = false;
        let body = match part.kind() {
            StatePart::WHOLE => Ok(part.body),
            StatePart::CHECK => {
                skip_delta(part.body).map(|size| part.body.get(size..).unwrap_or_default())
            }
            _ => {
                if let Some(asked) = self.turn_away(process, module) {
                    return asked;
                }
                let replaced = skip_delta(part.body).map(|_| replaced(part.body));
                is_unknown = replaced == Ok(None);
                replaced.map(|value| value.unwrap_or(&UNKNOWN))
            }
        };
        let Ok((value, _)) = body.and_then(split_first) else {
            self.refused += 1;
            return Asked::Keyframe;
        };
        let needed = Line::least_bytes(value.len()) + self.tables_growth();
        if value.len() > self.max_state() || !self.make_room(needed, None, room) {
            return self.leave_out(process, module);
        }
        self.homeless
            .retain(|other| (other.process, other.module) != (process, module));
        let cut = part.kind() != StatePart::CHECK && part.is(StatePart::CUT);
        let mut flags = 0;
        flags |= if cut || is_cut(value) { 0 } else { flag::SOLID };
        flags |= if part.is(StatePart::FIRST) {
            flag::FIRST
        } else {
            flag::BREAKS
        };
        let mut line = Line::new(process, module, (mark, flags), value.into(), &self.memory);
        line.unhealed = is_unknown;
        let at = match self.free.pop() {
            Some(free) => free,
            None => {
                if self.lines.len() == self.lines.capacity() {
                    self.lines.reserve_exact(Self::more(self.lines.capacity()));
                }
                self.lines.push(None);
                self.lines.len() as u32 - 1
            }
        };
        if let Some(place) = self.lines.get_mut(at as usize) {
            *place = Some(line);
        }
        self.scan.reserve();
        let known = self.processes.entry(process).or_insert_with(|| Process {
            sequence: part.sequence,
            lines: Default::default(),
        });
        known.lines.push((module, at));
        self.changes += 1;
        self.place(at);
        if is_unknown {
            Asked::Keyframe
        } else {
            Asked::No
        }
    }

    /// A delta came for a timeline that there is not; none if its first state was not one that cannot be kept.
    #[cold]
    fn turn_away(&mut self, process: ProcessId, module: AtomId) -> Option<Asked> {
        let mut homeless = self.homeless.iter_mut();
        let known = homeless.find(|other| (other.process, other.module) == (process, module))?;
        self.refused += 1;
        known.changes = known.changes.saturating_add(1);
        // what was not kept will not be kept the next time
        if known.changes.is_power_of_two() && known.changes > 1 {
            Some(Asked::Keyframe)
        } else {
            Some(Asked::No)
        }
    }

    /// The first state of a timeline cannot be kept.
    #[cold]
    fn leave_out(&mut self, process: ProcessId, module: AtomId) -> Asked {
        self.refused += 1;
        let is_known = |other: &Homeless| (other.process, other.module) == (process, module);
        if !self.homeless.iter().any(is_known) {
            if self.homeless.len() >= (self.cap / 4096).clamp(1, 256) {
                self.homeless.swap_remove(0);
            }
            self.homeless.push(Homeless {
                process,
                module,
                changes: 0,
            });
            self.recount_tables();
        }
        Asked::No
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

    /// Takes a delta with the whole state behind it.
    fn check(
        &mut self,
        at: u32,
        mark: Mark,
        part: &StatePart<'_>,
        room: Room<'_>,
    ) -> Result<Taken, Malformed> {
        let size = skip_delta(part.body)?;
        let (delta, body) = part.body.split_at_checked(size).unwrap_or((part.body, &[]));
        let (value, _) = split_first(body)?;
        if is_cut(value) {
            return self.delta(at, mark, delta, true, room);
        }
        self.scan.read(delta)?;
        let mut flags = flag::SOLID;
        if self.scan.masked {
            flags |= flag::MASKED;
        }
        let knows = !part.is(StatePart::CUT) && !self.scan.hides;
        let whole = Whole {
            value,
            solid: true,
            flags,
            delta: Some(delta),
        };
        self.settle(at, mark, &whole, knows, room)
    }

    /// Takes a whole state.
    fn whole(
        &mut self,
        at: u32,
        mark: Mark,
        part: &StatePart<'_>,
        room: Room<'_>,
    ) -> Result<Taken, Malformed> {
        let (value, _) = split_first(part.body)?;
        let solid = !part.is(StatePart::CUT) && !is_cut(value);
        let mut flags = 0;
        flags |= if solid { flag::SOLID } else { 0 };
        flags |= if part.is(StatePart::BREAKS | StatePart::FIRST) {
            flag::BREAKS
        } else {
            0
        };
        flags |= if part.is(StatePart::FIRST) {
            flag::FIRST
        } else {
            0
        };
        let whole = Whole {
            value,
            solid,
            flags,
            delta: None,
        };
        self.settle(at, mark, &whole, false, room)
    }

    /// Compares a whole state with what replay says, judges what lies before, and keeps it. With `knows`, replay ought to say
    /// the same.
    fn settle(
        &mut self,
        at: u32,
        mark: Mark,
        whole: &Whole<'_>,
        knows: bool,
        room: Room<'_>,
    ) -> Result<Taken, Malformed> {
        if whole.value.len() > self.max_state() {
            return Ok(Taken::Dropped);
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let settled = self.settle_with(&mut scratch, at, mark, whole, knows, room);
        self.give_back(scratch);
        settled
    }

    fn settle_with(
        &mut self,
        scratch: &mut Vec<u8>,
        at: u32,
        mark: Mark,
        whole: &Whole<'_>,
        knows: bool,
        room: Room<'_>,
    ) -> Result<Taken, Malformed> {
        let Some(line) = self.lines.get_mut(at as usize).and_then(Option::as_mut) else {
            return Ok(Taken::Refused);
        };
        let mut state = Vec::new();
        let mut replay = line.replay()?;
        let unfit = replay.first_unfit;
        let mut fits_itself = true;
        if let Some(delta) = whole.delta {
            replay.apply(mark.id, delta);
            fits_itself = replay.unfit != Some(mark.id);
        }
        let fits = unfit.is_none() && fits_itself;
        scratch.clear();
        replay.write(scratch);
        drop(replay);
        let is_equal =
            whole.solid && (scratch.as_slice() == whole.value || equal(scratch, whole.value)?);
        if let Some(unfit) = unfit {
            line.unfit(unfit);
        }
        let clean = !line.lost && !line.verdicts.doubt() && whole.flags & flag::BREAKS == 0;
        let proves = clean && is_equal && fits_itself;
        let refutes = clean && !is_equal && knows && fits;
        let mut flags = whole.flags | if line.lost { flag::GAP } else { 0 };
        let delta = whole.delta.unwrap_or(&[delta_format::SAME]);
        let mut form = Form::Delta;
        // what does not fit would not fit again at each replay
        if !is_equal || !fits_itself {
            if whole.delta.is_none() {
                flags |= flag::BREAKS;
            } else {
                state.clear();
                line.replay()?.write(&mut state);
                std::mem::swap(scratch, &mut state);
            }
            state.clear();
            diff(scratch, whole.value, &mut state)?;
            form = if state.len() < whole.value.len() / 2 {
                Form::Difference
            } else {
                Form::Base
            };
        }
        let has_room = match form {
            Form::Delta => {
                self.scan.read(delta)?;
                self.reserve(at, delta.len(), room)
            }
            Form::Difference => {
                self.scan.read(&state)?;
                self.reserve(at, state.len(), room)
            }
            Form::Base => {
                let needed = line.seal_growth() + whole.value.len() + SPARE;
                self.make_room(needed, Some(at), room)
            }
        };
        let Some(line) = self.lines.get_mut(at as usize).and_then(Option::as_mut) else {
            return Ok(Taken::Dropped);
        };
        if !has_room {
            return Ok(Taken::Dropped);
        }
        let before = if proves {
            Quality::Exact
        } else if refutes || clean && !fits_itself {
            Quality::Approximate
        } else {
            Quality::Unverified
        };
        line.settle(mark.id, before, !whole.solid);
        (line.lost, line.unhealed, line.dropped, line.since_whole) = (false, false, 0, 0);
        match form {
            Form::Delta => line.push(mark, flags, delta, &self.scan),
            Form::Difference => line.push(mark, flags, &state, &self.scan),
            Form::Base => line.seal(mark, flags, whole.value.into(), &self.memory),
        }
        self.verified += u64::from(proves);
        self.mismatches += u64::from(refutes);
        self.pushed(at, room);
        Ok(Taken::Kept)
    }

    /// Makes room for a delta of `size` bytes, which was scanned.
    #[inline]
    fn reserve(&mut self, at: u32, size: usize, room: Room<'_>) -> bool {
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
    fn pushed(&mut self, at: u32, room: Room<'_>) {
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

/// A state of which nothing is known.
const UNKNOWN: [u8; 4] = [format::TRUNCATED, Cut::Bytes as u8, 0, 0];

/// Room for what grows by a little beside what was asked for.
const SPARE: usize = 128;

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
