//! The tape: [`Tape`] and [`Var`] here, what is recorded in `record.rs`, the way back in `backward.rs`.

mod backward;
mod record;

use crate::{Cost, Event, Function, KernelError, Observer, Phase, Tensor};
use backward::Sweep;
use ghostlight_kernels::pointwise::fill;
use record::{Backward, Kind, Origin, Record};
use std::cell::RefCell;
use std::rc::Rc;

/// Records the operations whose gradients are wanted.
///
/// Cloning shares the record. A pass is what is recorded up to a [`Tape::backward`], which empties the tape: the next pass begins with
/// leaves of its own. A [`Var`] of another tape, or of a pass that has ended, is refused wherever it is used.
///
/// Gradients are of first order: backward passes work on tensors and record nothing, so that there is none of a gradient.
#[derive(Clone, Default)]
pub struct Tape {
    record: Rc<RefCell<Record>>,
    observer: Option<Rc<RefCell<dyn Observer>>>,
}

/// A tensor that knows where it was recorded, or that no gradient of it is wanted.
#[derive(Clone, Debug)]
pub struct Var {
    tensor: Tensor,
    origin: Option<Origin>,
}

impl Var {
    /// A tensor that needs no gradient: data, or anything in inference.
    pub fn constant(tensor: Tensor) -> Self {
        Self {
            tensor,
            origin: None,
        }
    }

    /// The value.
    pub fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// Whether a gradient flows through.
    pub fn needs_grad(&self) -> bool {
        self.origin.is_some()
    }
}

impl Tape {
    /// An empty tape.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty tape whose operations `observer` sees.
    pub fn observed(observer: Rc<RefCell<dyn Observer>>) -> Self {
        Self {
            observer: Some(observer),
            ..Self::default()
        }
    }

    /// How many operations and leaves are recorded.
    pub fn len(&self) -> usize {
        self.record.borrow().len()
    }

    /// Whether nothing is recorded.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A variable whose gradient the backward pass adds to `grad`, of the same shape.
    ///
    /// # Errors
    /// Shape or element type of `grad` differs from `value`'s, or it is a window.
    pub fn leaf(&self, value: &Tensor, grad: &Tensor) -> Result<Var, KernelError> {
        grad.check("leaf", "grad", value.shape(), value.dtype())?;
        Ok(self.recorded(value.clone(), Kind::Leaf { grad: grad.clone() }))
    }

    /// Runs `function` on `inputs` and records it when one of them needs a gradient.
    ///
    /// # Errors
    /// In this order: [`KernelError::Contract`] when an input was recorded elsewhere, and those of the function's forward pass.
    pub fn apply<F: Function>(&self, function: F, inputs: &[&Var]) -> Result<Var, KernelError> {
        let (op, reads_windows) = (function.name(), function.reads_windows());
        let nodes = self.nodes(op, "input", inputs.iter().copied())?;
        let tensors: Vec<&Tensor> = inputs.iter().map(|input| &input.tensor).collect();
        let step = function.forward(&tensors)?;
        self.tell(op, Phase::Forward, &tensors, &step.output, step.cost);
        if nodes.iter().all(Option::is_none) {
            return Ok(Var::constant(step.output));
        }
        let saved = step.saved;
        let backward: Backward = Box::new(move |grad, needs, present| {
            function.backward_onto(saved, grad, needs, present)
        });
        let kind = Kind::Step {
            op,
            inputs: nodes,
            reads_windows,
            backward,
        };
        Ok(self.recorded(step.output, kind))
    }

    /// The channels `start..start + count` of `x`, in the same memory: for operations that read windows.
    ///
    /// Forwards this launches nothing. Backwards it is one launch, which adds the window's gradient to the rest of `x`'s.
    ///
    /// # Errors
    /// In this order: [`KernelError::Contract`] when `x` was recorded elsewhere, [`KernelError::Shape`] when the window reaches past
    /// its channels.
    pub fn window(&self, x: &Var, start: usize, count: usize) -> Result<Var, KernelError> {
        let node = self.nodes("window", "input", [x])?[0];
        let tensor = x.tensor.window(start, count)?;
        Ok(match node {
            None => Var::constant(tensor),
            Some(input) => self.recorded(tensor, Kind::Window { input, start }),
        })
    }

