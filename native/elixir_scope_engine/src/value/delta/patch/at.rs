//! A part of a value with deltas laid over it, found by its path.

use super::super::super::order::{equal, take};
use super::super::super::path::find_step;
use super::super::super::reader::{Malformed, Reader, Token};
use super::super::span::Span;
use super::{Kind, Part, Patched};

impl<'a> Patched<'a> {
    /// Appends the part of the value as it is now to which `path` leads, steps as [`find_step`] takes them; false if there is
    /// none.
    ///
    /// # Errors
    /// [`Malformed`] for a step that is no value.
    pub fn write_at<S: AsRef<[u8]>>(
        &mut self,
        path: &[S],
        out: &mut Vec<u8>,
    ) -> Result<bool, Malformed> {
        let Some(&whole) = self.nodes.first().and_then(|root| root.parts.front()) else {
            return Ok(false);
        };
        let mut part = whole;
        for step in path {
            let found = match part {
                Part::Shut(span) => find_step(span.bytes, step.as_ref())?
                    .map(|part| Part::Shut(Span::unmeasured(part))),
                Part::Open(node) => self.child(node, step.as_ref())?,
                Part::Grown(_) | Part::Gone => None,
            };
            match found {
                Some(found) => part = found,
                None => return Ok(false),
            }
        }
        self.write_part(part, out);
        Ok(!matches!(part, Part::Gone))
    }

    /// The part of an open container to which a step leads.
    fn child(&mut self, node: u32, step: &[u8]) -> Result<Option<Part<'a>>, Malformed> {
        let index = match Reader::new(step).token()? {
            Token::Int(index) => Some(usize::try_from(index).unwrap_or(usize::MAX)),
            _ => None,
        };
        let Some(open) = self.nodes.get_mut(node as usize) else {
            return Ok(None);
        };
        match (&mut open.kind, index) {
            (Kind::Map { keys, .. }, _) => {
                let at = keys.find(step)?;
                Ok(at.and_then(|at| open.parts.get(at)).copied())
            }
            (_, Some(index)) => Ok(open.parts.get(index).copied()),
            (Kind::List, None) => self.value_of(node, step),
            (Kind::Tuple(_), None) => Ok(None),
        }
    }

    /// The value of the first pair in a list that begins with `key`.
    fn value_of(&self, list: u32, key: &[u8]) -> Result<Option<Part<'a>>, Malformed> {
        let Some(list) = self.nodes.get(list as usize) else {
            return Ok(None);
        };
        for &part in &list.parts {
            match part {
                Part::Shut(span) => {
                    let mut pair = Reader::new(span.bytes);
                    if pair.token()? != Token::Tuple(2) || is_cut(&pair)? {
                        continue;
                    }
                    let first = take(&mut pair)?;
                    if !is_cut(&pair)? && equal(first, key)? {
                        let value = Span::unmeasured(take(&mut pair)?);
                        return Ok(Some(Part::Shut(value)));
                    }
                }
                Part::Open(pair) => {
                    let Some(pair) = self.nodes.get(pair as usize) else {
                        continue;
                    };
                    let (Kind::Tuple(2), Some(&first), Some(&value)) =
                        (&pair.kind, pair.parts.front(), pair.parts.get(1))
                    else {
                        continue;
                    };
                    let is_it = match first {
                        Part::Shut(first) => equal(first.bytes, key)?,
                        Part::Grown(_) => {
                            let mut grown = Vec::new();
                            self.write_part(first, &mut grown);
                            equal(&grown, key)?
                        }
                        Part::Open(_) | Part::Gone => false,
                    };
                    if is_it {
                        return Ok(Some(value));
                    }
                }
                Part::Grown(_) | Part::Gone => {}
            }
        }
        Ok(None)
    }
}

