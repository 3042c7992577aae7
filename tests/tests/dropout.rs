//! Dropout: the reference on random shapes, windows, what chance should give, hostile values, launches, determinism, gradients, refusals.

use ghostlight_autodiff::check::{GradcheckOptions, adjointness, gradcheck};
use ghostlight_autodiff::{Tape, Var, ops};
use ghostlight_kernels::pointwise::dropout::{DropoutOptions, dropout, reference};
use ghostlight_kernels::pointwise::fill;
use ghostlight_kernels::{DType, Tensor};
use ghostlight_tests::{
    Fingerprint, NOT_FINITE, Windowed, abs, assert_alike, assert_exact, assert_launches,
    assert_near, assert_refuses_range, assert_same_bits, assert_same_bits_on_one_core, cases,
    client, download, dtypes, has_f64, integers, poison, reals, upload,
};
use proptest::prelude::*;

/// A product, and the factor that it is one with.
const UNITS: f64 = 2.0;

fn any_rate() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), Just(0.5), 0.01f64..0.99]
}

/// The rates at which chance is looked at.
const RATES: [f64; 5] = [0.02, 0.2, 0.5, 0.75, 0.97];

/// How many standard deviations a count may be off. One that is right is off by as much once in 500 million, and the tests look at
/// some ten thousand.
const DEVIATIONS: f64 = 6.0;

/// Asserts that `count` of `draws` independent events of probability `p` is what chance may give.
#[track_caller]
fn assert_by_chance(what: &str, count: usize, draws: usize, p: f64) {
    let (mean, deviation) = (p * draws as f64, (p * (1.0 - p) * draws as f64).sqrt());
    let off = (count as f64 - mean) / deviation;
    assert!(
        off.abs() <= DEVIATIONS,
        "{what}: {count} of {draws} where {mean} belong, {off} deviations off"
    );
}

/// Which of `count` elements are dropped, as the device says.
fn dropped(count: usize, rate: f64, seed: u64) -> Vec<bool> {
    let ones = upload(&vec![1.0; count], &[count], DType::F32);
    let y = dropout(&ones, DropoutOptions { rate, seed }).unwrap();
    download(&y).into_iter().map(|y| y == 0.0).collect()
}

fn ones(of: impl Iterator<Item = bool>) -> usize {
    of.filter(|&one| one).count()
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn values_differ_from_the_reference_by_no_more_than_rounding(
        rate in any_rate(),
        len in prop_oneof![0usize..40, 500usize..530, 0usize..5000],
        seed: u64,
    ) {
        let options = DropoutOptions { rate, seed };
        let x = reals(seed, len);
        let wanted = reference::forward(&x, options);
        for dtype in dtypes() {
            poison(dtype, &[len]);
            let y = dropout(&upload(&x, &[len], dtype), options).unwrap();
            assert_near("y", &y, &wanted, &abs(&wanted), UNITS);
        }
    }

    #[test]
    fn a_window_drops_what_a_whole_tensor_drops(
        rate in any_rate(),
        (pixels, channels) in (1usize..9, prop::sample::select(&[1usize, 3, 10, 16, 36, 60, 100][..])),
        [before, after] in [0usize..9, 0usize..9],
        seed: u64,
    ) {
        let (options, shape) = (DropoutOptions { rate, seed }, [pixels, channels]);
        let x = reals(seed, pixels * channels);
        for dtype in dtypes() {
            let of = Windowed::of(&x, &shape, dtype, before, after);
            let whole = dropout(&upload(&x, &shape, dtype), options).unwrap();
            assert_same_bits("a window", &dropout(&of.window, options).unwrap(), &whole);
        }
    }

    #[test]
    fn the_gradient_is_the_derivative_and_the_adjoint_under_the_same_mask(
        rate in any_rate(),
        shape in prop::collection::vec(1usize..5, 1..4),
        seed: u64,
    ) {
        if !has_f64() {
            return Ok(());
        }
        let operation = ops::Dropout { options: DropoutOptions { rate, seed } };
        let x = reals(seed, shape.iter().product());
        let apply = |tape: &Tape, x: &Var| tape.apply(operation, &[x]);
        adjointness(&client(), &shape, 3, apply)?;
        gradcheck(&client(), &[(x, shape)], |tape, v| apply(tape, &v[0]), GradcheckOptions::default())?;
    }

    #[test]
    fn no_shape_panics(shape in prop::collection::vec(0usize..4, 0..5), rate in any_rate()) {
        let x = Tensor::zeros(&client(), &shape, DType::F32);
        let y = dropout(&x, DropoutOptions { rate, seed: 1 }).unwrap();
        prop_assert_eq!(y.shape(), &shape[..]);
    }
}

