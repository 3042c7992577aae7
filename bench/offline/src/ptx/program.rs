//! The text of a PTX entry point, as instructions to walk.

use std::collections::HashMap;

/// Why a text cannot be walked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ProgramError {
    /// It has no `.entry` with a body.
    #[error("the text has no entry point")]
    NoEntry,
    /// A jump leads nowhere.
    #[error("`{instruction}` jumps to a label that the text does not have")]
    NoLabel {
        /// The instruction.
        instruction: String,
    },
}

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
    fn of(word: &str) -> Option<Self> {
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
pub(super) enum Space {
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

/// What is computed; `Other` is nothing that an address was ever seen to come of.
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
    /// A value of another unit, taken to be the unit's own.
    Shuffle,
    Other,
}

impl Compute {
    fn of(word: &str) -> Self {
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
            "shfl" => Self::Shuffle,
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

/// An entry point.
#[derive(Clone, Debug)]
pub struct Program {
    pub(super) instructions: Vec<Instruction>,
    pub(super) registers: usize,
}

impl Program {
    /// Reads the first entry point of `ptx`.
    ///
    /// # Errors
    /// The text has no entry point, or one that jumps nowhere.
    pub fn of(ptx: &str) -> Result<Self, ProgramError> {
        let body = body(ptx).ok_or(ProgramError::NoEntry)?;
        let mut labels: HashMap<&str, usize> = HashMap::new();
        let mut texts = Vec::new();
        for line in body.lines() {
            let line = line.split("//").next().unwrap_or("").trim();
            if let Some(label) = line.strip_suffix(':') {
                labels.insert(label, texts.len());
            } else if !line.is_empty() && !line.starts_with(['.', '{', '}']) {
                texts.push(line.trim_end_matches(';'));
            }
        }
        let mut reader = Reader {
            labels,
            registers: HashMap::new(),
        };
        let instructions = texts.iter().map(|text| reader.instruction(text));
        Ok(Self {
            instructions: instructions.collect::<Result<_, _>>()?,
            registers: reader.registers.len(),
        })
    }

    /// The instructions of the loop that most of `passes` went round in: passes over each instruction, in their order.
    pub(super) fn hot(&self, passes: &[u64]) -> Hot {
        let back = self.instructions.iter().enumerate();
        let mut loops: Vec<(usize, usize)> = back
            .filter(|(at, it)| it.op == Op::Branch && it.target <= *at)
            .map(|(at, it)| (it.target, at))
            .collect();
        // One loop may jump back from several places.
        loops.sort_unstable();
        loops.dedup_by(|later, first| {
            let same = later.0 == first.0;
            first.1 = if same { first.1.max(later.1) } else { first.1 };
            same
        });
        let holds = |a: &(usize, usize), b: &(usize, usize)| a != b && a.0 <= b.0 && b.1 <= a.1;
        let inner = loops
            .iter()
            .filter(|a| !loops.iter().any(|b| holds(a, b)))
            .copied();
        let went = |&(from, to): &(usize, usize)| passes[from..=to].iter().sum::<u64>();
        let whole = (0, self.instructions.len().saturating_sub(1));
        let (from, to) = inner.max_by_key(went).unwrap_or(whole);
        match self.instructions.get(from..=to) {
            Some(instructions) => Hot::of(instructions),
            None => Hot::default(),
        }
    }
}

/// What the innermost loop that a unit spends most time in is made of; the whole kernel where it has no loop.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hot {
    /// Instructions.
    pub instructions: u32,
    /// Multiply-adds in floating point.
    pub fma: u32,
    /// Exponentials, logarithms, reciprocals, roots.
    pub special: u32,
    /// Loads from global memory by bits, as `4x128 2x32`.
    pub loads: String,
    /// Stores to global memory.
    pub stores: String,
    /// Loads from shared memory.
    pub shared: String,
}

impl Hot {
    fn of(instructions: &[Instruction]) -> Self {
        let count = |is: fn(&Instruction) -> bool| instructions.iter().filter(|it| is(it)).count();
        let widths = |op: Op| {
            let mut of: Vec<(usize, usize)> = Vec::new();
            for it in instructions.iter().filter(|it| it.op == op) {
                let bits = it.bytes() * 8;
                match of.iter_mut().find(|(width, _)| *width == bits) {
                    Some((_, times)) => *times += 1,
                    None => of.push((bits, 1)),
                }
            }
            of.sort_unstable_by(|a, b| b.cmp(a));
            let words: Vec<String> = of
                .iter()
                .map(|(bits, times)| format!("{times}x{bits}"))
                .collect();
            words.join(" ")
        };
        Self {
            instructions: instructions.len() as u32,
            fma: count(|it| it.words[0] == "fma") as u32,
            special: count(|it| {
                matches!(
                    &*it.words[0],
                    "ex2" | "lg2" | "rcp" | "sqrt" | "rsqrt" | "sin" | "cos" | "tanh"
                )
            }) as u32,
            loads: widths(Op::Load(Space::Global)),
            stores: widths(Op::Store(Space::Global)),
            shared: widths(Op::Load(Space::Shared)),
        }
    }
}

fn body(ptx: &str) -> Option<&str> {
    let entry = &ptx[ptx.find(".entry")?..];
    let body = &entry[entry.find("\n{")? + 2..];
    Some(&body[..body.find("\n}")?])
}

fn constant(word: &str) -> Option<u64> {
    for prefix in ["0f", "0d", "0x"] {
        if let Some(digits) = word.strip_prefix(prefix) {
            return u64::from_str_radix(digits, 16).ok();
        }
    }
    word.parse::<i64>().ok().map(|value| value as u64)
}

/// Operands between commas that no bracket holds together.
fn operands(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (i, c) in text.char_indices() {
        match c {
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            ',' if depth == 0 => {
                found.push(text[start..i].trim());
                start = i + 1;
            }
            _ => {}
        }
    }
    found.push(text[start..].trim());
    found.retain(|operand| !operand.is_empty());
    found
}

struct Reader<'t> {
    labels: HashMap<&'t str, usize>,
    registers: HashMap<String, u32>,
}

impl Reader<'_> {
    fn register(&mut self, name: &str) -> u32 {
        let next = self.registers.len() as u32;
        *self.registers.entry(name.to_string()).or_insert(next)
    }

    fn value(&mut self, word: &str) -> Value {
        let axis = ["x", "y", "z"].iter().position(|axis| word.ends_with(axis));
        let axis = axis.unwrap_or(0);
        match word {
            _ if word.starts_with("%tid.") => Value::Unit(axis),
            _ if word.starts_with("%ctaid.") => Value::Cube(axis),
            _ if word.starts_with("%nctaid.") => Value::Cubes(axis),
            _ if word.starts_with("%ntid.") => Value::Units(axis),
            "%laneid" => Value::Lane,
            _ if word.starts_with('%') => Value::Register(self.register(word)),
            // A symbol of shared memory: there is one, at its start.
            _ => Value::Constant(constant(word).unwrap_or(0)),
        }
    }

    fn address(&mut self, inner: &str) -> Address {
        let (base, offset) = match inner.split_once('+') {
            Some((base, offset)) => (base, constant(offset).unwrap_or(0)),
            None => (inner, 0),
        };
        match base.rsplit_once("_param_") {
            Some((_, n)) => Address::Parameter(n.parse().unwrap_or(0), offset),
            None => Address::Memory(self.value(base), offset),
        }
    }

    fn instruction(&mut self, text: &str) -> Result<Instruction, ProgramError> {
        let (guard, code) = match text.strip_prefix('@') {
            Some(rest) => {
                let (guard, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
                let name = guard.trim_start_matches('!');
                (
                    Some((self.register(name), !guard.starts_with('!'))),
                    rest.trim(),
                )
            }
            None => (None, text),
        };
        let (name, rest) = code.split_once(char::is_whitespace).unwrap_or((code, ""));
        let words: Box<[String]> = name.split('.').map(String::from).collect();
        let types: Vec<Type> = words[1..]
            .iter()
            .filter_map(|word| Type::of(word))
            .collect();
        let ty = types.first().copied().unwrap_or(Type::B(32));
        let has = |suffix: &str| words.iter().any(|word| word == suffix);
        let space = match () {
            () if has("global") => Space::Global,
            () if has("shared") => Space::Shared,
            () if has("param") => Space::Parameter,
            () => Space::Local,
        };
        let op = match &*words[0] {
            "bra" => Op::Branch,
            "ret" | "exit" => Op::Return,
            "bar" | "barrier" => Op::Barrier,
            "ld" | "ldu" => Op::Load(space),
            "st" => Op::Store(space),
            word => Op::Compute(Compute::of(word)),
        };
        let mut it = Instruction {
            guard,
            op,
            ty,
            from: types.last().copied().unwrap_or(ty),
            wide: has("wide"),
            high: has("hi"),
            words,
            to: Box::default(),
            values: Box::default(),
            address: None,
            target: usize::MAX,
        };
        self.operands_of(&mut it, text, rest)?;
        Ok(it)
    }

    fn operands_of(
        &mut self,
        it: &mut Instruction,
        text: &str,
        rest: &str,
    ) -> Result<(), ProgramError> {
        let (mut to, mut values) = (Vec::new(), Vec::new());
        let has_result = !matches!(it.op, Op::Branch | Op::Return | Op::Barrier | Op::Store(_))
            && it.words[0] != "red";
        for (i, operand) in operands(rest).into_iter().enumerate() {
            if it.op == Op::Branch {
                let target = self.labels.get(operand).copied();
                it.target = target.ok_or_else(|| ProgramError::NoLabel {
                    instruction: text.into(),
                })?;
            } else if let Some(inner) = operand.strip_prefix('[') {
                it.address = Some(self.address(inner.trim_end_matches(']')));
            } else {
                let inner = operand.trim_start_matches('{').trim_end_matches('}');
                for word in inner.split(',').map(str::trim) {
                    if i == 0 && has_result {
                        // `%r1|%p1`: a shuffle also says whether there was a unit to read from.
                        let word = word.split('|').next().unwrap_or(word);
                        to.push((word != "_").then(|| self.register(word)));
                    } else {
                        values.push(self.value(word));
                    }
                }
            }
        }
        (it.to, it.values) = (to.into(), values.into());
        Ok(())
    }
}
