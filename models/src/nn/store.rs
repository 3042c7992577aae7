use super::{Declarations, Init, Kind, Param, Spec};
use crate::random::{Purpose, stream};
use crate::run::NamedTensor;
use ghostlight_autodiff::{Client, DType, KernelError, Tensor};
use ghostlight_kernels::norm::batch_norm;
use ghostlight_kernels::{counting, planted, pointwise};
use rand::{Rng, RngExt};
use std::collections::HashMap;

/// Slices start at multiples of this many elements at least, so that every one is aligned for the widest vectors.
const ALIGNMENT: usize = 16;

/// Why stored tensors do not fit a model.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Names or shapes differ; nothing was taken over.
    #[error(
        "the tensors are not those of this network; was the file written by another architecture?{}{}",
        lists(missing, unexpected, shapes),
        if *of_other_images { OF_OTHER_IMAGES } else { "" }
    )]
    Mismatch {
        /// Tensors of the model that are not among those given.
        missing: Vec<String>,
        /// Tensors that the model does not have.
        unexpected: Vec<String>,
        /// Tensors of other extents: name, extents given, extents wanted, both in PyTorch's layout.
        shapes: Vec<(String, Vec<usize>, Vec<usize>)>,
        /// Whether one of those has as many elements as the size of the images asks for.
        of_other_images: bool,
    },
    /// The device failed.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

const OF_OTHER_IMAGES: &str =
    "\n  the biases by offset have another shape because the file is for images of another size";

/// One line for each list that is not empty.
fn lists(
    missing: &[String],
    unexpected: &[String],
    shapes: &[(String, Vec<usize>, Vec<usize>)],
) -> String {
    const SHOWN: usize = 6;
    let shapes: Vec<String> = shapes
        .iter()
        .map(|(name, got, wanted)| format!("{name} {got:?} where {wanted:?} is wanted"))
        .collect();
    let lists = [
        ("missing", missing),
        ("unexpected", unexpected),
        ("of another shape", &shapes),
    ];
    let line = |(title, names): (&str, &[String])| {
        let shown = names[..names.len().min(SHOWN)].join(", ");
        let rest = match names.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("\n  {title} ({}): {shown}{rest}", names.len())
    };
    let told = lists.into_iter().filter(|(_, names)| !names.is_empty());
    told.map(line).collect()
}

/// All tensors of one model: the parameters in one flat buffer, their gradients in another, the running statistics in a third.
pub struct Store {
    specs: Vec<Spec>,
    /// Where each tensor starts, in its own buffer.
    starts: Vec<usize>,
    /// Elements at the front of `values` and of `running` that hold the gammas of all batch norms and, in the same places, their running
    /// variances.
    scales: usize,
    values: Tensor,
    grads: Tensor,
    decayed: Tensor,
    running: Tensor,
    /// Zeros, ones and minus ones, as many as the model's widest tensor has channels, in the accumulator's type.
    constants: [Tensor; 3],
}

impl Store {
    /// Lays out and initialises the declared tensors, a pure function of `seed` and of `model`, which tells models of one run apart.
    ///
    /// # Errors
    /// [`KernelError::Device`] when the device has no room.
    pub fn new(
        client: &Client,
        dtype: DType,
        declarations: Declarations,
        seed: u64,
        model: u64,
    ) -> Result<Self, KernelError> {
        let specs = declarations.into_specs();
        let alignment = ALIGNMENT.max(Tensor::slice_alignment(client, dtype));
        let Layout {
            starts,
            scales,
            lens,
        } = Layout::of(&specs, alignment);
        let [mut values, mut running] = lens.map(|len| vec![0.0; len]);
        let mut decayed = values.clone();
        for (index, (spec, &start)) in specs.iter().zip(&starts).enumerate() {
            let all = start..start + spec.len();
            let mut random = stream(seed, Purpose::Initialise, model, index as u64);
            let drawn = all.clone().map(|_| draw(spec.init, &mut random));
            if spec.kind.is_running() {
                running.splice(all, drawn);
                continue;
            }
            values.splice(all.clone(), drawn);
            if spec.decays() || planted::is("decay_everywhere") {
                decayed[all].fill(1.0);
            }
        }
        let upload = |values: &[f64]| Tensor::from_f64(client, values, &[values.len()], dtype);
        let values = upload(&values)?;
        Ok(Self {
            grads: Tensor::zeros(client, values.shape(), dtype),
            decayed: upload(&decayed)?,
            running: upload(&running)?,
            constants: constants(client, dtype, &specs),
            values,
            specs,
            starts,
            scales,
        })
    }

    /// The declared tensors laid out on a device that computes nothing, without values: for counting.
    ///
    /// # Errors
    /// None that a caller can cause.
    pub fn blank(declarations: Declarations) -> Result<Self, KernelError> {
        let (client, dtype) = (counting::client(), DType::F32);
        let specs = declarations.into_specs();
        let Layout {
            starts,
            scales,
            lens,
        } = Layout::of(&specs, ALIGNMENT);
        let [values, running] = lens.map(|len| Tensor::empty(&client, &[len], dtype));
        Ok(Self {
            grads: values.clone(),
            decayed: values.clone(),
            constants: constants(&client, dtype, &specs),
            values,
            running,
            specs,
            starts,
            scales,
        })
    }

