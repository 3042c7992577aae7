//! The symmetries of a map's grid: the dihedral group of the square and its subgroups, as three bits.

use std::fmt::{self, Display, Formatter};

/// One of the eight symmetries of a square map, by its bit code `x y h`: transpose, vertical flip, horizontal flip.
///
/// `g.a` reads at `[i, j]` the pixel `[i', j']` of `a`: `[i, j]`, swapped where `x` is set; then `i'` counted from the other end where
/// `y` is set, and `j'` where `h` is. Codes without `x` are flips, which maps of any shape have; the others need square maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Transform(u8);

impl Transform {
    /// 000: nothing moves.
    pub const IDENTITY: Self = Self(0b000);
    /// 001: left and right change places.
    pub const HORIZONTAL: Self = Self(0b001);
    /// 010: top and bottom change places.
    pub const VERTICAL: Self = Self(0b010);
    /// 011: a rotation by 180 degrees.
    pub const HALF_TURN: Self = Self(0b011);
    /// 100: rows become columns.
    pub const TRANSPOSE: Self = Self(0b100);
    /// 101: a rotation by 90 degrees counter-clockwise.
    pub const TURN_LEFT: Self = Self(0b101);
    /// 110: a rotation by 90 degrees clockwise.
    pub const TURN_RIGHT: Self = Self(0b110);
    /// 111: the reflection in the other diagonal.
    pub const ANTI_TRANSPOSE: Self = Self(0b111);

    /// All eight, the lowest code first.
    pub const ALL: [Self; 8] = [
        Self::IDENTITY,
        Self::HORIZONTAL,
        Self::VERTICAL,
        Self::HALF_TURN,
        Self::TRANSPOSE,
        Self::TURN_LEFT,
        Self::TURN_RIGHT,
        Self::ANTI_TRANSPOSE,
    ];

    /// The transform of a bit code, if it is one: 0 to 7.
    pub fn of_code(code: u32) -> Option<Self> {
        u8::try_from(code).ok().filter(|&code| code < 8).map(Self)
    }

    /// The bit code.
    pub fn code(self) -> u32 {
        self.0.into()
    }

    /// Whether rows become columns, so that only square maps can be transformed.
    pub fn transposes(self) -> bool {
        self.0 & 0b100 != 0
    }

    /// The transform that undoes this one: itself, but for the two rotations by 90 degrees, which undo each other.
    pub fn inverse(self) -> Self {
        match self {
            Self::TURN_LEFT => Self::TURN_RIGHT,
            Self::TURN_RIGHT => Self::TURN_LEFT,
            involution => involution,
        }
    }

    /// The transform `g` with `g.a = self.(other.a)`.
    pub fn after(self, other: Self) -> Self {
        // Where `other` transposes, a flip of rows that comes before it is one of columns behind it.
        let [y, h] = if other.transposes() {
            [self.0 & 1, (self.0 >> 1) & 1]
        } else {
            [(self.0 >> 1) & 1, self.0 & 1]
        };
        Self(other.0 ^ ((self.0 & 0b100) | (y << 1) | h))
    }

    /// The pixel `[i', j']` that the transform of a map of `height` x `width` pixels reads for its pixel `[i, j]`.
    ///
    /// Where the transform transposes, the map is square.
    pub fn source(self, [i, j]: [usize; 2], [height, width]: [usize; 2]) -> [usize; 2] {
        let [row, column] = if self.transposes() { [j, i] } else { [i, j] };
        let flip =
            |flipped: bool, at: usize, extent: usize| if flipped { extent - 1 - at } else { at };
        [
            flip(self.0 & 0b010 != 0, row, height),
            flip(self.0 & 0b001 != 0, column, width),
        ]
    }

