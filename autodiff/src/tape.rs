use crate::{Event, Function, Gradients, Observer, Phase};
use ghostlight_kernels::pointwise::{add, add_at, add_into, fill};
use ghostlight_kernels::{KernelError, Tensor};
use std::cell::RefCell;
use std::rc::Rc;

/// Maps an output's gradient to the inputs' gradients, consuming what was saved.
type Backward =
    Box<dyn FnOnce(&Tensor, &[bool], &mut [Option<Tensor>]) -> Result<Gradients, KernelError>>;

enum Node {
    /// A gradient ends here, in a tensor of the caller's, which it is added to.
    Leaf { grad: Tensor },
    /// A gradient of some channels becomes one of all of them.
    Window {
        input: usize,
        start: usize,
        channels: usize,
    },
    /// A gradient of all channels becomes one of each part, in order: its place, if it needs one, and its number of channels.
    Join { parts: Vec<(Option<usize>, usize)> },
    /// A gradient passes through; `inputs` holds the places of those that need one.
    Step {
        op: &'static str,
        inputs: Vec<Option<usize>>,
        reads_windows: bool,
        backward: Backward,
    },
}

/// Records the operations whose gradients are wanted.
///
/// Cloning shares the record. One tape serves one forward and one backward pass; [`Tape::backward`] empties it.
#[derive(Clone, Default)]
pub struct Tape {
    nodes: Rc<RefCell<Vec<Node>>>,
    observer: Option<Rc<RefCell<dyn Observer>>>,
}

/// A tensor with its place on a tape, or without one when no gradient is wanted.
#[derive(Clone, Debug)]
pub struct Var {
    tensor: Tensor,
    place: Option<usize>,
}

impl Var {
    /// A tensor that needs no gradient: data, or anything in inference.
    pub fn constant(tensor: Tensor) -> Self {
        Self {
            tensor,
            place: None,
        }
    }

