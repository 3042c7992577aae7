//! Ghost features: most of a layer's channels made cheaply from the others (`docs/methods.md` section 1).

pub mod mix;
pub mod module;
