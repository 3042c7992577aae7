//! An embedded data set: ten kinds of land seen from above, drawn procedurally, so that a first run needs no download.
//!
//! Each image is a function of (seed, image) alone. A scene is a colour for every point of the ground. All scenes draw
//! from the same colours, and the sensor's exposure then takes most of what colour would still tell, so that classes
//! differ by structure: the regular rows of an orchard against a forest, the hard edges of a road against a river's banks, small
//! pitched roofs against large flat ones. A view spans the same ground at any image size.

mod buildings;
mod ground;
mod light;
mod lines;
mod noise;

use super::{DataError, Dataset, stop};
use crate::random::{Purpose, stream};
use light::{Conditions, Rgb};
use noise::{Point, at};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Ground units across an image at zoom 1: a pixel each at the default size of 32.
const VIEW: f32 = 32.0;
/// Difficulty: how far the view may zoom in (below 1) and out.
const ZOOM: Range<f32> = 0.8..1.25;
/// Difficulty: width in pixels over which a pixel gathers light; above 1 the image is soft.
const SOFTNESS: Range<f32> = 0.9..1.7;
/// Difficulty: share of an image's own mean colour and contrast that the exposure replaces by ones drawn at random.
const EXPOSURE: f32 = 0.6;
/// Difficulty: the contrast, a standard deviation of grey, that the exposure aims at.
const CONTRAST: Range<f32> = 0.05..0.13;
/// Difficulty: how much of the light is lost to haze.
const HAZE: Range<f32> = 0.0..0.35;
/// Difficulty: depth of the shadows of thin clouds.
const CLOUD: Range<f32> = 0.0..0.35;
/// Difficulty: strength of the grain.
const GRAIN: Range<f32> = 0.01..0.04;

/// Image sides that can be drawn: below, structure is lost; above, nothing new appears.
pub const SIZES: std::ops::RangeInclusive<usize> = 16..=512;

/// The colour of every point of the ground.
type Texture = Box<dyn Fn(Point) -> Rgb>;

