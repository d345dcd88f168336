//! The tape as a file: the native side hands out what is to be written, piece by piece.

use std::sync::{Arc, Weak};

use elixir_scope_engine::{Export, ExportOptions, Recorder};
use parking_lot::Mutex;
use rustler::{Binary, Encoder, Env, OwnedBinary, Term};

use crate::entry::{Answer, Raise};
use crate::fields::list;
use crate::handle::{self, Object};
use crate::query::{decode, timeout};
use crate::recorder::{PATIENCE, not_running};
use crate::text::Spoken;
use crate::{atoms, host, library, runtime};

/// An export under way, of one recorder: it ends with that.
pub struct Session {
    recorder: Weak<Recorder>,
    export: Mutex<Export>,
}

/// `export_open(query, [{pid, name}])`
pub fn open<'a>(env: Env<'a>, [map, names]: [Term<'a>; 2]) -> Answer<'a> {
    let query = decode(map)?;
    let names = list(names).ok_or(Raise::BadArgument)?;
    let names = names
        .into_iter()
        .map(|pair| {
            let (pid, name): (Term<'a>, String) = pair.decode().map_err(|_| Raise::BadArgument)?;
            Ok((host::process(pid), name))
        })
        .collect::<Result<Vec<_>, Raise>>()?;
    let Some(running) = runtime::running() else {
        return Ok(not_running(env));
    };
    let options = ExportOptions {
        values: query.payload,
        names,
    };
    let begun = running.recorder.export(query, options, PATIENCE);
    if !begun.complete {
        return Ok(timeout(env));
    }
    let session = Session {
        recorder: Arc::downgrade(&running.recorder),
        export: Mutex::new(begun.answer),
    };
    let handle = handle::new(env, Object::Export(Arc::new(session)));
    Ok((atoms::ok(), handle).encode(env))
}

/// `export_step(export)`: `{bytes, %{events:, tracks:, done:, total:, evicted:, complete:}}`
pub fn step<'a>(env: Env<'a>, [handle]: [Term<'a>; 1]) -> Answer<'a> {
    let Some(Object::Export(session)) = handle::get(handle) else {
        return Err(Raise::BadArgument);
    };
    let recorder = session.recorder.upgrade();
    let running = runtime::running();
    let Some(recorder) = recorder
        .filter(|recorder| running.is_some_and(|running| Arc::ptr_eq(&running.recorder, recorder)))
    else {
        return Ok(not_running(env));
    };
    let mut bytes = Vec::new();
    let progress = recorder.export_step(&mut session.export.lock(), &Spoken(env), &mut bytes);
    let mut binary = OwnedBinary::new(bytes.len());
    binary.copy_from_slice(&bytes);
    let progress = library::map(
        env,
        &[
            (atoms::events(), progress.events.encode(env)),
            (atoms::tracks(), progress.tracks.encode(env)),
            (atoms::done(), progress.done.encode(env)),
            (atoms::total(), progress.of.encode(env)),
            (atoms::evicted(), progress.evicted.encode(env)),
            (atoms::complete(), progress.is_complete.encode(env)),
        ],
    )?;
    Ok((Binary::from_owned(binary, env), progress).encode(env))
}