/// Whether a mark stands where the next element would.
fn is_cut(reader: &Reader<'_>) -> Result<bool, Malformed> {
    Ok(matches!(reader.clone().token()?, Token::Cut(_)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;
    use crate::value::diff;
    use crate::value::tree::{Tree, any_tree};
    use proptest::prelude::*;

    /// All that a step from a value can be, and some that lead nowhere.
    fn steps(value: &Tree) -> Vec<Vec<u8>> {
        let mut steps: Vec<Vec<u8>> = (-1..4).map(|index| Tree::Int(index).bytes()).collect();
        match value {
            Tree::Map(pairs) => steps.extend(pairs.iter().map(|(key, _)| key.bytes())),
            Tree::List(elements, _) => {
                let keys = elements.iter().filter_map(|element| match element {
                    Tree::Tuple(pair) => pair.first().map(Tree::bytes),
                    _ => None,
                });
                steps.extend(keys);
            }
            _ => {}
        }
        steps
    }

    /// A value in which some parts are alike in two versions, so that the delta between them opens what is around.
    fn around(parts: &[Tree]) -> Tree {
        let pair = |key: u32, value: &Tree| Tree::Tuple(vec![Tree::Atom(key), value.clone()]);
        let same = Tree::Binary(vec![7; 40]);
        Tree::Map(vec![
            (Tree::Atom(1), parts[0].clone()),
            (
                Tree::Atom(2),
                Tree::List(vec![pair(7, &same), pair(8, &parts[1]), same.clone()], None),
            ),
            (
                Tree::Atom(3),
                Tree::Tuple(vec![same.clone(), parts[2].clone(), same.clone()]),
            ),
            (
                Tree::Map(vec![
                    (Tree::Atom(5), Tree::Int(1)),
                    (Tree::Atom(6), Tree::Int(2)),
                ]),
                parts[3].clone(),
            ),
            (Tree::Atom(4), same),
        ])
    }

    fn lead_alike(old: &Tree, new: &Tree, paths: &[Vec<Vec<u8>>]) -> Result<(), TestCaseError> {
        let (old, new) = (old.bytes(), new.bytes());
        let mut delta = Vec::new();
        diff(&old, &new, &mut delta).unwrap();
        let mut patched = Patched::new(&old).unwrap();
        patched.apply(&delta).unwrap();
        for path in paths {
            let mut expected = Some(&new[..]);
            for step in path {
                expected = expected.and_then(|part| find_step(part, step).unwrap());
            }
            let mut found = Vec::new();
            let is_there = patched.write_at(path, &mut found).unwrap();
            prop_assert_eq!(is_there, expected.is_some(), "{:?}", path);
            if let Some(expected) = expected {
                prop_assert!(equal(expected, &found).unwrap());
            }
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn a_part_that_was_patched_is_found_as_in_the_value(
            old in prop::collection::vec(any_tree(), 4),
            new in prop::collection::vec(any_tree(), 4),
        ) {
            let mut paths = vec![vec![]];
            for tree in old.iter().chain(&new) {
                paths.extend(steps(tree).into_iter().map(|step| vec![step]));
            }
            for (old, new) in old.iter().zip(&new) {
                lead_alike(old, new, &paths)?;
            }
            let (old, new) = (around(&old), around(&new));
            let mut paths = vec![vec![]];
            let odd = Tree::Map(vec![(Tree::Atom(6), Tree::Int(2)), (Tree::Atom(5), Tree::Int(1))]);
            let firsts = (0..5).map(|key| Tree::Atom(key).bytes()).chain([odd.bytes()]);
            for first in firsts {
                let seconds = (-1..4).map(|index| Tree::Int(index).bytes());
                for second in seconds.chain([Tree::Atom(7).bytes(), Tree::Atom(8).bytes()]) {
                    paths.push(vec![first.clone(), second.clone()]);
                    paths.push(vec![first.clone(), second.clone(), Tree::Int(1).bytes()]);
                }
                paths.push(vec![first]);
            }
            lead_alike(&old, &new, &paths)?;
        }
    }
}
