//! An instruction as it is executed: its function is known, and every operand is a register.

use super::alu::{self, Alu};
use super::instruction::{Address, Compute, Instruction, Op, Space, Value};
use super::walk::Geometry;
use std::collections::HashMap;

/// Registers that hold what a unit is told of itself: its position, the cube's, both extents along three axes, its lane.
const TOLD: u32 = 13;

/// One instruction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// The predicate's register, and what it must hold for the step to happen.
    pub guard: Option<(u32, bool)>,
    pub act: Act,
}

/// What a step does. Lists of registers are as long as `count` says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    Compute {
        alu: Alu,
        to: u32,
        from: [u32; 3],
    },
    /// Parts of `bits` bits each, side by side in one register.
    Pack {
        to: u32,
        from: [u32; 4],
        count: u8,
        bits: u8,
    },
    /// The parts of one register.
    Unpack {
        to: [u32; 4],
        from: u32,
        count: u8,
        bits: u8,
    },
    /// From the kernel's `n`-th parameter.
    Parameter {
        to: [u32; 4],
        n: u16,
        offset: u32,
        count: u8,
        bytes: u8,
    },
    Load {
        space: Space,
        to: [u32; 4],
        base: u32,
        offset: u64,
        count: u8,
        bytes: u8,
    },
    Store {
        space: Space,
        from: [u32; 4],
        base: u32,
        offset: u64,
        count: u8,
        bytes: u8,
    },
    Branch(u32),
    Return,
    Barrier,
    /// A value of another unit.
    Shuffle {
        to: u32,
        from: u32,
    },
    Nothing,
    /// What is not modelled.
    Unknown,
}

/// The registers of a program: first its own, then what units are told, one that nobody reads, then its constants.
#[derive(Clone, Debug, Default)]
pub(super) struct File {
    /// Registers of the program's own.
    pub own: u32,
    constants: Vec<u64>,
    places: HashMap<u64, u32>,
}

impl File {
    pub fn new(own: usize) -> Self {
        Self {
            own: own as u32,
            ..Self::default()
        }
    }

    pub fn len(&self) -> usize {
        self.own as usize + TOLD as usize + self.constants.len() + 1
    }

    /// Where a result goes that nobody wants.
    fn unread(&self) -> u32 {
        self.own + TOLD
    }

    fn constant(&mut self, value: u64) -> u32 {
        let next = self.own + TOLD + 1 + self.constants.len() as u32;
        let constants = &mut self.constants;
        *self.places.entry(value).or_insert_with(|| {
            constants.push(value);
            next
        })
    }

    fn place(&mut self, value: Value) -> u32 {
        match value {
            Value::Register(register) => register,
            Value::Constant(value) => self.constant(value),
            Value::Unit(axis) => self.own + axis as u32,
            Value::Units(axis) => self.own + 3 + axis as u32,
            Value::Cube(axis) => self.own + 6 + axis as u32,
            Value::Cubes(axis) => self.own + 9 + axis as u32,
            Value::Lane => self.own + 12,
        }
    }

    /// Fills in the registers of the `i`-th unit of a cube.
    pub fn begin(&self, registers: &mut [u64], geometry: &Geometry, i: u32) {
        let own = self.own as usize;
        let [x, y, _] = geometry.dim;
        let position = [i % x, i / x % y, i / x / y];
        for axis in 0..3 {
            registers[own + axis] = position[axis].into();
            registers[own + 3 + axis] = geometry.dim[axis].into();
            registers[own + 9 + axis] = geometry.cubes[axis].max(1).into();
        }
        registers[own + 12] = (i % crate::WARP).into();
        let constants = own + TOLD as usize + 1;
        registers[constants..constants + self.constants.len()].copy_from_slice(&self.constants);
    }

    /// Tells a unit which cube it is in.
    pub fn enter(&self, registers: &mut [u64], cube: [u32; 3]) {
        for axis in 0..3 {
            registers[self.own as usize + 6 + axis] = cube[axis].into();
        }
    }

    /// `it` as a step.
    pub fn step(&mut self, it: &Instruction) -> Step {
        Step {
            guard: it.guard,
            act: self.act(it),
        }
    }

    /// The registers of results, and of operands.
    fn lists(&mut self, it: &Instruction) -> Option<([u32; 4], [u32; 4])> {
        if it.to.len() > 4 || it.values.len() > 4 {
            return None;
        }
        let mut to = [self.unread(); 4];
        for (place, register) in to.iter_mut().zip(&it.to) {
            *place = register.unwrap_or(*place);
        }
        let mut from = [0; 4];
        for (place, &value) in from.iter_mut().zip(&it.values) {
            *place = self.place(value);
        }
        Some((to, from))
    }

    fn act(&mut self, it: &Instruction) -> Act {
        let Some((to, from)) = self.lists(it) else {
            return Act::Unknown;
        };
        match it.op {
            Op::Branch => Act::Branch(it.target as u32),
            Op::Return => Act::Return,
            Op::Barrier => Act::Barrier,
            Op::Load(space) | Op::Store(space) => self.memory(it, space, to, from),
            Op::Compute(Compute::Fence) => Act::Nothing,
            Op::Compute(Compute::Shuffle) => Act::Shuffle {
                to: to[0],
                from: from[0],
            },
            Op::Compute(Compute::Move) if it.to.len() > 1 => Act::Unpack {
                to,
                from: from[0],
                count: it.to.len() as u8,
                bits: (it.ty.bits() as usize / it.to.len()) as u8,
            },
            Op::Compute(Compute::Move) if it.values.len() > 1 => Act::Pack {
                to: to[0],
                from,
                count: it.values.len() as u8,
                bits: (it.ty.bits() as usize / it.values.len()) as u8,
            },
            Op::Compute(compute) => match alu::of(it, compute) {
                Some(alu) if it.to.len() == 1 && it.values.len() <= 3 => {
                    let nought = self.constant(0);
                    let operand = |i: usize| if i < it.values.len() { from[i] } else { nought };
                    Act::Compute {
                        alu,
                        to: to[0],
                        from: [0, 1, 2].map(operand),
                    }
                }
                _ => Act::Unknown,
            },
        }
    }

    fn memory(&mut self, it: &Instruction, space: Space, to: [u32; 4], from: [u32; 4]) -> Act {
        let bytes = it.element() as u8;
        match (it.address, it.op) {
            (Some(Address::Parameter(n, offset)), Op::Load(_)) => Act::Parameter {
                to,
                n: n as u16,
                offset: offset as u32,
                count: it.to.len() as u8,
                bytes,
            },
            (Some(Address::Memory(base, offset)), Op::Load(_)) => Act::Load {
                space,
                to,
                base: self.place(base),
                offset,
                count: it.to.len() as u8,
                bytes,
            },
            (Some(Address::Memory(base, offset)), Op::Store(_)) => Act::Store {
                space,
                from,
                base: self.place(base),
                offset,
                count: it.values.len() as u8,
                bytes,
            },
            _ => Act::Unknown,
        }
    }
}
