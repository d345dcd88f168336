//! The emulator's way into the library: what it calls when it loads `ElixirScope.Native`, or loads it anew.
#![allow(unsafe_code, reason = "the C interface of the emulator")]

use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use rustler::Env;
use rustler::codegen_runtime::internal_write_symbols;
use rustler::sys::{ErlNifEntry, ErlNifEnv, ErlNifTerm};

unsafe extern "C" fn load(
    env: *mut ErlNifEnv,
    _priv_data: *mut *mut c_void,
    _load_info: ErlNifTerm,
) -> c_int {
    let marker = ();
    // SAFETY: the emulator's environment for this callback; it and the term outlive `marker`.
    let env = unsafe { Env::new_init_env(&marker, env) };
    match catch_unwind(AssertUnwindSafe(|| crate::library::load(env))) {
        Ok(true) => 0,
        Ok(false) | Err(_) => 1,
    }
}

/// The module is loaded anew while an older instance of it exists. Both use this one mapped library, so the recorder goes on.
unsafe extern "C" fn upgrade(
    env: *mut ErlNifEnv,
    priv_data: *mut *mut c_void,
    _old_priv_data: *mut *mut c_void,
    load_info: ErlNifTerm,
) -> c_int {
    // SAFETY: same contract as `load`.
    unsafe { load(env, priv_data, load_info) }
}

/// The emulator's way in.
#[unsafe(no_mangle)]
pub extern "C" fn nif_init() -> *const ErlNifEntry {
    // SAFETY: fills rustler's table of interface functions; a no-op where they are linked directly.
    unsafe { internal_write_symbols() };
    let mut entry = ErlNifEntry::new(
        c"Elixir.ElixirScope.Native",
        crate::functions::FUNCTIONS,
        load,
    );
    entry.upgrade = Some(upgrade);
    // The emulator keeps the pointer for as long as the library is mapped.
    Box::leak(Box::new(entry))
}
