//! Deltas against the trees that they change.

use super::super::equal;
use super::*;

fn patched(old: &[u8], deltas: &[&[u8]]) -> Vec<u8> {
    let mut patched = Patched::new(old).unwrap();
    for delta in deltas {
        let applied = patched.apply(delta).unwrap();
        assert_eq!(
            applied,
            Applied {
                size: delta.len(),
                fits: true,
                knows: true
            },
            "{delta:?}"
        );
    }
    let mut out = Vec::new();
    patched.write(&mut out);
    out
}

use super::super::tree::any_tree;
use proptest::prelude::*;

proptest! {
    #[test]
    fn the_delta_applied_to_the_old_value_equals_the_new_one(old in any_tree(), new in any_tree()) {
        let (old, new) = (old.bytes(), new.bytes());
        let mut delta = Vec::new();
        diff(&old, &new, &mut delta).unwrap();
        prop_assert_eq!(skip_delta(&delta), Ok(delta.len()));
        prop_assert!(delta.len() <= 1 + new.len());
        let now = patched(&old, &[&delta]);
        prop_assert_eq!(equal(&now, &new), Ok(true));
    }
}
