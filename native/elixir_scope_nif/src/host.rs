//! What the engine asks of the BEAM.
#![allow(
    unsafe_code,
    reason = "interface calls that rustler offers only with a process's environment"
)]

use std::mem::MaybeUninit;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use elixir_scope_engine::Host;
use elixir_scope_engine::event::{AtomId, ProcessId};
use once_cell::sync::Lazy;
use parking_lot::RwLock;
use rustler::sys::{
    ErlNifPid, ErlNifPort, ErlNifTimeUnit, enif_is_process_alive, enif_monotonic_time, enif_self,
    enif_whereis_pid, enif_whereis_port,
};
use rustler::{Encoder, Env, LocalPid, OwnedEnv, Term};

use crate::atoms;
use crate::term::{self, Word};

/// The emulator that this library is loaded in, and the relay process of each subscription.
#[derive(Default)]
pub struct Beam {
    /// The emulator's monotonic time less the time since [`EPOCH`], when a scheduler looked last: the emulator tells its time
    /// to schedulers only, and our own thread wants to know it too.
    offset_ns: AtomicI64,
    relays: RwLock<Vec<(u64, LocalPid)>>,
}

/// What the emulator answers to a thread that it does not tell the time (`ERL_NIF_TIME_ERROR`).
const NO_TIME: i64 = i64::MIN;

/// Both times must have been read within this for their distance to count.
const OFFSET_WINDOW_NS: i64 = 20_000;

static EPOCH: Lazy<Instant> = Lazy::new(Instant::now);

/// The one emulator.
pub static BEAM: Lazy<Arc<Beam>> = Lazy::new(Arc::default);

/// The process of a pid's word.
pub fn process(pid: Term<'_>) -> ProcessId {
    ProcessId(term::word(pid) as u64)
}

/// The word of a process, which is also how the emulator knows it in a term.
pub fn pid_word(process: ProcessId) -> Word {
    process.0 as Word
}

/// The process that runs this call.
#[inline(always)]
pub fn this_process(env: Env<'_>) -> ProcessId {
    let mut pid = MaybeUninit::<ErlNifPid>::uninit();
    // SAFETY: a call's environment has a process, and then the emulator fills `pid`: a C struct of one term.
    unsafe {
        if enif_self(env.as_c_arg(), pid.as_mut_ptr()).is_null() {
            return ProcessId::NONE;
        }
        ProcessId(pid.as_ptr().cast::<Word>().read() as u64)
    }
}

/// The process of this node that has a name.
pub fn whereis(env: Env<'_>, name: Term<'_>) -> Option<ProcessId> {
    let mut pid = MaybeUninit::<ErlNifPid>::uninit();
    // SAFETY: the environment and the term of the running call; the emulator fills `pid` if it answers true: a C struct of one
    // term.
    unsafe {
        (enif_whereis_pid(env.as_c_arg(), name.as_c_arg(), pid.as_mut_ptr()) != 0)
            .then(|| ProcessId(pid.as_ptr().cast::<Word>().read() as u64))
    }
}

/// Whether a port of this node has the name.
pub fn names_port(env: Env<'_>, name: Term<'_>) -> bool {
    let mut port = MaybeUninit::<ErlNifPort>::uninit();
    // SAFETY: as above; what is filled is not read.
    unsafe { enif_whereis_port(env.as_c_arg(), name.as_c_arg(), port.as_mut_ptr()) != 0 }
}

fn process_of(pid: &LocalPid) -> ProcessId {
    // SAFETY: `ErlNifPid` is a C struct of one term.
    ProcessId(unsafe { ptr::from_ref(pid.as_c_arg()).cast::<Word>().read() } as u64)
}

fn nif_pid(process: ProcessId) -> ErlNifPid {
    // SAFETY: `ErlNifPid` is a C struct of one term, here the immediate word of a local pid.
    unsafe { std::mem::transmute::<Word, ErlNifPid>(process.0 as Word) }
}

/// Names of atoms, for the order of terms.
pub struct Names;

impl elixir_scope_engine::value::Names for Names {
    fn atom_name(&self, atom: AtomId, out: &mut String) -> bool {
        term::atom_text(atom, out)
    }
}

impl Beam {
    /// Remembers whom to wake for a subscription.
    pub fn add_relay(&self, subscription: u64, relay: LocalPid) {
        self.relays.write().push((subscription, relay));
    }

    /// The subscriptions whose relay has died.
    pub fn orphans(&self) -> Vec<u64> {
        let relays = self.relays.read();
        let dead = relays
            .iter()
            .filter(|(_, relay)| !self.is_alive(process_of(relay)));
        dead.map(|(id, _)| *id).collect()
    }

    /// Forgets a subscription's relay.
    pub fn remove_relay(&self, subscription: u64) {
        self.relays.write().retain(|(id, _)| *id != subscription);
    }
}

impl Host for Beam {
    fn monotonic_ns(&self) -> i64 {
        let elapsed = || i64::try_from(EPOCH.elapsed().as_nanos()).unwrap_or(i64::MAX);
        let before = elapsed();
        // SAFETY: may be called from any thread; on one that is no scheduler it answers `NO_TIME`.
        let told = unsafe { enif_monotonic_time(ErlNifTimeUnit::ERL_NIF_NSEC) };
        if told == NO_TIME {
            // Relaxed: any recent offset will do.
            return before.saturating_add(self.offset_ns.load(Ordering::Relaxed));
        }
        let window = elapsed() - before;
        // A thread that was kept from running in between has learnt nothing: the older offset is better.
        if window < OFFSET_WINDOW_NS || self.offset_ns.load(Ordering::Relaxed) == 0 {
            let offset = told.saturating_sub(before + window / 2);
            self.offset_ns.store(offset, Ordering::Relaxed);
        }
        told
    }

    fn is_alive(&self, process: ProcessId) -> bool {
        let pid = nif_pid(process);
        // SAFETY: may be called from any thread; outside of the emulator's threads there is no environment to give.
        unsafe { enif_is_process_alive(ptr::null_mut(), &pid) != 0 }
    }

    fn notify(&self, subscription: u64) {
        let relay = self
            .relays
            .read()
            .iter()
            .find(|(id, _)| *id == subscription)
            .map(|(_, pid)| *pid);
        // Called by the engine's own thread alone: one of the emulator's could not send from an environment of its own.
        if let Some(relay) = relay {
            // That a relay is dead is seen by `orphans`.
            let _ = OwnedEnv::new().send_and_clear(&relay, |env| {
                (atoms::elixir_scope_subscription(), subscription).encode(env)
            });
        }
    }

    fn atom_name(&self, atom: AtomId, out: &mut String) -> bool {
        term::atom_text(atom, out)
    }
}
