//! Whether what a delta takes away is what it was made for.

use super::super::node::{End, Kind, Node, Part};
use super::super::proof::{Glance, Proof, agree, glance_at, proof, proof_of_dropped};
use super::{Patched, Place};

impl<'a> Patched<'a> {
    /// Whether the value at `place` may be the one that this is the proof of.
    #[inline]
    pub(super) fn agrees(&self, place: Place<'a>, told: u16) -> bool {
        if told == Proof::NONE {
            return true;
        }
        match place {
            Place::Part(node, at) => {
                let there = self.nodes.get(node as usize);
                let there = there.and_then(|node| node.parts.get(at));
                there.is_some_and(|part| agree(told, || self.proof_of(*part)))
            }
            Place::Gone(..) | Place::Absent(..) | Place::Lost => false,
        }
    }

    /// Whether these elements may be those that this is the proof of.
    pub(super) fn agrees_with_dropped(&self, told: u16, dropped: &[Part<'a>]) -> bool {
        agree(told, || {
            proof_of_dropped(dropped.iter().map(|part| self.proof_of(*part)))
        })
    }

    #[inline]
    fn proof_of(&self, part: Part<'a>) -> u16 {
        match part {
            Part::Shut(span) => proof(span.bytes),
            Part::Open(node) => match self.nodes.get(node as usize) {
                Some(node) => self.proof_of_node(node),
                None => Proof::NONE,
            },
            Part::Grown(grown) => match self.grown.get(grown as usize) {
                Some(grown) => Proof::new(grown.glance()).finish(),
                None => Proof::NONE,
            },
            Part::Gone => Proof::NONE,
        }
    }

    /// What is seen of a part.
    fn glance(&self, part: Part<'a>) -> Glance<'a> {
        match part {
            Part::Shut(span) => glance_at(span.bytes),
            Part::Open(node) => match self.nodes.get(node as usize) {
                Some(node) => glance_at_node(node),
                None => Glance::Opaque,
            },
            Part::Grown(grown) => match self.grown.get(grown as usize) {
                Some(grown) => grown.glance(),
                None => Glance::Opaque,
            },
            Part::Gone => Glance::Opaque,
        }
    }

    /// As the proof of what would be written.
    fn proof_of_node(&self, node: &Node<'a>) -> u16 {
        let glance = glance_at_node(node);
        let mut proof = Proof::new(glance);
        let is_cut = matches!(node.end, End::Cut(..));
        match (glance, &node.kind) {
            (Glance::Tuple(size), _) if size <= Proof::PARTS as u64 => {
                for part in &node.parts {
                    proof.element(self.glance(*part));
                }
                if is_cut {
                    proof.give_up();
                }
            }
            (Glance::Map(size), Kind::Map { keys, .. }) if size <= Proof::PARTS as u64 => {
                for (at, part) in node.parts.iter().enumerate() {
                    if !matches!(part, Part::Gone) {
                        let key = glance_at(keys.get(at).unwrap_or_default());
                        proof.pair(key, self.glance(*part));
                    }
                }
                if is_cut {
                    proof.give_up();
                }
            }
            (Glance::List, _) => {
                for part in node.parts.iter().take(Proof::ELEMENTS) {
                    proof.element(self.glance(*part));
                }
                if node.parts.len() < Proof::ELEMENTS {
                    match node.end {
                        End::Proper => proof.element(Glance::Nil),
                        End::Tail(tail) => proof.element(glance_at(tail)),
                        End::Cut(..) => proof.give_up(),
                    }
                }
            }
            _ => {}
        }
        proof.finish()
    }
}

/// What is seen of a container as it would be written.
fn glance_at_node<'a>(node: &Node<'a>) -> Glance<'a> {
    match (&node.kind, node.end) {
        (Kind::Tuple(size), _) => Glance::Tuple(u64::from(*size)),
        (Kind::Map { gone, missing, .. }, _) => {
            let pairs = (node.parts.len() - gone) as u64 + missing;
            Glance::Map(pairs.min(u64::from(u32::MAX)))
        }
        (Kind::List, _) if !node.parts.is_empty() => Glance::List,
        (Kind::List, End::Proper) => Glance::Nil,
        // what was its tail, which is looked into no further
        (Kind::List, End::Tail(_) | End::Cut(..)) => Glance::Opaque,
    }
}