    /// `channels` zeros and as many ones, in the accumulator's type.
    ///
    /// # Errors
    /// None that a caller can cause.
    pub fn constants(&self, channels: usize) -> Result<[Tensor; 2], KernelError> {
        let [zeros, ones, _] = &self.constants;
        Ok([zeros.slice(0, &[channels])?, ones.slice(0, &[channels])?])
    }

    /// What every batch norm scales by with its running statistics, laid out as the gammas are. One launch, for all of them; `None` where there is no norm.
    ///
    /// # Errors
    /// Those of [`batch_norm::running_scale`].
    pub fn running_scales(&self, epsilon: f64) -> Result<Option<Tensor>, KernelError> {
        if self.scales == 0 {
            return Ok(None);
        }
        let of = |flat: &Tensor| flat.slice(0, &[self.scales]);
        let (gamma, variance) = (of(&self.values)?, of(&self.running)?);
        batch_norm::running_scale(&gamma, &variance, epsilon).map(Some)
    }

    /// The part of [`Store::running_scales`] that the norm of `gamma` has.
    ///
    /// # Errors
    /// None that a caller can cause.
    pub(super) fn running_scale(
        &self,
        scales: &Tensor,
        gamma: Param,
    ) -> Result<Tensor, KernelError> {
        let start = planted::or("scale_of_the_first_norm", self.starts[gamma.0], 0);
        scales.slice(start, &self.specs[gamma.0].shape)
    }

    /// `x` less the parameter `param`, both vectors.
    ///
    /// # Errors
    /// Their lengths differ.
    pub fn less(&self, x: &Tensor, param: Param) -> Result<Tensor, KernelError> {
        let minus_one = self.constants[2].slice(0, &[1])?;
        pointwise::add(x, &pointwise::scale(&self.value(param)?, &minus_one)?)
    }

    /// A tensor's current value; shares the memory.
    ///
    /// # Errors
    /// None that a caller can cause.
    pub fn value(&self, param: Param) -> Result<Tensor, KernelError> {
        let spec = &self.specs[param.0];
        let flat = if spec.kind.is_running() {
            &self.running
        } else {
            &self.values
        };
        flat.slice(self.starts[param.0], &spec.shape)
    }

    /// A parameter's gradient; shares the memory.
    ///
    /// # Errors
    /// None that a caller can cause.
    pub fn grad(&self, param: Param) -> Result<Tensor, KernelError> {
        self.grads
            .slice(self.starts[param.0], &self.specs[param.0].shape)
    }

    /// All parameters, flat.
    pub fn values(&self) -> &Tensor {
        &self.values
    }

    /// All gradients, flat, in the parameters' order.
    pub fn grads(&self) -> &Tensor {
        &self.grads
    }

    /// 1 where weight decay applies, 0 elsewhere, in the parameters' order.
    pub fn decayed(&self) -> &Tensor {
        &self.decayed
    }

    /// What the model declared.
    pub fn specs(&self) -> &[Spec] {
        &self.specs
    }

    /// Trainable elements, as published tables count them: without running statistics.
    pub fn parameter_count(&self) -> usize {
        self.specs
            .iter()
            .filter(|spec| !spec.kind.is_running())
            .map(Spec::len)
            .sum()
    }

    /// Parameters and running statistics under their PyTorch keys, in PyTorch's layout.
    ///
    /// # Errors
    /// [`KernelError::Device`] when a launch before this failed.
    pub fn weights(&self) -> Result<Vec<NamedTensor>, KernelError> {
        let (values, running) = (self.values.to_f32()?, self.running.to_f32()?);
        Ok(self.export(&values, Some(&running)))
    }

    /// A buffer in the parameters' order (a velocity) under the parameters' keys.
    ///
    /// # Errors
    /// [`KernelError::Device`] when a launch before this failed.
    pub fn named(&self, flat: &Tensor) -> Result<Vec<NamedTensor>, KernelError> {
        Ok(self.export(&flat.to_f32()?, None))
    }

    /// Takes over what [`Store::weights`] gave.
    ///
    /// # Errors
    /// [`StoreError::Mismatch`] with everything that is missing, of another shape, or not part of the model.
    pub fn set_weights(&mut self, tensors: &[NamedTensor]) -> Result<(), StoreError> {
        let (mut values, mut running) = (self.values.to_f32()?, self.running.to_f32()?);
        self.import(tensors, &mut values, Some(&mut running))?;
        self.values = like(&self.values, &values)?;
        self.running = like(&self.running, &running)?;
        Ok(())
    }

    /// The flat buffer that [`Store::named`] was given.
    ///
    /// # Errors
    /// [`StoreError::Mismatch`] with everything that is missing, of another shape, or not part of the model.
    pub fn flat(&self, tensors: &[NamedTensor]) -> Result<Tensor, StoreError> {
        let mut flat = vec![0.0; self.values.len()];
        self.import(tensors, &mut flat, None)?;
        Ok(like(&self.values, &flat)?)
    }

