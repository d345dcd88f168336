//! The reading of one term, by a [`Layout`].

use elixir_scope_engine::event::AtomId;

use super::hamt::{Halt, Hamt, Lockstep};
use super::layout::{
    ATOM, BOXED, FunSizes, IMMEDIATE, KIND, KIND_BITS, Kind, Layout, NIL, PID, PORT, PRIMARY,
    SMALL, TUPLE, address, is_boxed, is_cell, pointer,
};
use crate::term::{Bits, Fun, RefNumbers, See, SeeChanges, Shape, Word};

/// The word of a reference that shows that it is an ordinary one, where another would have a pointer's low half.
const ORDINARY_REF: u32 = u32::MAX;
/// `ErlSubBits`: the flags in the low bits of the base pointer, and the one that says that the bytes may have moved since.
const SUB_BITS_FLAGS: Word = 0b11;
const SUB_BITS_VOLATILE: Word = 0b10;

/// The elements of a tuple, if it is one.
///
/// # Safety
/// As for [`Layout::other_shape`], and that a tuple's header is [`TUPLE`] was learnt.
#[inline(always)]
pub(super) unsafe fn tuple<'t>(term: Word) -> Option<&'t [Word]> {
    if !is_boxed(term) {
        return None;
    }
    let thing = pointer(term);
    // SAFETY: every boxed term has a header; behind that of a tuple stand as many words as it says.
    unsafe {
        let header = thing.read();
        (header & KIND == TUPLE).then(|| words(thing.add(1), header >> KIND_BITS))
    }
}

impl Layout {
    /// Shows `term` to `see`: in few instructions where it is of the shapes that most terms have, as `other` finds it
    /// elsewhere.
    ///
    /// # Safety
    /// As for [`Self::other_shape`].
    #[inline(always)]
    pub unsafe fn look<'t, S: See<'t>>(
        &self,
        term: Word,
        see: S,
        other: impl FnOnce() -> Shape<'t>,
    ) -> S::Out {
        if is_boxed(term) {
            let thing = pointer(term);
            // SAFETY: every boxed term has a header; for the rest, see `other_shape`.
            unsafe {
                let header = thing.read();
                match self.kind(header) {
                    Kind::Tuple => {
                        return see.see(Shape::Tuple(words(thing.add(1), header >> KIND_BITS)));
                    }
                    Kind::HeapBinary => {
                        let start = thing.add(2).cast();
                        return see.see(Shape::Binary(bytes(start, thing.add(1).read())));
                    }
                    Kind::HeapBits if thing.add(1).read() & 7 == 0 => {
                        let start = thing.add(2).cast();
                        return see.see(Shape::Binary(bytes(start, thing.add(1).read() >> 3)));
                    }
                    Kind::Map => {
                        if let Some((keys, values)) = flat_map(thing, header) {
                            return see.see(Shape::FlatMap(keys, values));
                        }
                    }
                    _ => {}
                }
            }
        } else if term & IMMEDIATE == SMALL {
            return see.see(Shape::Int((term as isize >> 4) as i64));
        } else if term & KIND == ATOM {
            return see.see(Shape::Atom(atom_id(term)));
        } else if is_cell(term) {
            let cell = pointer(term);
            // SAFETY: the tag says that a list cell stands there, which is two words.
            return unsafe { see.see(Shape::Cons(cell.read(), cell.add(1).read())) };
        } else if term == NIL {
            return see.see(Shape::Nil);
        } else if term & IMMEDIATE == PID {
            return see.see(Shape::Pid(term as u64));
        }
        see.see(other())
    }

