//! Values that break careless sums, and determinism.

use super::case::{Case, RESULTS};
use ghostlight_kernels::DType;
use ghostlight_kernels::attention::linear::{backward, linear_attention};
use ghostlight_tests::{
    Fingerprint, GRADIENT, NOT_FINITE, assert_alike, assert_near, assert_same_bits,
    assert_same_bits_on_one_core, download, finishes_loops, upload,
};

/// Tokens of another sample or group hold what they held; the rest is what the reference says.
#[test]
fn what_is_no_number_spoils_its_own_group_of_its_own_sample_at_most() {
    for head in [1, 5, 16, 20, 33] {
        let clean = Case::random([2, 6, 3, head], 4);
        for spoil in NOT_FINITE {
            for part in 0..3 {
                for channel in [0, head - 1] {
                    let mut case = clean.clone();
                    // Sample 1, token 2, group 1.
                    let token = (6 + 2) * 3 + 1;
                    case.qkv[token * 3 * head + part * head + channel] = spoil;
                    let wanted = case.reference();
                    for dtype in clean.dtypes() {
                        let (got, before) = (case.run(dtype), clean.run(dtype));
                        for i in 0..2 {
                            assert_alike(RESULTS[i], &got[i], &wanted[i]);
                            let width = if i == 0 { head } else { 3 * head };
                            let pairs = download(&got[i]).into_iter().zip(download(&before[i]));
                            for (j, (got, before)) in pairs.enumerate() {
                                let (sample, group) = (j / (18 * width), j / width % 3);
                                let own = (sample, group) == (1, 1);
                                assert!(own || got == before, "{} element {j}", RESULTS[i]);
                            }
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_gradient_that_is_no_number_reaches_what_it_depends_on() {
    for spoil in NOT_FINITE {
        let mut case = Case::random([2, 6, 3, 5], 5);
        case.grad[3 * 15 + 5 + 4] = spoil;
        let wanted = case.reference();
        for dtype in case.dtypes() {
            assert_alike("grad", &case.run(dtype)[1], &wanted[1]);
        }
    }
}

#[test]
fn queries_that_are_off_take_nothing_and_give_nothing_to_keys() {
    let mut case = Case::random([1, 7, 1, 20], 6);
    for token in case.qkv.chunks_mut(60) {
        token[..20].iter_mut().for_each(|q| *q = -q.abs());
    }
    for dtype in case.dtypes() {
        for result in case.run(dtype) {
            assert!(download(&result).iter().all(|&v| v == 0.0));
        }
    }
}

#[test]
fn the_smallest_epsilon_stands_where_no_key_answers() {
    // All keys are off: the divisor is epsilon alone, and the numerator 0.
    let mut case = Case::random([1, 5, 2, 16], 7);
    for token in case.qkv.chunks_mut(48) {
        token[16..32].iter_mut().for_each(|k| *k = -k.abs());
    }
    case.epsilon = 1e-30;
    for dtype in case.dtypes() {
        let y = download(&case.run(dtype)[0]);
        assert!(y.iter().all(|&v| v == 0.0), "{y:?}");
    }
}

#[test]
fn a_million_tokens_keep_their_digits() {
    if !finishes_loops("a million tokens", 3_000_000) {
        return;
    }
    let tokens = 1_000_000;
    let mut case = Case::random([1, tokens, 1, 2], 8);
    case.qkv.fill(f64::from(0.1f32));
    // Numerator and divisor would be wrong alike: a third of the values is another.
    for token in case.qkv.chunks_mut(6).step_by(3) {
        token[4..].fill(f64::from(0.7f32));
    }
    case.grad.fill(1.0);
    let (wanted, magnitude) = (case.reference(), case.magnitude());
    let got = case.run(DType::F32);
    for i in 0..2 {
        assert_near(RESULTS[i], &got[i], &wanted[i], &magnitude[i], 32.0);
    }
}

#[test]
fn equal_groups_have_equal_bits_wherever_they_are() {
    for [tokens, head] in [[1, 1], [5, 3], [4, 16], [70, 20], [9, 64]] {
        let one = Case::random([1, tokens, 1, head], 9);
        let (samples, groups) = (3, 5);
        let all = |values: &[f64], width: usize| -> Vec<f64> {
            let sample: Vec<f64> = values
                .chunks(width)
                .flat_map(|t| t.repeat(groups))
                .collect();
            sample.repeat(samples)
        };
        for dtype in one.dtypes() {
            let [y, grad] = one.run(dtype);
            let shape = [samples, tokens, groups * 3 * head];
            let qkv = upload(&all(&one.qkv, 3 * head), &shape, dtype);
            let got = linear_attention(&qkv, head, one.epsilon).unwrap();
            assert_eq!(download(&got), all(&download(&y), head));
            let shape = [samples, tokens, groups * head];
            let g = upload(&all(&one.grad, head), &shape, dtype);
            let got = backward(&qkv, &g, head, one.epsilon).unwrap();
            assert_eq!(download(&got), all(&download(&grad), 3 * head));
        }
    }
}

#[test]
fn repeated_launches_and_one_core_give_the_same_bits() {
    let mut fingerprint = Fingerprint::default();
    for shape in [
        [1, 1, 1, 1],
        [3, 196, 8, 16],
        [2, 49, 5, 32],
        [5, 70, 1, 21],
    ] {
        let case = Case::random(shape, 10);
        for dtype in case.dtypes() {
            let (first, again) = (case.run(dtype), case.run(dtype));
            for i in 0..2 {
                assert_same_bits(RESULTS[i], &first[i], &again[i]);
                fingerprint.add(&first[i]);
            }
        }
    }
    let name = "hostile::repeated_launches_and_one_core_give_the_same_bits";
    assert_same_bits_on_one_core(name, &fingerprint);
}

#[test]
fn a_long_sum_has_the_error_of_a_short_one() {
    // A hundred thousand random tokens: blocks, and blocks of blocks, that end unevenly.
    if !finishes_loops("a hundred thousand tokens", 3_000_000) {
        return;
    }
    let case = Case::random([1, 100_003, 1, 3], 11);
    let (wanted, magnitude) = (case.reference(), case.magnitude());
    let got = case.run(DType::F32);
    for i in 0..2 {
        assert_near(
            RESULTS[i],
            &got[i],
            &wanted[i],
            &magnitude[i],
            GRADIENT * 8.0,
        );
    }
}
