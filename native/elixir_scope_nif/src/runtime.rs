//! The one recorder of this library, and the settings that capture works by. Both live in statics: they outlive the module
//! instance that started them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use elixir_scope_engine::event::ProcessId;
use elixir_scope_engine::{Gap, ProcessSlots, Recorder};
use parking_lot::RwLock;

use crate::gate;
use crate::host::BEAM;
use crate::settings::Settings;

/// A recorder that was started and not stopped.
#[derive(Clone)]
pub struct Running {
    pub recorder: Arc<Recorder>,
    pub settings: Arc<Settings>,
    /// What the gate holds while this one records.
    word: u64,
    pub paused: bool,
}

static RUNNING: RwLock<Option<Running>> = RwLock::new(None);
static WORDS: AtomicU64 = AtomicU64::new(1);
static GENERATIONS: AtomicU32 = AtomicU32::new(1);

/// A word for the gate that was never used before.
fn next_word() -> u64 {
    // Relaxed: the number alone matters.
    WORDS.fetch_add(1, Ordering::Relaxed)
}

/// A number for the next recorder: slots know by it what an older one left behind.
pub fn next_generation() -> u32 {
    GENERATIONS.fetch_add(1, Ordering::Relaxed)
}

/// The running recorder, with all that belongs to it.
pub fn running() -> Option<Running> {
    RUNNING.read().clone()
}

/// What a thread needs to record under this gate's word; `None` if the word is out of date.
pub fn attach(word: u64) -> Option<(Arc<Recorder>, Arc<Settings>)> {
    let running = RUNNING.read();
    let running = running.as_ref().filter(|running| running.word == word)?;
    Some((running.recorder.clone(), running.settings.clone()))
}

/// Makes a recorder and opens the gate; `Ok(false)`, without making one, if there is one already.
pub fn start<E>(make: impl FnOnce() -> Result<(Arc<Recorder>, Settings), E>) -> Result<bool, E> {
    let mut slot = RUNNING.write();
    if slot.is_some() {
        return Ok(false);
    }
    let (recorder, settings) = make()?;
    let word = next_word();
    *slot = Some(Running {
        recorder,
        settings: Arc::new(settings),
        word,
        paused: false,
    });
    gate::open(word);
    Ok(true)
}

/// Closes the gate, joins the recorder's thread and frees the tape.
pub fn stop() {
    gate::close();
    // Taken out first: threads that are still past the gate find nothing to attach to.
    let running = RUNNING.write().take();
    if let Some(running) = running {
        running.recorder.stop();
    }
}

/// Closes or opens the gate of the running recorder; `false` if there is none.
pub fn pause(paused: bool) -> bool {
    if let Some(running) = running().filter(|running| running.paused && !paused) {
        running.recorder.gap(Gap::Everything);
    }
    let mut slot = RUNNING.write();
    let Some(running) = slot.as_mut() else {
        return false;
    };
    if running.paused && !paused {
        // States may have changed meanwhile.
        running.settings = Arc::new(running.settings.renewed());
        running.word = next_word();
    }
    running.paused = paused;
    if paused {
        gate::close();
    } else {
        gate::open(running.word);
    }
    true
}

/// What was recorded of states no longer tells how they go on: other places of the program record from now on.
pub fn renew_states() {
    let _ = update(|settings| Ok::<_, ()>(settings.renewed()));
}

/// Puts new settings in the place of the old ones; every thread fetches them before its next record. `Ok(false)` without a
/// recorder.
pub fn update<E>(change: impl FnOnce(&Settings) -> Result<Settings, E>) -> Result<bool, E> {
    let mut slot = RUNNING.write();
    let Some(running) = slot.as_mut() else {
        return Ok(false);
    };
    running.settings = Arc::new(change(&running.settings)?);
    running.word = next_word();
    if !running.paused {
        gate::open(running.word);
    }
    Ok(true)
}

/// Mutes a process: nothing that it does is recorded until it was unmuted as often.
pub fn mute(process: ProcessId) {
    if let Some(slot) = ProcessSlots::shared().get(process, &**BEAM) {
        slot.mute();
    }
}

/// Nothing of a process is recorded any more.
pub fn mute_for_life(process: ProcessId) {
    if let Some(slot) = ProcessSlots::shared().get(process, &**BEAM) {
        slot.mute_for_life();
    }
}

/// Takes one mute back.
pub fn unmute(process: ProcessId) {
    if let Some(slot) = ProcessSlots::shared().find(process) {
        slot.unmute();
    }
}
