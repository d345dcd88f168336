//! A value as a tree: the naive twin of everything that works on bytes. Tests only.

use std::cmp::Ordering;

use proptest::prelude::*;

use super::{Budget, Container, Fit, FunHead, Names, Sink, Writer};
use crate::event::AtomId;

/// A term.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Tree {
    Int(i64),
    /// Sign and little-endian magnitude of nine bytes at least, the last not zero.
    Big(bool, Vec<u8>),
    Float(f64),
    Atom(u32),
    Binary(Vec<u8>),
    /// Bits, one a `bool`; their number no multiple of eight.
    Bits(Vec<bool>),
    List(Vec<Tree>, Option<Box<Tree>>),
    Tuple(Vec<Tree>),
    Map(Vec<(Tree, Tree)>),
    Pid(u64),
    Port(u64),
    Ref(Vec<u32>),
    Fun(u32, u8, Vec<Tree>),
    Export(u32, u32, u8),
    Foreign(Vec<u8>),
    Redacted,
}

/// Names whose order is not that of their numbers.
pub(crate) struct TestNames;

impl Names for TestNames {
    fn atom_name(&self, atom: AtomId, out: &mut String) -> bool {
        out.push_str(&name(atom.0));
        true
    }
}

pub(crate) fn name(atom: u32) -> String {
    match atom {
        0 => "__struct__".into(),
        1 => "Elixir.My.Struct".into(),
        2 => "nil".into(),
        3 => "hello world".into(),
        _ => format!("{}{atom}", char::from(b'z' - (atom % 26) as u8)),
    }
}

