//! What stays and what goes: memory is bounded, and the oldest goes first. Of a process that lives, the newest state is carried
//! on for as long as such states take half of the memory at most.

use super::answer::Missing;
use super::forgotten::Forgotten;
use super::index::Scan;
use super::line::{Line, Place};
use super::replay::Replay;
use super::{Homeless, Timelines};
use crate::event::{AtomId, ProcessId, TimeNs};
use crate::memory::Use;

/// Bytes of a node of the tables of timelines, for each of them.
const NODE: usize = 40;

/// Asked for memory before it is taken.
pub(super) type Room<'r> = &'r mut dyn FnMut(usize) -> bool;

impl Timelines {
    /// Some of the processes that are not known to have ended, those in turn: about as many as `count`, from `turn` on, which goes on.
    pub(crate) fn some(&self, turn: &mut usize, count: usize) -> Vec<ProcessId> {
        if *turn >= self.lines.len() {
            *turn = 0;
        }
        let lines = self.lines.iter().skip(*turn).take(count).flatten();
        *turn += count;
        lines
            .filter(|line| !line.ended)
            .map(|line| line.process)
            .collect()
    }

    /// The process has ended: when its turn comes, nothing of it is carried on.
    pub fn ended(&mut self, process: ProcessId) {
        let Some(known) = self.processes.get(&process) else {
            return;
        };
        for &(_, line) in &known.lines {
            if let Some(Some(line)) = self.lines.get_mut(line as usize) {
                line.ended = true;
            }
        }
    }

    /// Takes away what was over before `oldest`; of processes that live the state of that time stays.
    pub fn retain(&mut self, oldest: TimeNs) {
        let is_over =
            |line: Option<&Line>| line.is_some_and(|line| line.oldest_end().time < oldest.0);
        while let Some(&(key, at)) = self.queue.first() {
            let is_up_to_date = self.line(at).is_none_or(|line| line.oldest_end().id == key);
            if is_up_to_date && !is_over(self.line(at)) {
                break;
            }
            self.evict(at, None);
        }
        let over = self.bases.iter().map(|&(_, at)| at);
        let over: Vec<u32> = over
            .filter(|&at| {
                let line = self.line(at);
                is_over(line) && line.is_some_and(|line| line.ended)
            })
            .collect();
        for at in over {
            self.forget(at);
        }
    }

    /// Takes away everything.
    pub fn clear(&mut self) {
        for at in 0..self.lines.len() as u32 {
            self.forget(at);
        }
        self.forgotten = Forgotten::new(self.cap / 64);
        self.homeless.clear();
        self.recount_tables();
    }

    /// Makes room for so many bytes more, so that it can be said of the timeline `keep` that it is still there. Its changes may
    /// be gone.
    pub(super) fn make_room(&mut self, bytes: usize, keep: Option<u32>, room: Room<'_>) -> bool {
        let limit = self.cap - self.cap / 32;
        while self.memory.of(Use::Timelines) + bytes > limit || !room(bytes) {
            if !self.evict_oldest(keep) {
                return false;
            }
        }
        true
    }

    /// Takes the oldest thing away that there is.
    fn evict_oldest(&mut self, keep: Option<u32>) -> bool {
        if let Some(&(_, at)) = self.queue.first() {
            return self.evict(at, keep);
        }
        self.forget_base(keep)
    }

    /// Forgets the timeline whose only state is the oldest one.
    fn forget_base(&mut self, keep: Option<u32>) -> bool {
        let oldest = self.bases.iter().find(|&&(_, at)| Some(at) != keep);
        let Some(&(_, at)) = oldest else {
            return false;
        };
        self.forget(at);
        true
    }

    /// Takes the oldest block of the first timeline of the queue away, or finds that it is not the oldest. False where readers
    /// hold its memory.
    fn evict(&mut self, at: u32, keep: Option<u32>) -> bool {
        let Some(line) = self.line_mut(at) else {
            return self.queue.pop_first().is_some();
        };
        let key = line.oldest_end().id;
        if line.place != Place::Queue(key) {
            self.place(at);
            return true;
        }
        if !line.sealed.is_empty() {
            let freed = line.evict();
            self.place(at);
            return freed;
        }
        if line.ended && keep != Some(at) || !self.compact(at) {
            if keep == Some(at) {
                return false;
            }
            self.forget(at);
            return true;
        }
        while self.bases_bytes > self.cap / 2 && self.forget_base(keep) {}
        true
    }

