use super::Images;
use crate::input::Input;
use crate::peers::linked::{Read, Timed, Work};
use candle_core::backprop::GradStore;
use candle_core::{Device, Error, Tensor, Var};

/// A draw of the operands, as candle's tensors.
pub struct Operands<'a> {
    pub images: Images,
    pub inputs: &'a [Input],
    pub values: &'a [Vec<f32>],
}

impl Operands<'_> {
    /// An operand in our layout.
    pub fn tensor(&self, i: usize) -> Result<Tensor, String> {
        let shape = self.inputs[i].shape.clone();
        Tensor::from_vec(self.values[i].clone(), shape, &Device::Cpu).map_err(in_words)
    }

    /// An operand in another order of axes.
    pub fn permuted(&self, i: usize, axes: &[usize]) -> Result<Tensor, String> {
        let permuted = self.tensor(i)?.permute(axes);
        permuted.and_then(|t| t.contiguous()).map_err(in_words)
    }

    /// An NHWC operand: NCHW, or as it is where that is brought about within the call.
    pub fn image(&self, i: usize) -> Result<Tensor, String> {
        match self.images {
            Images::Theirs => self.permuted(i, &[0, 3, 1, 2]),
            Images::Converted => self.tensor(i),
        }
    }

    /// A call of `run` alone.
    pub fn work(&self, run: impl Fn() -> candle_core::Result<Vec<Read>> + Clone + 'static) -> Work {
        Box::new(move || {
            let run = run.clone();
            Ok(timed(run))
        })
    }

    /// A backward pass from the scalar that `forward` computes before the clock starts.
    pub fn backward(
        &self,
        forward: impl Fn() -> candle_core::Result<Tensor> + 'static,
        grads: impl Fn(&GradStore) -> candle_core::Result<Vec<Read>> + Clone + 'static,
    ) -> Work {
        Box::new(move || {
            let (scalar, grads) = (forward().map_err(in_words)?, grads.clone());
            Ok(timed(move || grads(&scalar.backward()?)))
        })
    }
}

fn timed(run: impl FnOnce() -> candle_core::Result<Vec<Read>> + 'static) -> Timed {
    Box::new(move || run().map_err(in_words))
}

impl Images {
    /// What [`Operands::image`] gave, as candle wants it.
    pub fn theirs(self, image: &Tensor) -> candle_core::Result<Tensor> {
        match self {
            Self::Theirs => Ok(image.clone()),
            Self::Converted => image.permute([0, 3, 1, 2])?.contiguous(),
        }
    }

    /// Reads an NCHW result. Where layouts are converted, that is done here and now.
    pub fn read(self, result: &Tensor) -> candle_core::Result<Read> {
        let ours = result.permute([0, 2, 3, 1])?;
        match self {
            Self::Theirs => Ok(read(&ours)),
            Self::Converted => Ok(read(&ours.contiguous()?)),
        }
    }

    /// Reads the gradient of a leaf that [`Operands::image`] gave.
    pub fn read_of(self, leaf: &Var, grads: &GradStore) -> candle_core::Result<Read> {
        let grad = grad(leaf, grads)?;
        match self {
            Self::Theirs => self.read(&grad),
            // The leaf is NHWC.
            Self::Converted => Ok(read(&grad.contiguous()?)),
        }
    }
}

/// Reads a result that has our layout.
pub fn read(result: &Tensor) -> Read {
    let result = result.clone();
    Box::new(move || {
        let values = result.flatten_all().and_then(|flat| flat.to_vec1::<f32>());
        Ok(values
            .map_err(in_words)?
            .into_iter()
            .map(f64::from)
            .collect())
    })
}

/// The gradient of a leaf.
pub fn grad(leaf: &Var, grads: &GradStore) -> candle_core::Result<Tensor> {
    let grad = grads.get(leaf).cloned();
    grad.ok_or_else(|| Error::Msg("there is no gradient".into()))
}

/// A tensor whose gradient is wanted.
pub fn leaf(tensor: &Tensor) -> Result<Var, String> {
    Var::from_tensor(tensor).map_err(in_words)
}

fn in_words(error: Error) -> String {
    error.to_string()
}
