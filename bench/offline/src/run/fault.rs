//! What a launch did wrong.

/// The first thing that a unit did wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: unit {unit} of cube {cube:?}, at `{instruction}`")]
pub struct Fault {
    /// What it is.
    pub kind: Kind,
    /// The unit's number in its cube.
    pub unit: u32,
    /// The cube's position in the grid.
    pub cube: [u32; 3],
    /// The instruction, as PTX names it.
    pub instruction: String,
}

/// What can be wrong. Offsets and lengths are bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Kind {
    /// A buffer that the launch was not given.
    #[error("address {0:#x} is in none of the launch's buffers")]
    NoBuffer(u64),
    /// Past an end.
    #[error("{bytes} bytes at {offset} of {place}, which has {len}")]
    Outside {
        /// Where.
        place: Place,
        /// From where on.
        offset: i64,
        /// How many.
        bytes: usize,
        /// How many there are.
        len: usize,
    },
    /// Not at a multiple of the access' width.
    #[error("{bytes} bytes at {offset} of {place}: not a multiple of their number")]
    Misaligned {
        /// Where.
        place: Place,
        /// From where on, in the allocation.
        offset: i64,
        /// How many.
        bytes: usize,
    },
    /// Nobody wrote it.
    #[error("what was never written is read at {offset} of {place}")]
    Unwritten {
        /// Where.
        place: Place,
        /// From where on.
        offset: usize,
    },
    /// Two units of a cube, between two barriers, and one writes.
    #[error("units {unit} and {other} of a cube meet without a barrier at {offset} of {place}")]
    Units {
        /// Where.
        place: Place,
        /// From where on.
        offset: usize,
        /// The one that comes second here.
        unit: u32,
        /// The other one; one of several where that is not known.
        other: Other,
    },
    /// Two cubes of a launch, and one writes.
    #[error("two cubes of one launch meet at {offset} of {place}, and one of them writes")]
    Cubes {
        /// Where.
        place: Place,
        /// From where on.
        offset: usize,
    },
    /// A barrier that not all units reach, or not the same one.
    #[error("a barrier that {waiting} of {units} units reach")]
    Barrier {
        /// Units at it.
        waiting: usize,
        /// Units of the cube.
        units: usize,
    },
    /// It would go on.
    #[error("no end after {0} instructions")]
    Endless(u64),
    /// What is not modelled.
    #[error("not modelled")]
    Unknown,
}

/// A kind of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A buffer, by its place among the launch's.
    Buffer(usize),
    /// A cube's shared memory.
    Shared,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Buffer(n) => write!(f, "buffer {n}"),
            Self::Shared => f.write_str("shared memory"),
        }
    }
}

/// The other unit of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Other {
    /// It alone.
    Unit(u32),
    /// One of several.
    Several,
}

impl std::fmt::Display for Other {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unit(unit) => write!(f, "{unit}"),
            Self::Several => f.write_str("several others"),
        }
    }
}
