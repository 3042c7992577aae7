//! Bilinear resizing: PyTorch's numbers, the reference on random shapes and at the corners, closed forms, windows, hostile values,
//! determinism, gradients and refusals.

mod case;
mod golden;
mod hostile;
mod properties;
mod refusals;
