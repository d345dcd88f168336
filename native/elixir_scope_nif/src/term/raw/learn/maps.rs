//! Maps.

use super::super::layout::Kind;
use super::identities::FUN;
use super::samples::FunSample;
use super::{Learner, Step, ensure};
use crate::term::{Shape, Word};

/// The release of OTP from which on nodes of colliding keys are known to us.
pub(super) const COLLISION_NODES_SINCE: u32 = 27;

impl Learner {
    pub(super) fn flat_maps(&mut self) -> Step {
        for size in [1, 2, 3, 32, 0] {
            let keys: Vec<Word> = (0..size).map(|n| self.samples.integer(n * 5)).collect();
            let values: Vec<Word> = (0..size).map(|n| self.samples.integer(n * 7)).collect();
            let map = self.samples.map(&keys, &values).ok_or("no map")?;
            let (header, [count, _]) = self.boxed(map)?;
            ensure!(
                count == keys.len() && header >> 6 & 0b11 == 0,
                "{size} keys have the header {header:#x}"
            );
            self.name_kind(header, Kind::Map)?;
            let Some(Shape::FlatMap(read_keys, read_values)) = self.shape(map) else {
                return Err(format!("{size} keys are no flat map"));
            };
            let read = read_keys.iter().copied().zip(read_values.iter().copied());
            ensure!(
                self.samples.pairs(map).is_some_and(|pairs| read.eq(pairs)),
                "{size} keys were read wrongly"
            );
        }
        Ok(())
    }

    pub(super) fn large_maps(&mut self) -> Step {
        self.layout.hamt = true;
        for size in [33, 34, 65, 300, 1_000, 5_000] {
            let integers: Vec<Word> = (0..size).map(|n| self.samples.integer(n * 7919)).collect();
            let tuples: Vec<Word> = integers.iter().map(|n| self.samples.tuple(&[*n])).collect();
            for keys in [&integers, &tuples] {
                let map = self.samples.map(keys, &integers).ok_or("no map")?;
                let (header, [count]) = self.boxed(map)?;
                ensure!(
                    self.layout.kind(header) == Kind::Map,
                    "{size} keys have the header {header:#x}"
                );
                ensure!(count == keys.len(), "{size} keys have the size {count}");
                self.same_pairs(map)?;
            }
        }
        Ok(())
    }

    /// Funs whose identity differs in what no hash of the VM sees collide in all its bits. Only where keys that collide
    /// in all bits have nodes of their own: earlier releases hash again, without end.
    pub(super) fn colliding_keys(&mut self) -> Step {
        ensure!(self.layout.hamt, "large maps were not learnt");
        self.layout.collisions = true;
        for colliding in [2, 3, 20] {
            let mut keys: Vec<Word> = (0..40).map(|n| self.samples.integer(n)).collect();
            for n in 0..colliding {
                let fun = FunSample {
                    uniq: [n; 16],
                    ..FUN
                };
                keys.push(self.samples.fun(&fun).ok_or("no fun")?);
            }
            let map = self
                .samples
                .map(&keys, &keys)
                .ok_or("funs of different code are the same key")?;
            self.same_pairs(map)?;
        }
        Ok(())
    }

    pub(super) fn same_pairs(&self, map: Word) -> Step {
        // SAFETY: as in `shape`.
        let walk = unsafe { self.layout.walk(map) };
        let (Some(Shape::Map), Some(mut hamt)) = (self.shape(map), walk) else {
            return Err("not read as a large map".into());
        };
        let expected = self.samples.pairs(map).ok_or("no pairs")?;
        let size = expected.len();
        ensure!(
            hamt.len() == size,
            "{size} keys were read as {}",
            hamt.len()
        );
        for pair in expected {
            ensure!(
                hamt.next_pair() == Ok(Some(pair)),
                "{size} keys were read wrongly"
            );
        }
        ensure!(
            hamt.next_pair() == Ok(None),
            "{size} keys were read as more"
        );
        Ok(())
    }
}
