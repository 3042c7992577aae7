//! Ghost features: most of a layer's channels made cheaply from the others (methods.md section 1).

pub mod module;
