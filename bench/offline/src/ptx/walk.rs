//! One launch: the cube in the middle of its grid, unit by unit, then one unit to its end.
//!
//! Data is all zeros, and what is stored in global memory is forgotten: indices depend on extents, not on data. Shared memory is kept.

use super::alu::mask;
use super::hot::Hot;
use super::instruction::{Op, Space};
use super::program::Program;
use super::requests::{Addresses, lines, turns};
use super::unit::{Memory, Request, Stop, Unit};
use std::convert::Infallible;

/// Steps of a unit while addresses are recorded, and of the one that is walked to its end.
const STEPS: u64 = 20_000;
const LONG: u64 = 30_000_000;
/// Passes of a unit over one instruction that are recorded.
const PASSES: usize = 48;
/// Shared memory that is modelled; a cube of the largest card may ask for less.
const SHARED: usize = 1 << 18;

/// Bytes from one buffer's allocation to the next one's, as addresses have it.
const APART: u64 = 1 << 40;

/// The shape of a launch, and what it is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Geometry {
    /// Cubes along each axis.
    pub cubes: [u32; 3],
    /// Units of a cube along each axis.
    pub dim: [u32; 3],
    /// Where each buffer starts in its allocation, in bytes.
    pub buffers: Vec<u64>,
    /// Scalars and extents, which come by value behind the buffers.
    pub info: Vec<u64>,
}

impl Geometry {
    /// Cubes of the grid.
    pub fn count(&self) -> u64 {
        self.cubes.iter().map(|&cubes| u64::from(cubes)).product()
    }

    /// Units of a cube.
    pub fn units(&self) -> u32 {
        self.dim.iter().product()
    }

    /// The buffer that an address is in or near, and where, from its start.
    pub(crate) fn buffer(&self, address: u64) -> Option<(usize, i64)> {
        let n = (address.wrapping_add(APART / 2) / APART).checked_sub(1)? as usize;
        let start = *self.buffers.get(n)?;
        let offset = address.wrapping_sub((n as u64 + 1) * APART + start);
        Some((n, offset as i64))
    }

    /// Bytes of the `n`-th parameter from `offset` on: a buffer's address, or scalars. No two buffers are near each other.
    pub(crate) fn parameter(&self, n: usize, offset: u64, bytes: usize) -> u64 {
        if let Some(start) = self.buffers.get(n) {
            return (n as u64 + 1) * APART + start;
        }
        let mut word = [0u8; 8];
        for (i, byte) in word.iter_mut().enumerate().take(bytes) {
            let at = offset as usize + i;
            if let Some(data) = self.info.get(at / 8) {
                *byte = data.to_le_bytes()[at % 8];
            }
        }
        u64::from_le_bytes(word)
    }
}

/// What was seen of a launch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Walk {
    /// Lines of 128 bytes that loads of a warp touch, over those that the same bytes side by side would: 1 is ideal. None without a load.
    pub loads: Option<f64>,
    /// The same of stores.
    pub stores: Option<f64>,
    /// Turns that the banks of shared memory take, over those without conflicts.
    pub banks: Option<f64>,
    /// Instructions of the cube's first unit.
    pub steps: u64,
    /// Units of the walked cube that touch global memory at all: the others have nothing to do.
    pub busy: u32,
    /// The innermost loop that the first unit spends most time in.
    pub hot: Hot,
    /// The first thing that the walk does not know: what it found may then be wrong.
    pub unknown: Option<String>,
}

