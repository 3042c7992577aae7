use crate::{Function, Gradients, Step};
use ghostlight_kernels::conv::grouped::{self, ConvOptions, GroupedProblem, cost};
use ghostlight_kernels::{Cost, KernelError, Tensor};

/// Grouped convolution of `[x [n, h, w, ci], weight [kh, kw, ci / groups, co]]`; see [`grouped`].
#[derive(Debug, Clone, Copy)]
pub struct GroupedConv {
    /// Groups, which divide the channels in and out.
    pub groups: usize,
    /// Stride and padding.
    pub options: ConvOptions,
}

impl Function for GroupedConv {
    type Saved = [Tensor; 2];

    fn name(&self) -> &'static str {
        "grouped_conv"
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<Self::Saved>, KernelError> {
        let [x, weight] = [inputs[0], inputs[1]];
        let output = grouped::conv(x, weight, self.groups, self.options)?;
        let cost = GroupedProblem::new(x, weight, self.groups, self.options)?.cost();
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
        let (groups, options) = (self.groups, self.options);
        let problem = GroupedProblem::new(&x, &weight, groups, options)?;
        let mut found = Gradients {
            inputs: vec![None, None],
            cost: Cost::default(),
        };
        if needs[0] {
            let gradient = grouped::grad_input(&x, &weight, grad, groups, options)?;
            found.inputs[0] = Some(gradient);
            found.cost += cost::grad_input(&problem);
        }
        if needs[1] {
            let gradient = grouped::grad_weight(&x, &weight, grad, groups, options)?;
            found.inputs[1] = Some(gradient);
            found.cost += cost::grad_weight(&problem);
        }
        Ok(found)
    }
}
