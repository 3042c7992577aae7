use crate::{Function, Gradients, Step};
use ghostlight_kernels::conv::dense::{self, ConvOptions, ConvProblem, cost};
use ghostlight_kernels::{Cost, KernelError, Tensor, planted};

/// Dense convolution of `[x [n, h, w, ci], weight [kh, kw, ci, co]]`; see [`dense`].
#[derive(Debug, Clone, Copy)]
pub struct Conv {
    /// Stride and padding.
    pub options: ConvOptions,
}

impl Function for Conv {
    type Saved = [Tensor; 2];

    fn name(&self) -> &'static str {
        "conv"
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<Self::Saved>, KernelError> {
        let [x, weight] = [inputs[0], inputs[1]];
        let output = dense::conv(x, weight, self.options)?;
        let cost = ConvProblem::new(x, weight, self.options)?.cost();
        Ok(Step {
            output,
            saved: [x.clone(), weight.clone()],
            cost,
        })
    }

    fn backward(
        &self,
        saved: Self::Saved,
        grad: &Tensor,
        needs: &[bool],
    ) -> Result<Gradients, KernelError> {
        self.backward_onto(saved, grad, needs, &mut [None, None])
    }

    fn backward_onto(
        &self,
        [x, weight]: Self::Saved,
        grad: &Tensor,
        needs: &[bool],
        present: &mut [Option<Tensor>],
    ) -> Result<Gradients, KernelError> {
        let problem = ConvProblem::new(&x, &weight, self.options)?;
        let mut found = Gradients {
            inputs: vec![None, None],
            cost: Cost::default(),
        };
        if needs[0] {
            found.cost += cost::grad_input(&problem);
            found.inputs[0] = Some(match present[0].take_if(|present| !present.is_window()) {
                None => dense::grad_input(&x, &weight, grad, self.options)?,
                Some(plus) => {
                    found.cost += Cost::traffic(plus.len(), 0, plus.dtype().size());
                    if planted::is("conv_drops_another_branch") {
                        dense::grad_input(&x, &weight, grad, self.options)?
                    } else {
                        dense::grad_input_plus(&x, &weight, grad, self.options, plus)?
                    }
                }
            });
        }
        if needs[1] {
            found.inputs[1] = Some(dense::grad_weight(&x, &weight, grad, self.options)?);
            found.cost += cost::grad_weight(&problem);
        }
        Ok(found)
    }
}
