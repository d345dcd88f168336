//! What the emulator sees: the table of native functions, and how a raw call becomes a Rust call.
//!
//! We write this table ourselves because rustler's attribute collects the arguments of each call into a vector on the heap,
//! and because its entry has no `upgrade`, without which `ElixirScope.Native` could not be loaded anew while it runs.
#![allow(unsafe_code, reason = "the C interface of the emulator")]

use std::ffi::{CStr, c_int, c_uint};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice;

use elixir_scope_engine::event::EventKind;
use rustler::sys::{ErlNifEnv, ErlNifFunc, ErlNifTerm, enif_make_badarg, enif_raise_exception};
use rustler::{Atom, Encoder, Env, SchedulerFlags, Term};

use crate::term::{Word, word_of};
use crate::{faults, gate};

/// Why a native function has no answer of its own.
#[derive(Debug)]
pub enum Raise {
    /// An argument is not of the kind that the wrapper promised: a fault of ours, raised.
    BadArgument,
    /// A term of the user's is larger than what is kept of one: answered as `{:error, :term_too_big}`.
    TermTooBig,
}

/// The result of a native function.
pub type Answer<'a> = Result<Term<'a>, Raise>;

/// A function that capture calls: whatever happens, it answers and never raises.
pub type Capture<const N: usize> = for<'a> fn(Env<'a>, [Term<'a>; N]) -> Term<'a>;

/// What capture calls at a place of the program, which is the first argument. It answers and never raises.
pub trait AtPlace {
    /// The answer while the gate is closed, and after a panic.
    fn closed(env: Env<'_>) -> Term<'_>;

    /// Records an event of this kind while the gate is open; `others` are the words of the other arguments.
    fn open<'a>(env: Env<'a>, kind: EventKind, place: Term<'a>, others: &'a [Word]) -> Term<'a>;
}

/// Any other native function.
pub type Function<const N: usize> = for<'a> fn(Env<'a>, [Term<'a>; N]) -> Answer<'a>;

/// Lifts raw arguments.
///
/// # Safety
/// `env` and `argv` are those of a NIF call with `N` arguments that is running.
#[inline(always)]
unsafe fn lift<'a, const N: usize>(
    marker: &'a (),
    env: *mut ErlNifEnv,
    argv: *const ErlNifTerm,
) -> (Env<'a>, [Term<'a>; N]) {
    // SAFETY: the environment lives as long as the call, and `marker` no longer.
    let env = unsafe { Env::new(marker, env) };
    // SAFETY: the emulator checked the arity, so `argv` has N words; for N = 0 nothing is read.
    let args = std::array::from_fn(|i| unsafe { Term::new(env, *argv.add(i)) });
    (env, args)
}