impl Walk {
    /// Walks a launch of `program`.
    pub fn of(program: &Program, geometry: &Geometry) -> Self {
        // Away from the borders, where there is an inside.
        let cube = geometry.cubes.map(|cubes| cubes / 2);
        let unit = |number: u32| {
            let mut unit = Unit::new(number, program.registers());
            program.begin(&mut unit, geometry);
            program.enter(&mut unit, cube);
            unit
        };
        let instructions = program.instructions.len();
        let mut zeros = Zeros {
            program,
            geometry,
            shared: Vec::new(),
            addresses: vec![vec![Vec::new(); instructions]; geometry.units() as usize],
            passes: Vec::new(),
            unknown: None,
        };
        let mut units: Vec<Unit> = (0..geometry.units()).map(unit).collect();
        while !units.is_empty() {
            units.retain_mut(|unit| {
                let Ok(stop) = unit.run(program, &mut zeros, STEPS);
                matches!(stop, Stop::Barrier(_))
            });
        }
        let addresses = std::mem::take(&mut zeros.addresses);
        let global = |at: usize| {
            let op = program.instructions[at].op;
            matches!(op, Op::Load(Space::Global) | Op::Store(Space::Global))
        };
        let works = |unit: &&Vec<Vec<u64>>| {
            let mut asked = unit.iter().enumerate();
            asked.any(|(at, addresses)| global(at) && !addresses.is_empty())
        };
        let busy = addresses.iter().filter(works).count() as u32;
        zeros.passes = vec![0; instructions];
        let mut alone = unit(0);
        while let Ok(Stop::Barrier(_)) = alone.run(program, &mut zeros, LONG) {}
        Self {
            loads: lines(program, &addresses, Op::Load(Space::Global)),
            stores: lines(program, &addresses, Op::Store(Space::Global)),
            banks: turns(program, &addresses),
            steps: alone.steps,
            busy,
            hot: program.hot(&zeros.passes),
            unknown: zeros.unknown,
        }
    }
}

/// What a walk finds in memory.
struct Zeros<'p> {
    program: &'p Program,
    geometry: &'p Geometry,
    shared: Vec<u8>,
    /// The addresses of each unit, while they are recorded.
    addresses: Addresses,
    /// How often the unit that is alone came past each instruction.
    passes: Vec<u64>,
    /// The first instruction that is not modelled.
    unknown: Option<String>,
}

impl Zeros<'_> {
    fn see(&mut self, request: Request) {
        if let Some(unit) = self.addresses.get_mut(request.unit as usize)
            && matches!(request.space, Space::Global | Space::Shared)
            && unit[request.at].len() < PASSES
        {
            unit[request.at].push(request.address);
        }
    }

    /// Where the elements of a request lie in shared memory.
    fn shared(&mut self, request: Request) -> Option<usize> {
        let start = (request.address & mask(32)) as usize;
        let end = start + request.bytes * request.count;
        if end > SHARED {
            self.unknown
                .get_or_insert_with(|| format!("shared memory at {start}"));
            return None;
        }
        if end > self.shared.len() {
            self.shared.resize(end, 0);
        }
        Some(start)
    }
}

impl Memory for Zeros<'_> {
    type Fault = Infallible;

    fn pass(&mut self, at: usize) {
        if let Some(passes) = self.passes.get_mut(at) {
            *passes += 1;
        }
    }

    fn parameter(&mut self, n: usize, offset: u64, bytes: usize) -> u64 {
        self.geometry.parameter(n, offset, bytes)
    }

    fn load(&mut self, request: Request) -> Result<[u64; 4], Infallible> {
        self.see(request);
        let mut found = [0; 4];
        if request.space == Space::Shared
            && let Some(start) = self.shared(request)
        {
            let elements = self.shared[start..].chunks_exact(request.bytes);
            for (found, element) in found.iter_mut().zip(elements).take(request.count) {
                let mut word = [0; 8];
                word[..request.bytes].copy_from_slice(element);
                *found = u64::from_le_bytes(word);
            }
        }
        Ok(found)
    }

    fn store(&mut self, request: Request, values: [u64; 4]) -> Result<(), Infallible> {
        self.see(request);
        if request.space == Space::Shared
            && let Some(start) = self.shared(request)
        {
            let elements = self.shared[start..].chunks_exact_mut(request.bytes);
            for (value, element) in values.iter().zip(elements).take(request.count) {
                element.copy_from_slice(&value.to_le_bytes()[..request.bytes]);
            }
        }
        Ok(())
    }

    /// Units that meet hold the same indices, or none that comes of a neighbour's.
    fn shuffle(&mut self, _: u32, _: usize) -> Result<(), Infallible> {
        Ok(())
    }

    fn unknown(&mut self, _: u32, at: usize) -> Result<(), Infallible> {
        let words = &self.program.instructions[at].words;
        self.unknown.get_or_insert_with(|| words.join("."));
        Ok(())
    }
}
