//! Kernels of CubeCL, executed as PTX: what they compute, and faults, planted, of which each is found.
#![cfg(feature = "compile")]

use cubecl::client::Client;
use cubecl::ir::{ElemType, FloatKind};
use cubecl::prelude::*;
use ghostlight_offline::{Card, interpreter};
use std::sync::LazyLock;

const UNITS: u32 = 64;
const CUBES: u32 = 4;
const COUNT: usize = (UNITS * CUBES) as usize;

/// What is wrong with a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Planted {
    Nothing,
    /// Units read their neighbours' numbers without a barrier between.
    NoBarrier,
    /// The last unit reads past the end.
    Outside,
    /// It reads what it is to write.
    Unwritten,
    /// All cubes write to the first one's place.
    OnePlace,
    /// Half of the units do not come to the barrier.
    Missed,
    /// Vectors are read from any address.
    Askew,
}

/// `y[i] = x[j] + x[i]`, where `j` is the place of the unit on the other end of the cube.
#[cube(launch_unchecked)]
fn mirrored(x: &[f32], y: &mut [f32], #[comptime] planted: Planted) {
    let mut slots = Shared::<[f32]>::new_slice(comptime!(UNITS as usize));
    let (unit, mut at) = (UNIT_POS as usize, ABSOLUTE_POS);
    let mut own = x[at];
    if comptime!(planted == Planted::Outside) {
        own = x[at + 1];
    }
    if comptime!(planted == Planted::Unwritten) {
        own += y[at];
    }
    slots[unit] = own;
    if comptime!(planted == Planted::Missed) {
        if unit < comptime!(UNITS as usize / 2) {
            sync_cube();
        }
    } else if comptime!(planted != Planted::NoBarrier) {
        sync_cube();
    }
    let mut other = own;
    if comptime!(planted != Planted::Missed) {
        other = slots[comptime!(UNITS as usize - 1) - unit];
    }
    if comptime!(planted == Planted::OnePlace) {
        at = unit;
    }
    y[at] = other + own;
}

/// `y[i] = x[i]` for four numbers a unit, from the `start`-th on.
#[cube(launch_unchecked)]
fn copied(x: &[Vector<f32, Const<4>>], y: &mut [Vector<f32, Const<4>>]) {
    y[ABSOLUTE_POS] = x[ABSOLUTE_POS];
}

#[cube(launch_unchecked)]
fn transcendental<F: Float>(x: &[F], y: &mut [F], #[define(F)] _dtype: ElemType) {
    let value = x[ABSOLUTE_POS];
    y[ABSOLUTE_POS] = value.exp() + value.ln() + value.sqrt() + F::new(1.0f32) / value;
}

fn client() -> &'static Client {
    static CLIENT: LazyLock<Client> =
        LazyLock::new(|| interpreter(Card::of("sm_80").expect("it is listed")));
    &CLIENT
}

fn bytes<T: Copy, const N: usize>(values: &[T], bytes: fn(T) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(|&value| bytes(value)).collect()
}

/// What a launch with a fault writes, or why it does not.
fn launched(planted: Planted) -> Result<Vec<f32>, String> {
    let numbers: Vec<f32> = (0..COUNT).map(|i| i as f32).collect();
    let x = client().create_from_slice(&bytes(&numbers, f32::to_le_bytes));
    let y = client().empty(4 * COUNT);
    let out = y.clone();
    let (count, dim) = (CubeCount::Static(CUBES, 1, 1), CubeDim::new_1d(UNITS));
    if planted == Planted::Askew {
        let x = x.offset_start(4).offset_end(4 * (COUNT as u64 - 5));
        // SAFETY: one unit reads four numbers.
        unsafe {
            let [x, y] = [x, y].map(|it| BufferArg::from_raw_parts(it, 1));
            let one = (CubeCount::Static(1, 1, 1), CubeDim::new_1d(1));
            copied::launch_unchecked(client(), one.0, one.1, x, y);
        }
    } else {
        // SAFETY: both hold a number for every unit; what is planted is what the test is about.
        unsafe {
            let [x, y] = [x, y].map(|it| BufferArg::from_raw_parts(it, COUNT));
            mirrored::launch_unchecked(client(), count, dim, x, y, planted);
        }
    }
    let read = client().read_one(out).map_err(|error| error.to_string())?;
    let words = read.chunks_exact(4);
    Ok(words
        .map(|word| f32::from_le_bytes(word.try_into().expect("four bytes")))
        .collect())
}

