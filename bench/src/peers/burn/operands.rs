use super::{Images, Row};
use crate::input::Input;
use crate::peers::linked::{Read, Timed, Work};
use burn_tensor::{Gradients, Int, Tensor, TensorData};

/// Where NHWC's axes lie in NCHW.
const TO_NCHW: [isize; 4] = [0, 3, 1, 2];
const TO_NHWC: [isize; 4] = [0, 2, 3, 1];

/// A draw of the operands, as burn's tensors.
pub struct Operands<'a> {
    pub row: &'a Row,
    inputs: &'a [Input],
    values: &'a [Vec<f32>],
}

impl<'a> Operands<'a> {
    pub fn new(row: &'a Row, inputs: &'a [Input], values: &'a [Vec<f32>]) -> Self {
        Self {
            row,
            inputs,
            values,
        }
    }

    /// An operand in our layout.
    pub fn tensor<const D: usize>(&self, i: usize) -> Tensor<D> {
        let data = TensorData::new(self.values[i].clone(), self.inputs[i].shape.clone());
        Tensor::from_data(data, &self.row.device)
    }

    /// An NHWC operand as burn's images are.
    pub fn image(&self, i: usize) -> Tensor<4> {
        self.of_ours(self.tensor(i))
    }

    /// NHWC as burn's images are.
    pub fn of_ours(&self, image: Tensor<4>) -> Tensor<4> {
        let seen = image.permute(TO_NCHW);
        match self.row.images {
            Images::Theirs => self.in_memory(seen),
            Images::Converted | Images::Seen => seen,
        }
    }

    /// `[kh, kw, ci, co]` weights as burn's, `[co, ci, kh, kw]`.
    pub fn weight(&self, i: usize) -> Tensor<4> {
        self.in_memory(self.tensor::<4>(i).permute([3, 2, 0, 1]))
    }

    /// The same tensor, its memory in the order of its axes.
    pub fn in_memory<const D: usize>(&self, tensor: Tensor<D>) -> Tensor<D> {
        Tensor::from_data(tensor.into_data(), &self.row.device)
    }

    /// Classes.
    pub fn labels(&self, i: usize) -> Tensor<1, Int> {
        let labels: Vec<i32> = self.values[i].iter().map(|&label| label as i32).collect();
        Tensor::from_data(TensorData::from(labels.as_slice()), &self.row.device)
    }

    /// A call of `run` alone.
    pub fn work(&self, run: impl Fn(&Row) -> Vec<Read> + Clone + 'static) -> Work {
        let row = self.row.clone();
        Box::new(move || {
            let (run, row) = (run.clone(), row.clone());
            Ok(timed(row, run))
        })
    }

    /// A backward pass from the scalar that `forward` computes before the clock starts.
    pub fn backward(
        &self,
        forward: impl Fn() -> Tensor<1> + 'static,
        grads: impl Fn(&Gradients) -> Vec<Read> + Clone + 'static,
    ) -> Work {
        let row = self.row.clone();
        Box::new(move || {
            let (scalar, grads) = (forward(), grads.clone());
            row.device.sync().map_err(|error| format!("{error:?}"))?;
            Ok(timed(row.clone(), move |_| grads(&scalar.backward())))
        })
    }
}

/// A tensor whose gradient is wanted.
pub fn leaf<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    tensor.autodiff().require_grad()
}

/// Reads the gradient of a leaf.
pub fn of<const D: usize>(leaf: &Tensor<D>, grads: &Gradients) -> Read {
    match leaf.grad(grads) {
        Some(grad) => read(grad),
        None => no_gradient(),
    }
}

fn no_gradient() -> Read {
    Box::new(|| Err("there is no gradient".into()))
}

/// Runs to the end of the device's work.
pub fn timed(row: Row, run: impl FnOnce(&Row) -> Vec<Read> + 'static) -> Timed {
    Box::new(move || {
        let results = run(&row);
        row.device.sync().map_err(|error| format!("{error:?}"))?;
        Ok(results)
    })
}

impl Row {
    /// Reads an NCHW result. Where layouts are converted, that is done here and now.
    pub fn image(&self, result: Tensor<4>) -> Read {
        let ours = result.permute(TO_NHWC);
        match self.images {
            Images::Converted => {
                let data = ours.into_data();
                Box::new(move || values(data.clone()))
            }
            Images::Theirs | Images::Seen => read(ours),
        }
    }

    /// Reads the gradient of an NCHW leaf.
    pub fn image_of(&self, leaf: &Tensor<4>, grads: &Gradients) -> Read {
        match leaf.grad(grads) {
            Some(grad) => self.image(grad),
            None => no_gradient(),
        }
    }
}

/// Reads a result that has our layout.
pub fn read<const D: usize>(result: Tensor<D>) -> Read {
    Box::new(move || values(result.clone().into_data()))
}

fn values(data: TensorData) -> Result<Vec<f64>, String> {
    let values = data
        .try_to_vec::<f32>()
        .map_err(|error| format!("{error:?}"))?;
    Ok(values.into_iter().map(f64::from).collect())
}