    /// The bytes of a reference's numbers where they stand in the term, if it is one that has them there, on a little-endian
    /// machine.
    ///
    /// # Safety
    /// As for [`Self::other_shape`].
    #[inline(always)]
    pub unsafe fn reference_in_place<'t>(&self, term: Word) -> Option<&'t [u8]> {
        if !is_boxed(term) || cfg!(target_endian = "big") {
            return None;
        }
        let thing = pointer(term);
        // SAFETY: as in `reference`: of the two that are told apart here the numbers stand behind the marker.
        unsafe {
            let header = thing.read();
            if self.kind(header) != Kind::Ref {
                return None;
            }
            let halves = thing.add(1).cast::<u32>();
            let numbers = if header == self.pid_ref_header {
                self.pid_ref_numbers.into()
            } else if header == self.ref_header && halves.read() == ORDINARY_REF {
                3
            } else {
                return None;
            };
            Some(bytes(halves.add(1).cast(), numbers * size_of::<u32>()))
        }
    }

    /// Keys and values of a flat map; `None` of anything else, and where maps were not learnt.
    ///
    /// # Safety
    /// As for [`Self::other_shape`].
    #[inline(always)]
    pub unsafe fn flat_map<'t>(&self, term: Word) -> Option<(&'t [Word], &'t [Word])> {
        if !is_boxed(term) {
            return None;
        }
        let thing = pointer(term);
        // SAFETY: every boxed term has a header.
        unsafe {
            let header = thing.read();
            (self.kind(header) == Kind::Map)
                .then(|| flat_map(thing, header))
                .flatten()
        }
    }

    /// What `term` is if [`Self::look`] asks for it; `None` for what was not learnt.
    ///
    /// # Safety
    /// `term` is a term of the calling NIF's environment, and `'t` ends with that call.
    #[inline(always)]
    pub unsafe fn other_shape<'t>(&self, term: Word) -> Option<Shape<'t>> {
        if !is_boxed(term) {
            return match term & IMMEDIATE {
                PORT => Some(Shape::Port(term as u64)),
                _ => None,
            };
        }
        let thing = pointer(term);
        // SAFETY: every boxed term has a header. What is read beyond it belongs to the kind that the header says, in which
        // the learner found it on terms of the same kind; sizes are those that the header or the word behind it gives.
        // The VM moves and frees nothing while the NIF call runs that the term came in.
        unsafe {
            let header = thing.read();
            match self.kind(header) {
                Kind::HeapBits => Some(bits(thing.add(2).cast(), 0, thing.add(1).read())),
                Kind::ProcBin if header == self.proc_bin_header => {
                    let start = thing.add(self.proc_bin_bytes).read();
                    Some(Shape::Binary(bytes(address(start), thing.add(1).read())))
                }
                Kind::SubBinary if header == self.sub_binary_header => self.sub_binary(thing),
                Kind::SubBits if header == self.sub_bits_header => self.sub_bits(thing),
                Kind::Float if header == self.float_header => {
                    Some(Shape::Float(f64::from_bits(thing.add(1).read() as u64)))
                }
                Kind::Map if self.hamt && header >> KIND_BITS & 0b11 != 0 => Some(Shape::Map),
                kind @ (Kind::PositiveBig | Kind::NegativeBig) => {
                    Some(big(thing, header >> KIND_BITS, kind == Kind::NegativeBig))
                }
                Kind::Ref => self.reference(thing, header),
                Kind::Fun => self.any_fun(thing, header),
                _ => None,
            }
        }
    }

    /// A walk through the pairs of a [`Shape::Map`]; `None` of anything else.
    ///
    /// # Safety
    /// As for [`Self::other_shape`].
    pub unsafe fn walk(&self, term: Word) -> Option<Hamt> {
        // SAFETY: the caller's promise.
        unsafe { Hamt::new(term, self.trie_kind(term)?, self.collisions) }
    }

    /// Tells what changed from one [`Shape::Map`] to another; `None` of anything else, [`Halt::Unknown`] in the midst of it
    /// where a node was not learnt.
    ///
    /// # Safety
    /// As for [`Self::other_shape`], of both terms.
    pub unsafe fn changes<S: SeeChanges>(
        &self,
        old: Word,
        new: Word,
        see: &mut S,
    ) -> Option<Result<(), Halt<S::Stop>>> {
        // SAFETY: the caller's promise.
        unsafe {
            let (kind, other) = (self.trie_kind(old)?, self.trie_kind(new)?);
            (kind == other).then(|| Lockstep::compare(old, new, kind, self.collisions, see))
        }
    }

    /// How many pairs a [`Shape::Map`] has; `None` of anything else.
    ///
    /// # Safety
    /// As for [`Self::other_shape`].
    pub unsafe fn trie_size(&self, term: Word) -> Option<usize> {
        // SAFETY: behind the header of a root stands the size.
        unsafe { self.trie_kind(term).map(|_| pointer(term).add(1).read()) }
    }

    /// The header kind of the nodes of a [`Shape::Map`]; `None` of anything else.
    ///
    /// # Safety
    /// As for [`Self::other_shape`].
    unsafe fn trie_kind(&self, term: Word) -> Option<Word> {
        if !self.hamt || !is_boxed(term) {
            return None;
        }
        // SAFETY: every boxed term has a header; that of a trie says that it is one.
        let header = unsafe { pointer(term).read() };
        let is_trie = self.kind(header) == Kind::Map && header >> KIND_BITS & 0b11 != 0;
        is_trie.then_some(header & KIND)
    }

    /// # Safety
    /// `thing` is an `ErlSubBin`.
    unsafe fn sub_binary<'t>(&self, thing: *const Word) -> Option<Shape<'t>> {
        // SAFETY: header, size in bytes, offset in bytes, three bytes of which the first two are bits of size and of
        // offset, original. The original's header is compared before it is read.
        unsafe {
            let (size, offset, original) = (
                thing.add(1).read(),
                thing.add(2).read(),
                thing.add(4).read(),
            );
            let (bit_size, bit_offset) = (
                thing.add(3).cast::<u8>().read(),
                thing.add(3).cast::<u8>().add(1).read(),
            );
            if original & PRIMARY != BOXED || (bit_offset != 0 && !self.unaligned) {
                return None;
            }
            let original = pointer(original);
            let start: *const u8 = match self.kind(original.read()) {
                Kind::HeapBinary => original.add(2).cast(),
                Kind::ProcBin if original.read() == self.proc_bin_header => {
                    address(original.add(self.proc_bin_bytes).read())
                }
                _ => return None,
            };
            Some(bits(
                start.add(offset),
                bit_offset.into(),
                size * 8 + usize::from(bit_size),
            ))
        }
    }

    /// # Safety
    /// `thing` is an `ErlSubBits`.
    unsafe fn sub_bits<'t>(&self, thing: *const Word) -> Option<Shape<'t>> {
        // SAFETY: header, base with flags, start and end in bits, original. A base that may have moved is taken from the
        // `Binary` behind the original, whose header is compared before it is read.
        unsafe {
            let (base, start, end) = (
                thing.add(1).read(),
                thing.add(2).read(),
                thing.add(3).read(),
            );
            let mut from = base & !SUB_BITS_FLAGS;
            if base & SUB_BITS_VOLATILE != 0 {
                let original = thing.add(4).read();
                if self.binary_bytes == 0 || original & PRIMARY != BOXED {
                    return None;
                }
                let original = pointer(original);
                if original.read() != self.bin_ref_header {
                    return None;
                }
                from = original.add(1).read() + self.binary_bytes;
            }
            if end < start || (start & 7 != 0 && !self.unaligned) {
                return None;
            }
            Some(bits(address(from + (start >> 3)), start & 7, end - start))
        }
    }

    /// # Safety
    /// `thing` is a local reference with this header.
    unsafe fn reference<'t>(&self, thing: *const Word, header: Word) -> Option<Shape<'t>> {
        // SAFETY: an ordinary reference is header, marker, three numbers, 32 bits each but the header; one of an alias
        // the same with a process behind it; a magic one header and pointer to its `MagicBinary`, whose low half is no
        // marker since it is aligned.
        unsafe {
            let halves = thing.add(1).cast::<u32>();
            if header == self.pid_ref_header {
                let mut words = halves.add(1).cast::<[u32; 5]>().read();
                if self.pid_ref_numbers == 3 {
                    words = [words[0], words[1], words[2], 0, 0];
                }
                return Some(Shape::Ref(RefNumbers {
                    words,
                    count: self.pid_ref_numbers,
                }));
            }
            if header != self.ref_header {
                return None;
            }
            let numbers: *const u32 = if halves.read() == ORDINARY_REF {
                halves.add(1)
            } else if self.magic_numbers != 0 {
                address::<u8>(thing.add(1).read())
                    .add(self.magic_numbers)
                    .cast()
            } else {
                return None;
            };
            let words = [
                numbers.read(),
                numbers.add(1).read(),
                numbers.add(2).read(),
                0,
                0,
            ];
            Some(Shape::Ref(RefNumbers { words, count: 3 }))
        }
    }

    /// # Safety
    /// `thing` is an `ErlFunThing` with this header.
    unsafe fn any_fun<'t>(&self, thing: *const Word, header: Word) -> Option<Shape<'t>> {
        // SAFETY: the second word of a fun points to its entry, an `Export` of an external fun, which is never freed.
        unsafe {
            match self.is_local(thing, header) {
                Some(true) => return self.local_funs.then_some(Shape::Fun),
                Some(false) if self.exports => {}
                _ => return None,
            }
            let mfa = address::<u8>(thing.add(1).read())
                .add(self.export_mfa)
                .cast::<Word>();
            let (module, function, arity) = (mfa.read(), mfa.add(1).read(), mfa.add(2).read());
            if module & KIND != ATOM || function & KIND != ATOM {
                return None;
            }
            Some(Shape::Export(
                atom_id(module),
                atom_id(function),
                arity as u32,
            ))
        }
    }

    /// # Safety
    /// `thing` is an `ErlFunThing` with this header.
    unsafe fn is_local(&self, thing: *const Word, header: Word) -> Option<bool> {
        match self.fun_sizes {
            // SAFETY: the creator's word stands before the environment.
            FunSizes::Thing(_) => unsafe {
                Some(thing.add(self.fun_env - 1).read() & KIND != ATOM)
            },
            FunSizes::HeaderAndReference => Some(header >> 16 != 0),
            FunSizes::Header => match header >> 24 {
                0 => Some(true),
                1 => Some(false),
                _ => None,
            },
        }
    }

    /// The parts of a local fun; `None` of anything else.
    ///
    /// # Safety
    /// As for [`Self::other_shape`].
    pub unsafe fn fun<'t>(&self, term: Word) -> Option<Fun<'t>> {
        if !self.local_funs || term & PRIMARY != BOXED {
            return None;
        }
        let thing = pointer(term);
        // SAFETY: the header is compared first. Arity and size of the environment are where the learner found them, and the
        // second word points to the fun's entry, which lives as long as a fun points to it.
        unsafe {
            let header = thing.read();
            if self.kind(header) != Kind::Fun || self.is_local(thing, header) != Some(true) {
                return None;
            }
            let (arity, free, creator) = match self.fun_sizes {
                FunSizes::HeaderAndReference => {
                    ((header >> 8) as u8, (header >> 16) - 1, self.creator)
                }
                FunSizes::Header => ((header >> 8) as u8, header >> 16, self.creator),
                FunSizes::Thing(offset) => {
                    let sizes = thing.cast::<u8>().add(offset);
                    (
                        sizes.read(),
                        sizes.add(1).read().into(),
                        Some(thing.add(self.fun_env - 1).read()),
                    )
                }
            };
            let entry = address::<u8>(thing.add(1).read());
            let number = |offset: usize| entry.add(offset).cast::<u32>().read_unaligned();
            Some(Fun {
                module: atom_id(entry.add(self.entry_module).cast::<Word>().read()),
                arity,
                index: number(self.entry_index),
                uniq: entry.add(self.entry_uniq).cast::<[u8; 16]>().read(),
                old_index: number(self.entry_old_index),
                old_uniq: number(self.entry_old_uniq),
                creator,
                env: words(thing.add(self.fun_env), free),
            })
        }
    }
}

