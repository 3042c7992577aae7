use crate::{Function, Gradients, Step};
use ghostlight_kernels::conv::depthwise::{self, DepthwiseOptions, DepthwiseProblem, cost};
use ghostlight_kernels::{Cost, KernelError, Tensor};

/// Depthwise convolution of `[x [n, h, w, c], weight [kh, kw, c m]]` or `[x, weight, bias [c m]]`; see [`depthwise`].
#[derive(Debug, Clone, Copy)]
pub struct Depthwise {
    /// Stride, dilation and padding.
    pub options: DepthwiseOptions,
}

impl Function for Depthwise {
    type Saved = [Tensor; 2];

    fn name(&self) -> &'static str {
        "depthwise"
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<Self::Saved>, KernelError> {
        let ([x, weight], bias) = ([inputs[0], inputs[1]], inputs.get(2).copied());
        let output = depthwise::depthwise(x, weight, bias, self.options)?;
        let cost = DepthwiseProblem::new(x, weight, self.options)?.cost();
        Ok(Step {
            output,
            saved: [x.clone(), weight.clone()],
            cost,
        })
    }

    fn backward(
        &self,
        [x, weight]: Self::Saved,
        grad: &Tensor,
        needs: &[bool],
    ) -> Result<Gradients, KernelError> {
        let problem = DepthwiseProblem::new(&x, &weight, self.options)?;
        let mut found = Gradients {
            inputs: vec![None; needs.len()],
            cost: Cost::default(),
        };
        if needs[0] {
            let grad = depthwise::grad_input(&x, &weight, grad, self.options)?;
            found.inputs[0] = Some(grad);
            found.cost += cost::grad_input(&problem);
        }
        if needs.get(2).is_some_and(|&bias| bias) {
            let both = depthwise::grad_weight_and_bias(&x, &weight, grad, self.options)?;
            let [by_weight, by_bias] = both;
            found.inputs[1] = needs[1].then_some(by_weight);
            found.inputs[2] = Some(by_bias);
            found.cost += cost::grad_weight(&problem);
        } else if needs[1] {
            let grad = depthwise::grad_weight(&x, &weight, grad, self.options)?;
            found.inputs[1] = Some(grad);
            found.cost += cost::grad_weight(&problem);
        }
        Ok(found)
    }
}
