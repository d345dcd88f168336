//! Room in one piece for items to come, so that a small value costs a compare and a store.

#![allow(unsafe_code, reason = "writes through a pointer that it moves itself")]

use crate::event::AtomId;
use crate::value::format;
use crate::value::varint::{eight_groups, groups, zigzag};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};

/// Writes values into memory that is sure to be there, without a budget: what does not fit is not written, and the caller
/// starts anew by the [`Writer`](crate::value::Writer), which knows how to cut. The bytes are the same.
///
/// It is handed on by value: two words, which stay in registers through calls. Each item takes the window and gives it back
/// moved on, or `None` where there is no room for the item, or no way to write it.
///
/// `'w` is one window's alone (it is invariant, and windows are made by the engine only), so that what a [`Fill`] gives back
/// is what it was given.
#[derive(Debug)]
#[must_use]
pub struct Window<'w> {
    at: NonNull<u8>,
    /// An item of fixed room may begin here and before.
    last: NonNull<u8>,
    brand: PhantomData<fn(&'w ()) -> &'w ()>,
}

/// What is written into a window. (A trait, where a closure would be enough, because it can be told to be inlined.)
pub trait Fill {
    /// Writes; `None` if all of that is to be forgotten.
    fn fill<'w>(self, window: Window<'w>) -> Option<Window<'w>>;
}

/// What an item of fixed room takes at most: tag, length, and a short binary.
const ITEM: usize = 2 + SHORT;
/// The longest binary that is copied without a call.
const SHORT: usize = 32;

impl<'w> Window<'w> {
    /// A window of less than this is not worth opening.
    pub const LEAST: usize = ITEM + 30;

    /// Lets `fill` write into `memory`. How many bytes it wrote, from the start; all of them are initialised. `None` if it
    /// gave up, or was not asked because that is less than [`Self::LEAST`].
    #[inline(always)]
    pub(crate) fn over(memory: &mut [MaybeUninit<u8>], fill: impl Fill) -> Option<usize> {
        if memory.len() < Self::LEAST {
            return None;
        }
        let start = NonNull::from(&mut *memory).cast::<u8>();
        let window = Window {
            at: start,
            // SAFETY: within the memory, which is longer than an item.
            last: unsafe { start.add(memory.len() - ITEM) },
            brand: PhantomData,
        };
        let window = fill.fill(window)?;
        Some(window.at.addr().get() - start.addr().get())
    }

    /// Appends to `vector` what `fill` writes into a window of `most` bytes, if it writes it. Whether it did.
    pub(crate) fn behind(vector: &mut Vec<u8>, most: usize, fill: impl Fill) -> bool {
        vector.reserve(most);
        let spare = vector.spare_capacity_mut().get_mut(..most);
        let Some(length) = spare.and_then(|spare| Window::over(spare, fill)) else {
            return false;
        };
        // SAFETY: so many bytes behind the old end were written, and there is capacity for them.
        unsafe { vector.set_len(vector.len() + length) };
        true
    }

    /// Makes sure of the room for one item.
    #[inline(always)]
    fn item(self) -> Option<Self> {
        (self.at <= self.last).then_some(self)
    }

    /// # Safety
    /// [`Self::item`] answered since the last byte was written, and `length` bytes of the item are written.
    #[inline(always)]
    unsafe fn take(mut self, length: usize) -> Option<Self> {
        debug_assert!(length <= ITEM);
        // SAFETY: an item does not go beyond the memory.
        self.at = unsafe { self.at.add(length) };
        Some(self)
    }

    /// # Safety
    /// [`Self::item`] answered since the last byte was written; `offset` and the size of `T` are within an item.
    #[inline(always)]
    unsafe fn store<T>(&self, offset: usize, value: T) {
        debug_assert!(offset + size_of::<T>() <= ITEM);
        // SAFETY: within the item, for which there is room.
        unsafe { self.at.add(offset).cast::<T>().write_unaligned(value) }
    }

