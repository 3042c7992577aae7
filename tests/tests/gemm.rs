//! The matrix product and its gradients: the reference on random shapes and at the corners, adjointness, hostile values,
//! determinism and refusals.

use ghostlight_kernels::matmul::gemm::{
    GemmProblem, gemm, gemm_into, grad_a, grad_b, grad_bias, reference,
};
use ghostlight_kernels::pointwise::activation::{Activation, reference::value as activated};
use ghostlight_kernels::{Affine, Clamp, DType, Tensor};
use ghostlight_tests::{
    Fingerprint, GRADIENT, NOT_FINITE, VALUE, abs, assert_adjoint, assert_alike, assert_exact,
    assert_near, assert_refuses_dtype, assert_refuses_shape, assert_same_bits,
    assert_same_bits_on_one_core, client, download, dtypes, finishes_loops, integers, naive,
    poison, reals, upload,
};
use proptest::prelude::*;

const RESULTS: [&str; 4] = ["gemm", "grad_a", "grad_b", "grad_bias"];

/// Both factors, the bias (empty for none) and the gradient of the product, on the host.
#[derive(Clone)]
struct Operands {
    a: Vec<f64>,
    b: Vec<f64>,
    bias: Vec<f64>,
    g: Vec<f64>,
}

impl Operands {
    fn draw(problem: &GemmProblem, seed: u64, draw: fn(u64, usize) -> Vec<f64>) -> Self {
        let &GemmProblem { m, k, n, bias, .. } = problem;
        Self {
            a: draw(seed, m * k),
            b: draw(seed + 1, k * n),
            bias: draw(seed + 2, if bias { n } else { 0 }),
            g: draw(seed + 3, m * n),
        }
    }

    fn run(&self, problem: &GemmProblem, dtype: DType) -> [Tensor; 4] {
        let &GemmProblem { m, k, n, bias, .. } = problem;
        let (a, b) = (
            upload(&self.a, &[m, k], dtype),
            upload(&self.b, &[k, n], dtype),
        );
        let bias = bias.then(|| upload(&self.bias, &[n], dtype));
        let g = upload(&self.g, &[m, n], dtype);
        poison(dtype, &[a.len(), b.len(), g.len()]);
        let results = [
            gemm(&a, &b, bias.as_ref()).unwrap(),
            grad_a(&a, &b, &g).unwrap(),
            grad_b(&a, &b, &g).unwrap(),
            grad_bias(&g).unwrap(),
        ];
        let shapes = results.each_ref().map(Tensor::shape);
        assert_eq!(shapes, [&[m, n][..], &[m, k], &[k, n], &[n]]);
        results
    }

    fn reference(&self, problem: &GemmProblem) -> [Vec<f64>; 4] {
        [
            reference::forward(problem, &self.a, &self.b, &self.bias),
            reference::grad_a(problem, &self.b, &self.g),
            reference::grad_b(problem, &self.a, &self.g),
            reference::grad_bias(problem, &self.g),
        ]
    }

    /// The same operands without their signs: their results are the magnitudes of the sums.
    fn abs(&self) -> Self {
        let [a, b, bias, g] = [&self.a, &self.b, &self.bias, &self.g].map(|v| abs(v));
        Self { a, b, bias, g }
    }
}

fn problem(m: usize, k: usize, n: usize, bias: bool) -> GemmProblem {
    GemmProblem {
        m,
        k,
        n,
        bias,
        dtype: DType::F64,
    }
}

/// Extents on both sides of a tile of 8 rows, of vectors of 16 and of a partial sum of 256 rows.
fn problems() -> impl Strategy<Value = GemmProblem> {
    let rows = prop_oneof![1 => Just(0usize), 6 => 1usize..40, 3 => 240usize..800];
    let extent = || {
        let channels = prop::sample::select(&[1usize, 3, 10, 16, 24, 32, 48, 64][..]);
        prop_oneof![2 => channels, 1 => 1usize..80]
    };
    (rows, extent(), extent(), any::<bool>()).prop_map(|(m, k, n, bias)| problem(m, k, n, bias))
}

