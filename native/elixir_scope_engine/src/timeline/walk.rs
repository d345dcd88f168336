//! Walks along neighbouring changes.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::Timelines;
use super::answer::Quality;
use super::block::{Block, Entry, flag};
use super::replay::Replay;
use super::verdicts::Verdicts;
use crate::event::{AtomId, EventId, ProcessId};
use crate::value::{delta_format, diff};

impl Timelines {
    /// What is needed to walk along the changes whose ids are in `ids`. It is a copy: these timelines can go on.
    #[must_use]
    pub fn view(
        &self,
        process: ProcessId,
        module: AtomId,
        ids: RangeInclusive<EventId>,
    ) -> Option<View> {
        let line = self.line_of(process, Some(module)).ok()?;
        let (first, last) = (ids.start().0, ids.end().0);
        // the state before the first one is at the end of the block before, if that begins anew
        let start = line.block_of(first.saturating_sub(1));
        let end = line.block_of(last);
        let blocks = (start..=end.max(start)).map(|at| match line.sealed.get(at) {
            Some(block) => Arc::clone(block),
            None => line.open.copy(),
        });
        Some(View {
            blocks: blocks.collect(),
            verdicts: line.verdicts.clone(),
        })
    }
}

/// Some changes of one timeline, held while they are walked along.
#[derive(Debug)]
pub struct View {
    blocks: Vec<Arc<Block>>,
    verdicts: Verdicts,
}

/// A change with the states around it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StateChange {
    /// Whether the state before is known.
    pub has_old: bool,
    /// The state before, an encoded value, if it is known.
    pub old: Vec<u8>,
    /// The state after, an encoded value.
    pub new: Vec<u8>,
    /// How the one became the other; where nothing is known of the state before, the new one in its whole.
    pub delta: Vec<u8>,
    /// How far the two states can be trusted, the less of both.
    pub quality: Quality,
}

impl Default for StateChange {
    fn default() -> Self {
        StateChange {
            has_old: false,
            old: Vec::new(),
            new: Vec::new(),
            delta: Vec::new(),
            quality: Quality::Approximate,
        }
    }
}

/// How far the states around a change can be trusted: the less of that after the change `id`, and that after `before`, if one
/// is known. Each comes with the newest change up to there that did not fit.
pub(super) fn quality(
    verdicts: &Verdicts,
    flags: u8,
    (id, unfit): (u64, Option<u64>),
    before: Option<(u64, Option<u64>)>,
) -> Quality {
    let new = if flags & flag::SOLID != 0 {
        Quality::Exact
    } else {
        verdicts.quality(id, unfit)
    };
    let old = match before {
        None => Quality::Exact,
        Some(_) if flags & (flag::GAP | flag::BREAKS) != 0 => Quality::Approximate,
        Some((id, unfit)) => verdicts.quality(id, unfit),
    };
    old.max(new)
}

/// Goes along the changes of a [`View`], forwards at little cost.
#[derive(Debug)]
pub struct Walk<'v> {
    view: &'v View,
    /// The block that it is in.
    block: usize,
    /// How far it is in there.
    replay: Option<Replay<'v>>,
}

/// One change, with the states around it.
#[derive(Debug)]
pub struct Stride<'w, 'v> {
    walk: &'w mut Walk<'v>,
    what: What<'v>,
}

#[derive(Clone, Copy, Debug)]
enum What<'v> {
    /// A delta. The walk stands before it.
    Delta(Entry<'v>),
    /// The base of the block at this place. The walk stands at the end of the block before, if the state there is known.
    Base(usize, bool),
}

impl View {
    /// A walk that stands in front of its changes.
    #[must_use]
    pub fn walk(&self) -> Walk<'_> {
        Walk {
            view: self,
            block: 0,
            replay: None,
        }
    }
}

