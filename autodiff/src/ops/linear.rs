use crate::{Function, Gradients, Step};
use ghostlight_kernels::matmul::gemm::{self, GemmProblem, cost};
use ghostlight_kernels::{Cost, KernelError, Tensor};

/// A fully connected layer `[x [m, k], weight [k, n], bias [n]]`, or `[x, weight]` without bias, to `[m, n]`; see [`gemm`].
#[derive(Debug, Clone, Copy)]
pub struct Linear;

impl Function for Linear {
    type Saved = [Tensor; 2];

    fn name(&self) -> &'static str {
        "linear"
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<Self::Saved>, KernelError> {
        let ([x, weight], bias) = ([inputs[0], inputs[1]], inputs.get(2).copied());
        let output = gemm::gemm(x, weight, bias)?;
        let cost = cost::forward(&GemmProblem::new(x, weight, bias)?);
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
        let problem = GemmProblem::new(&x, &weight, None)?;
        let mut found = Gradients {
            inputs: vec![None; needs.len()],
            cost: Cost::default(),
        };
        if needs[0] {
            found.inputs[0] = Some(gemm::grad_a(&x, &weight, grad)?);
            found.cost += cost::grad_a(&problem);
        }
        if needs[1] {
            found.inputs[1] = Some(gemm::grad_b(&x, &weight, grad)?);
            found.cost += cost::grad_b(&problem);
        }
        if needs.get(2).is_some_and(|&bias| bias) {
            found.inputs[2] = Some(gemm::grad_bias(grad)?);
            found.cost += Cost::traffic(grad.len(), problem.n, problem.dtype.size());
        }
        Ok(found)
    }
}
