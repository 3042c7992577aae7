// ANCHOR: kernel
use cubecl::prelude::*;
use ghostlight_autodiff::{Function, Gradients, Step};
use ghostlight_kernels::{Cost, KernelError, Tensor, launch};

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
/// The soft sign of every element of `x`, of any shape. One launch.
///
/// # Errors
/// `x` is a window.
pub fn soft_sign(x: &Tensor) -> Result<Tensor, KernelError> {
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
    launch::pace(client);
    Ok(y)
}
// ANCHOR_END: host

// ANCHOR: backward
/// `grad_x = grad / (1 + |x|)^2`. One unit owns a run of vectors.
#[cube(launch_unchecked)]
fn soft_sign_slope<S: Float, F: Float, N: Size>(
    x: &[Vector<S, N>],
    grad: &[Vector<S, N>],
    out: &mut [Vector<S, N>],
    count: usize,
    run: usize,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let one = Vector::<F, N>::new(F::new(1.0f32));
    let first = ABSOLUTE_POS * run;
    for i in first..min(first + run, count) {
        let below = one + Vector::<F, N>::cast_from(x[i]).abs();
        let arrived = Vector::<F, N>::cast_from(grad[i]);
        out[i] = Vector::cast_from(arrived / (below * below));
    }
}

/// The gradient of [`soft_sign`] with respect to `x`, from `grad` of its shape. One launch.
///
/// # Errors
/// In this order: `x` is a window; shape and element type of `grad`.
pub fn soft_sign_backward(x: &Tensor, grad: &Tensor) -> Result<Tensor, KernelError> {
    x.check_whole("soft_sign", "x")?;
    grad.check("soft_sign", "grad", x.shape(), x.dtype())?;
    let out = Tensor::empty(x.client(), x.shape(), x.dtype());
    if x.is_empty() {
        return Ok(out);
    }
    let client = x.client();
    let width = launch::width(client, x.dtype(), x.len());
    let grid = launch::grid(client, x.len() / width);
    // SAFETY: all three tensors hold `count` vectors, and the kernel stops there.
    unsafe {
        soft_sign_slope::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            width,
            x.arg(width),
            grad.arg(width),
            out.arg(width),
            x.len() / width,
            grid.run,
            x.dtype().elems(),
        );
    }
    launch::pace(client);
    Ok(out)
}
// ANCHOR_END: backward

// ANCHOR: reference
/// The same over `f64`: the value and the derivative.
pub fn reference(x: f64) -> [f64; 2] {
    let below = 1.0 + x.abs();
    [x / below, 1.0 / (below * below)]
}
// ANCHOR_END: reference

// ANCHOR: function
/// The soft sign on the tape.
pub struct SoftSign;

impl Function for SoftSign {
    type Saved = Tensor;

    fn name(&self) -> &'static str {
        "soft_sign"
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<Tensor>, KernelError> {
        let x = inputs[0];
        Ok(Step {
            output: soft_sign(x)?,
            saved: x.clone(),
            cost: Cost::traffic(x.len(), x.len(), x.dtype().size()),
        })
    }

    fn backward(&self, x: Tensor, grad: &Tensor, _: &[bool]) -> Result<Gradients, KernelError> {
        let inputs = vec![Some(soft_sign_backward(&x, grad)?)];
        let cost = Cost::traffic(2 * x.len(), x.len(), x.dtype().size());
        Ok(Gradients { inputs, cost })
    }
}
// ANCHOR_END: function
