//! Maps cut into samples of tokens, and put together again.
//!
//! **Computes**, of a map whose sides are filled up with zeros at the bottom and on the right to `gh bh` and `gw bw` pixels, a pixel being a
//! token: **block partition**, the samples being its blocks of `bh` x `bw` neighbours, as MaxViT, Swin and EfficientViT-M attend within windows
//! (Tu et al. 2022); and **grid partition**, the samples being the pixels at one place of all blocks, as MobileViT attends between the
//! patches that it unfolds (`docs/methods.md` section 7.6). MaxViT names its grid by `gh` x `gw`; here both kinds are named by the block. [`merge()`] is
//! the inverse, and leaves the filling out. Each is the other's gradient.
//!
//! **Layout** maps `[n, h, w, c]`; blocks `[n gh gw, bh bw, c]`, grids `[n bh bw, gh gw, c]`, both with rows before columns. What is read may be a
//! channel window.
//!
//! **One unit owns** a run of pixels of the map with its filling; on a GPU a vector of one of them, so that neighbours take neighbouring channels.
//!
//! **Saved for the backward pass**: the map's sides.
//!
//! **Why this shape.** Pixels and tokens are one to one, so that one walk over the map serves all four: it reads the pixel and writes the
//! token, or the other way round, and the two kinds differ in four strides. A pixel's channels are moved in vectors; where it lies is computed once.

pub mod cost;
mod exchange;
mod problem;
pub mod reference;

pub use problem::{PartitionKind, PartitionProblem};

use crate::{KernelError, Tensor};

const OP: &str = "partition";

/// The tokens of `x` `[n, h, w, c]`, which may be a channel window, sample by sample ([`PartitionProblem::tokens_shape`]), in blocks of `size`
/// `[bh, bw]`. One launch; none for an empty tensor.
///
/// # Errors
/// In this order: the rank of `x`; those of [`PartitionProblem::new`]; a result past [`Tensor::MOST_ELEMENTS`].
pub fn partition(x: &Tensor, kind: PartitionKind, size: [usize; 2]) -> Result<Tensor, KernelError> {
    let map = x.dims_view(OP, "x", "[n, h, w, c]")?;
    let problem = PartitionProblem::new(map, x.dtype(), kind, size)?;
    let shape = problem.tokens_shape();
    let tokens = Tensor::room(OP, "tokens", x.client(), &shape, x.dtype())?;
    if !tokens.is_empty() {
        exchange::launch_partition(&problem, x, &tokens);
    }
    Ok(tokens)
}

/// The map of sides `map` `[h, w]` whose tokens are `tokens` `[samples, tokens of a sample, c]`, which may be a channel window: what
/// [`partition()`] was given. One launch; none for an empty tensor.
///
/// # Errors
/// In this order: the rank of `tokens`; those of [`PartitionProblem::new`] for a map of no image; `tokens` of other extents than such a map's images have.
pub fn merge(
    tokens: &Tensor,
    kind: PartitionKind,
    size: [usize; 2],
    map: [usize; 2],
) -> Result<Tensor, KernelError> {
    let [samples, length, c] =
        tokens.dims_view(OP, "tokens", "[samples, tokens of a sample, c]")?;
    let [h, w] = map;
    let one = PartitionProblem::new([1, h, w, c], tokens.dtype(), kind, size)?;
    let [of_image, wanted, _] = one.tokens_shape();
    if !samples.is_multiple_of(of_image) || length != wanted {
        return Err(KernelError::Shape {
            op: OP,
            tensor: "tokens",
            got: tokens.shape().to_vec(),
            wanted: format!("[a multiple of {of_image}, {wanted}, c] for a map of {h} x {w}"),
        });
    }
    let map = [samples / of_image, h, w, c];
    let problem = PartitionProblem::new(map, tokens.dtype(), kind, size)?;
    let y = Tensor::empty(tokens.client(), &map, tokens.dtype());
    if !y.is_empty() {
        exchange::launch_merge(&problem, tokens, &y);
    }
    Ok(y)
}
