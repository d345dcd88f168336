//! Where the VM at hand keeps what, as learnt from terms of our own; and the reading of words by it.
//!
//! The names are those of `erl_term.h`, `erl_map.h`, `erl_bits.h` and `erl_fun.h` in the emulator's source. Only the way of
//! reading is written down here. Every number that a release may change (the kinds of headers, offsets into structures) is
//! a field of [`Layout`] that the learner fills in, and what is taken for granted (the primary tags, the words of a list
//! cell) it tests before anything is read by it.

use elixir_scope_engine::event::AtomId;

use super::hamt::Hamt;
use crate::term::{Bits, Fun, RefNumbers, Shape, Word};

/// The two low bits of a word.
const PRIMARY: Word = 0b11;
const LIST: Word = 0b01;
pub(super) const BOXED: Word = 0b10;
/// Tags of immediates: pids, ports and small integers have four bits, atoms and the empty list six.
const PID: Word = 0b0011;
const PORT: Word = 0b0111;
const SMALL: Word = 0b1111;
const ATOM: Word = 0b00_1011;
pub(super) const NIL: Word = 0b11_1011;
/// The low bits of a pointer's word that are no part of the address; one of them marks literals.
const POINTER_TAG: Word = 0b111;
/// A header's kind, and above it what the kind says of the size.
pub(super) const KIND: Word = 0b11_1111;
pub(super) const KIND_BITS: u32 = 6;
/// Kind of a tuple's header.
pub(super) const TUPLE: Word = 0;
/// The word of a reference that shows that it is an ordinary one, where another would have a pointer's low half.
const ORDINARY_REF: u32 = u32::MAX;
/// `ErlSubBits`: the flags in the low bits of the base pointer, and the one that says that the bytes may have moved since.
const SUB_BITS_FLAGS: Word = 0b11;
const SUB_BITS_VOLATILE: Word = 0b10;

/// What a header's low six bits mean.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Not learnt, failed its test, or rare.
    Unknown,
    Tuple,
    PositiveBig,
    NegativeBig,
    Float,
    /// A binary on the heap whose size counts bytes (before OTP 27).
    HeapBinary,
    /// A bit string on the heap whose size counts bits (since OTP 27).
    HeapBits,
    /// A handle to bytes off the heap (before OTP 27).
    ProcBin,
    /// A part of one of the two (before OTP 27).
    SubBinary,
    /// A part of a `BinRef`, which has no term of its own (since OTP 27).
    SubBits,
    Map,
    Ref,
    Fun,
}

/// How a fun says its arity, and the size of its environment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum FunSizes {
    /// In two bytes at this offset; the creator's word stands before the environment and is an atom in external funs.
    InThing(usize),
    /// In the header: the arity from bit 8, from bit 16 the values of the environment and one more, 0 in external funs
    /// (OTP 27, which keeps a reference to the entry behind the values).
    InHeaderWithReference,
    /// In the header: the arity from bit 8, from bit 16 the values of the environment, in bit 24 whether it is external
    /// (OTP 29).
    InHeader,
}

/// What was learnt. Offsets into terms count words, offsets into structures of the VM bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub kinds: [Kind; 64],
    pub float_header: Word,
    pub proc_bin_header: Word,
    /// Where a `ProcBin` points to its bytes.
    pub proc_bin_bytes: usize,
    pub sub_binary_header: Word,
    pub sub_bits_header: Word,
    pub bin_ref_header: Word,
    /// From a `Binary` to its bytes; 0 until a binary that grew was seen.
    pub binary_bytes: usize,
    /// Whether parts of binaries that start inside of a byte were seen.
    pub unaligned: bool,
    pub hamt: bool,
    /// Whether nodes of colliding keys were seen.
    pub collisions: bool,
    pub ref_header: Word,
    pub pid_ref_header: Word,
    /// How many numbers the reference of an alias has: 3, or 5 with those of its process.
    pub pid_ref_numbers: u8,
    /// From a `MagicBinary` to the numbers of its reference; 0 if not learnt.
    pub magic_numbers: usize,
    pub fun_sizes: FunSizes,
    /// Where the environment starts.
    pub fun_env: usize,
    /// Into an `ErlFunEntry`.
    pub entry_module: usize,
    pub entry_index: usize,
    pub entry_uniq: usize,
    pub entry_old_index: usize,
    pub entry_old_uniq: usize,
    /// Where the creator of a fun is not kept, what the VM says for it.
    pub creator: Option<Word>,
    /// Whether external funs were learnt; and into an `Export`, to module, function and arity, a word each.
    pub exports: bool,
    pub export_mfa: usize,
    pub local_funs: bool,
}

