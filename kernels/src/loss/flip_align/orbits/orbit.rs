//! The positions that the transforms carry into each other, which a unit takes together.

use super::super::maps::{Blueprint, Extent, source};
use super::super::{Normalisation, Transform};
use crate::lanes::{View, load};
use cubecl::prelude::*;

/// The transforms whose sources of one position a unit takes together, a comptime choice: a group, or the identity alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Orbit {
    members: &'static [Transform],
}

impl Orbit {
    /// Every position by itself.
    pub const SINGLE: Self = Self {
        members: &[Transform::IDENTITY],
    };

    /// The orbits of the transforms to choose from; single positions where none is chosen.
    pub fn of_choices(blueprint: &Blueprint) -> Self {
        blueprint
            .choices
            .map_or(Self::SINGLE, |members| Self { members })
    }

    /// The orbits of the transforms that the gradient is made of.
    pub fn of_targets(blueprint: &Blueprint) -> Self {
        match blueprint.targets() {
            1 => Self::SINGLE,
            _ => Self::of_choices(blueprint),
        }
    }

    /// Positions of an orbit, some of which may be one.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether a position is the only one of its orbit.
    pub fn is_single(&self) -> bool {
        self.len() == 1
    }

    /// Whether the orbits begin in an eighth of the map, where a quarter would hold most of them twice.
    pub fn is_of_eight(&self) -> bool {
        self.len() == 8
    }

    /// Orbits of a map.
    pub fn count(&self, height: usize, width: usize) -> usize {
        let (rows, columns) = (height.div_ceil(2), width.div_ceil(2));
        match self.len() {
            1 => height * width,
            8 => rows * (rows + 1) / 2,
            _ => rows * columns,
        }
    }

    /// The code of member `h`.
    pub fn code(&self, h: usize) -> u32 {
        self.members[h].code()
    }

    /// The member that holds what the transform of member `g` reads for the position of member `h`.
    pub fn read(&self, h: usize, g: usize) -> usize {
        self.member(self.members[h].after(self.members[g]))
    }

    /// The member that holds what the inverse of member `g` reads for the position of member `h`.
    pub fn read_by_inverse(&self, h: usize, g: usize) -> usize {
        self.member(self.members[h].after(self.members[g].inverse()))
    }

    fn member(&self, transform: Transform) -> usize {
        // A group holds it.
        let place = self.members.iter().position(|&t| t == transform);
        place.unwrap_or(0)
    }
}

/// The position at which an orbit begins.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Start {
    pub i: usize,
    pub j: usize,
}

/// Where orbit `number` begins. An eighth of a square, the upper right of its upper left quarter, is folded into a rectangle: the first
/// row of its triangle together with the last, the second with the last but one, are all of one length.
#[cube]
pub(super) fn start(number: usize, extent: &Extent, #[comptime] orbit: Orbit) -> Start {
    if comptime!(orbit.is_single()) {
        Start {
            i: number / extent.width,
            j: number % extent.width,
        }
    } else if comptime!(orbit.is_of_eight()) {
        let side = (extent.height + 1) / 2;
        let (fold, column) = (number / (side + 1), number % (side + 1));
        let first = column < side - fold;
        Start {
            i: select(first, fold, side - 1 - fold),
            j: select(first, fold + column, column - select(first, 0, 1)),
        }
    } else {
        let columns = (extent.width + 1) / 2;
        Start {
            i: number / columns,
            j: number % columns,
        }
    }
}

/// What each of an orbit's terms counts, so that every position counts once: a position on an axis or a diagonal has several members,
/// or begins several orbits.
#[cube]
pub(super) fn share<F: Float>(start: &Start, extent: &Extent, #[comptime] orbit: Orbit) -> F {
    let (one, half) = (F::new(1.0f32), F::new(0.5f32));
    let mut share = one;
    if comptime!(!orbit.is_single()) {
        share *= select(2 * start.i + 1 == extent.height, half, one);
        share *= select(2 * start.j + 1 == extent.width, half, one);
        if comptime!(orbit.is_of_eight()) {
            share *= select(start.i == start.j, half, one);
        }
    }
    share
}

/// The pixel of a sample's map that member `h` reads; that of a single position is read through `code`.
#[cube]
pub(super) fn pixel(
    start: &Start,
    code: u32,
    extent: &Extent,
    #[comptime] orbit: Orbit,
    #[comptime] h: usize,
) -> usize {
    if comptime!(orbit.is_single()) {
        source(code, start.i, start.j, extent)
    } else {
        source(comptime!(orbit.code(h)).runtime(), start.i, start.j, extent)
    }
}

/// Where a sample's map lies, and what it is multiplied by.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Map<F: Float> {
    /// Its first pixel.
    pub first: usize,
    /// The transform through which a single position is read.
    pub code: u32,
    /// The reciprocal of the sample's norm.
    pub scale: F,
    /// Those of the positions' begin here.
    pub norms: usize,
}

/// The map's vector at channel `c` of the position that member `h` reads, over its norm.
#[cube]
pub(super) fn vector<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    view: &View,
    map: &Map<F>,
    norms: &[F],
    start: &Start,
    c: usize,
    extent: &Extent,
    #[comptime] normalisation: Normalisation,
    #[comptime] orbit: Orbit,
    #[comptime] h: usize,
) -> Vector<F, N> {
    let pixel = pixel(start, map.code, extent, orbit, h);
    let mut value = load::<S, F, B, N>(x, view.at(map.first + pixel) + c);
    if comptime!(normalisation == Normalisation::Sample) {
        value *= Vector::new(map.scale);
    }
    if comptime!(normalisation == Normalisation::Position) {
        value *= Vector::new(norms[map.norms + pixel]);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::super::super::Group;
    use super::*;

    #[test]
    fn every_position_counts_once() {
        for group in [Group::D4, Group::Flips, Group::Rotations, Group::Identity] {
            let members = group.choices().unwrap_or(Orbit::SINGLE.members);
            for height in 1..9 {
                for width in 1..9 {
                    if height != width && group.transposes() {
                        continue;
                    }
                    let orbit = Orbit { members };
                    let extent = Extent {
                        height,
                        width,
                        channels: 1,
                        vectors: 1,
                    };
                    let mut counted = vec![0.0f32; height * width];
                    for number in 0..orbit.count(height, width) {
                        let start = start(number, &extent, orbit);
                        for h in 0..orbit.len() {
                            let pixel = pixel(&start, 0, &extent, orbit, h);
                            counted[pixel] += share::<f32>(&start, &extent, orbit);
                        }
                    }
                    assert_eq!(
                        counted,
                        vec![1.0; height * width],
                        "{group} {height} {width}"
                    );
                }
            }
        }
    }

    #[test]
    fn members_hold_what_the_transforms_read() {
        let size = [5, 5];
        for group in [Group::D4, Group::Flips, Group::Rotations] {
            let members = group.choices().unwrap();
            let orbit = Orbit { members };
            for (h, member) in members.iter().enumerate() {
                let here = member.source([0, 1], size);
                for (g, transform) in members.iter().enumerate() {
                    let held = |member: usize| members[member].source([0, 1], size);
                    let there = transform.source(here, size);
                    assert_eq!(held(orbit.read(h, g)), there);
                    let there = transform.inverse().source(here, size);
                    assert_eq!(held(orbit.read_by_inverse(h, g)), there);
                }
            }
        }
    }
}
