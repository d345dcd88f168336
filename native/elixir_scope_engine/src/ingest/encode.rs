//! The few values that the engine itself writes into payloads; see [`crate::value::format`].

use crate::event::{AtomId, ProcessId};
use crate::value::format::{ATOM, BINARY, INT, PID, SMALL_INT};

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends an integer.
pub(crate) fn put_int(out: &mut Vec<u8>, value: i64) {
    match u8::try_from(value) {
        Ok(small) if small < 0x80 => out.push(SMALL_INT + small),
        _ => {
            out.push(INT);
            put_varint(out, (value << 1 ^ value >> 63) as u64);
        }
    }
}

/// Appends a name.
pub(crate) fn put_atom(out: &mut Vec<u8>, atom: AtomId) {
    out.push(ATOM);
    put_varint(out, u64::from(atom.0));
}

/// Appends a local process.
pub(crate) fn put_pid(out: &mut Vec<u8>, process: ProcessId) {
    out.push(PID);
    put_varint(out, process.0);
}

/// Appends a binary.
pub(crate) fn put_binary(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(BINARY);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads such values back.
pub(crate) struct Integers<'a>(pub &'a [u8]);

impl Integers<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// The next value, where it is an integer.
    pub(crate) fn int(&mut self) -> Option<i64> {
        match self.byte()? {
            small @ SMALL_INT.. => Some(i64::from(small - SMALL_INT)),
            INT => self
                .varint()
                .map(|raw| (raw >> 1) as i64 ^ -((raw & 1) as i64)),
            _ => None,
        }
    }

    /// The next value, where it is a name.
    pub(crate) fn atom(&mut self) -> Option<AtomId> {
        match self.byte()? {
            ATOM => self
                .varint()
                .and_then(|raw| u32::try_from(raw).ok())
                .map(AtomId),
            _ => None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn integers_round_trip() {
        for value in [0, 1, 127, 128, -1, -64, 1 << 40, i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            put_int(&mut out, value);
            assert_eq!(Integers(&out).int(), Some(value));
        }
    }
}
