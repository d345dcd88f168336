//! From a whole state forwards: a state with deltas laid over it, change by change.

use super::block::{Entries, Entry, Mark, Stretch, flag};
use crate::value::{Malformed, Patched};

/// A state on its way through a block.
#[derive(Debug)]
pub(super) struct Replay<'a> {
    patched: Patched<'a>,
    left: Entries<'a>,
    /// The change that it is at.
    pub(super) at: Mark,
    /// Flags of that change; those of the base may be carried over from the block before.
    pub(super) flags: u8,
    /// Deltas applied.
    pub(super) applied: u32,
    /// The newest change that did not fit what was there.
    pub(super) unfit: Option<u64>,
    /// The first one at or behind `since`.
    pub(super) first_unfit: Option<u64>,
    since: u64,
}

impl<'a> Replay<'a> {
    /// At the base. Changes that do not fit are told of from the id `since` on.
    pub(super) fn new(stretch: &Stretch<'a>, since: u64) -> Result<Replay<'a>, Malformed> {
        Ok(Replay {
            patched: Patched::new(stretch.base)?,
            left: stretch.entries(),
            at: stretch.first,
            flags: stretch.flags & !flag::CARRIED,
            applied: 0,
            unfit: None,
            first_unfit: None,
            since,
        })
    }

    /// The next change, if it is one that `wanted` accepts.
    #[inline]
    pub(super) fn peek(&self, wanted: impl FnOnce(&Entry<'a>) -> bool) -> Option<Entry<'a>> {
        self.left.clone().next().filter(wanted)
    }

    /// Goes over the next change.
    #[inline]
    pub(super) fn step(&mut self) -> Option<Entry<'a>> {
        let entry = self.left.next()?;
        self.at = entry.mark;
        self.flags = entry.flags;
        self.apply(entry.mark.id, entry.delta);
        Some(entry)
    }

    /// Lays a delta over the state.
    #[inline]
    pub(super) fn apply(&mut self, id: u64, delta: &'a [u8]) {
        self.applied += 1;
        let fits = matches!(self.patched.apply(delta), Ok(applied) if applied.fits);
        if !fits {
            self.unfit = Some(id);
            if id >= self.since && self.first_unfit.is_none() {
                self.first_unfit = Some(id);
            }
        }
    }

    /// Goes on while `wanted` accepts the next change.
    pub(super) fn run(&mut self, wanted: impl Fn(&Entry<'a>) -> bool) {
        loop {
            let before = self.left.clone();
            match self.left.next() {
                Some(entry) if wanted(&entry) => {
                    self.at = entry.mark;
                    self.flags = entry.flags;
                    self.apply(entry.mark.id, entry.delta);
                }
                _ => {
                    self.left = before;
                    return;
                }
            }
        }
    }

    /// Appends the state.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        self.patched.write(out);
    }

    /// Appends the value at `path`; false if there is none.
    pub(super) fn write_at(&mut self, path: &[&[u8]], out: &mut Vec<u8>) -> bool {
        self.patched.write_at(path, out).unwrap_or(false)
    }
}
