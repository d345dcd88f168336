//! A walk along a list that a delta changes.

use std::collections::VecDeque;

use smallvec::SmallVec;

use super::node::{End, Node, Part};
use super::reader::Item;
use super::span::Span;

/// A container of a delta that is being applied. The fields after the first are of lists: ops walk along the parts, and change
/// them in place while that moves few; else the parts that are yet to come are set apart.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    /// None if the delta found nothing that it could change.
    pub(super) node: Option<u32>,
    next: usize,
    /// Parts that were moved to make room.
    moved: usize,
    apart: Option<VecDeque<Part<'a>>>,
    /// An op went past the end; those after it have no place.
    beyond: bool,
}

impl<'a> Frame<'a> {
    #[inline]
    pub(super) fn new(node: Option<u32>) -> Self {
        Frame {
            node,
            next: 0,
            moved: 0,
            apart: None,
            beyond: false,
        }
    }

    /// Applies one op to the list: where the element stands that it leads to, and whether it fits.
    pub(super) fn op(
        &mut self,
        list: &mut Node<'a>,
        op: Item<'a>,
        dropped: &mut SmallVec<[Part<'a>; 4]>,
    ) -> (Option<usize>, bool) {
        match op {
            Item::Rest => {
                if let Some(apart) = &mut self.apart {
                    list.parts.append(apart);
                }
                return (None, true);
            }
            Item::Close | Item::Tail(_) => {
                match &mut self.apart {
                    Some(apart) => dropped.extend(apart.drain(..)),
                    None => dropped.extend(list.parts.drain(self.next.min(list.parts.len())..)),
                }
                match (&mut list.end, op) {
                    // parts before this end are missing still
                    (End::Cut(mark, _), _) if self.beyond => mark.total = None,
                    (end, Item::Tail(tail)) => *end = End::Tail(tail),
                    (end, _) => *end = End::Proper,
                }
                return (None, true);
            }
            _ if self.beyond => return (None, false),
            _ => {}
        }
        let left = match &self.apart {
            Some(apart) => apart.len(),
            None => list.parts.len().saturating_sub(self.next),
        };
        let count = match op {
            Item::Keep(count) | Item::Drop(count, _) => {
                usize::try_from(count).unwrap_or(usize::MAX)
            }
            Item::Change => 1,
            _ => 0,
        };
        self.beyond = count > left;
        let count = count.min(left);
        match op {
            Item::Keep(_) | Item::Change => {
                if let Some(apart) = &mut self.apart {
                    list.parts.extend(apart.drain(..count));
                }
                self.next += count;
                let found = matches!(op, Item::Change) && !self.beyond;
                (found.then(|| self.next - 1), !self.beyond)
            }
            Item::Drop(..) => {
                self.make_room(list, left - count);
                match &mut self.apart {
                    Some(apart) => dropped.extend(apart.drain(..count)),
                    None => dropped.extend(list.parts.drain(self.next..self.next + count)),
                }
                (None, !self.beyond)
            }
            Item::Insert(value) => {
                self.make_room(list, left);
                let part = Part::Shut(Span::unmeasured(value));
                match &self.apart {
                    Some(_) => list.parts.push_back(part),
                    None => list.parts.insert(self.next, part),
                }
                self.next += 1;
                (None, true)
            }
            _ => (None, false),
        }
    }

    /// Before parts come or go at `next`, behind which `after` remain.
    fn make_room(&mut self, list: &mut Node<'a>, after: usize) {
        if self.apart.is_none() {
            self.moved += after.min(self.next);
            if self.moved > list.parts.len() {
                self.apart = Some(list.parts.split_off(self.next));
            }
        }
    }
}
