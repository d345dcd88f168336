//! Deltas of any bytes, applied to values of any bytes: none may panic or fail to end, the readers agree, a value remains a
//! value, and the delta of two values is one.
//! `cargo +nightly fuzz run delta` in `native/elixir_scope_engine`.
#![no_main]

use elixir_scope_engine::value::{Patched, changes, diff, skip, skip_delta, touch};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], &[u8], &[u8])| {
    let (old, first, second) = input;
    for delta in [first, second] {
        let size = skip_delta(delta);
        assert_eq!(touch(delta, &mut |_| {}), size.map(drop));
    }
    let Ok(mut patched) = Patched::new(old) else {
        return;
    };
    for delta in [first, second] {
        if let Ok(applied) = patched.apply(delta) {
            assert_eq!(Ok(applied.size), skip_delta(delta));
        }
        let mut now = Vec::new();
        patched.write(&mut now);
        assert_eq!(skip(&now), Ok(now.len()));
        let _ = changes(old, &now, &mut |_| true, &mut |_| {});
        let mut between = Vec::new();
        if diff(old, &now, &mut between).is_ok() {
            // whether it fits is not asked: in a map of any bytes a key may stand twice
            let applied = Patched::new(old).unwrap().apply(&between).unwrap();
            assert_eq!(applied.size, between.len());
            assert!(applied.knows);
        }
    }
});
