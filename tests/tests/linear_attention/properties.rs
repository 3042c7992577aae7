//! What holds for every attention.

use super::case::{Case, RESULTS, cases};
use ghostlight_autodiff::check::{GradcheckOptions, gradcheck};
use ghostlight_autodiff::ops::LinearAttention;
use ghostlight_autodiff::{Tape, Var};
use ghostlight_kernels::DType;
use ghostlight_kernels::attention::linear::{backward, linear_attention, linear_attention_into};
use ghostlight_tests::{
    GRADIENT, VALUE, Windowed, assert_adjoint, assert_launches, assert_near, assert_same_bits,
    client, download, has_f64, naive, upload,
};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ghostlight_tests::cases(64))]

    #[test]
    fn values_and_gradients_differ_from_the_reference_by_no_more_than_rounding(case in cases()) {
        let (wanted, magnitude) = (case.reference(), case.magnitude());
        for dtype in case.dtypes() {
            let got = case.run(dtype);
            for i in 0..2 {
                let factor = [VALUE, GRADIENT][i] * case.naive();
                assert_near(RESULTS[i], &got[i], &wanted[i], &magnitude[i], factor);
            }
        }
    }

    #[test]
    fn the_gradient_of_the_values_is_the_adjoint_of_what_they_give(case in cases()) {
        // With queries and keys held, the result is linear in the values.
        let d = case.head;
        let is_value = |i: &usize| i % (3 * d) >= 2 * d;
        let magnitude: f64 = case.magnitude()[0].iter().zip(&case.grad).map(|(y, g)| (y * g).abs()).sum();
        for dtype in case.dtypes() {
            let [y, grad] = case.run(dtype).map(|t| download(&t));
            let only_values = |all: &[f64]| -> Vec<f64> {
                (0..all.len()).filter(is_value).map(|i| all[i]).collect()
            };
            let (v, by_v) = (only_values(&case.qkv), only_values(&grad));
            let what = "<y(v), g> = <v, grad_v>";
            assert_adjoint(what, dtype, (&y, &case.grad), (&v, &by_v), magnitude * case.naive());
        }
    }

    #[test]
    fn gradients_are_derivatives(
        [samples, tokens, groups] in [1usize..3, 1usize..6, 1usize..3],
        head in prop_oneof![1usize..10, Just(16), Just(20)],
    ) {
        if !has_f64() {
            return Ok(());
        }
        let case = Case::random([samples, tokens, groups, head], 1);
        let inputs = [(case.qkv.clone(), case.shape().to_vec())];
        let apply = |tape: &Tape, v: &[Var]| {
            tape.apply(LinearAttention { head, epsilon: 0.125, into: None }, &[&v[0]])
        };
        gradcheck(&client(), &inputs, apply, GradcheckOptions { step: 1e-6, tolerance: 1e-5, ..GradcheckOptions::default() })?;
    }

    #[test]
    fn windows_are_read_and_written_alone(case in cases(), before in 0usize..5, after in 0usize..5) {
        if case.groups == 0 {
            return Ok(());
        }
        for dtype in case.dtypes() {
            let [y, grad] = case.run(dtype);
            let qkv = Windowed::of(&case.qkv, &case.shape(), dtype, before, after);
            let g = Windowed::of(&case.grad, &case.output_shape(), dtype, after, before);
            let to = Windowed::room(&case.output_shape(), dtype, before, after);
            linear_attention_into(&qkv.window, case.head, case.epsilon, &to.window).unwrap();
            assert_same_bits("y", &to.window, &y);
            to.assert_gaps_untouched("y");
            let got = backward(&qkv.window, &g.window, case.head, case.epsilon).unwrap();
            assert_same_bits("grad", &got, &grad);
        }
    }
}

