//! Land and water without anything built: the classes that fill an image, and the backgrounds of the others.

use super::Texture;
use super::light::{Conditions, Rgb, blend, scale};
use super::noise::{Noise, Point, at, mix, step};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::f32::consts::TAU;

/// Parcels of different crops side by side, each with the lines of its tillage.
pub(super) fn fields(rng: &mut ChaCha8Rng, land: &Conditions) -> Texture {
    let axis = Point::unit(rng.random_range(0.0..TAU));
    let (parcel, rows, crops) = (
        Noise(rng.random()),
        Noise(rng.random()),
        Noise(rng.random()),
    );
    let (length, depth) = (rng.random_range(12.0..22.0), rng.random_range(7.0..13.0));
    let spacing = rng.random_range(1.7..2.6);
    let contrast = rng.random_range(0.05..0.16);
    let origin = at(rng.random_range(0.0..99.0), rng.random_range(0.0..99.0));
    let colours: Vec<Rgb> = (0..16).map(|i| land.crop(crops.number(i))).collect();
    let edge = scale(land.grass, 0.8);
    Box::new(move |p| {
        let place = p.along(axis) + origin;
        let row = (place.y / depth).floor();
        // Parcels of neighbouring rows are staggered.
        let stagger = rows.number(row as i32) * length;
        let cell = parcel.cell(at((place.x + stagger) / length, place.y / depth));
        let colour = colours[(cell.noise.number(0) * 15.99) as usize];
        let along = if cell.noise.number(1) < 0.7 {
            place.y
        } else {
            place.x
        };
        let lines = (along * TAU / (spacing * mix(0.85, 1.2, cell.noise.number(2)))).sin();
        let uneven = 0.07 * rows.fractal(p * 0.25, 3);
        let tilled = scale(colour, 1.0 + contrast * lines + uneven);
        let to_edge =
            ((0.5 - cell.offset.x.abs()) * length).min((0.5 - cell.offset.y.abs()) * depth);
        blend(edge, tilled, step(0.2, 0.6, to_edge))
    })
}

/// Tree crowns planted on a grid.
pub(super) fn orchard(rng: &mut ChaCha8Rng, land: &Conditions) -> Texture {
    let axis = Point::unit(rng.random_range(0.0..TAU));
    let (trees, soil) = (Noise(rng.random()), Noise(rng.random()));
    let spacing = at(rng.random_range(3.4..4.6), rng.random_range(3.4..4.6));
    let radius = rng.random_range(0.30..0.42) * spacing.x.min(spacing.y);
    let (leaf, ground, sun) = (
        land.leaf,
        blend(land.grass, land.dry, 0.3),
        land.sun.along(axis),
    );
    let to_light = sun * (0.9 * radius * land.shadow);
    let crown = move |p: Point| {
        let cell = trees.cell(at(p.x / spacing.x, p.y / spacing.y));
        let wander = at(cell.noise.number(0) - 0.5, cell.noise.number(1) - 0.5) * 0.5;
        let offset = at(cell.offset.x * spacing.x, cell.offset.y * spacing.y) - wander;
        let grown = if cell.noise.number(2) < 0.05 {
            0.0
        } else {
            mix(0.85, 1.1, cell.noise.number(3))
        };
        (offset, radius * grown, cell.noise)
    };
    Box::new(move |p| {
        let place = p.along(axis);
        let (offset, reach, noise) = crown(place);
        let base = scale(ground, 1.0 + 0.12 * soil.fractal(p * 0.4, 3));
        if offset.length() < reach {
            let lit = 1.0 + 0.35 * offset.dot(sun) / reach;
            return scale(leaf, lit * mix(0.85, 1.15, noise.number(4)));
        }
        let (offset, reach, _) = crown(place + to_light);
        scale(base, if offset.length() < reach { 0.62 } else { 1.0 })
    })
}

/// Tree crowns as they grow: of many sizes, touching, each lit from one side.
pub(super) fn forest(rng: &mut ChaCha8Rng, land: &Conditions) -> Texture {
    let (trees, stand) = (Noise(rng.random()), Noise(rng.random()));
    let crown = rng.random_range(2.6..4.2);
    let (leaf, other, sun) = (land.leaf, blend(land.leaf, land.grass, 0.4), land.sun);
    Box::new(move |p| {
        let warp = at(stand.smooth(p * 0.5), stand.smooth(p * 0.5 + at(50.0, 0.0))) * 0.5;
        let cell = trees.nearest((p + warp) * (1.0 / crown), 1.0);
        let kind = blend(leaf, other, cell.noise.number(4));
        let dome = 1.0 - 1.1 * cell.offset.dot(cell.offset);
        let lit = 0.55 + 0.5 * dome + 0.45 * cell.offset.dot(sun);
        scale(
            kind,
            lit * mix(0.85, 1.15, cell.noise.number(5)) * (1.0 + 0.1 * stand.fractal(p * 0.12, 2)),
        )
    })
}

/// Grass, in patches greener and drier, with a bush here and there.
pub(super) fn meadow(rng: &mut ChaCha8Rng, land: &Conditions) -> Texture {
    let (patches, tufts, bushes) = (
        Noise(rng.random()),
        Noise(rng.random()),
        Noise(rng.random()),
    );
    let (grain, bushy) = (rng.random_range(0.08..0.2), rng.random_range(0.0..0.12));
    let width = rng.random_range(0.08..0.16);
    let (grass, dry, leaf) = (land.grass, land.dry, land.leaf);
    Box::new(move |p| {
        let colour = blend(grass, dry, 0.5 + 0.5 * patches.fractal(p * width, 3));
        let ground = scale(colour, 1.0 + grain * tufts.fractal(p * 0.8, 2));
        let cell = bushes.nearest(p * 0.16, 0.8);
        let bush = cell.noise.number(6) < bushy && cell.offset.length() < 0.17;
        if bush { scale(leaf, 0.9) } else { ground }
    })
}

/// Open water: waves drawn out across the wind, gusts that ruffle it in places, depths that change slowly.
pub(super) fn water(rng: &mut ChaCha8Rng, land: &Conditions) -> Texture {
    let wind = Point::unit(rng.random_range(0.0..TAU));
    let (waves, gusts, depth) = (
        Noise(rng.random()),
        Noise(rng.random()),
        Noise(rng.random()),
    );
    let (length, height) = (rng.random_range(0.4..0.75), rng.random_range(0.08..0.2));
    let (colour, deep) = (land.water, scale(blend(land.water, land.grass, 0.35), 0.8));
    Box::new(move |p| {
        let place = p.along(wind);
        let bottom = 0.5 + 0.5 * depth.fractal(p * 0.06, 2);
        let gust = 0.5 + 0.5 * gusts.fractal(p * 0.1, 2);
        let swell = waves.fractal(at(place.x * length, place.y * length * 0.35), 2);
        scale(
            blend(colour, deep, bottom),
            1.0 + height * (0.3 * gust + 2.0 * gust * swell),
        )
    })
}
