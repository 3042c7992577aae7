//! Colours and light: what season, sun and sensor do to every scene alike, so that colour tells little about the class.

use super::noise::{Noise, Point, at, mix};
use super::{CLOUD, CONTRAST, EXPOSURE, GRAIN, HAZE, VIEW};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Red, green and blue in 0..1, as stored in a file.
pub(super) type Rgb = [f32; 3];

const GROUND: [Rgb; 6] = [
    [0.31, 0.42, 0.20],
    [0.22, 0.31, 0.15],
    [0.42, 0.41, 0.24],
    [0.62, 0.55, 0.37],
    [0.45, 0.34, 0.25],
    [0.36, 0.37, 0.30],
];
const LEAF: [Rgb; 4] = [
    [0.19, 0.29, 0.13],
    [0.26, 0.36, 0.17],
    [0.40, 0.33, 0.16],
    [0.33, 0.34, 0.24],
];
const WATER: [Rgb; 5] = [
    [0.11, 0.21, 0.29],
    [0.20, 0.29, 0.21],
    [0.43, 0.39, 0.29],
    [0.25, 0.38, 0.40],
    [0.33, 0.36, 0.33],
];
const PAVING: [Rgb; 4] = [
    [0.33, 0.33, 0.34],
    [0.50, 0.48, 0.45],
    [0.60, 0.55, 0.46],
    [0.42, 0.41, 0.36],
];
const ROOF: [Rgb; 6] = [
    [0.56, 0.29, 0.21],
    [0.42, 0.42, 0.44],
    [0.40, 0.31, 0.25],
    [0.72, 0.71, 0.68],
    [0.29, 0.31, 0.35],
    [0.56, 0.51, 0.44],
];

/// How far an exposure that raises the contrast also raises the colours.
const MAX_HUE_GAIN: f32 = 1.3;

/// The season and the sun of one image.
#[derive(Clone, Copy)]
pub(super) struct Conditions {
    pub grass: Rgb,
    pub dry: Rgb,
    pub soil: Rgb,
    pub leaf: Rgb,
    pub water: Rgb,
    pub paving: Rgb,
    pub sand: Rgb,
    /// Unit vector from which the light comes.
    pub sun: Point,
    /// How far a shadow falls, in heights.
    pub shadow: f32,
}

impl Conditions {
    pub(super) fn draw(rng: &mut ChaCha8Rng) -> Self {
        Self {
            grass: pick(rng, &GROUND),
            dry: pick(rng, &GROUND),
            soil: pick(rng, &GROUND),
            leaf: pick(rng, &LEAF),
            water: pick(rng, &WATER),
            paving: pick(rng, &PAVING),
            sand: blend(
                [0.72, 0.65, 0.50],
                pick(rng, &PAVING),
                rng.random_range(0.0..0.7),
            ),
            sun: Point::unit(rng.random_range(0.0..std::f32::consts::TAU)),
            shadow: rng.random_range(0.4..1.2),
        }
    }

    /// A crop's colour by a number in 0..1: something between two of the image's ground colours.
    pub(super) fn crop(&self, number: f32) -> Rgb {
        let t = (number * 3.0).fract();
        match (number * 3.0) as u32 {
            0 => blend(self.grass, self.dry, t),
            1 => blend(self.dry, self.soil, t),
            _ => blend(self.soil, self.grass, t),
        }
    }

    /// A roof's colour from the building's own noise.
    pub(super) fn roof(&self, noise: Noise) -> Rgb {
        let any = ROOF[(noise.number(20) * ROOF.len() as f32) as usize % ROOF.len()];
        scale(
            blend(any, self.paving, 0.25),
            mix(0.85, 1.15, noise.number(21)),
        )
    }
}

/// Something between two colours of a range, a little lighter or darker.
fn pick(rng: &mut ChaCha8Rng, range: &[Rgb]) -> Rgb {
    let a = range[rng.random_range(0..range.len() as u32) as usize];
    let b = range[rng.random_range(0..range.len() as u32) as usize];
    scale(
        blend(a, b, rng.random_range(0.0..0.5)),
        rng.random_range(0.85..1.15),
    )
}

pub(super) fn scale(colour: Rgb, by: f32) -> Rgb {
    colour.map(|c| c * by)
}

pub(super) fn blend(a: Rgb, b: Rgb, t: f32) -> Rgb {
    std::array::from_fn(|c| mix(a[c], b[c], t))
}

/// What the sensor makes of the light: it exposes and balances by itself, through haze and thin cloud, with grain.
pub(super) fn develop(image: &mut [Rgb], size: usize, rng: &mut ChaCha8Rng) {
    let n = image.len() as f32;
    let mean: Rgb = std::array::from_fn(|c| image.iter().map(|p| p[c]).sum::<f32>() / n);
    let grey = |p: &Rgb| (p[0] + p[1] + p[2]) / 3.0;
    let level = grey(&mean);
    let spread = (image.iter().map(|p| (grey(p) - level).powi(2)).sum::<f32>() / n).sqrt();

    let target = scale(
        blend(pick(rng, &GROUND), pick(rng, &WATER), rng.random()),
        1.05,
    );
    let wanted = rng.random_range(CONTRAST) / spread.max(0.01);
    let gain = mix(1.0, wanted, EXPOSURE).clamp(0.4, 4.0);
    let centre = blend(mean, target, EXPOSURE);
    let haze = rng.random_range(HAZE);
    let cloud = Noise(rng.random());
    let cover = rng.random_range(CLOUD);
    let grain = rng.random_range(GRAIN);
    for (i, pixel) in image.iter_mut().enumerate() {
        let place = at((i % size) as f32, (i / size) as f32) * (VIEW / size as f32);
        let light = 1.0 + cover * cloud.fractal(place * 0.06, 2);
        let from_level = gain * (grey(pixel) - level);
        // Hues are not raised as far as contrast, or a faint tint of asphalt turns violet.
        let hue: Rgb = std::array::from_fn(|c| pixel[c] - mean[c] - (grey(pixel) - level));
        for c in 0..3 {
            let exposed = (centre[c] + from_level + gain.min(MAX_HUE_GAIN) * hue[c]) * light;
            let hazy = mix(exposed, [0.66, 0.69, 0.72][c], haze);
            // The sum of three uniform numbers is close enough to a normal one.
            let bell: f32 = (0..3).map(|_| rng.random_range(-1.0..1.0f32)).sum();
            pixel[c] = hazy + grain * bell;
        }
    }
}