fn assert_integers_are_exact(problem: &GemmProblem, seed: u64) {
    let operands = Operands::draw(problem, seed, integers);
    let wanted = operands.reference(problem);
    for dtype in dtypes() {
        let got = operands.run(problem, dtype);
        for i in 0..4 {
            assert_exact(RESULTS[i], &got[i], &wanted[i]);
        }
    }
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(48))]

    #[test]
    fn integers_give_exactly_what_the_reference_gives(problem in problems(), seed: u32) {
        assert_integers_are_exact(&problem, seed.into());
    }

    #[test]
    fn reals_differ_from_the_reference_by_no_more_than_rounding(problem in problems(), seed: u32) {
        let operands = Operands::draw(&problem, seed.into(), reals);
        let wanted = operands.reference(&problem);
        let magnitude = operands.abs().reference(&problem);
        let terms = [problem.k + 1, problem.n, problem.m, problem.m];
        for dtype in dtypes() {
            let got = operands.run(&problem, dtype);
            for (i, factor) in [VALUE, GRADIENT, GRADIENT, GRADIENT].into_iter().enumerate() {
                let units = factor * naive(terms[i]);
                assert_near(RESULTS[i], &got[i], &wanted[i], &magnitude[i], units);
            }
        }
    }

    #[test]
    fn the_gradients_are_adjoints_of_the_product(problem in problems(), seed: u32) {
        // The product is linear in each factor alone once there is no bias.
        let problem = GemmProblem { bias: false, ..problem };
        let operands = Operands::draw(&problem, seed.into(), reals);
        let Operands { a, b, g, .. } = &operands;
        let bare = operands.abs();
        let sums = reference::forward(&problem, &bare.a, &bare.b, &[]);
        let magnitude: f64 = sums.iter().zip(&bare.g).map(|(c, g)| c * g).sum();
        for dtype in dtypes() {
            let [c, da, db, _] = operands.run(&problem, dtype).map(|t| download(&t));
            assert_adjoint("<a b, g> = <a, grad_a(g)>", dtype, (&c, g), (a, &da), magnitude);
            assert_adjoint("<a b, g> = <b, grad_b(g)>", dtype, (&c, g), (b, &db), magnitude);
        }
    }
}

#[test]
fn a_million_rows_of_a_tenth_sum_to_a_hundred_thousand() {
    if !finishes_loops("a million rows", 1_000_000) {
        return;
    }
    // One by one they come to 100,958: equal additions round the same way, thousands of times in a row.
    let (rows, tenth) = (1_000_000, f64::from(0.1f32));
    for columns in [1, 3] {
        let g = upload(&vec![tenth; rows * columns], &[rows, columns], DType::F32);
        let wanted = vec![tenth * rows as f64; columns];
        assert_near("grad_bias", &grad_bias(&g).unwrap(), &wanted, &wanted, 16.0);
        let a = upload(&vec![1.0; rows], &[rows, 1], DType::F32);
        let b = upload(&vec![1.0; columns], &[1, columns], DType::F32);
        let got = grad_b(&a, &b, &g).unwrap();
        assert_near("grad_b", &got, &wanted, &wanted, 32.0);
    }
}

#[test]
fn corners_give_exactly_what_the_reference_gives() {
    let corners = [
        ("one number", problem(1, 1, 1, true)),
        ("one column", problem(19, 37, 1, true)),
        ("one row", problem(1, 24, 32, false)),
        ("an outer product", problem(17, 1, 10, true)),
        ("one row past a tile", problem(9, 16, 16, true)),
        ("one row past a partial sum", problem(257, 3, 10, false)),
        (
            "more rows than partial sums hold evenly",
            problem(8200, 3, 2, true),
        ),
        ("no row", problem(0, 5, 3, true)),
        (
            "more tiles than a GPU has room for",
            problem(16_500, 9, 40, true),
        ),
        (
            "more partial sums than that, of two tiles' depth",
            problem(8_300, 128, 36, false),
        ),
    ];
    for (name, problem) in corners {
        println!("{name}");
        assert_integers_are_exact(&problem, 11);
    }
}

