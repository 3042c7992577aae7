//! Attention between the tokens of a sample, and how maps become samples of tokens.

pub mod partition;
pub mod softmax;