    /// One byte: a tag that is all of a value, or the end of a list.
    #[inline(always)]
    pub fn byte(self, byte: u8) -> Option<Self> {
        let window = self.item()?;
        // SAFETY: there is room for an item, of which this is one byte.
        unsafe {
            window.store(0, byte);
            window.take(1)
        }
    }

    /// Two bytes: a tag, and a number below 128.
    #[inline(always)]
    pub fn pair(self, bytes: [u8; 2]) -> Option<Self> {
        let window = self.item()?;
        // SAFETY: there is room for an item, of which these are two bytes.
        unsafe {
            window.store(0, bytes);
            window.take(2)
        }
    }

    /// A tag and a varint.
    #[inline(always)]
    pub fn tagged(self, tag: u8, value: u64) -> Option<Self> {
        let window = self.item()?;
        // One way for each size: a place of a program records names and numbers of like size, so that the processor knows
        // the way, which is half as long as one without branches.
        // SAFETY: there is room for an item, of which these are four bytes at most.
        unsafe {
            if value < 1 << 7 {
                window.store(0, [tag, value as u8]);
                window.take(2)
            } else if value < 1 << 14 {
                let bytes = groups::<2>(value as u32) << 8 | u32::from(tag);
                window.store(0, bytes.to_le());
                window.take(3)
            } else if value < 1 << 21 {
                let bytes = groups::<3>(value as u32) << 8 | u32::from(tag);
                window.store(0, bytes.to_le());
                window.take(4)
            } else {
                window.tagged_long(tag, value)
            }
        }
    }

    /// # Safety
    /// There is room for an item.
    #[inline(never)]
    unsafe fn tagged_long(self, tag: u8, value: u64) -> Option<Self> {
        // SAFETY: a tag and ten groups of seven bits are within an item.
        unsafe {
            self.store(0, tag);
            if value >> 56 == 0 {
                let (bytes, size) = eight_groups(value);
                self.store(1, bytes.to_le());
                return self.take(1 + size);
            }
            let (mut rest, mut size) = (value, 1);
            while rest >= 0x80 {
                self.store(size, rest as u8 | 0x80);
                rest >>= 7;
                size += 1;
            }
            self.store(size, rest as u8);
            self.take(size + 1)
        }
    }

    /// An integer.
    #[inline(always)]
    pub fn int(self, value: i64) -> Option<Self> {
        if value as u64 >> 7 == 0 {
            return self.byte(format::SMALL_INT | value as u8);
        }
        self.tagged(format::INT, zigzag(value))
    }

    /// A float. Only finite ones exist.
    #[inline(always)]
    pub fn float(self, value: f64) -> Option<Self> {
        let window = self.item()?;
        // SAFETY: there is room for an item, of which these are nine bytes.
        unsafe {
            window.store(0, format::FLOAT);
            window.store(1, value.to_bits().to_le());
            window.take(9)
        }
    }

    /// A process. Its word is long on some hosts, and no message goes without one: by eight groups at once, without a call.
    #[inline(always)]
    pub fn pid(self, process: u64) -> Option<Self> {
        if process >> 56 != 0 {
            return self.tagged(format::PID, process);
        }
        let window = self.item()?;
        let (bytes, size) = eight_groups(process);
        // SAFETY: there is room for an item, of which these are nine bytes at most.
        unsafe {
            window.store(0, format::PID);
            window.store(1, bytes.to_le());
            window.take(1 + size)
        }
    }

    /// A name.
    #[inline(always)]
    pub fn atom(self, atom: AtomId) -> Option<Self> {
        self.tagged(format::ATOM, u64::from(atom.0))
    }

