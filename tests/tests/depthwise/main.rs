//! The depthwise convolution and its gradients: the reference on random shapes and at the corners, adjointness and derivatives,
//! windows, what is fused into them, hostile values, determinism and refusals.

mod case;
mod fused;
mod gradients;
mod prologue;
mod properties;
mod refusals;
mod values;
