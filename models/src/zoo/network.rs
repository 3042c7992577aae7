use super::{Architecture, ZooError, build};
use crate::nn::{Declarations, Kept, Mode, Model, Pass, Randomness, Store};
use ghostlight_autodiff::{Client, DType, Event, KernelError, Tape, Tensor, Var};
use ghostlight_kernels::launch;
use ghostlight_kernels::pointwise::fill;
use std::cell::RefCell;
use std::rc::Rc;

/// A network with its parameters.
pub struct Network {
    /// Its name in the registry.
    pub arch: String,
    /// Height and width of the images that it was built for, in pixels.
    pub image: [usize; 2],
    /// Its parameters.
    pub store: Store,
    /// What [`Pass::fused`] of its training steps is: true unless somebody compares.
    pub fused: bool,
    model: Box<dyn Model>,
}

/// What a network costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Trainable elements.
    pub params: usize,
    /// Multiply-accumulates of one image.
    pub macs: u64,
}

impl Network {
    /// Builds `arch`, initialised from `seed`; `role` tells the networks of one run apart.
    ///
    /// # Errors
    /// [`ZooError::Unknown`] for a name that no family knows, [`ZooError::Kernel`] when the device has no room.
    pub fn new(
        client: &Client,
        dtype: DType,
        arch: Architecture,
        seed: u64,
        role: u64,
    ) -> Result<Self, ZooError> {
        let mut declarations = Declarations::default();
        let model = build(arch, declarations.root())?;
        let store = Store::new(client, dtype, declarations, seed, role)?;
        Ok(Self {
            arch: arch.name.to_string(),
            image: arch.image,
            store,
            fused: true,
            model,
        })
    }

    /// `arch` on a device that computes nothing ([`ghostlight_kernels::counting`]): it has sizes, but no values.
    ///
    /// # Errors
    /// [`ZooError::Unknown`].
    pub fn sketch(arch: Architecture) -> Result<Self, ZooError> {
        let mut declarations = Declarations::default();
        let model = build(arch, declarations.root())?;
        Ok(Self {
            arch: arch.name.to_string(),
            image: arch.image,
            store: Store::blank(declarations)?,
            fused: true,
            model,
        })
    }

    /// Maps images `[n, h, w, 3]` to logits `[n, classes]` on `tape`, and drops nothing on the way in either mode.
    ///
    /// # Errors
    /// Those of the kernels.
    pub fn forward(&self, tape: &Tape, mode: Mode, images: &Var) -> Result<Var, KernelError> {
        Ok(self.run(tape, mode, None, images, &[])?.0)
    }

    /// [`Network::forward`] of a training step, which drops what `randomness` says.
    ///
    /// # Errors
    /// Those of the kernels.
    pub fn forward_dropping(
        &self,
        tape: &Tape,
        randomness: Randomness,
        images: &Var,
    ) -> Result<Var, KernelError> {
        Ok(self
            .run(tape, Mode::Train, Some(randomness), images, &[])?
            .0)
    }

    /// [`Network::forward_dropping`], and the outputs of the stages `wanted`, in their order.
    ///
    /// # Errors
    /// As those of [`Network::forward_with_stages`].
    pub fn forward_training(
        &self,
        tape: &Tape,
        randomness: Randomness,
        images: &Var,
        wanted: &[&str],
    ) -> Result<(Var, Vec<Var>), ZooError> {
        let (logits, kept) = self.run(tape, Mode::Train, Some(randomness), images, wanted)?;
        self.stages_of(logits, kept, wanted)
    }

    /// [`Network::forward`], and the outputs of the stages `wanted`, in their order.
    ///
    /// # Errors
    /// [`ZooError::Stage`] for the first stage that the network does not offer, [`ZooError::Kernel`] for what the kernels refuse.
    pub fn forward_with_stages(
        &self,
        tape: &Tape,
        mode: Mode,
        images: &Var,
        wanted: &[&str],
    ) -> Result<(Var, Vec<Var>), ZooError> {
        let (logits, kept) = self.run(tape, mode, None, images, wanted)?;
        self.stages_of(logits, kept, wanted)
    }

    fn stages_of(
        &self,
        logits: Var,
        kept: Kept,
        wanted: &[&str],
    ) -> Result<(Var, Vec<Var>), ZooError> {
        let (found, stages) = kept.into_parts();
        let of = |&name: &&str| {
            let value = found.iter().find(|(stage, _)| stage == name);
            value
                .map(|(_, y)| y.clone())
                .ok_or_else(|| ZooError::Stage {
                    arch: self.arch.clone(),
                    name: name.to_string(),
                    stages: stages.clone(),
                })
        };
        Ok((logits, wanted.iter().map(of).collect::<Result<_, _>>()?))
    }

