//! The room of lines: places that are taken and given back, and which message has to go when there is none.

use std::hash::Hash;

use super::{GONE, Lanes, NEVER, Place, TRIED, after, index};
use crate::event::TimeNs;

impl Lanes {
    #[cold]
    pub(super) fn allocate(&mut self) {
        let each = size_of::<Place>() + size_of::<u32>();
        let room = (self.budget.saturating_sub(GONE * size_of::<TimeNs>()) / each).max(16);
        self.places = vec![Place::default(); room].into();
        let buckets = 1 << room.ilog2();
        self.buckets = vec![0; buckets].into();
        self.gone = vec![NEVER; GONE].into();
        self.clear();
    }

    /// Forgets all lines.
    pub(crate) fn clear(&mut self) {
        let room = self.places.len() as u32;
        for (place, next) in self.places.iter_mut().zip(2..) {
            *place = Place {
                next: if next > room { 0 } else { next },
                ..Place::default()
            };
        }
        self.buckets.fill(0);
        self.gone.fill(NEVER);
        self.free = room.min(1);
        self.waiting = 0;
    }

    pub(super) fn at(&self, link: u32) -> Option<&Place> {
        self.places.get(index(link)?)
    }

    pub(super) fn at_mut(&mut self, link: u32) -> Option<&mut Place> {
        self.places.get_mut(index(link)?)
    }

    pub(super) fn key(&self, lane: &impl Hash) -> u64 {
        self.hasher.hash_one(lane)
    }

    pub(super) fn bucket(&self, key: u64) -> usize {
        (key >> 32) as usize & self.buckets.len().saturating_sub(1)
    }

    pub(super) fn gone_mut(&mut self, key: u64) -> Option<&mut TimeNs> {
        self.gone.get_mut(key as usize % GONE)
    }

    /// The line with this key: its first message, and the first one of the line before it in the bucket.
    pub(super) fn find(&self, key: u64) -> Option<(u32, u32)> {
        let mut before = 0;
        let mut link = *self.buckets.get(self.bucket(key))?;
        while let Some(first) = self.at(link) {
            if first.key == key {
                return Some((link, before));
            }
            before = link;
            link = first.beside;
        }
        None
    }

    /// Puts `link` where the line behind `before` was.
    pub(super) fn relink(&mut self, key: u64, before: u32, link: u32) {
        let bucket = self.bucket(key);
        match self.at_mut(before) {
            Some(before) => before.beside = link,
            None => {
                if let Some(first) = self.buckets.get_mut(bucket) {
                    *first = link;
                }
            }
        }
    }

    /// Takes the first message off a line; whether others are left.
    pub(super) fn pop(&mut self, first: u32, before: u32) -> bool {
        let free = self.free;
        let Some(place) = self.at_mut(first) else {
            return false;
        };
        let gone = std::mem::take(place);
        place.next = free;
        self.free = first;
        self.waiting -= 1;
        let Some(next) = self.at_mut(gone.next) else {
            self.relink(gone.key, before, gone.beside);
            return false;
        };
        *next = Place {
            message: next.message,
            key: next.key,
            next: next.next,
            is_used: true,
            count: gone.count - 1,
            ..gone
        };
        self.relink(gone.key, before, gone.next);
        true
    }

    /// Takes a message out of the middle of a line.
    pub(super) fn unlink(&mut self, first: u32, before: u32, link: u32) {
        if link == first {
            self.pop(first, before);
            return;
        }
        let mut at = first;
        while let Some(place) = self.at(at).copied() {
            if place.next == link {
                break;
            }
            at = place.next;
        }
        let free = self.free;
        let Some(place) = self.at_mut(link) else {
            return;
        };
        let next = std::mem::take(place).next;
        place.next = free;
        self.free = link;
        self.waiting -= 1;
        if let Some(at) = self.at_mut(at) {
            at.next = next;
        }
        if let Some(first) = self.at_mut(first) {
            first.count -= 1;
            if next == 0 {
                first.last = at;
            }
        }
    }

    /// Makes a place free: the first message of a line goes, of one that nothing comes out of if there is one nearby.
    pub(super) fn make_room(&mut self, now: TimeNs) {
        let mut found = None;
        for _ in 0..TRIED {
            self.hand = (self.hand + 1) % self.places.len().max(1);
            let key = self.places.get(self.hand).filter(|place| place.is_used);
            let Some((first, before)) = key.and_then(|place| self.find(place.key)) else {
                continue;
            };
            found = Some((first, before));
            if self.at(first).is_some_and(|first| !first.is_live) {
                break;
            }
        }
        if let Some((first, before)) = found {
            self.forget(first, before, now);
        }
    }

    /// The first message of a line has to go.
    pub(super) fn forget(&mut self, first: u32, before: u32, now: TimeNs) {
        let Some(place) = self.at_mut(first) else {
            return;
        };
        let key = place.key;
        place.forgotten = place.forgotten.saturating_add(1);
        if place.is_blurred {
            place.unsure_until = place.unsure_until.max(after(now));
        }
        if !self.pop(first, before)
            && let Some(gone) = self.gone_mut(key)
        {
            *gone = after(now);
        }
    }
}