#[test]
fn a_row_that_is_not_a_number_stays_one_row() {
    let problem = problem(19, 10, 24, true);
    let clean = Operands::draw(&problem, 2, reals);
    let mut spoiled = clean.clone();
    spoiled.a[9 * 10 + 4] = f64::NAN;
    for dtype in dtypes() {
        let [got, grad_a, grad_b, _] = spoiled.run(&problem, dtype);
        let [before, grad_a_before, grad_b_before, _] = clean.run(&problem, dtype);
        let rows = [download(&got), download(&before)];
        for row in 0..19 {
            let [got, before] = [&rows[0], &rows[1]].map(|c| &c[row * 24..(row + 1) * 24]);
            match row {
                9 => assert!(got.iter().all(|v| v.is_nan()), "row 9: {got:?}"),
                _ => assert_eq!(got, before, "row {row}"),
            }
        }
        assert_same_bits("grad_a does not read a", &grad_a, &grad_a_before);
        for (i, (got, before)) in download(&grad_b)
            .iter()
            .zip(download(&grad_b_before))
            .enumerate()
        {
            assert_eq!(got.is_nan(), i / 24 == 4, "grad_b, element {i}: {got}");
            assert!(
                got.is_nan() || *got == before,
                "grad_b, element {i}: {got}, wanted {before}"
            );
        }
    }
}

#[test]
fn what_is_not_finite_passes_the_fused_relu_as_it_passes_the_composition() {
    for problem in [problem(19, 10, 24, false), problem(300, 3, 10, false)] {
        let GemmProblem { m, k, n, .. } = problem;
        for (value, operand) in NOT_FINITE
            .into_iter()
            .flat_map(|v| (0..5).map(move |o| (v, o)))
        {
            let mut operands = Operands::draw(&problem, 3, integers);
            let [mut centre, mut scale, mut shift] = [7, 8, 9].map(|seed| integers(seed, n));
            let spoiled = match operand {
                0 => &mut operands.a,
                1 => &mut operands.g,
                2 => &mut centre,
                3 => &mut scale,
                _ => &mut shift,
            };
            let middle = spoiled.len() / 2;
            spoiled[middle] = value;
            let bare = reference::forward(&problem, &operands.a, &operands.b, &[]);
            let wanted: Vec<f64> = (0..m * n)
                .map(|i| {
                    let value = (bare[i] - centre[i % n]) * scale[i % n] + shift[i % n];
                    activated(value + operands.g[i], Activation::Relu)
                })
                .collect();
            for dtype in dtypes() {
                let vector = |values: &[f64]| upload(values, &[n], dtype);
                let a = upload(&operands.a, &[m, k], dtype);
                let b = upload(&operands.b, &[k, n], dtype);
                let affine = Affine {
                    centre: &vector(&centre),
                    scale: &vector(&scale),
                    shift: &vector(&shift),
                    residual: Some(&upload(&operands.g, &[m, n], dtype)),
                    clamp: Clamp::Relu,
                };
                let out = Tensor::empty(&client(), &[m, n], dtype);
                gemm_into(&a, &b, &affine, &out).unwrap();
                assert_alike("gemm_into", &out, &wanted);
            }
        }
    }
}

/// Few rows have tiles of their own and share their columns among the cores.
#[test]
fn a_row_has_the_same_bits_alone_and_among_others() {
    for dtype in dtypes() {
        for (k, n) in [(7, 1), (33, 40), (64, 200), (19, 1000)] {
            let problem = problem(40, k, n, true);
            let operands = Operands::draw(&problem, 5, reals);
            let [all, ..] = operands.run(&problem, dtype);
            for rows in [1, 2, 17] {
                let few = Operands {
                    a: operands.a[..rows * k].to_vec(),
                    g: operands.g[..rows * n].to_vec(),
                    ..operands.clone()
                };
                let [alone, ..] = few.run(&GemmProblem { m: rows, ..problem }, dtype);
                let among = all.slice(0, &[rows, n]).unwrap();
                assert_same_bits("rows", &alone, &among);
            }
        }
    }
}