impl Layout {
    /// Nothing learnt.
    pub const NONE: Layout = Layout {
        kinds: [Kind::Unknown; 64],
        float_header: 0,
        proc_bin_header: 0,
        proc_bin_bytes: 0,
        sub_binary_header: 0,
        sub_bits_header: 0,
        bin_ref_header: 0,
        binary_bytes: 0,
        unaligned: false,
        hamt: false,
        collisions: false,
        ref_header: 0,
        pid_ref_header: 0,
        pid_ref_numbers: 0,
        magic_numbers: 0,
        fun_sizes: FunSizes::InHeader,
        fun_env: 0,
        entry_module: 0,
        entry_index: 0,
        entry_uniq: 0,
        entry_old_index: 0,
        entry_old_uniq: 0,
        creator: None,
        exports: false,
        export_mfa: 0,
        local_funs: false,
    };

    /// What `header` is the header of.
    #[inline(always)]
    #[allow(clippy::indexing_slicing, reason = "six bits into 64 entries")]
    pub fn kind(&self, header: Word) -> Kind {
        self.kinds[header & KIND]
    }

    /// What `term` is, or `None` for what was not learnt.
    ///
    /// # Safety
    /// `term` is a term of the calling NIF's environment, and `'t` ends with that call.
    #[inline(always)]
    pub unsafe fn shape<'t>(&self, term: Word) -> Option<Shape<'t, Hamt>> {
        match term & PRIMARY {
            LIST => {
                let cell = pointer(term);
                // SAFETY: the tag says that a list cell stands there, which is two words.
                unsafe { Some(Shape::Cons(cell.read(), cell.add(1).read())) }
            }
            // SAFETY: the tag says that a boxed term stands there; the rest is the caller's promise.
            BOXED => unsafe { self.boxed(term) },
            PRIMARY => immediate(term),
            _ => None,
        }
    }

    /// # Safety
    /// As for [`Self::shape`], and `term` is a pointer to a boxed term.
    #[inline(always)]
    unsafe fn boxed<'t>(&self, term: Word) -> Option<Shape<'t, Hamt>> {
        let thing = pointer(term);
        // SAFETY: every boxed term has a header. What is read beyond it belongs to the kind that the header says, in which
        // the learner found it on terms of the same kind; sizes are those that the header or the word behind it gives.
        // The VM moves and frees nothing while the NIF call runs that the term came in.
        unsafe {
            let header = thing.read();
            match self.kind(header) {
                Kind::Tuple => Some(Shape::Tuple(words(thing.add(1), header >> KIND_BITS))),
                Kind::Map => self.map(term, thing, header),
                Kind::HeapBinary => Some(Shape::Binary(bytes(thing.add(2).cast(), thing.add(1).read()))),
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
                kind @ (Kind::PositiveBig | Kind::NegativeBig) => {
                    Some(big(thing, header >> KIND_BITS, kind == Kind::NegativeBig))
                }
                Kind::Ref => self.reference(thing, header),
                Kind::Fun => self.any_fun(thing, header),
                _ => None,
            }
        }
    }

