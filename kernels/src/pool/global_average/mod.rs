//! Global average pooling.
//!
//! **Computes** `y[n, c] = mean over all pixels of x[n, h, w, c]`; the gradient is spread evenly.
//!
//! **Layout** `x` `[n, h, w, c]`, `y` `[n, c]`.
//!
//! **One unit owns** a run of (image, vector of channels) pairs forward, a run of pixels backward.
//!
//! **Saved for the backward pass**: the shape.
//!
//! **Why this shape.** A map of 16 x 16 x 64 is 64 KB and is read once; the sum of one channel goes in runs of 1,024
//! pixels, in an order that the problem alone fixes.

mod backward;
pub mod cost;
mod forward;
pub mod reference;

use crate::{KernelError, Tensor};

const OP: &str = "global_average";

fn checked(x: &Tensor) -> Result<[usize; 4], KernelError> {
    let shape = x.nhwc(OP, "x")?;
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

/// The mean over all pixels of `x` `[n, h, w, c]`, as `[n, c]`. One launch.
///
/// # Errors
/// `x` has no pixel, no channel, or is no `[n, h, w, c]`.
pub fn global_average(x: &Tensor) -> Result<Tensor, KernelError> {
    let [n, h, w, c] = checked(x)?;
    let y = Tensor::empty(x.client(), &[n, c], x.dtype());
    if !y.is_empty() {
        forward::launch_average(x, &y, h * w, c);
    }
    Ok(y)
}

/// The gradient of [`global_average`] with respect to `x`, from `grad` `[n, c]`. One launch.
///
/// # Errors
/// Those of [`global_average`], then shape and element type of `grad`.
pub fn backward(x: &Tensor, grad: &Tensor) -> Result<Tensor, KernelError> {
    let [n, h, w, c] = checked(x)?;
    grad.check(OP, "grad", &[n, c], x.dtype())?;
    let out = Tensor::empty(x.client(), x.shape(), x.dtype());
    if !out.is_empty() {
        backward::launch_spread(grad, &out, h * w, c);
    }
    Ok(out)
}
