//! One call of a function, forwards and backwards, in one circumstance.

use super::Circumstance;
use crate::{Client, DType, Function, KernelError, Tape, Tensor, Var};

/// The operands of a call on the host.
pub(super) struct Operands<'a> {
    pub client: &'a Client,
    /// The values, shape and element type of each input.
    pub inputs: Vec<(&'a [f64], &'a [usize], DType)>,
    /// What arrives at each input from elsewhere where something does.
    pub arrived: &'a [Vec<f64>],
    /// Channels before and behind a window.
    pub around: [usize; 2],
    /// Whether there is no backward pass.
    pub inference: bool,
}

/// What a call came to.
pub(super) struct Called {
    /// The output.
    pub value: Tensor,
    /// Its gradient, on the host.
    pub grad: Vec<f64>,
    /// The gradient of each input that needs one.
    pub grads: Vec<Option<Tensor>>,
    /// The tensors that hold the inputs, larger than these where they are windows.
    pub held: Vec<Held>,
}

/// A tensor, and what was written to it.
pub(super) struct Held {
    pub tensor: Tensor,
    pub values: Vec<f64>,
}

impl Held {
    fn new(
        client: &Client,
        values: Vec<f64>,
        shape: &[usize],
        dtype: DType,
    ) -> Result<Self, KernelError> {
        let tensor = Tensor::from_f64(client, &values, shape, dtype)?;
        Ok(Self { tensor, values })
    }

    /// `values` as a window of a larger tensor that holds NaN around it: what is read there spoils the result.
    fn surrounded(
        client: &Client,
        values: &[f64],
        shape: &[usize],
        dtype: DType,
        [before, behind]: [usize; 2],
    ) -> Result<Self, KernelError> {
        let mut wide = shape.to_vec();
        let channels = wide.last_mut().map_or(0, |channels| {
            *channels += before + behind;
            *channels - before - behind
        });
        let mut all = vec![f64::NAN; wide.iter().product()];
        let pixels = all.chunks_mut(before + channels + behind);
        for (pixel, own) in pixels.zip(values.chunks(channels.max(1))) {
            pixel[before..][..channels].copy_from_slice(own);
        }
        Self::new(client, all, &wide, dtype)
    }
}

impl Operands<'_> {
    /// Calls `function` through a tape, or, for a gradient that is a window, by itself.
    ///
    /// `grad` makes the output's gradient from the output.
    ///
    /// # Errors
    /// Those of the function.
    pub fn call<F: Function>(
        &self,
        function: F,
        circumstance: &Circumstance,
        grad: impl Fn(&Tensor) -> Vec<f64>,
    ) -> Result<Called, KernelError> {
        if *circumstance == Circumstance::GradientWindow {
            return self.call_directly(&function, grad);
        }
        let (client, tape) = (self.client, Tape::new());
        let (mut vars, mut grads, mut held) = (Vec::new(), Vec::new(), Vec::new());
        for (k, &(values, shape, dtype)) in self.inputs.iter().enumerate() {
            let needed = match circumstance {
                Circumstance::Needs(inputs) => inputs.contains(&k),
                _ => !self.inference,
            };
            let window = *circumstance == Circumstance::Window(k);
            let own = match window {
                true => Held::surrounded(client, values, shape, dtype, self.around)?,
                false => Held::new(client, values.to_vec(), shape, dtype)?,
            };
            let gradient = Tensor::zeros(client, own.tensor.shape(), dtype);
            let whole = match needed {
                true => tape.leaf(&own.tensor, &gradient)?,
                false => Var::constant(own.tensor.clone()),
            };
            let channels = shape.last().copied().unwrap_or(1);
            let (var, gradient) = match window {
                true => (
                    tape.window(&whole, self.around[0], channels)?,
                    gradient.window(self.around[0], channels)?,
                ),
                false => (whole, gradient),
            };
            vars.push(var);
            grads.push(needed.then_some(gradient));
            held.push(own);
        }
        let value = tape.apply(function, &vars.iter().collect::<Vec<_>>())?;
        let grad = grad(value.tensor());
        if value.needs_grad() {
            let seed = |values: &[f64], of: &Tensor| {
                Tensor::from_f64(client, values, of.shape(), of.dtype())
            };
            let mut seeds = vec![(&value, seed(&grad, value.tensor())?)];
            if *circumstance == Circumstance::Arrived {
                for (var, arrived) in vars.iter().zip(self.arrived) {
                    seeds.push((var, seed(arrived, var.tensor())?));
                }
            }
            tape.backward_from(&seeds)?;
        }
        Ok(Called {
            value: value.tensor().clone(),
            grad,
            grads,
            held,
        })
    }

    fn call_directly<F: Function>(
        &self,
        function: &F,
        grad: impl Fn(&Tensor) -> Vec<f64>,
    ) -> Result<Called, KernelError> {
        let client = self.client;
        let held = self
            .inputs
            .iter()
            .map(|&(values, shape, dtype)| Held::new(client, values.to_vec(), shape, dtype));
        let held = held.collect::<Result<Vec<_>, _>>()?;
        let tensors: Vec<&Tensor> = held.iter().map(|held| &held.tensor).collect();
        let step = function.forward(&tensors)?;
        let value = step.output;
        let grad = grad(&value);
        let (shape, [before, _]) = (value.shape(), self.around);
        let wide = Held::surrounded(client, &grad, shape, value.dtype(), self.around)?;
        let window = wide
            .tensor
            .window(before, shape.last().copied().unwrap_or(1))?;
        let (needs, mut present) = (vec![true; tensors.len()], vec![None; tensors.len()]);
        let found = function.backward_onto(step.saved, &window, &needs, &mut present)?;
        Ok(Called {
            value,
            grad,
            grads: found.inputs,
            held,
        })
    }
}
