//! The grouped convolution and its gradients: the reference on random shapes and at the corners, adjointness and derivatives,
//! windows, hostile values, determinism, launches and refusals.

mod affine;
mod case;
mod prologue;
mod properties;
mod refusals;
mod values;
mod windows;
