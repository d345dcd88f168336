//! [`Terms`] by reading the words themselves: the one place of the library that knows how the VM lays out its terms.
//!
//! Nothing is read that was not learnt first. Once, before anything is recorded, [`learn`] builds terms of every shape
//! through the NIF interface and the external term format, looks where their parts stand (through reads that cannot
//! fault), and then tests what it found against the NIF interface. A shape that is not as expected stays unlearnt, and its
//! terms are told by [`NifTerms`] for good; [`shapes`] says so. At run time a header or a node that was not learnt goes the
//! same way, term by term.
//!
//! * `layout`: what was learnt; `read`: the reading of one term by it
//! * `hamt`: the walk through maps above 32 keys, and what changed from one to another
//! * `learn`: learning and testing, shape by shape; the terms to learn from; memory reads that cannot fault

#![allow(
    unsafe_code,
    reason = "reads words of the VM; each block says why it may"
)]

mod hamt;
mod layout;
mod learn;
mod read;

use std::marker::PhantomData;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

use rustler::sys::ErlNifEnv;
use rustler::{Encoder, Env, Term};

use self::hamt::{Halt, Hamt};
use self::layout::{IMMEDIATE, Kind, Layout, PRIMARY, SMALL, TUPLE};
use self::learn::Learnt;
use super::nif::NifTerms;
use super::{Fun, MapPairs, Rare, See, SeeChanges, Shape, Terms, Word, nif_term};

static LEARNT: OnceLock<Learnt> = OnceLock::new();
/// What words are read by: null before anything was learnt, if words as such were not as expected, and where tests leave all
/// terms to the NIF interface.
static LAYOUT: AtomicPtr<Layout> = AtomicPtr::new(ptr::null_mut());

/// Learns the layout of terms on this VM; the first call does it, later ones do nothing.
///
/// `samples` is a list of any terms. Those that only the VM or compiled code can make are needed for their shapes: a binary
/// that was appended to, a part of one that starts inside of a byte, the reference of a live alias and of atomics. The
/// others are further tests. Anything but a list stands for none.
pub fn learn(env: Env<'_>, samples: Term<'_>) {
    let mut is_first = false;
    LEARNT.get_or_init(|| {
        is_first = true;
        learn::learn(env, samples)
    });
    if is_first {
        switch(true);
    }
}

/// Each shape by name, and why it is left to the NIF interface, if it is. Empty before [`learn`].
pub fn shapes() -> impl Iterator<Item = (&'static str, Option<&'static str>)> {
    LEARNT
        .get()
        .into_iter()
        .flat_map(|learnt| learnt.shapes.iter())
        .map(|(name, failure)| (*name, failure.as_deref()))
}

/// Switches the reading of words off for tests, or on again.
pub fn switch(on: bool) {
    let learnt = LEARNT.get().filter(|learnt| on && learnt.base);
    let layout = learnt.map_or(ptr::null(), |learnt| ptr::from_ref(&learnt.layout));
    // Release: publishes what was learnt.
    LAYOUT.store(layout.cast_mut(), Ordering::Release);
}

/// What was learnt, if words may be read.
#[inline(always)]
fn layout() -> Option<&'static Layout> {
    // Acquire: pairs with the Release in `switch`.
    // SAFETY: null, or what `LEARNT` holds, which is never changed or freed.
    unsafe { LAYOUT.load(Ordering::Acquire).cast_const().as_ref() }
}

/// The id of a site, given as the literal `{id, descriptor}` that instrumentation passes: two loads. `None` of anything else,
/// and where words are not read.
#[inline(always)]
#[must_use]
pub fn site_id(site: Term<'_>) -> Option<u64> {
    if layout()?.kind(TUPLE) != Kind::Tuple {
        return None;
    }
    // SAFETY: a `Term` is a term of the calling NIF's environment.
    unsafe { read::first_of_pair(super::word(site)) }
}

/// A small integer of the emulator, of 60 bits, as a term: without a call, where words are read.
#[inline(always)]
#[must_use]
pub fn small<'a>(env: Env<'a>, value: i64) -> Term<'a> {
    if layout().is_none() {
        return value.encode(env);
    }
    // SAFETY: the word of an immediate is a term in any environment; that this is how small integers look was learnt.
    unsafe { Term::new(env, nif_term((value as Word) << 4 | SMALL)) }
}

/// The value of a term that [`small`] can have made, and of some other integers; `None` of everything else.
#[inline(always)]
#[must_use]
pub fn small_value(term: Term<'_>) -> Option<i64> {
    if layout().is_none() {
        return term.decode().ok();
    }
    let word = super::word(term);
    (word & IMMEDIATE == SMALL).then_some((word as isize >> 4) as i64)
}

/// Whether a term is its word alone, as small integers, atoms and local pids are.
#[inline(always)]
#[must_use]
pub fn is_immediate(word: Word) -> bool {
    word & PRIMARY == PRIMARY
}

/// Terms by their words.
#[derive(Clone, Copy)]
pub struct RawTerms<'t> {
    layout: &'static Layout,
    /// An [`Env`] without the byte that it has besides: one that is handed on by value is stored with that byte alone and
    /// loaded again as whole words, for which the processor has to wait.
    env: *mut ErlNifEnv,
    call: PhantomData<Env<'t>>,
}

