//! A check of a whole [`Function`]: [`Check`] here, one call of it in `call.rs`, what is right in `reference.rs`, what is not in
//! `difference.rs`.

mod call;
mod difference;
mod reference;
mod run;

pub use difference::{Circumstance, Difference, Differences, Subject};

use crate::{Client, DType, Function, KernelError};
use reference::Reference;

/// Makes a function for a call on operands of an element type.
type Make<'a, F> = Box<dyn Fn(&Client, DType) -> Result<F, KernelError> + 'a>;

/// Checks everything that a [`Function`] promises, at given inputs, against its mathematics in f64.
///
/// ```text
/// Check::of(SoftSign)
///     .inputs([(values(1, 24), vec![4, 6])])
///     .reference(|x| x[0].iter().map(|x| x / (1.0 + x.abs())).collect())
///     .run(&client)?;
/// ```
///
/// In every element type that the device stores, on operands rounded to it and on memory full of NaN, it compares the value and the gradient of
/// every input
/// - with every subset of the inputs needing one (of more than four inputs: each alone, all but each, and all);
/// - with gradients that had already arrived at the inputs from elsewhere;
/// - with each input, and the output's gradient, as a channel window of a larger tensor, where the function takes windows: its bits then are
///   those of whole tensors, and what lies around a window is neither read nor written;
/// - in a second call, whose bits are those of the first.
///
/// Nobody may write to an input. Where the function is linear in an input ([`Check::linear_in`]), the inner product of output and output's gradient
/// is that of input and gradient. The reference's own gradient is held against its values, along a random direction.
///
/// **How far a result may be off.** A unit of rounding of the element type, times [`Check::terms`]' error of a naive sum, times the
/// element's magnitude: its own size, and by how much it changes for each operand's element by itself when that is moved by as much as it is large.
/// For a sum of products this is the sum of their magnitudes, and for anything else its condition: what a backward stable kernel does. Where a
/// function keeps intermediate results that cancel (a softmax in its saturation), [`Check::magnitude`] says the size of its terms instead.
pub struct Check<'a, F> {
    make: Make<'a, F>,
    inputs: Vec<(Vec<f64>, Vec<usize>)>,
    wide: Vec<usize>,
    grad: Option<Vec<f64>>,
    reference: Reference<'a>,
    terms: usize,
    factor: f64,
    floor: f64,
    linear_in: Vec<usize>,
    dtypes: Vec<DType>,
    seed: u64,
    sampled: bool,
    spoiled: bool,
}

/// What a [`Check`] that found nothing has looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The element types.
    pub dtypes: Vec<DType>,
    /// How often the function was called.
    pub calls: usize,
    /// How many elements of values and gradients were held against the reference.
    pub elements: usize,
    /// Which inputs may be channel windows; the function refused the others as such.
    pub windows: Vec<usize>,
}

/// Why a function is not believed.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// Results differ from what they should be: all that do.
    #[error("{0}")]
    Differs(Differences),
    /// There was nothing to compare, or nothing to compare it with: what is missing.
    #[error("nothing was checked: {0}")]
    Unprobed(String),
    /// The function itself failed, in these words of where.
    #[error("{0}: {1}")]
    Failed(String, KernelError),
    /// The device failed, or the inputs fill no tensor.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

impl<'a, F: Function> Check<'a, F> {
    /// A check of `function`, which every call gets a clone of.
    pub fn of(function: F) -> Self
    where
        F: Clone + 'a,
    {
        Self::with(move |_, _| Ok(function.clone()))
    }

    /// A check of the function that `make` makes for each call: one that holds tensors, of the element type that it is told.
    pub fn with(make: impl Fn(&Client, DType) -> Result<F, KernelError> + 'a) -> Self {
        Self {
            make: Box::new(make),
            inputs: Vec::new(),
            wide: Vec::new(),
            grad: None,
            reference: Reference::default(),
            terms: 1,
            factor: 1.0,
            floor: 0.0,
            linear_in: Vec::new(),
            dtypes: DType::ALL.to_vec(),
            seed: 1,
            sampled: false,
            spoiled: false,
        }
    }

    /// The inputs: values with their shape.
    pub fn inputs(mut self, inputs: impl IntoIterator<Item = (Vec<f64>, Vec<usize>)>) -> Self {
        self.inputs = inputs.into_iter().collect();
        self
    }

    /// Those inputs that are stored in 32 bits where the others are stored in 16.
    pub fn wide(mut self, inputs: &[usize]) -> Self {
        self.wide = inputs.to_vec();
        self
    }

    /// The gradient of the output, instead of random numbers.
    pub fn output_gradient(mut self, grad: Vec<f64>) -> Self {
        self.grad = Some(grad);
        self
    }

    /// The value, from the inputs.
    pub fn reference(mut self, value: impl Fn(&[Vec<f64>]) -> Vec<f64> + 'a) -> Self {
        self.reference.value = Some(Box::new(value));
        self
    }

    /// The gradient of each input, from the inputs and the output's gradient. Without it central differences of the reference's values are taken:
    /// enough for inputs of some hundred elements that lie off every kink.
    pub fn gradient(
        mut self,
        gradient: impl Fn(&[Vec<f64>], &[f64]) -> Vec<Vec<f64>> + 'a,
    ) -> Self {
        self.reference.gradient = Some(Box::new(gradient));
        self
    }

    /// The magnitude of the terms that each element is made of, of the value and then of each input's gradient, from the inputs and
    /// the output's gradient.
    pub fn magnitude(
        mut self,
        magnitude: impl Fn(&[Vec<f64>], &[f64]) -> Vec<Vec<f64>> + 'a,
    ) -> Self {
        self.reference.magnitude = Some(Box::new(magnitude));
        self
    }

    /// The most terms that one element of a value or gradient is the sum of.
    pub fn terms(mut self, terms: usize) -> Self {
        self.terms = terms;
        self
    }

    /// Allows `factor` times the error: for a kernel whose steps are known to cost it that much.
    pub fn factor(mut self, factor: f64) -> Self {
        self.factor = factor;
        self
    }

    /// Adds to every magnitude `share` of the largest element of the value, or for gradients of the sum of the output gradient's magnitudes: for
    /// results whose terms cancel by construction, as those of a shift before a norm.
    pub fn floor(mut self, share: f64) -> Self {
        self.floor = share;
        self
    }

    /// The function is linear in each of these inputs, the others held.
    pub fn linear_in(mut self, inputs: &[usize]) -> Self {
        self.linear_in = inputs.to_vec();
        self
    }

    /// Only these element types, of those that the device stores.
    pub fn dtypes(mut self, dtypes: &[DType]) -> Self {
        self.dtypes = dtypes.to_vec();
        self
    }

    /// The function has no backward pass: only its value is checked.
    pub fn inference(mut self) -> Self {
        self.reference.inference = true;
        self
    }

    /// The seed of all that is random.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Takes, by the seed, one of the element types and one circumstance beside the plain call: for those who check thousands of problems.
    pub fn sampled(mut self) -> Self {
        self.sampled = true;
        self
    }

    /// An operand holds what is not finite: a result that is not finite then only has to be that, as a sum of infinities comes to one or to no
    /// number by its order.
    pub fn spoiled(mut self) -> Self {
        self.spoiled = true;
        self
    }
}
