//! What `ElixirScope.Config` hands down, as the engine and capture want it, and how much of it the guard leaves.

use std::sync::atomic::{AtomicU32, Ordering};

use elixir_scope_engine::event::AtomId;
use elixir_scope_engine::value::Budget;
use elixir_scope_engine::{Policy, RingConfig, StoreConfig};
use rustler::{Atom, Term};

use crate::entry::Raise;
use crate::events::Origin;
use crate::fields::{bounded, count, get, need};
use crate::term::encode::{Rules, most_bytes};
use crate::term::redact::Redaction;
use crate::{atoms, term};

/// What capture works by; replaced as a whole when one of them changes.
#[derive(Clone)]
pub struct Settings {
    /// How one captured term is written.
    pub rules: Rules,
    /// The room of a record whose terms are all within the budget; see [`most_bytes`]. None while values are withheld: the slow
    /// way knows of that, and the quick one need not ask.
    pub quick_bytes: usize,
    /// How a captured state is written.
    pub state_rules: Rules,
    /// What was asked for of a state's bytes; and what a ring holds, of which one state may take the half.
    max_state_bytes: usize,
    buffer_bytes: usize,
    /// Changes of states that were recorded under another epoch say nothing of those to come: something may have changed
    /// unseen, or be written in another way.
    pub state_epoch: u32,
    /// The name of this node.
    pub node: AtomId,
    /// Outermost calls whose random number lies below this are recorded; and what was asked for.
    sampling: u64,
    sampling_asked: u64,
    /// How much is recorded at all.
    pub level: Level,
    /// The recorder's number.
    pub generation: u32,
}

impl Settings {
    /// Reads the start configuration.
    pub fn decode(config: Term<'_>, generation: u32) -> Result<Settings, Raise> {
        let rules = Rules {
            budget: Budget {
                bytes: 0,
                depth: 0,
                length: None,
            },
            redaction: Redaction::off(),
        };
        let settings = Settings {
            state_rules: rules.clone(),
            rules,
            quick_bytes: 0,
            max_state_bytes: 0,
            buffer_bytes: count(config, atoms::buffer_bytes())?,
            state_epoch: next_epoch(),
            node: origin(config)?.node,
            sampling: u64::MAX,
            sampling_asked: u64::MAX,
            level: Level::Full,
            generation,
        };
        settings.changed(config)
    }

    /// These settings with those that the map holds in the place of the old ones.
    pub fn changed(&self, changes: Term<'_>) -> Result<Settings, Raise> {
        let mut new = self.clone();
        let budget = &mut new.rules.budget;
        if get(changes, atoms::max_payload_bytes()).is_some() {
            budget.bytes = count(changes, atoms::max_payload_bytes())?;
        }
        if get(changes, atoms::max_depth()).is_some() {
            budget.depth = count(changes, atoms::max_depth())?
                .try_into()
                .unwrap_or(u32::MAX);
        }
        if get(changes, atoms::max_length()).is_some() {
            budget.length = bounded(changes, atoms::max_length())?;
        }
        if let Some(redact) = get(changes, atoms::redact()) {
            new.rules.redaction = Redaction::from_term(redact).ok_or(Raise::BadArgument)?;
        }
        if get(changes, atoms::max_state_bytes()).is_some() {
            new.max_state_bytes = count(changes, atoms::max_state_bytes())?;
        }
        let was = (self.state_rules.budget, &self.rules.redaction);
        new.state_rules = new.rules.clone();
        new.state_rules.budget.bytes = new.max_state_bytes.min(new.buffer_bytes / 2);
        if was != (new.state_rules.budget, &new.rules.redaction) {
            new.state_epoch = next_epoch();
        }
        if get(changes, atoms::sampling_rate()).is_some() {
            let rate: f64 = need(changes, atoms::sampling_rate())?;
            new.sampling_asked = if rate >= 1.0 {
                u64::MAX
            } else {
                (rate.max(0.0) * u64::MAX as f64) as u64
            };
        }
        new.settle();
        Ok(new)
    }

    /// These settings at another level.
    pub fn at(&self, level: Level) -> Settings {
        let mut new = self.clone();
        if (self.level == Level::Paused) != (level == Level::Paused) {
            // States change unseen meanwhile.
            new.state_epoch = next_epoch();
        }
        new.level = level;
        new.settle();
        new
    }

    /// What follows from the rest.
    fn settle(&mut self) {
        self.quick_bytes = match self.level.withholds() {
            true => 0,
            false => most_bytes(self.rules.budget),
        };
        self.sampling = match self.level.samples() {
            true => self.sampling_asked / SAMPLED_ONE_IN,
            false => self.sampling_asked,
        };
    }

    /// The same, under another epoch of states.
    pub fn renewed(&self) -> Settings {
        Settings {
            state_epoch: next_epoch(),
            ..self.clone()
        }
    }

    /// Whether an outermost call with this random number is recorded.
    #[inline]
    pub fn sampled(&self, random: u64) -> bool {
        self.sampling == u64::MAX || random < self.sampling
    }

    /// Whether every call is recorded, so that no random number is needed.
    #[inline]
    pub fn samples_all(&self) -> bool {
        self.sampling == u64::MAX
    }
}

/// How much is recorded, to spare a host that is in need: each level does what the ones before it do, and more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// As configured.
    Full,
    /// Of arguments, results and messages only what takes one word.
    NoPayloads,
    /// Few of the outermost calls.
    Sampled,
    /// No traces of the VM.
    NoTraces,
    /// Nothing, but how much was lost.
    Paused,
}

impl Level {
    /// All of them, from the lowest.
    pub const ALL: [Level; 5] = [
        Level::Full,
        Level::NoPayloads,
        Level::Sampled,
        Level::NoTraces,
        Level::Paused,
    ];

    /// Whether values are left out.
    pub fn withholds(self) -> bool {
        self >= Level::NoPayloads
    }

    /// Whether few calls are recorded. Where none is, all are counted.
    fn samples(self) -> bool {
        matches!(self, Level::Sampled | Level::NoTraces)
    }
}

/// Of outermost calls that would be recorded, one in so many is where they are sampled.
const SAMPLED_ONE_IN: u64 = 16;

/// An epoch that was never before; not 0.
fn next_epoch() -> u32 {
    static EPOCHS: AtomicU32 = AtomicU32::new(1);
    // Relaxed: the number alone matters.
    EPOCHS.fetch_add(1, Ordering::Relaxed)
}

/// Sizes of the rings.
pub fn rings(config: Term<'_>) -> Result<RingConfig, Raise> {
    let policy: Atom = need(config, atoms::overflow_strategy())?;
    let policy = if policy == atoms::drop_newest() {
        Policy::DropNewest
    } else {
        Policy::DropOldest
    };
    let buffer_bytes = count(config, atoms::buffer_bytes())?;
    Ok(RingConfig::new(
        buffer_bytes,
        count(config, atoms::total_bytes())?,
        policy,
    ))
}

/// Bounds of a store.
pub fn store(config: Term<'_>) -> Result<StoreConfig, Raise> {
    Ok(StoreConfig {
        memory_limit: count(config, atoms::memory_limit())?,
        max_events: bounded(config, atoms::max_events())?,
        max_age_ns: bounded(config, atoms::max_age_ns())?,
    })
}

/// The node and its clock.
pub fn origin(config: Term<'_>) -> Result<Origin, Raise> {
    Ok(Origin {
        node: get(config, atoms::node())
            .and_then(term::atom_id)
            .ok_or(Raise::BadArgument)?,
        time_offset_ns: need(config, atoms::time_offset())?,
    })
}
