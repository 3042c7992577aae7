use super::Pass;
use crate::launch::GPU_UNITS;
use crate::tune::Knob;
use crate::{Client, DType};

/// Neighbours that are read from shared memory at once.
pub(super) const QUAD: usize = 4;
/// The depth of a tile: 32 channels of f32 are a line of memory.
const DEPTH: usize = 32;
/// Shared memory that a cube takes at most: four cubes of an H100 share its multiprocessor's.
const MOST_BYTES: usize = 56 << 10;
/// Tiles from which on a unit takes twice as many rows, where few of them are beside the matrix: fewer tiles would leave multiprocessors
/// without any.
const MANY_TILES: usize = 128;
/// Tiles of half as many rows up to which a unit takes 4 rows by 4 columns, for the same reason.
const FEW_TILES: usize = 64;

/// The units of a cube, what each multiplies, and the depth of a tile.
const TILE: Knob<4, 5> = Knob {
    op: "implicit",
    class: ["pass", "rows", "columns", "slices"],
    sizes: [
        ("unit_rows", &[8, 16, 32, 64]),
        ("unit_columns", &[1, 2, 4, 8, 16]),
        ("quad_rows", &[1, 2]),
        ("quad_columns", &[1, 2]),
        ("depth", &[16, 32]),
    ],
};

/// The tile of a cube and how it is brought to shared memory: the comptime variant of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Blueprint {
    pub pass: Pass,
    /// Units along rows and along columns.
    pub units: [usize; 2],
    /// Quads of rows and of columns that a unit multiplies.
    pub quads: [usize; 2],
    /// The depth that is brought to shared memory at a time.
    pub depth: usize,
    /// Whether four neighbouring channels of the images are loaded at once.
    pub wide: bool,
}

impl Blueprint {
    /// [`Blueprint::by_rule`], or what was found to be faster for as many rows, to the next power of two.
    pub fn of(
        client: &Client,
        dtype: DType,
        pass: Pass,
        [rows, columns]: [usize; 2],
        slices: usize,
        wide: bool,
    ) -> Self {
        let rule = Self::by_rule(client, dtype, pass, [rows, columns], slices, wide);
        let hardware = &client.properties().hardware;
        let most = hardware.max_units_per_cube.min(GPU_UNITS) as usize;
        let tile = |[unit_rows, unit_columns, quad_rows, quad_columns, depth]: [usize; 5]| Self {
            units: [unit_rows, unit_columns],
            quads: [quad_rows, quad_columns],
            depth,
            ..rule
        };
        let of_rule = [
            rule.units[0],
            rule.units[1],
            rule.quads[0],
            rule.quads[1],
            rule.depth,
        ];
        let class = [pass as usize, rows.next_power_of_two(), columns, slices];
        let chosen = TILE.choose(dtype, class, of_rule, |sizes| {
            let tile = tile(sizes);
            let few = tile.cube() < most.min(64) || tile.columns() >= 2 * columns.max(QUAD);
            let fits = tile.bytes(dtype.accumulator().size()) <= hardware.max_shared_memory_size;
            tile.cube() <= most && !few && fits
        });
        tile(chosen)
    }

    /// The tile of a pass over `rows` rows in each of `slices` slices, and over groups of `columns` columns.
    fn by_rule(
        client: &Client,
        dtype: DType,
        pass: Pass,
        [rows, columns]: [usize; 2],
        slices: usize,
        wide: bool,
    ) -> Self {
        let hardware = &client.properties().hardware;
        let element = dtype.accumulator().size();
        // Twice the registers an element.
        let double = element > size_of::<f32>();
        let large = rows.div_ceil(128) * columns.div_ceil(64) * slices >= MANY_TILES
            && rows.next_multiple_of(128) * 7 <= rows.next_multiple_of(64) * 8;
        let few = rows.div_ceil(64) * columns.div_ceil(64) * slices <= FEW_TILES;
        let (units, quads, depth) = match columns {
            0..=4 => ([64, 1], [1, 1], DEPTH / 2),
            5..=8 => ([64, 2], [1, 1], DEPTH / 2),
            9..=16 => ([32, 4], [1, 1], DEPTH),
            17..=32 if double || few => ([16, 8], [1, 1], DEPTH),
            17..=32 => ([16, 8], [2, 1], DEPTH),
            _ if few => ([8, 16], [1, 1], DEPTH),
            _ if double || !large => ([16, 8], [1, 2], DEPTH),
            _ => ([16, 8], [2, 2], DEPTH),
        };
        let mut blueprint = Self {
            pass,
            units,
            quads,
            depth,
            wide,
        };
        let most = hardware.max_units_per_cube.clamp(1, GPU_UNITS) as usize;
        while blueprint.cube() > most {
            let longer = usize::from(blueprint.units[1] > blueprint.units[0]);
            blueprint.units[longer] /= 2;
        }
        let room = hardware.max_shared_memory_size.min(MOST_BYTES);
        while blueprint.bytes(element) > room && blueprint.depth > QUAD {
            blueprint.depth /= 2;
        }
        blueprint
    }

    /// Units of a cube.
    pub fn cube(&self) -> usize {
        self.units[0] * self.units[1]
    }

    /// Quads of a tile's rows.
    pub fn row_quads(&self) -> usize {
        self.units[0] * self.quads[0]
    }

    /// Quads of a tile's columns.
    pub fn column_quads(&self) -> usize {
        self.units[1] * self.quads[1]
    }

    /// Rows of a tile.
    pub fn rows(&self) -> usize {
        self.row_quads() * QUAD
    }

    /// Columns of a tile.
    pub fn columns(&self) -> usize {
        self.column_quads() * QUAD
    }

    /// Whether the rows lie along the channels of the images, and the depth along their pixels.
    pub fn by_weight(&self) -> bool {
        self.pass == Pass::Weight
    }

    /// Whether a row of the weight is that of a tap turned round.
    pub fn is_turned(&self) -> bool {
        self.pass == Pass::Transposed
    }

    /// Whether a unit fetches blocks of four rows by four depths.
    pub fn in_blocks(&self) -> bool {
        self.wide && !self.by_weight()
    }

    /// Quads of rows from one depth to the next in shared memory, and what every fourth depth adds to that: units that write along the
    /// depth, quads of four elements or blocks of four quads, keep off each other's banks.
    pub fn pitches(&self) -> [usize; 2] {
        match (self.by_weight(), self.wide) {
            (true, _) => [self.row_quads(), 0],
            (false, false) => [self.row_quads() + 1, 0],
            (false, true) => [self.row_quads(), (DEPTH / self.depth).max(1)],
        }
    }

    /// Quads of rows in one half of the shared memory.
    pub fn row_area(&self) -> usize {
        let [pitch, skew] = self.pitches();
        self.depth * pitch + self.depth / QUAD * skew
    }

    /// Quads of columns in one half of the shared memory.
    pub fn column_area(&self) -> usize {
        self.depth * self.column_quads()
    }

    /// Rounds in which the units fetch a tile's rows, and its columns: each unit takes up to four quads a round, which wait in its
    /// registers while it multiplies a part of the tile before.
    pub fn rounds(&self) -> [usize; 2] {
        [self.row_quads(), self.column_quads()]
            .map(|quads| (self.depth * quads).div_ceil(self.cube() * QUAD))
    }

    /// Shared memory in bytes, for elements of `element` bytes: both operands twice, and the spots of the rows and of two depths.
    fn bytes(&self, element: usize) -> usize {
        let quads = 2 * (self.row_area() + self.column_area());
        quads * QUAD * element + (self.rows() + 2 * self.depth) * QUAD * size_of::<u32>()
    }
}