    /// `whole`, whose windows `parts` are, side by side and in order: what a concatenation would have copied.
    ///
    /// Forwards this launches nothing. Backwards each part gets its window of the gradient.
    ///
    /// # Errors
    /// In this order: [`KernelError::Contract`] when a part was recorded elsewhere; [`KernelError::Shape`] when one is no window of
    /// `whole`, or leaves channels before or behind it to nobody.
    pub fn join(&self, whole: &Tensor, parts: &[&Var]) -> Result<Var, KernelError> {
        let nodes = self.nodes("join", "part", parts.iter().copied())?;
        let mut start = 0;
        for part in parts {
            if !part.tensor.lies_at(whole, start) {
                return Err(KernelError::Shape {
                    op: "join",
                    tensor: "part",
                    got: part.tensor.shape().to_vec(),
                    wanted: format!(
                        "the window of the whole {:?} from {start} on",
                        whole.shape()
                    ),
                });
            }
            start += channels(part);
        }
        if whole.shape().last() != Some(&start) {
            return Err(KernelError::Shape {
                op: "join",
                tensor: "whole",
                got: whole.shape().to_vec(),
                wanted: format!("the {start} channels of its parts"),
            });
        }
        if nodes.iter().all(Option::is_none) {
            return Ok(Var::constant(whole.clone()));
        }
        let counts = parts.iter().map(|part| channels(part));
        let parts = nodes.into_iter().zip(counts).collect();
        Ok(self.recorded(whole.clone(), Kind::Join { parts }))
    }

    /// Adds a gradient to those of the leaves, and empties the tape.
    ///
    /// It is the gradient of one number: the sum over all `outputs` of `weight` times the sum of the output's elements. For a scalar
    /// loss of weight 1 that is the loss' own. It is of first order only: nothing of this pass is recorded.
    ///
    /// # Errors
    /// In this order: [`KernelError::Range`] for a weight that is not finite; those of [`Tape::backward_from`].
    pub fn backward(&self, outputs: &[(&Var, f64)]) -> Result<(), KernelError> {
        let mut seeds = Vec::new();
        for &(Var { tensor, .. }, weight) in outputs {
            KernelError::check_float("backward", "weight", weight, "a finite number", |_| true)?;
            let seed = Tensor::empty(tensor.client(), tensor.shape(), tensor.dtype());
            fill(&seed, weight);
            seeds.push(seed);
        }
        let outputs = outputs.iter().map(|&(output, _)| output);
        self.backward_from(&outputs.zip(seeds).collect::<Vec<_>>())
    }

    /// [`Tape::backward`] from given gradients of the outputs, each of its output's shape.
    ///
    /// # Errors
    /// Before anything happens, in this order: [`KernelError::Contract`] when there is no output, when one was recorded elsewhere, when
    /// one needs no gradient; those of [`Tensor::check`] for a seed, against its output.
    ///
    /// Then the tape is emptied, and an error leaves the leaves' gradients incomplete: those of the functions' backward passes, and
    /// [`KernelError::Contract`] when one returned what [`Function::backward`] must not.
    pub fn backward_from(&self, seeds: &[(&Var, Tensor)]) -> Result<(), KernelError> {
        const OP: &str = "backward";
        let outputs = seeds.iter().map(|&(output, _)| output);
        let nodes = self.nodes(OP, "output", outputs)?;
        let contract = |subject: String, got: &str, wanted: &str| KernelError::Contract {
            op: OP,
            subject: subject.into(),
            got: got.into(),
            wanted: wanted.into(),
        };
        if nodes.is_empty() {
            return Err(contract("the outputs".into(), "are none", "one or more"));
        }
        let mut starts = Vec::new();
        for (index, (node, (output, seed))) in nodes.into_iter().zip(seeds).enumerate() {
            let Some(node) = node else {
                let wanted = "a variable that depends on a leaf of this tape";
                return Err(contract(
                    format!("output {index}"),
                    "needs no gradient",
                    wanted,
                ));
            };
            seed.check(OP, "seed", output.tensor.shape(), output.tensor.dtype())?;
            starts.push((node, seed.clone()));
        }
        let mut sweep = Sweep::over(self.record.borrow_mut().finish());
        for (node, seed) in starts {
            sweep.arrive(node, seed)?;
        }
        sweep.run(|op, grad, cost| self.tell(op, Phase::Backward, &[], grad, cost))
    }

    /// The nodes of `vars`, which `op` was handed as its inputs, parts or outputs.
    fn nodes<'a>(
        &self,
        op: &'static str,
        role: &str,
        vars: impl IntoIterator<Item = &'a Var>,
    ) -> Result<Vec<Option<usize>>, KernelError> {
        let record = self.record.borrow();
        let vars = vars.into_iter().enumerate();
        vars.map(|(index, var)| {
            var.origin
                .map(|origin| record.node(origin, op, role, index))
                .transpose()
        })
        .collect()
    }

    fn recorded(&self, tensor: Tensor, kind: Kind) -> Var {
        let origin = Some(self.record.borrow_mut().push(&tensor, kind));
        Var { tensor, origin }
    }

    fn tell(
        &self,
        op: &'static str,
        phase: Phase,
        inputs: &[&Tensor],
        output: &Tensor,
        cost: Cost,
    ) {
        if let Some(observer) = &self.observer {
            let event = Event {
                op,
                phase,
                shape: output.shape().to_vec(),
                inputs: inputs.iter().map(|input| input.shape().to_vec()).collect(),
                cost,
            };
            let mut observer = observer.borrow_mut();
            observer.saw(&event, output);
            observer.ran(event);
        }
    }
}

/// The number of channels of `var`.
fn channels(var: &Var) -> usize {
    var.tensor.shape().last().copied().unwrap_or(1)
}
