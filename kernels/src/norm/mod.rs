//! Normalisation: of channels over a batch, of rows, and of rows to probabilities.

pub mod batch_norm;
pub mod layer_norm;
mod row;
pub mod softmax;
