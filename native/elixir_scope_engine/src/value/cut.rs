//! Marks for what a budget left out.

/// What was cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Cut {
    /// The end of a binary; its prefix is kept. Sizes are in bytes.
    Binary = 1,
    /// The end of a bit string; its prefix is kept, in whole bytes. Sizes are in bits.
    Bits = 2,
    /// The end of a list.
    List = 3,
    /// Pairs of a map.
    Map = 4,
    /// The end of a tuple.
    Tuple = 5,
    /// A container that stood too deep.
    Depth = 6,
    /// The environment of a fun; as a value of its own, the fun with the text of its identity as prefix.
    FunEnv = 7,
    /// A value for which no byte was left.
    Bytes = 8,
    /// The state of the process, which stands in its timeline: queries put it in its place.
    State = 9,
    /// A value that was left out to spare the host.
    Guard = 10,
}

/// A value that is [`Cut::State`]: the whole state stood here.
pub const STATE_MARK: [u8; 4] = [super::format::TRUNCATED, Cut::State as u8, 0, 0];
/// The same of the data of a state machine, the second of the two that its state is.
pub const DATA_MARK: [u8; 4] = [super::format::TRUNCATED, Cut::State as u8, 1, 0];

/// A value that is [`Cut::Guard`].
pub const GUARD_MARK: [u8; 4] = [super::format::TRUNCATED, Cut::Guard as u8, 0, 0];

impl Cut {
    /// All of them.
    pub const ALL: &'static [Cut] = &[
        Cut::Binary,
        Cut::Bits,
        Cut::List,
        Cut::Map,
        Cut::Tuple,
        Cut::Depth,
        Cut::FunEnv,
        Cut::Bytes,
        Cut::State,
        Cut::Guard,
    ];

    /// The cut of this number.
    #[must_use]
    pub const fn from_u8(number: u8) -> Option<Cut> {
        Some(match number {
            1 => Cut::Binary,
            2 => Cut::Bits,
            3 => Cut::List,
            4 => Cut::Map,
            5 => Cut::Tuple,
            6 => Cut::Depth,
            7 => Cut::FunEnv,
            8 => Cut::Bytes,
            9 => Cut::State,
            10 => Cut::Guard,
            _ => return None,
        })
    }

    /// The public name, as in `%ElixirScope.Truncated{kind: name}`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Cut::Binary => "binary",
            Cut::Bits => "bits",
            Cut::List => "list",
            Cut::Map => "map",
            Cut::Tuple => "tuple",
            Cut::Depth => "depth",
            Cut::FunEnv => "fun_env",
            Cut::Bytes => "bytes",
            Cut::State => "state",
            Cut::Guard => "guard",
        }
    }

    /// Whether a `TRUNCATED` of this kind carries a kept prefix.
    #[must_use]
    pub const fn has_prefix(self) -> bool {
        matches!(self, Cut::Binary | Cut::Bits | Cut::FunEnv)
    }
}

/// A mark as it stands in the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark<'a> {
    /// What was cut.
    pub cut: Cut,
    /// How much of it is there: elements, pairs, bytes or bits.
    pub kept: u64,
    /// How much there was, where known.
    pub total: Option<u64>,
    /// What is kept of a binary, bit string or fun that stands as a mark of its own; empty for the rest.
    pub prefix: &'a [u8],
}