/// Keys and values of a flat map; `None` of another map.
///
/// # Safety
/// `thing` is a map with this header.
#[inline(always)]
unsafe fn flat_map<'t>(thing: *const Word, header: Word) -> Option<(&'t [Word], &'t [Word])> {
    if header >> KIND_BITS & 0b11 != 0 {
        return None;
    }
    // SAFETY: a flat map is header, size, tuple of the keys, values; the tuple's header is compared before its elements
    // are read.
    unsafe {
        let (size, keys) = (thing.add(1).read(), thing.add(2).read());
        if !is_boxed(keys) {
            return None;
        }
        let keys = pointer(keys);
        let sized = keys.read() == size << KIND_BITS | TUPLE;
        sized.then(|| (words(keys.add(1), size), words(thing.add(3), size)))
    }
}

/// Head and tail of a list cell; `None` of anything else.
///
/// # Safety
/// `term` is a term of the calling NIF's environment.
#[inline(always)]
pub(super) unsafe fn cell(term: Word) -> Option<(Word, Word)> {
    if !is_cell(term) {
        return None;
    }
    let cell = pointer(term);
    // SAFETY: the tag says that a list cell stands there, which is two words.
    Some(unsafe { (cell.read(), cell.add(1).read()) })
}

/// The first element of a pair, if it is a small integer and the term a pair.
///
/// # Safety
/// `term` is a term of the calling NIF's environment.
#[inline(always)]
pub(super) unsafe fn first_of_pair(term: Word) -> Option<u64> {
    if term & PRIMARY != BOXED {
        return None;
    }
    let thing = pointer(term);
    // SAFETY: every boxed term has a header; a pair's is followed by its elements.
    unsafe {
        if thing.read() != 2 << KIND_BITS | TUPLE {
            return None;
        }
        let first = thing.add(1).read();
        (first & IMMEDIATE == SMALL && (first as isize) >= 0).then_some(first as u64 >> 4)
    }
}

