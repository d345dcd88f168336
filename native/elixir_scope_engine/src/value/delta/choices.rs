//! Trees changed at random, and what deltas tell of it: the naive twin of patching. Tests only.

use super::super::tree::Tree;
use super::super::varint::put_varint;
use super::format;
use super::proof::{proof, proof_of_dropped};

fn put(tag: u8, number: usize, out: &mut Vec<u8>) {
    let mut bytes = [0; 10];
    let size = put_varint(&mut bytes, number as u64);
    out.push(tag);
    out.extend(&bytes[..size]);
}

/// Where to change what. When they are used up, nothing changes any more.
pub(super) struct Choices<'c> {
    pub(super) left: std::slice::Iter<'c, u8>,
    /// What comes new.
    pub(super) pool: &'c [Tree],
}

impl Choices<'_> {
    fn of(&mut self, n: u8) -> u8 {
        self.left.next().map_or(0, |choice| choice % n)
    }

    fn new_tree(&mut self) -> Tree {
        let at = self.of(255) as usize % self.pool.len();
        self.pool[at].clone()
    }

    /// Changes a tree as the choices say, and writes the delta.
    pub(super) fn change(&mut self, tree: &Tree, out: &mut Vec<u8>) -> Tree {
        match (self.of(8), tree) {
            (0, _) => {
                out.push(format::SAME);
                tree.clone()
            }
            (2.., Tree::Tuple(elements)) => self.change_tuple(elements, out),
            (2.., Tree::Map(pairs)) => self.change_map(pairs, out),
            (2.., Tree::List(elements, tail)) if !elements.is_empty() => {
                self.change_list(elements, tail, out)
            }
            (4.., Tree::Binary(bytes)) => self.grow(bytes, out),
            _ => self.replace_old(tree, out),
        }
    }

    /// A proof, or none: both are deltas.
    fn proof(
        &mut self,
        of: impl FnOnce() -> u16,
        out: &mut Vec<u8>,
        tags: [u8; 2],
        count: Option<usize>,
    ) {
        let proof = if self.of(3) > 0 { Some(of()) } else { None };
        let tag = tags[usize::from(proof.is_some())];
        match count {
            Some(count) => put(tag, count, out),
            None => out.push(tag),
        }
        out.extend(proof.into_iter().flat_map(u16::to_le_bytes));
    }

    fn replace_old(&mut self, old: &Tree, out: &mut Vec<u8>) -> Tree {
        let new = self.new_tree();
        let tags = [format::REPLACE, format::PROVED_REPLACE];
        self.proof(|| proof(&turned(old).bytes()), out, tags, None);
        out.extend(new.bytes());
        new
    }

    fn grow(&mut self, old: &[u8], out: &mut Vec<u8>) -> Tree {
        let more: Vec<u8> = (0..self.of(12)).collect();
        out.push(format::GROWN);
        let is_proved = self.of(3) > 0;
        let proof = if is_proved {
            proof(&Tree::Binary(old.to_vec()).bytes())
        } else {
            0
        };
        out.extend(proof.to_le_bytes());
        out.push(more.len() as u8);
        out.extend(&more);
        Tree::Binary([old, &more].concat())
    }

    fn replace(&mut self, out: &mut Vec<u8>) -> Tree {
        let new = self.new_tree();
        out.push(format::REPLACE);
        out.extend(new.bytes());
        new
    }

    fn change_tuple(&mut self, elements: &[Tree], out: &mut Vec<u8>) -> Tree {
        out.push(format::TUPLE);
        let mut next = 0;
        let mut now = elements.to_vec();
        for (at, element) in now.iter_mut().enumerate() {
            if self.of(2) == 1 {
                out.push((at + 1 - next) as u8);
                next = at + 1;
                *element = self.change(element, out);
            }
        }
        out.push(format::TUPLE_END);
        Tree::Tuple(now)
    }

    fn change_map(&mut self, pairs: &[(Tree, Tree)], out: &mut Vec<u8>) -> Tree {
        out.push(format::MAP);
        let mut now = Vec::new();
        for (key, value) in pairs {
            let choice = self.of(4);
            if choice > 0 {
                out.extend(turned(key).bytes());
            }
            match choice {
                0 => now.push((key.clone(), value.clone())),
                1 => {
                    let tags = [format::REMOVED, format::PROVED_REMOVED];
                    self.proof(|| proof(&turned(value).bytes()), out, tags, None);
                }
                _ => now.push((key.clone(), self.change(value, out))),
            }
        }
        for _ in 0..self.of(4) {
            let key = self.new_tree();
            if !pairs
                .iter()
                .chain(&now)
                .any(|(other, _)| other.compare(&key, true).is_eq())
            {
                out.extend(key.bytes());
                let value = self.replace(out);
                now.push((key, value));
            }
        }
        out.push(format::MAP_END);
        Tree::Map(now)
    }

    fn change_list(&mut self, old: &[Tree], tail: &Option<Box<Tree>>, out: &mut Vec<u8>) -> Tree {
        out.push(format::LIST);
        let mut now = Vec::new();
        let mut at = 0;
        let stop = loop {
            let some = (1 + self.of(3) as usize).min(old.len() - at);
            match self.of(7) {
                1 if some > 0 => {
                    put(format::KEEP, some, out);
                    now.extend_from_slice(&old[at..at + some]);
                    at += some;
                }
                2 if some > 0 => {
                    let gone = || {
                        proof_of_dropped(
                            old[at..at + some]
                                .iter()
                                .map(|tree| proof(&turned(tree).bytes())),
                        )
                    };
                    let tags = [format::DROP, format::PROVED_DROP];
                    self.proof(gone, out, tags, Some(some));
                    at += some;
                }
                4 if some > 0 => {
                    out.push(format::CHANGE);
                    now.push(self.change(&old[at], out));
                    at += 1;
                }
                1..=4 => {
                    let new = self.new_tree();
                    out.push(format::INSERT);
                    out.extend(new.bytes());
                    now.push(new);
                }
                stop => break stop,
            }
        };
        if now.is_empty() && at == old.len() || stop > 0 && now.is_empty() {
            let new = self.new_tree();
            out.push(format::INSERT);
            out.extend(new.bytes());
            now.push(new);
        }
        let tail = match (stop, self.new_tree()) {
            (0, _) => {
                out.push(format::REST);
                now.extend_from_slice(&old[at..]);
                tail.clone()
            }
            (5, _) | (_, Tree::List(..)) => {
                out.push(format::CLOSE);
                None
            }
            (_, new) => {
                out.push(format::LIST_TAIL);
                out.extend(new.bytes());
                Some(Box::new(new))
            }
        };
        Tree::List(now, tail)
    }
}

/// The same with the pairs of its maps in another order.
pub(super) fn turned(tree: &Tree) -> Tree {
    let all = |trees: &[Tree]| trees.iter().map(turned).collect();
    match tree {
        Tree::Map(pairs) => {
            let pairs = pairs.iter().rev();
            Tree::Map(pairs.map(|(k, v)| (turned(k), turned(v))).collect())
        }
        Tree::List(elements, tail) => {
            Tree::List(all(elements), tail.as_ref().map(|t| Box::new(turned(t))))
        }
        Tree::Tuple(elements) => Tree::Tuple(all(elements)),
        other => other.clone(),
    }
}
