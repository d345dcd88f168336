//! The bytes of all chunks: one allocation, never touched before it is used, never moved.

#![allow(
    unsafe_code,
    reason = "the ring hands out disjoint parts of one buffer to a writer and a reader"
)]

pub(super) use imp::{Chunk, Memory};

#[cfg(not(loom))]
mod imp {
    use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
    use std::mem::MaybeUninit;
    use std::ptr::{self, NonNull};

    /// All chunks.
    #[derive(Debug)]
    pub(in crate::ring) struct Memory {
        base: NonNull<u8>,
        layout: Layout,
        chunk_bytes: usize,
    }

    // SAFETY: the memory is only reached through `Chunk`, whose functions leave it to their callers that nobody writes
    // what another one reads.
    unsafe impl Send for Memory {}
    // SAFETY: as above.
    unsafe impl Sync for Memory {}

    impl Memory {
        pub(in crate::ring) fn new(chunks: usize, chunk_bytes: usize) -> Memory {
            let size = chunks.saturating_mul(chunk_bytes).max(1);
            let Ok(layout) = Layout::from_size_align(size, 64) else {
                handle_alloc_error(Layout::new::<[u8; 64]>());
            };
            // Not zeroed: with this alignment that would touch every page.
            // SAFETY: the layout is not empty.
            let base = unsafe { alloc(layout) };
            let Some(base) = NonNull::new(base) else {
                handle_alloc_error(layout)
            };
            Memory {
                base,
                layout,
                chunk_bytes,
            }
        }

        /// Gives the pages back to the system. The addresses stay valid; what was written there is gone.
        pub(in crate::ring) fn release(&self) {
            #[cfg(unix)]
            {
                const PAGE: usize = 64 * 1024;
                let base = self.base.as_ptr() as usize;
                let start = base.next_multiple_of(PAGE);
                let end = (base + self.layout.size()) / PAGE * PAGE;
                if start < end {
                    // SAFETY: whole pages (of the largest size in use) within the allocation, which nobody reads any more; a
                    // late writer finds zeros. Where the call fails the memory simply stays.
                    unsafe { libc::madvise(start as *mut _, end - start, libc::MADV_DONTNEED) };
                }
            }
        }

        pub(in crate::ring) fn chunk(&self, index: u32) -> Chunk {
            let offset = index as usize * self.chunk_bytes;
            assert!(
                offset + self.chunk_bytes <= self.layout.size(),
                "no chunk {index}"
            );
            // SAFETY: within the allocation, as just checked.
            Chunk(unsafe { self.base.as_ptr().add(offset) })
        }
    }

    impl Drop for Memory {
        fn drop(&mut self) {
            // SAFETY: allocated in `new` with this layout; every `Chunk` is used only while the pool is alive.
            unsafe { dealloc(self.base.as_ptr(), self.layout) }
        }
    }

    /// The bytes of one chunk. Whoever uses it keeps the pool alive.
    #[derive(Clone, Copy, Debug)]
    pub(in crate::ring) struct Chunk(*mut u8);

    // SAFETY: a plain address; its functions say what their callers owe.
    unsafe impl Send for Chunk {}

