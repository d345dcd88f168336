//! The first state of a timeline, and those that cannot be kept.

use super::super::answer::Asked;
use super::super::block::{Mark, flag};
use super::super::line::Line;
use super::super::part::StatePart;
use super::super::retention::Room;
use super::super::{Homeless, Process, Timelines};
use super::{is_cut, replaced};
use crate::event::{AtomId, ProcessId};
use crate::value::{Cut, format, skip_delta, split_first};

/// A state of which nothing is known.
const UNKNOWN: [u8; 4] = [format::TRUNCATED, Cut::Bytes as u8, 0, 0];

impl Timelines {
    /// The first state of a timeline.
    pub(super) fn begin(
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
        // a process may have the number of one that is dead; one that begins had no state before
        line.is_anew = !part.is(StatePart::FIRST) && self.forgotten.contains(process, Some(module));
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
}