    /// A binary.
    #[inline(always)]
    pub fn binary(self, bytes: &[u8]) -> Option<Self> {
        if bytes.len() > SHORT {
            return self.long_binary(bytes);
        }
        let window = self.item()?;
        // SAFETY: there is room for an item, which is tag, one byte of length, and up to `SHORT` bytes.
        unsafe {
            window.store(0, [format::BINARY, bytes.len() as u8]);
            copy_short(bytes, window.at.as_ptr().add(2));
            window.take(2 + bytes.len())
        }
    }

    #[inline(never)]
    fn long_binary(self, bytes: &[u8]) -> Option<Self> {
        // The head is within the item behind `last`.
        if bytes.len() > self.room() {
            return None;
        }
        let mut window = self.tagged(format::BINARY, bytes.len() as u64)?;
        // SAFETY: before the head there was room for the bytes and an item, and the head took no more than an item.
        unsafe {
            ptr::copy_nonoverlapping(bytes.as_ptr(), window.at.as_ptr(), bytes.len());
            window.at = window.at.add(bytes.len());
        }
        Some(window)
    }

    /// Bytes that there is room for, with an item behind them.
    #[inline(always)]
    fn room(&self) -> usize {
        self.last.addr().get().saturating_sub(self.at.addr().get())
    }

    /// Values that are written already.
    #[inline]
    pub fn bytes(self, bytes: &[u8]) -> Option<Self> {
        if bytes.len() > SHORT {
            return self.long_bytes(bytes);
        }
        let window = self.item()?;
        // SAFETY: there is room for an item, which is longer than the bytes.
        unsafe {
            copy_short(bytes, window.at.as_ptr());
            window.take(bytes.len())
        }
    }

    /// Values that are written already, `length` bytes of them: all of the room that they stand in is moved, so that their length needs no
    /// branch.
    #[inline(always)]
    pub fn short(self, room: &[u8; SHORT], length: usize) -> Option<Self> {
        let window = self.item()?;
        // SAFETY: there is room for an item, which is longer than the bytes.
        unsafe {
            window.store(0, *room);
            window.take(length.min(SHORT))
        }
    }

    #[inline(never)]
    fn long_bytes(mut self, bytes: &[u8]) -> Option<Self> {
        if bytes.len() > self.room() {
            return None;
        }
        // SAFETY: there is room for them.
        unsafe {
            ptr::copy_nonoverlapping(bytes.as_ptr(), self.at.as_ptr(), bytes.len());
            self.at = self.at.add(bytes.len());
        }
        Some(self)
    }
}

/// Up to `SHORT` bytes, by two moves that may overlap: a loop would take one step for each byte, a copy of any length a call.
///
/// # Safety
/// There is room at `to` for as many bytes as there are.
#[inline(always)]
unsafe fn copy_short(bytes: &[u8], to: *mut u8) {
    /// # Safety
    /// From `T` to twice as many bytes stand at `from`, with as much room at `to`.
    #[inline(always)]
    unsafe fn two<T>(from: *const u8, to: *mut u8, length: usize) {
        // SAFETY: both moves are within the bytes.
        unsafe {
            let back = length - size_of::<T>();
            let first = from.cast::<T>().read_unaligned();
            let last = from.add(back).cast::<T>().read_unaligned();
            to.cast::<T>().write_unaligned(first);
            to.add(back).cast::<T>().write_unaligned(last);
        }
    }
    let (from, length) = (bytes.as_ptr(), bytes.len());
    // SAFETY: each arm has the lengths that `two` asks for.
    unsafe {
        match length {
            8..=16 => two::<u64>(from, to, length),
            17.. => two::<u128>(from, to, length),
            4..=7 => two::<u32>(from, to, length),
            2..=3 => two::<u16>(from, to, length),
            1 => to.write(from.read()),
            0 => {}
        }
    }
}