impl Tree {
    /// Encodes without a budget.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let budget = Budget {
            bytes: usize::MAX >> 1,
            depth: u32::MAX,
            length: None,
        };
        self.write(&mut Writer::new(&mut out, budget.bytes), &budget);
        out
    }

    /// Encodes within a budget, by recursion, as the host's encoder does without.
    pub(crate) fn bytes_within(&self, budget: &Budget) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out, budget.bytes);
        if self.put(&mut writer, budget, 0) == Fit::NoRoom {
            writer.left_out().unwrap();
        }
        out
    }

    fn write<S: Sink>(&self, writer: &mut Writer<'_, S>, budget: &Budget) {
        assert_eq!(self.put(writer, budget, 0), Fit::Written);
    }

    fn put<S: Sink>(&self, w: &mut Writer<'_, S>, budget: &Budget, depth: u32) -> Fit {
        match self {
            Tree::Int(value) => w.int(*value).unwrap(),
            Tree::Big(negative, magnitude) => w.big(*negative, magnitude).unwrap(),
            Tree::Float(value) => w.float(*value).unwrap(),
            Tree::Atom(atom) => w.atom(AtomId(*atom)).unwrap(),
            Tree::Binary(bytes) => w.binary(bytes).unwrap(),
            Tree::Bits(bits) => w.bits(&pack(bits), bits.len() as u64).unwrap(),
            Tree::List(elements, None) if elements.is_empty() => w.nil().unwrap(),
            Tree::List(elements, tail) => put_container(
                w,
                budget,
                depth,
                Container::List,
                elements.iter().collect(),
                tail.as_deref(),
            ),
            Tree::Tuple(elements) => {
                let container = Container::Tuple(elements.len() as u32);
                put_container(w, budget, depth, container, elements.iter().collect(), None)
            }
            Tree::Map(pairs) => {
                let container = Container::Map(pairs.len() as u32);
                let elements = pairs.iter().flat_map(|(key, value)| [key, value]).collect();
                put_container(w, budget, depth, container, elements, None)
            }
            Tree::Pid(pid) => w.pid(*pid).unwrap(),
            Tree::Port(port) => w.port(*port).unwrap(),
            Tree::Ref(words) => w.reference(words).unwrap(),
            Tree::Fun(module, arity, free) => {
                if w.open_fun(&fun_head(*module, *arity, free.len())).unwrap() == Fit::NoRoom {
                    return Fit::NoRoom;
                }
                let container = Container::Fun(free.len() as u32);
                if w.pid(0x123).unwrap() == Fit::NoRoom {
                    w.cut(container, 0, Some(free.len() as u64)).unwrap();
                } else {
                    put_elements(w, budget, depth, container, free.iter().collect(), None);
                }
                Fit::Written
            }
            Tree::Export(module, function, arity) => w
                .export(AtomId(*module), AtomId(*function), u32::from(*arity))
                .unwrap(),
            Tree::Foreign(bytes) => w.foreign(bytes).unwrap(),
            Tree::Redacted => w.redacted().unwrap(),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Tree::Int(_) | Tree::Big(..) | Tree::Float(_) => 0,
            Tree::Atom(_) => 1,
            Tree::Ref(_) => 2,
            Tree::Fun(..) | Tree::Export(..) => 3,
            Tree::Port(_) => 4,
            Tree::Pid(_) => 5,
            Tree::Tuple(_) => 6,
            Tree::Map(_) => 7,
            Tree::List(elements, _) if elements.is_empty() => 8,
            Tree::List(..) => 9,
            Tree::Binary(_) | Tree::Bits(_) => 10,
            Tree::Foreign(_) => 11,
            Tree::Redacted => 12,
        }
    }

    /// The order of terms, by recursion over the tree.
    pub(crate) fn compare(&self, other: &Tree, exact: bool) -> Ordering {
        let names = |a: u32, b: u32| name(a).cmp(&name(b));
        match (self, other) {
            (Tree::Float(a), Tree::Float(b)) if exact => a.total_cmp(b),
            (Tree::Float(a), Tree::Float(b)) => a.partial_cmp(b).unwrap(),
            (Tree::Int(_) | Tree::Big(..), Tree::Float(_)) if exact => Ordering::Less,
            (Tree::Float(_), Tree::Int(_) | Tree::Big(..)) if exact => Ordering::Greater,
            // generated floats are small halves, so that doubling makes integers of them
            (Tree::Float(a), Tree::Int(b)) => ((a * 2.0) as i128).cmp(&(i128::from(*b) * 2)),
            (Tree::Int(a), Tree::Float(b)) => (i128::from(*a) * 2).cmp(&((b * 2.0) as i128)),
            (Tree::Float(_) | Tree::Int(_), Tree::Big(negative, _)) => sign(*negative).reverse(),
            (Tree::Big(negative, _), Tree::Float(_) | Tree::Int(_)) => sign(*negative),
            (Tree::Int(a), Tree::Int(b)) => a.cmp(b),
            (Tree::Big(s, a), Tree::Big(t, b)) => match (s, t) {
                (false, true) => Ordering::Greater,
                (true, false) => Ordering::Less,
                _ => {
                    let order = a
                        .len()
                        .cmp(&b.len())
                        .then(a.iter().rev().cmp(b.iter().rev()));
                    if *s { order.reverse() } else { order }
                }
            },
            (Tree::Atom(a), Tree::Atom(b)) => names(*a, *b),
            (Tree::Binary(a), Tree::Binary(b)) => a.cmp(b),
            (a @ (Tree::Binary(_) | Tree::Bits(_)), b @ (Tree::Binary(_) | Tree::Bits(_))) => {
                a.unpacked().cmp(&b.unpacked())
            }
            (Tree::Pid(a), Tree::Pid(b)) | (Tree::Port(a), Tree::Port(b)) => a.cmp(b),
            (Tree::Ref(a), Tree::Ref(b)) => a.len().cmp(&b.len()).then_with(|| {
                let bytes = |words: &[u32]| {
                    words
                        .iter()
                        .flat_map(|w| w.to_le_bytes())
                        .rev()
                        .collect::<Vec<_>>()
                };
                bytes(a).cmp(&bytes(b))
            }),
            (Tree::Foreign(a), Tree::Foreign(b)) => a.cmp(b),
            (Tree::Export(m, f, a), Tree::Export(n, g, b)) => {
                names(*m, *n).then(names(*f, *g)).then(a.cmp(b))
            }
            (Tree::Fun(m, a, x), Tree::Fun(n, b, y)) => names(*m, *n)
                .then(a.cmp(b))
                .then(x.len().cmp(&y.len()))
                .then_with(|| compare_all(x, y, exact)),
            (Tree::Fun(..), Tree::Export(..)) => Ordering::Less,
            (Tree::Export(..), Tree::Fun(..)) => Ordering::Greater,
            (Tree::Tuple(a), Tree::Tuple(b)) => {
                a.len().cmp(&b.len()).then_with(|| compare_all(a, b, exact))
            }
            (Tree::Map(a), Tree::Map(b)) => a.len().cmp(&b.len()).then_with(|| {
                let sorted = |pairs: &[(Tree, Tree)]| {
                    let mut pairs = pairs.to_vec();
                    pairs.sort_by(|(a, _), (b, _)| a.compare(b, true));
                    pairs.into_iter().unzip::<_, _, Vec<_>, Vec<_>>()
                };
                let (a, b) = (sorted(a), sorted(b));
                compare_all(&a.0, &b.0, true).then_with(|| compare_all(&a.1, &b.1, exact))
            }),
            (Tree::List(a, s), Tree::List(b, t)) if !a.is_empty() && !b.is_empty() => {
                let common = a.len().min(b.len());
                let rest = |all: &[Tree], tail: &Option<Box<Tree>>| {
                    if all.len() == common {
                        tail.as_deref().cloned().unwrap_or(Tree::List(vec![], None))
                    } else {
                        Tree::List(all[common..].to_vec(), tail.clone())
                    }
                };
                compare_all(&a[..common], &b[..common], exact)
                    .then_with(|| rest(a, s).compare(&rest(b, t), exact))
            }
            (a, b) => a.rank().cmp(&b.rank()),
        }
    }

    fn unpacked(&self) -> Vec<bool> {
        match self {
            Tree::Bits(bits) => bits.clone(),
            Tree::Binary(bytes) => bytes
                .iter()
                .flat_map(|b| (0..8).map(move |i| b >> (7 - i) & 1 == 1))
                .collect(),
            _ => vec![],
        }
    }

    /// What a step leads to, on the tree.
    pub(crate) fn step(&self, step: &Tree) -> Option<&Tree> {
        let same = |key: &&(Tree, Tree)| key.0.compare(step, true).is_eq();
        match (self, step) {
            (Tree::Map(pairs), _) => pairs.iter().find(same).map(|(_, value)| value),
            (Tree::Tuple(elements) | Tree::List(elements, _), Tree::Int(index)) => {
                elements.get(usize::try_from(*index).ok()?)
            }
            (Tree::List(elements, _), _) => elements.iter().find_map(|element| match element {
                Tree::Tuple(pair) if pair.len() == 2 && pair[0].compare(step, true).is_eq() => {
                    Some(&pair[1])
                }
                _ => None,
            }),
            _ => None,
        }
    }

    pub(crate) fn contains(&self, part: &Tree) -> bool {
        match (self, part) {
            (Tree::Binary(bytes), Tree::Binary(part)) => {
                part.is_empty() || bytes.windows(part.len()).any(|window| window == part)
            }
            (Tree::List(elements, _), _) => elements
                .iter()
                .any(|element| element.compare(part, true).is_eq()),
            (Tree::Map(_), _) => self.step(part).is_some(),
            _ => false,
        }
    }
}

