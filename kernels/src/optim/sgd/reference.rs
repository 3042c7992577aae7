//! One step of SGD over `f64` slices.

use super::SgdOptions;

/// Moves `params` and `velocity` in place; see the module documentation for the rule.
pub fn step(
    params: &mut [f64],
    grads: &[f64],
    velocity: &mut [f64],
    decayed: &[f64],
    options: &SgdOptions,
) {
    for i in 0..params.len() {
        let g = grads[i] + options.weight_decay * decayed[i] * params[i];
        velocity[i] = options.momentum * velocity[i] + g;
        let step = if options.nesterov {
            g + options.momentum * velocity[i]
        } else {
            velocity[i]
        };
        params[i] -= options.learning_rate * step;
    }
}
