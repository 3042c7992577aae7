use super::case::{CLASSES, Case, Kind};
use crate::Profile;
use ghostlight_autodiff::ops::{CrossEntropy, Distill};
use ghostlight_autodiff::{
    Client, Cost, DType, Event, KernelError, Labels, Sgd, Tape, Tensor, Var, check,
};
use ghostlight_kernels::loss::distill::{CrossEntropyOptions, DistillOptions, TeacherTerms};
use ghostlight_kernels::loss::kd::KdOptions;
use ghostlight_kernels::optim::sgd::{self, SgdOptions};
use ghostlight_models::nn::{Mode, Randomness};
use ghostlight_models::zoo::{Architecture, Network, ZooError};
use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

const OPTIONS: SgdOptions = SgdOptions {
    learning_rate: 0.01,
    momentum: 0.9,
    weight_decay: 5e-4,
    nesterov: false,
};

/// What a [`Case`] does, with a batch of random images to do it to: what `peers/torch_steps.py` does in PyTorch.
pub struct Workload {
    kind: Kind,
    network: Network,
    teacher: Option<Network>,
    optimiser: Option<Sgd>,
    images: Tensor,
    labels: Labels,
    client: Client,
    steps: usize,
}

impl Workload {
    /// The networks of `case`, for 10 classes, and its images.
    ///
    /// # Errors
    /// An unknown architecture; a device without room.
    pub fn new(client: &Client, case: &Case) -> Result<Self, ZooError> {
        let &Case {
            kind, batch, side, ..
        } = case;
        let network = |name, role| {
            let arch = Architecture::new(name, CLASSES).images(side, side);
            Network::new(client, DType::F32, arch, 0, role)
        };
        let teacher = case.teacher.as_deref().map(|name| network(name, 1));
        let network = network(&case.network, 0)?;
        let shape = [batch, side, side, 3];
        let values = check::values(1, shape.iter().product());
        let values: Vec<f32> = values.into_iter().map(|v| v as f32).collect();
        let classes: Vec<u32> = (0..batch).map(|i| (i % CLASSES) as u32).collect();
        Ok(Self {
            kind,
            teacher: teacher.transpose()?,
            optimiser: (kind != Kind::Infer).then(|| Sgd::new(network.store.values())),
            images: Tensor::from_f32(client, &values, &shape)?,
            labels: Labels::new(client, &classes, CLASSES)?,
            client: client.clone(),
            steps: 0,
            network,
        })
    }

    /// The same, whose training steps leave normalised maps to the operations that read them, or not.
    pub fn fused(mut self, fused: bool) -> Self {
        self.network.fused = fused;
        self
    }

    /// How many parameters the network has, and how many its teacher.
    pub fn parameters(&self) -> Vec<usize> {
        let networks = [Some(&self.network), self.teacher.as_ref()];
        let networks = networks.into_iter().flatten();
        networks.map(|it| it.store.parameter_count()).collect()
    }

    /// One step, whose operations `tape` gets, the teacher's too; waits for its loss or its logits.
    ///
    /// # Errors
    /// Those of the kernels.
    pub fn step(&mut self, tape: &Tape) -> Result<(), KernelError> {
        let images = Var::constant(self.images.clone());
        let Some(optimiser) = &mut self.optimiser else {
            let logits = self.network.forward(tape, Mode::Infer, &images)?;
            return logits.tensor().to_f32().map(drop);
        };
        let answers = match &self.teacher {
            Some(teacher) => Some(teacher.forward(tape, Mode::Infer, &images)?),
            None => None,
        };
        let randomness = Randomness::of_step(0, 0, 0, self.steps, None);
        let logits = self.network.forward_dropping(tape, randomness, &images)?;
        let loss = match answers {
            None => {
                let labels = self.labels.clone();
                let smoothing = 0.0;
                tape.apply(CrossEntropy { labels, smoothing }, &[&logits])?
            }
            Some(answers) => {
                let terms = TeacherTerms {
                    kd: Some(KdOptions::default()),
                    ..TeacherTerms::default()
                };
                let op = Distill {
                    teachers: vec![answers.tensor().clone()],
                    labels: Some(self.labels.clone()),
                    factors: None,
                    options: DistillOptions {
                        cross_entropy: Some(CrossEntropyOptions::default()),
                        teachers: vec![terms],
                    },
                    terms: Rc::new(OnceCell::new()),
                };
                tape.apply(op, &[&logits])?
            }
        };
        tape.backward(&[(&loss, 1.0)])?;
        let store = &self.network.store;
        optimiser.step(store.values(), store.grads(), store.decayed(), &OPTIONS)?;
        self.steps += 1;
        loss.tensor().to_f32()?;
        self.wait();
        Ok(())
    }

    /// What each operation of a step costs, the optimiser's among them; takes one.
    ///
    /// # Errors
    /// Those of the kernels.
    pub fn costs(&mut self) -> Result<Vec<Cost>, KernelError> {
        let events = Rc::new(RefCell::new(Vec::<Event>::new()));
        self.step(&Tape::observed(events.clone()))?;
        let mut costs: Vec<Cost> = events.take().into_iter().map(|event| event.cost).collect();
        if self.kind != Kind::Infer {
            let values = self.network.store.values();
            costs.push(sgd::cost::step(values.len(), values.dtype()));
        }
        Ok(costs)
    }

    /// Where the time of one step goes.
    ///
    /// # Errors
    /// Those of the kernels.
    pub fn profile(&mut self) -> Result<Rc<RefCell<Profile>>, KernelError> {
        let profile = Rc::new(RefCell::new(Profile::new(&self.client)));
        let tape = Tape::observed(profile.clone());
        self.wait();
        profile.borrow_mut().restart();
        self.step(&tape)?;
        Ok(profile)
    }

    fn wait(&self) {
        // A failed launch shows when the results are read.
        let _ = cubecl::future::block_on(self.client.sync());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload(case: &str) -> Workload {
        let case = &Case::of(case).expect(case)[0];
        Workload::new(&cubecl::Device::default().client(), case).expect("a network")
    }

    #[test]
    fn every_kind_of_step_runs_and_knows_its_costs() {
        let macs = |case| -> u64 {
            let costs = workload(case).costs().expect(case);
            costs.iter().map(|cost| cost.macs).sum()
        };
        let inferred = macs("infer:resnet8:4:16");
        // The backward pass has two products for each of the forward pass, save the image's gradient.
        let trained = macs("train:resnet8:4:16");
        assert!(
            (2 * inferred..3 * inferred).contains(&trained),
            "{trained} of {inferred}"
        );
        let taught = macs("distill:resnet8:resnet20:4:16");
        assert_eq!(taught, trained + macs("infer:resnet20:4:16"));
    }

    #[test]
    fn a_training_step_moves_the_parameters_and_a_teacher_stays_as_it_is() {
        let mut work = workload("distill:resnet8:resnet14:4:16");
        let values = |network: &Network| network.store.values().to_f32().expect("values");
        let teacher = |work: &Workload| values(work.teacher.as_ref().expect("a teacher"));
        let before = (values(&work.network), teacher(&work));
        work.step(&Tape::new()).expect("a step");
        assert_ne!(values(&work.network), before.0);
        assert_eq!(teacher(&work), before.1);
    }
}