    /// # Safety
    /// `thing` is a map with this header, and `term` points to it.
    #[inline(always)]
    unsafe fn map<'t>(&self, term: Word, thing: *const Word, header: Word) -> Option<Shape<'t, Hamt>> {
        // SAFETY: a flat map is header, size, tuple of the keys, values; the tuple's header is compared before its
        // elements are read.
        unsafe {
            if header >> KIND_BITS & 0b11 == 0 {
                let (size, keys) = (thing.add(1).read(), thing.add(2).read());
                if keys & PRIMARY != BOXED {
                    return None;
                }
                let keys = pointer(keys);
                if keys.read() != size << KIND_BITS | TUPLE {
                    return None;
                }
                return Some(Shape::FlatMap(words(keys.add(1), size), words(thing.add(3), size)));
            }
            if !self.hamt {
                return None;
            }
            Hamt::new(term, header & KIND, self.collisions).map(Shape::Map)
        }
    }

    /// # Safety
    /// `thing` is an `ErlSubBin`.
    #[inline(always)]
    unsafe fn sub_binary<'t>(&self, thing: *const Word) -> Option<Shape<'t, Hamt>> {
        // SAFETY: header, size in bytes, offset in bytes, three bytes of which the first two are bits of size and of
        // offset, original. The original's header is compared before it is read.
        unsafe {
            let (size, offset, original) = (thing.add(1).read(), thing.add(2).read(), thing.add(4).read());
            let (bit_size, bit_offset) = (thing.add(3).cast::<u8>().read(), thing.add(3).cast::<u8>().add(1).read());
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
            Some(bits(start.add(offset), bit_offset.into(), size * 8 + usize::from(bit_size)))
        }
    }

    /// # Safety
    /// `thing` is an `ErlSubBits`.
    #[inline(always)]
    unsafe fn sub_bits<'t>(&self, thing: *const Word) -> Option<Shape<'t, Hamt>> {
        // SAFETY: header, base with flags, start and end in bits, original. A base that may have moved is taken from the
        // `Binary` behind the original, whose header is compared before it is read.
        unsafe {
            let (base, start, end) = (thing.add(1).read(), thing.add(2).read(), thing.add(3).read());
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
    unsafe fn reference<'t>(&self, thing: *const Word, header: Word) -> Option<Shape<'t, Hamt>> {
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
                return Some(Shape::Ref(RefNumbers { words, count: self.pid_ref_numbers }));
            }
            if header != self.ref_header {
                return None;
            }
            let numbers: *const u32 = if halves.read() == ORDINARY_REF {
                halves.add(1)
            } else if self.magic_numbers != 0 {
                address::<u8>(thing.add(1).read()).add(self.magic_numbers).cast()
            } else {
                return None;
            };
            let words = [numbers.read(), numbers.add(1).read(), numbers.add(2).read(), 0, 0];
            Some(Shape::Ref(RefNumbers { words, count: 3 }))
        }
    }

    /// # Safety
    /// `thing` is an `ErlFunThing` with this header.
    unsafe fn any_fun<'t>(&self, thing: *const Word, header: Word) -> Option<Shape<'t, Hamt>> {
        // SAFETY: the second word of a fun points to its entry, an `Export` of an external fun, which is never freed.
        unsafe {
            match self.is_local(thing, header) {
                Some(true) => return self.local_funs.then_some(Shape::Fun),
                Some(false) if self.exports => {}
                _ => return None,
            }
            let mfa = address::<u8>(thing.add(1).read()).add(self.export_mfa).cast::<Word>();
            let (module, function, arity) = (mfa.read(), mfa.add(1).read(), mfa.add(2).read());
            if module & KIND != ATOM || function & KIND != ATOM {
                return None;
            }
            Some(Shape::Export(atom_id(module), atom_id(function), arity as u32))
        }
    }

