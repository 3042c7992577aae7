//! Objects, cut out of the image in which they lie.
//!
//! A crop is a square around an object's box: as long as the box's longer side, and `margin` times that more on each side, so that a ship
//! keeps its shape and shows some of the water around it. What lies beyond the image's edge is the image mirrored there.

use super::identity::ImageDigest;
use ghostlight_kernels::planted;
use image::RgbImage;
use sha2::{Digest, Sha256};

/// x and y in pixels, from the upper left corner of the upper left pixel.
pub(super) type Point = [f64; 2];

/// Where an object lies in its image: the corners of its box, in order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Outline(pub [Point; 4]);

/// An object's box: a rectangle with its sides along `right` and at right angles to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Frame {
    centre: Point,
    /// Along the rows of the crop, of length 1.
    right: Point,
    /// Extent along and across `right`.
    sides: [f64; 2],
}

/// How a crop is taken from its image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Crop {
    outline: Outline,
    centre: Point,
    right: Point,
    side: f64,
}

fn less(a: Point, b: Point) -> Point {
    [a[0] - b[0], a[1] - b[1]]
}

impl Outline {
    /// Twice the signed area: positive where the corners go round clockwise, as they are seen with y downwards.
    fn doubled_area(&self) -> f64 {
        let p = self.0;
        let turn = |i: usize| p[i][0] * p[(i + 1) % 4][1] - p[(i + 1) % 4][0] * p[i][1];
        (0..4).map(turn).sum()
    }

    /// The box along the axes of the image.
    pub(super) fn along_axes(&self) -> Frame {
        self.frame([1.0, 0.0])
    }

    /// The box along the edges that join the first corner to the second and the fourth to the third, with these edges above and
    /// below and the first on top. `None` where they give no direction.
    pub(super) fn upright(&self) -> Option<Frame> {
        let p = self.0;
        let (top, bottom) = (less(p[1], p[0]), less(p[2], p[3]));
        let along = [top[0] + bottom[0], top[1] + bottom[1]];
        let length = (along[0] * along[0] + along[1] * along[1]).sqrt();
        if !(length > 0.0 && length.is_finite()) {
            return None;
        }
        // Corners that go round the other way have the first edge below: half a turn, as mirroring would make another object of it.
        let turned = self.doubled_area() < 0.0 && !planted::is("objects_upside_down");
        let sign = if turned { -1.0 } else { 1.0 };
        Some(self.frame([sign * along[0] / length, sign * along[1] / length]))
    }

    fn frame(&self, right: Point) -> Frame {
        let down = [-right[1], right[0]];
        let extent = |axis: Point| {
            let along = self.0.map(|p| p[0] * axis[0] + p[1] * axis[1]);
            let least = along.into_iter().fold(f64::INFINITY, f64::min);
            let most = along.into_iter().fold(f64::NEG_INFINITY, f64::max);
            (least, most)
        };
        let ((left, end), (top, bottom)) = (extent(right), extent(down));
        let (x, y) = ((left + end) / 2.0, (top + bottom) / 2.0);
        Frame {
            centre: [x * right[0] + y * down[0], x * right[1] + y * down[1]],
            right,
            sides: [end - left, bottom - top],
        }
    }

    /// Why the outline can be no object's in an image of this (height, width); `None` for one that can.
    pub(super) fn fault(&self, size: Option<(usize, usize)>) -> Option<String> {
        if self.doubled_area() == 0.0 || !self.doubled_area().is_finite() {
            return Some("the box has no area".to_string());
        }
        let (height, width) = size?;
        let [x, y] = [0, 1].map(|axis| {
            let along = self.0.map(|p| p[axis]);
            let least = along.into_iter().fold(f64::INFINITY, f64::min);
            (least, along.into_iter().fold(f64::NEG_INFINITY, f64::max))
        });
        let outside =
            |(least, most): (f64, f64), extent: usize| least >= extent as f64 || most <= 0.0;
        let far = |(least, most): (f64, f64), extent: usize| most - least > 2.0 * extent as f64;
        match () {
            () if outside(x, width) || outside(y, height) => Some(format!(
                "the box lies outside of its image of {width} x {height} pixels"
            )),
            () if far(x, width) || far(y, height) => Some(format!(
                "the box is more than twice as long as its image of {width} x {height} pixels"
            )),
            () => None,
        }
    }
}

