//! Where encoded bytes go: a record in a ring, or a vector.

use crate::ring::{Fill, Window};

/// The sink cannot take more: the ring is full, or the record too big for it. The record will be counted as lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

/// Takes encoded bytes, in order.
pub trait Sink {
    /// Appends `bytes`, all of them or, with [`Full`], none that will ever be seen.
    ///
    /// # Errors
    /// [`Full`] as above; every later call answers the same.
    fn put(&mut self, bytes: &[u8]) -> Result<(), Full>;

    /// Appends the first `length` bytes of `bytes` (at most 16): small items of fixed room, which a ring copies as two
    /// words without a loop.
    ///
    /// # Errors
    /// As [`Sink::put`].
    #[inline]
    fn put_small(&mut self, bytes: &[u8; 16], length: usize) -> Result<(), Full> {
        self.put(bytes.get(..length).unwrap_or(bytes))
    }

    /// Lets `fill` write at most `most` bytes into a window, if there is room for that in one piece. If it gives the window
    /// back, what it wrote is appended, and the answer is true; otherwise, nothing is. This may shrink the window, or answer
    /// false without asking.
    #[inline]
    fn in_window(&mut self, _most: usize, _fill: impl Fill) -> bool {
        false
    }

    /// Told of each mark that stands in the place of something missing.
    #[inline]
    fn marked(&mut self) {}
}

/// Passes bytes on, and remembers whether something is missing among them.
#[derive(Debug)]
pub struct Watched<'s, S> {
    sink: &'s mut S,
    is_whole: bool,
}

impl<'s, S> Watched<'s, S> {
    /// Nothing is missing yet.
    #[inline]
    pub fn new(sink: &'s mut S) -> Self {
        Watched {
            sink,
            is_whole: true,
        }
    }

    /// Whether nothing is missing.
    #[inline]
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }
}

impl<S: Sink> Sink for Watched<'_, S> {
    #[inline(always)]
    fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        self.sink.put(bytes)
    }

    #[inline(always)]
    fn put_small(&mut self, bytes: &[u8; 16], length: usize) -> Result<(), Full> {
        self.sink.put_small(bytes, length)
    }

    #[inline(always)]
    fn in_window(&mut self, most: usize, fill: impl Fill) -> bool {
        self.sink.in_window(most, fill)
    }

    #[inline]
    fn marked(&mut self) {
        self.is_whole = false;
        self.sink.marked();
    }
}

impl Sink for Vec<u8> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        self.extend_from_slice(bytes);
        Ok(())
    }

    #[inline]
    fn put_small(&mut self, bytes: &[u8; 16], length: usize) -> Result<(), Full> {
        let end = self.len() + length.min(bytes.len());
        // a copy of fixed size is two moves, one of any size a call
        self.extend_from_slice(bytes);
        self.truncate(end);
        Ok(())
    }

    #[inline]
    fn in_window(&mut self, most: usize, fill: impl Fill) -> bool {
        Window::behind(self, most, fill)
    }
}
