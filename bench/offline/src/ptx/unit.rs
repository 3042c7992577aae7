//! One unit on its way through a program.
//!
//! Data is all zeros, and what is stored in global memory is forgotten: indices depend on extents, not on data. Shared memory is kept.

use super::arithmetic::{mask, result};
use super::instruction::{Address, Compute, Instruction, Op, Space, Value};
use super::program::Program;
use super::walk::Geometry;

/// Shared memory that is modelled; a cube of the largest card may ask for less.
const SHARED: usize = 1 << 18;

/// Where a unit is, and what it holds.
pub(super) struct Unit {
    at: usize,
    registers: Vec<u64>,
    /// Instructions behind it.
    pub steps: u64,
    /// Global loads and stores among them.
    pub accesses: u64,
    pub ended: bool,
    position: [u32; 3],
    lane: u64,
    pub seen: Seen,
}

/// What is written down of a unit's way.
pub(super) enum Seen {
    /// The addresses of each instruction, at most so many.
    Addresses(Vec<Vec<u64>>, usize),
    /// How often it came past each.
    Passes(Vec<u64>),
}

/// What all units of a cube share.
pub(super) struct Cube<'p> {
    pub program: &'p Program,
    pub geometry: &'p Geometry,
    /// The cube's position in the grid.
    pub position: [u32; 3],
    pub shared: Vec<u8>,
    /// The first instruction that is not modelled.
    pub unknown: Option<String>,
}

impl Unit {
    /// The `i`-th unit of a cube, before its first instruction.
    pub fn new(program: &Program, geometry: &Geometry, i: usize, seen: Seen) -> Self {
        let [x, y, _] = geometry.dim;
        let i = i as u32;
        Self {
            at: 0,
            registers: vec![0; program.registers],
            steps: 0,
            accesses: 0,
            ended: false,
            position: [i % x, i / x % y, i / x / y],
            lane: u64::from(i % crate::WARP),
            seen,
        }
    }
}

impl Cube<'_> {
    /// Takes `unit` up to a barrier, to its end, or to its `most`-th step, which ends it.
    pub fn run(&mut self, unit: &mut Unit, most: u64) {
        let program = self.program;
        while !unit.ended {
            let Some(it) = program.instructions.get(unit.at) else {
                unit.ended = true;
                return;
            };
            if unit.steps >= most {
                unit.ended = true;
                return;
            }
            let at = unit.at;
            unit.at += 1;
            unit.steps += 1;
            if let Seen::Passes(passes) = &mut unit.seen {
                passes[at] += 1;
            }
            if let Some((register, wanted)) = it.guard
                && (unit.registers[register as usize] != 0) != wanted
            {
                continue;
            }
            match it.op {
                Op::Branch => unit.at = it.target,
                Op::Return => unit.ended = true,
                Op::Barrier => return,
                Op::Load(space) | Op::Store(space) => self.memory(unit, at, it, space),
                Op::Compute(compute) => self.compute(unit, it, compute),
            }
        }
    }

    fn read(&self, unit: &Unit, value: Value) -> u64 {
        match value {
            Value::Register(register) => unit.registers[register as usize],
            Value::Constant(value) => value,
            Value::Unit(axis) => unit.position[axis].into(),
            Value::Cube(axis) => self.position[axis].into(),
            Value::Cubes(axis) => self.geometry.cubes[axis].max(1).into(),
            Value::Units(axis) => self.geometry.dim[axis].into(),
            Value::Lane => unit.lane,
        }
    }

    fn memory(&mut self, unit: &mut Unit, at: usize, it: &Instruction, space: Space) {
        let (base, offset) = match it.address {
            Some(Address::Parameter(n, offset)) => {
                for (i, to) in it.to.iter().enumerate() {
                    if let Some(to) = to {
                        let bytes = it.element();
                        unit.registers[*to as usize] =
                            self.geometry
                                .parameter(n, offset + (i * bytes) as u64, bytes);
                    }
                }
                return;
            }
            Some(Address::Memory(base, offset)) => (self.read(unit, base), offset),
            None => return,
        };
        let address = base.wrapping_add(offset);
        if let Seen::Addresses(seen, most) = &mut unit.seen
            && matches!(space, Space::Global | Space::Shared)
            && seen[at].len() < *most
        {
            seen[at].push(address);
        }
        if space == Space::Shared {
            self.shared(unit, it, (address & mask(32)) as usize);
            return;
        }
        for to in it.to.iter().flatten() {
            unit.registers[*to as usize] = 0;
        }
        unit.accesses += u64::from(space == Space::Global);
    }

    fn shared(&mut self, unit: &mut Unit, it: &Instruction, address: usize) {
        let (each, end) = (it.element(), address + it.bytes());
        if end > SHARED {
            self.unknown
                .get_or_insert_with(|| format!("shared memory at {address}"));
            return;
        }
        if end > self.shared.len() {
            self.shared.resize(end, 0);
        }
        let element = |i: usize| address + i * each..address + (i + 1) * each;
        for (i, to) in it.to.iter().enumerate() {
            if let Some(to) = to {
                let mut word = [0u8; 8];
                word[..each].copy_from_slice(&self.shared[element(i)]);
                unit.registers[*to as usize] = u64::from_le_bytes(word);
            }
        }
        for (i, &value) in it.values.iter().enumerate() {
            let word = self.read(unit, value).to_le_bytes();
            self.shared[element(i)].copy_from_slice(&word[..each]);
        }
    }

    fn compute(&mut self, unit: &mut Unit, it: &Instruction, compute: Compute) {
        if compute == Compute::Other && self.unknown.is_none() && !is_data(&it.words[0]) {
            self.unknown = Some(it.words.join("."));
        }
        let bits = it.ty.bits();
        if compute == Compute::Move && it.to.len() > 1 {
            let (whole, each) = (self.read(unit, it.values[0]), bits / it.to.len() as u32);
            for (i, to) in it.to.iter().enumerate() {
                if let Some(to) = to {
                    unit.registers[*to as usize] = (whole >> (each * i as u32)) & mask(each);
                }
            }
            return;
        }
        let Some(Some(to)) = it.to.first() else {
            return;
        };
        let made = if compute == Compute::Move && it.values.len() > 1 {
            let each = bits / it.values.len() as u32;
            let parts = it.values.iter().enumerate();
            parts.fold(0, |whole, (i, &value)| {
                whole | (self.read(unit, value) & mask(each)) << (each * i as u32)
            })
        } else {
            let mut v = [0; 3];
            for (v, &value) in v.iter_mut().zip(it.values.iter()) {
                *v = self.read(unit, value);
            }
            result(it, compute, v)
        };
        unit.registers[*to as usize] = made;
    }
}

/// What computes with data alone, which is all zeros here.
fn is_data(word: &str) -> bool {
    matches!(
        word,
        "rsqrt" | "sin" | "cos" | "tanh" | "copysign" | "testp" | "fence" | "membar"
    )
}
