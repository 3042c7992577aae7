use crate::{Function, Gradients, Step};
use ghostlight_kernels::attention::partition::{self, PartitionKind, PartitionProblem, cost};
use ghostlight_kernels::{KernelError, Tensor};

/// `[x [n, h, w, c]]` cut into samples of tokens; see [`partition`].
#[derive(Debug, Clone, Copy)]
pub struct Partition {
    /// Which pixels make a sample.
    pub kind: PartitionKind,
    /// Height and width of a block.
    pub size: [usize; 2],
}

impl Function for Partition {
    type Saved = PartitionProblem;

    fn name(&self) -> &'static str {
        "partition"
    }

    fn reads_windows(&self) -> bool {
        true
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<Self::Saved>, KernelError> {
        let x = inputs[0];
        let output = partition::partition(x, self.kind, self.size)?;
        let map = x.dims_view(self.name(), "x", "[n, h, w, c]")?;
        let saved = PartitionProblem::new(map, x.dtype(), self.kind, self.size)?;
        Ok(Step {
            output,
            saved,
            cost: cost::partition(&saved),
        })
    }

    fn backward(
        &self,
        problem: Self::Saved,
        grad: &Tensor,
        _needs: &[bool],
    ) -> Result<Gradients, KernelError> {
        let [_, h, w, _] = problem.map_shape();
        let input = partition::merge(grad, self.kind, self.size, [h, w])?;
        Ok(Gradients {
            inputs: vec![Some(input)],
            cost: cost::merge(&problem),
        })
    }
}

/// `[tokens [samples, tokens of a sample, c]]` put together to a map `[n, h, w, c]`; see [`partition`].
#[derive(Debug, Clone, Copy)]
pub struct Merge {
    /// Which pixels make a sample.
    pub kind: PartitionKind,
    /// Height and width of a block.
    pub size: [usize; 2],
    /// Height and width of the map.
    pub map: [usize; 2],
}

impl Function for Merge {
    type Saved = PartitionProblem;

    fn name(&self) -> &'static str {
        "merge"
    }

    fn reads_windows(&self) -> bool {
        true
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<Self::Saved>, KernelError> {
        let tokens = inputs[0];
        let output = partition::merge(tokens, self.kind, self.size, self.map)?;
        let map = output.nhwc(self.name(), "y")?;
        let saved = PartitionProblem::new(map, tokens.dtype(), self.kind, self.size)?;
        Ok(Step {
            output,
            saved,
            cost: cost::merge(&saved),
        })
    }

    fn backward(
        &self,
        problem: Self::Saved,
        grad: &Tensor,
        _needs: &[bool],
    ) -> Result<Gradients, KernelError> {
        Ok(Gradients {
            inputs: vec![Some(partition::partition(grad, self.kind, self.size)?)],
            cost: cost::partition(&problem),
        })
    }
}
