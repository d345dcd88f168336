//! One timeline: the states of a process in a module.

use std::collections::VecDeque;
use std::sync::Arc;

use super::answer::Quality;
use super::block::{Block, Entry, Mark, Open, Stretch, flag};
use super::index::{EVERYTHING, Growing, Postings, Scan};
use super::replay::Replay;
use super::verdicts::Verdicts;
use crate::event::{AtomId, ProcessId};
use crate::memory::{Charge, Memory, Use};
use crate::value::Malformed;

/// Sealed blocks, the open one behind them, and what is known of all of them.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) process: ProcessId,
    pub(super) module: AtomId,
    /// The number of the first block; the others follow without gaps.
    pub(super) number: u32,
    /// Blocks below this number have no postings any more.
    purged: u32,
    pub(super) sealed: VecDeque<Arc<Block>>,
    pub(super) open: Open,
    growing: Growing,
    pub(super) postings: Postings,
    pub(super) verdicts: Verdicts,
    /// Changes were lost behind the newest one.
    pub(super) lost: bool,
    /// Since changes were lost there was no whole state.
    pub(super) unhealed: bool,
    /// Changes that were dropped for want of memory, since the newest one that is kept.
    pub(super) dropped: u32,
    /// Changes since a whole state was recorded, or asked for.
    pub(super) since_whole: u32,
    /// Changes that were taken away.
    pub(super) evicted: u64,
    /// It had a timeline in this module before, which was taken away.
    pub(super) is_anew: bool,
    /// The process is no more.
    pub(super) ended: bool,
    pub(super) place: Place,
    charge: Charge,
}

/// Where a timeline waits for its turn to give memory back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// Among those with something to evict, under this id.
    Queue(u64),
    /// Among those with one state only, under this id, with so many bytes.
    Bases(u64, usize),
}

impl Line {
    /// Bytes of one with a base of this size.
    pub(super) const fn least_bytes(base: usize) -> usize {
        base + 256
    }

    pub(super) fn new(
        process: ProcessId,
        module: AtomId,
        (first, flags): (Mark, u8),
        base: Box<[u8]>,
        memory: &Arc<Memory>,
    ) -> Line {
        let mut verdicts = Verdicts::default();
        verdicts.settle(first.id, Quality::Approximate, flags & flag::SOLID == 0);
        let mut growing = Growing::default();
        growing.add(&[EVERYTHING]);
        let mut line = Line {
            process,
            module,
            number: 0,
            purged: 0,
            sealed: VecDeque::new(),
            open: Open::new(first, flags, base),
            growing,
            postings: Postings::default(),
            verdicts,
            lost: false,
            unhealed: false,
            dropped: 0,
            since_whole: 0,
            evicted: 0,
            is_anew: false,
            ended: false,
            place: Place::Bases(first.id, 0),
            charge: memory.charge(Use::Timelines, 0),
        };
        line.recount();
        line
    }

    /// Bytes allocated beside those of sealed blocks.
    pub(super) fn bytes(&self) -> usize {
        self.open.bytes()
            + self.growing.bytes()
            + self.postings.bytes()
            + self.verdicts.bytes()
            + self.sealed.capacity() * size_of::<Arc<Block>>()
    }

    /// Bytes counted for it, sealed blocks among them.
    pub(super) fn counted(&self) -> usize {
        self.charge.bytes() + self.sealed.iter().map(|block| block.bytes()).sum::<usize>()
    }

    /// Counts its bytes after some came or went.
    pub(super) fn recount(&mut self) {
        let bytes = self.bytes();
        self.charge.set(bytes);
    }

    /// See [`Verdicts::begin_doubt`].
    pub(super) fn begin_doubt(&mut self, id: u64) {
        self.verdicts.begin_doubt(id);
        self.recount();
    }

    /// See [`Verdicts::settle`].
    pub(super) fn settle(&mut self, id: u64, before: Quality, doubt: bool) {
        self.verdicts.settle(id, before, doubt);
        self.recount();
    }

    /// See [`Verdicts::unfit`].
    pub(super) fn unfit(&mut self, id: u64) {
        self.verdicts.unfit(id);
        self.recount();
    }

    /// The number of blocks.
    pub(super) fn blocks(&self) -> usize {
        self.sealed.len() + 1
    }

