//! Softmax and its gradient over `f64` slices.

use crate::clamp::reference::largest;

/// The softmax of each row of `length` elements.
pub fn forward(x: &[f64], length: usize) -> Vec<f64> {
    x.chunks(length.max(1))
        .flat_map(|row| {
            let max = largest(row.iter().copied());
            let sum: f64 = row.iter().map(|x| (x - max).exp()).sum();
            row.iter().map(move |x| (x - max).exp() / sum)
        })
        .collect()
}

/// The gradient with respect to the input, from the result `y`.
pub fn backward(y: &[f64], grad: &[f64], length: usize) -> Vec<f64> {
    let length = length.max(1);
    let rows = y.chunks(length).zip(grad.chunks(length));
    rows.flat_map(|(y, g)| {
        let mean: f64 = y.iter().zip(g).map(|(y, g)| y * g).sum();
        y.iter().zip(g).map(move |(y, g)| y * (g - mean))
    })
    .collect()
}
