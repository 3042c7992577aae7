//! How work is laid over a device: read from its properties, the same way for every kernel, those of other crates included.

use crate::{DType, Tensor};
use cubecl::prelude::*;
use std::cell::Cell;

/// Units of one cube on GPU-shaped hardware: a multiple of every plane width, small enough for many registers a unit.
pub(crate) const GPU_UNITS: u32 = 128;
/// The CPU runtime queues 32 tasks, and past that a launch sleeps instead of costing 7 us. Allocations are tasks too, two or three a
/// launch: a ResNet-20 step of 32 px images ran at 217 images/s with a flush every 12 or 32 launches and at 1,000 with one every 6.
const FLUSH_EVERY: u32 = 6;

/// Elements that one core goes through while a second one wakes.
const LITTLE: usize = 4096;

thread_local! {
    static LAUNCHES: Cell<u32> = const { Cell::new(0) };
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static HELD: Cell<i64> = const { Cell::new(0) };
    static PEAK: Cell<i64> = const { Cell::new(0) };
}

/// The grid of one launch: work items in contiguous runs, one run per unit.
pub struct Grid {
    /// Cubes along each axis.
    pub count: CubeCount,
    /// Units of a cube.
    pub dim: CubeDim,
    /// Work items of one unit.
    pub run: usize,
    /// Units that own at least one item's worth of index space, idle ones included.
    pub units: usize,
}

/// Whether units are few threads with wide vectors (a CPU), rather than thousands of narrow lanes (a GPU).
pub fn is_cpu(client: &Client) -> bool {
    client.properties().hardware.num_cpu_cores.is_some()
}

/// Lays `items` over the device: one contiguous run per core on a CPU, one item per unit on a GPU.
pub fn grid(client: &Client, items: usize) -> Grid {
    let hardware = &client.properties().hardware;
    if is_cpu(client) {
        let cores = hardware.max_units_per_cube.max(1);
        let run = items.div_ceil(cores as usize).max(1);
        let (count, dim) = (CubeCount::Static(1, 1, 1), CubeDim::new_1d(cores));
        return Grid {
            count,
            dim,
            run,
            units: cores as usize,
        };
    }
    let units = GPU_UNITS.min(hardware.max_units_per_cube).max(1);
    let [x, y] = plane(client, items.div_ceil(units as usize));
    Grid {
        count: CubeCount::Static(x, y, 1),
        dim: CubeDim::new_1d(units),
        run: 1,
        units: (x * y * units) as usize,
    }
}

/// At least `count` cubes, and at least one.
pub(crate) fn cubes(client: &Client, count: usize) -> CubeCount {
    let [x, y] = plane(client, count);
    CubeCount::Static(x, y, 1)
}

/// Devices cap each axis of the grid (65,535 on wgpu): the rest goes to the second axis.
fn plane(client: &Client, count: usize) -> [u32; 2] {
    let count = count.max(1) as u32;
    let most = client.properties().hardware.max_cube_count.0;
    let x = count.min(most.min(65_535));
    [x, count.div_ceil(x)]
}

/// [`grid`] for work of `elements` in all: too little of it is not worth waking a second thread of a CPU.
pub fn grid_for(client: &Client, items: usize, elements: usize) -> Grid {
    if is_cpu(client) && elements <= LITTLE {
        return Grid {
            count: CubeCount::Static(1, 1, 1),
            dim: CubeDim::new_1d(1),
            run: items.max(1),
            units: 1,
        };
    }
    grid(client, items)
}

/// The widest vector in which the device computes with elements of `dtype`. What 16-bit elements would leave over of a register is
/// not used: they are converted on the way, and every problem is walked as the same one in 32 bits.
pub fn widest(client: &Client, dtype: DType) -> usize {
    let hardware = &client.properties().hardware;
    let register = hardware.load_width as usize / 8 / dtype.accumulator().size();
    let limit = if is_cpu(client) {
        register
    } else {
        register.min(4)
    };
    limit.min(hardware.max_vector_size).max(1)
}

/// The widest vector of `dtype` that divides `channels` and that the device loads at once.
///
/// For flat walks over whole tensors; a walk over channels takes `lanes.rs`.
pub fn width(client: &Client, dtype: DType, channels: usize) -> usize {
    let mut width = widest(client, dtype);
    while width > 1 && !channels.is_multiple_of(width) {
        width /= 2;
    }
    width
}

/// [`width`] for tensors that may be windows: it also divides their offsets and pitches.
pub(crate) fn width_of(
    client: &Client,
    dtype: DType,
    channels: usize,
    tensors: &[&Tensor],
) -> usize {
    let mut width = width(client, dtype, channels);
    while width > 1 && !tensors.iter().all(|tensor| tensor.fits(width)) {
        width /= 2;
    }
    width
}

/// Buffers that this thread has asked the memory pool for so far: outputs and scratch, not copies from the host.
pub fn allocations() -> u64 {
    ALLOCATIONS.get()
}

/// Bytes in the tensors and scratch that this thread made and that are still held, and the most there were since
/// [`reset_peak`]. What the memory pool keeps for later is not counted.
pub fn held_and_peak() -> [u64; 2] {
    [HELD.get(), PEAK.get()].map(|bytes| bytes.max(0) as u64)
}

/// Bytes that the memory pools of `client`'s device have taken so far, of all threads: what tensors hold, what is kept for later ones, and what
/// lies between. It grows to what a step needs and stays.
pub fn pooled(client: &Client) -> u64 {
    client
        .memory_report(cubecl::MemoryScope::Device)
        .usage()
        .bytes_reserved
}

/// Lets the peak of [`held_and_peak`] start anew from what is held now.
pub fn reset_peak() {
    PEAK.set(HELD.get());
}

/// Called when `bytes` more are held, or less.
pub(crate) fn hold(bytes: i64) {
    // A tensor in a thread's own storage may go after these.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + bytes);
        PEAK.try_with(|peak| peak.set(peak.get().max(held.get())))
    });
}

/// Called for every buffer.
pub(crate) fn count_allocation() {
    ALLOCATIONS.set(ALLOCATIONS.get() + 1);
}

/// Called after every launch: keeps the CPU runtime's queue short enough that launches do not sleep.
pub fn throttle(client: &Client) {
    if !is_cpu(client) {
        return;
    }
    let launches = LAUNCHES.get() + 1;
    LAUNCHES.set(launches % FLUSH_EVERY);
    if launches == FLUSH_EVERY {
        // A failure stays on the buffers the launch wrote and is reported when they are read.
        let _ = client.flush();
    }
}