    /// `count` transforms, each drawn evenly from `from`; the same for the same `seed` on every machine, and none from nothing.
    ///
    /// The draw of a sample depends on `seed` and its position alone: a larger batch begins as a smaller one does.
    pub fn draw(seed: u64, count: usize, from: &[Self]) -> Vec<Self> {
        if from.is_empty() {
            return Vec::new();
        }
        // SplitMix64: a permutation of 64-bit words without visible pattern, at any position.
        let word = |i: usize| {
            let step = (i as u64).wrapping_add(1);
            let mut z = mixed(seed).wrapping_add(step.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            z = mixed(z);
            z >> 32
        };
        (0..count)
            .map(|i| from[((word(i) * from.len() as u64) >> 32) as usize])
            .collect()
    }
}

fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Display for Transform {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            0b000 => "identity",
            0b001 => "horizontal flip",
            0b010 => "vertical flip",
            0b011 => "half turn",
            0b100 => "transpose",
            0b101 => "left turn",
            0b110 => "right turn",
            _ => "anti-transpose",
        })
    }
}

/// The transforms among which an alignment chooses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Group {
    /// All eight; square maps only.
    D4,
    /// Identity, horizontal flip, vertical flip and half turn.
    Flips,
    /// Identity, half turn and both quarter turns; square maps only.
    Rotations,
    /// The identity alone: plain feature regression.
    Identity,
    /// One transform for every sample, as a control.
    Fixed(Transform),
    /// For every sample one of the eight, drawn evenly by [`Transform::draw`], as a control; square maps only.
    Random {
        /// Of the draw; a training loop passes another one each step.
        seed: u64,
    },
    /// One given transform a sample, as many as there are samples.
    Each(Vec<Transform>),
}

impl Group {
    /// The transforms to choose from, in the order of the columns of distances and weights: the lowest code first. One whose choice
    /// does not depend on the maps is `None`: it has one column.
    pub fn choices(&self) -> Option<&'static [Transform]> {
        const FLIPS: [Transform; 4] = [
            Transform::IDENTITY,
            Transform::HORIZONTAL,
            Transform::VERTICAL,
            Transform::HALF_TURN,
        ];
        const ROTATIONS: [Transform; 4] = [
            Transform::IDENTITY,
            Transform::HALF_TURN,
            Transform::TURN_LEFT,
            Transform::TURN_RIGHT,
        ];
        match self {
            Self::D4 => Some(&Transform::ALL),
            Self::Flips => Some(&FLIPS),
            Self::Rotations => Some(&ROTATIONS),
            Self::Identity | Self::Fixed(_) | Self::Random { .. } | Self::Each(_) => None,
        }
    }

    /// The number of columns of distances and weights.
    pub fn columns(&self) -> usize {
        self.choices().map_or(1, <[_]>::len)
    }

    /// The transform of each of `batch` samples, where the maps do not decide.
    pub fn given(&self, batch: usize) -> Option<Vec<Transform>> {
        match self {
            Self::D4 | Self::Flips | Self::Rotations => None,
            Self::Identity => Some(vec![Transform::IDENTITY; batch]),
            Self::Fixed(transform) => Some(vec![*transform; batch]),
            Self::Random { seed } => Some(Transform::draw(*seed, batch, &Transform::ALL)),
            Self::Each(transforms) => Some(transforms.clone()),
        }
    }

    /// Whether only square maps have all of its transforms.
    pub fn transposes(&self) -> bool {
        match self {
            Self::D4 | Self::Rotations | Self::Random { .. } => true,
            Self::Flips | Self::Identity => false,
            Self::Fixed(transform) => transform.transposes(),
            Self::Each(transforms) => transforms.iter().any(|t| t.transposes()),
        }
    }
}

impl Display for Group {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::D4 => f.write_str("D4"),
            Self::Flips => f.write_str("flips"),
            Self::Rotations => f.write_str("rotations"),
            Self::Identity => f.write_str("identity"),
            Self::Fixed(transform) => write!(f, "fixed {transform}"),
            Self::Random { .. } => f.write_str("random"),
            Self::Each(_) => f.write_str("one given transform a sample"),
        }
    }
}
