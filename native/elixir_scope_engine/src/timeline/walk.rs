//! Walks along neighbouring changes.

use std::borrow::Cow;
use std::marker::PhantomData;

use super::answer::Quality;
use crate::event::EventId;

/// Some changes of one timeline, held while they are walked along.
#[derive(Debug)]
pub struct View {}

/// Goes along the changes of a [`View`], forwards at little cost.
#[derive(Debug)]
pub struct Walk<'v> {
    view: PhantomData<&'v View>,
}

/// One change, with the states around it.
#[derive(Debug)]
pub struct Stride<'w, 'v> {
    walk: PhantomData<(&'w (), &'v View)>,
}

impl View {
    /// A walk that stands in front of its changes.
    #[must_use]
    pub fn walk(&self) -> Walk<'_> {
        Walk { view: PhantomData }
    }
}

impl<'v> Walk<'v> {
    /// Goes to the change `id`. None where the view has none.
    pub fn seek(&mut self, _id: EventId) -> Option<Stride<'_, 'v>> {
        None
    }
}

impl<'v> Stride<'_, 'v> {
    /// Appends the state before the change; false where none is known.
    pub fn old_state(&self, _out: &mut Vec<u8>) -> bool {
        false
    }

    /// Appends the state after the change.
    pub fn new_state(self, _out: &mut Vec<u8>) {}

    /// How the old state became the new one, as far as it is known.
    pub fn delta(&self) -> Cow<'v, [u8]> {
        Cow::Borrowed(&[])
    }

    /// How far the two states can be trusted, the less of both.
    #[must_use]
    pub fn quality(&self) -> Quality {
        Quality::Approximate
    }
}
