//! Global average pooling.
//!
//! **Computes** `y[n, c] = mean over all pixels of x[n, h, w, c]`; the gradient is spread evenly.
//!
//! **Layout** `x` `[n, h, w, c]`, `y` `[n, c]`.
//!
//! **One unit owns** a run of (image, vector of channels) pairs forward, a share of the pixels backward (`share.rs`). On a GPU a cube
//! owns some vectors of an image, and its units walk every so many pixels (`columns.rs`).
//!
//! **Saved for the backward pass**: the shape.
//!
//! **Why this shape.** A map of 16 x 16 x 64 is 64 KB and is read once; the sum of one channel goes in blocks of 64
//! pixels (`cascade.rs`), in an order that the problem alone fixes.

mod backward;
pub mod cost;
mod cube;
mod forward;
pub mod reference;

use crate::{KernelError, Tensor};

const OP: &str = "global_average";

fn checked(x: &Tensor) -> Result<[usize; 4], KernelError> {
    let shape = x.dims_view(OP, "x", "[n, h, w, c]")?;
    let pixels = shape[1] * shape[2];
    if pixels == 0 || shape[3] == 0 || u32::try_from(pixels).is_err() {
        let wanted = "[n, h, w, c] with 1 to 2^32 - 1 pixels and c > 0".to_string();
        return Err(KernelError::Shape {
            op: OP,
            tensor: "x",
            got: shape.to_vec(),
            wanted,
        });
    }
    Ok(shape)
}

/// The mean over all pixels of `x` `[n, h, w, c]`, which may be a window, as `[n, c]`. One launch.
///
/// # Errors
/// `x` has no pixel, no channel, or is no `[n, h, w, c]`.
pub fn global_average(x: &Tensor) -> Result<Tensor, KernelError> {
    let [n, _, _, c] = checked(x)?;
    let y = Tensor::empty(x.client(), &[n, c], x.dtype());
    global_average_into(x, &y)?;
    Ok(y)
}

/// [`global_average`] into `y` `[n, c]`, which may be a window: several maps are then pooled into one row. One launch.
///
/// # Errors
/// Those of [`global_average`], then shape and element type of `y`, and a `y` that shares memory with `x`.
pub fn global_average_into(x: &Tensor, y: &Tensor) -> Result<(), KernelError> {
    let [n, h, w, c] = checked(x)?;
    y.check_view(OP, "y", &[n, c], x.dtype())?;
    y.check_apart(OP, "y", &[("x", x)])?;
    if !y.is_empty() {
        forward::launch_average(x, y, h * w, (h * w) as f64);
    }
    Ok(())
}

/// The sum over all pixels of `x` `[n, h, w, c]`, which may be a window, as `[n, c]`: the gradient of a row that was added to every
/// pixel. One launch.
///
/// # Errors
/// Those of [`global_average`].
pub fn global_sum(x: &Tensor) -> Result<Tensor, KernelError> {
    let [n, h, w, c] = checked(x)?;
    let y = Tensor::empty(x.client(), &[n, c], x.dtype());
    if !y.is_empty() {
        forward::launch_average(x, &y, h * w, 1.0);
    }
    Ok(y)
}

/// The gradient of [`global_average`] with respect to `x`, from `grad` `[n, c]`. One launch.
///
/// # Errors
/// Those of [`global_average`], then shape and element type of `grad`.
pub fn backward(x: &Tensor, grad: &Tensor) -> Result<Tensor, KernelError> {
    checked(x)?;
    let out = Tensor::empty(x.client(), x.shape(), x.dtype());
    backward_into(grad, &out)?;
    Ok(out)
}

/// [`backward()`] into `out` `[n, h, w, c]`; `grad` `[n, c]` and `out` may be windows. One launch.
///
/// # Errors
/// Those of [`global_average`] for an `x` of `out`'s shape, then shape and element type of `grad`, and an `out` that shares memory with it.
pub fn backward_into(grad: &Tensor, out: &Tensor) -> Result<(), KernelError> {
    let [n, h, w, c] = checked(out)?;
    grad.check_view(OP, "grad", &[n, c], out.dtype())?;
    out.check_apart(OP, "out", &[("grad", grad)])?;
    if !out.is_empty() {
        backward::launch_spread(grad, out, h * w, (h * w) as f64);
    }
    Ok(())
}