/// # Safety
/// As [`lift`].
#[inline(always)]
pub unsafe fn capture<const N: usize>(
    env: *mut ErlNifEnv,
    argv: *const ErlNifTerm,
    fallback: fn(Env<'_>) -> Term<'_>,
    function: Capture<N>,
) -> ErlNifTerm {
    let marker = ();
    // SAFETY: by this function's contract.
    let (env, args) = unsafe { lift::<N>(&marker, env, argv) };
    match catch_unwind(AssertUnwindSafe(|| function(env, args).as_c_arg())) {
        Ok(term) => term,
        Err(panic) => {
            faults::capture_panicked(panic.as_ref());
            fallback(env).as_c_arg()
        }
    }
}

/// A question whose answer is mostly seen at first sight: `first` gives it by the words of the first and the last argument, and cannot
/// panic, so that no register is saved for it; `otherwise` is a function of its own for the rest.
///
/// # Safety
/// As [`lift`].
#[inline(always)]
pub unsafe fn asked<const N: usize>(
    env: *mut ErlNifEnv,
    argv: *const ErlNifTerm,
    first: fn(Word, Word) -> Option<Atom>,
    otherwise: unsafe extern "C" fn(*mut ErlNifEnv, c_int, *const ErlNifTerm) -> ErlNifTerm,
) -> ErlNifTerm {
    const { assert!(N > 0) };
    // SAFETY: the emulator checked the arity, so `argv` has N words.
    let [one, last] = unsafe { [word_of(*argv), word_of(*argv.add(N - 1))] };
    match first(one, last) {
        Some(answer) => answer.as_c_arg(),
        // SAFETY: by this function's contract.
        None => unsafe { otherwise(env, N as c_int, argv) },
    }
}

/// While the gate is closed nothing more is done than to see that.
///
/// # Safety
/// `env`, `argc` and `argv` are those of a NIF call with one argument at least that is running.
#[inline(always)]
pub unsafe fn at_place<F: AtPlace>(
    env: *mut ErlNifEnv,
    argc: c_int,
    argv: *const ErlNifTerm,
    kind: EventKind,
) -> ErlNifTerm {
    if gate::word() == 0 {
        let marker = ();
        // SAFETY: the environment lives as long as the call, and `marker` no longer.
        return F::closed(unsafe { Env::new(&marker, env) }).as_c_arg();
    }
    // SAFETY: by this function's contract.
    unsafe { open::<F>(env, argc, argv, kind) }
}

/// A function of its own, so that a call that finds the gate closed has saved no register.
///
/// # Safety
/// As [`at_place`].
#[inline(never)]
unsafe extern "C" fn open<F: AtPlace>(
    env: *mut ErlNifEnv,
    argc: c_int,
    argv: *const ErlNifTerm,
    kind: EventKind,
) -> ErlNifTerm {
    let marker = ();
    // SAFETY: the environment lives as long as the call, and `marker` no longer.
    let env = unsafe { Env::new(&marker, env) };
    // SAFETY: there is a first argument, a term of this environment.
    let place = unsafe { Term::new(env, *argv) };
    // SAFETY: `argc` words stand there for as long as the call runs, and `ErlNifTerm` is a transparent newtype of a word.
    let others = unsafe { slice::from_raw_parts(argv.add(1).cast::<Word>(), argc as usize - 1) };
    match catch_unwind(AssertUnwindSafe(|| {
        F::open(env, kind, place, others).as_c_arg()
    })) {
        Ok(term) => term,
        Err(panic) => {
            faults::capture_panicked(panic.as_ref());
            F::closed(env).as_c_arg()
        }
    }
}

/// # Safety
/// As [`lift`].
pub unsafe fn call<const N: usize>(
    env: *mut ErlNifEnv,
    argv: *const ErlNifTerm,
    function: Function<N>,
) -> ErlNifTerm {
    let marker = ();
    // SAFETY: by this function's contract.
    let (env, args) = unsafe { lift::<N>(&marker, env, argv) };
    match catch_unwind(AssertUnwindSafe(|| function(env, args))) {
        Ok(Ok(term)) => term.as_c_arg(),
        // SAFETY: the environment of the running call, which returns this very answer.
        Ok(Err(Raise::BadArgument)) => unsafe { enif_make_badarg(env.as_c_arg()) },
        Ok(Err(Raise::TermTooBig)) => (crate::atoms::error(), crate::atoms::term_too_big())
            .encode(env)
            .as_c_arg(),
        Err(panic) => {
            let text = faults::text(panic.as_ref());
            let reason = (crate::atoms::native_panic(), text).encode(env);
            // SAFETY: as above.
            unsafe { enif_raise_exception(env.as_c_arg(), reason.as_c_arg()) }
        }
    }
}

/// Describes one native function.
pub const fn entry(
    name: &'static CStr,
    arity: c_uint,
    flags: SchedulerFlags,
    function: unsafe extern "C" fn(*mut ErlNifEnv, c_int, *const ErlNifTerm) -> ErlNifTerm,
) -> ErlNifFunc {
    ErlNifFunc {
        name: name.as_ptr(),
        arity,
        function,
        flags: flags as c_uint,
    }
}

/// Rows of the function table: `mark` for what instrumented code calls at a place of the program and does nothing while the
/// gate is closed, with the kind of event that it records; `capture` for what else it calls, with its answer after a panic; `raw` for
/// what lifts its arguments itself; `normal`
/// for quick functions; `dirty` for those that take longer than a scheduler may be kept;
/// `dirty_io` for those of them that must not wait until a host's long computations are done.
macro_rules! functions {
    ($($how:ident $name:literal / $arity:literal => $function:path $(, or $fallback:ident)?;)*) => {
        &[$(functions!(@row $how $name $arity $function $(, $fallback)?)),*]
    };
    (@row raw $name:literal $arity:literal $function:path) => {
        $crate::entry::entry($name, $arity, rustler::SchedulerFlags::Normal, $function)
    };
    (@row capture $name:literal $arity:literal $function:path, $fallback:ident) => {{
        #[allow(unsafe_code, reason = "the C interface of the emulator")]
        unsafe extern "C" fn raw(
            env: *mut rustler::sys::ErlNifEnv,
            _argc: std::ffi::c_int,
            argv: *const rustler::sys::ErlNifTerm,
        ) -> rustler::sys::ErlNifTerm {
            // SAFETY: called by the emulator, with the arity that this row states.
            unsafe { $crate::entry::capture::<$arity>(env, argv, $fallback, $function) }
        }
        $crate::entry::entry($name, $arity, rustler::SchedulerFlags::Normal, raw)
    }};
    (@row mark $name:literal $arity:literal $function:ty, $kind:ident) => {{
        #[allow(unsafe_code, reason = "the C interface of the emulator")]
        unsafe extern "C" fn raw(
            env: *mut rustler::sys::ErlNifEnv,
            argc: std::ffi::c_int,
            argv: *const rustler::sys::ErlNifTerm,
        ) -> rustler::sys::ErlNifTerm {
            let kind = elixir_scope_engine::event::EventKind::$kind;
            // SAFETY: called by the emulator, with the arity that this row states, which is not 0.
            unsafe { $crate::entry::at_place::<$function>(env, argc, argv, kind) }
        }
        const { assert!($arity > 0) };
        $crate::entry::entry($name, $arity, rustler::SchedulerFlags::Normal, raw)
    }};
    (@row normal $name:literal $arity:literal $function:path) => {
        functions!(@call Normal $name $arity $function)
    };
    (@row dirty $name:literal $arity:literal $function:path) => {
        functions!(@call DirtyCpu $name $arity $function)
    };
    (@row dirty_io $name:literal $arity:literal $function:path) => {
        functions!(@call DirtyIo $name $arity $function)
    };
    (@call $scheduler:ident $name:literal $arity:literal $function:path) => {{
        #[allow(unsafe_code, reason = "the C interface of the emulator")]
        unsafe extern "C" fn raw(
            env: *mut rustler::sys::ErlNifEnv,
            _argc: std::ffi::c_int,
            argv: *const rustler::sys::ErlNifTerm,
        ) -> rustler::sys::ErlNifTerm {
            // SAFETY: called by the emulator, with the arity that this row states.
            unsafe { $crate::entry::call::<$arity>(env, argv, $function) }
        }
        $crate::entry::entry($name, $arity, rustler::SchedulerFlags::$scheduler, raw)
    }};
}
pub(crate) use functions;