    /// A block by its place.
    pub(super) fn stretch(&self, at: usize) -> Stretch<'_> {
        match self.sealed.get(at) {
            Some(block) => block.stretch(),
            None => self.open.stretch(),
        }
    }

    /// The oldest change of which the state is known.
    pub(super) fn oldest(&self) -> Mark {
        self.stretch(0).first
    }

    pub(super) fn newest(&self) -> Mark {
        self.open.last()
    }

    /// The newest change that goes when the oldest block goes.
    pub(super) fn oldest_end(&self) -> Mark {
        self.stretch(0).last
    }

    /// Whether something was taken away of what came before its oldest state.
    pub(super) fn has_evicted(&self) -> bool {
        self.evicted > 0 || self.is_anew
    }

    /// Whether it holds one state and no changes.
    pub(super) fn is_base(&self) -> bool {
        self.sealed.is_empty() && self.open.count() == 0
    }

    /// Changes kept.
    pub(super) fn changes(&self) -> u64 {
        (0..self.blocks())
            .map(|at| self.stretch(at).changes())
            .sum()
    }

    /// Its newest state.
    pub(super) fn replay(&self) -> Result<Replay<'_>, Malformed> {
        let mut replay = Replay::new(&self.open.stretch(), self.verdicts.end())?;
        replay.run(|_: &Entry<'_>| true);
        Ok(replay)
    }

    /// Bytes by which its memory has to grow to take a change; none mostly.
    #[inline]
    pub(super) fn growth(&mut self, delta: usize, postings: usize) -> usize {
        self.open.growth(delta) + self.growing.growth(postings)
    }

    /// Grows, so that a change can be taken.
    pub(super) fn grow(&mut self, delta: usize, postings: usize) {
        let bytes = self.open.growth(delta);
        self.open.grow(bytes);
        let bytes = self.growing.growth(postings);
        self.growing.grow(bytes);
        self.recount();
    }

    /// Takes a change, for which there is room.
    #[inline]
    pub(super) fn push(&mut self, mark: Mark, flags: u8, delta: &[u8], scan: &Scan) {
        self.open.push(mark, flags, delta);
        self.growing.add(&scan.postings);
    }

    /// Bytes allocated when the open block is sealed.
    pub(super) fn seal_growth(&mut self) -> usize {
        let list = match self.sealed.len() == self.sealed.capacity() {
            true => (self.sealed.capacity() / 4 + 4) * size_of::<Arc<Block>>(),
            false => 0,
        };
        let postings = self.growing.sorted().len();
        self.open.sealed_bytes() + self.postings.growth(postings) + list
    }

    /// Seals the open block; another one begins with `base`. A base that is not carried over from the block that is sealed
    /// changes everything.
    pub(super) fn seal(&mut self, first: Mark, flags: u8, base: Box<[u8]>, memory: &Arc<Memory>) {
        let number = self.number.wrapping_add(self.sealed.len() as u32);
        let floor = self.number;
        self.postings.add(number, self.growing.sorted(), floor);
        self.growing.clear();
        if flags & flag::CARRIED == 0 {
            self.growing.add(&[EVERYTHING]);
        }
        let open = std::mem::replace(&mut self.open, Open::new(first, flags, base));
        if self.sealed.len() == self.sealed.capacity() {
            self.sealed.reserve_exact(self.sealed.capacity() / 4 + 4);
        }
        self.recount();
        self.sealed.push_back(open.seal(memory));
    }

    /// Takes the oldest sealed block away. Answers whether its memory is free, and not held by a reader.
    pub(super) fn evict(&mut self) -> bool {
        let Some(block) = self.sealed.pop_front() else {
            return false;
        };
        self.number = self.number.wrapping_add(1);
        self.evicted += block.stretch().changes();
        let oldest = self.oldest();
        self.verdicts.forget(oldest.id);
        if (self.number - self.purged) as usize > self.sealed.len() {
            self.postings.purge(self.number);
            self.purged = self.number;
        }
        self.recount();
        Arc::into_inner(block).is_some()
    }

    /// Puts its newest state in the place of the open block, without the changes that led there.
    pub(super) fn compact(&mut self, base: Box<[u8]>, flags: u8) {
        self.evicted += self.open.stretch().changes();
        self.open = Open::new(self.open.last(), flags | flag::CARRIED, base);
        self.growing = Growing::default();
        self.postings = Postings::default();
        self.verdicts.forget(self.open.last().id);
        self.recount();
    }
}
