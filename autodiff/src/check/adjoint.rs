use super::{dot, values};
use crate::{Client, DType, KernelError, Tape, Tensor, Var};

/// Two inner products that should be one.
#[derive(Debug, thiserror::Error)]
pub enum Mismatch {
    /// The backward map is not the adjoint of the forward map.
    #[error("<f(x), g> = {forward}, but <x, f'(g)> = {backward}")]
    NotAdjoint {
        /// `<f(x), g>`.
        forward: f64,
        /// `<x, f'(g)>`.
        backward: f64,
    },
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
/// [`Mismatch::Kernel`] when the function fails, [`Mismatch::NotAdjoint`] otherwise.
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
    let y = output.tensor().to_f64()?;
    let g = values(seed.wrapping_add(1), y.len());
    let seed_grad = Tensor::from_f64(client, &g, output.tensor().shape(), DType::F64)?;
    tape.backward_from(&[(&output, seed_grad)])?;
    let back = grad.to_f64()?;
    let (forward, backward) = (dot(&y, &g), dot(&x, &back));
    let magnitude: f64 = y.iter().zip(&g).map(|(y, g)| (y * g).abs()).sum();
    if (forward - backward).abs() <= 1e-10 * magnitude.max(1e-300) {
        Ok(())
    } else {
        Err(Mismatch::NotAdjoint { forward, backward })
    }
}