#[test]
fn what_is_right_is_computed() {
    let found = launched(Planted::Nothing).expect("nothing is wrong");
    for (i, found) in found.into_iter().enumerate() {
        let (cube, unit) = (i / UNITS as usize, i % UNITS as usize);
        let other = cube * UNITS as usize + (UNITS as usize - 1 - unit);
        assert_eq!(found, (i + other) as f32);
    }
}

#[test]
fn each_planted_fault_is_found_and_told_where_the_result_is_read() {
    for (planted, words) in [
        (Planted::NoBarrier, "of shared memory"),
        (
            Planted::Outside,
            "4 bytes at 1024 of buffer 0, which has 1024",
        ),
        (Planted::Unwritten, "never written is read at 0 of buffer 1"),
        (Planted::OnePlace, "two cubes of one launch meet at"),
        (Planted::Missed, "a barrier that 32 of 64 units reach"),
        (Planted::Askew, "16 bytes at 4 of buffer 0: not a multiple"),
    ] {
        let error = launched(planted).expect_err("it is wrong");
        assert!(error.contains(words), "{planted:?}: {error}");
    }
}

#[test]
fn a_launch_that_failed_spoils_what_it_was_to_write_and_nothing_else() {
    launched(Planted::Missed).expect_err("it is wrong");
    launched(Planted::Nothing).expect("another launch is right");
    let unwritten = client().empty(16);
    let read = client().read_one(unwritten).expect("nothing failed there");
    assert_eq!(
        read[..4],
        f32::from_bits(u32::MAX).to_le_bytes(),
        "nobody wrote it"
    );
}

#[test]
fn exponentials_and_logarithms_are_those_of_the_host() {
    let numbers: Vec<f64> = (1..=UNITS).map(|i| f64::from(i) / 8.0).collect();
    let wanted = |x: f64| x.exp() + x.ln() + x.sqrt() + 1.0 / x;
    let dim = CubeDim::new_1d(UNITS);
    for double in [false, true] {
        let (input, size) = match double {
            true => (bytes(&numbers, f64::to_le_bytes), 8),
            false => (bytes(&numbers, |x| (x as f32).to_le_bytes()), 4),
        };
        let x = client().create_from_slice(&input);
        let y = client().empty(size * numbers.len());
        let out = y.clone();
        let one = CubeCount::Static(1, 1, 1);
        // SAFETY: both hold a number for every unit.
        unsafe {
            let [x, y] = [x, y].map(|it| BufferArg::from_raw_parts(it, numbers.len()));
            let dtype = match double {
                true => ElemType::Float(FloatKind::F64),
                false => ElemType::Float(FloatKind::F32),
            };
            transcendental::launch_unchecked(client(), one, dim, x, y, dtype);
        }
        let read = client().read_one(out).expect("nothing is wrong");
        for (&x, found) in numbers.iter().zip(read.chunks_exact(size)) {
            let (found, least) = match double {
                true => (f64::from_le_bytes(found.try_into().expect("eight")), 1e-14),
                false => (
                    f64::from(f32::from_le_bytes(found.try_into().expect("four"))),
                    1e-6,
                ),
            };
            let error = (found - wanted(x)).abs() / wanted(x).abs();
            assert!(error < least, "{found} of {x}, wanted {}", wanted(x));
        }
    }
}
