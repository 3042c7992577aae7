//! What joins a map with one vector per image: the gate, and the sum with a ReLU. Both against their references, through windows, with
//! hostile values, launches, determinism, gradients and refusals.

mod add_relu;
mod case;
mod gating;
mod refusals;
