//! One launch: the cube in the middle of its grid, unit by unit, then one unit to its end.

use super::hot::Hot;
use super::instruction::{Op, Space};
use super::program::Program;
use super::requests::{Addresses, lines, turns};
use super::unit::{Cube, Seen, Unit};

/// Steps of a unit while addresses are recorded, and of the one that is walked to its end.
const STEPS: u64 = 20_000;
const LONG: u64 = 30_000_000;
/// Passes of a unit over one instruction that are recorded.
const PASSES: usize = 48;

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

    /// Bytes of the `n`-th parameter from `offset` on: a buffer's address, or scalars. No two buffers are near each other.
    pub(super) fn parameter(&self, n: usize, offset: u64, bytes: usize) -> u64 {
        if let Some(start) = self.buffers.get(n) {
            return ((n as u64 + 1) << 40) + start;
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
        let mut cube = Cube {
            program,
            geometry,
            // Away from the borders, where there is an inside.
            position: geometry.cubes.map(|cubes| cubes / 2),
            shared: Vec::new(),
            unknown: None,
        };
        let instructions = program.instructions.len();
        let mut units: Vec<Unit> = (0..geometry.units() as usize)
            .map(|i| {
                let seen = Seen::Addresses(vec![Vec::new(); instructions], PASSES);
                Unit::new(program, geometry, i, seen)
            })
            .collect();
        while units.iter().any(|unit| !unit.ended) {
            for unit in &mut units {
                cube.run(unit, STEPS);
            }
        }
        let busy = units.iter().filter(|unit| unit.accesses > 0).count() as u32;
        let addresses: Addresses = units
            .into_iter()
            .map(|unit| match unit.seen {
                Seen::Addresses(seen, _) => seen,
                Seen::Passes(_) => Vec::new(),
            })
            .collect();
        let mut alone = Unit::new(program, geometry, 0, Seen::Passes(vec![0; instructions]));
        while !alone.ended {
            cube.run(&mut alone, LONG);
        }
        let hot = match &alone.seen {
            Seen::Passes(passes) => program.hot(passes),
            Seen::Addresses(..) => Hot::default(),
        };
        Self {
            loads: lines(program, &addresses, Op::Load(Space::Global)),
            stores: lines(program, &addresses, Op::Store(Space::Global)),
            banks: turns(program, &addresses),
            steps: alone.steps,
            busy,
            hot,
            unknown: cube.unknown,
        }
    }
}
