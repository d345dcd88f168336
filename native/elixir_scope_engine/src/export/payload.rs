//! Values in the payloads of events.

use crate::event::{AtomId, ProcessId};
use crate::value::{Reader, Token, split_first};

pub(super) fn value(payload: &[u8], place: usize) -> Option<&[u8]> {
    let mut rest = payload;
    for _ in 0..place {
        rest = split_first(rest).ok()?.1;
    }
    split_first(rest).ok().map(|(value, _)| value)
}

pub(super) fn token(value: &[u8]) -> Option<Token<'_>> {
    Reader::new(value).token().ok()
}

pub(super) fn pid(payload: &[u8], place: usize) -> Option<ProcessId> {
    match value(payload, place).and_then(token)? {
        Token::Pid(process) => Some(ProcessId(process)),
        _ => None,
    }
}

pub(super) fn atom(payload: &[u8], place: usize) -> Option<AtomId> {
    match value(payload, place).and_then(token)? {
        Token::Atom(name) => Some(name),
        _ => None,
    }
}

pub(super) fn integer(payload: &[u8], place: usize) -> Option<i64> {
    match value(payload, place).and_then(token)? {
        Token::Int(number) => Some(number),
        _ => None,
    }
}

/// How many elements a list has.
pub(super) fn length(list: &[u8]) -> Option<u32> {
    let mut reader = Reader::new(list);
    if reader.token().ok()? != Token::List {
        return None;
    }
    let mut rest = reader.rest();
    let mut length = 0;
    while let Ok((_element, behind)) = split_first(rest) {
        length += 1;
        rest = behind;
    }
    Some(length)
}
