//! What the timelines know, put where queries show it. The store keeps of a state change what triggered it; and where a call
//! was given the state of its process, or answered it, a mark stands for that ([`Cut::State`](crate::value::Cut)).

use parking_lot::RwLock;

use super::{Rows, Sites, States};
use crate::event::{EventKind, Symbol, Symbols};
use crate::ingest::encode::put_atom;
use crate::store::EventHead;
use crate::timeline::{Quality, StateChange, Timelines, View, When};
use crate::value::format::{END, LIST, MAP, NIL, REDACTED, TRUNCATED};
use crate::value::{
    Change, ChangeOp, Cut, DATA_MARK, Malformed, Reader, STATE_MARK, Token, changes_along,
    split_first,
};

/// Fills in the states.
pub(crate) struct StateRows<'a> {
    pub timelines: &'a RwLock<Timelines>,
    pub sites: &'a dyn Sites,
    pub symbols: &'a Symbols,
}

/// Whether a state may be missing in the payload of such an event.
fn concerns(kind: EventKind, payload: &[u8]) -> bool {
    match kind {
        EventKind::StateChange => true,
        EventKind::FunctionEntry | EventKind::FunctionExit => {
            // the two marks differ behind these bytes
            memchr::memmem::find(payload, &[TRUNCATED, Cut::State as u8]).is_some()
        }
        _ => false,
    }
}

impl States for StateRows<'_> {
    fn expand(&self, head: &EventHead, payload: &[u8], out: &mut Vec<u8>) -> bool {
        if !concerns(head.kind, payload) {
            return false;
        }
        if head.kind != EventKind::StateChange {
            return self.put_state(head, payload, out);
        }
        let site = self.sites.site(head.site);
        let view = site.and_then(|site| {
            let timelines = self.timelines.read();
            timelines.view(head.process, site.module, head.id..=head.id)
        });
        let mut walk = view.as_ref().map(View::walk);
        let mut change = StateChange::default();
        let stride = walk.as_mut().and_then(|walk| walk.seek(head.id));
        let known = stride.map(|stride| stride.change(&mut change)).is_some();
        self.put_change(head, payload, known.then_some(&change), out);
        true
    }

    fn expand_all(&self, rows: &mut Rows) {
        let mut changes = Vec::new();
        let mut expanded = Vec::new();
        let mut change = StateChange::default();
        for place in 0..rows.rows().len() {
            let Some(row) = rows.rows().get(place) else {
                continue;
            };
            let (head, payload) = (row.head, rows.payload(row));
            if !concerns(head.kind, payload) {
                continue;
            }
            if head.kind == EventKind::StateChange {
                let module = self.sites.site(head.site).map(|site| site.module);
                changes.push((head.process, module, head.id, place));
                continue;
            }
            expanded.clear();
            if self.put_state(&head, payload, &mut expanded) {
                rows.set_payload(place, &[&expanded]);
            }
        }
        // Those of one timeline one after another: each is then one step from the one before.
        changes.sort_unstable();
        for of_timeline in changes.chunk_by(|one, next| (one.0, one.1) == (next.0, next.1)) {
            let (Some(&(process, module, first, _)), Some(&(.., last, _))) =
                (of_timeline.first(), of_timeline.last())
            else {
                continue;
            };
            let view = module.and_then(|module| {
                let timelines = self.timelines.read();
                timelines.view(process, module, first..=last)
            });
            let mut walk = view.as_ref().map(View::walk);
            for &(.., id, place) in of_timeline {
                let Some(row) = rows.rows().get(place) else {
                    continue;
                };
                let stride = walk.as_mut().and_then(|walk| walk.seek(id));
                let known = stride.map(|stride| stride.change(&mut change)).is_some();
                expanded.clear();
                let change = known.then_some(&change);
                self.put_change(&row.head, rows.payload(row), change, &mut expanded);
                rows.set_payload(place, &[&expanded]);
            }
        }
    }
}

impl StateRows<'_> {
    /// The payload of a call's begin or end, with the state of that moment in the place of its mark; false where it is not
    /// known.
    fn put_state(&self, head: &EventHead, payload: &[u8], out: &mut Vec<u8>) -> bool {
        let Some(module) = self.sites.site(head.site).map(|site| site.module) else {
            return false;
        };
        let found =
            self.timelines
                .read()
                .state_at(head.process, Some(module), When::Before(head.id));
        // What is shown among arguments cannot say that it is doubtful.
        found.is_ok_and(|found| {
            found.quality != Quality::Approximate
                && replace_mark(payload, &found.state, out).is_ok()
        })
    }

    /// The payload of a state change; `change` is what the timeline knows of it.
    pub(crate) fn put_change(
        &self,
        head: &EventHead,
        trigger: &[u8],
        change: Option<&StateChange>,
        out: &mut Vec<u8>,
    ) {
        let symbol = |symbol| self.symbols.id(symbol);
        let site = self.sites.site(head.site);
        let callback = site.and_then(|site| site.function);
        put_atom(out, callback.unwrap_or(symbol(Symbol::Nil)));
        out.extend_from_slice(split_first(trigger).map_or(&[NIL], |(trigger, _)| trigger));
        let Some(change) = change else {
            // The states have left the timeline, or never were in it.
            out.extend_from_slice(&STATE_MARK);
            out.extend_from_slice(&STATE_MARK);
            put_atom(out, symbol(Symbol::Nil));
            put_atom(out, symbol(Symbol::Approximate));
            return;
        };
        let mut found = Vec::new();
        if change.has_old {
            out.extend_from_slice(&change.old);
            let _ = put_changes(&mut found, self.symbols, |told| {
                changes_along(&change.old, &change.new, &change.delta, told)
            });
        } else {
            put_atom(out, symbol(Symbol::Nil));
        }
        out.extend_from_slice(&change.new);
        if found.is_empty() {
            put_atom(out, symbol(Symbol::Nil));
        } else {
            out.extend_from_slice(&found);
        }
        let quality = symbol(match change.quality {
            Quality::Exact => Symbol::Exact,
            Quality::Unverified => Symbol::Unverified,
            Quality::Approximate => Symbol::Approximate,
        });
        put_atom(out, quality);
    }
}

