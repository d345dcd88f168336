//! Numbers of the fields that are written, by the public definitions of Perfetto (`perfetto/trace/*.proto`).

/// `Trace`
pub(super) mod trace {
    pub const PACKET: u32 = 1;
}

/// `TracePacket`
pub(super) mod packet {
    pub const CLOCK_SNAPSHOT: u32 = 6;
    pub const TIMESTAMP: u32 = 8;
    pub const SEQUENCE_ID: u32 = 10;
    pub const TRACK_EVENT: u32 = 11;
    pub const INTERNED_DATA: u32 = 12;
    pub const SEQUENCE_FLAGS: u32 = 13;
    pub const TRACK_DESCRIPTOR: u32 = 60;
    pub const FIRST_ON_SEQUENCE: u32 = 87;

    /// `SequenceFlags`
    pub const CLEARED: u64 = 1;
    pub const NEEDS_STATE: u64 = 2;
}

/// `ClockSnapshot` and `ClockSnapshot.Clock`
pub(super) mod clocks {
    pub const CLOCKS: u32 = 1;
    pub const ID: u32 = 1;
    pub const TIMESTAMP: u32 = 2;

    /// `BuiltinClock`
    pub const REALTIME: u64 = 1;
    pub const BOOTTIME: u64 = 6;
}

/// `TrackDescriptor`, and what stands in it
pub(super) mod descriptor {
    pub const UUID: u32 = 1;
    pub const NAME: u32 = 2;
    pub const PROCESS: u32 = 3;
    pub const PARENT: u32 = 5;
    pub const COUNTER: u32 = 8;
    /// `ProcessDescriptor`
    pub const PID: u32 = 1;
    pub const PROCESS_NAME: u32 = 6;
}

/// `TrackEvent`
pub(super) mod event {
    pub const CATEGORIES: u32 = 3;
    pub const ANNOTATIONS: u32 = 4;
    pub const TYPE: u32 = 9;
    pub const NAME_IID: u32 = 10;
    pub const TRACK: u32 = 11;
    pub const NAME: u32 = 23;
    pub const COUNTER_INT: u32 = 30;
    pub const SOURCE_IID: u32 = 34;
    pub const COUNTER_DOUBLE: u32 = 44;
    pub const FLOWS: u32 = 47;
    pub const LAST_FLOWS: u32 = 48;
    pub const CORRELATION: u32 = 52;

    /// `Type`
    pub const BEGIN: u64 = 1;
    pub const END: u64 = 2;
    pub const INSTANT: u64 = 3;
    pub const COUNTER: u64 = 4;
}

/// `DebugAnnotation`
pub(super) mod annotation {
    pub const NAME_IID: u32 = 1;
    pub const BOOL: u32 = 2;
    pub const INT: u32 = 4;
    pub const DOUBLE: u32 = 5;
    pub const TEXT: u32 = 6;
}

/// `InternedData`, and what stands in it
pub(super) mod interned {
    pub const CATEGORIES: u32 = 1;
    pub const EVENT_NAMES: u32 = 2;
    pub const ANNOTATION_NAMES: u32 = 3;
    pub const SOURCES: u32 = 4;
    pub const IID: u32 = 1;
    pub const NAME: u32 = 2;
    /// `SourceLocation`
    pub const FILE: u32 = 2;
    pub const FUNCTION: u32 = 3;
    pub const LINE: u32 = 4;
}
