//! Erlang's order of terms, on encoded values: number, atom, reference, fun, port, pid, tuple, map, empty list, list, bit
//! string; marks come last. (`erl_utils.h` and `utils.c`, `erts_cmp_compound`.) Two values are read in step and compared
//! token by token; only maps need their pairs sorted first. Local pids, ports, references and funs are ordered by their
//! numbers: consistent, though not always as the host would.

use std::cmp::Ordering;

use smallvec::SmallVec;

use super::names::Names;
use super::number::compare_numbers;
use super::reader::{Flaw, Malformed, Nesting, Reader, Token, skip_in};
use crate::event::AtomId;

/// How deep maps may stand in keys of maps.
const KEY_DEPTH: u32 = 16;

/// Compares the first value in `a` with the first in `b`, as `<` and `==` do: 1 and 1.0 are equal.
///
/// # Errors
/// [`Malformed`] for what is no value, and where the work would exceed a hundred steps a byte.
pub fn compare(a: &[u8], b: &[u8], names: &dyn Names) -> Result<Ordering, Malformed> {
    Comparison::new(a, b, Some(names)).run(a, b, false, 0)
}

/// As [`compare`], but 1 and 1.0 differ: the order of keys in a map.
///
/// # Errors
/// As [`compare`].
pub fn compare_exact(a: &[u8], b: &[u8], names: &dyn Names) -> Result<Ordering, Malformed> {
    Comparison::new(a, b, Some(names)).run(a, b, true, 0)
}

/// Whether the first value in `a` and the first in `b` are the same term, as `===` says.
///
/// # Errors
/// As [`compare`].
pub fn equal(a: &[u8], b: &[u8]) -> Result<bool, Malformed> {
    Ok(Comparison::new(a, b, None).run(a, b, true, 0)?.is_eq())
}

/// Whether they are equal as `==` says: 1 and 1.0 are.
///
/// # Errors
/// As [`compare`].
pub fn equal_numeric(a: &[u8], b: &[u8]) -> Result<bool, Malformed> {
    Ok(Comparison::new(a, b, None).run(a, b, false, 0)?.is_eq())
}

struct Comparison<'n> {
    /// Without names, atoms are ordered by number: good enough for equality.
    names: Option<&'n dyn Names>,
    steps_left: usize,
}

/// Two values, or the rest of two values, to be compared later.
struct Pending<'a> {
    a: Reader<'a>,
    b: Reader<'a>,
    nesting: Nesting,
}

type Pairs<'a> = Vec<(&'a [u8], &'a [u8])>;

impl<'n> Comparison<'n> {
    fn new(a: &[u8], b: &[u8], names: Option<&'n dyn Names>) -> Self {
        let steps_left = (a.len() + b.len()).saturating_mul(64).saturating_add(4096);
        Comparison { names, steps_left }
    }