    fn export(&self, values: &[f32], running: Option<&[f32]>) -> Vec<NamedTensor> {
        let source = |spec: &Spec| {
            if spec.kind.is_running() {
                running
            } else {
                Some(values)
            }
        };
        self.specs
            .iter()
            .zip(&self.starts)
            .filter_map(|(spec, &start)| {
                let source = source(spec)?;
                let data = spec
                    .torch_order()
                    .into_iter()
                    .map(|i| source[start + i])
                    .collect();
                Some(NamedTensor {
                    name: spec.path.clone(),
                    shape: spec.torch_shape(),
                    data,
                })
            })
            .collect()
    }

    fn import(
        &self,
        tensors: &[NamedTensor],
        values: &mut [f32],
        mut running: Option<&mut [f32]>,
    ) -> Result<(), StoreError> {
        let mut by_name: HashMap<&str, &NamedTensor> = tensors
            .iter()
            .map(|tensor| (tensor.name.as_str(), tensor))
            .collect();
        let (mut missing, mut shapes, mut found) = (Vec::new(), Vec::new(), Vec::new());
        let mut of_other_images = false;
        for (spec, &start) in self.specs.iter().zip(&self.starts) {
            if spec.kind.is_running() && running.is_none() {
                continue;
            }
            let wanted = spec.torch_shape();
            match by_name.remove(spec.path.as_str()) {
                None => missing.push(spec.path.clone()),
                Some(tensor) if tensor.shape != wanted => {
                    of_other_images |= spec.kind == Kind::Offsets;
                    shapes.push((spec.path.clone(), tensor.shape.clone(), wanted));
                }
                Some(tensor) => found.push((spec, start, tensor)),
            }
        }
        let mut unexpected: Vec<String> = by_name.into_keys().map(String::from).collect();
        unexpected.sort();
        if !(missing.is_empty() && unexpected.is_empty() && shapes.is_empty()) {
            return Err(StoreError::Mismatch {
                missing,
                unexpected,
                shapes,
                of_other_images,
            });
        }
        for (spec, start, tensor) in found {
            let target = match (spec.kind.is_running(), &mut running) {
                (true, Some(running)) => &mut running[start..],
                _ => &mut values[start..],
            };
            for (value, i) in tensor.data.iter().zip(spec.torch_order()) {
                target[i] = *value;
            }
        }
        Ok(())
    }
}

/// Where tensors lie in the buffers of values and of running statistics.
struct Layout {
    starts: Vec<usize>,
    /// As [`Store`] has it.
    scales: usize,
    /// Elements of both buffers.
    lens: [usize; 2],
}

impl Layout {
    /// In the order of their declaration, behind what scales are made of.
    fn of(specs: &[Spec], alignment: usize) -> Self {
        let (mut starts, mut lens) = (vec![0; specs.len()], [0; 2]);
        let mut scales = 0;
        for first in [true, false] {
            let of = |(_, spec): &(usize, &Spec)| spec.kind.makes_scales() == first;
            for (index, spec) in specs.iter().enumerate().filter(of) {
                let len = &mut lens[usize::from(spec.kind.is_running())];
                starts[index] = *len;
                *len = (*len + spec.len()).next_multiple_of(alignment);
            }
            if first {
                scales = lens[0];
                // Else a norm would silently scale by another one's variance.
                assert_eq!(lens, [scales; 2], "each gamma has a variance");
            }
        }
        lens[1] = lens[1].max(alignment);
        Self {
            starts,
            scales,
            lens,
        }
    }
}

/// `values` in a tensor of the device, shape and element type of `tensor`.
fn like(tensor: &Tensor, values: &[f32]) -> Result<Tensor, KernelError> {
    let (client, shape) = (tensor.client(), tensor.shape());
    if tensor.dtype() == DType::F32 {
        return Tensor::from_f32(client, values, shape);
    }
    let wide: Vec<f64> = values.iter().map(|&value| f64::from(value)).collect();
    Tensor::from_f64(client, &wide, shape, tensor.dtype())
}

fn constants(client: &Client, dtype: DType, specs: &[Spec]) -> [Tensor; 3] {
    let widest = specs.iter().filter_map(|spec| spec.shape.last());
    let len = widest.copied().max().unwrap_or(1).max(1);
    let filled = |value: f64| {
        let tensor = Tensor::empty(client, &[len], dtype.accumulator());
        pointwise::fill(&tensor, value);
        tensor
    };
    [filled(0.0), filled(1.0), filled(-1.0)]
}

fn draw(init: Init, random: &mut impl Rng) -> f64 {
    match init {
        Init::Constant(value) => value,
        Init::Uniform(bound) => random.random_range(-bound..=bound),
        Init::Normal(deviation) => {
            // Box and Muller 1958; 1 - u keeps the logarithm's argument above 0.
            let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
            deviation * radius * (std::f64::consts::TAU * random.random::<f64>()).cos()
        }
    }
}
