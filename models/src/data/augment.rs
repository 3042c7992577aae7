//! Flips, rotations and shifts: what does not change the class of an image taken from above.

use super::stats::Normaliser;
use super::{DataError, Dataset};
use crate::random::{Purpose, stream};
use ghostlight_kernels::planted;
use rand::RngExt;
use serde::{Deserialize, Serialize};

/// Which random changes a training image goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// One of the 8 flips and rotations of the square (one of the 4 flips for images that are not square). Default true.
    pub dihedral: bool,
    /// Move by up to so many pixels along each axis, mirroring the image at its borders. Default 4.
    pub shift: usize,
}

impl Default for Augment {
    fn default() -> Self {
        Self {
            dihedral: true,
            shift: 4,
        }
    }
}

/// The run's seed and the epoch: with an image's index they determine its changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AugmentSeed {
    /// The run's seed.
    pub seed: u64,
    /// The epoch, from 0.
    pub epoch: u64,
}

/// The changes drawn for one image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Placement {
    /// Upside down.
    pub flip_rows: bool,
    /// Left to right.
    pub flip_columns: bool,
    /// Rows become columns, after the flips.
    pub transpose: bool,
    /// Rows and columns that the window moves down and right, before flips and transposition.
    pub shift: (i32, i32),
}

impl Augment {
    /// Checks the shift against the images.
    ///
    /// # Errors
    /// [`DataError::Shift`] when it is no smaller than a side: mirroring once could not fill the border.
    pub fn check(&self, dataset: &Dataset) -> Result<(), DataError> {
        let (height, width) = (dataset.height, dataset.width);
        let max = height.min(width) - 1;
        match self.shift <= max {
            true => Ok(()),
            false => Err(DataError::Shift {
                shift: self.shift,
                height,
                width,
                max,
            }),
        }
    }

    /// Draws the changes of image `index`.
    pub fn draw(&self, at: AugmentSeed, index: u32, square: bool) -> Placement {
        let mut rng = stream(at.seed, Purpose::Augment, at.epoch, u64::from(index));
        let symmetry: u32 = rng.random_range(0..8);
        let reach = self.shift as i32;
        let shift = (
            rng.random_range(-reach..=reach),
            rng.random_range(-reach..=reach),
        );
        let bit = |b: u32| self.dihedral && symmetry >> b & 1 == 1;
        let transpose = bit(2) && square;
        Placement {
            flip_rows: bit(0),
            flip_columns: bit(1),
            transpose,
            shift,
        }
    }
}

impl Placement {
    /// Writes `image` (`[height, width, 3]`), changed and normalised, into `out` of the same shape.
    ///
    /// Each row and each column of the output starts at an offset of its own and a pixel lies at the sum of the two, so one
    /// loop serves all eight symmetries.
    pub fn write(
        &self,
        image: &[u8],
        (height, width): (usize, usize),
        normaliser: &Normaliser,
        out: &mut [f32],
    ) {
        let (row_step, column_step) = match self.transpose {
            false => (width * 3, 3),
            true => (3, width * 3),
        };
        let rows = offsets(height, self.shift.0, self.flip_rows, row_step);
        let columns = offsets(width, self.shift.1, self.flip_columns, column_step);
        for (row, out) in rows.iter().zip(out.chunks_exact_mut(width * 3)) {
            for (column, out) in columns.iter().zip(out.as_chunks_mut::<3>().0) {
                let at = row + column;
                *out = normaliser.pixel([image[at], image[at + 1], image[at + 2]]);
            }
        }
    }
}

