use crate::{assert_same_bits, client, dtypes, poison, reals, upload};
use ghostlight_kernels::norm::batch_norm::{self, BatchNorm};
use ghostlight_kernels::{Clamp, DType, Source, Tensor};

const EPSILON: f64 = 1e-3;

/// Fails unless `results` of a batch norm's input, seen through the norm and `clamp`, are to the bit those of the normalised map in memory.
///
/// `spoiled` puts a value into the input, at an index that wraps around, which then makes its channel NaN.
pub fn assert_entered_is_written(
    input: &[usize],
    seed: u32,
    clamp: Clamp,
    spoiled: Option<(usize, f64)>,
    results: impl Fn(DType, Source) -> Vec<Tensor>,
) {
    let seed = u64::from(seed);
    let channels = input[input.len() - 1];
    let mut x = reals(seed, input.iter().product());
    if let (Some((place, value)), count @ 1..) = (spoiled, x.len()) {
        x[place % count] = value;
    }
    let gamma = reals(seed + 1, channels);
    // On both sides of what a ReLU6 stops at, and far from 0 behind it: a padding that went through the prologue shows.
    let beta: Vec<f64> = reals(seed + 2, channels).iter().map(|v| 8.0 * v).collect();
    for dtype in dtypes() {
        let norm = || BatchNorm {
            gamma: upload(&gamma, &[channels], dtype),
            beta: upload(&beta, &[channels], dtype),
            running_mean: Tensor::zeros(&client(), &[channels], dtype),
            running_var: Tensor::zeros(&client(), &[channels], dtype),
            epsilon: EPSILON,
            momentum: 0.1,
        };
        let (written, open) = (norm(), norm());
        let x = upload(&x, input, dtype);
        let (y, _) = batch_norm::train(&x, &written, None, clamp).expect("it is a norm");
        let wanted = results(dtype, (&y).into());
        let saved = batch_norm::open(&x, &open, clamp).expect("it is a norm");
        let affine = saved.affine(&open);
        poison(dtype, &[x.len(), wanted[0].len()]);
        let got = results(dtype, Source::through(&x, &affine));
        for (i, (got, wanted)) in got.iter().zip(&wanted).enumerate() {
            assert_same_bits(&format!("result {i} in {dtype:?}"), got, wanted);
        }
        assert_same_bits("running mean", &open.running_mean, &written.running_mean);
        assert_same_bits("running variance", &open.running_var, &written.running_var);
    }
}
