//! Kernels that are worse than they were, planted: the gate sees each.
#![cfg(feature = "compile")]

use cubecl::prelude::*;
use ghostlight_offline::gate::{About, faults};
use ghostlight_offline::{
    Built, Card, Device, FORMAT, Launch, Program, Row, Shape, Table, Toolkit, Walk,
};
use std::sync::{LazyLock, Mutex, PoisonError};

const ROWS: usize = 4096;
const COLUMNS: usize = 256;
const UNITS: u32 = 128;

/// What is wrong with a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Planted {
    Nothing,
    /// A unit walks a row, which begins a kilobyte from its neighbour's.
    Scatters,
    /// One cube does what many did.
    Serialises,
    /// More values are held than a unit has registers for.
    Spills,
}

/// `y = 2 x` over `[rows, columns]`: a unit owns a column, or, where it is `scattered`, a row.
#[cube(launch_unchecked)]
fn double(
    x: &[f32],
    y: &mut [f32],
    rows: usize,
    columns: usize,
    cubes: usize,
    #[comptime] scattered: bool,
) {
    if comptime!(scattered) {
        let row = ABSOLUTE_POS;
        if row < rows {
            for column in 0..columns {
                y[row * columns + column] = 2.0 * x[row * columns + column];
            }
        }
    } else {
        let mut at = ABSOLUTE_POS;
        while at < rows * columns {
            y[at] = 2.0 * x[at];
            at += cubes * comptime!(UNITS as usize);
        }
    }
}

/// Sums of products of as many values with each other, all held at once.
#[cube(launch_unchecked)]
fn crowded(x: &[f32], y: &mut [f32], #[comptime] values: usize) {
    let mut held = Array::<f32>::new(values);
    #[unroll]
    for i in 0..values {
        held[i] = x[i * comptime!(UNITS as usize) + UNIT_POS as usize];
    }
    for round in 0..16usize {
        #[unroll]
        for i in 0..values {
            held[i] = held[i] * x[round] + held[comptime!((i + 7) % values)];
        }
    }
    #[unroll]
    for i in 0..values {
        y[i * comptime!(UNITS as usize) + UNIT_POS as usize] = held[i];
    }
}

fn card() -> &'static Card {
    Card::of("sm_90").expect("it is listed")
}

/// One device for all tests of this process, one test at a time.
fn launches(launch: impl FnOnce(&cubecl::client::Client)) -> Vec<Launch> {
    static DEVICE: LazyLock<Mutex<Device>> =
        LazyLock::new(|| Mutex::new(Device::open(card(), &[card()])));
    let device = DEVICE.lock().unwrap_or_else(PoisonError::into_inner);
    launch(device.client());
    device.launches()
}

fn launched(planted: Planted) -> Vec<Launch> {
    launches(|client| {
        let len = ROWS * COLUMNS;
        let buffer = || client.empty(4 * len);
        let (x, y) = (buffer(), buffer());
        // SAFETY: nothing is computed.
        let [x, y] = [x, y].map(|handle| unsafe { BufferArg::from_raw_parts(handle, len) });
        let dim = CubeDim::new_1d(UNITS);
        if planted == Planted::Spills {
            unsafe {
                crowded::launch_unchecked(client, CubeCount::Static(1, 1, 1), dim, x, y, 400)
            };
            return;
        }
        let cubes = match planted {
            Planted::Serialises => 1,
            Planted::Scatters => (ROWS as u32).div_ceil(UNITS),
            _ => 4 * card().multiprocessors,
        };
        let count = CubeCount::Static(cubes, 1, 1);
        let scattered = planted == Planted::Scatters;
        unsafe {
            double::launch_unchecked(
                client,
                count,
                dim,
                x,
                y,
                ROWS,
                COLUMNS,
                cubes as usize,
                scattered,
            )
        };
    })
}

