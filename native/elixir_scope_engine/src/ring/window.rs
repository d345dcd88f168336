//! Room in one piece for items to come, so that a small value costs a compare and a store.

#![allow(unsafe_code, reason = "writes through a pointer that it moves itself")]

use crate::event::AtomId;
use crate::value::format;
use crate::value::varint::{eight_groups, three_groups, zigzag};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr;

/// Writes values into memory that is sure to be there, without a budget: what does not fit is not written, and the caller
/// starts anew by the [`Writer`](crate::value::Writer), which knows how to cut. The bytes are the same.
#[derive(Debug)]
pub struct Window<'w> {
    start: *mut u8,
    at: *mut u8,
    /// An item of fixed room may begin here and before.
    last: *mut u8,
    memory: PhantomData<&'w mut [MaybeUninit<u8>]>,
}

/// The window has no room for this, or no way to write it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoWay;

/// What is written into a window. (A trait, where a closure would be enough, because it can be told to be inlined.)
pub trait Fill {
    /// What comes out.
    type Out;

    /// Writes; `None` if all of that is to be forgotten.
    fn fill(self, window: &mut Window<'_>) -> Option<Self::Out>;
}

/// What an item of fixed room takes at most: tag, length, and a short binary.
const ITEM: usize = 2 + SHORT;
/// The longest binary that is copied without a call.
const SHORT: usize = 32;

impl<'w> Window<'w> {
    /// A window of less than this is not worth opening.
    pub const LEAST: usize = ITEM + 30;

