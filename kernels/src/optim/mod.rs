//! Optimiser steps over flat buffers that hold all parameters of a model.

pub mod adamw;
pub mod sgd;
