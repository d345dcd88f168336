//! The containers that the encoder is inside of.

use elixir_scope_engine::value::Container;
use smallvec::SmallVec;

use super::Word;

/// An open container, and what of it is still to be written.
#[derive(Clone, Copy)]
pub(super) enum Frame<'f> {
    /// Elements left; of how many; whether the last one is to be masked.
    Tuple {
        rest: &'f [Word],
        size: u32,
        mask_last: bool,
    },
    /// The next cell or tail, and the elements begun.
    List { next: Word, begun: u64 },
    /// After a list's tail mark.
    Tail,
    /// Keys and values of a map left, of how many pairs; while the key before the values, a container, is being written:
    /// whether the value under it is masked.
    FlatMap {
        keys: &'f [Word],
        values: &'f [Word],
        size: u32,
        in_key: Option<bool>,
    },
    /// A map with a walk of its own: pairs begun, and the value whose key, a container, is being written, and whether it
    /// is masked.
    Map {
        size: u32,
        begun: u32,
        after_key: Option<(Word, bool)>,
    },
    /// The values that a fun closes over.
    Fun { rest: &'f [Word], size: u32 },
}

/// What was open where something did not fit, and how to say so.
pub(super) enum Cutting {
    /// A mark stands for the value, and nothing follows.
    Mark,
    /// The container ends, with so much of it kept.
    Cut(Container, u64, Option<u64>),
    /// A mark stands for a map's value; then, if there are more, the map ends.
    MarkAndCut(u32, u32),
}

impl Frame<'_> {
    /// What to write where the element begun last does not fit.
    pub(super) fn cutting(&self) -> Cutting {
        let before =
            |rest: &[Word], size: u32| u64::from(size).saturating_sub(rest.len() as u64 + 1);
        let map = |size: u32, begun: u32, in_key: bool| match in_key {
            true => Cutting::Cut(
                Container::Map(size),
                u64::from(begun.saturating_sub(1)),
                Some(u64::from(size)),
            ),
            false => Cutting::MarkAndCut(size, begun),
        };
        match *self {
            Frame::Tuple { rest, size, .. } => Cutting::Cut(
                Container::Tuple(size),
                before(rest, size),
                Some(u64::from(size)),
            ),
            Frame::Fun { rest, size } => Cutting::Cut(
                Container::Fun(size),
                before(rest, size),
                Some(u64::from(size)),
            ),
            Frame::List { begun, .. } => {
                Cutting::Cut(Container::List, begun.saturating_sub(1), None)
            }
            Frame::Tail => Cutting::Mark,
            Frame::FlatMap {
                keys, size, in_key, ..
            } => map(
                size,
                size.saturating_sub(keys.len() as u32),
                in_key.is_some(),
            ),
            Frame::Map {
                size,
                begun,
                after_key,
            } => map(size, begun, after_key.is_some()),
        }
    }
}

/// The frames, and beside them the walks of the maps among them: few frames have one, and it is several times as large.
pub(super) struct Stack<'f, M> {
    frames: SmallVec<[Frame<'f>; 16]>,
    walks: SmallVec<[M; 4]>,
}

impl<'f, M> Stack<'f, M> {
    #[inline]
    pub(super) fn new() -> Self {
        Stack {
            frames: SmallVec::new(),
            walks: SmallVec::new(),
        }
    }

    #[inline]
    pub(super) fn depth(&self) -> usize {
        self.frames.len()
    }

    #[inline]
    pub(super) fn top(&self) -> Option<Frame<'f>> {
        self.frames.last().copied()
    }

    #[inline]
    pub(super) fn push(&mut self, frame: Frame<'f>) {
        self.frames.push(frame);
    }

    #[inline]
    pub(super) fn push_map(&mut self, size: u32, walk: M) {
        self.frames.push(Frame::Map {
            size,
            begun: 0,
            after_key: None,
        });
        self.walks.push(walk);
    }

    /// The walk of the innermost map that has one.
    #[inline]
    pub(super) fn walk(&mut self) -> Option<&mut M> {
        self.walks.last_mut()
    }

    #[inline]
    pub(super) fn replace(&mut self, frame: Frame<'f>) {
        if let Some(top) = self.frames.last_mut() {
            *top = frame;
        }
    }

    #[inline]
    pub(super) fn pop(&mut self) {
        if let Some(Frame::Map { .. }) = self.frames.pop() {
            self.walks.pop();
        }
    }
}
