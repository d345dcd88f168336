//! Sparse columns against plain lists.

use super::*;
use crate::memory::{Memory, Use};
use proptest::prelude::*;
use std::sync::Arc;

proptest! {
    #[test]
    fn what_rows_are_about_is_found_from_both_sides_as_in_a_plain_list(
        first in 1u64..1 << 40,
        rows in prop::collection::vec((0u64..4, 0u64..6, 0u64..300), 0..400),
    ) {
        let memory = Arc::new(Memory::default());
        let mut open = OpenTies::new(memory.charge(Use::Open, 0));
        let mut list = Vec::new();
        for (row, &(sort, peer, back)) in rows.iter().enumerate() {
            let id = first + row as u64;
            let peer = match (sort, peer) {
                (0, _) => ProcessId::NONE,
                (_, 0) => ProcessId::UNKNOWN,
                (_, other) => ProcessId(other << 20),
            };
            let message = match (sort, back) {
                (0 | 1, _) => EventId::NONE,
                (_, 0) => EventId::AMBIGUOUS,
                (_, back) => EventId(id.saturating_sub(back)),
            };
            if open.wants(peer, message) > 0 {
                open.grow(peer, message);
            }
            prop_assert_eq!(open.wants(peer, message), 0);
            open.push(row, peer, message);
            list.push((peer, message));
        }
        prop_assert_eq!(memory.total(), open.peers.bytes() + open.links.bytes());
        let peers = Peers::build(&open.peers);
        let links = Crossings::build(first, &open.links);
        prop_assert_eq!(peers.bytes(), Peers::plan(&open.peers));
        prop_assert_eq!(links.bytes(), Crossings::plan(first, &open.links));
        let shown = |peer: ProcessId| peer.some().map(|peer| if peer == ProcessId::UNKNOWN { 0 } else { peer.0 });
        for (row, &(peer, message)) in list.iter().enumerate() {
            prop_assert_eq!(peers.get(row), shown(peer));
            prop_assert_eq!(open.peers.get(row), shown(peer));
            prop_assert_eq!(links.get(row), message.some().map(|m| m.0));
            prop_assert_eq!(open.links.get(row), message.some().map(|m| m.0));
        }
        for target in first.saturating_sub(300)..first + rows.len() as u64 {
            let wanted: Vec<usize> = (0..list.len()).filter(|&row| target != 0 && list[row].1 == EventId(target)).collect();
            prop_assert_eq!(links.to(target).collect::<Vec<_>>(), wanted);
        }
        for wanted in 0..6 {
            let mut marks = vec![0; peers.rows().len()];
            peers.mark_equal(0..marks.len(), wanted << 20, &mut Vec::new(), &mut marks);
            for (place, &mark) in marks.iter().enumerate() {
                prop_assert_eq!(mark == 1, peers.at(place) == wanted << 20);
            }
        }
    }
}
