//! The text of a PTX entry point, as instructions to walk.

use super::instruction::{Address, Compute, Instruction, Op, Space, Type, Value};
use super::step::{File, Step};
use super::unit::Unit;
use super::walk::Geometry;
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

/// An entry point.
#[derive(Clone, Debug)]
pub struct Program {
    pub(super) instructions: Vec<Instruction>,
    /// The same, to be executed.
    pub(super) steps: Vec<Step>,
    pub(super) file: File,
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
                continue;
            }
            // `{ .reg .b32 tmp; mov.b64 {%r1, tmp}, %rd7; }` is a block of one line.
            let block = line.strip_prefix("{ ").and_then(|it| it.strip_suffix('}'));
            for text in block.unwrap_or(line).split(';').map(str::trim) {
                if !text.is_empty() && !text.starts_with(['.', '{', '}']) {
                    texts.push(text);
                }
            }
        }
        let mut reader = Reader {
            labels,
            registers: HashMap::new(),
        };
        let instructions = texts.iter().map(|text| reader.instruction(text));
        let instructions = instructions.collect::<Result<Vec<_>, _>>()?;
        let mut file = File::new(reader.registers.len());
        let steps = instructions.iter().map(|it| file.step(it)).collect();
        Ok(Self {
            instructions,
            steps,
            file,
        })
    }

    /// Registers of a unit.
    pub(crate) fn registers(&self) -> usize {
        self.file.len()
    }

    /// Fills in the registers of a unit that a launch says.
    pub(crate) fn begin(&self, unit: &mut Unit, geometry: &Geometry) {
        let number = unit.number;
        self.file.begin(&mut unit.registers, geometry, number);
    }

    /// Tells a unit which cube it is in.
    pub(crate) fn enter(&self, unit: &mut Unit, cube: [u32; 3]) {
        self.file.enter(&mut unit.registers, cube);
    }

    /// An instruction as it was read.
    pub(crate) fn text(&self, at: usize) -> String {
        let it = self.instructions.get(at);
        it.map_or_else(String::new, |it| it.text.to_string())
    }

    /// Bits of its widest load from global memory; none where it loads nothing.
    pub fn widest_load(&self) -> Option<u32> {
        let loads = self.instructions.iter();
        let loads = loads.filter(|it| it.op == Op::Load(Space::Global));
        loads.map(|it| it.bytes() as u32 * 8).max()
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
            text: text.into(),
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
