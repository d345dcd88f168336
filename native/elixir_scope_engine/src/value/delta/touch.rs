//! Which places of a value a delta touches.

use smallvec::SmallVec;

use super::super::reader::{Malformed, Reader, Token};
use super::reader::{DeltaReader, Item};
use super::step::Step;

/// A place that a delta touches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Touch<'t> {
    /// From the whole value to the place. An index in a list is that of the new list.
    pub path: &'t [Step<'t>],
    /// What happened there.
    pub kind: Touched,
}

/// What a delta does to a place. A binary that grew was replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Touched {
    /// A value stands there that did not.
    Replaced {
        /// The new value is masked, or a part of it is.
        masked: bool,
        /// A budget left the new value out, or a part of it.
        cut: bool,
    },
    /// The key is gone.
    Removed,
    /// Something in there changed; it is not known what.
    Unknown,
    /// A list lost elements or got some, or its end changed: what stood at an index may stand at another.
    Reshaped,
}

/// An open container of a delta.
enum Level {
    /// A tuple or map.
    Fixed,
    /// A list: the index in the new list that comes next, and whether it was reported as reshaped.
    List(u64, bool),
}

/// Calls `found` for every place that the first delta in `delta` touches, from the front.
///
/// # Errors
/// [`Malformed`] if no delta stands there; `found` was called for what stands before the flaw.
pub fn touch(delta: &[u8], found: &mut impl FnMut(Touch<'_>)) -> Result<(), Malformed> {
    let mut reader = DeltaReader::new(delta);
    let mut path = SmallVec::<[Step<'_>; 8]>::new();
    let mut levels = SmallVec::<[Level; 8]>::new();
    while let Some(item) = reader.next()? {
        let kind = match item {
            Item::Same => None,
            Item::Replace(_, value) => Some(replaced(value)?),
            Item::Grown(..) => Some(Touched::Replaced {
                masked: false,
                cut: false,
            }),
            Item::Removed(_) => Some(Touched::Removed),
            Item::Unknown => Some(Touched::Unknown),
            Item::Tuple | Item::Map => {
                levels.push(Level::Fixed);
                continue;
            }
            Item::List => {
                levels.push(Level::List(0, false));
                continue;
            }
            Item::Index(index) => {
                path.push(Step::index(u64::from(index)));
                continue;
            }
            Item::Key(key) => {
                path.push(Step::key(key));
                continue;
            }
            Item::End => {
                levels.pop();
                path.pop();
                continue;
            }
            op => {
                let Some(Level::List(next, reshaped)) = levels.last_mut() else {
                    continue;
                };
                match op {
                    Item::Change => {
                        path.push(Step::index(*next));
                        *next = next.saturating_add(1);
                        continue;
                    }
                    Item::Keep(count) => {
                        *next = next.saturating_add(count);
                        continue;
                    }
                    Item::Insert(_) => *next = next.saturating_add(1),
                    _ => {}
                }
                let first = !std::mem::replace(reshaped, true);
                if !matches!(op, Item::Rest) && first {
                    found(Touch {
                        path: &path,
                        kind: Touched::Reshaped,
                    });
                }
                if matches!(op, Item::Rest | Item::Close | Item::Tail(_)) {
                    levels.pop();
                    path.pop();
                }
                continue;
            }
        };
        if let Some(kind) = kind {
            found(Touch { path: &path, kind });
        }
        path.pop();
    }
    Ok(())
}

fn replaced(value: &[u8]) -> Result<Touched, Malformed> {
    let (mut masked, mut cut) = (false, false);
    let mut reader = Reader::new(value);
    while !reader.rest().is_empty() {
        match reader.token()? {
            Token::Redacted => masked = true,
            Token::Truncated(_) | Token::Cut(_) => cut = true,
            _ => {}
        }
    }
    Ok(Touched::Replaced { masked, cut })
}
