//! Gradients against central differences, linear maps against their adjoints, for every operation and for whole networks.

mod findings;
mod operations;
mod probes;
mod tape;
mod tools;
mod whole;