    fn run(
        &mut self,
        a: &[u8],
        b: &[u8],
        exact: bool,
        key_depth: u32,
    ) -> Result<Ordering, Malformed> {
        let mut pending = SmallVec::<[Pending<'_>; 1]>::new();
        let mut now = Pending {
            a: Reader::new(a),
            b: Reader::new(b),
            nesting: Nesting::new(),
        };
        loop {
            let order = self.values(&mut now, &mut pending, exact, key_depth)?;
            if order.is_ne() {
                return Ok(order);
            }
            match pending.pop() {
                Some(next) => now = next,
                None => return Ok(Ordering::Equal),
            }
        }
    }

    /// Compares one value in step, up to its end or to a map, whose values (and the rest after it) become pending.
    fn values<'a>(
        &mut self,
        now: &mut Pending<'a>,
        pending: &mut SmallVec<[Pending<'a>; 1]>,
        exact: bool,
        key_depth: u32,
    ) -> Result<Ordering, Malformed> {
        loop {
            self.steps(1)?;
            let at = now.a.at();
            let place = |flaw| Malformed { at, flaw };
            let (a, b) = (now.a.token()?, now.b.token()?);
            let mut done = false;
            match (&a, &b) {
                (Token::End, Token::End) | (Token::Tail, Token::Tail) => {}
                (Token::Cut(a), Token::Cut(b)) => {
                    let order = a.kept.cmp(&b.kept).then(a.total.cmp(&b.total));
                    if order.is_ne() {
                        return Ok(order);
                    }
                }
                (Token::Cut(_), _) => return Ok(Ordering::Greater),
                (_, Token::Cut(_)) => return Ok(Ordering::Less),
                (Token::End | Token::Tail, _) | (_, Token::End | Token::Tail) => {
                    let order = rest_rank(&a, &mut now.a)?.cmp(&rest_rank(&b, &mut now.b)?);
                    return if order.is_eq() {
                        Err(place(Flaw::Place))
                    } else {
                        Ok(order)
                    };
                }
                (Token::Map(n), Token::Map(m)) if n == m && *n > 0 => {
                    let order = self.maps(*n, now, pending, key_depth)?;
                    if order.is_ne() {
                        return Ok(order);
                    }
                    return Ok(Ordering::Equal);
                }
                _ => {
                    let order = self.tokens(&a, &b, exact);
                    if order.is_ne() {
                        return Ok(order);
                    }
                    done = matches!(a, Token::Fun(_));
                }
            }
            if now.nesting.accept(&a).map_err(place)? {
                return Ok(Ordering::Equal);
            }
            if done && !is_cut(&now.a)? && !is_cut(&now.b)? {
                // who made a fun does not tell it from its like
                skip_in(&mut now.a)?;
                skip_in(&mut now.b)?;
                if now.nesting.accept(&Token::Nil).map_err(place)? {
                    return Ok(Ordering::Equal);
                }
            }
        }
    }

    /// Compares the keys of two maps of `n` pairs; the values become pending, before the rest of what the maps stand in.
    fn maps<'a>(
        &mut self,
        n: u32,
        now: &mut Pending<'a>,
        pending: &mut SmallVec<[Pending<'a>; 1]>,
        key_depth: u32,
    ) -> Result<Ordering, Malformed> {
        let at = now.a.at();
        if key_depth >= KEY_DEPTH {
            return Err(Malformed {
                at,
                flaw: Flaw::TooDeep,
            });
        }
        let (mut left, left_cut) = self.pairs(n, &mut now.a)?;
        let (mut right, right_cut) = self.pairs(n, &mut now.b)?;
        if left_cut || right_cut {
            // what is missing could be anything; a map that was cut is larger than one that was not
            let order = left_cut.cmp(&right_cut).then(left.len().cmp(&right.len()));
            if order.is_ne() {
                return Ok(order);
            }
        }
        self.sort(&mut left, key_depth)?;
        self.sort(&mut right, key_depth)?;
        for ((a, _), (b, _)) in left.iter().zip(&right) {
            let order = self.run(a, b, true, key_depth + 1)?;
            if order.is_ne() {
                return Ok(order);
            }
        }
        // the map itself counts as one value of what it stands in
        if !now
            .nesting
            .accept(&Token::Map(0))
            .map_err(|flaw| Malformed { at, flaw })?
        {
            let rest = Pending {
                a: now.a.clone(),
                b: now.b.clone(),
                nesting: std::mem::take(&mut now.nesting),
            };
            pending.push(rest);
        }
        for ((_, a), (_, b)) in left.into_iter().zip(right).rev() {
            pending.push(Pending {
                a: Reader::new(a),
                b: Reader::new(b),
                nesting: Nesting::new(),
            });
        }
        Ok(Ordering::Equal)
    }

    /// The pairs of a map whose tag was read, and whether some are missing.
    fn pairs<'a>(
        &mut self,
        n: u32,
        reader: &mut Reader<'a>,
    ) -> Result<(Pairs<'a>, bool), Malformed> {
        let mut pairs = Vec::new();
        let start = reader.at();
        let mut cut = false;
        for _ in 0..n {
            let mut ahead = reader.clone();
            if matches!(ahead.token()?, Token::Cut(_)) {
                *reader = ahead;
                cut = true;
                break;
            }
            pairs.push((take(reader)?, take(reader)?));
        }
        self.steps(reader.at() - start)?;
        Ok((pairs, cut))
    }

    fn sort(&mut self, pairs: &mut Pairs<'_>, key_depth: u32) -> Result<(), Malformed> {
        let mut flaw = None;
        pairs.sort_by(|(a, _), (b, _)| {
            if flaw.is_some() {
                return a.cmp(b);
            }
            self.run(a, b, true, key_depth + 1)
                .unwrap_or_else(|malformed| {
                    flaw = Some(malformed);
                    a.cmp(b)
                })
        });
        flaw.map_or(Ok(()), Err)
    }

    fn steps(&mut self, steps: usize) -> Result<(), Malformed> {
        match self.steps_left.checked_sub(steps) {
            Some(left) => {
                self.steps_left = left;
                Ok(())
            }
            None => Err(Malformed {
                at: 0,
                flaw: Flaw::TooLong,
            }),
        }
    }

