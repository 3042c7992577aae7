//! The Ghost module: a convolution for some of the output channels, a depthwise one of its result for the rest.
//!
//! **Computes** (Han et al., CVPR 2020; `docs/methods.md` section 1.1), for `n` output channels and a ratio `s`, with `m = ceil(n / s)`:
//! `p = act(norm(conv(x)))` of `m` channels, `q = act(norm(depthwise(p)))` of `m (s - 1)` channels, where channel `j` of `q` reads
//! channel `j / (s - 1)` of `p`; the output is the first `n` channels of `(p, q)`.
//!
//! **Layout** `x [n, h, w, c]`, primary weight `[k, k, c, m]`, cheap weight `[d, d, m (s - 1)]`, output `[n, oh, ow, n]`.
//!
//! **One unit owns** what it owns in the kernels that this operation is made of: [`crate::conv::dense`], [`crate::conv::depthwise`] and
//! [`crate::norm::batch_norm`].
//!
//! **Saved for the backward pass**: `x`, the output, and what the two norms save: both convolutions' results.
//!
//! **Why this shape.** Both halves are written into windows of one output, and both halves of the gradient are read from windows of
//! one gradient: nothing is concatenated or sliced. The gradient that the primary half gets from the output and the one it gets
//! through the cheap path meet in the registers of the depthwise gradient. In inference both norms are applied in the convolutions'
//! own kernels: two launches. An odd `n` drops channels of `q`: in training their norm computes statistics and nothing else; in
//! inference they are computed and lie behind the result, which is then a window itself.

pub mod cost;
pub mod reference;

use crate::conv::dense::{self, ConvOptions, ConvProblem};
use crate::conv::depthwise::{self, DepthwiseOptions, DepthwiseProblem};
use crate::norm::batch_norm::{self, BatchNorm, BatchNormProblem, running_scale};
use crate::{Affine, Clamp, KernelError, Tensor, planted};

const OP: &str = "ghost";

/// The parameters of one Ghost module.
#[derive(Clone, Copy, Debug)]
pub struct Ghost<'a> {
    /// The primary weight, `[k, k, c, m]`.
    pub primary: &'a Tensor,
    /// The norm of the primary half, of `m` channels.
    pub primary_norm: &'a BatchNorm,
    /// The cheap weight, `[d, d, m (s - 1)]`; `d` is odd.
    pub cheap: &'a Tensor,
    /// The norm of the cheap half, of `m (s - 1)` channels.
    pub cheap_norm: &'a BatchNorm,
    /// Stride and padding of the primary convolution.
    pub options: ConvOptions,
    /// Output channels: more than `m`, at most `m s`.
    pub channels: usize,
    /// What bounds the results of the norms.
    pub clamp: Clamp,
}

/// Validated shapes of one Ghost module; knows its output shape and its cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GhostProblem {
    /// The primary convolution.
    pub primary: ConvProblem,
    /// The cheap one, of the primary one's output.
    pub cheap: DepthwiseProblem,
    /// Output channels.
    pub channels: usize,
}

impl GhostProblem {
    /// The problem of `ghost` applied to `x` `[n, h, w, c]`, which may be a window where the primary convolution is pointwise.
    ///
    /// # Errors
    /// In this order: those of [`ConvProblem::new`]; a cheap weight that is not `[d, d, m (s - 1)]` with an odd `d`; output
    /// channels outside of `m + 1` to `m s`; those of [`DepthwiseProblem::new`]; those of [`BatchNormProblem::new`] for either norm.
    pub fn new(x: &Tensor, ghost: &Ghost) -> Result<Self, KernelError> {
        let primary = ConvProblem::new(x, ghost.primary, ghost.options)?;
        let m = primary.out_channels;
        let [d, across, q] = ghost.cheap.dims(OP, "cheap", "[d, d, m (s - 1)]")?;
        if d != across || d.is_multiple_of(2) || q == 0 || !q.is_multiple_of(m) {
            return Err(KernelError::Shape {
                op: OP,
                tensor: "cheap",
                got: ghost.cheap.shape().to_vec(),
                wanted: format!("[d, d, a multiple of {m}] with an odd d"),
            });
        }
        if ghost.channels <= m || ghost.channels - m > q {
            let wanted =
                "more than the primary weight's channels, at most those and the cheap weight's";
            return Err(KernelError::range(OP, "channels", ghost.channels, wanted));
        }
        let (client, dtype) = (x.client(), x.dtype());
        // Shapes alone are looked at: a batch of no images holds nothing.
        let [_, h, w, _] = primary.output_shape();
        let half = |c: usize| Tensor::empty(client, &[0, h, w, c], dtype);
        let options = DepthwiseOptions::square(1, d / 2);
        let cheap = DepthwiseProblem::new(&half(m), ghost.cheap, options)?;
        BatchNormProblem::new(&half(m), ghost.primary_norm, None)?;
        BatchNormProblem::new(&half(q), ghost.cheap_norm, None)?;
        Ok(Self {
            primary,
            cheap: DepthwiseProblem {
                batch: primary.batch,
                ..cheap
            },
            channels: ghost.channels,
        })
    }

    /// `[n, oh, ow, channels]`.
    pub fn output_shape(&self) -> [usize; 4] {
        let [n, h, w, _] = self.primary.output_shape();
        [n, h, w, self.channels]
    }

    /// Channels of the primary half, of the cheap half, and how many of the latter are kept.
    fn halves(&self) -> [usize; 3] {
        let m = self.primary.out_channels;
        [m, self.cheap.out_channels(), self.channels - m]
    }
}

