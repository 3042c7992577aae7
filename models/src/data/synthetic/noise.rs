//! Points, hashes and the noises that textures are made of.

use std::ops::{Add, Mul, Sub};

/// A point on the ground or a direction, in units of which [`VIEW`](super::VIEW) span an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub x: f32,
    pub y: f32,
}

pub(super) fn at(x: f32, y: f32) -> Point {
    Point { x, y }
}

impl Point {
    pub(super) fn unit(angle: f32) -> Self {
        at(angle.cos(), angle.sin())
    }

    pub(super) fn dot(self, other: Self) -> f32 {
        self.x * other.x + self.y * other.y
    }

    pub(super) fn length(self) -> f32 {
        self.dot(self).sqrt()
    }

    /// Coordinates along `axis`, a unit vector, and across it.
    pub(super) fn along(self, axis: Self) -> Self {
        at(self.dot(axis), self.y * axis.x - self.x * axis.y)
    }
}

impl Add for Point {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        at(self.x + other.x, self.y + other.y)
    }
}

impl Sub for Point {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        at(self.x - other.x, self.y - other.y)
    }
}

impl Mul<f32> for Point {
    type Output = Self;
    fn mul(self, by: f32) -> Self {
        at(self.x * by, self.y * by)
    }
}

/// A source of noise: equal seeds give equal noise everywhere.
#[derive(Debug, Clone, Copy)]
pub(super) struct Noise(pub u32);

/// The jittered lattice point nearest to a place.
pub(super) struct Cell {
    /// From that point to the place.
    pub offset: Point,
    /// Noise that is the cell's own.
    pub noise: Noise,
}

impl Noise {
    /// Uniform in 0..1 for each lattice point.
    pub(super) fn uniform(self, x: i32, y: i32) -> f32 {
        self.at_lattice(x, y).0 as f32 * (1.0 / u32::MAX as f32)
    }

    /// The `i`-th uniform number in 0..1 of this source.
    pub(super) fn number(self, i: i32) -> f32 {
        self.uniform(i, -7)
    }

    fn at_lattice(self, x: i32, y: i32) -> Self {
        let mut h = self.0 ^ (x as u32).wrapping_mul(0x9E37_79B1);
        h = (h ^ h >> 15).wrapping_mul(0x85EB_CA77) ^ (y as u32).wrapping_mul(0xC2B2_AE3D);
        h = (h ^ h >> 13).wrapping_mul(0x27D4_EB2F);
        h = (h ^ h >> 16).wrapping_mul(0x1656_67B1);
        Self(h ^ h >> 15)
    }

    /// Smooth noise in -1..1 with features about one unit wide.
    pub(super) fn smooth(self, p: Point) -> f32 {
        let (fx, fy) = (p.x.floor(), p.y.floor());
        let (x, y) = (fx as i32, fy as i32);
        let (u, v) = (fade(p.x - fx), fade(p.y - fy));
        let row = |y| mix(self.uniform(x, y), self.uniform(x + 1, y), u);
        mix(row(y), row(y + 1), v) * 2.0 - 1.0
    }

    /// [`smooth`](Self::smooth) noise in -1..1 summed over `octaves`, each twice as fine and half as strong as the last.
    pub(super) fn fractal(self, p: Point, octaves: u32) -> f32 {
        let (mut sum, mut total, mut p, mut weight) = (0.0, 0.0, p, 1.0);
        for octave in 0..octaves {
            sum += weight * Self(self.0.wrapping_add(octave * 101)).smooth(p);
            total += weight;
            weight *= 0.5;
            // Turned by an angle without symmetry, or the lattices of the octaves would line up.
            p = at(1.6 * p.x - 1.2 * p.y, 1.2 * p.x + 1.6 * p.y);
        }
        sum / total
    }

    /// The nearest of the points of a unit lattice, each moved by up to `jitter / 2` along both axes.
    pub(super) fn nearest(self, p: Point, jitter: f32) -> Cell {
        let (x, y) = (p.x.floor() as i32, p.y.floor() as i32);
        let mut best = Cell {
            offset: at(9.0, 9.0),
            noise: self,
        };
        for (i, j) in (-1..=1).flat_map(|j| (-1..=1).map(move |i| (x + i, y + j))) {
            let noise = self.at_lattice(i, j);
            // One hash holds both coordinates: this is the innermost loop of a forest.
            let (right, up) = (noise.0 >> 16, noise.0 & 0xFFFF);
            let moved = |n, base: i32| base as f32 + 0.5 + jitter * (n as f32 / 65535.0 - 0.5);
            let offset = p - at(moved(right, i), moved(up, j));
            if offset.dot(offset) < best.offset.dot(best.offset) {
                best = Cell { offset, noise };
            }
        }
        best
    }

    /// The noise of the cell of the unit lattice that holds `p`, and the place in it relative to its centre.
    pub(super) fn cell(self, p: Point) -> Cell {
        let (x, y) = (p.x.floor(), p.y.floor());
        let offset = at(p.x - x - 0.5, p.y - y - 0.5);
        Cell {
            offset,
            noise: self.at_lattice(x as i32, y as i32),
        }
    }
}

/// From `a` at 0 to `b` at 1.
pub(super) fn mix(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}

fn fade(t: f32) -> f32 {
    t * t * (3.0 - 2.0 * t)
}

/// 0 below `from`, 1 above `to`, smooth between.
pub(super) fn step(from: f32, to: f32, value: f32) -> f32 {
    fade(((value - from) / (to - from)).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_continuous_bounded_and_its_seeds_are_unrelated() {
        let (a, b) = (Noise(1), Noise(2));
        let (mut product, mut square) = (0.0, 0.0);
        for i in 0..4000 {
            let p = at(i as f32 * 0.137 - 200.0, i as f32 * 0.071 - 90.0);
            let value = a.fractal(p, 4);
            assert!(value.abs() <= 1.0);
            assert!((value - a.fractal(p + at(1e-3, 0.0), 4)).abs() < 0.03);
            product += value * b.fractal(p, 4);
            square += value * value;
        }
        assert!(product.abs() < 0.2 * square, "{product} {square}");
    }

    #[test]
    fn the_nearest_point_is_never_further_than_the_lattice_allows() {
        for i in 0..2000 {
            let p = at(i as f32 * 0.37, i as f32 * -0.53);
            assert!(Noise(9).nearest(p, 1.0).offset.length() < 1.5);
            assert!(Noise(9).nearest(p, 0.0).offset.length() <= 0.5f32.sqrt() + 1e-3);
        }
    }
}