#[test]
fn values_and_gradients_are_pytorchs() {
    // timm's LiteMLA from its queries, keys and values on, in float64: two groups of two channels, three tokens.
    let case = Case {
        samples: 1,
        tokens: 3,
        groups: 2,
        head: 2,
        qkv: vec![
            0.5, -1.0, 2.0, 0.25, 1.0, -3.0, -0.5, 0.75, 1.5, 1.0, 2.0, 0.5, 1.5, 0.5, -0.25, 1.0,
            0.5, 2.0, 0.25, 1.25, -1.0, 0.5, -1.5, 4.0, -2.0, 3.0, 0.75, -0.5, -1.0, 1.0, 1.0,
            -0.25, 0.5, 2.0, 3.0, -2.0,
        ],
        grad: vec![
            1.0, -2.0, 0.5, 3.0, -1.0, 2.0, 1.0, 5.0, -1.0, 0.25, 2.0, -0.5,
        ],
        epsilon: 0.125,
    };
    let wanted = [
        vec![
            0.4166666666666667,
            -1.75,
            1.9772727272727273,
            -0.4090909090909091,
            0.46153846153846156,
            -1.4871794871794872,
            2.0375,
            -0.3875,
            0.5806451612903226,
            0.967741935483871,
            2.1176470588235294,
            -0.11764705882352941,
        ],
        vec![
            0.6527777777777777,
            0.0,
            -0.06886916502301138,
            -1.4581608435766762,
            -0.1679073614557486,
            -0.0028949545078575945,
            0.0,
            -0.01446280991735538,
            -0.03605536332179948,
            1.846900826446281,
            1.8731283422459892,
            2.09024064171123,
            -0.47205785667324096,
            1.239973701512163,
            0.0,
            0.9736009430238199,
            -0.8767576509511993,
            0.3986765922249793,
            0.61,
            -0.11999999999999988,
            0.0,
            7.733264462809918,
            0.19318181818181818,
            1.0340909090909092,
            0.0,
            -0.0036420395421435797,
            -0.32527942143326743,
            0.0,
            0.019230769230769204,
            -0.03846153846153841,
            0.25259515570934177,
            0.0,
            0.918356401384083,
            -2.937190082644628,
            1.2683155080213904,
            4.143716577540108,
        ],
    ];
    let magnitude = case.magnitude();
    for dtype in case.dtypes() {
        let got = case.run(dtype);
        for i in 0..2 {
            assert_near(
                RESULTS[i],
                &got[i],
                &wanted[i],
                &magnitude[i],
                GRADIENT * 2.0,
            );
        }
    }
}

#[test]
fn a_token_alone_takes_its_value_in_the_share_that_query_and_key_have_of_the_divisor() {
    for head in [1, 5, 16, 33] {
        let case = Case::random([3, 1, 2, head], 1);
        let tokens = case.qkv.chunks(3 * head);
        let wanted: Vec<f64> = tokens
            .flat_map(|token| {
                let product = |c: usize| token[c].max(0.0) * token[head + c].max(0.0);
                let alike: f64 = (0..head).map(product).sum();
                let share = alike / (alike + case.epsilon);
                token[2 * head..].iter().map(move |v| v * share)
            })
            .collect();
        for dtype in case.dtypes() {
            let y = &case.run(dtype)[0];
            assert_near("y", y, &wanted, &case.magnitude()[0], VALUE * naive(head));
        }
    }
}

#[test]
fn tokens_of_one_key_take_the_mean_of_all_values() {
    // Whatever a query asks for, all keys answer alike.
    let (tokens, head) = (100, 8);
    let mut case = Case::random([1, tokens, 1, head], 2);
    for token in case.qkv.chunks_mut(3 * head) {
        token[..2 * head].fill(0.5);
    }
    let mean = |c: usize| {
        let values = case.qkv.chunks(3 * head).map(|token| token[2 * head + c]);
        values.sum::<f64>() / tokens as f64
    };
    let wanted: Vec<f64> = (0..tokens * head).map(|i| mean(i % head)).collect();
    let mut bare = case.clone();
    bare.epsilon = 1e-30;
    let y = &bare.run(DType::F32)[0];
    assert_near("y", y, &wanted, &case.magnitude()[0], VALUE * case.naive());
}

#[test]
fn each_direction_is_one_launch_and_nothing_launches_none() {
    for (shape, wanted) in [
        ([2, 5, 3, 4], 1),
        ([0, 5, 3, 4], 0),
        ([2, 0, 3, 4], 0),
        ([2, 5, 0, 4], 0),
    ] {
        let case = Case::random(shape, 1);
        let [qkv, grad] = case.operands(DType::F32);
        let forward = || linear_attention(&qkv, 4, 1e-5).unwrap();
        let y = assert_launches("forward", wanted, forward);
        assert_eq!(y.shape(), case.output_shape());
        let back = || backward(&qkv, &grad, 4, 1e-5).unwrap();
        let got = assert_launches("backward", wanted, back);
        assert_eq!(got.shape(), case.shape());
    }
}

#[test]
fn a_map_is_a_row_of_its_pixels() {
    let case = Case::random([2, 12, 2, 5], 3);
    let [qkv, grad] = case.operands(DType::F32);
    let [y, by_qkv] = case.run(DType::F32);
    let map = upload(&case.qkv, &[2, 3, 4, 30], DType::F32);
    let got = linear_attention(&map, 5, case.epsilon).unwrap();
    assert_eq!(got.shape(), [2, 3, 4, 10]);
    assert_same_bits("y", &got.reshape(y.shape()).unwrap(), &y);
    let grad = grad.reshape(&[2, 3, 4, 10]).unwrap();
    let got = backward(&map, &grad, 5, case.epsilon).unwrap();
    assert_same_bits("grad", &got.reshape(qkv.shape()).unwrap(), &by_qkv);
}
