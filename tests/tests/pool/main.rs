//! Max, average and adaptive average pooling: PyTorch's numbers, the reference on random shapes and at the corners, closed forms,
//! windows, hostile values, determinism, gradients and refusals.

mod case;
mod closed_forms;
mod golden;
mod gradients;
mod hostile;
mod properties;
mod refusals;
