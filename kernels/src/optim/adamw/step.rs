use super::{AdamWOptions, AdamWState};
use crate::lanes::{Lanes, load, store};
use crate::{Tensor, launch, planted};
use cubecl::prelude::*;

/// The numbers of a step, as a kernel argument.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
struct Numbers {
    /// `1 - beta1`, `beta2` and `1 - beta2`.
    fresh_first: InputScalar,
    kept_second: InputScalar,
    fresh_second: InputScalar,
    /// `lr weight_decay`.
    decay: InputScalar,
    /// `lr / (1 - beta1^t)`.
    step: InputScalar,
    /// `1 / sqrt(1 - beta2^t)`.
    root: InputScalar,
    epsilon: InputScalar,
}

/// Moves the elements `at..at + N`.
#[cube]
fn update<S: Float, F: Float, B: Size, N: Size>(
    params: &mut [Vector<S, B>],
    first: &mut [Vector<S, B>],
    second: &mut [Vector<S, B>],
    grads: &[Vector<S, B>],
    decayed: &[Vector<S, B>],
    numbers: &Numbers,
    at: usize,
) {
    let fresh_first = Vector::<F, N>::new(numbers.fresh_first.get::<F>());
    let kept_second = Vector::<F, N>::new(numbers.kept_second.get::<F>());
    let fresh_second = Vector::<F, N>::new(numbers.fresh_second.get::<F>());
    let decay = Vector::<F, N>::new(numbers.decay.get::<F>());
    let step = Vector::<F, N>::new(numbers.step.get::<F>());
    let root = Vector::<F, N>::new(numbers.root.get::<F>());
    let epsilon = Vector::<F, N>::new(numbers.epsilon.get::<F>());
    let p = load::<S, F, B, N>(&*params, at);
    let mut g = load::<S, F, B, N>(grads, at);
    let pull = decay * load::<S, F, B, N>(decayed, at) * p;
    if comptime!(crate::planted::is("adamw_decay_in_the_gradient")) {
        g += pull;
    }
    let m = load::<S, F, B, N>(&*first, at);
    let v = load::<S, F, B, N>(&*second, at);
    // The mean as a step towards the gradient, as PyTorch takes it: a constant gradient is a fixed point.
    let m = fma(fresh_first, g - m, m);
    let v = fma(fresh_second * g, g, kept_second * v);
    store::<S, F, B, N>(first, at, m);
    store::<S, F, B, N>(second, at, v);
    let moved = step * m / fma(v.sqrt(), root, epsilon);
    store::<S, F, B, N>(params, at, p - pull - moved);
}

/// One unit owns a run of vectors of parameters, the last one also the `length % N` elements behind them.
#[cube(launch_unchecked)]
fn adamw_kernel<S: Float, F: Float, B: Size, N: Size>(
    params: &mut [Vector<S, B>],
    first: &mut [Vector<S, B>],
    second: &mut [Vector<S, B>],
    grads: &[Vector<S, B>],
    decayed: &[Vector<S, B>],
    numbers: Numbers,
    length: usize,
    run: usize,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let vectors = length / N::value();
    let from = ABSOLUTE_POS * run;
    let to = min(from + run, vectors);
    for i in from..to {
        let at = i * N::value();
        update::<S, F, B, N>(params, first, second, grads, decayed, &numbers, at);
    }
    let (item, width) = (B::value().comptime(), N::value().comptime());
    if comptime!(item < width) {
        if from < vectors && to == vectors {
            for at in vectors * N::value()..length {
                update::<S, F, B, Const<1>>(params, first, second, grads, decayed, &numbers, at);
            }
        }
    }
}

/// Launches the step.
pub(super) fn launch_step(
    state: AdamWState<'_>,
    grads: &Tensor,
    decayed: &Tensor,
    options: &AdamWOptions,
    number: u64,
) {
    let (params, len) = (state.params, state.params.len());
    let (client, dtype) = (params.client(), params.dtype());
    let tensors = [params, state.first, state.second, grads, decayed];
    let lanes = Lanes::of(client, dtype, len, &tensors);
    let grid = launch::grid(client, len / lanes.width);
    let left = |beta: f64| {
        let t = planted::or("adamw_without_correction", number as f64, f64::INFINITY);
        1.0 - beta.powf(t)
    };
    let numbers = NumbersLaunch::new(
        dtype.scalar(1.0 - options.beta1),
        dtype.scalar(options.beta2),
        dtype.scalar(1.0 - options.beta2),
        dtype.scalar(options.learning_rate * options.weight_decay),
        dtype.scalar(options.learning_rate / left(options.beta1)),
        dtype.scalar(1.0 / left(options.beta2).sqrt()),
        dtype.scalar(options.epsilon),
    );
    // SAFETY: all five buffers hold `len` elements.
    unsafe {
        adamw_kernel::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            lanes.item,
            lanes.width,
            lanes.arg(params),
            lanes.arg(state.first),
            lanes.arg(state.second),
            lanes.arg(grads),
            lanes.arg(decayed),
            numbers,
            len,
            grid.run,
            dtype.elems(),
        );
    }
    launch::throttle(client);
}
