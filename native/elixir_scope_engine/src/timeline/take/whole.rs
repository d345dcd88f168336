//! Whole states: what they prove of the deltas before them, and how they are kept.

use super::super::Timelines;
use super::super::answer::Quality;
use super::super::block::{Mark, flag};
use super::super::part::StatePart;
use super::super::retention::Room;
use super::open::SPARE;
use super::{Taken, is_cut};
use crate::value::{Malformed, delta_format, diff, equal, skip_delta, split_first};

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

impl Timelines {
    /// Takes a delta with the whole state behind it.
    pub(super) fn check(
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
    pub(super) fn whole(
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
}
