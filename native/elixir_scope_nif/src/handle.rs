//! Native objects that Elixir holds: one resource type, whose objects own a reference to a ring or a store.
//!
//! rustler's own resources cannot be registered again when the module is loaded anew, so this one is opened by hand, with
//! takeover.
#![allow(unsafe_code, reason = "the emulator's resource interface")]

use std::ffi::{c_char, c_uint, c_void};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

use elixir_scope_engine::TermRing;
use parking_lot::RwLock;
use rustler::sys::{
    ErlNifEnv, ErlNifResourceType, enif_alloc_resource, enif_get_resource, enif_make_resource,
    enif_release_resource,
};
use rustler::{Env, Term};

use crate::event_store::HandStore;
use crate::export::Session;

/// What a handle can stand for. `destroy` leaves `Destroyed` behind.
#[derive(Clone)]
pub enum Object {
    /// Of `ElixirScope.Capture.RingBuffer`.
    Ring(Arc<TermRing>),
    /// Of `ElixirScope.Storage.EventStore`.
    Store(Arc<HandStore>),
    /// Of `ElixirScope.Export`.
    Export(Arc<Session>),
    /// Given back before the handle was.
    Destroyed,
}

type Slot = RwLock<Object>;

const CREATE: c_uint = 1;
const TAKEOVER: c_uint = 2;

unsafe extern "C" {
    // rustler declares the flags as an enumeration of single values, of which no set can be made.
    fn enif_open_resource_type(
        env: *mut ErlNifEnv,
        module: *const c_char,
        name: *const c_char,
        dtor: Option<unsafe extern "C" fn(*mut ErlNifEnv, *mut c_void)>,
        flags: c_uint,
        tried: *mut c_uint,
    ) -> *const ErlNifResourceType;
}

static TYPE: AtomicPtr<ErlNifResourceType> = AtomicPtr::new(ptr::null_mut());

unsafe extern "C" fn drop_slot(_env: *mut ErlNifEnv, object: *mut c_void) {
    // SAFETY: the emulator calls this once, for memory that `new` filled with a slot.
    unsafe { ptr::drop_in_place(object.cast::<Slot>()) }
}

/// Opens the resource type; called while the library loads.
pub fn register(env: Env<'_>) -> bool {
    let mut tried: c_uint = 0;
    // SAFETY: called within load or upgrade, as the interface asks; the module's name is not used (null).
    let opened = unsafe {
        enif_open_resource_type(
            env.as_c_arg(),
            ptr::null(),
            c"elixir_scope_handle".as_ptr(),
            Some(drop_slot),
            CREATE | TAKEOVER,
            &mut tried,
        )
    };
    // Release: the type must be seen complete by whoever makes a handle.
    TYPE.store(opened.cast_mut(), Ordering::Release);
    !opened.is_null()
}

/// A term that owns `object` until it is collected.
pub fn new<'a>(env: Env<'a>, object: Object) -> Term<'a> {
    // SAFETY: the type was opened at load. The memory is aligned to 16 bytes, enough for a slot, and is filled before the
    // term exists; releasing our own reference leaves the term's.
    unsafe {
        let memory = enif_alloc_resource(TYPE.load(Ordering::Acquire), size_of::<Slot>());
        ptr::write(memory.cast::<Slot>(), RwLock::new(object));
        let term = enif_make_resource(env.as_c_arg(), memory);
        enif_release_resource(memory);
        Term::new(env, term)
    }
}

fn slot<'a>(term: Term<'a>) -> Option<&'a Slot> {
    let mut object = ptr::null();
    // SAFETY: answers 0 unless the term is a handle of our type.
    let found = unsafe {
        enif_get_resource(
            term.get_env().as_c_arg(),
            term.as_c_arg(),
            TYPE.load(Ordering::Acquire),
            &mut object,
        )
    };
    // SAFETY: a handle of our type holds a slot; it lives while the term does, which the environment keeps.
    (found != 0).then(|| unsafe { &*object.cast::<Slot>() })
}

/// What the handle stands for, or `None` if the term is no handle of ours.
pub fn get(term: Term<'_>) -> Option<Object> {
    slot(term).map(|slot| slot.read().clone())
}

/// Gives the object back; later calls find [`Object::Destroyed`].
pub fn destroy(term: Term<'_>) -> Option<()> {
    slot(term).map(|slot| *slot.write() = Object::Destroyed)
}