#[cfg(all(test, not(loom)))]
#[allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::value::{Fit, Sink, Writer};

    struct By<F>(F);

    impl<F: for<'w> FnOnce(Window<'w>) -> Option<Window<'w>>> Fill for By<F> {
        fn fill<'w>(self, window: Window<'w>) -> Option<Window<'w>> {
            (self.0)(window)
        }
    }

    fn by<F: for<'w> FnOnce(Window<'w>) -> Option<Window<'w>>>(fill: F) -> By<F> {
        By(fill)
    }

    /// What the window wrote into so many bytes.
    fn windowed(
        room: usize,
        write: impl for<'w> FnOnce(Window<'w>) -> Option<Window<'w>>,
    ) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        out.in_window(room, by(write)).then_some(out)
    }

    fn written(write: impl FnOnce(&mut Writer<'_, Vec<u8>>) -> Fit) -> Vec<u8> {
        let mut out = Vec::new();
        assert_eq!(write(&mut Writer::new(&mut out, 100_000)), Fit::Written);
        out
    }

    #[test]
    fn integers_match_the_writer_at_every_edge() {
        for bit in 0..64 {
            for value in [1_u64 << bit, (1 << bit) - 1, (1 << bit) + 1] {
                for value in [value as i64, (value as i64).wrapping_neg()] {
                    assert_eq!(
                        windowed(100, |window| window.int(value)),
                        Some(written(|writer| writer.int(value).unwrap())),
                        "{value}"
                    );
                }
                assert_eq!(
                    windowed(100, |window| window.pid(value)),
                    Some(written(|writer| writer.pid(value).unwrap())),
                    "{value}"
                );
            }
        }
    }

    #[test]
    fn binaries_match_the_writer_at_every_length() {
        let bytes: Vec<u8> = (0..20_000_u32).map(|n| ((n * 7) >> 3) as u8).collect();
        for length in (0..300).chain([16_383, 16_384, 20_000]) {
            let bytes = bytes.get(..length).unwrap();
            assert_eq!(
                windowed(20_100, |window| window.binary(bytes)),
                Some(written(|writer| writer.binary(bytes).unwrap())),
                "{length}"
            );
        }
    }

    #[test]
    fn bytes_are_copied_at_every_length_that_there_is_room_for() {
        let bytes: Vec<u8> = (0..400_u32).map(|n| n as u8).collect();
        for length in 0..300 {
            let bytes = bytes.get(..length).unwrap();
            let out = windowed(400, |window| window.bytes(bytes)?.byte(format::NIL));
            assert_eq!(out, Some([bytes, &[format::NIL]].concat()), "{length}");
        }
        assert_eq!(windowed(400, |window| window.bytes(&bytes)), None);
        let room = *bytes.first_chunk().unwrap();
        for length in 0..=SHORT {
            let out = windowed(400, |window| window.short(&room, length)?.byte(format::NIL));
            let bytes = bytes.get(..length).unwrap();
            assert_eq!(out, Some([bytes, &[format::NIL]].concat()), "{length}");
        }
    }

    #[test]
    fn a_window_is_left_when_it_is_full_and_nothing_is_kept_then() {
        for room in Window::LEAST..400 {
            let mut out = vec![1, 2, 3];
            let full = by(|mut window| {
                let start = window.at.addr().get();
                while let Some(next) = window.binary(&[7; 40]).and_then(|next| next.int(1 << 40)) {
                    let written = next.at.addr().get() - start;
                    assert!(written <= room, "{written} of {room}");
                    window = next;
                }
                None
            });
            assert!(!out.in_window(room, full));
            assert_eq!(out, vec![1, 2, 3]);
        }
        assert!(!Vec::new().in_window(Window::LEAST - 1, by(|window| window.byte(0))));
        assert!(Vec::new().in_window(Window::LEAST, by(|window| window.byte(0))));
    }

    #[test]
    fn floats_and_bytes_match_the_writer() {
        assert_eq!(
            windowed(100, |window| window.float(-1.5e300)),
            Some(written(|writer| writer.float(-1.5e300).unwrap()))
        );
        assert_eq!(
            windowed(100, |window| window.byte(format::NIL)),
            Some(written(|writer| writer.nil().unwrap()))
        );
    }
}
