//! One step of AdamW over `f64` slices.

use super::AdamWOptions;

/// Moves `params`, `first` and `second` in place; see the module documentation for the rule.
pub fn step(
    [params, first, second]: [&mut [f64]; 3],
    grads: &[f64],
    decayed: &[f64],
    options: &AdamWOptions,
    number: u64,
) {
    let &AdamWOptions {
        learning_rate,
        beta1,
        beta2,
        epsilon,
        weight_decay,
    } = options;
    for i in 0..params.len() {
        params[i] -= learning_rate * weight_decay * decayed[i] * params[i];
        first[i] = beta1 * first[i] + (1.0 - beta1) * grads[i];
        second[i] = beta2 * second[i] + (1.0 - beta2) * grads[i] * grads[i];
        let mean = first[i] / (1.0 - beta1.powf(number as f64));
        let square = second[i] / (1.0 - beta2.powf(number as f64));
        params[i] -= learning_rate * mean / (square.sqrt() + epsilon);
    }
}