    /// Compares single tokens; of containers only the kind and size.
    fn tokens(&self, a: &Token<'_>, b: &Token<'_>, exact: bool) -> Ordering {
        let rank = rank(a).cmp(&rank(b));
        if rank.is_ne() {
            return rank;
        }
        match (a, b) {
            (Token::Float(x), Token::Float(y)) if exact => x.total_cmp(y),
            (Token::Int(_) | Token::Big(..), Token::Float(_)) if exact => Ordering::Less,
            (Token::Float(_), Token::Int(_) | Token::Big(..)) if exact => Ordering::Greater,
            (Token::Int(_) | Token::Big(..) | Token::Float(_), _) => {
                compare_numbers(a, b).unwrap_or(Ordering::Equal)
            }
            (Token::Atom(a), Token::Atom(b)) => self.atoms(*a, *b),
            (Token::Tuple(a), Token::Tuple(b)) | (Token::Map(a), Token::Map(b)) => a.cmp(b),
            (Token::Pid(a), Token::Pid(b)) | (Token::Port(a), Token::Port(b)) => a.cmp(b),
            (Token::Ref(a), Token::Ref(b)) => a
                .len()
                .cmp(&b.len())
                .then_with(|| a.iter().rev().cmp(b.iter().rev())),
            (Token::Fun(a), Token::Fun(b)) => self
                .atoms(a.module, b.module)
                .then(a.old_index.cmp(&b.old_index))
                .then(a.old_uniq.cmp(&b.old_uniq))
                .then(a.index.cmp(&b.index))
                .then(a.uniq.cmp(&b.uniq))
                .then(a.arity.cmp(&b.arity))
                .then(a.free.cmp(&b.free)),
            (Token::Export(m, f, a), Token::Export(n, g, b)) => self
                .atoms(*m, *n)
                .then_with(|| self.atoms(*f, *g))
                .then(a.cmp(b)),
            (Token::Fun(_), Token::Export(..)) => Ordering::Less,
            (Token::Export(..), Token::Fun(_)) => Ordering::Greater,
            (Token::Foreign(a), Token::Foreign(b)) => a.cmp(b),
            (Token::Foreign(_), _) => Ordering::Greater,
            (_, Token::Foreign(_)) => Ordering::Less,
            (Token::Truncated(a), Token::Truncated(b)) => (a.cut as u8)
                .cmp(&(b.cut as u8))
                .then(a.prefix.cmp(b.prefix))
                .then(a.kept.cmp(&b.kept))
                .then(a.total.cmp(&b.total)),
            (Token::Redacted, Token::Truncated(_)) => Ordering::Less,
            (Token::Truncated(_), Token::Redacted) => Ordering::Greater,
            _ => match (bits(a), bits(b)) {
                (Some(a), Some(b)) => compare_bits(a, b),
                _ => Ordering::Equal,
            },
        }
    }

    fn atoms(&self, a: AtomId, b: AtomId) -> Ordering {
        let Some(names) = self.names.filter(|_| a != b) else {
            return a.cmp(&b);
        };
        let (mut left, mut right) = (String::new(), String::new());
        names.atom_name(a, &mut left);
        names.atom_name(b, &mut right);
        left.cmp(&right).then(a.cmp(&b))
    }
}

/// Whether the rest of the container is missing from here on.
fn is_cut(reader: &Reader<'_>) -> Result<bool, Malformed> {
    Ok(matches!(reader.clone().token()?, Token::Cut(_)))
}

/// The next value, which it moves past.
pub(crate) fn take<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let rest = reader.rest();
    let start = reader.at();
    skip_in(reader)?;
    Ok(rest.get(..reader.at() - start).unwrap_or_default())
}

/// The place of a kind of token in the order of terms.
fn rank(token: &Token<'_>) -> u8 {
    match token {
        Token::Int(_) | Token::Big(..) | Token::Float(_) => 0,
        Token::Atom(_) => 1,
        Token::Ref(_) => 2,
        Token::Fun(_) | Token::Export(..) => 3,
        Token::Port(_) => 4,
        Token::Pid(_) => 5,
        Token::Tuple(_) => 6,
        Token::Map(_) => 7,
        Token::Nil => 8,
        Token::List => LIST,
        Token::Binary(_) | Token::Bits(..) => 10,
        // the tag behind the version byte: NEWER_REFERENCE_EXT and so on, new and old
        Token::Foreign(external) => match external.get(1) {
            Some(90 | 101 | 114) => 2,
            Some(89 | 102 | 120) => 4,
            Some(88 | 103) => 5,
            _ => 11,
        },
        Token::Redacted | Token::Truncated(_) | Token::Cut(_) | Token::End | Token::Tail => 12,
    }
}

const LIST: u8 = 9;

/// The rank of what is left of a list, of which `token` comes next.
fn rest_rank(token: &Token<'_>, reader: &mut Reader<'_>) -> Result<u8, Malformed> {
    Ok(match token {
        Token::End => rank(&Token::Nil),
        Token::Tail => rank(&reader.token()?),
        _ => LIST,
    })
}

fn bits<'a>(token: &Token<'a>) -> Option<(&'a [u8], u64)> {
    match *token {
        Token::Binary(bytes) => Some((bytes, bytes.len() as u64 * 8)),
        Token::Bits(bytes, bits) => Some((bytes, bits)),
        _ => None,
    }
}

fn compare_bits((a, a_bits): (&[u8], u64), (b, b_bits): (&[u8], u64)) -> Ordering {
    let common = a_bits.min(b_bits);
    let whole = (common / 8) as usize;
    let (a_whole, b_whole) = (
        a.get(..whole).unwrap_or_default(),
        b.get(..whole).unwrap_or_default(),
    );
    let last = |bytes: &[u8]| match common % 8 {
        0 => 0,
        odd => bytes.get(whole).copied().unwrap_or_default() >> (8 - odd),
    };
    a_whole
        .cmp(b_whole)
        .then(last(a).cmp(&last(b)))
        .then(a_bits.cmp(&b_bits))
}
