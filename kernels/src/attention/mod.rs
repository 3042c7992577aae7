//! Attention: each token's output is made of all tokens of its sample.

pub mod softmax;
