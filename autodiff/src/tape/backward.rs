//! The way back: gradients travel from the outputs to the leaves, last node first.

use super::record::{Kind, Node};
use crate::{Cost, KernelError, Tensor};
use ghostlight_kernels::planted;
use ghostlight_kernels::pointwise::{add, add_at, add_into};

/// A backward pass on its way: the nodes that are left, and the sum of what arrived at each of them.
pub(super) struct Sweep {
    nodes: Vec<Node>,
    grads: Vec<Option<Tensor>>,
}

impl Sweep {
    pub fn over(nodes: Vec<Node>) -> Self {
        Self {
            grads: nodes.iter().map(|_| None).collect(),
            nodes,
        }
    }

    /// Adds `grad` to what already arrived at a node.
    pub fn arrive(&mut self, node: usize, grad: Tensor) -> Result<(), KernelError> {
        let sum = match self.grads[node].take() {
            Some(present) if !planted::is("tape_keeps_the_last_gradient") => sum(present, grad)?,
            _ => grad,
        };
        self.grads[node] = Some(sum);
        Ok(())
    }

    /// Takes all gradients to their leaves; `ran` hears of every operation, with the gradient that it was given.
    ///
    /// # Errors
    /// Those of the operations' backward passes, and those of [`Sweep::check`].
    pub fn run(mut self, ran: impl Fn(&'static str, &Tensor, Cost)) -> Result<(), KernelError> {
        while let (Some(node), Some(grad)) = (self.nodes.pop(), self.grads.pop()) {
            let Some(grad) = grad else {
                continue;
            };
            match node.kind {
                Kind::Leaf { grad: target } => add_into(&target, &whole(grad)?)?,
                Kind::Window { input, start } => self.widen(input, start, &grad)?,
                Kind::Join { parts } => self.split(parts, &grad)?,
                Kind::Step {
                    op,
                    inputs,
                    reads_windows,
                    backward,
                } => {
                    let grad = if reads_windows { grad } else { whole(grad)? };
                    let needs: Vec<bool> = inputs.iter().map(Option::is_some).collect();
                    let mut present: Vec<Option<Tensor>> = inputs
                        .iter()
                        .map(|input| input.and_then(|input| self.grads[input].take()))
                        .collect();
                    let found = backward(&grad, &needs, &mut present)?;
                    ran(op, &grad, found.cost);
                    self.check(op, &inputs, &found.inputs)?;
                    let arrived = present.into_iter().zip(found.inputs);
                    for (input, (left, grad)) in inputs.into_iter().zip(arrived) {
                        let Some(input) = input else { continue };
                        for grad in [left, grad].into_iter().flatten() {
                            self.arrive(input, grad)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Adds the gradient of some channels of `input` to that of all of them.
    fn widen(&mut self, input: usize, start: usize, grad: &Tensor) -> Result<(), KernelError> {
        if grad.is_empty() {
            return Ok(());
        }
        let channels = self.nodes[input].shape.last().copied().unwrap_or(0);
        let start = planted::or("window_gradient_in_front", start, 0);
        let present = self.grads[input].take();
        self.grads[input] = Some(add_at(present.as_ref(), grad, start, channels)?);
        Ok(())
    }

    /// Hands each part of a join its own channels of the gradient.
    fn split(
        &mut self,
        parts: Vec<(Option<usize>, usize)>,
        grad: &Tensor,
    ) -> Result<(), KernelError> {
        let mut start = 0;
        for (input, count) in parts {
            if let Some(input) = input {
                self.arrive(input, grad.window(start, count)?)?;
            }
            start += planted::or("join_of_one_part", count, 0);
        }
        Ok(())
    }

    /// Passes when `op` returned one gradient for each of its `inputs`: of the input's shape and element type where the input has a
    /// node, and none where it needs none.
    ///
    /// # Errors
    /// [`KernelError::Contract`] for their number, then for the first that is not so.
    fn check(
        &self,
        op: &'static str,
        inputs: &[Option<usize>],
        grads: &[Option<Tensor>],
    ) -> Result<(), KernelError> {
        let contract = |subject: String, got: String, wanted: String| KernelError::Contract {
            op,
            subject: subject.into(),
            got: got.into(),
            wanted: wanted.into(),
        };
        if grads.len() != inputs.len() {
            let got = format!("returned gradients of {} inputs", grads.len());
            let wanted = format!("one gradient, or `None`, for each of {}", inputs.len());
            return Err(contract("the backward pass".into(), got, wanted));
        }
        for (index, (input, grad)) in inputs.iter().zip(grads).enumerate() {
            let node = input.map(|input| &self.nodes[input]);
            let fits = match (node, grad) {
                (Some(node), Some(grad)) => {
                    grad.shape() == node.shape && grad.dtype() == node.dtype
                }
                (node, grad) => node.is_none() && grad.is_none(),
            };
            if !fits {
                let subject = format!("the gradient of input {index}");
                let got = grad.as_ref().map_or("is missing".into(), |grad| {
                    format!("is {:?} of {:?}", grad.shape(), grad.dtype())
                });
                let wanted = node.map_or("none, as the input needs none".into(), |node| {
                    format!("the input's {:?} of {:?}", node.shape, node.dtype)
                });
                return Err(contract(subject, got, wanted));
            }
        }
        Ok(())
    }
}

/// `grad`, copied when it is a window.
fn whole(grad: Tensor) -> Result<Tensor, KernelError> {
    if !grad.is_window() {
        return Ok(grad);
    }
    if grad.is_empty() {
        return Ok(Tensor::empty(grad.client(), grad.shape(), grad.dtype()));
    }
    let channels = grad.shape().last().copied().unwrap_or(1);
    add_at(None, &grad, 0, channels)
}

/// The sum of two gradients, in the memory of one that no other tensor shares: an operation may have handed one gradient to two inputs.
fn sum(a: Tensor, b: Tensor) -> Result<Tensor, KernelError> {
    if a.is_empty() {
        return Ok(a);
    }
    if a.is_window() || b.is_window() {
        let channels = a.shape().last().copied().unwrap_or(1);
        return add_at(Some(&a), &b, 0, channels);
    }
    let shared = |tensor: &Tensor| !tensor.is_alone() && !planted::is("tape_overwrites_shared");
    let (into, other) = if shared(&a) { (b, a) } else { (a, b) };
    if shared(&into) {
        return add(&into, &other);
    }
    add_into(&into, &other)?;
    Ok(into)
}
