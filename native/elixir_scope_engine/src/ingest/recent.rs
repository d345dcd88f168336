//! What was said of some numbers lately: a table of fixed size, in which each number has a few places, shared with others. What comes
//! when all of them are taken takes one, by turns.

use ahash::RandomState;

/// Values by number.
#[derive(Debug)]
pub(crate) struct Recent<V> {
    hasher: RandomState,
    places: usize,
    turn: usize,
    /// Empty until something is put in; 0 is no number.
    table: Box<[(u64, V)]>,
}

impl<V: Copy + Default> Recent<V> {
    /// As many places as fit into `budget` bytes.
    pub(crate) fn new(budget: usize) -> Recent<V> {
        let fit = (budget / size_of::<(u64, V)>()).max(8);
        Recent {
            hasher: RandomState::default(),
            places: 1 << fit.ilog2(),
            turn: 0,
            table: Box::default(),
        }
    }

    /// Bytes allocated.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.table)
    }

    /// Places that a number can have: a power of two, and no more than the smallest table has.
    const WAYS: usize = 8;

    fn ways(&mut self, number: u64) -> &mut [(u64, V)] {
        let hash = self.hasher.hash_one(number) as usize;
        let first = hash & self.table.len().wrapping_sub(1) & !(Self::WAYS - 1);
        self.table
            .get_mut(first..first + Self::WAYS)
            .unwrap_or(&mut [])
    }

    fn place(&mut self, number: u64) -> Option<&mut (u64, V)> {
        let mut ways = self.ways(number).iter_mut();
        ways.find(|place| place.0 == number && number != 0)
    }

    /// From now on `number` has this value; whether another number has lost its own for it.
    pub(crate) fn put(&mut self, number: u64, value: V) -> bool {
        if self.table.is_empty() {
            self.table = vec![(0, V::default()); self.places].into();
        }
        self.turn = self.turn.wrapping_add(1);
        let turn = self.turn % Self::WAYS;
        let ways = self.ways(number);
        let place = |is: u64| ways.iter().position(|(owner, _)| *owner == is);
        let free = place(number).or_else(|| place(0));
        if let Some(place) = ways.get_mut(free.unwrap_or(turn)) {
            *place = (number, value);
        }
        free.is_none()
    }

    /// The value of `number`, if it is still there.
    pub(crate) fn get(&mut self, number: u64) -> Option<V> {
        self.place(number).map(|place| place.1)
    }

    /// The same, and it is there no more.
    pub(crate) fn take(&mut self, number: u64) -> Option<V> {
        let place = self.place(number)?;
        place.0 = 0;
        Some(place.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_all_kept_whatever_they_are() {
        for first in 1..500 {
            let mut recent = Recent::new(4_096);
            let numbers = (0..8).map(|n| first * 1_000_003 + n * 64);
            for number in numbers.clone() {
                recent.put(number, number);
            }
            for number in numbers {
                assert_eq!(recent.take(number), Some(number));
            }
        }
    }

    #[test]
    fn what_is_found_is_what_was_put_last_and_room_is_bounded() {
        let mut recent = Recent::new(1_000);
        assert_eq!(
            (recent.get(5), recent.take(5), recent.bytes()),
            (None, None, 0)
        );
        for number in 1..1_000 {
            recent.put(number, number as i64 * 2);
            assert_eq!(recent.get(number), Some(number as i64 * 2));
        }
        assert!(recent.bytes() <= 1_000 && recent.bytes() > 400);
        let mut left = 0;
        for number in 1..1_000 {
            let found = recent.take(number);
            assert!(found.is_none_or(|value| value == number as i64 * 2));
            assert_eq!(recent.get(number), None);
            left += usize::from(found.is_some());
        }
        assert!(left > 8 && left <= recent.bytes() / 16);
    }
}
