//! What hides a value: the key that it stands under.

use smallvec::SmallVec;

use crate::term::redact::{LONGEST_KEY, Redaction};
use crate::term::{Bits, Shape, Terms, Word};

/// Whether `{key, value}` may hide its value.
#[inline]
pub fn pair_counts(redaction: &Redaction, in_list: bool) -> bool {
    redaction.is_on() && (in_list || !redaction.shows_only())
}

/// Whether the value under this key is masked.
#[inline]
pub fn masks_under<'t, T: Terms<'t>>(terms: T, redaction: &Redaction, key: Word) -> bool {
    match terms.shape(key) {
        Shape::Atom(atom) => redaction.masks_atom(atom),
        Shape::Binary(text) => redaction.masks_text(text),
        Shape::Bits(bits) => masks_bits(redaction, bits),
        Shape::Cons(..) => masks_charlist(terms, redaction, key),
        _ => false,
    }
}

/// Of a binary that does not start at a byte.
#[cold]
pub(super) fn masks_bits(redaction: &Redaction, bits: Bits<'_>) -> bool {
    bits.bits.is_multiple_of(8) && redaction.masks_text(&bits.shifted(LONGEST_KEY as u64 + 1))
}

#[cold]
pub(super) fn masks_charlist<'t, T: Terms<'t>>(
    terms: T,
    redaction: &Redaction,
    list: Word,
) -> bool {
    redaction.is_on() && charlist(terms, list).is_some_and(|text| redaction.masks_text(&text))
}

/// A short list of bytes; `None` of any other list.
fn charlist<'t, T: Terms<'t>>(terms: T, mut list: Word) -> Option<SmallVec<[u8; LONGEST_KEY]>> {
    let mut text = SmallVec::new();
    loop {
        match terms.shape(list) {
            Shape::Nil => return Some(text),
            Shape::Cons(head, tail) if text.len() < LONGEST_KEY => {
                let Shape::Int(character) = terms.shape(head) else {
                    return None;
                };
                text.push(u8::try_from(character).ok()?);
                list = tail;
            }
            _ => return None,
        }
    }
}
