//! The dense convolution and its gradients: the reference on random shapes and at the corners, adjointness, hostile values,
//! determinism and refusals.

mod affine;
mod case;
mod prologue;
mod properties;
mod refusals;
mod values;
mod winograd;