impl Frame {
    /// The longer side in pixels.
    pub(super) fn longer_side(&self) -> f64 {
        self.sides[0].max(self.sides[1])
    }
}

impl Crop {
    /// The square around `frame`, with a margin of so many of its longer sides.
    pub(super) fn new(outline: Outline, frame: Frame, margin: f64) -> Self {
        Self {
            outline,
            centre: frame.centre,
            right: frame.right,
            side: frame.longer_side() * (1.0 + 2.0 * margin),
        }
    }

    /// Side of the square in pixels of its image.
    pub(super) fn side(&self) -> f64 {
        self.side
    }

    /// The digest by which the object is known: of its image's file and of where it lies there, however it is cut out.
    pub(super) fn digest(&self, file: ImageDigest) -> ImageDigest {
        let mut hash = Sha256::new();
        hash.update(file.to_string());
        for number in self.outline.0.as_flattened() {
            hash.update(number.to_le_bytes());
        }
        ImageDigest::from_sha256(&hash.finalize().into())
    }

    /// Writes the crop, `height` x `width`, to `out`. Each of its pixels is the mean of so many bilinear samples that none of the image's
    /// pixels under it is left out: nothing aliases.
    pub(super) fn cut(&self, image: &RgbImage, (height, width): (usize, usize), out: &mut [u8]) {
        let (right, down) = (self.right, [-self.right[1], self.right[0]]);
        let steps = [self.side / width as f64, self.side / height as f64];
        let taps = steps.map(|step| step.ceil().max(1.0) as usize);
        let weight = 1.0 / (taps[0] * taps[1]) as f64;
        for (row, out) in out.chunks_exact_mut(width * 3).enumerate() {
            for (column, out) in out.as_chunks_mut::<3>().0.iter_mut().enumerate() {
                let mut sum = [0.0; 3];
                for tap in 0..taps[0] * taps[1] {
                    let (i, j) = (tap / taps[0], tap % taps[0]);
                    let across = |index: usize, tap: usize, axis: usize| {
                        let place = index as f64 + (tap as f64 + 0.5) / taps[axis] as f64;
                        place * steps[axis] - self.side / 2.0
                    };
                    let (a, b) = (across(column, j, 0), across(row, i, 1));
                    let x = self.centre[0] + a * right[0] + b * down[0];
                    let y = self.centre[1] + a * right[1] + b * down[1];
                    let sample = bilinear(image, x, y);
                    sum = std::array::from_fn(|c| sum[c] + sample[c]);
                }
                *out = sum.map(|s| (s * weight).round() as u8);
            }
        }
    }
}

/// The image between its pixels' centres, mirrored beyond its edges.
fn bilinear(image: &RgbImage, x: f64, y: f64) -> [f64; 3] {
    let (x, y) = (x - 0.5, y - 0.5);
    let (left, top) = (x.floor(), y.floor());
    let (u, v) = (x - left, y - top);
    let columns = [left, left + 1.0].map(|at| mirrored(at as i64, image.width()));
    let rows = [top, top + 1.0].map(|at| mirrored(at as i64, image.height()));
    let pixel = |row: usize, column: usize| image.get_pixel(columns[column], rows[row]).0;
    let corners = [pixel(0, 0), pixel(0, 1), pixel(1, 0), pixel(1, 1)];
    let weights = [(1.0 - u) * (1.0 - v), u * (1.0 - v), (1.0 - u) * v, u * v];
    std::array::from_fn(|c| (0..4).map(|i| f64::from(corners[i][c]) * weights[i]).sum())
}

/// `at` brought into 0..extent by mirroring at the first and the last pixel, which are not repeated.
fn mirrored(at: i64, extent: u32) -> u32 {
    let last = i64::from(extent) - 1;
    if last == 0 {
        return 0;
    }
    let place = at.rem_euclid(2 * last);
    place.min(2 * last - place) as u32
}

#[cfg(test)]
mod tests;