    impl Chunk {
        /// # Safety
        /// `offset + bytes.len()` is within the chunk; the caller owns the chunk, and nobody reads this part yet.
        #[inline(always)]
        pub(in crate::ring) unsafe fn write(self, offset: usize, bytes: &[u8]) {
            // SAFETY: within the chunk, which the caller owns, so it cannot overlap `bytes` of somebody else.
            unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.0.add(offset), bytes.len()) }
        }

        /// Asks for the cache line at `offset`, to write into it. It need not be within the chunk.
        #[inline(always)]
        pub(in crate::ring) fn prefetch(self, offset: usize) {
            let at = self.0.wrapping_add(offset);
            // SAFETY: a hint, which touches no memory that the program could see and never faults; a processor that does
            // not know it takes it for no operation, as every x86-64 must.
            #[cfg(target_arch = "x86_64")]
            unsafe {
                core::arch::asm!("prefetchw [{}]", in(reg) at, options(nostack, preserves_flags, readonly));
            }
            #[cfg(not(target_arch = "x86_64"))]
            let _ = at;
        }

        /// # Safety
        /// `offset + length` is within the chunk; the caller owns the chunk, nobody reads this part yet, and the slice is
        /// gone before it is reached in another way.
        #[inline(always)]
        pub(in crate::ring) unsafe fn room<'a>(
            self,
            offset: usize,
            length: usize,
        ) -> &'a mut [MaybeUninit<u8>] {
            // SAFETY: within the chunk, and the caller's alone.
            unsafe { std::slice::from_raw_parts_mut(self.0.add(offset).cast(), length) }
        }

        /// # Safety
        /// `offset + length` is within the chunk, written and published; the chunk is pinned, or the caller its owner, for
        /// as long as the slice is used.
        #[inline(always)]
        pub(in crate::ring) unsafe fn slice<'a>(self, offset: usize, length: usize) -> &'a [u8] {
            // SAFETY: within the chunk; written before, so initialised; not written again before it was taken back.
            unsafe { std::slice::from_raw_parts(self.0.add(offset), length) }
        }

        /// The bytes of a record that lies in one piece.
        ///
        /// # Safety
        /// As [`Chunk::slice`].
        #[inline(always)]
        #[allow(
            clippy::needless_lifetimes,
            reason = "as where loom stands in, which uses the scratch"
        )]
        pub(in crate::ring) unsafe fn view<'a>(
            self,
            offset: usize,
            length: usize,
            _scratch: &'a mut Vec<u8>,
        ) -> &'a [u8] {
            // SAFETY: the caller's.
            unsafe { self.slice(offset, length) }
        }

        /// # Safety
        /// As [`Chunk::slice`], for the time of this call.
        #[inline(always)]
        pub(in crate::ring) unsafe fn read<const N: usize>(self, offset: usize) -> [u8; N] {
            let mut out = [0; N];
            // SAFETY: the caller's; copied at once.
            out.copy_from_slice(unsafe { self.slice(offset, N) });
            out
        }

        /// # Safety
        /// As [`Chunk::read`].
        pub(in crate::ring) unsafe fn append_to(
            self,
            offset: usize,
            length: usize,
            out: &mut Vec<u8>,
        ) {
            // SAFETY: the caller's; copied at once.
            out.extend_from_slice(unsafe { self.slice(offset, length) });
        }
    }
}

/// Under loom each byte is a cell of its own, so that loom sees each race.
#[cfg(loom)]
mod imp {
    use loom::cell::UnsafeCell;

    #[derive(Debug)]
    pub(in crate::ring) struct Memory {
        cells: Box<[UnsafeCell<u8>]>,
        chunk_bytes: usize,
    }

    impl Memory {
        pub(in crate::ring) fn new(chunks: usize, chunk_bytes: usize) -> Memory {
            let cells = (0..chunks * chunk_bytes)
                .map(|_| UnsafeCell::new(0))
                .collect();
            Memory { cells, chunk_bytes }
        }

        pub(in crate::ring) fn release(&self) {}

        pub(in crate::ring) fn chunk(&self, index: u32) -> Chunk {
            let offset = index as usize * self.chunk_bytes;
            Chunk(&raw const self.cells[offset..offset + self.chunk_bytes])
        }
    }

    // SAFETY: loom checks each access.
    unsafe impl Send for Memory {}
    // SAFETY: loom checks each access.
    unsafe impl Sync for Memory {}

    #[derive(Clone, Copy, Debug)]
    pub(in crate::ring) struct Chunk(*const [UnsafeCell<u8>]);

    // SAFETY: loom checks each access.
    unsafe impl Send for Chunk {}

    impl Chunk {
        pub(in crate::ring) unsafe fn write(self, offset: usize, bytes: &[u8]) {
            // SAFETY: the pool outlives its users.
            let cells = unsafe { &*self.0 };
            for (cell, byte) in cells[offset..offset + bytes.len()].iter().zip(bytes) {
                // SAFETY: loom checks it.
                cell.with_mut(|cell| unsafe { *cell = *byte });
            }
        }

        pub(in crate::ring) unsafe fn view<'a>(
            self,
            offset: usize,
            length: usize,
            scratch: &'a mut Vec<u8>,
        ) -> &'a [u8] {
            scratch.clear();
            // SAFETY: the caller's.
            unsafe { self.append_to(offset, length, scratch) };
            scratch
        }

        pub(in crate::ring) unsafe fn read<const N: usize>(self, offset: usize) -> [u8; N] {
            let mut out = Vec::new();
            // SAFETY: the caller's.
            unsafe { self.append_to(offset, N, &mut out) };
            out.try_into().unwrap_or([0; N])
        }

        pub(in crate::ring) unsafe fn append_to(
            self,
            offset: usize,
            length: usize,
            out: &mut Vec<u8>,
        ) {
            // SAFETY: the pool outlives its users.
            let cells = unsafe { &*self.0 };
            for cell in &cells[offset..offset + length] {
                // SAFETY: loom checks it.
                out.push(cell.with(|cell| unsafe { *cell }));
            }
        }
    }
}
