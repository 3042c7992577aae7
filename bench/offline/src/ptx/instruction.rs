//! The instructions that a walk tells apart.

/// The type of an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Pred,
    /// Untyped, unsigned, signed, floating-point: bits.
    B(u32),
    U(u32),
    S(u32),
    F(u32),
    /// Two halves in 32 bits.
    Pair,
}

impl Type {
    pub fn of(word: &str) -> Option<Self> {
        if word == "pred" {
            return Some(Self::Pred);
        }
        if matches!(word, "f16x2" | "bf16x2") {
            return Some(Self::Pair);
        }
        if word == "bf16" {
            return Some(Self::F(16));
        }
        let (kind, bits) = word.split_at_checked(1)?;
        let bits = bits.parse().ok()?;
        match kind {
            "b" => Some(Self::B(bits)),
            "u" => Some(Self::U(bits)),
            "s" => Some(Self::S(bits)),
            "f" => Some(Self::F(bits)),
            _ => None,
        }
    }

    pub fn bits(self) -> u32 {
        match self {
            Self::Pred => 1,
            Self::Pair => 32,
            Self::B(bits) | Self::U(bits) | Self::S(bits) | Self::F(bits) => bits,
        }
    }
}

/// What an instruction reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    Register(u32),
    Constant(u64),
    /// The unit's position in its cube, along an axis.
    Unit(usize),
    /// The cube's in the grid.
    Cube(usize),
    /// Cubes of the grid, units of a cube.
    Cubes(usize),
    Units(usize),
    Lane,
}

/// The memory that an instruction goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    Global,
    Shared,
    Local,
    Parameter,
}

/// Where a load or store goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Address {
    /// The n-th parameter, from an offset on.
    Parameter(usize, u64),
    Memory(Value, u64),
}

/// What an instruction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Branch,
    Return,
    Barrier,
    Load(Space),
    Store(Space),
    Compute(Compute),
}

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compute {
    Move,
    Convert,
    Compare,
    Select,
    And,
    Or,
    Xor,
    Not,
    ShiftLeft,
    ShiftRight,
    Add,
    Subtract,
    Multiply,
    MultiplyAdd,
    Divide,
    Remainder,
    Least,
    Largest,
    Negate,
    Absolute,
    Root,
    Reciprocal,
    Exponential,
    Logarithm,
    InverseRoot,
    Sine,
    Cosine,
    /// Of the hyperbola.
    Tangent,
    CopySign,
    CountOnes,
    LeadingZeros,
    /// Some bits of a word.
    Extract,
    /// A value of another unit.
    Shuffle,
    /// What orders accesses of memory, which here happen one after the other.
    Fence,
    Other,
}

impl Compute {
    pub fn of(word: &str) -> Self {
        match word {
            "mov" | "cvta" => Self::Move,
            "cvt" => Self::Convert,
            "setp" => Self::Compare,
            "selp" => Self::Select,
            "and" => Self::And,
            "or" => Self::Or,
            "xor" => Self::Xor,
            "not" => Self::Not,
            "shl" => Self::ShiftLeft,
            "shr" => Self::ShiftRight,
            "add" => Self::Add,
            "sub" => Self::Subtract,
            "mul" => Self::Multiply,
            "mad" | "fma" => Self::MultiplyAdd,
            "div" => Self::Divide,
            "rem" => Self::Remainder,
            "min" => Self::Least,
            "max" => Self::Largest,
            "neg" => Self::Negate,
            "abs" => Self::Absolute,
            "sqrt" => Self::Root,
            "rcp" => Self::Reciprocal,
            "ex2" => Self::Exponential,
            "lg2" => Self::Logarithm,
            "rsqrt" => Self::InverseRoot,
            "sin" => Self::Sine,
            "cos" => Self::Cosine,
            "tanh" => Self::Tangent,
            "copysign" => Self::CopySign,
            "popc" => Self::CountOnes,
            "clz" => Self::LeadingZeros,
            "bfe" => Self::Extract,
            "shfl" => Self::Shuffle,
            "fence" | "membar" => Self::Fence,
            _ => Self::Other,
        }
    }
}

/// One instruction.
#[derive(Clone, Debug)]
pub(super) struct Instruction {
    /// The predicate that must be this for it to happen.
    pub guard: Option<(u32, bool)>,
    pub op: Op,
    /// The type of its result, and of what it is made from.
    pub ty: Type,
    pub from: Type,
    /// Its name with all suffixes, whose order tells them apart: `setp.lt.s32`.
    pub words: Box<[String]>,
    /// A suffix of `mul` and its kind: both halves, the upper one.
    pub wide: bool,
    pub high: bool,
    pub to: Box<[Option<u32>]>,
    pub values: Box<[Value]>,
    pub address: Option<Address>,
    pub target: usize,
    /// As it was read.
    pub text: Box<str>,
}

impl Instruction {
    /// Bytes of one element of a load or store.
    pub fn element(&self) -> usize {
        (self.from.bits() / 8).max(1) as usize
    }

    /// Bytes of a unit's whole request.
    pub fn bytes(&self) -> usize {
        self.element() * self.to.len().max(self.values.len())
    }
}