#[test]
fn masks_stay_what_they_were() {
    // Bit i says whether element i is dropped; computed in Python. A run that goes on with another version counts on them.
    for (seed, rate, wanted) in [
        (1, 0.5, 0xdabd_bb07_b30b_ea5d_u64),
        (1, 0.2, 0x8004_8900_0000_2844),
        ((1 << 63) + 5, 0.5, 0xfe81_2e02_4403_d04e),
    ] {
        let bits = dropped(64, rate, seed).into_iter().enumerate();
        let found = bits.fold(0, |all, (i, bit)| all | u64::from(bit) << i);
        assert_eq!(found, wanted, "seed {seed}, rate {rate}: {found:#x}");
    }
}

#[test]
fn kept_elements_are_scaled_so_that_the_mean_stays() {
    let count = 1 << 16;
    for rate in RATES {
        let options = DropoutOptions { rate, seed: 7 };
        let y = dropout(&upload(&vec![1.0; count], &[count], DType::F32), options).unwrap();
        let mean = download(&y).iter().sum::<f64>() / count as f64;
        // Each element's deviation is that of a coin of probability `rate`, scaled.
        let deviation = (rate / (1.0 - rate) / count as f64).sqrt();
        assert!(
            (mean - 1.0).abs() <= DEVIATIONS * deviation,
            "{rate}: {mean}"
        );
    }
}

#[test]
fn every_rate_drops_its_share() {
    let count = 1 << 18;
    for rate in RATES {
        for seed in 0..8 {
            let count_dropped = ones(dropped(count, rate, seed).into_iter());
            assert_by_chance(
                &format!("rate {rate}, seed {seed}"),
                count_dropped,
                count,
                rate,
            );
        }
    }
}

#[test]
fn neighbours_near_and_far_are_dropped_independently() {
    let count = 1 << 18;
    for rate in RATES {
        let mask = dropped(count, rate, 11);
        for apart in (1..=64).chain([100, 128, 512, 1000, 1024, 4096, 65_536]) {
            let pairs = mask.iter().zip(&mask[apart..]);
            let both = ones(pairs.map(|(a, b)| *a && *b));
            // Pairs that share an element vary up to 1.4 times as much as independent ones: 6 deviations of those are 4 of theirs.
            let what = format!("rate {rate}, {apart} apart");
            assert_by_chance(&what, both, count - apart, rate * rate);
        }
    }
}

#[test]
fn seeds_that_differ_in_anything_have_independent_masks() {
    let count = 1 << 14;
    let single_bits = (0..64).map(|bit| 1u64 << bit);
    let seeds: Vec<u64> = (0..8).chain(single_bits.skip(3)).collect();
    let rate = 0.5;
    let masks: Vec<Vec<bool>> = seeds
        .iter()
        .map(|&seed| dropped(count, rate, seed))
        .collect();
    for (i, a) in masks.iter().enumerate() {
        for (j, b) in masks.iter().enumerate().skip(i + 1) {
            let same = ones(a.iter().zip(b).map(|(a, b)| a == b));
            let what = format!("seeds {} and {}", seeds[i], seeds[j]);
            assert_by_chance(&what, same, count, 0.5);
            // Nor is one the other with its places counted another way.
            for flipped in [1, 2, 64] {
                let same = ones((0..count).map(|k| a[k] == b[k ^ flipped]));
                assert_by_chance(&what, same, count, 0.5);
            }
        }
    }
}

#[test]
fn every_place_is_dropped_in_its_share_of_seeds() {
    let (places, seeds) = (512, 4096);
    for rate in [0.2, 0.5] {
        let mut counts = vec![0; places];
        for seed in 0..seeds {
            let options = DropoutOptions {
                rate,
                seed: seed as u64,
            };
            for (place, count) in counts.iter_mut().enumerate() {
                *count += usize::from(reference::drops(place, options));
            }
        }
        for (place, count) in counts.into_iter().enumerate() {
            assert_by_chance(&format!("place {place}"), count, seeds, rate);
        }
    }
}

