use crate::nn::{Init, Kind, Param, Pass, Path};
use ghostlight_autodiff::ops;
use ghostlight_autodiff::{KernelError, Var};

/// How PyTorch stores the weight of a fully connected layer, and what its input was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flatten {
    /// A row of features: `[out, in]`.
    Row,
    /// A row of features, as the 1x1 map of a convolution: `[out, in, 1, 1]`.
    Pixel,
    /// A map of this height and width, flattened with its pixels innermost: `[out, c h w]`.
    Map([usize; 2]),
}

/// A fully connected layer, with or without bias.
pub struct Linear {
    weight: Param,
    bias: Option<Param>,
    output: usize,
    input: usize,
}

impl Linear {
    /// Declares a layer from `input` to `output` features, initialised as PyTorch's.
    pub fn new(path: Path, input: usize, output: usize) -> Self {
        Self::of(path, Flatten::Row, input, output)
    }

    /// Declares a layer without bias.
    pub fn unbiased(path: Path, input: usize, output: usize) -> Self {
        Self::declare(path, Flatten::Row, input, output, false)
    }

    /// Declares a layer of `input` features, channels of the map where `flatten` is one.
    pub fn of(path: Path, flatten: Flatten, channels: usize, output: usize) -> Self {
        Self::declare(path, flatten, channels, output, true)
    }

    fn declare(
        mut path: Path,
        flatten: Flatten,
        channels: usize,
        output: usize,
        biased: bool,
    ) -> Self {
        let (kind, shape) = match flatten {
            Flatten::Row => (Kind::Linear, vec![channels, output]),
            Flatten::Pixel => (Kind::Pointwise, vec![channels, output]),
            Flatten::Map([h, w]) => (Kind::OfMap, vec![h, w, channels, output]),
        };
        let input = shape.iter().product::<usize>() / output.max(1);
        let bound = 1.0 / (input as f64).sqrt();
        let init = Init::Uniform(bound);
        Self {
            weight: path.declare("weight", &shape, kind, init),
            bias: biased.then(|| path.declare("bias", &[output], Kind::Vector, init)),
            input,
            output,
        }
    }

    /// `[.., input]` to `[.., output]`, the features of every pixel, or token, by themselves.
    ///
    /// # Errors
    /// Those of the kernel; of more axes than two, `x` is a window.
    pub fn forward(&self, pass: &Pass, x: &Var) -> Result<Var, KernelError> {
        let weight = pass.param_as(self.weight, &[self.input, self.output])?;
        let bias = self.bias.map(|bias| pass.param(bias)).transpose()?;
        let apply = |rows: &Var| {
            let inputs: Vec<&Var> = [rows, &weight].into_iter().chain(&bias).collect();
            pass.tape.apply(ops::Linear, &inputs)
        };
        let shape = x.tensor().shape();
        if shape.len() <= 2 {
            return apply(x);
        }
        let mut output = shape.to_vec();
        output.splice(shape.len() - 1.., [self.output]);
        let rows = reshape(pass, x, &[x.tensor().pixels(), shape[shape.len() - 1]])?;
        reshape(pass, &apply(&rows)?, &output)
    }
}

/// `x` under another shape, in the same memory.
///
/// # Errors
/// `x` is a window, or the number of elements differs.
pub fn reshape(pass: &Pass, x: &Var, shape: &[usize]) -> Result<Var, KernelError> {
    let shape = shape.to_vec();
    pass.tape.apply(ops::Reshape { shape }, &[x])
}

/// `x` `[n, ..]` as `[n, features]`.
///
/// # Errors
/// `x` is a window.
pub fn flatten(pass: &Pass, x: &Var) -> Result<Var, KernelError> {
    let images = x.tensor().shape().first().copied().unwrap_or(1);
    let features = x.tensor().len() / images.max(1);
    reshape(pass, x, &[images, features])
}
