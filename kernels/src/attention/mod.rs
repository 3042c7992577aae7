//! Attention, each token's output being made of all tokens of its sample, and how maps become samples of tokens.

pub mod linear;
pub mod partition;
pub mod separable;
pub mod softmax;