    /// # Safety
    /// `thing` is an `ErlFunThing` with this header.
    unsafe fn is_local(&self, thing: *const Word, header: Word) -> Option<bool> {
        match self.fun_sizes {
            // SAFETY: the creator's word stands before the environment.
            FunSizes::InThing(_) => unsafe { Some(thing.add(self.fun_env - 1).read() & KIND != ATOM) },
            FunSizes::InHeaderWithReference => Some(header >> 16 != 0),
            FunSizes::InHeader => match header >> 24 {
                0 => Some(true),
                1 => Some(false),
                _ => None,
            },
        }
    }

    /// The parts of a local fun; `None` of anything else.
    ///
    /// # Safety
    /// As for [`Self::shape`].
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
                FunSizes::InHeaderWithReference => ((header >> 8) as u8, (header >> 16) - 1, self.creator),
                FunSizes::InHeader => ((header >> 8) as u8, header >> 16, self.creator),
                FunSizes::InThing(offset) => {
                    let sizes = thing.cast::<u8>().add(offset);
                    (sizes.read(), sizes.add(1).read().into(), Some(thing.add(self.fun_env - 1).read()))
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
        (first & 0b1111 == SMALL && (first as isize) >= 0).then_some(first as u64 >> 4)
    }
}

#[inline(always)]
fn immediate<'t>(term: Word) -> Option<Shape<'t, Hamt>> {
    match term & 0b1111 {
        SMALL => Some(Shape::Int((term as isize >> 4) as i64)),
        PID => Some(Shape::Pid(term as u64)),
        PORT => Some(Shape::Port(term as u64)),
        _ if term & KIND == ATOM => Some(Shape::Atom(atom_id(term))),
        _ if term == NIL => Some(Shape::Nil),
        _ => None,
    }
}

#[inline(always)]
fn atom_id(term: Word) -> AtomId {
    AtomId((term >> 6) as u32)
}

/// # Safety
/// `thing` is a bignum of so many digits.
unsafe fn big<'t, M>(thing: *const Word, digits: usize, negative: bool) -> Shape<'t, M> {
    // SAFETY: the digits follow the header.
    let digits = unsafe { words(thing.add(1), digits) };
    if let &[digit] = digits {
        // what -(2^63) takes is one more than what 2^63 - 1 takes
        let signed = if negative { (digit as i64).wrapping_neg() } else { digit as i64 };
        if (signed < 0) == negative {
            return Shape::Int(signed);
        }
    }
    // SAFETY: the same memory, seen as bytes: little-endian, as the learner made sure.
    Shape::Big(negative, unsafe { bytes(digits.as_ptr().cast(), size_of_val(digits)) })
}

/// A binary, or a bit string if it does not start and end at a byte; `offset` is below 8.
///
/// # Safety
/// From bit `offset` after `start` the memory holds so many bits, for `'t`.
#[inline(always)]
unsafe fn bits<'t, M>(start: *const u8, offset: usize, bits: usize) -> Shape<'t, M> {
    // SAFETY: the caller's promise.
    let bytes = unsafe { bytes(start, (offset + bits).div_ceil(8)) };
    if (offset | bits & 7) == 0 {
        Shape::Binary(bytes)
    } else {
        Shape::Bits(Bits { bytes, offset: offset as u8, bits: bits as u64 })
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

/// Where a list cell or a boxed term stands.
#[inline(always)]
pub(super) fn pointer(term: Word) -> *const Word {
    address(term & !POINTER_TAG)
}

#[inline(always)]
fn address<T>(address: usize) -> *const T {
    std::ptr::with_exposed_provenance(address)
}

/// Whether `term` is a list cell.
#[inline(always)]
pub(super) fn is_cell(term: Word) -> bool {
    term & PRIMARY == LIST
}

/// Whether `term` is a pointer to a boxed term.
#[inline(always)]
pub(super) fn is_boxed(term: Word) -> bool {
    term & PRIMARY == BOXED
}
