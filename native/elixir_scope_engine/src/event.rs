//! The vocabulary of the tape: kinds of events, ids, and the fields that each kind carries.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        #[repr(transparent)]
        pub struct $name(pub $inner);

        impl $name {
            /// The value that stands for "none".
            pub const NONE: Self = Self(0);

            /// Whether this is a real id, not [`Self::NONE`].
            #[must_use]
            pub fn is_some(self) -> bool {
                self.0 != 0
            }

            /// `Some` of a real id.
            #[must_use]
            pub fn some(self) -> Option<Self> {
                self.is_some().then_some(self)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

id! {
    /// Names one event for the life of the recorder; given by ingest, from 1, in time order without gaps.
    /// A call is named by its entry event.
    EventId(u64)
}
id! {
    /// A process of the host: an opaque number by which the host knows it again.
    ProcessId(u64)
}
id! {
    /// The causal root that an event goes back to; given at capture to each outermost call.
    CorrelationId(u64)
}
id! {
    /// A place in the program, as an index (from 1) into the [`SiteTable`](crate::SiteTable).
    SiteId(u32)
}

impl EventId {
    /// Stands for "one of several" where an event is about a message: more than one could be the one.
    pub const AMBIGUOUS: EventId = EventId(u64::MAX >> 1);
}

impl ProcessId {
    /// Stands for a process at the other end that there is, but that is not known.
    pub const UNKNOWN: ProcessId = ProcessId(u64::MAX);
}

impl CorrelationId {
    /// Stands for "one of several": more than one root could have led to the event. No writer has so high a number.
    pub const AMBIGUOUS: CorrelationId = CorrelationId(0xff_ffff << 40);
}

/// An interned name: an opaque number by which the host knows it again. 0 is a name like any other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(transparent)]
pub struct AtomId(pub u32);

/// A raw reading of the tape's counter; see [`Clock`](crate::Clock).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(transparent)]
pub struct Ticks(pub u64);

/// An instant on the tape's clock, in nanoseconds; like the host's monotonic time it can be negative.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(transparent)]
pub struct TimeNs(pub i64);

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal, [$($field:literal),*];)*) => {
        /// What an event tells.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum EventKind { $($(#[$doc])* $name = $number,)* }

        impl EventKind {
            /// All kinds, in the order of their numbers.
            pub const ALL: &'static [EventKind] = &[$(EventKind::$name,)*];

            /// The public name, as in `:event_type`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(EventKind::$name => $text,)* }
            }

            /// The fields that stand in the payload, one encoded value each, in this order. What a header column holds
            /// (module, function, call_id, …) is not among them.
            #[must_use]
            pub const fn fields(self) -> &'static [&'static str] {
                match self { $(EventKind::$name => &[$($field),*],)* }
            }

            /// The kind with this number.
            #[must_use]
            pub const fn from_u8(number: u8) -> Option<EventKind> {
                match number { $($number => Some(EventKind::$name),)* _ => None }
            }

            /// The kind with this public name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<EventKind> {
                match name { $($text => Some(EventKind::$name),)* _ => None }
            }
        }
    };
}

