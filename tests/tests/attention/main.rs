//! Softmax attention and the products that it is made of: the references on random shapes, PyTorch's numbers, windows, what is not finite,
//! launches, determinism, gradients and refusals.

mod batched;
mod gradients;
mod promises;
mod values;