impl<'t> RawTerms<'t> {
    /// A look at the terms of one NIF call; `None` where not even words as such were learnt, or where tests say so.
    #[inline(always)]
    #[must_use]
    pub fn new(env: Env<'t>) -> Option<RawTerms<'t>> {
        layout().map(|layout| RawTerms {
            layout,
            env: env.as_c_arg(),
            call: PhantomData,
        })
    }

    /// The elements of a tuple, in fewer instructions than [`Terms::shape`] takes.
    #[inline(always)]
    #[must_use]
    pub fn tuple(self, term: Word) -> Option<&'t [Word]> {
        if self.layout.kind(TUPLE) != Kind::Tuple {
            return match self.other_shape(term) {
                Shape::Tuple(elements) => Some(elements),
                _ => None,
            };
        }
        // SAFETY: as in `shape`.
        unsafe { read::tuple(term) }
    }

    /// The value under a key in a map of few keys.
    #[inline(always)]
    #[must_use]
    pub fn value_of(self, map: Word, key: Word) -> Option<Word> {
        // SAFETY: as in `look`.
        match unsafe { self.layout.flat_map(map) } {
            Some((keys, values)) => {
                let mut pairs = keys.iter().zip(values);
                pairs.find(|(at, _)| **at == key).map(|(_, value)| *value)
            }
            None => self.value_under(map, key),
        }
    }

    fn env(self) -> Env<'t> {
        // SAFETY: it came from an `Env<'t>`.
        unsafe { Env::new(&(), self.env) }
    }

    #[inline(never)]
    fn other_shape(self, term: Word) -> Shape<'t> {
        // SAFETY: as in `shape`.
        match unsafe { self.layout.other_shape(term) } {
            Some(shape) => shape,
            None => NifTerms::new(self.env()).shape(term),
        }
    }
}

/// Gives the shape as such.
struct Told;

impl<'t> See<'t> for Told {
    type Out = Shape<'t>;

    #[inline(always)]
    fn see(self, shape: Shape<'t>) -> Shape<'t> {
        shape
    }
}

impl<'t> Terms<'t> for RawTerms<'t> {
    type Map = RawMap<'t>;

    #[inline(always)]
    fn shape(self, term: Word) -> Shape<'t> {
        self.look(term, Told)
    }

    #[inline(always)]
    fn look<S: See<'t>>(self, term: Word, see: S) -> S::Out {
        // SAFETY: `Terms` asks for terms of this call's environment, and `'t` ends with the call.
        unsafe { self.layout.look(term, see, || self.other_shape(term)) }
    }

    #[inline(always)]
    fn cell(self, term: Word) -> Option<(Word, Word)> {
        // SAFETY: as above.
        unsafe { read::cell(term) }
    }

    fn map(self, term: Word) -> Option<RawMap<'t>> {
        let nif = NifTerms::new(self.env());
        // SAFETY: as above.
        let walk = match unsafe { self.layout.walk(term) } {
            Some(hamt) => Walk::Raw(hamt),
            None => Walk::Nif(nif.map(term)?),
        };
        Some(RawMap { nif, walk })
    }

    fn map_size(self, term: Word) -> usize {
        // SAFETY: as above.
        let size = unsafe { self.layout.trie_size(term) };
        size.unwrap_or_else(|| NifTerms::new(self.env()).map_size(term))
    }

    fn value_under(self, map: Word, key: Word) -> Option<Word> {
        NifTerms::new(self.env()).value_under(map, key)
    }

    fn changes<S: SeeChanges>(self, old: Word, new: Word, see: &mut S) -> Result<bool, S::Stop> {
        // SAFETY: as above.
        match unsafe { self.layout.changes(old, new, see) } {
            Some(Ok(())) => Ok(true),
            Some(Err(Halt::Stop(stop))) => Err(stop),
            Some(Err(Halt::Unknown)) | None => Ok(false),
        }
    }

    fn fun(self, term: Word) -> Option<Fun<'t>> {
        // SAFETY: as above.
        unsafe { self.layout.fun(term) }
    }

    #[inline(always)]
    fn reference(self, term: Word) -> Option<&'t [u8]> {
        // SAFETY: as in `shape`.
        unsafe { self.layout.reference_in_place(term) }
    }

    fn rare(self, term: Word) -> Rare {
        NifTerms::new(self.env()).rare(term)
    }
}

/// A walk through a map that is no flat one.
pub struct RawMap<'t> {
    nif: NifTerms<'t>,
    walk: Walk<<NifTerms<'t> as Terms<'t>>::Map>,
}

enum Walk<M> {
    Raw(Hamt),
    Nif(M),
}

impl RawMap<'_> {
    /// Goes on with the NIF interface, which walks in the same order, from where a node was met that was not learnt.
    #[cold]
    #[inline(never)]
    fn fall_back(&mut self, hamt: Hamt) -> Option<(Word, Word)> {
        let mut map = self.nif.map(hamt.term())?;
        for _ in 0..hamt.given() {
            map.next_pair()?;
        }
        let pair = map.next_pair();
        self.walk = Walk::Nif(map);
        pair
    }
}

impl MapPairs for RawMap<'_> {
    #[inline]
    fn len(&self) -> usize {
        match &self.walk {
            Walk::Raw(hamt) => hamt.len(),
            Walk::Nif(map) => map.len(),
        }
    }

    #[inline]
    fn next_pair(&mut self) -> Option<(Word, Word)> {
        match &mut self.walk {
            Walk::Raw(hamt) => match hamt.next_pair() {
                Ok(pair) => pair,
                Err(hamt::Unknown) => {
                    let hamt = *hamt;
                    self.fall_back(hamt)
                }
            },
            Walk::Nif(map) => map.next_pair(),
        }
    }
}
