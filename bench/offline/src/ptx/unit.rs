//! One unit on its way through a program: what it computes. What it finds in memory is another's matter ([`Memory`]).

use super::alu::mask;
use super::instruction::Space;
use super::program::Program;
use super::step::Act;

/// Where a unit is, and what it holds.
pub(crate) struct Unit {
    /// Its number in its cube.
    pub number: u32,
    at: usize,
    pub registers: Vec<u64>,
    /// Instructions behind it.
    pub steps: u64,
}

/// One request of one unit: some elements side by side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    /// The unit's number in its cube.
    pub unit: u32,
    /// The instruction's.
    pub at: usize,
    pub space: Space,
    pub address: u64,
    /// Bytes of an element, and elements.
    pub bytes: usize,
    pub count: usize,
}

/// Where a unit stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// At a barrier: the instruction's number.
    Barrier(usize),
    End,
    /// After as many steps as it was given.
    Late,
}

/// What is outside of a unit's registers.
pub(crate) trait Memory {
    /// Why a unit cannot go on.
    type Fault;

    /// A unit comes past an instruction.
    fn pass(&mut self, _at: usize) {}

    /// Bytes of the `n`-th parameter.
    fn parameter(&mut self, n: usize, offset: u64, bytes: usize) -> u64;

    /// The elements of a request.
    fn load(&mut self, request: Request) -> Result<[u64; 4], Self::Fault>;

    /// Writes them.
    fn store(&mut self, request: Request, values: [u64; 4]) -> Result<(), Self::Fault>;

    /// A unit asks for a value of another one. It gets its own.
    fn shuffle(&mut self, unit: u32, at: usize) -> Result<(), Self::Fault>;

    /// A unit comes to something that is not modelled. Its result stays what it was.
    fn unknown(&mut self, unit: u32, at: usize) -> Result<(), Self::Fault>;
}

impl Unit {
    /// The unit `number` of a cube, with room for its registers.
    pub fn new(number: u32, registers: usize) -> Self {
        Self {
            number,
            at: 0,
            registers: vec![0; registers],
            steps: 0,
        }
    }

    /// Back to the first instruction.
    pub fn rewind(&mut self) {
        (self.at, self.steps) = (0, 0);
    }

    /// Goes up to a barrier, to the end, or to the `most`-th step.
    pub fn run<M: Memory>(
        &mut self,
        program: &Program,
        memory: &mut M,
        most: u64,
    ) -> Result<Stop, M::Fault> {
        loop {
            let at = self.at;
            let Some(step) = program.steps.get(at) else {
                return Ok(Stop::End);
            };
            if self.steps >= most {
                return Ok(Stop::Late);
            }
            self.at += 1;
            self.steps += 1;
            memory.pass(at);
            let r = &mut self.registers;
            if let Some((register, wanted)) = step.guard
                && (r[register as usize] != 0) != wanted
            {
                continue;
            }
            match step.act {
                Act::Compute { alu, to, from } => {
                    let [a, b, c] = from.map(|register| r[register as usize]);
                    r[to as usize] = alu(a, b, c);
                }
                Act::Branch(target) => self.at = target as usize,
                Act::Return => {
                    self.at = program.steps.len();
                    return Ok(Stop::End);
                }
                Act::Barrier => return Ok(Stop::Barrier(at)),
                Act::Pack {
                    to,
                    from,
                    count,
                    bits,
                } => {
                    let parts = from.iter().take(count.into()).enumerate();
                    r[to as usize] = parts.fold(0, |whole, (i, &from)| {
                        let part = r[from as usize] & mask(bits.into());
                        whole | part << (u32::from(bits) * i as u32)
                    });
                }
                Act::Unpack {
                    to,
                    from,
                    count,
                    bits,
                } => {
                    let whole = r[from as usize];
                    for (i, &to) in to.iter().take(count.into()).enumerate() {
                        let part = whole >> (u32::from(bits) * i as u32);
                        r[to as usize] = part & mask(bits.into());
                    }
                }
                Act::Parameter {
                    to,
                    n,
                    offset,
                    count,
                    bytes,
                } => {
                    for (i, &to) in to.iter().take(count.into()).enumerate() {
                        let offset = u64::from(offset) + i as u64 * u64::from(bytes);
                        r[to as usize] = memory.parameter(n.into(), offset, bytes.into());
                    }
                }
                Act::Load {
                    space,
                    to,
                    base,
                    offset,
                    count,
                    bytes,
                } => {
                    let found = memory.load(Request {
                        unit: self.number,
                        at,
                        space,
                        address: r[base as usize].wrapping_add(offset),
                        bytes: bytes.into(),
                        count: count.into(),
                    })?;
                    for (&to, found) in to.iter().zip(found).take(count.into()) {
                        r[to as usize] = found;
                    }
                }
                Act::Store {
                    space,
                    from,
                    base,
                    offset,
                    count,
                    bytes,
                } => {
                    let request = Request {
                        unit: self.number,
                        at,
                        space,
                        address: r[base as usize].wrapping_add(offset),
                        bytes: bytes.into(),
                        count: count.into(),
                    };
                    memory.store(request, from.map(|register| r[register as usize]))?;
                }
                Act::Shuffle { to, from } => {
                    memory.shuffle(self.number, at)?;
                    r[to as usize] = r[from as usize];
                }
                Act::Nothing => {}
                Act::Unknown => memory.unknown(self.number, at)?,
            }
        }
    }
}
