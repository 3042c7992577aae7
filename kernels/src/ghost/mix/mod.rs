//! The ghost half of a G-Ghost stage: a cheap 1x1 convolution of some channels of the stage's first block, corrected by a mix of all
//! of its intermediate features.
//!
//! **Computes** (`docs/methods.md` section 1.4, the released form), for the first block's output `x0` of `p` channels, the features `f_1 .. f_k`
//! of the thin blocks behind it, of `r` channels each, and `c = p - r`:
//! `row = norm(second(relu(norm(first(mean of x0, mean of f_1, .., mean of f_k)))))`, a row of `c` values an image, and
//! `ghost = relu(norm(cheap(x0[:, r:])) + row)`, the row added to every pixel.
//!
//! **Layout** `x0 [n, h, w, p]`, features `[n, h, w, r]`, `ghost [n, h, w, c]`, which is usually a window of the stage's output behind the
//! last feature's own; weights `[c, c]`, `[p + k r, c]`, `[c, c]`.
//!
//! **One unit owns** what it owns in [`crate::matmul::gemm`], [`crate::norm::batch_norm`] and [`crate::pool::global_average`].
//!
//! **Saved for the backward pass**: `x0`, the pooled row, the hidden row, and what the three norms save.
//!
//! **Why this shape.** Every map is pooled into its own window of one row, the cheap convolution reads a window of `x0`, and norm, row and
//! ReLU are one pass, or in inference the epilogue of the product: nothing is concatenated, sliced or broadcast in memory. Backwards the
//! cheap branch's gradient is a product written into a window, with the pooled one added in its registers.

pub mod cost;
mod infer;
mod problem;
pub mod reference;
mod train;

pub use infer::{Scales, infer};
pub use problem::{Mix, MixProblem};
pub use train::{MixGrads, Saved, backward, train};