fn put_container<S: Sink>(
    w: &mut Writer<'_, S>,
    budget: &Budget,
    depth: u32,
    container: Container,
    elements: Vec<&Tree>,
    tail: Option<&Tree>,
) -> Fit {
    if depth >= budget.depth && !elements.is_empty() {
        return w
            .truncated(super::Cut::Depth, 0, Some(elements.len() as u64), &[])
            .unwrap();
    }
    if w.open(container).unwrap() == Fit::NoRoom {
        return Fit::NoRoom;
    }
    put_elements(w, budget, depth, container, elements, tail);
    Fit::Written
}

fn put_elements<S: Sink>(
    w: &mut Writer<'_, S>,
    budget: &Budget,
    depth: u32,
    container: Container,
    elements: Vec<&Tree>,
    tail: Option<&Tree>,
) {
    let step = if matches!(container, Container::Map(_)) {
        2
    } else {
        1
    };
    let total = elements.len() / step;
    let cuts = |at: usize| match container {
        Container::List | Container::Map(_) => budget
            .length
            .is_some_and(|length| at / step >= length as usize),
        _ => false,
    };
    for (at, element) in elements.iter().enumerate() {
        let value = step == 2 && at % 2 == 1;
        if !value && cuts(at) {
            return w
                .cut(container, (at / step) as u64, Some(total as u64))
                .unwrap();
        }
        if element.put(w, budget, depth + 1) == Fit::NoRoom {
            if value {
                w.left_out().unwrap();
                if at + 1 == elements.len() {
                    return;
                }
            }
            return w
                .cut(container, (at / step) as u64, Some(total as u64))
                .unwrap();
        }
    }
    match tail {
        None => w.close(container).unwrap(),
        Some(tail) => {
            w.tail().unwrap();
            if tail.put(w, budget, depth + 1) == Fit::NoRoom {
                w.left_out().unwrap();
            }
        }
    }
}

