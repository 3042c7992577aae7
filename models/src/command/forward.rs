use super::error::CommandError;
use super::output::note;
use crate::nn::Mode;
use crate::run::NamedTensor;
use crate::weights::{self, WeightsError};
use crate::zoo::{Architecture, Network, ZooError};
use clap::Args;
use ghostlight_autodiff::{Client, DType, Tape, Tensor, Var};
use std::path::{Path, PathBuf};

#[derive(Args)]
pub(super) struct ForwardArguments {
    /// The network; `ghostlight models` lists them.
    #[arg(long)]
    arch: String,
    /// Its weights, under the keys of PyTorch's state dict; as many classes as its classifier has.
    #[arg(long)]
    weights: PathBuf,
    /// The batch: a safetensors file with `x` `[images, 3, height, width]`.
    #[arg(long)]
    input: PathBuf,
    /// Where `logits`, stages and gradients go, as safetensors.
    #[arg(long)]
    out: PathBuf,
    /// Stages whose outputs are written too, by their names, parted by commas.
    #[arg(long, value_delimiter = ',')]
    features: Vec<String>,
    /// Use the batch's statistics, drop nothing all the same, and write the gradients of the mean of the logits' squares under `grad.<path>`, and running
    /// statistics after the pass under their paths.
    #[arg(long)]
    train: bool,
    /// Leave the file's classifier out, and start this many classes anew.
    #[arg(long, value_name = "CLASSES")]
    new_head: Option<usize>,
}

pub(super) fn run(arguments: &ForwardArguments) -> Result<(), CommandError> {
    let client = cubecl::Device::default().client();
    crate::zoo::check(&arguments.arch)?;
    let (images, image) = batch(&client, &arguments.input)?;
    let network = network(&client, arguments, image)?;
    let mode = match arguments.train {
        true => Mode::Train,
        false => Mode::Infer,
    };
    let wanted: Vec<&str> = arguments.features.iter().map(String::as_str).collect();
    let tape = Tape::new();
    let pass = network.forward_with_stages(&tape, mode, &images, &wanted);
    let (logits, stages) = match pass {
        Err(ZooError::Kernel(source)) => {
            return Err(CommandError::Size {
                arch: arguments.arch.clone(),
                height: image[0],
                width: image[1],
                source,
            });
        }
        other => other?,
    };
    let mut out = vec![channels_first("logits", logits.tensor())?];
    for (name, stage) in arguments.features.iter().zip(&stages) {
        out.push(channels_first(name, stage.tensor())?);
    }
    if arguments.train {
        let len = logits.tensor().len() as f32;
        let seed: Vec<f32> = logits
            .tensor()
            .to_f32()?
            .iter()
            .map(|z| 2.0 * z / len)
            .collect();
        let seed = Tensor::from_f32(&client, &seed, logits.tensor().shape())?;
        tape.backward_from(&[(&logits, seed)])?;
        let store = &network.store;
        let grads = store.named(store.grads())?.into_iter();
        out.extend(grads.map(|grad| NamedTensor {
            name: format!("grad.{}", grad.name),
            ..grad
        }));
        let running = |tensor: &NamedTensor| tensor.name.contains(".running_");
        out.extend(store.weights()?.into_iter().filter(running));
    }
    weights::write(&arguments.out, &out)?;
    note(format_args!(
        "wrote {} tensors to {}",
        out.len(),
        arguments.out.display()
    ));
    Ok(())
}

/// The network for images of `height` x `width`, with the file's weights.
fn network(
    client: &Client,
    arguments: &ForwardArguments,
    [height, width]: [usize; 2],
) -> Result<Network, CommandError> {
    let for_classes = |classes| Architecture::new(&arguments.arch, classes).images(height, width);
    let path = &arguments.weights;
    let mut tensors = weights::read(path)?;
    weights::check_finite(path, &tensors)?;
    let mismatch = |source| CommandError::Mismatch {
        path: path.display().to_string(),
        source,
    };
    let sketch = Network::sketch(for_classes(2))?;
    let head = sketch.head()?;
    let in_head = |tensor: &NamedTensor| head.contains(&tensor.name);
    // A file of another architecture has no classifier of this one's name: the lists of what does not fit say so below.
    let classes = arguments.new_head.unwrap_or_else(|| {
        let found = tensors.iter().find(|tensor| in_head(tensor));
        found
            .and_then(|tensor| tensor.shape.first().copied())
            .unwrap_or(2)
    });
    let mut network = Network::new(client, DType::F32, for_classes(classes), 0, 0)?;
    if arguments.new_head.is_some() {
        tensors.retain(|tensor| !in_head(tensor));
        let fresh = network.store.weights()?;
        tensors.extend(fresh.into_iter().filter(in_head));
    }
    network.store.set_weights(&tensors).map_err(mismatch)?;
    Ok(network)
}

/// The images of the file at `path`, channels last, and their height and width.
fn batch(client: &Client, path: &Path) -> Result<(Var, [usize; 2]), CommandError> {
    let tensors = weights::read(path)?;
    let Some(x) = tensors.iter().find(|tensor| tensor.name == "x") else {
        return Err(WeightsError::Missing {
            path: path.to_path_buf(),
            name: "x".to_string(),
            found: tensors.into_iter().map(|tensor| tensor.name).collect(),
        }
        .into());
    };
    let [n, 3, h, w] = x.shape[..] else {
        return Err(not_images(path, x));
    };
    if x.data.is_empty() {
        return Err(not_images(path, x));
    }
    let pixels = h * w;
    let mut values = vec![0.0; x.data.len()];
    for (i, value) in x.data.iter().enumerate() {
        let (image, rest) = (i / (3 * pixels), i % (3 * pixels));
        let (channel, pixel) = (rest / pixels, rest % pixels);
        values[(image * pixels + pixel) * 3 + channel] = *value;
    }
    let images = Tensor::from_f32(client, &values, &[n, h, w, 3])?;
    Ok((Var::constant(images), [h, w]))
}

fn not_images(path: &Path, x: &NamedTensor) -> CommandError {
    CommandError::Batch {
        path: path.display().to_string(),
        got: x.shape.clone(),
    }
}

/// `tensor` in PyTorch's order: a map with its channels outside of its pixels.
fn channels_first(name: &str, tensor: &Tensor) -> Result<NamedTensor, CommandError> {
    let values = tensor.to_f32()?;
    let [n, h, w, c] = tensor.shape()[..] else {
        return Ok(NamedTensor {
            name: name.to_string(),
            shape: tensor.shape().to_vec(),
            data: values,
        });
    };
    let pixels = h * w;
    let of = |i: usize| {
        let (image, rest) = (i / (c * pixels), i % (c * pixels));
        let (channel, pixel) = (rest / pixels, rest % pixels);
        values[(image * pixels + pixel) * c + channel]
    };
    Ok(NamedTensor {
        name: name.to_string(),
        shape: vec![n, c, h, w],
        data: (0..values.len()).map(of).collect(),
    })
}