kinds! {
    /// A call began.
    FunctionEntry = 1, "function_entry", ["args"];
    /// A call ended. Ingest appends `duration_ns`.
    FunctionExit = 2, "function_exit", ["exit_reason", "result", "duration_ns"];
    /// What `Trace.event/2` records.
    UserEvent = 3, "user_event", ["name", "data"];
    /// A span began.
    SpanStart = 4, "span_start", ["name", "metadata"];
    /// A span ended. Ingest appends `duration_ns`.
    SpanStop = 5, "span_stop", ["name", "metadata", "exit_reason", "duration_ns"];
    /// A process changed its state. A record has the trigger and then what changed
    /// ([`StatePart`](crate::StatePart)); the recorder's store keeps the trigger, and its queries fill in the rest.
    StateChange = 6, "state_change", ["callback", "trigger_message", "old_state", "new_state", "state_diff", "quality"];
    /// What a callback answered.
    CallbackReply = 7, "callback_reply", ["callback", "reply", "timeout", "hibernate", "continue_data"];
    /// A message was sent.
    MessageSend = 8, "message_send", [
        "sender_pid", "receiver_pid", "receiver_name", "message", "message_id", "send_type", "call_ref",
        "received_at", "handled_at", "queue_time_ns", "to_dead"
    ];
    /// A message arrived in a mailbox.
    MessageReceive = 9, "message_receive", ["receiver_pid", "sender_pid", "message", "message_id", "queue_time_ns"];
    /// A process was born.
    ProcessSpawn = 10, "process_spawn", [
        "spawned_pid", "parent_pid", "module", "function", "args", "registered_name"
    ];
    /// A process ended.
    ProcessExit = 11, "process_exit", ["exit_reason", "lifetime_ns"];
    /// Two processes were linked.
    ProcessLink = 12, "process_link", ["other_pid"];
    /// A link was taken away.
    ProcessUnlink = 13, "process_unlink", ["other_pid"];
    /// A process took a name.
    ProcessRegister = 14, "process_register", ["name"];
    /// A process lost its name.
    ProcessUnregister = 15, "process_unregister", ["name"];
    /// Local bindings at a place of the program.
    VariableAssignment = 16, "variable_assignment", ["bindings"];
    /// An error was seen.
    Error = 17, "error", ["error_class", "error_type", "error_message", "stacktrace", "context"];
    /// A process crashed.
    Crash = 18, "crash", ["crash_reason", "process_state", "supervisor_pid", "restart_count", "linked_pids"];
    /// A measurement.
    PerformanceMetric = 19, "performance_metric", ["metric_name", "value", "unit", "metadata"];
    /// A garbage collection of one process.
    GarbageCollection = 20, "garbage_collection", ["gc_type", "heap_before", "heap_after", "duration_ns"];
    /// What `:telemetry` reported.
    Telemetry = 21, "telemetry", ["name", "measurements", "metadata"];
    /// A node came or went.
    NodeEvent = 22, "node_event", ["other_node", "event", "reason"];
    /// A trace began or ended.
    TraceControl = 23, "trace_control", ["operation", "target", "limits", "reason"];
    /// Events were lost. Made by ingest.
    DataLoss = 24, "data_loss", ["from", "until", "count", "cause", "writer"];
    /// A process took a message out of its mailbox, of which a token of the host says which it is.
    MessageTaken = 25, "message_taken", ["receiver_pid", "sender_pid", "message", "message_id", "queue_time_ns"];
}

/// A set of [`EventKind`]s.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KindSet(u32);

impl KindSet {
    /// Every kind.
    pub const ALL: KindSet = KindSet(u32::MAX);
    /// No kind.
    pub const EMPTY: KindSet = KindSet(0);

    /// This set and `kind`.
    #[must_use]
    pub const fn with(self, kind: EventKind) -> KindSet {
        KindSet(self.0 | 1 << kind as u32)
    }

    /// Bit n of the set stands for the kind with the number n.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether `kind` is in the set.
    #[must_use]
    pub const fn contains(self, kind: EventKind) -> bool {
        self.0 & 1 << kind as u32 != 0
    }
}

/// Words that the engine itself writes into payloads. The host says by which [`AtomId`] it knows each of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Symbol {
    /// No value.
    Nil,
    /// A call ended with a result.
    Normal,
    /// A call ended in a tail call.
    TailCall,
    /// Loss: the ring took back its oldest chunk.
    DroppedOldest,
    /// Loss: the ring was full and keeps what it has.
    DroppedNewest,
    /// Loss: one record was larger than the ring.
    TooBig,
    /// Loss: the store had no room.
    StoreFull,
    /// Loss: nothing is recorded, to spare the host.
    Guard,
    /// Several are possible.
    Ambiguous,
    /// A message as a request, whose sender waits for the answer.
    Call,
    /// A message as a request that is not answered.
    Cast,
    /// A plain message.
    Send,
    /// A plain message, as a state machine names it.
    Info,
    /// A name that is known on all nodes.
    Global,
    /// Proved by what the host gave later.
    Exact,
    /// Nothing seen speaks against it.
    Unverified,
    /// A part of it is missing or doubtful.
    Approximate,
    /// Of a change: where it is.
    Path,
    /// Of a change: what it is.
    Op,
    /// Of a change: the value before.
    Old,
    /// Of a change: the value after.
    New,
    /// There was no value before.
    Added,
    /// There is none after.
    Removed,
    /// There is another one.
    Changed,
    /// It is not so.
    False,
    /// It is so.
    True,
    /// A trace began.
    Started,
    /// A message as the answer to a request.
    Reply,
    /// A message of `sys`.
    System,
    /// A message that the host makes when a process ends that is watched.
    Down,
    /// A message that the host makes when a process ends that is linked.
    Exit,
    /// A message that the host makes when a timer runs out.
    Timer,
}