    /// A window over all of `memory`; `None` if that is less than [`Self::LEAST`].
    #[inline(always)]
    #[must_use]
    pub fn new(memory: &'w mut [MaybeUninit<u8>]) -> Option<Window<'w>> {
        if memory.len() < Self::LEAST {
            return None;
        }
        let start = memory.as_mut_ptr().cast::<u8>();
        Some(Window {
            start,
            at: start,
            // SAFETY: within the memory, which is longer than an item.
            last: unsafe { start.add(memory.len() - ITEM) },
            memory: PhantomData,
        })
    }

    /// Appends to `vector` what `fill` writes into a window of `most` bytes, if it answers `Some`.
    pub(crate) fn behind<R>(
        vector: &mut Vec<u8>,
        most: usize,
        fill: impl Fill<Out = R>,
    ) -> Option<R> {
        vector.reserve(most);
        let spare = vector.spare_capacity_mut().get_mut(..most)?;
        let mut window = Window::new(spare)?;
        let answer = fill.fill(&mut window)?;
        let length = window.written();
        // SAFETY: so many bytes behind the old end were written, and there is capacity for them.
        unsafe { vector.set_len(vector.len() + length) };
        Some(answer)
    }

    /// Bytes written so far; all of them are initialised.
    #[inline(always)]
    #[must_use]
    pub fn written(&self) -> usize {
        self.at.addr() - self.start.addr()
    }

    /// Makes sure of the room for one item.
    #[inline(always)]
    fn item(&self) -> Result<(), NoWay> {
        if self.at.addr() > self.last.addr() {
            return Err(NoWay);
        }
        Ok(())
    }

    /// # Safety
    /// [`Self::item`] answered since the last byte was written, and `length` bytes of the item are written.
    #[inline(always)]
    unsafe fn take(&mut self, length: usize) {
        debug_assert!(length <= ITEM);
        // SAFETY: an item does not go beyond the memory.
        self.at = unsafe { self.at.add(length) };
    }

    /// # Safety
    /// [`Self::item`] answered since the last byte was written; `offset` and the size of `T` are within an item.
    #[inline(always)]
    unsafe fn store<T>(&mut self, offset: usize, value: T) {
        debug_assert!(offset + size_of::<T>() <= ITEM);
        // SAFETY: within the item, for which there is room.
        unsafe { self.at.add(offset).cast::<T>().write_unaligned(value) }
    }

    /// One byte: a tag that is all of a value, or the end of a list.
    #[allow(clippy::missing_errors_doc)]
    #[inline(always)]
    pub fn byte(&mut self, byte: u8) -> Result<(), NoWay> {
        self.item()?;
        // SAFETY: there is room for an item, of which this is one byte.
        unsafe {
            self.store(0, byte);
            self.take(1);
        }
        Ok(())
    }

    /// A tag and a varint.
    #[allow(clippy::missing_errors_doc)]
    #[inline(always)]
    pub fn tagged(&mut self, tag: u8, value: u64) -> Result<(), NoWay> {
        self.item()?;
        if value >> 21 != 0 {
            // SAFETY: there is room for an item.
            unsafe { self.tagged_long(tag, value) };
            return Ok(());
        }
        let (bytes, size) = three_groups(value as u32);
        // SAFETY: there is room for an item, of which these are four bytes at most.
        unsafe {
            self.store(0, (bytes << 8 | u32::from(tag)).to_le());
            self.take(1 + size);
        }
        Ok(())
    }

    /// # Safety
    /// There is room for an item.
    #[inline(never)]
    unsafe fn tagged_long(&mut self, tag: u8, value: u64) {
        // SAFETY: a tag and ten groups of seven bits are within an item.
        unsafe {
            self.store(0, tag);
            if value >> 56 == 0 {
                let (bytes, size) = eight_groups(value);
                self.store(1, bytes.to_le());
                self.take(1 + size);
                return;
            }
            let (mut rest, mut size) = (value, 1);
            while rest >= 0x80 {
                self.store(size, rest as u8 | 0x80);
                rest >>= 7;
                size += 1;
            }
            self.store(size, rest as u8);
            self.take(size + 1);
        }
    }

    /// An integer.
    #[allow(clippy::missing_errors_doc)]
    #[inline(always)]
    pub fn int(&mut self, value: i64) -> Result<(), NoWay> {
        if value as u64 >> 7 == 0 {
            return self.byte(format::SMALL_INT | value as u8);
        }
        self.tagged(format::INT, zigzag(value))
    }

    /// A float. Only finite ones exist.
    #[allow(clippy::missing_errors_doc)]
    #[inline(always)]
    pub fn float(&mut self, value: f64) -> Result<(), NoWay> {
        self.item()?;
        // SAFETY: there is room for an item, of which these are nine bytes.
        unsafe {
            self.store(0, format::FLOAT);
            self.store(1, value.to_bits().to_le());
            self.take(9);
        }
        Ok(())
    }

    /// A name.
    #[allow(clippy::missing_errors_doc)]
    #[inline(always)]
    pub fn atom(&mut self, atom: AtomId) -> Result<(), NoWay> {
        self.tagged(format::ATOM, u64::from(atom.0))
    }

    /// A binary.
    #[allow(clippy::missing_errors_doc)]
    #[inline(always)]
    pub fn binary(&mut self, bytes: &[u8]) -> Result<(), NoWay> {
        if bytes.len() > SHORT {
            return self.long_binary(bytes);
        }
        self.item()?;
        // SAFETY: there is room for an item, which is tag, one byte of length, and up to `SHORT` bytes.
        unsafe {
            self.store(0, [format::BINARY, bytes.len() as u8]);
            copy_short(bytes, self.at.add(2));
            self.take(2 + bytes.len());
        }
        Ok(())
    }

    #[inline(never)]
    fn long_binary(&mut self, bytes: &[u8]) -> Result<(), NoWay> {
        let room = self.last.addr().saturating_sub(self.at.addr());
        // The head is within the item behind `last`.
        if bytes.len() > room {
            return Err(NoWay);
        }
        self.tagged(format::BINARY, bytes.len() as u64)?;
        // SAFETY: before the head there was room for the bytes and an item, and the head took no more than an item.
        unsafe {
            ptr::copy_nonoverlapping(bytes.as_ptr(), self.at, bytes.len());
            self.at = self.at.add(bytes.len());
        }
        Ok(())
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

    impl<R, F: FnOnce(&mut Window<'_>) -> Option<R>> Fill for By<F> {
        type Out = R;

        fn fill(self, window: &mut Window<'_>) -> Option<R> {
            (self.0)(window)
        }
    }

    /// What the window wrote into so many bytes.
    fn windowed(
        room: usize,
        write: impl FnOnce(&mut Window<'_>) -> Result<(), NoWay>,
    ) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        out.in_window(room, By(|window: &mut Window<'_>| write(window).ok()))?;
        Some(out)
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
                    windowed(100, |window| window.tagged(format::PID, value)),
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
    fn a_window_is_left_when_it_is_full_and_nothing_is_kept_then() {
        let bytes = [7; 40];
        for room in Window::LEAST..400 {
            let mut out = vec![1, 2, 3];
            let mut most = 0;
            let full = By(|window: &mut Window<'_>| {
                while window.binary(&bytes).is_ok() && window.int(1 << 40).is_ok() {
                    most = window.written();
                    assert!(most <= room, "{most} of {room}");
                }
                None::<()>
            });
            let left = out.in_window(room, full);
            assert_eq!((left, out), (None, vec![1, 2, 3]));
        }
        let small = Vec::new().in_window(Window::LEAST - 1, By(|_: &mut Window<'_>| Some(())));
        assert_eq!(small, None);
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
