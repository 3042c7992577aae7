use super::{Derivative, Findings, Probe, coordinates, dot, values};
use crate::{Client, DType, KernelError, Tape, Tensor, Var};
use ghostlight_kernels::planted;

/// How [`gradcheck`] probes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GradcheckOptions {
    /// Step of the central difference, above 0.
    pub step: f64,
    /// Allowed error, relative to the larger of 1 and the derivative; not below 0.
    pub tolerance: f64,
    /// Inputs of up to this many elements are probed element by element; larger ones along random directions.
    pub full_up_to: usize,
    /// How many random directions, at least 1.
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

impl GradcheckOptions {
    fn check(&self) -> Result<(), KernelError> {
        const OP: &str = "gradcheck";
        KernelError::check_float(OP, "step", self.step, "above 0", |step| step > 0.0)?;
        KernelError::check_float(OP, "tolerance", self.tolerance, "0 or above", |t| t >= 0.0)?;
        if self.directions == 0 {
            return Err(KernelError::range(OP, "directions", 0, "1 or more"));
        }
        Ok(())
    }

    /// The probes of an input of `shape`, each with the direction in which it moves the input.
    fn probes(&self, input: usize, shape: &[usize]) -> Vec<(Probe, Vec<f64>)> {
        let len: usize = shape.iter().product();
        if len <= self.full_up_to {
            let unit = |i: usize| (0..len).map(|j| if i == j { 1.0 } else { 0.0 }).collect();
            return (0..len)
                .map(|i| (Probe::Element(coordinates(i, shape)), unit(i)))
                .collect();
        }
        let seed = |d: usize| self.seed ^ ((input as u64 + 1) << 32) ^ (d as u64 + 1);
        (0..self.directions)
            .map(|d| (Probe::Direction(d), values(seed(d), len)))
            .collect()
    }
}

/// How well a [`gradcheck`] that found nothing has looked at one input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coverage {
    /// Every element was probed; this many.
    Full(usize),
    /// The input is large: it was probed along this many random directions, in which a wrong element may hide below the tolerance.
    Directions(usize),
    /// The input has no elements, so that nothing was probed.
    Unprobed,
}

/// Why a gradient is not believed.
#[derive(Debug, thiserror::Error)]
pub enum GradcheckError {
    /// Derivatives differ from central differences, or central differences are not finite.
    #[error("{0}")]
    Derivatives(Findings),
    /// There was nothing to probe: which tensor has no elements.
    #[error("nothing was probed: {0}")]
    Unprobed(String),
    /// The function itself failed, or an option is out of range.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

/// Checks the gradient of `function` at `inputs` (values with their shape) in f64, and says how far each input was probed.
///
/// The output, of any shape, is weighted by fixed random numbers and summed. The gradient of that sum must equal its central
/// differences, for every element of small inputs and along random directions of large ones. Keep inputs away from kinks (a
/// ReLU at exactly 0): there no derivative exists.
///
/// # Errors
/// In this order:
/// - [`GradcheckError::Kernel`] for an option out of range, and when the function fails or gives outputs of several shapes;
/// - [`GradcheckError::Unprobed`] when the output, or every input, has no elements;
/// - [`GradcheckError::Derivatives`] with every derivative that differs, and with every one that has no finite central difference to
///   be held against: step on to inputs where the function is finite.
pub fn gradcheck(
    client: &Client,
    inputs: &[(Vec<f64>, Vec<usize>)],
    function: impl Fn(&Tape, &[Var]) -> Result<Var, KernelError>,
    options: GradcheckOptions,
) -> Result<Vec<Coverage>, GradcheckError> {
    options.check()?;
    let upload =
        |values: &[f64], shape: &[usize]| Tensor::from_f64(client, values, shape, DType::F64);
    let constants = inputs
        .iter()
        .map(|(values, shape)| Ok(Var::constant(upload(values, shape)?)))
        .collect::<Result<Vec<_>, KernelError>>()?;
    let output = function(&Tape::new(), &constants)?;
    let shape = output.tensor().shape().to_vec();
    let weights = values(options.seed, output.tensor().len());
    if weights.is_empty() && !planted::is("gradcheck_of_nothing") {
        let which = format!("the output {shape:?} has no elements");
        return Err(GradcheckError::Unprobed(which));
    }
    if inputs.iter().all(|(values, _)| values.is_empty()) {
        let shapes: Vec<_> = inputs.iter().map(|(_, shape)| shape).collect();
        let which = format!("no input of {shapes:?} has elements");
        return Err(GradcheckError::Unprobed(which));
    }

    let tape = Tape::new();
    let (mut leaves, mut grads) = (Vec::new(), Vec::new());
    for constant in &constants {
        let grad = Tensor::zeros(client, constant.tensor().shape(), DType::F64);
        leaves.push(tape.leaf(constant.tensor(), &grad)?);
        grads.push(grad);
    }
    let output = function(&tape, &leaves)?;
    tape.backward_from(&[(&output, upload(&weights, &shape)?)])?;

    let mut findings = Findings {
        probes: 0,
        wrong: Vec::new(),
        unjudged: Vec::new(),
    };
    let mut coverage = Vec::new();
    for (input, (values, input_shape)) in inputs.iter().enumerate() {
        let gradient = grads[input].to_f64()?;
        let probes = options.probes(input, input_shape);
        coverage.push(match (values.len(), probes.len()) {
            (0, _) => Coverage::Unprobed,
            (len, _) if len <= options.full_up_to => Coverage::Full(len),
            (_, directions) => Coverage::Directions(directions),
        });
        for (probe, direction) in
            probes
                .into_iter()
                .skip(planted::or("gradcheck_skips_the_first", 0, 1))
        {
            let moved = |by: f64| -> Result<Vec<f64>, KernelError> {
                let moved: Vec<f64> = values
                    .iter()
                    .zip(&direction)
                    .map(|(value, along)| value + by * along)
                    .collect();
                let mut vars = constants.clone();
                vars[input] = Var::constant(upload(&moved, input_shape)?);
                let output = function(&Tape::new(), &vars)?;
                output
                    .tensor()
                    .check_view("gradcheck", "output", &shape, DType::F64)?;
                output.tensor().to_f64()
            };
            // Differences before their sum: a large element that does not move swallows none that does.
            let (up, down) = (moved(options.step)?, moved(-options.step)?);
            let differences: Vec<f64> = up.iter().zip(&down).map(|(up, down)| up - down).collect();
            let numeric = dot(&differences, &weights) / (2.0 * options.step);
            findings.add(
                Derivative {
                    input,
                    probe,
                    analytic: dot(&gradient, &direction),
                    numeric,
                },
                options.tolerance,
            );
        }
    }
    if findings.wrong.is_empty() && findings.unjudged.is_empty() {
        Ok(coverage)
    } else {
        Err(GradcheckError::Derivatives(findings))
    }
}
