//! Batch norm with residual and ReLU: the reference on random shapes, running statistics, hostile values, determinism and refusals.

mod case;
mod hostile;
mod properties;
mod refusals;