/// Where each of `n` positions along an axis reads: shifted, mirrored at the ends (the end itself not repeated), flipped.
fn offsets(n: usize, shift: i32, flip: bool, step: usize) -> Vec<usize> {
    let last = n as i32 - 1;
    let source = |i: usize| {
        let moved = (i as i32 + shift).abs();
        let inside = if moved > last {
            planted::or("border_repeated", 2 * last, 2 * last + 1) - moved
        } else {
            moved
        };
        if flip { last - inside } else { inside }
    };
    (0..n).map(|i| source(i) as usize * step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ChannelStats;
    use std::collections::HashSet;

    /// A normaliser that changes nothing, so that outputs can be compared with the bytes.
    fn identity() -> Normaliser {
        Normaliser::new(&ChannelStats {
            mean: [0.0; 3],
            std: [1.0 / 255.0; 3],
        })
    }

    /// The red channel after `placement`, of a `[h, w]` image whose red counts up from 0.
    fn red(placement: Placement, h: usize, w: usize) -> Vec<i32> {
        let image: Vec<u8> = (0..h * w).flat_map(|i| [i as u8, 0, 0]).collect();
        let mut out = vec![0.0; image.len()];
        placement.write(&image, (h, w), &identity(), &mut out);
        out.iter().step_by(3).map(|v| v.round() as i32).collect()
    }

    #[test]
    fn the_eight_symmetries_are_eight_different_images_of_the_same_pixels() {
        let mut seen = HashSet::new();
        for bits in 0..8 {
            let bit = |b: i32| bits >> b & 1 == 1;
            let placement = Placement {
                flip_rows: bit(0),
                flip_columns: bit(1),
                transpose: bit(2),
                shift: (0, 0),
            };
            let mut pixels = red(placement, 3, 3);
            seen.insert(pixels.clone());
            pixels.sort_unstable();
            assert_eq!(pixels, (0..9).collect::<Vec<_>>());
        }
        assert_eq!(seen.len(), 8);
        let turned = Placement {
            transpose: true,
            flip_columns: true,
            ..Placement::default()
        };
        assert_eq!(red(turned, 2, 2), [2, 0, 3, 1], "a quarter turn clockwise");
    }

    #[test]
    fn a_shift_mirrors_the_border_without_repeating_it() {
        let shifted = |dy, dx| {
            red(
                Placement {
                    shift: (dy, dx),
                    ..Placement::default()
                },
                2,
                4,
            )
        };
        assert_eq!(shifted(0, 2), [2, 3, 2, 1, 6, 7, 6, 5]);
        assert_eq!(shifted(0, -3), [3, 2, 1, 0, 7, 6, 5, 4]);
        assert_eq!(shifted(1, 0), [4, 5, 6, 7, 0, 1, 2, 3]);
    }

    #[test]
    fn a_draw_depends_on_seed_epoch_and_image_alone_and_reaches_every_choice() {
        let augment = Augment {
            dihedral: true,
            shift: 1,
        };
        let at = |epoch, index| augment.draw(AugmentSeed { seed: 5, epoch }, index, true);
        assert_eq!(at(3, 17), at(3, 17));
        let draws: HashSet<_> = (0..2000).map(|i| at(0, i)).collect();
        assert_eq!(draws.len(), 8 * 9);
        assert!((0..50).any(|i| at(0, i) != at(1, i)));
        let oblong = |i| augment.draw(AugmentSeed { seed: 5, epoch: 0 }, i, false);
        assert!((0..50).all(|i| !oblong(i).transpose));
        let still = Augment {
            dihedral: false,
            shift: 0,
        };
        let drawn = |i| still.draw(AugmentSeed { seed: 5, epoch: 0 }, i, true);
        assert!((0..50).all(|i| drawn(i) == Placement::default()));
    }

    #[test]
    fn the_three_colours_of_a_pixel_move_together() {
        let (height, width) = (3, 5);
        let image: Vec<u8> = (0..height * width * 3).map(|byte| byte as u8).collect();
        let mut out = vec![0.0; image.len()];
        let moved = Placement {
            flip_rows: true,
            shift: (1, -2),
            ..Placement::default()
        };
        moved.write(&image, (height, width), &identity(), &mut out);
        for pixel in out.as_chunks::<3>().0 {
            let [red, green, blue] = pixel.map(|value| value.round() as i32);
            assert_eq!((red % 3, green, blue), (0, red + 1, red + 2));
        }
    }

    #[test]
    fn what_was_drawn_once_is_drawn_by_every_version_of_the_program() {
        let augment = Augment {
            dihedral: true,
            shift: 3,
        };
        // A run that is resumed by a later version must see the images that it would have seen.
        let at = AugmentSeed { seed: 5, epoch: 7 };
        let drawn = [0, 1, 2, 3].map(|index| {
            let Placement {
                flip_rows,
                flip_columns,
                transpose,
                shift,
            } = augment.draw(at, index, true);
            ([flip_rows, flip_columns, transpose].map(u8::from), shift)
        });
        assert_eq!(
            drawn,
            [
                ([0, 1, 1], (1, -1)),
                ([1, 0, 0], (-2, -1)),
                ([1, 0, 1], (-1, 2)),
                ([0, 0, 1], (1, 3))
            ]
        );
    }
}
