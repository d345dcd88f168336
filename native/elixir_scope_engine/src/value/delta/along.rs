//! What is different in two values between which a delta leads: looked for only where the delta touches them.

use smallvec::SmallVec;

use super::super::path::find_step;
use super::super::reader::Malformed;
use super::changes::{Change, changes, changes_at};
use super::step::Step;
use super::touch::{Touched, touch};

/// More places than these are not looked at one by one.
const MOST: usize = 8;

/// A path that is kept.
type Path = SmallVec<[Box<[u8]>; 4]>;

/// The same as [`changes`] of `old` and `new`, where `delta` leads from one to the other: of masked values, those count as set
/// that the delta wrote. The places may come in another order.
///
/// # Errors
/// [`Malformed`] if one of them is no value, or no delta.
pub fn changes_along(
    old: &[u8],
    new: &[u8],
    delta: &[u8],
    found: &mut dyn FnMut(Change<'_>),
) -> Result<(), Malformed> {
    let mut masked = SmallVec::<[Path; 2]>::new();
    let mut places = SmallVec::<[Path; 4]>::new();
    let mut few = true;
    touch(delta, &mut |touched| {
        let path = || {
            touched
                .path
                .iter()
                .map(|step| step.bytes().into())
                .collect()
        };
        if matches!(touched.kind, Touched::Replaced { masked: true, .. }) {
            masked.push(path());
        }
        few &= places.len() < MOST;
        if few {
            places.push(path());
        }
    })?;
    let mut was_masked = |path: &[Step<'_>]| masked.iter().any(|place| is_at(place, path));
    if !few {
        return changes(old, new, &mut was_masked, found);
    }
    let mut parts = SmallVec::<[(&[u8], &[u8]); 4]>::new();
    for place in &mut places {
        let part = loop {
            match (at(old, place)?, at(new, place)?) {
                (Some(old), Some(new)) => break (old, new),
                // what came or went is told of by what it came to
                _ if place.pop().is_some() => {}
                _ => break (old, new),
            }
        };
        parts.push(part);
    }
    for (index, (place, &(old, new))) in places.iter().zip(&parts).enumerate() {
        let is_told = places.iter().enumerate().any(|(other_index, other)| {
            place.starts_with(other) && (other.len() < place.len() || other_index < index)
        });
        if !is_told {
            let steps: SmallVec<[Step<'_>; 4]> = place.iter().map(|step| Step::key(step)).collect();
            changes_at(&steps, old, new, &mut was_masked, found)?;
        }
    }
    Ok(())
}

fn is_at(place: &Path, path: &[Step<'_>]) -> bool {
    place.len() == path.len() && place.iter().zip(path).all(|(a, b)| **a == *b.bytes())
}

/// What stands at a place.
fn at<'v>(value: &'v [u8], place: &Path) -> Result<Option<&'v [u8]>, Malformed> {
    let mut at = value;
    for step in place {
        match find_step(at, step)? {
            Some(part) => at = part,
            None => return Ok(None),
        }
    }
    Ok(Some(at))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::value::tree::{Tree, any_tree};
    use crate::value::{Patched, diff};

    type Told = (Vec<Vec<u8>>, String, Option<Vec<u8>>, Option<Vec<u8>>);

    fn told(change: &Change<'_>) -> Told {
        (
            change
                .path
                .iter()
                .map(|step| step.bytes().to_vec())
                .collect(),
            format!("{:?}", change.op),
            change.old.map(<[u8]>::to_vec),
            change.new.map(<[u8]>::to_vec),
        )
    }

    fn alike(old: &[u8], delta: &[u8]) -> Result<(), TestCaseError> {
        let mut patched = Patched::new(old).unwrap();
        patched.apply(delta).unwrap();
        let mut new = Vec::new();
        patched.write(&mut new);
        let mut masked = Vec::new();
        touch(delta, &mut |touched| {
            if matches!(touched.kind, Touched::Replaced { masked: true, .. }) {
                masked.push(
                    touched
                        .path
                        .iter()
                        .map(|step| step.bytes().to_vec())
                        .collect::<Vec<_>>(),
                );
            }
        })
        .unwrap();
        let (mut expected, mut found) = (Vec::new(), Vec::new());
        let mut was_masked = |path: &[Step<'_>]| {
            let path: Vec<_> = path.iter().map(|step| step.bytes().to_vec()).collect();
            masked.contains(&path)
        };
        changes(old, &new, &mut was_masked, &mut |change| {
            expected.push(told(&change))
        })
        .unwrap();
        changes_along(old, &new, delta, &mut |change| found.push(told(&change))).unwrap();
        expected.sort();
        found.sort();
        prop_assert_eq!(expected, found);
        Ok(())
    }

    /// A state whose parts are of all sorts.
    fn state(parts: &[Tree]) -> Tree {
        let pairs = parts.iter().enumerate();
        Tree::Map(
            pairs
                .map(|(at, part)| (Tree::Atom(at as u32), part.clone()))
                .collect(),
        )
    }

    proptest! {
        #[test]
        fn along_a_delta_is_found_what_a_search_of_everything_finds(
            old in prop::collection::vec(any_tree(), 1..14),
            new in prop::collection::vec((0usize..14, any_tree()), 0..12),
            left in 1usize..14,
        ) {
            let mut now = old.clone();
            for (at, part) in new {
                if let Some(place) = now.get_mut(at) {
                    *place = part;
                }
            }
            now.truncate(left);
            for (old, new) in [(state(&old), state(&now)), (Tree::Tuple(old), Tree::Tuple(now))] {
                let (old, new) = (old.bytes(), new.bytes());
                let mut delta = Vec::new();
                diff(&old, &new, &mut delta).unwrap();
                alike(&old, &delta)?;
            }
        }
    }
}
