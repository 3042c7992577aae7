//! Max pooling.
//!
//! **Computes** `y[n, oy, ox, c] = max over ky, kx of x[n, oy s + ky d - p, ox s + kx d - p, c]` over the taps within the image, for
//! kernel k, stride s, padding p and dilation d, as PyTorch does: a NaN in a window is its maximum, and a window without a tap
//! in the image, which dilation makes possible, is -inf. The gradient of an output goes to the input it came from: of equal
//! ones to the first in row-major order, of several NaNs to the last.
//!
//! **Layout** NHWC; input, gradient and results in vectors of channels. Input and gradient may be channel windows.
//!
//! **One unit owns** a share of the output pixels forward, of the input pixels backward (`share.rs`), walked row by row in memory order; on a CPU up to four
//! vectors of channels are held in registers together.
//!
//! **Saved for the backward pass**: for each output the tap of its maximum within the window, `dy span + dx`, as a number of the
//! tensor's own type (at most 4096 x 4096 places, which f32 counts exactly). The input itself is not kept.
//!
//! **Why this shape.** Backward, an input asks the few windows over it whether their place is its own: gather form, a
//! comparison per window, no division by the dilation (a place between two taps is nobody's maximum). Looking for the maxima
//! again instead would read input and output, 1.6 times the bytes of a 3x3 window every second pixel, and the taps ahead of each.
//!
//! **Tried and lost.** Dividing by the stride with the processor's own division: gradients of 2x2 windows on 16 images of 64 x 64 x 64
//! took 1.15 ms, and take 0.65 ms since the division is a multiplication.

mod axis;
mod backward;
pub mod cost;
mod forward;
mod problem;
pub mod reference;

pub use problem::{MaxPoolOptions, MaxPoolProblem};

use crate::{KernelError, Tensor};

const OP: &str = "max_pool";

/// What [`backward`] needs of [`train`]: which input each output came from.
#[derive(Clone, Debug)]
pub struct Winners {
    problem: MaxPoolProblem,
    argmax: Tensor,
}

impl Winners {
    /// The problem that was solved.
    pub fn problem(&self) -> &MaxPoolProblem {
        &self.problem
    }
}

/// The maximum of every window of `x` `[n, h, w, c]`, which may be a channel window, as `[n, oh, ow, c]`. One launch.
///
/// # Errors
/// In this order: the rank of `x`, then those of [`MaxPoolProblem::new`], then a result past [`Tensor::MOST_ELEMENTS`].
pub fn max_pool(x: &Tensor, options: MaxPoolOptions) -> Result<Tensor, KernelError> {
    let problem = MaxPoolProblem::of(x, options)?;
    let y = Tensor::room(OP, "y", x.client(), &problem.output_shape(), x.dtype())?;
    if !y.is_empty() {
        forward::launch_largest(&problem, x, &y, None);
    }
    Ok(y)
}

/// [`max_pool`] with what its gradient needs. One launch.
///
/// # Errors
/// Those of [`max_pool`].
pub fn train(x: &Tensor, options: MaxPoolOptions) -> Result<(Tensor, Winners), KernelError> {
    let problem = MaxPoolProblem::of(x, options)?;
    // A place counts further than 16 bits do.
    let room = |dtype| Tensor::room(OP, "y", x.client(), &problem.output_shape(), dtype);
    let (y, argmax) = (room(x.dtype())?, room(x.dtype().accumulator())?);
    if !y.is_empty() {
        forward::launch_largest(&problem, x, &y, Some(&argmax));
    }
    Ok((y, Winners { problem, argmax }))
}

/// The gradient with respect to the input of [`train`], `[n, h, w, c]`, from `grad` `[n, oh, ow, c]`, which may be a channel
/// window. One launch.
///
/// # Errors
/// Shape, then element type of `grad`.
pub fn backward(winners: &Winners, grad: &Tensor) -> Result<Tensor, KernelError> {
    let problem = &winners.problem;
    grad.check_view(OP, "grad", &problem.output_shape(), problem.dtype())?;
    let out = Tensor::empty(grad.client(), &problem.input_shape(), grad.dtype());
    if !out.is_empty() {
        backward::launch_route(problem, &winners.argmax, grad, &out);
    }
    Ok(out)
}
