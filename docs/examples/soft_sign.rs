// ANCHOR: formula
use cubecl::prelude::*;
use ghostlight_kernels::pointwise::{Unary, map, map_backward};

/// The soft sign, `x / (1 + |x|)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SoftSign;

#[cube]
impl Unary for SoftSign {
    fn value<F: Float, N: Size>(x: Vector<F, N>, #[comptime] _function: Self) -> Vector<F, N> {
        x / (Vector::new(F::new(1.0f32)) + x.abs())
    }

    fn pull_back<F: Float, N: Size>(
        x: Vector<F, N>,
        grad: Vector<F, N>,
        #[comptime] _function: Self,
    ) -> Vector<F, N> {
        let below = Vector::<F, N>::new(F::new(1.0f32)) + x.abs();
        grad / (below * below)
    }
}
// ANCHOR_END: formula

// ANCHOR: reference
/// The same over `f64`: the value and the derivative.
pub fn reference(x: f64) -> [f64; 2] {
    let below = 1.0 + x.abs();
    [x / below, 1.0 / (below * below)]
}
// ANCHOR_END: reference

// ANCHOR: function
use ghostlight_autodiff::{Function, Gradients, Step};
use ghostlight_kernels::{Cost, KernelError, Tensor};

impl Function for SoftSign {
    type Saved = Tensor;

    fn name(&self) -> &'static str {
        "soft_sign"
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<Tensor>, KernelError> {
        let x = inputs[0];
        Ok(Step {
            output: map(x, SoftSign),
            saved: x.clone(),
            cost: Cost::traffic(x.len(), x.len(), x.dtype().size()).with_divisions(x.len()),
        })
    }

    fn backward(&self, x: Tensor, grad: &Tensor, _: &[bool]) -> Result<Gradients, KernelError> {
        let grad_x = map_backward(self.name(), &x, grad, SoftSign)?;
        let cost = Cost::traffic(2 * x.len(), x.len(), x.dtype().size()).with_divisions(x.len());
        Ok(Gradients {
            inputs: vec![Some(grad_x)],
            cost,
        })
    }
}
// ANCHOR_END: function

// ANCHOR: kernel
/// `y = x / (1 + |x|)`. One unit owns a run of vectors.
#[cube(launch_unchecked)]
fn soft_sign_kernel<S: Float, F: Float, N: Size>(
    x: &[Vector<S, N>],
    y: &mut [Vector<S, N>],
    count: usize,
    run: usize,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let one = Vector::<F, N>::new(F::new(1.0f32));
    let first = ABSOLUTE_POS * run;
    for i in first..min(first + run, count) {
        let value = Vector::<F, N>::cast_from(x[i]);
        y[i] = Vector::cast_from(value / (one + value.abs()));
    }
}
// ANCHOR_END: kernel

// ANCHOR: host
use ghostlight_kernels::launch;

/// [`SoftSign`] of every element of `x`, of any shape. One launch.
///
/// # Errors
/// `x` is a window.
pub fn soft_sign_by_hand(x: &Tensor) -> Result<Tensor, KernelError> {
    x.check_whole("soft_sign", "x")?;
    let y = Tensor::empty(x.client(), x.shape(), x.dtype());
    if x.is_empty() {
        return Ok(y);
    }
    let client = x.client();
    let width = launch::width(client, x.dtype(), x.len());
    let grid = launch::grid(client, x.len() / width);
    // SAFETY: both tensors hold `count` vectors, and the kernel stops there.
    unsafe {
        soft_sign_kernel::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            width,
            x.arg(width),
            y.arg(width),
            x.len() / width,
            grid.run,
            x.dtype().elems(),
        );
    }
    launch::throttle(client);
    Ok(y)
}
// ANCHOR_END: host
