use crate::{Function, Gradients, Step};
use ghostlight_kernels::conv::dense::{self, Affine, ConvOptions, ConvProblem, cost};
use ghostlight_kernels::matmul::gemm::grad_bias_in;
use ghostlight_kernels::pointwise::activation;
use ghostlight_kernels::{Clamp, Cost, KernelError, Tensor};

/// Dense convolution with bias, `act(x * weight + bias)`, of `[x [n, h, w, ci], weight [kh, kw, ci, co], bias [co]]`, in one launch; see
/// [`dense::conv_affine`].
#[derive(Debug, Clone)]
pub struct ConvBias {
    /// Stride and padding.
    pub options: ConvOptions,
    /// What bounds the result.
    pub clamp: Clamp,
    /// `co` zeros, of the accumulator's type.
    pub zeros: Tensor,
    /// `co` ones, of the accumulator's type.
    pub ones: Tensor,
}

impl Function for ConvBias {
    /// `x`, the weight, and the result where it is bounded.
    type Saved = (Tensor, Tensor, Option<Tensor>);

    fn name(&self) -> &'static str {
        "conv_bias"
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<Self::Saved>, KernelError> {
        let [x, weight, bias] = [inputs[0], inputs[1], inputs[2]];
        let affine = Affine {
            centre: &self.zeros,
            scale: &self.ones,
            shift: bias,
            residual: None,
            clamp: self.clamp,
        };
        let output = dense::conv_affine(x, weight, self.options, &affine)?;
        let cost = ConvProblem::new(x, weight, self.options)?.cost()
            + Cost::traffic(3 * bias.len(), 0, x.dtype().size());
        Ok(Step {
            saved: (
                x.clone(),
                weight.clone(),
                (self.clamp != Clamp::None).then(|| output.clone()),
            ),
            output,
            cost,
        })
    }

    fn backward(
        &self,
        (x, weight, y): Self::Saved,
        grad: &Tensor,
        needs: &[bool],
    ) -> Result<Gradients, KernelError> {
        let problem = ConvProblem::new(&x, &weight, self.options)?;
        let mut found = Gradients {
            inputs: vec![None; 3],
            cost: Cost::default(),
        };
        let through = match &y {
            // The result is at a bound where what was clamped was there or past it.
            Some(y) => {
                let kind = self.clamp.activation();
                found.cost += activation::cost::backward(y.len(), y.dtype(), kind);
                activation::backward(y, grad, kind)?
            }
            None => grad.clone(),
        };
        if needs[0] {
            let gradient = dense::grad_input(&x, &weight, &through, self.options)?;
            found.inputs[0] = Some(gradient);
            found.cost += cost::grad_input(&problem);
        }
        if needs[1] {
            let gradient = dense::grad_weight(&x, &weight, &through, self.options)?;
            found.inputs[1] = Some(gradient);
            found.cost += cost::grad_weight(&problem);
        }
        if needs[2] {
            // The bias is one of the affine maps.
            let wide = through.dtype().accumulator();
            found.inputs[2] = Some(grad_bias_in(&through.rows(), wide)?);
            let channels = problem.out_channels;
            found.cost += Cost::traffic(through.len(), channels, through.dtype().size());
        }
        Ok(found)
    }
}
