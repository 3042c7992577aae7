//! What holds for every norm.

use super::case::{Case, RESULTS, cases};
use ghostlight_autodiff::check::{GradcheckOptions, gradcheck};
use ghostlight_autodiff::ops;
use ghostlight_kernels::DType;
use ghostlight_kernels::launch::is_cpu;
use ghostlight_kernels::norm::layer_norm::{Sample, backward, layer_norm};
use ghostlight_tests::{
    GRADIENT, VALUE, assert_exact, assert_launches, assert_near, client, dtypes, integers, upload,
};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ghostlight_tests::cases(48))]

    #[test]
    fn a_norm_differs_from_the_reference_by_no_more_than_rounding(case in cases()) {
        let (wanted, magnitude) = (case.reference(), case.magnitude());
        for dtype in dtypes() {
            let got = case.run(dtype);
            for i in 0..4 {
                let factor = if i == 0 { VALUE } else { GRADIENT } * case.naive();
                assert_near(RESULTS[i], &got[i], &wanted[i], &magnitude[i], factor);
            }
        }
    }

    #[test]
    fn gradients_are_derivatives(
        [n, pixels, c] in [1usize..4, 1usize..4, 2usize..40],
        sample in prop::sample::select(&[Sample::Pixel, Sample::Image][..]),
    ) {
        let case = Case::random([n, pixels, c], sample, 1);
        let operation = ops::LayerNorm { sample, epsilon: 1e-2 };
        let inputs = [(case.x, case.shape), (case.gamma, vec![c]), (case.beta, vec![c])];
        let apply = |tape: &ghostlight_autodiff::Tape, v: &[ghostlight_autodiff::Var]| tape.apply(operation, &[&v[0], &v[1], &v[2]]);
        gradcheck(&client(), &inputs, apply, GradcheckOptions { step: 1e-6, tolerance: 1e-5, ..GradcheckOptions::default() })?;
    }
}

#[test]
fn long_rows_and_many_pixels_agree_with_the_reference() {
    // Rows that a team's registers hold or do not, rows past a cube's teams, and images of several runs of which the last is cut off.
    let shapes = [
        [3, 7, 258],
        [70, 1, 1024],
        [20, 1, 1100],
        [600, 1, 36],
        [3, 301, 36],
        [2, 130, 260],
        [1, 1500, 5],
    ];
    for shape in shapes {
        for sample in [Sample::Pixel, Sample::Image] {
            let case = Case::random(shape, sample, 3);
            let (wanted, magnitude) = (case.reference(), case.magnitude());
            let got = case.run(DType::F32);
            for i in 0..4 {
                let factor = if i == 0 { VALUE } else { GRADIENT } * case.naive();
                assert_near(RESULTS[i], &got[i], &wanted[i], &magnitude[i], factor);
            }
        }
    }
}

#[test]
fn balanced_signs_are_exact() {
    // Mean 0 and variance 1, so an epsilon of 3 gives an inverse deviation of 1/2. Even counts of a power of two divide exactly.
    for [n, pixels, c] in [[3, 1, 2], [70, 2, 16], [5, 4, 64], [200, 1, 128]] {
        for sample in [Sample::Pixel, Sample::Image] {
            let mut case = Case::random([n, pixels, c], sample, 1);
            case.x = (0..n * pixels * c).map(|i| [1.0, -1.0][i % 2]).collect();
            (case.grad, case.epsilon) = (integers(2, n * pixels * c), 3.0);
            (case.gamma, case.beta) = (integers(3, c), integers(4, c));
            let wanted = case.reference();
            for dtype in dtypes() {
                let got = case.run(dtype);
                for i in 0..4 {
                    assert_exact(RESULTS[i], &got[i], &wanted[i]);
                }
            }
        }
    }
}