/// A class: its name and how to draw its scenes.
type Class = (&'static str, fn(&mut ChaCha8Rng, &Conditions) -> Texture);

/// The classes, in the order of their names as a folder of them would be read.
const CLASSES: [Class; 10] = [
    ("coast", lines::coast),
    ("fields", ground::fields),
    ("forest", ground::forest),
    ("houses", buildings::houses),
    ("industry", buildings::industry),
    ("meadow", ground::meadow),
    ("orchard", ground::orchard),
    ("river", lines::river),
    ("road", lines::road),
    ("water", ground::water),
];

/// Draws `per_class` images of each of the ten classes, `size` pixels square, on rayon's pool; `progress` is called from many
/// threads with (images drawn, images in all). Equal arguments give equal bytes on any number of threads.
///
/// # Errors
/// [`DataError::Size`] outside [`SIZES`]; [`DataError::ClassTooSmall`] for fewer than two images per class; [`DataError::Stopped`] once
/// `stop` is set.
pub fn generate(
    seed: u64,
    per_class: usize,
    size: usize,
    stop: &AtomicBool,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Dataset, DataError> {
    if !SIZES.contains(&size) {
        return Err(DataError::Size {
            size,
            min: *SIZES.start(),
            max: *SIZES.end(),
        });
    }
    if per_class < 2 {
        let class = CLASSES[0].0.to_string();
        return Err(DataError::ClassTooSmall {
            class,
            images: per_class,
        });
    }
    let images = per_class * CLASSES.len();
    let mut pixels = vec![0; images * size * size * 3];
    let done = AtomicUsize::new(0);
    pixels
        .par_chunks_exact_mut(size * size * 3)
        .enumerate()
        .try_for_each(|(i, out)| {
            stop::check(stop)?;
            draw(
                i / per_class,
                &mut stream(seed, Purpose::Synthetic, 0, i as u64),
                size,
                out,
            );
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, images);
            Ok::<(), DataError>(())
        })?;
    let classes = CLASSES.iter().map(|(name, _)| name.to_string()).collect();
    let labels = (0..images).map(|i| (i / per_class) as u32).collect();
    let file = |i: usize| format!("{}/{:04}", CLASSES[i / per_class].0, i % per_class);
    let files = (0..images).map(file).collect();
    Dataset::new_until(
        stop,
        "synthetic".into(),
        classes,
        (size, size),
        pixels,
        labels,
        files,
    )
}

/// Draws one scene of `class` into `out`, `[size, size, 3]`.
fn draw(class: usize, rng: &mut ChaCha8Rng, size: usize, out: &mut [u8]) {
    let land = Conditions::draw(rng);
    let scene = CLASSES[class].1(rng, &land);
    let pixel = rng.random_range(ZOOM) * VIEW / size as f32;
    let spread = rng.random_range(SOFTNESS) * 0.25;
    let middle = size as f32 / 2.0;
    let mut image: Vec<Rgb> = (0..size * size)
        .map(|i| {
            let (x, y) = (
                (i % size) as f32 + 0.5 - middle,
                (i / size) as f32 + 0.5 - middle,
            );
            let taps = [(-1.0, -0.4), (0.4, -1.0), (1.0, 0.4), (-0.4, 1.0)];
            let tap = |(dx, dy): (f32, f32)| scene(at(x + dx * spread, y + dy * spread) * pixel);
            let seen = taps.map(tap);
            std::array::from_fn(|c| seen.iter().map(|s| s[c]).sum::<f32>() / 4.0)
        })
        .collect();
    light::develop(&mut image, size, rng);
    for (out, colour) in out.as_chunks_mut::<3>().0.iter_mut().zip(image) {
        *out = colour.map(|c| (c.clamp(0.0, 1.0) * 255.0 + 0.5) as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::stop::NEVER;
    use super::*;

    const QUIET: &(dyn Fn(usize, usize) + Sync) = &|_, _| ();

    #[test]
    fn equal_seeds_give_equal_bytes_on_any_number_of_threads() {
        let alone = rayon::ThreadPoolBuilder::new()
            .num_threads(1)
            .build()
            .unwrap();
        let many = rayon::ThreadPoolBuilder::new()
            .num_threads(5)
            .build()
            .unwrap();
        let first = alone.install(|| generate(7, 3, 32, &NEVER, QUIET).unwrap());
        let second = many.install(|| generate(7, 3, 32, &NEVER, QUIET).unwrap());
        assert_eq!(first.fingerprint, second.fingerprint);
        assert_ne!(
            first.fingerprint,
            generate(8, 3, 32, &NEVER, QUIET).unwrap().fingerprint
        );
    }

    #[test]
    fn a_stop_while_images_are_drawn_ends_at_once() {
        let (stop, drawn) = (AtomicBool::new(false), AtomicUsize::new(0));
        let stopping = |done, _| {
            drawn.fetch_add(1, Ordering::Relaxed);
            stop.fetch_or(done >= 5, Ordering::Relaxed);
        };
        let stopped = generate(1, 200, 16, &stop, &stopping);
        assert!(matches!(stopped, Err(DataError::Stopped)));
        // Each thread ends the image that it is at.
        let most = 5 + rayon::current_num_threads();
        assert!(drawn.into_inner() <= most, "more than {most} were drawn");
    }

    #[test]
    fn every_class_has_its_images_and_no_image_is_blank() {
        let count = AtomicUsize::new(0);
        let counting = |_, all| {
            assert_eq!(all, 40);
            count.fetch_add(1, Ordering::Relaxed);
        };
        let data = generate(1, 4, 24, &NEVER, &counting).unwrap();
        assert_eq!((data.len(), data.height, data.width), (40, 24, 24));
        assert_eq!(count.into_inner(), 40);
        assert!(data.classes.is_sorted());
        for c in 0..10 {
            assert_eq!(data.labels.iter().filter(|&&l| l == c).count(), 4);
        }
        for i in 0..data.len() {
            let (min, max) = data
                .image(i)
                .unwrap()
                .iter()
                .fold((255, 0), |(a, b), &v| (v.min(a), v.max(b)));
            assert!(max - min > 20, "image {i} spans {min} to {max}");
        }
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        assert!(matches!(
            generate(0, 5, 8, &NEVER, QUIET),
            Err(DataError::Size { size: 8, .. })
        ));
        assert!(matches!(
            generate(0, 1, 32, &NEVER, QUIET),
            Err(DataError::ClassTooSmall { .. })
        ));
    }

    /// Mean, deviation and five quantiles of each channel, and 1 for the bias.
    fn colour_statistics(image: &[u8]) -> Vec<f32> {
        let mut features = vec![1.0];
        for c in 0..3 {
            let mut values: Vec<f32> = image
                .iter()
                .skip(c)
                .step_by(3)
                .map(|&v| f32::from(v) / 255.0)
                .collect();
            values.sort_by(f32::total_cmp);
            let n = values.len() as f32;
            let mean = values.iter().sum::<f32>() / n;
            let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / n;
            features.extend([mean, variance.sqrt()]);
            features.extend([0.05, 0.25, 0.5, 0.75, 0.95].map(|q| values[(q * n) as usize]));
        }
        features
    }

    #[test]
    fn softmax_regression_on_colour_statistics_stays_far_below_ninety_percent() {
        let data = generate(3, 100, 32, &NEVER, QUIET).unwrap();
        let mut rows: Vec<Vec<f32>> = (0..1000)
            .map(|i| colour_statistics(&data.image(i).unwrap()))
            .collect();
        let width = rows[0].len();
        for f in 1..width {
            let mean = rows.iter().map(|r| r[f]).sum::<f32>() / 1000.0;
            let std = (rows.iter().map(|r| (r[f] - mean).powi(2)).sum::<f32>() / 1000.0).sqrt();
            rows.iter_mut().for_each(|r| r[f] = (r[f] - mean) / std);
        }
        let mut weights = vec![[0.0f32; 10]; width];
        let logits = |weights: &[[f32; 10]], row: &[f32]| -> [f32; 10] {
            std::array::from_fn(|c| row.iter().zip(weights).map(|(x, w)| x * w[c]).sum())
        };
        let (test, train): (Vec<usize>, Vec<usize>) = (0..1000).partition(|i| i % 5 == 0);
        for _ in 0..500 {
            let mut gradient = vec![[0.0f32; 10]; width];
            for &i in &train {
                let powers = logits(&weights, &rows[i]).map(f32::exp);
                let total: f32 = powers.iter().sum();
                for (g, x) in gradient.iter_mut().zip(&rows[i]) {
                    for c in 0..10 {
                        let target = f32::from(u8::from(data.labels[i] as usize == c));
                        g[c] += (powers[c] / total - target) * x / train.len() as f32;
                    }
                }
            }
            for (w, g) in weights.iter_mut().flatten().zip(gradient.iter().flatten()) {
                *w -= 0.5 * g;
            }
        }
        let right = |i: &&usize| {
            let scores = logits(&weights, &rows[**i]);
            let best = (0..10).max_by(|&a, &b| scores[a].total_cmp(&scores[b]));
            best == Some(data.labels[**i] as usize)
        };
        let accuracy = test.iter().filter(right).count() as f32 / test.len() as f32;
        // Above chance, or the classifier is broken and proves nothing.
        assert!((0.3..0.8).contains(&accuracy), "{accuracy}");
    }
}