    fn run(
        &self,
        tape: &Tape,
        mode: Mode,
        randomness: Option<Randomness>,
        images: &Var,
        wanted: &[&str],
    ) -> Result<(Var, Kept), KernelError> {
        let mut pass = Pass::new(tape, &self.store, mode);
        pass.randomness = randomness;
        pass.fused = self.fused;
        pass.kept = RefCell::new(Kept::of(wanted));
        let logits = self.model.forward(&pass, images)?;
        Ok((logits, pass.kept.into_inner()))
    }

    /// The names of the stages that [`Network::forward_with_stages`] knows, in the order in which they come.
    ///
    /// # Errors
    /// Those of the kernels: the images that it was built for are too small.
    pub fn stages(&self) -> Result<Vec<String>, ZooError> {
        let sketch = Self::sketch(self.architecture(2))?;
        let image = sketch.images(1);
        let (_, kept) = sketch.run(&Tape::new(), Mode::Infer, None, &image, &[])?;
        Ok(kept.into_parts().1)
    }

    /// The stages of `arch` whose outputs are maps, in the order in which they come: name, and height, width and channels.
    ///
    /// # Errors
    /// [`ZooError::Unknown`], and those of the kernels: images that are too small.
    pub fn maps(arch: Architecture) -> Result<Vec<(String, [usize; 3])>, ZooError> {
        let sketch = Self::sketch(arch)?;
        let image = sketch.images(1);
        let stages = sketch.stages()?;
        let wanted: Vec<&str> = stages.iter().map(String::as_str).collect();
        let (_, kept) = sketch.run(&Tape::new(), Mode::Infer, None, &image, &wanted)?;
        let map = |(name, value): (String, Var)| match *value.tensor().shape() {
            [_, height, width, channels] => Some((name, [height, width, channels])),
            _ => None,
        };
        Ok(kept.into_parts().0.into_iter().filter_map(map).collect())
    }

    /// The same network for another number of classes.
    fn architecture(&self, classes: usize) -> Architecture<'_> {
        let [height, width] = self.image;
        Architecture::new(&self.arch, classes).images(height, width)
    }

    /// The tensors whose extents follow from the number of classes: the classifier, by its paths.
    ///
    /// # Errors
    /// None that a caller can cause.
    pub fn head(&self) -> Result<Vec<String>, ZooError> {
        let [one, two] = [2, 3].map(|classes| Self::sketch(self.architecture(classes)));
        let (one, two) = (one?, two?);
        let specs = one.store.specs().iter().zip(two.store.specs());
        let head = specs.filter(|(one, two)| one.shape != two.shape);
        Ok(head.map(|(spec, _)| spec.path.clone()).collect())
    }

    /// Bytes that one training step of `batch` images holds at most, beside parameters, their gradients and the optimiser's memory: what
    /// the backward pass needs of the forward pass, and gradients on their way. `fused` as in [`Network::fused`].
    ///
    /// # Errors
    /// Those of the kernels.
    pub fn step_bytes(arch: Architecture, batch: usize, fused: bool) -> Result<u64, ZooError> {
        let mut sketch = Self::sketch(arch)?;
        sketch.fused = fused;
        let [before, _] = launch::held_and_peak();
        launch::reset_peak();
        let tape = Tape::new();
        let randomness = Randomness::of_step(0, 0, 0, 0, None);
        let logits = sketch.forward_dropping(&tape, randomness, &sketch.images(batch))?;
        tape.backward(&[(&logits, 1.0)])?;
        let [_, peak] = launch::held_and_peak();
        Ok(peak.saturating_sub(before))
    }

    /// Black images on the network's device.
    fn images(&self, batch: usize) -> Var {
        let [height, width] = self.image;
        let values = self.store.values();
        let images = Tensor::empty(values.client(), &[batch, height, width, 3], values.dtype());
        fill(&images, 0.0);
        Var::constant(images)
    }

    /// Parameters, and multiply-accumulates of one image, as the kernels themselves count them.
    ///
    /// # Errors
    /// Those of the kernels.
    pub fn size(&self) -> Result<Size, KernelError> {
        let events = self.events(1)?;
        Ok(Size {
            params: self.store.parameter_count(),
            macs: events.iter().map(|event| event.cost.macs).sum(),
        })
    }

    /// The operations of inference on `batch` black images, in order.
    ///
    /// # Errors
    /// Those of the kernels.
    pub fn events(&self, batch: usize) -> Result<Vec<Event>, KernelError> {
        let events = Rc::new(RefCell::new(Vec::<Event>::new()));
        let tape = Tape::observed(events.clone());
        self.forward(&tape, Mode::Infer, &self.images(batch))?;
        Ok(events.take())
    }
}
