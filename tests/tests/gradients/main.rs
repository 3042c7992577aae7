//! Gradients against central differences, linear maps against their adjoints, for every operation and for whole networks.

mod network;
mod operations;
mod tools;
