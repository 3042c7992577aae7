//! Scenes whose subject is a line across the land: a shore, a road, a river.

use super::Texture;
use super::ground::{fields, forest, meadow, water};
use super::light::{Conditions, blend, scale};
use super::noise::{Noise, Point, at, mix, step};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::f32::consts::TAU;

/// The land that a line crosses.
fn land_around(rng: &mut ChaCha8Rng, land: &Conditions) -> Texture {
    match rng.random_range(0..5) {
        0 => fields(rng, land),
        1 => forest(rng, land),
        _ => meadow(rng, land),
    }
}

/// Water on one side, land on the other, a beach and surf between.
pub(super) fn coast(rng: &mut ChaCha8Rng, land: &Conditions) -> Texture {
    let axis = Point::unit(rng.random_range(0.0..TAU));
    let (sea, shore) = (water(rng, land), land_around(rng, land));
    let (outline, foam) = (Noise(rng.random()), Noise(rng.random()));
    let (offset, beach) = (rng.random_range(-6.0..6.0), rng.random_range(1.0..5.0));
    let rough = rng.random_range(1.5..4.0);
    let sand = land.sand;
    Box::new(move |p| {
        let place = p.along(axis);
        let out = place.y - offset + rough * outline.fractal(p * 0.11, 3);
        if out > 0.0 {
            let shallow = blend(sand, sea(p), mix(0.45, 1.0, step(0.0, 5.0, out)));
            let surf = foam.fractal(at(place.x * 0.3, out * 0.8), 2) - 0.15 * out;
            return blend(shallow, [0.85; 3], 0.7 * step(0.0, 0.4, surf));
        }
        let inland = step(beach * 0.8, beach * 1.2, -out + 0.8 * foam.smooth(p * 0.5));
        if inland == 1.0 {
            return shore(p);
        }
        let wet = mix(0.8, 1.0, step(0.0, 1.0, -out));
        blend(
            scale(sand, wet * (1.0 + 0.06 * foam.fractal(p, 2))),
            shore(p),
            inland,
        )
    })
}

/// A strip of one width with hard edges, straight or in one even bend, sometimes with cars or a crossing.
pub(super) fn road(rng: &mut ChaCha8Rng, land: &Conditions) -> Texture {
    let axis = Point::unit(rng.random_range(0.0..TAU));
    let around = land_around(rng, land);
    let traffic = Noise(rng.random());
    let (half, offset) = (rng.random_range(1.1..2.0), rng.random_range(-6.0..6.0));
    let bend = rng.random_range(-0.022..0.022);
    let busy = rng.random_range(0.0..0.5);
    let crossing = (rng.random_range(0.0..1.0f32) < 0.25).then(|| rng.random_range(-9.0..9.0f32));
    let (paving, verge) = (land.paving, blend(land.dry, land.sand, 0.4));
    Box::new(move |p| {
        let place = p.along(axis);
        let across = place.y - offset - bend * place.x * place.x;
        let other = crossing.map_or(f32::MAX, |c| (place.x - c).abs() + half * 0.3);
        let near = across.abs().min(other);
        if near > half {
            return blend(verge, around(p), step(half + 0.3, half + 0.9, near));
        }
        let lane = traffic.cell(at(place.x / 4.0, across / half));
        let within = (lane.offset.x * 4.0).abs() < 1.0 && (lane.offset.y * half).abs() < 0.42;
        if within && lane.noise.number(0) < busy && across.abs() < half {
            return [mix(0.1, 0.9, lane.noise.number(1)); 3];
        }
        let dashed = across.abs() < 0.14 && (place.x * 0.35).rem_euclid(1.0) < 0.6;
        if dashed {
            scale(paving, 1.5)
        } else {
            scale(paving, 1.0 + 0.04 * traffic.smooth(p))
        }
    })
}

/// A strip of water that winds and widens, between soft banks.
pub(super) fn river(rng: &mut ChaCha8Rng, land: &Conditions) -> Texture {
    let axis = Point::unit(rng.random_range(0.0..TAU));
    let around = land_around(rng, land);
    let (course, banks) = (Noise(rng.random()), Noise(rng.random()));
    let (winding, pace) = (rng.random_range(4.0..8.0), rng.random_range(0.06..0.1));
    let (half, ripple) = (rng.random_range(1.3..3.2), rng.random_range(0.03..0.1));
    let (flow, bank) = (
        land.water,
        blend(land.leaf, land.sand, rng.random_range(0.0..1.0)),
    );
    Box::new(move |p| {
        let place = p.along(axis);
        let middle = winding * course.smooth(at(place.x * pace, 0.5));
        let width = half * (1.0 + 0.45 * course.smooth(at(place.x * 0.13, 40.5)));
        let ragged = 0.7 * banks.fractal(p * 0.45, 2);
        let from_water = (place.y - middle).abs() - width + ragged;
        if from_water > 1.6 {
            return around(p);
        }
        let current = banks.fractal(at(place.x * 0.15, (place.y - middle) * 0.6), 2);
        let surface = scale(flow, 1.0 + ripple * current);
        let land = blend(
            scale(bank, 0.95 + 0.2 * ragged),
            around(p),
            step(0.5, 1.6, from_water),
        );
        blend(surface, land, step(-0.25, 0.25, from_water))
    })
}