    /// The value.
    pub fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// Whether a gradient flows through.
    pub fn needs_grad(&self) -> bool {
        self.place.is_some()
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
            nodes: Rc::default(),
            observer: Some(observer),
        }
    }

    /// How many operations and leaves are recorded.
    pub fn len(&self) -> usize {
        self.nodes.borrow().len()
    }

    /// Whether nothing is recorded.
    pub fn is_empty(&self) -> bool {
        self.nodes.borrow().is_empty()
    }

    /// A variable whose gradient the backward pass adds to `grad`, of the same shape.
    ///
    /// # Errors
    /// Shape or element type of `grad` differs from `value`'s.
    pub fn leaf(&self, value: &Tensor, grad: &Tensor) -> Result<Var, KernelError> {
        grad.check("leaf", "grad", value.shape(), value.dtype())?;
        let place = self.push(Node::Leaf { grad: grad.clone() });
        Ok(Var {
            tensor: value.clone(),
            place: Some(place),
        })
    }

    /// Runs `function` on `inputs` and records it when one of them needs a gradient.
    ///
    /// # Errors
    /// Those of the function's forward pass.
    pub fn apply<F: Function>(&self, function: F, inputs: &[&Var]) -> Result<Var, KernelError> {
        let tensors: Vec<&Tensor> = inputs.iter().map(|input| &input.tensor).collect();
        let step = function.forward(&tensors)?;
        let (op, reads_windows) = (function.name(), function.reads_windows());
        self.tell(op, Phase::Forward, &step.output, step.cost);
        let places: Vec<Option<usize>> = inputs.iter().map(|input| input.place).collect();
        let place = places.iter().any(Option::is_some).then(|| {
            let saved = step.saved;
            let backward: Backward = Box::new(move |grad, needs, present| {
                function.backward_onto(saved, grad, needs, present)
            });
            self.push(Node::Step {
                op,
                inputs: places,
                reads_windows,
                backward,
            })
        });
        Ok(Var {
            tensor: step.output,
            place,
        })
    }

    /// The channels `start..start + count` of `x`, in the same memory: for operations that read windows. No launch; backwards one, which
    /// adds the window's gradient to the rest of `x`'s.
    ///
    /// # Errors
    /// The window reaches past `x`'s channels.
    pub fn window(&self, x: &Var, start: usize, count: usize) -> Result<Var, KernelError> {
        let tensor = x.tensor.window(start, count)?;
        let channels = x.tensor.shape().last().copied().unwrap_or(0);
        let place = x.place.map(|input| {
            self.push(Node::Window {
                input,
                start,
                channels,
            })
        });
        Ok(Var { tensor, place })
    }

    /// `whole`, whose windows `parts` are, side by side and in order: what a concatenation would have copied. No launch; backwards
    /// each part gets its window of the gradient.
    ///
    /// # Errors
    /// A part is no window of `whole`, or leaves channels before or behind it to nobody.
    pub fn join(&self, whole: &Tensor, parts: &[&Var]) -> Result<Var, KernelError> {
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
        let places = parts.iter().map(|part| (part.place, channels(part)));
        let needed = parts.iter().any(|part| part.place.is_some());
        let place = needed.then(|| {
            self.push(Node::Join {
                parts: places.collect(),
            })
        });
        Ok(Var {
            tensor: whole.clone(),
            place,
        })
    }

    /// Adds the gradient of the sum of `weight` times the sum of `output`, over all `outputs`, to the leaves' gradients, and
    /// empties the tape. For a scalar loss that is the loss' gradient.
    ///
    /// # Errors
    /// Those of the functions' backward passes; the tape is empty then too, and the leaves' gradients are incomplete.
    pub fn backward(&self, outputs: &[(&Var, f64)]) -> Result<(), KernelError> {
        let seeds = outputs.iter().map(|&(output, weight)| {
            let seed = Tensor::empty(
                output.tensor.client(),
                output.tensor.shape(),
                output.tensor.dtype(),
            );
            fill(&seed, weight);
            (output, seed)
        });
        self.backward_from(&seeds.collect::<Vec<_>>())
    }

    /// [`Tape::backward`] from given gradients of the outputs, each of its output's shape.
    ///
    /// # Errors
    /// A seed's shape or element type differs from its output's; then those of [`Tape::backward`].
    pub fn backward_from(&self, seeds: &[(&Var, Tensor)]) -> Result<(), KernelError> {
        let nodes = self.nodes.take();
        let mut grads: Vec<Option<Tensor>> = nodes.iter().map(|_| None).collect();
        for (output, seed) in seeds {
            seed.check(
                "backward",
                "seed",
                output.tensor.shape(),
                output.tensor.dtype(),
            )?;
            if let Some(place) = output.place {
                accumulate(&mut grads[place], seed.clone())?;
            }
        }
        for (place, node) in nodes.into_iter().enumerate().rev() {
            let Some(grad) = grads[place].take() else {
                continue;
            };
            match node {
                Node::Leaf { grad: target } => add_into(&target, &whole(grad)?)?,
                Node::Window {
                    input,
                    start,
                    channels,
                } => {
                    let present = grads[input].take();
                    let both = add_at(present.as_ref(), &grad, start, channels)?;
                    grads[input] = Some(both);
                }
                Node::Join { parts } => {
                    let mut start = 0;
                    for (input, count) in parts {
                        if let Some(input) = input {
                            accumulate(&mut grads[input], grad.window(start, count)?)?;
                        }
                        start += count;
                    }
                }
                Node::Step {
                    op,
                    inputs,
                    reads_windows,
                    backward,
                } => {
                    let grad = if reads_windows { grad } else { whole(grad)? };
                    let needs: Vec<bool> = inputs.iter().map(Option::is_some).collect();
                    let mut present: Vec<Option<Tensor>> = inputs
                        .iter()
                        .map(|input| input.and_then(|input| grads[input].take()))
                        .collect();
                    let found = backward(&grad, &needs, &mut present)?;
                    self.tell(op, Phase::Backward, &grad, found.cost);
                    let arrived = present.into_iter().zip(found.inputs);
                    for (input, (present, found)) in inputs.into_iter().zip(arrived) {
                        let Some(input) = input else { continue };
                        for grad in [present, found].into_iter().flatten() {
                            accumulate(&mut grads[input], grad)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn push(&self, node: Node) -> usize {
        let mut nodes = self.nodes.borrow_mut();
        nodes.push(node);
        nodes.len() - 1
    }

    fn tell(
        &self,
        op: &'static str,
        phase: Phase,
        output: &Tensor,
        cost: ghostlight_kernels::Cost,
    ) {
        if let Some(observer) = &self.observer {
            let shape = output.shape().to_vec();
            observer.borrow_mut().ran(Event {
                op,
                phase,
                shape,
                cost,
            });
        }
    }
}

/// The number of channels of `var`.
fn channels(var: &Var) -> usize {
    var.tensor.shape().last().copied().unwrap_or(1)
}

/// `grad`, copied when it is a window.
fn whole(grad: Tensor) -> Result<Tensor, KernelError> {
    if !grad.is_window() {
        return Ok(grad);
    }
    let channels = grad.shape().last().copied().unwrap_or(1);
    add_at(None, &grad, 0, channels)
}

/// Adds `grad` to what already arrived at a place. A function may have handed one gradient to two places, so that neither is
/// overwritten while another tensor shares its memory.
fn accumulate(place: &mut Option<Tensor>, grad: Tensor) -> Result<(), KernelError> {
    *place = Some(match place.take() {
        None => grad,
        Some(present) if present.is_window() || grad.is_window() => {
            let channels = grad.shape().last().copied().unwrap_or(1);
            add_at(Some(&present), &grad, 0, channels)?
        }
        Some(present) => sum(present, grad)?,
    });
    Ok(())
}

/// The sum of two tensors that are no windows, in the place of one that nobody else holds.
fn sum(a: Tensor, b: Tensor) -> Result<Tensor, KernelError> {
    let (into, other) = if a.is_alone() { (a, b) } else { (b, a) };
    if !into.is_alone() {
        return add(&into, &other);
    }
    add_into(&into, &other)?;
    Ok(into)
}
