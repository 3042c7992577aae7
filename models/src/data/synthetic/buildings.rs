//! Scenes of roofs: dwellings and halls, on blocks along streets.

use super::Texture;
use super::ground::meadow;
use super::light::{Conditions, blend, scale};
use super::noise::{Noise, Point, at, mix};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::f32::consts::TAU;

/// Buildings on a grid of plots, at most one each.
struct Plots {
    noise: Noise,
    axis: Point,
    /// Sides of a plot.
    plot: Point,
    /// Shortest and longest half sides of a building, as shares of its plot's.
    fill: (f32, f32),
    /// Share of plots that stay empty.
    empty: f32,
}

/// Where a place lies with regard to the building of its plot.
struct Building {
    /// From the building's centre, along its longer and its shorter side.
    place: Point,
    /// Half its sides.
    half: Point,
    noise: Noise,
}

impl Plots {
    /// The building that covers `p`, if any.
    fn at(&self, p: Point) -> Option<Building> {
        let place = p.along(self.axis);
        let cell = self
            .noise
            .cell(at(place.x / self.plot.x, place.y / self.plot.y));
        let noise = cell.noise;
        if noise.number(0) < self.empty {
            return None;
        }
        let side = |i| mix(self.fill.0, self.fill.1, noise.number(i)) * 0.5;
        let half = at(side(1) * self.plot.x, side(2) * self.plot.y);
        let slack = at(0.46 * self.plot.x - half.x, 0.46 * self.plot.y - half.y);
        let moved = at(
            slack.x * (noise.number(3) - 0.5),
            slack.y * (noise.number(4) - 0.5),
        );
        let offset = at(cell.offset.x * self.plot.x, cell.offset.y * self.plot.y) - moved;
        let (place, half) = match half.x >= half.y {
            true => (offset, half),
            false => (at(offset.y, offset.x), at(half.y, half.x)),
        };
        let covered = place.x.abs() < half.x && place.y.abs() < half.y;
        covered.then_some(Building { place, half, noise })
    }
}

/// Small pitched roofs among gardens and trees, along a street.
pub(super) fn houses(rng: &mut ChaCha8Rng, land: &Conditions) -> Texture {
    let axis = Point::unit(rng.random_range(0.0..TAU));
    let plot = at(rng.random_range(6.0..8.0), rng.random_range(6.5..8.5));
    let plots = Plots {
        noise: Noise(rng.random()),
        axis,
        plot,
        fill: (0.5, 0.8),
        empty: 0.1,
    };
    let gardens = meadow(rng, land);
    let (trees, streets) = (Noise(rng.random()), rng.random_range(0..2) as f32);
    let wooded = rng.random_range(0.1..0.4);
    let (land, sun) = (*land, land.sun.along(axis));
    let to_light = land.sun * (1.3 * land.shadow);
    Box::new(move |p| {
        if let Some(house) = plots.at(p) {
            // Two slopes meet at a ridge along the longer side; one of them faces the sun.
            let facing = if house.noise.number(5) < 0.5 {
                sun.y
            } else {
                sun.x
            };
            let slope = house.place.y.signum() * facing;
            return scale(land.roof(house.noise), 1.0 + 0.28 * slope);
        }
        let shaded = if plots.at(p + to_light).is_some() {
            0.55
        } else {
            1.0
        };
        let place = p.along(axis);
        let row = (place.y / plot.y).round();
        let street = (place.y - row * plot.y).abs() < 0.9 && row.rem_euclid(2.0) == streets;
        if street {
            return scale(land.paving, shaded);
        }
        let cell = trees.nearest(p * 0.33, 0.9);
        let tree = cell.noise.number(7) < wooded && cell.offset.length() < 0.42;
        let lit = 1.0 + 0.5 * cell.offset.dot(land.sun);
        let ground = if tree {
            scale(land.leaf, lit)
        } else {
            gardens(p)
        };
        scale(ground, shaded)
    })
}

/// Large flat roofs, ribbed or with skylights, on paved yards with parked cars.
pub(super) fn industry(rng: &mut ChaCha8Rng, land: &Conditions) -> Texture {
    let axis = Point::unit(rng.random_range(0.0..TAU));
    let plot = at(rng.random_range(13.0..20.0), rng.random_range(12.0..18.0));
    let plots = Plots {
        noise: Noise(rng.random()),
        axis,
        plot,
        fill: (0.55, 0.9),
        empty: 0.12,
    };
    let (cars, yard) = (Noise(rng.random()), Noise(rng.random()));
    let land = *land;
    let to_light = land.sun * (1.5 * land.shadow);
    let paving = blend(land.paving, land.dry, rng.random_range(0.0..0.5));
    let shift = at(rng.random_range(-9.0..9.0), rng.random_range(-9.0..9.0));
    Box::new(move |p| {
        let p = p + shift;
        if let Some(hall) = plots.at(p) {
            let colour = land.roof(hall.noise);
            let rib = (hall.place.x * TAU / mix(2.0, 4.0, hall.noise.number(6))).sin();
            let wall = (hall.half.x - hall.place.x.abs()).min(hall.half.y - hall.place.y.abs());
            let skylight = hall.noise.cell(hall.place * 0.3);
            return match () {
                () if wall < 0.45 => scale(colour, 1.18),
                () if skylight.noise.number(8) < 0.18
                    && skylight.offset.x.abs().max(skylight.offset.y.abs()) < 0.25 =>
                {
                    scale(colour, mix(0.6, 1.4, hall.noise.number(9)))
                }
                () => scale(colour, 1.0 + 0.05 * rib),
            };
        }
        let shaded = if plots.at(p + to_light).is_some() {
            0.55
        } else {
            1.0
        };
        let place = p.along(axis);
        let lot = cars.cell(at(place.x / 1.6, place.y / 3.2));
        let parked = yard.smooth(p * 0.12) > 0.0
            && lot.noise.number(0) < 0.6
            && lot.offset.x.abs() < 0.3
            && lot.offset.y.abs() < 0.34;
        let ground = match parked {
            true => [mix(0.12, 0.85, lot.noise.number(1)); 3],
            false => scale(paving, 1.0 + 0.1 * yard.fractal(p * 0.3, 3)),
        };
        scale(ground, shaded)
    })
}