impl Symbol {
    /// All symbols, in the order of [`Symbols`].
    pub const ALL: &'static [Symbol] = &[
        Symbol::Nil,
        Symbol::Normal,
        Symbol::TailCall,
        Symbol::DroppedOldest,
        Symbol::DroppedNewest,
        Symbol::TooBig,
        Symbol::StoreFull,
        Symbol::Guard,
        Symbol::Ambiguous,
        Symbol::Call,
        Symbol::Cast,
        Symbol::Send,
        Symbol::Info,
        Symbol::Global,
        Symbol::Exact,
        Symbol::Unverified,
        Symbol::Approximate,
        Symbol::Path,
        Symbol::Op,
        Symbol::Old,
        Symbol::New,
        Symbol::Added,
        Symbol::Removed,
        Symbol::Changed,
        Symbol::False,
        Symbol::True,
        Symbol::Started,
        Symbol::Reply,
        Symbol::System,
        Symbol::Down,
        Symbol::Exit,
        Symbol::Timer,
    ];

    /// The name that the host is asked to intern.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Symbol::Nil => "nil",
            Symbol::Normal => "normal",
            Symbol::TailCall => "tail_call",
            Symbol::DroppedOldest => "dropped_oldest",
            Symbol::DroppedNewest => "dropped_newest",
            Symbol::TooBig => "too_big",
            Symbol::StoreFull => "store_full",
            Symbol::Guard => "guard",
            Symbol::Ambiguous => "ambiguous",
            Symbol::Call => "call",
            Symbol::Cast => "cast",
            Symbol::Send => "send",
            Symbol::Info => "info",
            Symbol::Global => "global",
            Symbol::Exact => "exact",
            Symbol::Unverified => "unverified",
            Symbol::Approximate => "approximate",
            Symbol::Path => "path",
            Symbol::Op => "op",
            Symbol::Old => "old",
            Symbol::New => "new",
            Symbol::Added => "added",
            Symbol::Removed => "removed",
            Symbol::Changed => "changed",
            Symbol::False => "false",
            Symbol::True => "true",
            Symbol::Started => "started",
            Symbol::Reply => "reply",
            Symbol::System => "system",
            Symbol::Down => "down",
            Symbol::Exit => "exit",
            Symbol::Timer => "timer",
        }
    }
}

/// The host's [`AtomId`] of each [`Symbol`].
#[derive(Clone, Copy, Debug)]
pub struct Symbols([AtomId; Symbol::ALL.len()]);

impl Symbols {
    /// Asks `intern` for the id of each name.
    pub fn new(mut intern: impl FnMut(&'static str) -> AtomId) -> Symbols {
        let mut ids = [AtomId(0); Symbol::ALL.len()];
        for (id, symbol) in ids.iter_mut().zip(Symbol::ALL) {
            *id = intern(symbol.name());
        }
        Symbols(ids)
    }

    /// The host's id of `symbol`.
    #[must_use]
    #[allow(clippy::indexing_slicing, reason = "one entry for each symbol")]
    pub const fn id(&self, symbol: Symbol) -> AtomId {
        self.0[symbol as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_found_by_number_and_name() {
        for &kind in EventKind::ALL {
            assert_eq!(EventKind::from_u8(kind as u8), Some(kind));
            assert_eq!(EventKind::from_name(kind.name()), Some(kind));
            assert!(KindSet::EMPTY.with(kind).contains(kind));
            assert!(!KindSet::EMPTY.contains(kind));
        }
        assert_eq!(EventKind::from_u8(0), None);
        assert_eq!(EventKind::from_name("no_such_kind"), None);
    }
}
