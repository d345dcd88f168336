//! Until `value/` brings them: skip, find_step, compare, contains.
use std::cmp::Ordering;

use crate::event::AtomId;
use crate::ingest::encode::Integers;
use crate::value::format;

/// Names of atoms.
pub trait Names {
    /// Appends the name.
    fn atom_name(&self, atom: AtomId, out: &mut String) -> bool;
}

pub(crate) fn skip(value: &[u8]) -> Option<usize> {
    let mut rest = value;
    let mut open = 1usize;
    while open > 0 {
        let (&tag, after) = rest.split_first()?;
        open -= 1;
        rest = after;
        let mut varint = |rest: &mut &[u8]| {
            let mut v = 0u64;
            for shift in (0..64).step_by(7) {
                let (&b, after) = rest.split_first()?;
                *rest = after;
                v |= u64::from(b & 0x7f) << shift;
                if b < 0x80 {
                    return Some(v);
                }
            }
            None
        };
        match tag {
            0x80.. | format::NIL | format::REDACTED => {}
            format::INT | format::ATOM | format::PID => {
                varint(&mut rest)?;
            }
            format::BINARY => {
                let n = varint(&mut rest)?;
                rest = rest.get(usize::try_from(n).ok()?..)?;
            }
            format::TUPLE => open += varint(&mut rest)? as usize,
            format::MAP => open += 2 * varint(&mut rest)? as usize,
            format::LIST => {
                while *rest.first()? != format::END {
                    rest = rest.get(skip(rest)?..)?;
                }
                rest = rest.get(1..)?;
            }
            _ => return None,
        }
    }
    Some(value.len() - rest.len())
}

pub(crate) fn find_step<'a>(value: &'a [u8], step: &[u8]) -> Option<&'a [u8]> {
    let index = Integers(step).int();
    let (&tag, mut rest) = value.split_first()?;
    match tag {
        format::LIST => {
            for _ in 0..index? {
                rest = rest.get(skip(rest)?..)?;
            }
            (*rest.first()? != format::END).then_some(())?;
            rest.get(..skip(rest)?)
        }
        format::MAP => {
            let n = *rest.first()?;
            rest = rest.get(1..)?;
            for _ in 0..n {
                let key = skip(rest)?;
                let after = rest.get(key..)?;
                if rest.get(..key)? == step {
                    return after.get(..skip(after)?);
                }
                rest = after.get(skip(after)?..)?;
            }
            None
        }
        _ => None,
    }
}

pub(crate) fn compare(a: &[u8], b: &[u8], _names: &dyn Names) -> Option<Ordering> {
    match (Integers(a).int(), Integers(b).int()) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => Some(a.cmp(b)),
    }
}

pub(crate) fn contains(value: &[u8], part: &[u8], names: &dyn Names) -> Option<bool> {
    let (&tag, mut rest) = value.split_first()?;
    if tag == format::LIST {
        while *rest.first()? != format::END {
            let n = skip(rest)?;
            if compare(rest.get(..n)?, part, names)?.is_eq() {
                return Some(true);
            }
            rest = rest.get(n..)?;
        }
    }
    Some(false)
}
