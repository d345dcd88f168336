//! Where the VM at hand keeps what, as learnt from terms of our own.
//!
//! The names are those of `erl_term.h`, `erl_map.h`, `erl_bits.h` and `erl_fun.h` in the emulator's source. Only the way of
//! reading is written down here. Every number that a release may change (the kinds of headers, offsets into structures) is
//! a field of [`Layout`] that the learner fills in, and what is taken for granted (the primary tags, the words of a list
//! cell) it tests before anything is read by it.

use crate::term::Word;

/// The two low bits of a word.
pub(super) const PRIMARY: Word = 0b11;
pub(super) const LIST: Word = 0b01;
pub(super) const BOXED: Word = 0b10;
/// Tags of immediates: pids, ports and small integers have four bits, atoms and the empty list six.
pub(super) const IMMEDIATE: Word = 0b1111;
pub(super) const PID: Word = 0b0011;
pub(super) const PORT: Word = 0b0111;
pub(super) const SMALL: Word = 0b1111;
pub(super) const ATOM: Word = 0b00_1011;
pub(super) const NIL: Word = 0b11_1011;
/// The low bits of a pointer's word that are no part of the address; one of them marks literals.
pub(super) const POINTER_TAG: Word = 0b111;
/// A header's kind, and above it what the kind says of the size.
pub(super) const KIND: Word = 0b11_1111;
pub(super) const KIND_BITS: u32 = 6;
/// Kind of a tuple's header.
pub(super) const TUPLE: Word = 0;
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
    Thing(usize),
    /// In the header: the arity from bit 8, from bit 16 the values of the environment and one more, 0 in external funs
    /// (OTP 27, which keeps a reference to the entry behind the values).
    HeaderAndReference,
    /// In the header: the arity from bit 8, from bit 16 the values of the environment, in bit 24 whether it is external
    /// (OTP 29).
    Header,
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
        fun_sizes: FunSizes::Header,
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
}

/// Where a list cell or a boxed term stands.
#[inline(always)]
pub(super) fn pointer(term: Word) -> *const Word {
    address(term & !POINTER_TAG)
}

#[inline(always)]
pub(super) fn address<T>(address: usize) -> *const T {
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
