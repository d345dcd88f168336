//! Learns the [`Layout`] of the VM at hand, shape by shape, and tests each before it counts.

use rustler::{Env, Term};

use self::peek::Peek;
use self::samples::Samples;
use super::Told;
use super::layout::{BOXED, KIND, Kind, Layout};
use crate::term::{Shape, Word};

mod binaries;
mod identities;
mod maps;
mod peek;
mod samples;
mod values;

/// The outcome, for the life of the library.
#[derive(Debug)]
pub struct Learnt {
    pub layout: Layout,
    /// Whether words as such are as expected: immediates, list cells, and headers behind boxed words.
    pub base: bool,
    /// Each shape, and why it was not learnt.
    pub shapes: Vec<(&'static str, Option<String>)>,
}

/// Fails a step with a reason.
macro_rules! ensure {
    ($condition:expr, $($reason:tt)+) => {
        if !$condition {
            return Err(format!($($reason)+));
        }
    };
}

use ensure;

type Step = Result<(), String>;

pub fn learn(env: Env<'_>, given: Term<'_>) -> Learnt {
    let mut learner = match Learner::new(env) {
        Ok(learner) => learner,
        Err(reason) => {
            return Learnt {
                layout: Layout::NONE,
                base: false,
                shapes: vec![("words", Some(reason))],
            };
        }
    };
    let base = learner.step("words", Learner::base_words);
    if base {
        learner.step("tuple", Learner::tuples);
        learner.step("float", Learner::floats);
        learner.step("big_integer", Learner::bigs);
        learner.step("binary", Learner::heap_binaries);
        learner.step("large_binary", Learner::large_binaries);
        learner.step("sub_binary", Learner::sub_binaries);
        learner.step("bit_string", Learner::bit_strings);
        learner.step("map", Learner::flat_maps);
        learner.step("large_map", Learner::large_maps);
        if samples::otp_release() >= Some(maps::COLLISION_NODES_SINCE) {
            learner.step("colliding_keys", Learner::colliding_keys);
        }
        learner.step("reference", Learner::references);
        learner.step("fun", Learner::local_funs);
        learner.step("external_fun", Learner::exports);
        let given = samples::list(given);
        learner.step("unaligned_bit_string", |it| it.unaligned(&given));
        learner.step("appended_binary", |it| it.appended(&given));
        learner.step("magic_reference", |it| it.magic_references(&given));
        learner.step("alias_reference", |it| it.aliases(&given));
        learner.test_given(&given);
    }
    Learnt {
        layout: learner.layout,
        base,
        shapes: learner.shapes,
    }
}

struct Learner {
    samples: Samples,
    peek: Peek,
    layout: Layout,
    shapes: Vec<(&'static str, Option<String>)>,
}

impl Learner {
    fn new(env: Env<'_>) -> Result<Learner, String> {
        ensure!(
            cfg!(all(target_pointer_width = "64", target_endian = "little")),
            "not a 64-bit little-endian machine"
        );
        Ok(Learner {
            samples: Samples::new(env)?,
            peek: Peek::new().ok_or("no pipe to read memory through")?,
            layout: Layout::NONE,
            shapes: Vec::new(),
        })
    }

    /// Takes one step; undoes it if it failed.
    fn step(&mut self, name: &'static str, step: impl FnOnce(&mut Learner) -> Step) -> bool {
        let before = self.layout;
        let failure = step(self).err();
        if failure.is_some() {
            self.layout = before;
        }
        let learnt = failure.is_none();
        self.shapes.push((name, failure));
        learnt
    }

    fn shape(&self, term: Word) -> Option<Shape<'static>> {
        // SAFETY: the terms are of the environment of the call that learns, and no shape outlives it.
        let shape = unsafe {
            let other = || self.layout.other_shape(term).unwrap_or(Shape::Rare);
            self.layout.look(term, Told, other)
        };
        (!matches!(shape, Shape::Rare)).then_some(shape)
    }

    /// The header of a boxed term, and so many words behind it.
    fn boxed<const N: usize>(&mut self, term: Word) -> Result<(Word, [Word; N]), String> {
        ensure!(term & 0b11 == BOXED, "not a boxed word: {term:#x}");
        let words = self
            .peek
            .term(term, N + 1)
            .ok_or("a boxed word points nowhere")?;
        let (header, rest) = words.split_first().ok_or("no header")?;
        let rest = rest.first_chunk().ok_or("too short")?;
        Ok((*header, *rest))
    }

    /// Says what headers of this kind mean; each kind has one meaning.
    #[allow(clippy::indexing_slicing, reason = "six bits into 64 entries")]
    fn name_kind(&mut self, header: Word, kind: Kind) -> Step {
        ensure!(header & 0b11 == 0, "not a header: {header:#x}");
        let slot = &mut self.layout.kinds[header & KIND];
        ensure!(
            *slot == Kind::Unknown || *slot == kind,
            "headers of {kind:?} and {slot:?} look the same"
        );
        *slot = kind;
        Ok(())
    }

    /// Compares all given terms, and unlearns the kind of one that was read wrongly.
    fn test_given(&mut self, given: &[Word]) {
        for &term in given {
            if let Err(reason) = self.agrees(term) {
                if let Ok((header, [])) = self.boxed(term)
                    && let Some(slot) = self.layout.kinds.get_mut(header & KIND)
                {
                    *slot = Kind::Unknown;
                }
                self.shapes.push(("given_sample", Some(reason)));
            }
        }
    }

    /// Compares what was read of `term` with what its external format says.
    fn agrees(&self, term: Word) -> Step {
        match self.shape(term) {
            Some(Shape::Binary(read)) => {
                let read = read.to_vec(); // before the VM may move it
                let length = (read.len() as u32).to_be_bytes();
                let expected = [&[131, 109], &length[..], &read].concat();
                ensure!(
                    self.samples.external(term) == Some(expected),
                    "a binary was read wrongly"
                );
            }
            Some(Shape::Bits(bits)) if bits.bits & 7 != 0 => {
                let (read, last) = (bits.shifted(u64::MAX), (bits.bits & 7) as u8);
                let length = (read.len() as u32).to_be_bytes();
                let expected = [&[131, 77], &length[..], &[last], &read].concat();
                ensure!(
                    self.samples.external(term) == Some(expected),
                    "a bit string was read wrongly"
                );
            }
            Some(Shape::Bits(bits)) => self.same_external_bytes(term, &bits.shifted(u64::MAX))?,
            Some(Shape::Map) => self.same_pairs(term)?,
            Some(Shape::Ref(_)) => self.same_numbers(term)?,
            Some(Shape::Fun) => {
                // SAFETY: as in `shape`.
                let read = unsafe { self.layout.fun(term) }.ok_or("no parts of a fun")?;
                let free = u32::try_from(read.env.len())
                    .unwrap_or(u32::MAX)
                    .to_be_bytes();
                let expected = [
                    &[read.arity],
                    &read.uniq[..],
                    &read.index.to_be_bytes(),
                    &free,
                ]
                .concat();
                let external = self
                    .samples
                    .external(term)
                    .ok_or("a fun has no external format")?;
                ensure!(
                    external.get(6..31) == Some(&expected[..]),
                    "a fun was read wrongly"
                );
            }
            _ => {}
        }
        Ok(())
    }

    fn same_external_bytes(&self, term: Word, read: &[u8]) -> Step {
        let length = (read.len() as u32).to_be_bytes();
        let expected = [&[131, 109], &length[..], read].concat();
        ensure!(
            self.samples.external(term) == Some(expected),
            "a binary was read wrongly"
        );
        Ok(())
    }
}