    /// Lets go of all changes of a timeline but not of its newest state. False where that cannot be kept.
    fn compact(&mut self, at: u32) -> bool {
        let (mut state, most) = (std::mem::take(&mut self.scratch), self.cap / 4);
        state.clear();
        let mut kept = false;
        if let Some(line) = self.line_mut(at)
            && let Ok(replay) = line.replay()
        {
            replay.write(&mut state);
            let Replay {
                flags, first_unfit, ..
            } = replay;
            if state.len() <= most {
                if let Some(unfit) = first_unfit {
                    line.unfit(unfit);
                }
                line.compact(state.as_slice().into(), flags);
                kept = true;
            }
        }
        self.give_back(state);
        if kept {
            self.place(at);
        }
        kept
    }

    /// Keeps a buffer for the next time, unless it is large.
    pub(super) fn give_back(&mut self, scratch: Vec<u8>) {
        if scratch.capacity() <= self.cap / 64 {
            self.scratch = scratch;
        }
        self.recount_tables();
    }

    /// Puts a timeline where it belongs, after blocks came or went.
    pub(super) fn place(&mut self, at: u32) {
        self.unplace(at);
        let Some(line) = self.lines.get_mut(at as usize).and_then(Option::as_mut) else {
            return;
        };
        let key = line.oldest_end().id;
        if line.is_base() {
            line.place = Place::Bases(key, line.counted());
            self.bases_bytes += line.counted();
            self.bases.insert((key, at));
        } else {
            line.place = Place::Queue(key);
            self.queue.insert((key, at));
        }
        self.recount_tables();
    }

    fn unplace(&mut self, at: u32) {
        match self.line(at).map(|line| line.place) {
            Some(Place::Queue(key)) => {
                self.queue.remove(&(key, at));
            }
            Some(Place::Bases(key, bytes)) if self.bases.remove(&(key, at)) => {
                self.bases_bytes -= bytes;
            }
            _ => {}
        }
    }

    /// Takes a timeline away.
    pub(super) fn forget(&mut self, at: u32) {
        self.unplace(at);
        let Some(line) = self.lines.get_mut(at as usize).and_then(Option::take) else {
            return;
        };
        self.evicted += line.evicted + line.changes();
        self.free.push(at);
        self.forgotten.add(line.process, line.module);
        if let Some(known) = self.processes.get_mut(&line.process) {
            known.lines.retain(|(_, line)| *line != at);
            if known.lines.is_empty() {
                self.processes.remove(&line.process);
            }
        }
        self.recount_tables();
    }

    /// Why nothing is known of a process, or of a module in it.
    pub(super) fn unknown(&self, process: ProcessId, module: Option<AtomId>) -> Missing {
        if self.forgotten.contains(process, module) {
            Missing::Evicted
        } else {
            Missing::NoStateRecorded
        }
    }

    /// Bytes by which the tables may grow for one more timeline.
    pub(super) fn tables_growth(&self) -> usize {
        let mut bytes = NODE + Scan::BYTES;
        if self.lines.len() == self.lines.capacity() && self.free.is_empty() {
            bytes += Self::more(self.lines.capacity()) * size_of::<Option<Line>>();
        }
        if self.processes.len() == self.processes.capacity() {
            bytes += (self.processes.capacity() + 8) * Self::ROW;
        }
        bytes
    }

    /// By how many places the list of timelines grows.
    pub(super) fn more(capacity: usize) -> usize {
        capacity / 4 + 4
    }

    const ROW: usize = (size_of::<(ProcessId, super::Process)>() + 1) * 8 / 7;

    /// Bytes of the tables.
    pub(super) fn tables_bytes(&self) -> usize {
        self.lines.capacity() * size_of::<Option<Line>>()
            + self.free.capacity() * size_of::<u32>()
            + self.processes.capacity() * Self::ROW
            + (self.queue.len() + self.bases.len()) * NODE
            + self.forgotten.bytes()
            + self.homeless.capacity() * size_of::<Homeless>()
            + self.scratch.capacity()
            + self.scan.postings.capacity() * size_of::<u32>()
    }

    /// Counts the tables after something came or went.
    pub(super) fn recount_tables(&mut self) {
        let bytes = self.tables_bytes();
        self.tables.set(bytes);
    }
}