fn sign(negative: bool) -> Ordering {
    if negative {
        Ordering::Less
    } else {
        Ordering::Greater
    }
}

fn compare_all(a: &[Tree], b: &[Tree], exact: bool) -> Ordering {
    a.iter()
        .zip(b)
        .map(|(a, b)| a.compare(b, exact))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

pub(crate) fn fun_head(module: u32, arity: u8, free: usize) -> FunHead {
    FunHead {
        module: AtomId(module),
        arity,
        index: 3,
        uniq: *b"0123456789abcdef",
        old_index: 3,
        old_uniq: u32::MAX,
        free: free as u32,
    }
}

pub(crate) fn pack(bits: &[bool]) -> Vec<u8> {
    bits.chunks(8)
        .map(|bits| {
            bits.iter()
                .enumerate()
                .fold(0, |byte, (at, &bit)| byte | u8::from(bit) << (7 - at))
        })
        .collect()
}

/// Any term, small; numbers and names come from few, so that terms meet their equals.
pub(crate) fn any_tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        4 => (-3i64..300).prop_map(Tree::Int),
        1 => any::<i64>().prop_map(Tree::Int),
        1 => (any::<bool>(), prop::collection::vec(any::<u8>(), 8..20), 1..=255u8).prop_map(|(negative, mut magnitude, last)| {
            magnitude.push(last);
            Tree::Big(negative, magnitude)
        }),
        2 => (-6i32..6).prop_map(|half| Tree::Float(f64::from(half) / 2.0)),
        4 => (0u32..8).prop_map(Tree::Atom),
        1 => (0u32..1 << 25).prop_map(Tree::Atom),
        3 => prop::collection::vec(0u8..4, 0..6).prop_map(Tree::Binary),
        1 => prop::collection::vec(any::<u8>(), 0..200).prop_map(Tree::Binary),
        1 => prop::collection::vec(any::<bool>(), 1..40)
            .prop_filter("no binary", |bits| bits.len() % 8 != 0)
            .prop_map(Tree::Bits),
        1 => Just(Tree::List(vec![], None)),
        1 => (0u64..9).prop_map(Tree::Pid),
        1 => (0u64..9).prop_map(Tree::Port),
        1 => prop::collection::vec(0u32..3, 1..=5).prop_map(Tree::Ref),
        1 => (0u32..3, 0u32..3, 0u8..3).prop_map(|(m, f, a)| Tree::Export(m, f, a)),
        1 => prop::collection::vec(any::<u8>(), 0..3).prop_map(|rest| Tree::Foreign([vec![131, 0], rest].concat())),
        1 => Just(Tree::Redacted),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            3 => prop::collection::vec(inner.clone(), 0..6).prop_map(|elements| Tree::List(elements, None)),
            1 => (prop::collection::vec(inner.clone(), 1..4), inner.clone())
                .prop_map(|(elements, tail)| match tail {
                    Tree::List(..) => Tree::List(elements, None),
                    tail => Tree::List(elements, Some(Box::new(tail))),
                }),
            3 => prop::collection::vec(inner.clone(), 0..5).prop_map(Tree::Tuple),
            3 => prop::collection::vec((inner.clone(), inner.clone()), 0..6).prop_map(unique_map),
            1 => (0u32..3, 0u8..3, prop::collection::vec(inner, 0..4)).prop_map(|(m, a, free)| Tree::Fun(m, a, free)),
        ]
    })
}

fn unique_map(pairs: Vec<(Tree, Tree)>) -> Tree {
    let mut unique: Vec<(Tree, Tree)> = Vec::new();
    for pair in pairs {
        if !unique
            .iter()
            .any(|(key, _)| key.compare(&pair.0, true).is_eq())
        {
            unique.push(pair);
        }
    }
    Tree::Map(unique)
}