/// The table of a kernel with a fault, under one name.
fn table(planted: Planted, toolkit: Option<&Toolkit>) -> Table {
    let shapes = launched(planted).into_iter().map(|launch| {
        let module = launch
            .kernel
            .module(card())
            .expect("it was compiled for it");
        let module = module.as_ref().expect("it compiles");
        let program = Program::of(&module.ptx).expect("it has an entry point");
        let walk = Walk::of(&program, &launch.geometry);
        let mut shape = Shape::of("double", "", module.shared, &launch.geometry, &walk, card());
        if let Some(toolkit) = toolkit {
            let usage = toolkit.assemble(&module.ptx, card()).expect("it assembles");
            let built = Built::of(card(), usage, module.shared, &launch.geometry);
            shape.built.insert("sm_90".into(), built);
        }
        shape
    });
    Table {
        format: FORMAT,
        target: "sm_90".into(),
        ptxas: None,
        halves: None,
        rows: vec![Row {
            op: "double".into(),
            phase: "forward".into(),
            case: "4096x256".into(),
            variant: "ours".into(),
            bytes: (8 * ROWS * COLUMNS) as u64,
            macs: 0,
            refused: None,
            launches: shapes.collect(),
        }],
    }
}

#[test]
fn a_kernel_whose_units_read_neighbours_has_no_fault() {
    let right = table(Planted::Nothing, None);
    let shape = &right.rows[0].launches[0];
    assert_eq!(
        (shape.loads, shape.stores, shape.busy),
        (Some(1.0), Some(1.0), UNITS),
        "{shape:?}"
    );
    assert_eq!(shape.unknown, None);
    let nothing = Table {
        rows: Vec::new(),
        ..right.clone()
    };
    assert_eq!(faults(&nothing, &right, card()), [], "it meets the aims");
}

#[test]
fn a_kernel_that_scatters_anew_is_seen() {
    let found = faults(
        &table(Planted::Nothing, None),
        &table(Planted::Scatters, None),
        card(),
    );
    let scatters = |about: &About| matches!(about, About::Scatters(now, Some(was)) if *now == 32.0 && *was == 1.0);
    assert!(
        found.iter().any(|fault| scatters(&fault.about)),
        "{found:?}"
    );
}

#[test]
fn a_kernel_that_one_cube_does_anew_is_seen() {
    let found = faults(
        &table(Planted::Nothing, None),
        &table(Planted::Serialises, None),
        card(),
    );
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        matches!(found[0].about, About::Serialises(now, Some(was), _) if now > 100.0 * was),
        "{found:?}"
    );
}

#[test]
fn a_kernel_that_spills_anew_is_seen() {
    let Some(toolkit) = Toolkit::find() else {
        eprintln!(
            "skipped: spills: there is no ptxas under CUDA_PATH (`cargo xtask setup --ptxas`)"
        );
        return;
    };
    let found = faults(
        &table(Planted::Nothing, Some(&toolkit)),
        &table(Planted::Spills, Some(&toolkit)),
        card(),
    );
    let spills = |about: &About| matches!(about, About::Spills(now, Some(0)) if *now > 100);
    assert!(found.iter().any(|fault| spills(&fault.about)), "{found:?}");
}

#[test]
fn a_kernel_that_a_cube_has_no_room_for_is_told_and_not_dropped() {
    let launches = launches(|client| {
        let handle = client.empty(4);
        let (x, y) = (handle.clone(), handle);
        // SAFETY: nothing is computed.
        let [x, y] = [x, y].map(|handle| unsafe { BufferArg::from_raw_parts(handle, 1) });
        let (count, dim) = (CubeCount::Static(1, 1, 1), CubeDim::new_1d(2048));
        unsafe { double::launch_unchecked(client, count, dim, x, y, 1, 1, 1, false) };
    });
    let module = launches[0].kernel.module(card()).expect("it was asked for");
    assert!(module.is_err(), "2048 units are more than a cube has");
}