#[test]
fn repeated_launches_give_the_same_bits() {
    let problem = problem(777, 24, 10, true);
    let operands = Operands::draw(&problem, 5, reals);
    for dtype in dtypes() {
        let first = operands.run(&problem, dtype);
        for _ in 0..4 {
            let again = operands.run(&problem, dtype);
            for i in 0..4 {
                assert_same_bits(RESULTS[i], &first[i], &again[i]);
            }
        }
    }
}

#[test]
fn one_core_gives_the_same_bits_as_all() {
    let mut fingerprint = Fingerprint::default();
    for problem in [
        problem(777, 24, 10, true),
        problem(9000, 3, 16, false),
        problem(5, 64, 48, true),
    ] {
        let operands = Operands::draw(&problem, 6, reals);
        for dtype in dtypes() {
            for result in operands.run(&problem, dtype) {
                fingerprint.add(&result);
            }
        }
    }
    assert_same_bits_on_one_core("one_core_gives_the_same_bits_as_all", &fingerprint);
}

fn of(shape: &[usize]) -> Tensor {
    Tensor::empty(&client(), shape, DType::F32)
}

fn double(shape: &[usize]) -> Tensor {
    Tensor::empty(&client(), shape, DType::F64)
}

#[test]
fn refusals_come_in_the_documented_order() {
    // Each line repairs what the line before it was refused for.
    let bias = double(&[4]);
    assert_refuses_shape(gemm(&of(&[6]), &double(&[2]), Some(&bias)), "a", &[6]);
    let a = of(&[2, 3]);
    assert_refuses_shape(gemm(&a, &double(&[2]), Some(&bias)), "b", &[2]);
    assert_refuses_shape(gemm(&a, &double(&[4, 5]), Some(&bias)), "b", &[4, 5]);
    assert_refuses_shape(gemm(&a, &double(&[3, 0]), Some(&bias)), "b", &[3, 0]);
    assert_refuses_dtype(gemm(&a, &double(&[3, 5]), Some(&bias)), "b", DType::F64);
    assert_refuses_shape(gemm(&a, &of(&[3, 5]), Some(&bias)), "bias", &[4]);
    assert_refuses_dtype(
        gemm(&a, &of(&[3, 5]), Some(&double(&[5]))),
        "bias",
        DType::F64,
    );
    assert!(gemm(&a, &of(&[3, 5]), Some(&of(&[5]))).is_ok());
    assert_refuses_shape(gemm(&of(&[2, 0]), &of(&[0, 5]), None), "b", &[0, 5]);
}

#[test]
fn gradients_refuse_what_the_product_refuses_and_then_a_gradient_of_the_wrong_kind() {
    for gradient in [grad_a, grad_b] {
        let (a, b) = (of(&[2, 3]), of(&[3, 5]));
        assert_refuses_shape(gradient(&a, &of(&[4, 5]), &double(&[2, 4])), "b", &[4, 5]);
        assert_refuses_shape(gradient(&a, &b, &double(&[2, 4])), "grad", &[2, 4]);
        assert_refuses_dtype(gradient(&a, &b, &double(&[2, 5])), "grad", DType::F64);
        assert!(gradient(&a, &b, &of(&[2, 5])).is_ok());
    }
    assert_refuses_shape(grad_bias(&of(&[2, 3, 4])), "grad", &[2, 3, 4]);
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(256))]

    #[test]
    fn no_shape_panics(
        a in prop::collection::vec(0usize..4, 0..4),
        b in prop::collection::vec(0usize..4, 0..4),
        bias in prop::option::of(prop::collection::vec(0usize..4, 0..3)),
    ) {
        let bias = bias.map(|shape| of(&shape));
        match GemmProblem::new(&of(&a), &of(&b), bias.as_ref()) {
            Ok(problem) => prop_assert_eq!(([problem.m, problem.k], [problem.k, problem.n]), ([a[0], a[1]], [b[0], b[1]])),
            Err(error) => prop_assert!(error.to_string().starts_with("gemm: "), "{}", error),
        }
        let grad = of(&b);
        prop_assert_eq!(grad_bias(&grad).is_ok(), b.len() == 2);
    }
}