#[test]
fn halves_double_what_they_keep_exactly() {
    let options = DropoutOptions { rate: 0.5, seed: 3 };
    let x = integers(1, 2999);
    let wanted = reference::forward(&x, options);
    for dtype in dtypes() {
        assert_exact(
            "y",
            &dropout(&upload(&x, &[2999], dtype), options).unwrap(),
            &wanted,
        );
    }
}

#[test]
fn what_is_not_finite_is_multiplied_as_pytorch_does() {
    let options = DropoutOptions { rate: 0.5, seed: 5 };
    for length in [1, 3, 40] {
        for hostile in NOT_FINITE {
            let mut x = vec![hostile; 2 * length];
            x[length..].copy_from_slice(&reals(1, length));
            let wanted = reference::forward(&x, options);
            for dtype in dtypes() {
                let y = dropout(&upload(&x, &[2, length], dtype), options).unwrap();
                assert_alike("y", &y, &wanted);
            }
        }
    }
    let x = vec![f64::INFINITY; 40];
    let wanted = reference::forward(&x, options);
    assert!(wanted.iter().any(|y| y.is_nan()) && wanted.iter().any(|y| y.is_infinite()));
}

#[test]
fn a_rate_of_0_is_the_identity_in_the_same_memory() {
    let x = upload(&reals(1, 21), &[3, 7], DType::F32);
    let options = DropoutOptions { rate: 0.0, seed: 9 };
    let y = assert_launches("dropout", 0, || dropout(&x, options).unwrap());
    assert_same_bits("y", &y, &x);
    fill(&y, 2.0);
    assert_exact("x", &x, &[2.0; 21]);
    let grad = Tensor::zeros(&client(), x.shape(), x.dtype());
    let tape = Tape::new();
    let leaf = tape.leaf(&x, &grad).unwrap();
    let y = tape.apply(ops::Dropout { options }, &[&leaf]).unwrap();
    let seed = upload(&reals(2, 21), &[3, 7], DType::F32);
    tape.backward_from(&[(&y, seed.clone())]).unwrap();
    assert_same_bits("gradient", &grad, &seed);
}

#[test]
fn rates_next_to_1_drop_almost_all_and_stay_finite() {
    for rate in [0.999_999, 1.0 - f64::EPSILON] {
        let options = DropoutOptions { rate, seed: 1 };
        let y = dropout(&upload(&[1.0; 4096], &[4096], DType::F32), options).unwrap();
        let kept: Vec<f64> = download(&y).into_iter().filter(|&y| y != 0.0).collect();
        assert!(kept.len() < 8, "{rate} keeps {}", kept.len());
        assert!(kept.iter().all(|y| y.is_finite()));
    }
}

#[test]
fn it_is_one_launch_and_none_for_an_empty_tensor() {
    let options = DropoutOptions { rate: 0.3, seed: 1 };
    for (rows, wanted) in [(3, 1), (0, 0)] {
        let x = upload(&vec![1.0; rows * 7], &[rows, 7], DType::F32);
        assert_launches("dropout", wanted, || dropout(&x, options).unwrap());
    }
}

#[test]
fn repeated_launches_and_one_core_give_the_same_bits() {
    let mut fingerprint = Fingerprint::default();
    for len in [1, 31, 513, 100_003] {
        let x = upload(&reals(1, len), &[len], DType::F32);
        let options = DropoutOptions {
            rate: 0.4,
            seed: len as u64,
        };
        let y = dropout(&x, options).unwrap();
        assert_same_bits("again", &y, &dropout(&x, options).unwrap());
        fingerprint.add(&y);
    }
    let name = "repeated_launches_and_one_core_give_the_same_bits";
    assert_same_bits_on_one_core(name, &fingerprint);
}

#[test]
fn a_rate_that_is_none_is_refused() {
    let x = upload(&[1.0; 6], &[2, 3], DType::F32);
    for rate in [1.0, -0.1, 1.5, f64::NAN, f64::INFINITY] {
        let refused = dropout(&x, DropoutOptions { rate, seed: 0 });
        assert_refuses_range(refused, "rate", rate);
    }
}
