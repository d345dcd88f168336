//! Every reader of encoded values, on bytes of any kind: none may panic or fail to end.
//! `cargo +nightly fuzz run value` in `native/elixir_scope_engine`.
#![no_main]

use std::fmt::Write;

use elixir_scope_engine::event::AtomId;
use elixir_scope_engine::value::{
    Limits, Names, compare, compare_exact, contains, equal, equal_numeric, find_step, inspect,
    is_whole, skip, split_first, validate,
};
use libfuzzer_sys::fuzz_target;

struct Numbers;

impl Names for Numbers {
    fn atom_name(&self, atom: AtomId, out: &mut String) -> bool {
        let _ = write!(out, "{}", atom.0);
        atom.0 % 7 != 0
    }
}

fuzz_target!(|input: (&[u8], &[u8])| {
    let (a, b) = input;
    let _ = validate(a);
    let _ = is_whole(a);
    if let Ok(size) = skip(a) {
        assert!(size > 0 && size <= a.len());
        let (first, rest) = split_first(a).unwrap();
        assert_eq!((first.len(), first.len() + rest.len()), (size, a.len()));
        assert_ne!(equal(first, first), Ok(false));
        assert_ne!(equal_numeric(first, first), Ok(false));
    }
    let forth = compare(a, b, &Numbers);
    if let (Ok(forth), Ok(back)) = (forth, compare(b, a, &Numbers)) {
        assert_eq!(forth, back.reverse());
    }
    let _ = compare_exact(a, b, &Numbers);
    let _ = find_step(a, b);
    let _ = contains(a, b);
    let mut text = String::new();
    let _ = inspect(a, &Numbers, Limits::default(), &mut text);
});
