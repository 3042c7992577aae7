use super::{dot, values};
use crate::{Client, DType, KernelError, Tape, Tensor, Var};

/// How [`gradcheck`] probes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GradcheckOptions {
    /// Step of the central difference.
    pub step: f64,
    /// Allowed error, relative to the larger of 1 and the derivative.
    pub tolerance: f64,
    /// Inputs of up to this many elements are probed element by element; larger ones along random directions.
    pub full_up_to: usize,
    /// How many random directions.
    pub directions: usize,
    /// Seed of the directions and of the output's weights.
    pub seed: u64,
}

impl Default for GradcheckOptions {
    /// A step of 1e-5 leaves errors near 1e-10 in f64; a tolerance of 1e-6 catches any wrong term.
    fn default() -> Self {
        Self {
            step: 1e-5,
            tolerance: 1e-6,
            full_up_to: 128,
            directions: 8,
            seed: 1,
        }
    }
}

/// Why a gradient is not believed.
#[derive(Debug, thiserror::Error)]
pub enum GradcheckError {
    /// A derivative differs from the central difference.
    #[error(
        "the derivative by input {input}, {probe}, is {analytic}, but central differences give {numeric}"
    )]
    Wrong {
        /// Which input.
        input: usize,
        /// The element or direction.
        probe: String,
        /// What the backward pass says.
        analytic: f64,
        /// What two forward passes say.
        numeric: f64,
    },
    /// The function itself failed.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

/// Checks the gradient of `function` at `inputs` (values with their shape) in f64.
///
/// The output, of any shape, is weighted by fixed random numbers and summed; the gradient of that sum must equal its central
/// differences, for every element of small inputs and along random directions of large ones. Keep inputs away from kinks (a
/// ReLU at exactly 0): there no derivative exists.
///
/// # Errors
/// [`GradcheckError::Kernel`] when the function fails, [`GradcheckError::Wrong`] for the first derivative that differs, a NaN
/// included.
pub fn gradcheck(
    client: &Client,
    inputs: &[(Vec<f64>, Vec<usize>)],
    function: impl Fn(&Tape, &[Var]) -> Result<Var, KernelError>,
    options: GradcheckOptions,
) -> Result<(), GradcheckError> {
    let upload =
        |values: &[f64], shape: &[usize]| Tensor::from_f64(client, values, shape, DType::F64);
    let constants = inputs
        .iter()
        .map(|(values, shape)| upload(values, shape))
        .collect::<Result<Vec<_>, _>>()?;
    let output = function(
        &Tape::new(),
        &constants
            .iter()
            .cloned()
            .map(Var::constant)
            .collect::<Vec<_>>(),
    )?;
    let shape = output.tensor().shape().to_vec();
    let weights = values(options.seed, output.tensor().len());

    let tape = Tape::new();
    let (mut leaves, mut grads) = (Vec::new(), Vec::new());
    for tensor in &constants {
        let grad = Tensor::zeros(client, tensor.shape(), DType::F64);
        leaves.push(tape.leaf(tensor, &grad)?);
        grads.push(grad);
    }
    let output = function(&tape, &leaves)?;
    tape.backward_from(&[(&output, upload(&weights, &shape)?)])?;

    for (index, (values_of_input, input_shape)) in inputs.iter().enumerate() {
        let gradient = grads[index].to_f64()?;
        for (probe, direction) in probes(values_of_input.len(), index, &options) {
            let at = |sign: f64| -> Result<f64, KernelError> {
                let moved: Vec<f64> = values_of_input
                    .iter()
                    .zip(&direction)
                    .map(|(v, d)| v + sign * options.step * d)
                    .collect();
                let mut vars: Vec<Var> = constants.iter().cloned().map(Var::constant).collect();
                vars[index] = Var::constant(upload(&moved, input_shape)?);
                let output = function(&Tape::new(), &vars)?;
                Ok(dot(&output.tensor().to_f64()?, &weights))
            };
            let numeric = (at(1.0)? - at(-1.0)?) / (2.0 * options.step);
            let analytic = dot(&gradient, &direction);
            let allowed = options.tolerance * numeric.abs().max(1.0);
            // Written so that a NaN on either side fails.
            let agrees = (numeric - analytic).abs() <= allowed;
            if !agrees {
                return Err(GradcheckError::Wrong {
                    input: index,
                    probe,
                    analytic,
                    numeric,
                });
            }
        }
    }
    Ok(())
}

/// The directions along which one input is moved, with their names.
fn probes(len: usize, input: usize, options: &GradcheckOptions) -> Vec<(String, Vec<f64>)> {
    if len <= options.full_up_to {
        let unit = |i: usize| (0..len).map(|j| if i == j { 1.0 } else { 0.0 }).collect();
        return (0..len)
            .map(|i| (format!("element {i}"), unit(i)))
            .collect();
    }
    let seed = |d: usize| options.seed ^ ((input as u64 + 1) << 32) ^ (d as u64 + 1);
    (0..options.directions)
        .map(|d| (format!("along random direction {d}"), values(seed(d), len)))
        .collect()
}
