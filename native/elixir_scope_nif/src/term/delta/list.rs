//! Lists. They share their ends, which tells elements in front that come and go; and where they were built anew, elements.

use elixir_scope_engine::value::{Proof, delta_format as format};

use super::{Delta, Place, Stop};
use crate::term::{Shape, Terms, Word};

/// So far is looked ahead for where two lists go on together.
const AHEAD: u32 = 16;

/// What stands between two lists that begin differently and the place from which they go on alike.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Gap {
    /// One element for another.
    Change,
    /// So many new elements.
    Insert(u32),
    /// So many elements that are gone.
    Drop(u32),
}

/// A list's first cell.
#[derive(Clone, Copy)]
struct Cell {
    word: Word,
    head: Word,
    tail: Word,
}

/// Two lists while they are compared.
struct Lists {
    old: Word,
    new: Word,
    /// Elements that stay, and were not told yet.
    kept: u64,
    /// Of the new list, how many are behind.
    passed: u64,
    /// So far is looked ahead now: less where it led to nothing.
    ahead: u32,
    differ: bool,
}

impl<'t, T: Terms<'t>> Delta<'_, T> {
    /// Lists of one element at least.
    pub(super) fn lists(&mut self, old: Word, new: Word, place: Place) -> Result<bool, Stop> {
        let length = self.budget.length.map_or(u64::MAX, u64::from);
        let (before, whole) = (self.out.len(), old);
        self.byte(format::LIST);
        let mut lists = Lists {
            old,
            new,
            kept: 0,
            passed: 0,
            ahead: AHEAD,
            differ: false,
        };
        loop {
            if lists.old == lists.new {
                break;
            }
            self.step(1)?;
            let (was, is) = (self.cell(lists.old), self.cell(lists.new));
            match (was, is) {
                (Some(was), Some(is)) if was.head == is.head => {
                    lists.keep(was, is);
                }
                // What lies beyond the length that is shown of a list is not in the old value either.
                (Some(_), Some(_)) if lists.passed >= length => {
                    self.is_whole = false;
                    if !lists.differ {
                        self.out.truncate(before);
                        self.byte(format::UNKNOWN);
                        return Ok(true);
                    }
                    break;
                }
                (None, Some(_)) if lists.passed >= length => {
                    self.out.truncate(before);
                    return self.replace_old(whole, new, place);
                }
                (Some(was), Some(is)) => match self.gap(was, is, &mut lists.ahead)? {
                    Gap::Change => self.change(was, is, &mut lists, place)?,
                    Gap::Insert(count) => {
                        self.keep(&mut lists);
                        self.insert(count, &mut lists, place)?;
                    }
                    Gap::Drop(count) => {
                        self.keep(&mut lists);
                        self.drop(count, &mut lists)?;
                    }
                },
                (None, Some(_)) => {
                    self.keep(&mut lists);
                    self.insert(1, &mut lists, place)?;
                }
                (_, None) => return self.close(lists, before, place),
            }
        }
        if lists.differ {
            self.byte(format::REST);
        } else {
            self.out.truncate(before);
        }
        Ok(lists.differ)
    }

    #[inline]
    fn cell(&self, word: Word) -> Option<Cell> {
        match self.terms.shape(word) {
            Shape::Cons(head, tail) => Some(Cell { word, head, tail }),
            _ => None,
        }
    }

    /// Tells of the elements that stay.
    fn keep(&mut self, lists: &mut Lists) {
        if lists.kept > 0 {
            self.byte(format::KEEP);
            self.varint(lists.kept);
            lists.kept = 0;
        }
        lists.differ = true;
    }

    fn change(&mut self, was: Cell, is: Cell, lists: &mut Lists, place: Place) -> Result<(), Stop> {
        let kept = lists.kept;
        let differs = self.part(|this| {
            if kept > 0 {
                this.byte(format::KEEP);
                this.varint(kept);
            }
            this.byte(format::CHANGE);
            this.value(was.head, is.head, place.inside_list())
        })?;
        lists.keep(was, is);
        if differs {
            lists.kept = 0;
            lists.differ = true;
        }
        Ok(())
    }

    fn insert(&mut self, count: u32, lists: &mut Lists, place: Place) -> Result<(), Stop> {
        for _ in 0..count {
            let Some(is) = self.cell(lists.new) else {
                break;
            };
            self.byte(format::INSERT);
            self.encode(is.head, place.inside_list())?;
            lists.new = is.tail;
            lists.passed += 1;
        }
        Ok(())
    }

    fn drop(&mut self, count: u32, lists: &mut Lists) -> Result<(), Stop> {
        let proof = self.proof_of_dropped(lists.old, count)?;
        self.proved(format::DROP, format::PROVED_DROP, Some(count), proof);
        for _ in 0..count {
            if let Some(was) = self.cell(lists.old) {
                lists.old = was.tail;
            }
        }
        Ok(())
    }

    /// Proves the first elements of the rest that is dropped by the list's end, if they are shown.
    fn drop_rest(&mut self, lists: &mut Lists) -> Result<(), Stop> {
        let length = self.budget.length.map_or(u64::MAX, u64::from);
        let (mut list, mut count) = (lists.old, 0);
        while let Some(was) = self.cell(list)
            && count < Proof::ELEMENTS as u32
        {
            (list, count) = (was.tail, count + 1);
        }
        if count == 0 || lists.passed + u64::from(count) > length {
            return Ok(());
        }
        self.drop(count, lists)
    }

    /// The new list ends, and the old one goes on or ends in another way.
    fn close(&mut self, mut lists: Lists, before: usize, place: Place) -> Result<bool, Stop> {
        let end = self.terms.shape(lists.new);
        if let Shape::Nil = end {
            self.keep(&mut lists);
            self.drop_rest(&mut lists)?;
            self.byte(format::CLOSE);
            return Ok(true);
        }
        if !lists.differ && self.is_same(lists.old, lists.new) {
            self.out.truncate(before);
            return Ok(false);
        }
        self.keep(&mut lists);
        self.drop_rest(&mut lists)?;
        self.byte(format::LIST_TAIL);
        self.encode(lists.new, place.inside())?;
        Ok(true)
    }

    /// How two lists that begin with different words go on.
    fn gap(&mut self, was: Cell, is: Cell, ahead: &mut u32) -> Result<Gap, Stop> {
        if was.tail == is.tail {
            return Ok(Gap::Change);
        }
        if let Some(gap) = self.look_ahead(was, is, *ahead, |was, is| was.word == is.word)? {
            *ahead = AHEAD;
            return Ok(gap);
        }
        if let (Some(next_was), Some(next_is)) = (self.cell(was.tail), self.cell(is.tail))
            && next_was.head == next_is.head
        {
            return Ok(Gap::Change);
        }
        if let Some(gap) = self.look_ahead(was, is, *ahead, |was, is| was.head == is.head)? {
            *ahead = AHEAD;
            return Ok(gap);
        }
        *ahead = (*ahead / 2).max(1);
        Ok(Gap::Change)
    }

    /// The nearest place of one list where the other one goes on.
    fn look_ahead(
        &mut self,
        was: Cell,
        is: Cell,
        ahead: u32,
        meets: impl Fn(Cell, Cell) -> bool,
    ) -> Result<Option<Gap>, Stop> {
        self.step(ahead)?;
        let (mut later_was, mut later_is) = (Some(was), Some(is));
        for count in 1..=ahead {
            later_is = later_is.and_then(|cell| self.cell(cell.tail));
            if later_is.is_some_and(|later| meets(was, later)) {
                return Ok(Some(Gap::Insert(count)));
            }
            later_was = later_was.and_then(|cell| self.cell(cell.tail));
            if later_was.is_some_and(|later| meets(later, is)) {
                return Ok(Some(Gap::Drop(count)));
            }
            if later_is.is_none() && later_was.is_none() {
                break;
            }
        }
        Ok(None)
    }
}

impl Lists {
    /// One element stays.
    #[inline]
    fn keep(&mut self, was: Cell, is: Cell) {
        self.kept += 1;
        self.passed += 1;
        (self.old, self.new) = (was.tail, is.tail);
    }
}