/// What [`train`] keeps for [`backward`].
#[derive(Clone, Debug)]
pub struct Saved {
    input: Tensor,
    output: Tensor,
    primary: batch_norm::Saved,
    cheap: batch_norm::Saved,
}

/// What [`backward`] returns, each of its tensor's shape.
pub struct GhostGrads {
    /// With respect to `x`.
    pub input: Tensor,
    /// With respect to the primary weight.
    pub primary: Tensor,
    /// With respect to the primary norm's gamma and beta.
    pub primary_norm: [Tensor; 2],
    /// With respect to the cheap weight.
    pub cheap: Tensor,
    /// With respect to the cheap norm's gamma and beta.
    pub cheap_norm: [Tensor; 2],
}

/// The training forward pass: the output `[n, oh, ow, channels]` and what the backward pass needs. Moves the running statistics. 8
/// launches: each convolution one, each norm three.
///
/// # Errors
/// Those of [`GhostProblem::new`].
pub fn train(x: &Tensor, ghost: &Ghost) -> Result<(Tensor, Saved), KernelError> {
    let problem = GhostProblem::new(x, ghost)?;
    let [m, _, kept] = problem.halves();
    let y = Tensor::room(OP, "output", x.client(), &problem.output_shape(), x.dtype())?;
    let (first, second) = (y.window(0, m)?, y.window(m, kept)?);
    let p = dense::conv(x, ghost.primary, ghost.options)?;
    let primary = batch_norm::train_into(&p, ghost.primary_norm, None, ghost.clamp, &first)?;
    let q = depthwise::depthwise(&first, ghost.cheap, None, problem.cheap.options)?;
    let cheap = batch_norm::train_into(&q, ghost.cheap_norm, None, ghost.clamp, &second)?;
    let saved = Saved {
        input: x.clone(),
        output: y.clone(),
        primary,
        cheap,
    };
    Ok((y, saved))
}

/// The gradients of [`train`] from `grad` `[n, oh, ow, channels]`, which may be a window, in the place of what `saved` is the last to
/// hold. 13 launches: each norm and each dense gradient as
/// theirs, the depthwise gradients one and two.
///
/// # Errors
/// Those of [`GhostProblem::new`], then shape and element type of `grad`.
pub fn backward(ghost: &Ghost, saved: Saved, grad: &Tensor) -> Result<GhostGrads, KernelError> {
    let x = &saved.input;
    let problem = GhostProblem::new(x, ghost)?;
    grad.check_view(OP, "grad", &problem.output_shape(), x.dtype())?;
    let [m, _, kept] = problem.halves();
    let options = problem.cheap.options;
    let first = saved.output.window(0, m)?;
    let q = batch_norm::backward(ghost.cheap_norm, saved.cheap, &grad.window(m, kept)?)?;
    let cheap = depthwise::grad_weight(&first, ghost.cheap, &q.input, options)?;
    let direct = grad.window(0, m)?;
    let to_first = if planted::is("ghost_fold") {
        depthwise::grad_input(&first, ghost.cheap, &q.input, options)?
    } else {
        depthwise::grad_input_plus(&first, ghost.cheap, &q.input, options, &direct)?
    };
    let p = batch_norm::backward(ghost.primary_norm, saved.primary, &to_first)?;
    Ok(GhostGrads {
        input: dense::grad_input(x, ghost.primary, &p.input, ghost.options)?,
        primary: dense::grad_weight(x, ghost.primary, &p.input, ghost.options)?,
        primary_norm: [p.gamma, p.beta],
        cheap,
        cheap_norm: [q.gamma, q.beta],
    })
}

/// The norms' [`running_scale`]s, which stay the same until a norm is trained again.
#[derive(Clone, Debug)]
pub struct Scales {
    /// Of the primary half's norm.
    pub primary: Tensor,
    /// Of the cheap half's norm.
    pub cheap: Tensor,
}

impl Scales {
    /// Computes both. Two launches over channels.
    ///
    /// # Errors
    /// Those of [`running_scale`].
    pub fn of(ghost: &Ghost) -> Result<Self, KernelError> {
        let of = |norm: &BatchNorm| running_scale(&norm.gamma, &norm.running_var, norm.epsilon);
        Ok(Self {
            primary: of(ghost.primary_norm)?,
            cheap: of(ghost.cheap_norm)?,
        })
    }
}

/// The inference forward pass: the output `[n, oh, ow, channels]`, normalised by the running statistics; a window when `channels` is less than
/// both halves have. Two launches.
///
/// # Errors
/// Those of [`GhostProblem::new`], then those of [`Affine::check`] for `scales` of another module.
pub fn infer(x: &Tensor, ghost: &Ghost, scales: &Scales) -> Result<Tensor, KernelError> {
    let problem = GhostProblem::new(x, ghost)?;
    let [m, q, _] = problem.halves();
    let [n, h, w, _] = problem.output_shape();
    let y = Tensor::room(OP, "output", x.client(), &[n, h, w, m + q], x.dtype())?;
    let (first, second) = (y.window(0, m)?, y.window(m, q)?);
    dense::conv_affine_into(
        x,
        ghost.primary,
        ghost.options,
        &follow(ghost.primary_norm, &scales.primary, ghost.clamp),
        &first,
    )?;
    depthwise::depthwise_affine_into(
        &first,
        ghost.cheap,
        problem.cheap.options,
        &follow(ghost.cheap_norm, &scales.cheap, ghost.clamp),
        &second,
    )?;
    y.window(0, problem.channels)
}

fn follow<'a>(norm: &'a BatchNorm, scale: &'a Tensor, clamp: Clamp) -> Affine<'a> {
    Affine {
        centre: &norm.running_mean,
        scale,
        shift: &norm.beta,
        residual: None,
        clamp,
    }
}