impl<'v> Walk<'v> {
    /// Goes to the change `id`. None where the view has none.
    pub fn seek(&mut self, id: EventId) -> Option<Stride<'_, 'v>> {
        let id = id.0;
        let blocks = &self.view.blocks;
        let behind = blocks.partition_point(|block| block.stretch().first.id < id);
        if let Some(stretch) = blocks.get(behind).map(|block| block.stretch())
            && stretch.first.id == id
            && (stretch.owns_base() || behind == 0)
        {
            let known = behind > 0 && self.go(behind - 1, id);
            return Some(Stride {
                what: What::Base(behind, known),
                walk: self,
            });
        }
        if !self.go(behind.checked_sub(1)?, id) {
            return None;
        }
        let entry = self.replay.as_ref()?.peek(|entry| entry.mark.id == id)?;
        Some(Stride {
            what: What::Delta(entry),
            walk: self,
        })
    }

    /// Goes to the last change before `id` in a block.
    fn go(&mut self, block: usize, id: u64) -> bool {
        let is_ahead = self.replay.as_ref().is_none_or(|replay| replay.at.id >= id);
        if is_ahead || self.block != block {
            let stretch = self.view.blocks.get(block).map(|block| block.stretch());
            self.replay = stretch.and_then(|stretch| Replay::new(&stretch, 0).ok());
            self.block = block;
        }
        match &mut self.replay {
            Some(replay) => {
                replay.run(|entry| entry.mark.id < id);
                true
            }
            None => false,
        }
    }
}

impl<'v> Stride<'_, 'v> {
    /// What lies before, if the process did not begin anew.
    fn before(&self) -> Option<&Replay<'v>> {
        match self.what {
            What::Base(_, false) => None,
            _ if self.is_first() => None,
            _ => self.walk.replay.as_ref(),
        }
    }

    /// What it did.
    pub fn change(self, out: &mut StateChange) {
        out.quality = self.quality();
        out.delta.clear();
        out.delta.extend_from_slice(&self.delta());
        out.old.clear();
        out.has_old = self.old_state(&mut out.old);
        out.new.clear();
        self.new_state(&mut out.new);
    }

    /// Appends the state before the change; false where none is known.
    pub fn old_state(&self, out: &mut Vec<u8>) -> bool {
        let before = self.before();
        if let Some(replay) = before {
            replay.write(out);
        }
        before.is_some()
    }

    /// Appends the state after the change.
    pub fn new_state(self, out: &mut Vec<u8>) {
        match self.what {
            What::Delta(_) => {
                if let Some(replay) = &mut self.walk.replay {
                    replay.step();
                    replay.write(out);
                }
            }
            What::Base(block, _) => {
                if let Some(block) = self.walk.view.blocks.get(block) {
                    out.extend_from_slice(block.stretch().base);
                }
            }
        }
    }

    /// How the old state became the new one, as a delta; where none is known before, the new one in its whole. One that begins
    /// anew may be told by how it differs from what lay before.
    #[must_use]
    pub fn delta(&self) -> Cow<'v, [u8]> {
        let block = match self.what {
            What::Delta(entry) => return Cow::Borrowed(entry.delta),
            What::Base(block, _) => self.walk.view.blocks.get(block),
        };
        let new = block.map_or(&[][..], |block| block.stretch().base);
        let mut delta = Vec::new();
        let mut old = Vec::new();
        if !self.old_state(&mut old) || diff(&old, new, &mut delta).is_err() {
            delta.clear();
            delta.push(delta_format::REPLACE);
            delta.extend_from_slice(new);
        }
        Cow::Owned(delta)
    }

    /// Whether the process began with the new state.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.flags() & flag::FIRST != 0
    }

    /// How far the two states can be trusted, the less of both.
    #[must_use]
    pub fn quality(&self) -> Quality {
        let flags = self.flags();
        let verdicts = &self.walk.view.verdicts;
        let (id, unfit) = match self.what {
            What::Delta(entry) => {
                let before = self.walk.replay.as_ref();
                (entry.mark.id, before.and_then(|before| before.unfit))
            }
            What::Base(block, _) => {
                let block = self.walk.view.blocks.get(block);
                (block.map_or(0, |block| block.stretch().first.id), None)
            }
        };
        let before = self.before();
        let before = before.map(|before| (before.at.id, before.unfit));
        quality(verdicts, flags, (id, unfit), before)
    }

    fn flags(&self) -> u8 {
        match self.what {
            What::Delta(entry) => entry.flags,
            What::Base(block, _) => {
                let block = self.walk.view.blocks.get(block);
                block.map_or(0, |block| block.stretch().flags)
            }
        }
    }
}
