//! The containers that the encoder is inside of.

use elixir_scope_engine::value::Container;

use super::{MapPairs, Word};

/// An open container, and what of it is still to be written.
pub(super) enum Frame<'t, M> {
    /// Elements left; of how many; whether the last one is to be masked.
    Tuple {
        rest: &'t [Word],
        size: u32,
        mask_last: bool,
    },
    /// The next cell or tail, and the elements begun.
    List { next: Word, begun: u64 },
    /// After a list's tail mark.
    Tail,
    /// A map of two arrays.
    FlatMap {
        keys: &'t [Word],
        values: &'t [Word],
        place: MapPlace,
    },
    /// A map with an iterator.
    Map { map: M, place: MapPlace },
    /// The values that a fun closes over.
    Fun { rest: &'t [Word], size: u32 },
}

/// Where the encoder is in a map.
#[derive(Clone, Copy)]
pub(super) struct MapPlace {
    /// Pairs in all.
    pub size: u32,
    /// Pairs begun.
    pub begun: u32,
    /// The value whose key, a container, is being written.
    pub after_key: Option<Word>,
}

impl MapPlace {
    pub(super) fn new(size: u32) -> Self {
        MapPlace {
            size,
            begun: 0,
            after_key: None,
        }
    }
}

impl<M: MapPairs> Frame<'_, M> {
    /// Where the encoder is, if this is a map.
    pub(super) fn map_place(&mut self) -> Option<&mut MapPlace> {
        match self {
            Frame::FlatMap { place, .. } | Frame::Map { place, .. } => Some(place),
            _ => None,
        }
    }

    /// The next pair of a map.
    #[inline]
    pub(super) fn next_pair(&mut self) -> Option<(Word, Word)> {
        match self {
            Frame::FlatMap {
                keys,
                values,
                place,
            } => {
                let at = place.begun as usize;
                Some((*keys.get(at)?, *values.get(at)?))
            }
            Frame::Map { map, .. } => map.next_pair(),
            _ => None,
        }
    }

    /// How the rest of this container is said to be missing, the element begun last among it.
    pub(super) fn cut(&self) -> Option<(Container, u64, Option<u64>)> {
        match self {
            Frame::Tuple { rest, size, .. } => Some((
                Container::Tuple(*size),
                begun_before(rest, *size),
                Some(u64::from(*size)),
            )),
            Frame::Fun { rest, size } => Some((
                Container::Fun(*size),
                begun_before(rest, *size),
                Some(u64::from(*size)),
            )),
            Frame::List { begun, .. } => Some((Container::List, begun.saturating_sub(1), None)),
            Frame::Tail | Frame::FlatMap { .. } | Frame::Map { .. } => None,
        }
    }
}

fn begun_before(rest: &[Word], size: u32) -> u64 {
    u64::from(size).saturating_sub(rest.len() as u64 + 1)
}
