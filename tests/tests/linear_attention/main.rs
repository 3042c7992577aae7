//! ReLU linear attention: the reference on random shapes, PyTorch's numbers, closed forms, hostile values, windows, launches, determinism,
//! gradients and refusals.

mod case;
mod hostile;
mod properties;
mod refusals;
