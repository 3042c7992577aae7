//! Layer norm and group norm of one group: the reference on random shapes, PyTorch's numbers, hostile values, launches, determinism,
//! gradients and refusals.

mod case;
mod hostile;
mod properties;
mod refusals;
