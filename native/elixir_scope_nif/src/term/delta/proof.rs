//! Proofs of what a change takes away: the same as of the bytes in which it was recorded, by which replay knows whether the
//! delta fits. See [`Proof`].

use elixir_scope_engine::value::{Glance, Proof};

use super::{Delta, Stop};
use crate::term::encode::masks_under;
use crate::term::{MapPairs, Shape, Terms, Word};

impl<'t, T: Terms<'t>> Delta<'_, T> {
    /// Of a value that is not masked; none of one in which something is: a hash would tell of it.
    #[inline]
    pub(super) fn proof(&mut self, old: Word, shape: Shape<'t>) -> Result<u16, Stop> {
        let glance = self.glance(old, shape);
        match glance {
            Glance::Tuple(_) | Glance::Map(_) | Glance::List => {
                self.proof_of_parts(shape, old, glance)
            }
            _ => Ok(Proof::new(glance).finish()),
        }
    }

    fn proof_of_parts(
        &mut self,
        shape: Shape<'t>,
        old: Word,
        glance: Glance<'t>,
    ) -> Result<u16, Stop> {
        let mut proof = Proof::new(glance);
        match shape {
            Shape::Tuple(elements) if elements.len() <= Proof::PARTS => {
                self.step(elements.len() as u32)?;
                if let [key, _] = elements
                    && self.hides(*key)
                {
                    return Ok(Proof::NONE);
                }
                for element in elements {
                    proof.element(self.look(*element));
                }
            }
            Shape::FlatMap(keys, values) if keys.len() <= Proof::PARTS => {
                self.step(2 * keys.len() as u32)?;
                for (key, value) in keys.iter().zip(values) {
                    if self.hides(*key) {
                        return Ok(Proof::NONE);
                    }
                    proof.pair(self.look(*key), self.look(*value));
                }
            }
            Shape::Map if matches!(glance, Glance::Map(size) if size <= Proof::PARTS as u64) => {
                self.step(2 * Proof::PARTS as u32)?;
                let mut pairs = self.terms.map(old);
                while let Some((key, value)) = pairs.as_mut().and_then(MapPairs::next_pair) {
                    if self.hides(key) {
                        return Ok(Proof::NONE);
                    }
                    proof.pair(self.look(key), self.look(value));
                }
            }
            Shape::Cons(mut head, mut tail) => {
                self.step(Proof::ELEMENTS as u32)?;
                for at in 1..=Proof::ELEMENTS {
                    proof.element(self.look(head));
                    if at == Proof::ELEMENTS {
                        break;
                    }
                    match self.terms.shape(tail) {
                        Shape::Cons(next, rest) => (head, tail) = (next, rest),
                        end => {
                            proof.element(self.glance(tail, end));
                            break;
                        }
                    }
                }
            }
            _ => {}
        }
        Ok(proof.finish())
    }

    /// Of so many elements of a list, which begins here.
    pub(super) fn proof_of_dropped(&mut self, mut list: Word, count: u32) -> Result<u16, Stop> {
        let mut proof = Proof::of_dropped();
        for _ in 0..count.min(Proof::DROPPED as u32) {
            let Shape::Cons(head, tail) = self.terms.shape(list) else {
                break;
            };
            let shape = self.terms.shape(head);
            proof.dropped(self.proof(head, shape)?);
            list = tail;
        }
        Ok(proof.finish())
    }

    fn hides(&self, key: Word) -> bool {
        self.redaction.is_on() && masks_under(self.terms, self.redaction, key)
    }

    fn look(&self, word: Word) -> Glance<'t> {
        self.glance(word, self.terms.shape(word))
    }

    #[inline]
    fn glance(&self, word: Word, shape: Shape<'t>) -> Glance<'t> {
        match shape {
            Shape::Int(value) => Glance::Int(value),
            Shape::Atom(atom) => Glance::Atom(atom.0),
            Shape::Binary(bytes) => Glance::Binary(bytes),
            Shape::Nil => Glance::Nil,
            Shape::Cons(..) => Glance::List,
            Shape::Tuple(elements) => Glance::Tuple(elements.len() as u64),
            Shape::FlatMap(keys, _) => Glance::Map(keys.len() as u64),
            Shape::Map => Glance::Map(self.terms.map_size(word) as u64),
            Shape::Float(value) => Glance::Float(value),
            Shape::Pid(process) => Glance::Pid(process),
            Shape::Port(port) => Glance::Port(port),
            Shape::Ref(numbers) => Glance::reference(numbers.words().iter().copied()),
            Shape::Fun => Glance::Fun,
            Shape::Export(module, function, arity) => Glance::Export(module.0, function.0, arity),
            // in bytes they may be of another kind
            Shape::Big(..) | Shape::Bits(_) | Shape::Rare => Glance::Opaque,
        }
    }
}
