use crate::nn::Pass;
use ghostlight_autodiff::ops::ActivationInto;
use ghostlight_autodiff::{KernelError, Tensor, Var};
use ghostlight_kernels::pointwise::activation::Activation;

/// The channels of all `parts` `[.., c]`, at least one, each activated, side by side: each is written where it belongs, and none is copied after.
///
/// # Errors
/// Those of the kernels: parts of other pixels than the first.
pub fn concat(pass: &Pass, parts: &[(&Var, Activation)]) -> Result<Var, KernelError> {
    let channels = |part: &Var| part.tensor().shape().last().copied().unwrap_or(0);
    let first = parts[0].0.tensor();
    let mut shape = first.shape().to_vec();
    if let Some(all) = shape.last_mut() {
        *all = parts.iter().map(|(part, _)| channels(part)).sum();
    }
    let whole = Tensor::empty(first.client(), &shape, first.dtype());
    let (mut start, mut placed) = (0, Vec::new());
    for &(part, kind) in parts {
        let into = whole.window(start, channels(part))?;
        start += channels(part);
        placed.push(pass.tape.apply(ActivationInto { kind, into }, &[part])?);
    }
    let placed: Vec<&Var> = placed.iter().collect();
    pass.tape.join(&whole, &placed)
}
