//! Optimisers over one flat buffer of parameters.

mod adamw;
mod sgd;

pub use adamw::AdamW;
pub use sgd::Sgd;