/// Appends a list of maps, one for each change that `tell` tells of. What it appended stays there when `tell` fails.
///
/// # Errors
/// That of `tell`.
pub(crate) fn put_changes<E>(
    out: &mut Vec<u8>,
    symbols: &Symbols,
    tell: impl FnOnce(&mut dyn FnMut(Change<'_>)) -> Result<(), E>,
) -> Result<(), E> {
    let mut any = false;
    tell(&mut |change: Change<'_>| {
        if !std::mem::replace(&mut any, true) {
            out.push(LIST);
        }
        put_change(out, symbols, &change);
    })?;
    out.push(if any { END } else { NIL });
    Ok(())
}

/// `%{path: [key], op: op, old: value, new: value}`; masks where a masked value changed.
fn put_change(out: &mut Vec<u8>, symbols: &Symbols, change: &Change<'_>) {
    let key = |out: &mut Vec<u8>, key| put_atom(out, symbols.id(key));
    out.extend_from_slice(&[MAP, 4]);
    key(out, Symbol::Path);
    if change.path.is_empty() {
        out.push(NIL);
    } else {
        out.push(LIST);
        change
            .path
            .iter()
            .for_each(|step| out.extend_from_slice(step.bytes()));
        out.push(END);
    }
    key(out, Symbol::Op);
    let (op, absent) = match change.op {
        ChangeOp::Added => (Symbol::Added, false),
        ChangeOp::Removed => (Symbol::Removed, false),
        ChangeOp::Changed => (Symbol::Changed, true),
    };
    key(out, op);
    for (name, value) in [(Symbol::Old, change.old), (Symbol::New, change.new)] {
        key(out, name);
        match value {
            Some(value) => out.extend_from_slice(value),
            None if absent => out.push(REDACTED),
            None => key(out, Symbol::Nil),
        }
    }
}

/// The data in the state of a state machine.
fn data(state: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(state);
    let (Token::Tuple(2), (_, rest)) = (reader.token().ok()?, split_first(reader.rest()).ok()?)
    else {
        return None;
    };
    split_first(rest).ok().map(|(data, _)| data)
}

/// Copies the values of `payload` with `state` in the place of the mark: as an argument, an element of the list that the
/// payload begins with; or as an element of a result.
fn replace_mark(payload: &[u8], state: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let mut rest = payload;
    while !rest.is_empty() {
        let (value, behind) = split_first(rest)?;
        let mut reader = Reader::new(value);
        if matches!(reader.token()?, Token::List | Token::Tuple(_)) {
            let (head, mut elements) = value.split_at(reader.at());
            out.extend_from_slice(head);
            while !elements.is_empty() && !matches!(elements.first(), Some(&END)) {
                let Ok((element, more)) = split_first(elements) else {
                    // the end of a list that was cut, or is improper
                    break;
                };
                out.extend_from_slice(match element {
                    _ if *element == STATE_MARK => state,
                    _ if *element == DATA_MARK => data(state).unwrap_or(element),
                    _ => element,
                });
                elements = more;
            }
            out.extend_from_slice(elements);
        } else {
            out.extend_from_slice(value);
        }
        rest = behind;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::value::format::{SMALL_INT, TUPLE};

    #[test]
    fn a_state_stands_where_its_mark_stood() {
        let state = [TUPLE, 1, SMALL_INT + 9];
        let args = [&[LIST, SMALL_INT + 1], &STATE_MARK[..], &[END]].concat();
        let mut out = Vec::new();
        replace_mark(&args, &state, &mut out).unwrap();
        assert_eq!(out, [&[LIST, SMALL_INT + 1], &state[..], &[END]].concat());

        let exit = [
            &[NIL, TUPLE, 2, SMALL_INT],
            &STATE_MARK[..],
            &[SMALL_INT + 5],
        ]
        .concat();
        out.clear();
        replace_mark(&exit, &state, &mut out).unwrap();
        let filled = [&[NIL, TUPLE, 2, SMALL_INT], &state[..], &[SMALL_INT + 5]].concat();
        assert_eq!(out, filled);
    }
}
