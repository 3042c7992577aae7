//! Gradients against central differences, linear maps against their adjoints, for every operation and for whole networks.

mod operations;
mod probes;
mod tools;