#[inline(always)]
fn atom_id(term: Word) -> AtomId {
    AtomId((term >> 6) as u32)
}

/// # Safety
/// `thing` is a bignum of so many digits.
unsafe fn big<'t>(thing: *const Word, digits: usize, negative: bool) -> Shape<'t> {
    // SAFETY: the digits follow the header.
    let digits = unsafe { words(thing.add(1), digits) };
    if let &[digit] = digits {
        // what -(2^63) takes is one more than what 2^63 - 1 takes
        let signed = if negative {
            (digit as i64).wrapping_neg()
        } else {
            digit as i64
        };
        if (signed < 0) == negative {
            return Shape::Int(signed);
        }
    }
    // SAFETY: the same memory, seen as bytes: little-endian, as the learner made sure.
    Shape::Big(negative, unsafe {
        bytes(digits.as_ptr().cast(), size_of_val(digits))
    })
}

/// A binary, or a bit string if it does not start and end at a byte; `offset` is below 8.
///
/// # Safety
/// From bit `offset` after `start` the memory holds so many bits, for `'t`.
#[inline(always)]
unsafe fn bits<'t>(start: *const u8, offset: usize, bits: usize) -> Shape<'t> {
    // SAFETY: the caller's promise.
    let bytes = unsafe { bytes(start, (offset + bits).div_ceil(8)) };
    if (offset | bits & 7) == 0 {
        Shape::Binary(bytes)
    } else {
        Shape::Bits(Bits {
            bytes,
            offset: offset as u8,
            bits: bits as u64,
        })
    }
}

/// # Safety
/// So many words stand at `start` for `'t`.
#[inline(always)]
unsafe fn words<'t>(start: *const Word, length: usize) -> &'t [Word] {
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(start, length) }
}

/// # Safety
/// So many bytes stand at `start` for `'t`, if any.
#[inline(always)]
unsafe fn bytes<'t>(start: *const u8, length: usize) -> &'t [u8] {
    if length == 0 {
        return &[]; // whatever the pointer
    }
    // SAFETY: the caller's promise. A binary that its owner appends to may be moved, but only by that process, which is in
    // this NIF call.
    unsafe { std::slice::from_raw_parts(start, length) }
}
