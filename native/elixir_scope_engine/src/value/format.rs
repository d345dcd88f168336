//! The encoding of a value, byte by byte. Shaped like Erlang's external term format, with names, processes and functions
//! as the host's own numbers, containers without a byte length (they are written in one pass), and marks for what is missing.
//!
//! `varint` is LEB128 of an unsigned integer of at most 64 bits, `zigzag` a varint of a signed one. A value is one of
//!
//! | bytes | value |
//! | --- | --- |
//! | `0x80 + n` | the integer n, 0 to 127 |
//! | `INT` zigzag | an integer of 64 bits |
//! | `BIG` sign(1) varint(n) n bytes, little endian | an integer beyond 64 bits; sign 1 is negative |
//! | `FLOAT` 8 bytes, little endian | a float, by its bits |
//! | `ATOM` varint | a name |
//! | `BINARY` varint(n) n bytes | a binary |
//! | `BITS` varint(bits) bytes, the last one padded with zero bits at its low end | a bit string that is no binary |
//! | `NIL` | the empty list |
//! | `LIST` value… `END` | a proper list, of one element at least |
//! | `LIST` value… `TAIL` value | an improper list |
//! | `TUPLE` varint(n) n values | a tuple |
//! | `MAP` varint(n) n pairs of values | a map, in the host's order |
//! | `PID` varint | a local process |
//! | `PORT` varint | a local port |
//! | `REF` n(1) n × 4 bytes, little endian | a local reference, by its number words |
//! | `FUN` module varint, arity(1), index varint, uniq(16), old_index varint, old_uniq varint, varint(n), creator value, n values | a local fun and its environment; the creator is a process, or `NIL` where it is not known |
//! | `EXPORT` module varint, function varint, arity varint | an external fun |
//! | `FOREIGN` varint(n) n bytes | a term of a rare kind (a remote pid, port or reference) in the host's own external format |
//! | `REDACTED` | a value that was masked |
//! | `TRUNCATED` cut(1) kept(varint) total(varint) prefix… | a value that a budget left out; see [`Cut`](super::Cut) |
//! | `CUT` cut(1) kept(varint) total(varint) | stands where the next element of a list, tuple, map (in the place of a key) or fun environment would begin: the rest of this container is missing, and the container ends here |
//!
//! `total` is the true size plus one, 0 where it is not known. `TRUNCATED` of a binary, a bit string or a fun is followed by
//! varint(n) and n bytes, its kept prefix (of a fun: the text of its identity); of any other kind by nothing. Counts (of a
//! tuple, a map, a fun's values) fit 32 bits. The tail of an improper list is no list. Floats are finite.

/// Small integers stand in the tag itself, from here to `0xff`.
pub const SMALL_INT: u8 = 0x80;
/// See the table above, as for the rest.
pub const INT: u8 = 0x01;
#[allow(missing_docs)]
pub const BIG: u8 = 0x02;
#[allow(missing_docs)]
pub const FLOAT: u8 = 0x03;
#[allow(missing_docs)]
pub const ATOM: u8 = 0x04;
#[allow(missing_docs)]
pub const BINARY: u8 = 0x05;
#[allow(missing_docs)]
pub const BITS: u8 = 0x06;
#[allow(missing_docs)]
pub const NIL: u8 = 0x07;
#[allow(missing_docs)]
pub const LIST: u8 = 0x08;
#[allow(missing_docs)]
pub const END: u8 = 0x09;
#[allow(missing_docs)]
pub const TAIL: u8 = 0x0a;
#[allow(missing_docs)]
pub const TUPLE: u8 = 0x0b;
#[allow(missing_docs)]
pub const MAP: u8 = 0x0c;
#[allow(missing_docs)]
pub const PID: u8 = 0x0d;
#[allow(missing_docs)]
pub const PORT: u8 = 0x0e;
#[allow(missing_docs)]
pub const REF: u8 = 0x0f;
#[allow(missing_docs)]
pub const FUN: u8 = 0x10;
#[allow(missing_docs)]
pub const EXPORT: u8 = 0x11;
#[allow(missing_docs)]
pub const FOREIGN: u8 = 0x12;
#[allow(missing_docs)]
pub const REDACTED: u8 = 0x13;
#[allow(missing_docs)]
pub const TRUNCATED: u8 = 0x14;
#[allow(missing_docs)]
pub const CUT: u8 = 0x15;