#[test]
fn values_and_gradients_are_pytorchs() {
    // torch.nn.functional in float64: layer_norm of [2, 5], group_norm of one group of [2, 3, 2]; gradients of the sum weighted by `grad`.
    let layer = Case {
        shape: vec![2, 1, 5],
        sample: Sample::Pixel,
        x: vec![
            1.0, 2.0, 4.0, -1.0, 0.5, 1000.0, 1001.0, 998.0, 999.0, 1003.0,
        ],
        gamma: vec![1.0, 0.5, -2.0, 1.5, 0.25],
        beta: vec![0.0, 1.0, -1.0, 0.5, 2.0],
        grad: vec![1.0, -2.0, 0.5, 3.0, -1.0, 2.0, 1.0, 5.0, -1.0, 0.25],
        epsilon: 1e-5,
    };
    let layer_golden = [
        vec![
            -0.18057845249407245,
            1.2106748612430844,
            -4.250412144893303,
            -1.576652203681833,
            1.8796143650039516,
            -0.11624744238008787,
            1.2324948847601096,
            1.5574437323614045,
            -0.5462269814205927,
            2.4068660483302082,
        ],
        vec![
            0.029442795631517527,
            -0.5703066689570757,
            0.6379071017867035,
            0.9279776373185833,
            -1.025020865779729,
            2.389748305980902,
            0.5763306585886312,
            -2.7019745777392927,
            1.296979893871594,
            -1.5610842807013796,
        ],
        vec![
            -0.41307333725428863,
            -0.37770967545213885,
            -5.581006294680287,
            -3.4558197530832513,
            0.8884085883143965,
        ],
        vec![3.0, -1.0, 5.5, 2.0, -0.75],
    ];
    let group = Case {
        shape: vec![2, 3, 2],
        sample: Sample::Image,
        x: vec![
            1.0, 2.0, 4.0, -1.0, 0.5, 3.0, -2.0, 0.0, 1.0, 5.0, 2.5, -3.0,
        ],
        gamma: vec![1.5, -0.5],
        beta: vec![0.25, 1.0],
        grad: vec![
            1.0, -2.0, 0.5, 3.0, -1.0, 2.0, 1.0, 5.0, -1.0, 0.25, 0.5, 1.0,
        ],
        epsilon: 1e-5,
    };
    let group_golden = [
        vec![
            -0.28237014752870626,
            0.8732452029693556,
            2.4555334683332113,
            1.7858797415899947,
            -0.7386874168390258,
            0.5690336900958092,
            -1.1939869660785678,
            1.108687190995161,
            0.4829011235610593,
            0.1770826967509236,
            1.321345168380873,
            1.6676498875417034,
        ],
        vec![
            1.1077517648655972,
            0.5994299410893569,
            0.03910356284719596,
            -0.30929669057029346,
            -0.6154621569243344,
            -0.8215264213075226,
            0.6983440359666865,
            -0.7859346086291048,
            -0.41014853783391547,
            0.11481102639039212,
            0.43301191663213945,
            -0.05008383252619775,
        ],
        vec![0.2785789986851566, -5.509145431456263],
        vec![1.0, 9.25],
    ];
    for (case, golden) in [(layer, layer_golden), (group, group_golden)] {
        let (reference, magnitude) = (case.reference(), case.magnitude());
        for i in 0..4 {
            for (ours, theirs) in reference[i].iter().zip(&golden[i]) {
                assert!(
                    (ours - theirs).abs() < 1e-12,
                    "{}: {ours} {theirs}",
                    RESULTS[i]
                );
            }
        }
        for dtype in dtypes() {
            for (i, got) in case.run(dtype).iter().enumerate() {
                assert_near(
                    RESULTS[i],
                    got,
                    &golden[i],
                    &magnitude[i],
                    GRADIENT * case.naive(),
                );
            }
        }
    }
}

#[test]
fn forward_is_one_launch_and_backward_two_or_three_and_four_for_images_on_a_gpu() {
    for (n, forward, back) in [(3, 1, 2), (0, 0, 0)] {
        let x = upload(&vec![1.0; n * 40], &[n, 4, 10], DType::F32);
        let affine = upload(&[1.0; 10], &[10], DType::F32);
        for sample in [Sample::Pixel, Sample::Image] {
            let by_cubes = sample == Sample::Image && !is_cpu(&client());
            let (forward, back) = if by_cubes {
                (3 * forward, 2 * back)
            } else {
                (forward, back)
            };
            let run = || layer_norm(&x, &affine, &affine, 1e-5, sample).unwrap();
            let (_, saved) = assert_launches("layer_norm", forward, run);
            let got = assert_launches("backward", back, || backward(&saved, &x).unwrap());
            if n == 0 {
                assert_exact("gamma", &got.gamma, &[0.0; 10]);
                assert_exact("beta", &got.beta, &[0.0; 10]);
            }
        }
    }
}
