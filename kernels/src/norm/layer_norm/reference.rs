//! Layer norm and its gradients over `f64` slices; a sample is `pixels` pixels of as many channels as `gamma` has.

/// Mean and inverse deviation of each sample of `elements` elements.
fn moments(x: &[f64], elements: usize, epsilon: f64) -> Vec<(f64, f64)> {
    x.chunks(elements)
        .map(|sample| {
            let mean = sample.iter().sum::<f64>() / elements as f64;
            let squares: f64 = sample.iter().map(|x| (x - mean) * (x - mean)).sum();
            (mean, 1.0 / (squares / elements as f64 + epsilon).sqrt())
        })
        .collect()
}

/// The normalised `x`, scaled by `gamma` and shifted by `beta`.
pub fn forward(x: &[f64], gamma: &[f64], beta: &[f64], pixels: usize, epsilon: f64) -> Vec<f64> {
    let channels = gamma.len();
    let moments = moments(x, pixels * channels, epsilon);
    x.iter()
        .enumerate()
        .map(|(i, x)| {
            let (mean, inv_std) = moments[i / (pixels * channels)];
            (x - mean) * inv_std * gamma[i % channels] + beta[i % channels]
        })
        .collect()
}

/// The gradients with respect to `x`, `gamma` and `beta`.
pub fn backward(
    x: &[f64],
    gamma: &[f64],
    grad: &[f64],
    pixels: usize,
    epsilon: f64,
) -> [Vec<f64>; 3] {
    let channels = gamma.len();
    let elements = pixels * channels;
    let moments = moments(x, elements, epsilon);
    let normal = |i: usize| (x[i] - moments[i / elements].0) * moments[i / elements].1;
    let (mut grad_gamma, mut grad_beta) = (vec![0.0; channels], vec![0.0; channels]);
    let mut grad_x = vec![0.0; x.len()];
    for (sample, (_, inv_std)) in moments.iter().enumerate() {
        let own = sample * elements..(sample + 1) * elements;
        let h = |i: usize| grad[i] * gamma[i % channels];
        let offset = own.clone().map(h).sum::<f64>() / elements as f64;
        let tilt = own.clone().map(|i| h(i) * normal(i)).sum::<f64>() / elements as f64;
        for i in own {
            grad_x[i] = inv_std * (h(i) - offset - normal(i) * tilt);
            grad_gamma[i % channels] += grad[i] * normal(i);
            grad_beta[i % channels] += grad[i];
        }
    }
    [grad_x, grad_gamma, grad_beta]
}
