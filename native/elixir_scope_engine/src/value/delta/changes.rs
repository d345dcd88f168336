//! What is different in two values, place by place: for people to read.

use smallvec::SmallVec;

use super::super::order::equal;
use super::super::reader::Malformed;
use super::diff::{Opened, common_ends};
use super::span::{Head, Shapes, Span};
use super::step::Step;

/// How deep containers are compared part by part; what lies deeper is compared whole.
const DEPTH: usize = 64;

/// A place at which two values differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Change<'t> {
    /// From the whole value to the place.
    pub path: &'t [Step<'t>],
    /// What happened to it.
    pub op: ChangeOp,
    /// What stood there, if something did that was not masked.
    pub old: Option<&'t [u8]>,
    /// What stands there now, if something does that is not masked.
    pub new: Option<&'t [u8]>,
}

/// What happened to a place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChangeOp {
    /// Something stands there that did not.
    Added,
    /// Nothing stands there any more.
    Removed,
    /// Something else stands there. Without values: it is masked, and was set in between.
    Changed,
}

/// Calls `found` for every place at which the first values in `old` and `new` differ. Maps are compared key by key, tuples of
/// one size and lists index by index (lists without what they have in common at the front and at the end), and so are their
/// parts. Of two masked values, `was_masked` is asked whether the one at this path was set in between. What a budget left out
/// is not guessed at.
///
/// # Errors
/// [`Malformed`] if one of them is no value.
pub fn changes(
    old: &[u8],
    new: &[u8],
    was_masked: &mut dyn FnMut(&[Step<'_>]) -> bool,
    found: &mut dyn FnMut(Change<'_>),
) -> Result<(), Malformed> {
    changes_at(&[], old, new, was_masked, found)
}

/// The same of two values that stand at `path`.
pub(super) fn changes_at(
    path: &[Step<'_>],
    old: &[u8],
    new: &[u8],
    was_masked: &mut dyn FnMut(&[Step<'_>]) -> bool,
    found: &mut dyn FnMut(Change<'_>),
) -> Result<(), Malformed> {
    let mut shapes = Shapes::default();
    let (old, new) = (shapes.measure(old)?, shapes.measure(new)?);
    let mut search = Search {
        shapes: &shapes,
        path: path.iter().copied().collect(),
        was_masked,
        found,
    };
    search.value(old, new)
}

struct Search<'a, 'f> {
    shapes: &'a Shapes,
    path: SmallVec<[Step<'a>; 8]>,
    was_masked: &'f mut dyn FnMut(&[Step<'_>]) -> bool,
    found: &'f mut dyn FnMut(Change<'_>),
}

impl<'a> Search<'a, '_> {
    fn report(&mut self, op: ChangeOp, old: Option<Span<'a>>, new: Option<Span<'a>>) {
        (self.found)(Change {
            path: &self.path,
            op,
            old: old.map(|span| span.bytes),
            new: new.map(|span| span.bytes),
        });
    }

    fn report_at(
        &mut self,
        step: Step<'a>,
        op: ChangeOp,
        old: Option<Span<'a>>,
        new: Option<Span<'a>>,
    ) {
        self.path.push(step);
        self.report(op, old, new);
        self.path.pop();
    }

    fn value_at(&mut self, step: Step<'a>, old: Span<'a>, new: Span<'a>) -> Result<(), Malformed> {
        self.path.push(step);
        let done = self.value(old, new);
        self.path.pop();
        done
    }

    fn value(&mut self, old: Span<'a>, new: Span<'a>) -> Result<(), Malformed> {
        let masked = self.shapes.is_masked(&old) && self.shapes.is_masked(&new);
        if old.bytes == new.bytes && !masked {
            return Ok(());
        }
        if old.tag() == super::super::format::REDACTED && masked && old.bytes == new.bytes {
            if (self.was_masked)(&self.path) {
                self.report(ChangeOp::Changed, None, None);
            }
            return Ok(());
        }
        if self.path.len() < DEPTH
            && old.tag() == new.tag()
            && let Some(before) = Opened::read(self.shapes, old)?
            && let Some(after) = Opened::read(self.shapes, new)?
        {
            match (before.head, after.head) {
                (Head::Map(_), Head::Map(_)) => return self.maps(&before, &after),
                (Head::Tuple(n), Head::Tuple(m)) if n == m => {
                    for (index, (&old, &new)) in before.parts.iter().zip(&after.parts).enumerate() {
                        self.value_at(Step::index(index as u64), old, new)?;
                    }
                    return Ok(());
                }
                (Head::List, Head::List) if same_tail(&before, &after)? => {
                    return self.lists(&before, &after);
                }
                _ => {}
            }
        }
        if !equal(old.bytes, new.bytes)? {
            self.report(ChangeOp::Changed, Some(old), Some(new));
        }
        Ok(())
    }

    fn maps(&mut self, old: &Opened<'a>, new: &Opened<'a>) -> Result<(), Malformed> {
        let mut keys = old.keys();
        let mut stayed = vec![false; old.parts.len() / 2];
        let values: Vec<_> = old.pairs().map(|(_, value)| value).collect();
        for (key, value) in new.pairs() {
            let step = Step::key(key.bytes);
            let at = keys.find(key.bytes)?;
            match at.and_then(|at| Some((values.get(at)?, stayed.get_mut(at)?))) {
                Some((&before, stays)) => {
                    *stays = true;
                    self.value_at(step, before, value)?;
                }
                None if old.cut => {}
                None => self.report_at(step, ChangeOp::Added, None, Some(value)),
            }
        }
        if !new.cut {
            for ((key, value), stays) in old.pairs().zip(stayed) {
                if !stays {
                    self.report_at(Step::key(key.bytes), ChangeOp::Removed, Some(value), None);
                }
            }
        }
        Ok(())
    }

    fn lists(&mut self, old: &Opened<'a>, new: &Opened<'a>) -> Result<(), Malformed> {
        let (_, mut back) = common_ends(&old.parts, &new.parts)?;
        if old.cut || new.cut {
            back = 0;
        }
        let (was, is) = (old.parts.len() - back, new.parts.len() - back);
        for index in 0..was.max(is) {
            let step = Step::index(index as u64);
            let before = old.parts.get(index).filter(|_| index < was).copied();
            let after = new.parts.get(index).filter(|_| index < is).copied();
            match (before, after) {
                (Some(old), Some(new)) => self.value_at(step, old, new)?,
                (Some(old), None) if !new.cut => {
                    self.report_at(step, ChangeOp::Removed, Some(old), None);
                }
                (None, Some(new)) if !old.cut => {
                    self.report_at(step, ChangeOp::Added, None, Some(new));
                }
                _ => {}
            }
        }
        // of these only what is masked can have changed
        for index in is..new.parts.len() {
            if let (Some(&old), Some(&new)) = (
                old.parts.get((index + was).saturating_sub(is)),
                new.parts.get(index),
            ) {
                self.value_at(Step::index(index as u64), old, new)?;
            }
        }
        Ok(())
    }
}

fn same_tail(old: &Opened<'_>, new: &Opened<'_>) -> Result<bool, Malformed> {
    match (&old.tail, &new.tail) {
        (None, None) => Ok(true),
        (Some(old), Some(new)) => equal(old.bytes, new.bytes),
        _ => Ok(false),
    }
}
