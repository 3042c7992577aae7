//! The speed of each kind of arithmetic: chains in registers that hang on nothing but themselves, enough of them to fill the units.

use super::measure::best;
use cubecl::ir::ElemType;
use cubecl::prelude::*;
use cubecl::std::throughput::measure_peak_throughput;
use cubecl::throughput::{CmmaDims, ComputeCmmaConfig, ThroughputKey, ThroughputMode};
use ghostlight_autodiff::{Client, DType, Tensor};
use ghostlight_kernels::loss::decay::{Exponential, fall, logarithm};
use ghostlight_kernels::{Work, launch};

/// A core with two units of a latency of four needs eight.
const CHAINS: usize = 12;
/// Steps of each chain on a CPU: some ms. Multiply-adds and comparisons are done in an instruction, the others in dozens.
const SHORT_STEPS: usize = 200_000;
const LONG_STEPS: usize = 20_000;
/// Vectors and steps on a GPU.
const GPU_ITEMS: usize = 1 << 16;
const GPU_STEPS: usize = 1000;

/// `CHAINS` chains of one kind of work; their sum is the result, so that none of it can be left out.
#[cube(launch_unchecked)]
fn chains<F: Float, N: Size>(
    out: &mut [Vector<F, N>],
    seed: InputScalar,
    steps: usize,
    #[comptime] work: Work,
    #[comptime] way: Exponential,
    #[define(F)] _dtype: ElemType,
) {
    let seed = Vector::<F, N>::new(seed.get::<F>());
    let mut chains = Array::<Vector<F, N>>::new(comptime!(CHAINS));
    #[unroll]
    for i in 0..CHAINS {
        chains[i] = seed + Vector::new(F::cast_from(i));
    }
    for _ in 0..steps {
        #[unroll]
        for i in 0..CHAINS {
            let next = chains[comptime!((i + 1) % CHAINS)];
            chains[i] = step::<F, N>(chains[i], next, seed, work, way);
        }
    }
    let mut sum = chains[0];
    #[unroll]
    for i in 1..CHAINS {
        sum += chains[i];
    }
    out[ABSOLUTE_POS] = sum;
}

/// One operation, whose results stay ordinary numbers however often it is repeated. `next` is another chain: what a number was compared
/// with a step ago would be compared for nothing.
#[cube]
fn step<F: Float, N: Size>(
    x: Vector<F, N>,
    next: Vector<F, N>,
    seed: Vector<F, N>,
    #[comptime] work: Work,
    #[comptime] way: Exponential,
) -> Vector<F, N> {
    match comptime!(work) {
        Work::MultiplyAdds => fma(x, seed, seed),
        Work::Exponentials => fall::<F, N>(-x, way),
        // Around the number that is its own logarithm and 3/2: an addition more than there should be.
        Work::Logarithms => logarithm::<F, N>(x, way) + (seed + seed + seed),
        Work::Divisions => seed / x,
        Work::Compares => select_many(x.greater_than(&next), x, next),
    }
}

/// Operations of one kind on elements that are computed in `dtype`, of 32 or 64 bits, in thousands of millions a second: exponentials and
/// logarithms by the runtime's own functions, or by the polynomials of the losses, whichever are faster.
///
/// # Errors
/// A launch failed, in words.
pub(super) fn wide(client: &Client, work: Work, dtype: DType) -> Result<f64, String> {
    let runtimes = by(client, work, dtype, Exponential::Device)?;
    let is_function = matches!(work, Work::Exponentials | Work::Logarithms);
    match Exponential::of(client, dtype) {
        Exponential::Polynomial if is_function => {
            Ok(runtimes.max(by(client, work, dtype, Exponential::Polynomial)?))
        }
        _ => Ok(runtimes),
    }
}

/// [`wide`], with exponentials and logarithms by one way.
fn by(client: &Client, work: Work, dtype: DType, way: Exponential) -> Result<f64, String> {
    let width = launch::widest(client, dtype);
    let (items, steps) = match (launch::is_cpu(client), work) {
        (true, Work::MultiplyAdds | Work::Compares) => (usize::MAX / 2, SHORT_STEPS),
        (true, _) => (usize::MAX / 2, LONG_STEPS),
        (false, _) => (GPU_ITEMS, GPU_STEPS),
    };
    let grid = launch::grid(client, items);
    let out = Tensor::empty(client, &[grid.units * width], dtype);
    let ms = best(client, || {
        // SAFETY: every unit has a vector of its own.
        unsafe {
            chains::launch_unchecked(
                client,
                grid.count.clone(),
                grid.dim,
                width,
                out.arg(width),
                dtype.scalar(0.5),
                steps,
                work,
                way,
                dtype.elem(),
            );
        }
    })?;
    Ok((CHAINS * steps * grid.units * width) as f64 / ms / 1e6)
}

/// Multiply-adds of factors of 16 bits, in thousands of millions a second, by CubeCL's probes: in vectors, or in units for matrices
/// where the device has them. None where it has neither.
pub(super) fn half_multiply_adds(client: &Client, dtype: DType) -> Option<f64> {
    let elem = dtype.elem();
    let matrices = client.properties().features.matmul.cmma.iter();
    let matrices = matrices.filter(|config| config.a_type == elem && config.b_type == elem);
    let modes = matrices.map(|config| ThroughputMode::ComputeCmma {
        dtype: elem,
        config: ComputeCmmaConfig {
            accumulator_type: config.cd_type,
            cmma_dims: CmmaDims {
                m: config.m as usize,
                n: config.n as usize,
                k: config.k as usize,
            },
        },
    });
    let modes = modes.chain([ThroughputMode::ComputeDirect { dtype: elem }]);
    let measured = modes.filter_map(|mode| {
        let value = measure_peak_throughput(client, ThroughputKey { mode }).ok()?;
        // Two operations a multiply-add.
        let g_s = value.ops_per_s() / 2e9;
        (g_s.is_finite() && g_s > 0.0).then_some(g_s)
    });
    measured.max_by(f64::total_cmp)
}
