//! The wire format of protocol buffers, as much of it as is written here.

use crate::value::varint::put_varint;

/// Length of a message, in so many bytes however small it is: it is known only when the message has been written.
const LENGTH_BYTES: usize = 4;

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const LENGTH: u32 = 2;

fn varint(out: &mut Vec<u8>, value: u64) {
    let mut bytes = [0; 10];
    let size = put_varint(&mut bytes, value);
    out.extend_from_slice(bytes.get(..size).unwrap_or(&[]));
}

fn tag(out: &mut Vec<u8>, field: u32, wire: u32) {
    varint(out, u64::from(field << 3 | wire));
}

/// An integer that is not negative.
pub(super) fn uint(out: &mut Vec<u8>, field: u32, value: u64) {
    tag(out, field, VARINT);
    varint(out, value);
}

/// An integer, not in zigzag.
pub(super) fn int(out: &mut Vec<u8>, field: u32, value: i64) {
    uint(out, field, value as u64);
}

/// Eight bytes.
pub(super) fn fixed64(out: &mut Vec<u8>, field: u32, value: u64) {
    tag(out, field, FIXED64);
    out.extend_from_slice(&value.to_le_bytes());
}

/// A floating-point number.
pub(super) fn double(out: &mut Vec<u8>, field: u32, value: f64) {
    fixed64(out, field, value.to_bits());
}

/// A text.
pub(super) fn text(out: &mut Vec<u8>, field: u32, value: &str) {
    tag(out, field, LENGTH);
    varint(out, value.len() as u64);
    out.extend_from_slice(value.as_bytes());
}

/// A message, with the fields that `write` writes.
pub(super) fn message(out: &mut Vec<u8>, field: u32, write: impl FnOnce(&mut Vec<u8>)) {
    tag(out, field, LENGTH);
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    write(out);
    let length = out.len() - start - LENGTH_BYTES;
    debug_assert!(length < 1 << (7 * LENGTH_BYTES));
    let place = out.get_mut(start..start + LENGTH_BYTES);
    for (index, byte) in place.into_iter().flatten().enumerate() {
        let more = if index + 1 < LENGTH_BYTES { 0x80 } else { 0 };
        *byte = (length >> (7 * index)) as u8 & 0x7f | more;
    }
}

/// Reads what was written.
#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]
pub(super) mod read {
    /// The value of a field.
    #[derive(Clone, PartialEq, Debug)]
    pub enum Value {
        Uint(u64),
        Fixed(u64),
        Bytes(Vec<u8>),
    }

    /// The fields of a message, in the order in which they stand there.
    #[derive(Clone, PartialEq, Debug, Default)]
    pub struct Message(pub Vec<(u32, Value)>);

    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return value;
            }
        }
        unreachable!()
    }

    impl Message {
        pub fn new(mut bytes: &[u8]) -> Message {
            let mut fields = Vec::new();
            while !bytes.is_empty() {
                let tag = varint(&mut bytes);
                let value = match tag & 7 {
                    0 => Value::Uint(varint(&mut bytes)),
                    1 => {
                        let (value, rest) = bytes.split_at(8);
                        bytes = rest;
                        Value::Fixed(u64::from_le_bytes(value.try_into().unwrap()))
                    }
                    2 => {
                        let length = varint(&mut bytes) as usize;
                        let (value, rest) = bytes.split_at(length);
                        bytes = rest;
                        Value::Bytes(value.to_vec())
                    }
                    wire => panic!("wire type {wire}"),
                };
                fields.push((tag as u32 >> 3, value));
            }
            Message(fields)
        }

        pub fn all(&self, field: u32) -> impl Iterator<Item = &Value> {
            self.0
                .iter()
                .filter(move |(number, _)| *number == field)
                .map(|(_, value)| value)
        }

        pub fn uint(&self, field: u32) -> Option<u64> {
            self.all(field).find_map(|value| match value {
                Value::Uint(value) | Value::Fixed(value) => Some(*value),
                Value::Bytes(_) => None,
            })
        }

        pub fn text(&self, field: u32) -> Option<String> {
            self.all(field).find_map(|value| match value {
                Value::Bytes(bytes) => String::from_utf8(bytes.clone()).ok(),
                _ => None,
            })
        }

        pub fn messages(&self, field: u32) -> Vec<Message> {
            self.all(field)
                .filter_map(|value| match value {
                    Value::Bytes(bytes) => Some(Message::new(bytes)),
                    _ => None,
                })
                .collect()
        }

        pub fn message(&self, field: u32) -> Option<Message> {
            self.messages(field).into_iter().next()
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::read::Message;
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut out = Vec::new();
        message(&mut out, 11, |out| {
            uint(out, 1, u64::MAX);
            int(out, 30, -1);
            text(out, 2, &"ä".repeat(1_000));
            message(out, 1_000, |_| {});
            double(out, 44, 0.5);
            fixed64(out, 47, 7);
        });
        let inner = Message::new(&out).message(11).unwrap();
        assert_eq!(inner.uint(1), Some(u64::MAX));
        assert_eq!(inner.uint(30), Some(-1_i64 as u64));
        assert_eq!(inner.text(2), Some("ä".repeat(1_000)));
        assert_eq!(inner.message(1_000), Some(Message::default()));
        assert_eq!(inner.uint(44), Some(0.5_f64.to_bits()));
        assert_eq!(inner.uint(47), Some(7));
    }
}
