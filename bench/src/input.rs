use ghostlight_autodiff::{Client, DType, KernelError, Labels, Tensor, check};
use ghostlight_kernels::pointwise::activation::{Activation, activation_into};
use std::ops::Index;

/// One operand of a measured call: how to make it, so that every contender gets the same numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// Its shape, in our layout.
    pub shape: Vec<usize>,
    /// What is in it.
    pub content: Content,
}

/// What an operand holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Content {
    /// Values between two bounds, the same for the same seed on every machine.
    Uniform {
        /// Tells operands of one problem apart.
        seed: u64,
        /// The lower bound.
        low: f64,
        /// The upper bound.
        high: f64,
    },
    /// Classes of samples, spread over all of them.
    Labels {
        /// How many classes there are.
        classes: usize,
    },
}

impl Input {
    /// Values between -1 and 1.
    pub fn random(seed: u64, shape: &[usize]) -> Self {
        Self::between(seed, shape, -1.0, 1.0)
    }

    /// Values between two bounds.
    pub fn between(seed: u64, shape: &[usize], low: f64, high: f64) -> Self {
        Self {
            shape: shape.to_vec(),
            content: Content::Uniform { seed, low, high },
        }
    }

    /// `[n]` classes of `classes`.
    pub fn labels(n: usize, classes: usize) -> Self {
        Self {
            shape: vec![n],
            content: Content::Labels { classes },
        }
    }

    /// Elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values of a draw, exactly as an f32 holds them; another draw has others.
    pub fn values(&self, draw: u64) -> Vec<f32> {
        match self.content {
            Content::Uniform { seed, low, high } => check::values(seed + 1000 * draw, self.len())
                .into_iter()
                .map(|value| (low + (value + 1.0) / 2.0 * (high - low)) as f32)
                .collect(),
            Content::Labels { classes } => (0..self.len())
                .map(|i| ((i * 7919 + 13 * draw as usize) % classes) as f32)
                .collect(),
        }
    }
}

/// A draw of all inputs of a problem.
pub fn draw(inputs: &[Input], draw: u64) -> Vec<Vec<f32>> {
    inputs.iter().map(|input| input.values(draw)).collect()
}

/// The operands on our device. `operands[i]` is the `i`-th input's tensor.
#[derive(Debug, Clone)]
pub struct Operands(Vec<Operand>);

#[derive(Debug, Clone)]
enum Operand {
    Tensor(Tensor),
    Labels(Labels),
}

impl Operands {
    /// Brings a draw of `inputs` to the device.
    ///
    /// # Errors
    /// Those of the tensors and labels.
    pub fn new(
        client: &Client,
        inputs: &[Input],
        values: &[Vec<f32>],
    ) -> Result<Self, KernelError> {
        let made = inputs.iter().zip(values).map(|(input, values)| {
            Ok(match input.content {
                Content::Uniform { .. } => {
                    Operand::Tensor(Tensor::from_f32(client, values, &input.shape)?)
                }
                Content::Labels { classes } => {
                    let labels: Vec<u32> = values.iter().map(|&label| label as u32).collect();
                    Operand::Labels(Labels::new(client, &labels, classes)?)
                }
            })
        });
        Ok(Self(made.collect::<Result<_, KernelError>>()?))
    }

    /// Another draw in the memory of this one; labels get memory of their own.
    ///
    /// # Errors
    /// Those of the tensors and labels.
    pub(crate) fn rewritten(
        &self,
        client: &Client,
        inputs: &[Input],
        values: &[Vec<f32>],
    ) -> Result<Self, KernelError> {
        let mut next = Self::new(client, inputs, values)?;
        for (new, old) in next.0.iter_mut().zip(&self.0) {
            if let (Operand::Tensor(new), Operand::Tensor(old)) = (new, old) {
                activation_into(new, Activation::Identity, old)?;
                *new = old.clone();
            }
        }
        Ok(next)
    }

    /// Room for `inputs`, undefined but for labels, which are all the first class. What has more than one axis is stored as `dtype`; what
    /// belongs to a channel stays as it is, see `docs/runtimes.md`.
    ///
    /// # Errors
    /// Those of the labels.
    #[cfg(feature = "inspect")]
    pub(crate) fn empty(
        client: &Client,
        inputs: &[Input],
        dtype: DType,
    ) -> Result<Self, KernelError> {
        let made = inputs.iter().map(|input| {
            let dtype = if input.shape.len() > 1 { dtype } else { DTYPE };
            Ok(match input.content {
                Content::Uniform { .. } => {
                    Operand::Tensor(Tensor::empty(client, &input.shape, dtype))
                }
                Content::Labels { classes } => {
                    Operand::Labels(Labels::new(client, &vec![0; input.len()], classes)?)
                }
            })
        });
        Ok(Self(made.collect::<Result<_, KernelError>>()?))
    }

    /// The labels among the inputs, of which there is one.
    ///
    /// # Panics
    /// There are none.
    pub fn labels(&self) -> &Labels {
        self.0
            .iter()
            .find_map(|operand| match operand {
                Operand::Labels(labels) => Some(labels),
                Operand::Tensor(_) => None,
            })
            .expect("the problem has labels among its inputs")
    }

    /// What the tensors hold now; labels are left out.
    ///
    /// # Errors
    /// A launch on them failed.
    pub fn read(&self) -> Result<Vec<Vec<f64>>, KernelError> {
        let tensors = self.0.iter().filter_map(|operand| match operand {
            Operand::Tensor(tensor) => Some(tensor.to_f64()),
            Operand::Labels(_) => None,
        });
        tensors.collect()
    }
}

impl Index<usize> for Operands {
    type Output = Tensor;

    fn index(&self, index: usize) -> &Tensor {
        match &self.0[index] {
            Operand::Tensor(tensor) => tensor,
            Operand::Labels(_) => panic!("input {index} holds labels"),
        }
    }
}

/// The type of all measured tensors.
pub const DTYPE: DType = DType::F32;
