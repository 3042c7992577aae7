use super::{dot, values};
use crate::{Client, DType, KernelError, Tape, Tensor, Var};
use ghostlight_kernels::planted;

/// Why a backward map is not believed to be an adjoint.
#[derive(Debug, thiserror::Error)]
pub enum Mismatch {
    /// Two inner products that should be one are not, or are not numbers.
    #[error(
        "<f(x), g> = {forward}, but <x, f'(g)> = {backward}, wanted equal to within {allowed:e}"
    )]
    NotAdjoint {
        /// `<f(x), g>`.
        forward: f64,
        /// `<x, f'(g)>`.
        backward: f64,
        /// How far they may lie apart.
        allowed: f64,
    },
    /// An inner product of nothing proves nothing: which tensor has no elements.
    #[error("nothing was probed: {0}")]
    Unprobed(String),
    /// The function itself failed.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

/// Checks that the backward pass of a **linear** `function` of one input is its adjoint: `<f(x), g> = <x, f'(g)>` for random `x`
/// of `shape` and random `g`, in f64, to 1e-10 of the sum of the products' magnitudes.
///
/// Unlike central differences this has no step and no rounding of its own: a single wrong term in a million shows.
///
/// # Errors
/// In this order: [`Mismatch::Kernel`] when the function fails; [`Mismatch::Unprobed`] when input or output has no elements;
/// [`Mismatch::NotAdjoint`] when the inner products differ or one is not finite.
pub fn adjointness(
    client: &Client,
    shape: &[usize],
    seed: u64,
    function: impl Fn(&Tape, &Var) -> Result<Var, KernelError>,
) -> Result<(), Mismatch> {
    let x = values(seed, shape.iter().product());
    let tensor = Tensor::from_f64(client, &x, shape, DType::F64)?;
    let grad = Tensor::zeros(client, shape, DType::F64);
    let tape = Tape::new();
    let output = function(&tape, &tape.leaf(&tensor, &grad)?)?;
    for (name, tensor) in [("input", &tensor), ("output", output.tensor())] {
        if tensor.is_empty() {
            let which = format!("the {name} {:?} has no elements", tensor.shape());
            return Err(Mismatch::Unprobed(which));
        }
    }
    let y = output.tensor().to_f64()?;
    let g = values(seed.wrapping_add(1), y.len());
    let seed_grad = Tensor::from_f64(client, &g, output.tensor().shape(), DType::F64)?;
    tape.backward_from(&[(&output, seed_grad)])?;
    let back = grad.to_f64()?;
    let (forward, backward) = (dot(&y, &g), dot(&x, &back));
    let magnitude: f64 = y.iter().zip(&g).map(|(y, g)| (y * g).abs()).sum();
    let allowed = 1e-10 * magnitude.max(1e-300);
    let finite = allowed.is_finite() || planted::is("adjointness_of_infinity");
    // Written so that a NaN fails.
    if finite && (forward - backward).abs() <= allowed {
        Ok(())
    } else {
        Err(Mismatch::NotAdjoint {
            forward,
            backward,
            allowed,
        })
    }
}
