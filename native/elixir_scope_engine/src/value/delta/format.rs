//! The encoding of a delta, byte by byte: how to come from one encoded value to another. It is written in one pass, so
//! nothing in it says how long it is or how many parts it has. Values are encoded as [`value::format`](mod@super::super::format)
//! says, and `varint` is what it is there. A delta is one of
//!
//! | bytes | what became of the value |
//! | --- | --- |
//! | `SAME` | nothing |
//! | `REPLACE` value | this value stands in its place, which may be masked or bear marks of a budget |
//! | `REMOVED` | only as the delta of a map's entry: the key is gone |
//! | `PROVED_REPLACE` proof(2) value | as `REPLACE`, and the proof of the value that stood there |
//! | `PROVED_REMOVED` proof(2) | as `REMOVED`, and the proof of the value that is gone |
//! | `GROWN` proof(2) varint(n) n bytes | of a binary: these bytes came behind those that it had, which the proof is of |
//! | `UNKNOWN` | something in here changed; what it is was hidden by a budget |
//! | `TUPLE` (varint(gap) delta)… 0 | elements of a tuple changed, its size did not. `gap` is 1 at least; an index is the one before it plus the gap, and starts from -1 |
//! | `MAP` (key delta)… `MAP_END` | entries of a map changed. `key` is a value; `REPLACE` under a key that is not there adds it |
//! | `LIST` op… stop | a list that was not empty, and is not, changed. The ops walk the old list from its front |
//!
//! | op | what comes next in the new list |
//! | --- | --- |
//! | `KEEP` varint(n) | the next `n` elements of the old list, 1 at least |
//! | `DROP` varint(n) | none of the next `n` elements of the old list, 1 at least |
//! | `PROVED_DROP` varint(n) proof(2) | as `DROP`, and the proof of these elements |
//! | `INSERT` value | this element |
//! | `CHANGE` delta | the next element of the old list, changed so |
//!
//! | stop | how the new list ends |
//! | --- | --- |
//! | `REST` | with all that is left of the old list, and its tail |
//! | `CLOSE` | here, as a proper list; what is left of the old one is dropped |
//! | `LIST_TAIL` value | here, with this improper tail; what is left of the old one is dropped |
//!
//! `SAME` may stand in any place: a part was built anew and came out equal. `MAP_END` is a byte with which no value begins.
//! Funs and numbers are replaced whole, and so are binaries that did not grow at their end. A list that becomes empty is replaced by the empty list.
//!
//! A proof is a hash of what the change took away, in little-endian bytes; 0 is no proof. By it a delta is known that fits
//! another value than the one that it was made for. See [`Proof`](super::Proof) for what it is of.

/// A delta: nothing changed.
pub const SAME: u8 = 0x00;
/// A delta: a value follows that takes the place of the old one.
pub const REPLACE: u8 = 0x01;
/// A delta of a map's entry: it is gone.
pub const REMOVED: u8 = 0x02;
/// A delta: it is not known what changed.
pub const UNKNOWN: u8 = 0x03;
/// A delta: elements of a tuple follow.
pub const TUPLE: u8 = 0x04;
/// A delta: entries of a map follow, up to [`MAP_END`].
pub const MAP: u8 = 0x05;
/// A delta: ops on a list follow, up to a stop.
pub const LIST: u8 = 0x06;
/// A delta: a proof of the old value follows, and a value that takes its place.
pub const PROVED_REPLACE: u8 = 0x07;
/// A delta of a map's entry: it is gone, a proof of it follows.
pub const PROVED_REMOVED: u8 = 0x08;
/// A delta of a binary: a proof of the old one follows, and what came behind it.
pub const GROWN: u8 = 0x09;

/// In the place of a gap: no more elements of the tuple changed.
pub const TUPLE_END: u8 = 0x00;
/// In the place of a key: no more entries of the map changed.
pub const MAP_END: u8 = super::super::format::END;

/// An op: so many elements stay.
pub const KEEP: u8 = 0x01;
/// An op: so many elements are gone.
pub const DROP: u8 = 0x02;
/// An op: a value follows that is new in the list.
pub const INSERT: u8 = 0x03;
/// An op: the delta of the next element follows.
pub const CHANGE: u8 = 0x04;
/// A stop: the rest of the list stays.
pub const REST: u8 = 0x05;
/// A stop: the list ends here.
pub const CLOSE: u8 = 0x06;
/// A stop: the list ends here, a value that is its tail follows.
pub const LIST_TAIL: u8 = 0x07;
/// An op: so many elements are gone, a proof of them follows.
pub const PROVED_DROP: u8 = 0x08;
