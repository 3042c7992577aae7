use crate::Profile;
use ghostlight_autodiff::ops::CrossEntropy;
use ghostlight_autodiff::{Client, DType, Labels, Sgd, Tape, Tensor, Var, check};
use ghostlight_kernels::KernelError;
use ghostlight_kernels::optim::sgd::SgdOptions;
use ghostlight_models::nn::Mode;
use ghostlight_models::zoo::{Architecture, Network, ZooError};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Medians and extremes over repeated steps.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// The median step.
    pub median: Duration,
    /// The fastest step.
    pub low: Duration,
    /// The slowest step.
    pub high: Duration,
    /// The first step of all, kernels compiled included.
    pub first: Duration,
}

/// A network with a batch of images to step over: what `torch_baseline.py train` times in PyTorch.
pub struct Bench {
    network: Network,
    optimiser: Sgd,
    images: Tensor,
    labels: Labels,
    client: Client,
}

impl Bench {
    /// `arch` for 10 classes and a batch of `batch` random images of `size` pixels.
    ///
    /// # Errors
    /// An unknown architecture; a device without room.
    pub fn new(client: &Client, arch: &str, batch: usize, size: usize) -> Result<Self, ZooError> {
        let network = Network::new(
            client,
            DType::F32,
            Architecture::new(arch, 10).images(size, size),
            0,
            0,
        )?;
        let optimiser = Sgd::new(network.store.values());
        let shape = [batch, size, size, 3];
        let values: Vec<f32> = check::values(1, shape.iter().product())
            .into_iter()
            .map(|v| v as f32)
            .collect();
        let images = Tensor::from_f32(client, &values, &shape)?;
        let classes: Vec<u32> = (0..batch as u32).map(|i| i % 10).collect();
        let labels = Labels::new(client, &classes, 10)?;
        Ok(Self {
            network,
            optimiser,
            images,
            labels,
            client: client.clone(),
        })
    }

    /// Forward, loss, backward and SGD; waits for the loss.
    ///
    /// # Errors
    /// Those of the kernels.
    pub fn train(&mut self, tape: &Tape) -> Result<(), KernelError> {
        let images = Var::constant(self.images.clone());
        let logits = self.network.forward(tape, Mode::Train, &images)?;
        let loss = CrossEntropy {
            labels: self.labels.clone(),
            smoothing: 0.0,
        };
        let loss = tape.apply(loss, &[&logits])?;
        tape.backward(&[(&loss, 1.0)])?;
        let options = SgdOptions {
            learning_rate: 0.01,
            momentum: 0.9,
            weight_decay: 5e-4,
            nesterov: false,
        };
        let store = &self.network.store;
        self.optimiser
            .step(store.values(), store.grads(), store.decayed(), &options)?;
        loss.tensor().to_f32()?;
        self.wait();
        Ok(())
    }

    /// Forward with running statistics; waits for the logits.
    ///
    /// # Errors
    /// Those of the kernels.
    pub fn infer(&self, tape: &Tape) -> Result<(), KernelError> {
        let images = Var::constant(self.images.clone());
        self.network
            .forward(tape, Mode::Infer, &images)?
            .tensor()
            .to_f32()?;
        Ok(())
    }

    /// Times `count` calls of `step` after 2 that warm up.
    ///
    /// # Errors
    /// Those of `step`.
    pub fn time(
        &mut self,
        count: usize,
        mut step: impl FnMut(&mut Self) -> Result<(), KernelError>,
    ) -> Result<Timing, KernelError> {
        let mut timed = || {
            let start = Instant::now();
            step(self).map(|()| start.elapsed())
        };
        let first = timed()?;
        timed()?;
        let mut times = (0..count.max(1))
            .map(|_| timed())
            .collect::<Result<Vec<_>, _>>()?;
        times.sort();
        let (low, high) = (times[0], times[times.len() - 1]);
        Ok(Timing {
            median: times[times.len() / 2],
            low,
            high,
            first,
        })
    }

    /// Where the time of one training step goes.
    ///
    /// # Errors
    /// Those of the kernels.
    pub fn profile(&mut self) -> Result<Rc<RefCell<Profile>>, KernelError> {
        let profile = Rc::new(RefCell::new(Profile::new(&self.client)));
        let tape = Tape::observed(profile.clone());
        self.wait();
        profile.borrow_mut().restart();
        self.train(&tape)?;
        Ok(profile)
    }

    fn wait(&self) {
        // A failed launch shows when the results are read.
        let _ = cubecl::future::block_on(self.client.sync());
    }
}

/// The network, batch and side of its images that `case` names, as `ARCH:BATCH:SIZE`.
///
/// # Errors
/// Text of another form.
pub fn parse(case: &str) -> Result<(&str, usize, usize), String> {
    let wrong = || format!("{case:?} is no case; write ARCH:BATCH:SIZE, as resnet8:128:64");
    let mut parts = case.split(':');
    let arch = parts
        .next()
        .filter(|arch| !arch.is_empty())
        .ok_or_else(wrong)?;
    let mut number = || {
        parts
            .next()
            .and_then(|n| n.parse().ok())
            .filter(|&n: &usize| n > 0)
    };
    let (batch, size) = (number().ok_or_else(wrong)?, number().ok_or_else(wrong)?);
    if parts.next().is_some() {
        Err(wrong())
    } else {
        Ok((arch, batch, size))
    }
}
