//! What was said of some numbers lately: a table of fixed size, where what comes takes the place of what shares it.

use ahash::RandomState;

/// Values by number.
#[derive(Debug)]
pub(crate) struct Recent<V> {
    hasher: RandomState,
    places: usize,
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
            table: Box::default(),
        }
    }

    /// Bytes allocated.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.table)
    }

    fn place(&mut self, number: u64) -> Option<&mut (u64, V)> {
        let hash = self.hasher.hash_one(number);
        let place = hash as usize & self.table.len().wrapping_sub(1);
        self.table.get_mut(place)
    }

    /// From now on `number` has this value.
    pub(crate) fn put(&mut self, number: u64, value: V) {
        if self.table.is_empty() {
            self.table = vec![(0, V::default()); self.places].into();
        }
        if let Some(place) = self.place(number) {
            *place = (number, value);
        }
    }

    /// The value of `number`, if it is still there.
    pub(crate) fn get(&mut self, number: u64) -> Option<V> {
        let (owner, value) = *self.place(number)?;
        (owner == number && number != 0).then_some(value)
    }

    /// The same, and it is there no more.
    pub(crate) fn take(&mut self, number: u64) -> Option<V> {
        let value = self.get(number)?;
        if let Some(place) = self.place(number) {
            place.0 = 0;
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
