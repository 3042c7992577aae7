//! Products of many matrices in one launch.

use ghostlight_kernels::matmul::batched::{
    BatchedOptions, BatchedProblem, Form, batched, batched_into, reference,
};
use ghostlight_kernels::{DType, KernelError, Tensor};
use ghostlight_tests::{
    Fingerprint, VALUE, Windowed, abs, assert_adjoint, assert_exact, assert_launches, assert_near,
    assert_refuses_dtype, assert_refuses_range, assert_refuses_shape, assert_same_bits,
    assert_same_bits_on_one_core, client, download, dtypes, integers, naive, poison, reals, upload,
};
use proptest::prelude::*;

const FORMS: [Form; 3] = [Form::Plain, Form::TransposedB, Form::TransposedA];

/// A problem, and how its operands and its result lie.
#[derive(Debug, Clone)]
struct Case {
    problem: BatchedProblem,
    /// Whether the heads of `a`, `b` and the result are an axis of their own.
    axis: [bool; 3],
    /// Channels ahead of each row and behind it.
    around: [usize; 2],
    plus: bool,
}

fn problem([samples, heads]: [usize; 2], [m, k, n]: [usize; 3], form: Form) -> BatchedProblem {
    BatchedProblem {
        samples,
        m,
        k,
        n,
        options: BatchedOptions {
            heads,
            form,
            alpha: 0.5,
        },
        dtype: DType::F64,
    }
}

/// Few and many matrices, extents of attention in networks and others, on both sides of a tile of rows and of a vector.
fn cases() -> impl Strategy<Value = Case> {
    let extent = || {
        let known = prop::sample::select(&[1usize, 4, 16, 20, 30, 36, 49, 60, 64][..]);
        prop_oneof![8 => known, 8 => 1usize..70, 1 => Just(0usize)]
    };
    let sizes = ((0usize..4, 1usize..4), (extent(), extent(), extent()));
    let lie = (any::<[bool; 3]>(), 0usize..20, 0usize..20, any::<bool>());
    let form = prop::sample::select(&FORMS[..]);
    (sizes, form, lie).prop_map(
        |(((s, heads), (m, k, n)), form, (axis, before, after, plus))| Case {
            problem: problem([s, heads], [m, k, n], form),
            axis,
            around: [before, after],
            plus,
        },
    )
}

/// Operands on the host, heads an axis.
#[derive(Clone)]
struct Operands {
    a: Vec<f64>,
    b: Vec<f64>,
    plus: Vec<f64>,
}

/// `values` `[s, heads, rows, columns]` with the heads of a row side by side.
fn side_by_side(
    values: &[f64],
    [samples, heads, rows, columns]: [usize; 4],
) -> (Vec<f64>, Vec<usize>) {
    let mut out = vec![0.0; values.len()];
    for (i, &value) in values.iter().enumerate() {
        let (column, row) = (i % columns, i / columns % rows);
        let (head, sample) = (i / columns / rows % heads, i / columns / rows / heads);
        out[((sample * rows + row) * heads + head) * columns + column] = value;
    }
    (out, vec![samples, rows, heads * columns])
}

impl Case {
    /// Rows and columns of `a` and of `b` as they are stored.
    fn stored(&self) -> [[usize; 2]; 2] {
        let BatchedProblem { m, k, n, .. } = self.problem;
        match self.problem.options.form {
            Form::Plain => [[m, k], [k, n]],
            Form::TransposedB => [[m, k], [n, k]],
            Form::TransposedA => [[k, m], [k, n]],
        }
    }

    fn draw(&self, seed: u64, draw: fn(u64, usize) -> Vec<f64>) -> Operands {
        let BatchedProblem {
            samples,
            m,
            k,
            n,
            options,
            ..
        } = self.problem;
        let count = samples * options.heads;
        Operands {
            a: draw(seed, count * m * k),
            b: draw(seed + 1, count * k * n),
            plus: draw(seed + 2, if self.plus { options.heads * m * n } else { 0 }),
        }
    }

    fn reference(&self, operands: &Operands) -> Vec<f64> {
        reference::forward(&self.problem, &operands.a, &operands.b, &operands.plus)
    }

    /// A tensor of `values` that lies as the case says, between NaN.
    fn laid(&self, values: &[f64], shape: [usize; 4], axis: bool, dtype: DType) -> Windowed {
        let (values, shape) = if axis {
            (values.to_vec(), shape.to_vec())
        } else {
            side_by_side(values, shape)
        };
        Windowed::of(&values, &shape, dtype, self.around[0], self.around[1])
    }

    /// The products, and where they were to lie when heads are an axis.
    fn run(&self, operands: &Operands, dtype: DType) -> Windowed {
        let BatchedProblem {
            samples,
            m,
            n,
            options,
            ..
        } = self.problem;
        let heads = options.heads;
        let [a_rows, b_rows] = self
            .stored()
            .map(|[rows, columns]| [samples, heads, rows, columns]);
        let a = self.laid(&operands.a, a_rows, self.axis[0], dtype);
        let b = self.laid(&operands.b, b_rows, self.axis[1], dtype);
        let plus = (self.plus).then(|| upload(&operands.plus, &[heads, m, n], dtype));
        let room = vec![f64::NAN; samples * heads * m * n];
        let out = self.laid(&room, [samples, heads, m, n], self.axis[2], dtype);
        poison(dtype, &[a.window.len(), b.window.len()]);
        batched_into(&a.window, &b.window, plus.as_ref(), options, &out.window).unwrap();
        out
    }

    /// The reference's result, in the order in which this case's lies.
    fn in_place(&self, values: &[f64]) -> Vec<f64> {
        match self.axis[2] {
            true => values.to_vec(),
            false => side_by_side(values, self.problem.shape()).0,
        }
    }
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(64))]

    #[test]
    fn integers_give_exactly_what_the_reference_gives(case in cases(), seed: u32) {
        let operands = case.draw(seed.into(), integers);
        let wanted = case.in_place(&case.reference(&operands));
        for dtype in dtypes() {
            let out = case.run(&operands, dtype);
            assert_exact("batched", &out.window, &wanted);
            out.assert_gaps_untouched("batched");
        }
    }

    #[test]
    fn reals_differ_from_the_reference_by_no_more_than_rounding(case in cases(), seed: u32) {
        let operands = case.draw(seed.into(), reals);
        let bare = Operands { a: abs(&operands.a), b: abs(&operands.b), plus: abs(&operands.plus) };
        let wanted = case.in_place(&case.reference(&operands));
        let magnitude = case.in_place(&case.reference(&bare));
        for dtype in dtypes() {
            let out = case.run(&operands, dtype);
            assert_near("batched", &out.window, &wanted, &magnitude, VALUE * naive(case.problem.k + 1));
        }
    }

    #[test]
    fn the_gradients_of_a_product_are_products_of_the_other_forms(
        (samples, heads) in (1usize..4, 1usize..4),
        (m, k, n) in (1usize..40, 1usize..40, 1usize..40),
        seed: u32,
    ) {
        let count = samples * heads;
        let seed = u64::from(seed);
        let [a, b, g] = [m * k, k * n, m * n].map(|len| reals(seed + len as u64, count * len));
        let whole = |form| BatchedOptions { heads, form, alpha: 1.0 };
        let plain = problem([samples, heads], [m, k, n], Form::Plain);
        let sums = reference::forward(&plain, &abs(&a), &abs(&b), &[]);
        let magnitude: f64 = sums.iter().zip(&g).map(|(c, g)| 0.5 * c * g.abs()).sum();
        for dtype in dtypes() {
            let at = |values: &[f64], rows, columns| upload(values, &[samples, heads, rows, columns], dtype);
            let (a_t, b_t, g_t) = (at(&a, m, k), at(&b, k, n), at(&g, m, n));
            let c = download(&batched(&a_t, &b_t, whole(Form::Plain)).unwrap());
            let by_a = download(&batched(&g_t, &b_t, whole(Form::TransposedB)).unwrap());
            let by_b = download(&batched(&a_t, &g_t, whole(Form::TransposedA)).unwrap());
            assert_adjoint("<a b, g> = <a, g b^T>", dtype, (&c, &g), (&a, &by_a), 4.0 * magnitude);
            assert_adjoint("<a b, g> = <b, a^T g>", dtype, (&c, &g), (&b, &by_b), 4.0 * magnitude);
        }
    }

    #[test]
    fn no_shape_panics(
        a in prop::collection::vec(0usize..4, 0..6),
        b in prop::collection::vec(0usize..4, 0..6),
        heads in 0usize..4,
        form in prop::sample::select(&FORMS[..]),
    ) {
        let options = BatchedOptions { heads, form, alpha: 1.0 };
        match batched(&of(&a), &of(&b), options) {
            Ok(out) => prop_assert_eq!(&out.shape()[..2], &[a[0], heads]),
            Err(error) => prop_assert!(error.to_string().starts_with("batched: "), "{}", error),
        }
    }
}

/// Corners: one matrix that has to fill all units, many tiny ones, a depth of nothing.
const CORNERS: [([usize; 2], [usize; 3]); 9] = [
    ([1, 1], [1, 1, 1]),
    ([1, 1], [1000, 16, 20]),
    ([1, 2], [257, 30, 257]),
    ([64, 4], [4, 36, 4]),
    ([7, 3], [16, 16, 60]),
    ([2, 2], [5, 0, 7]),
    ([2, 2], [0, 3, 7]),
    ([2, 2], [3, 5, 0]),
    ([0, 2], [3, 5, 4]),
];

fn corners() -> impl Iterator<Item = Case> {
    let each = |(counts, extents)| {
        FORMS.map(|form| Case {
            problem: problem(counts, extents, form),
            axis: [false, true, false],
            around: [1, 2],
            plus: true,
        })
    };
    CORNERS.into_iter().flat_map(each)
}

#[test]
fn corners_give_exactly_what_the_reference_gives() {
    for case in corners() {
        println!("{case:?}");
        let operands = case.draw(11, integers);
        let wanted = case.in_place(&case.reference(&operands));
        for dtype in dtypes() {
            assert_exact("batched", &case.run(&operands, dtype).window, &wanted);
        }
    }
}

#[test]
fn a_row_that_is_not_a_number_stays_one_row_of_one_matrix() {
    for form in FORMS {
        let case = Case {
            problem: problem([2, 3], [19, 10, 20], form),
            axis: [true, true, true],
            around: [0, 0],
            plus: false,
        };
        let clean = case.draw(2, reals);
        let mut spoiled = clean.clone();
        // Row 9, depth 4 of matrix 4.
        let element = if form == Form::TransposedA {
            4 * 19 + 9
        } else {
            9 * 10 + 4
        };
        spoiled.a[4 * 190 + element] = f64::NAN;
        for dtype in dtypes() {
            let [got, before] =
                [&spoiled, &clean].map(|operands| download(&case.run(operands, dtype).window));
            for (i, (got, before)) in got.iter().zip(&before).enumerate() {
                assert_eq!(got.is_nan(), i / 20 == 4 * 19 + 9, "{form:?}, element {i}");
                assert!(got.is_nan() || got == before, "{form:?}, element {i}");
            }
        }
    }
}

#[test]
fn repeated_launches_and_one_core_give_the_same_bits() {
    let mut fingerprint = Fingerprint::default();
    for case in corners() {
        let operands = case.draw(5, reals);
        for dtype in dtypes() {
            let first = case.run(&operands, dtype).window;
            assert_same_bits("again", &first, &case.run(&operands, dtype).window);
            fingerprint.add(&first);
        }
    }
    let name = "batched::repeated_launches_and_one_core_give_the_same_bits";
    assert_same_bits_on_one_core(name, &fingerprint);
}

#[test]
fn any_number_of_matrices_is_one_launch_and_none_is_none() {
    for (samples, wanted) in [(40, 1), (0, 0)] {
        for form in FORMS {
            let options = BatchedOptions {
                heads: 2,
                form,
                alpha: 1.0,
            };
            let x = Tensor::zeros(&client(), &[samples, 3, 6], DType::F32);
            assert_launches("batched", wanted, || batched(&x, &x, options).unwrap());
        }
    }
}

fn of(shape: &[usize]) -> Tensor {
    Tensor::zeros(&client(), shape, DType::F32)
}

fn double(shape: &[usize]) -> Tensor {
    Tensor::zeros(&client(), shape, DType::F64)
}

#[test]
fn refusals_come_in_the_documented_order() {
    // Each line repairs what the line before it was refused for.
    let with = |heads, alpha| BatchedOptions {
        heads,
        form: Form::TransposedB,
        alpha,
    };
    let none = with(0, f64::NAN);
    assert_refuses_range(batched(&double(&[5]), &of(&[7]), none), "heads", 0);
    let nan = with(2, f64::NAN);
    assert_refuses_range(batched(&double(&[5]), &of(&[7]), nan), "alpha", "NaN");
    let options = with(2, 1.0);
    assert_refuses_shape(batched(&double(&[5]), &of(&[7]), options), "a", &[5]);
    let odd = double(&[4, 3, 5]);
    assert_refuses_shape(batched(&odd, &of(&[7]), options), "a", &[4, 3, 5]);
    let axis = double(&[4, 3, 5, 6]);
    assert_refuses_shape(batched(&axis, &of(&[7]), options), "a", &[4, 3, 5, 6]);
    let a = double(&[4, 3, 6]);
    assert_refuses_dtype(batched(&a, &of(&[7]), options), "a", DType::F64);
    let a = of(&[4, 3, 6]);
    assert_refuses_shape(batched(&a, &of(&[7]), options), "b", &[7]);
    assert_refuses_shape(batched(&a, &of(&[5, 7, 6]), options), "b", &[5, 7, 6]);
    assert_refuses_shape(batched(&a, &of(&[4, 7, 8]), options), "b", &[4, 7, 8]);
    assert_refuses_shape(batched(&a, &of(&[4, 2, 7, 4]), options), "b", &[4, 2, 7, 4]);
    let b = of(&[4, 7, 6]);
    assert!(batched(&a, &b, options).is_ok());

    let into = |plus: Option<&Tensor>, out: &Tensor| batched_into(&a, &b, plus, options, out);
    let plus = double(&[2, 3]);
    assert_refuses_shape(into(Some(&plus), &double(&[9])), "plus", &[2, 3]);
    let plus = double(&[2, 3, 7]);
    assert_refuses_dtype(into(Some(&plus), &double(&[9])), "plus", DType::F64);
    let plus = of(&[2, 3, 7]);
    assert_refuses_shape(into(Some(&plus), &double(&[9])), "out", &[9]);
    let out = double(&[4, 3, 16]);
    assert_refuses_shape(into(Some(&plus), &out), "out", &[4, 3, 16]);
    let out = double(&[4, 3, 14]);
    assert_refuses_dtype(into(Some(&plus), &out), "out", DType::F64);
    assert!(into(Some(&plus), &of(&[4, 3, 14])).is_ok());
    assert!(into(Some(&plus), &of(&[4, 2, 3, 7])).is_ok());

    // Windows of one tensor may be read and written at once where they have no channel in common.
    let all = of(&[4, 3, 15]);
    let [a, near, apart] = [(0, 6), (5, 6), (6, 6)].map(|(at, n)| all.window(at, n).unwrap());
    let square = of(&[4, 3, 6]);
    let shared = batched_into(&a, &square, None, options, &near).unwrap_err();
    assert!(
        matches!(shared, KernelError::Overlap { other: "a", .. }),
        "{shared}"
    );
    assert!(batched_into(&a, &square, None, options, &apart).is_ok());
}
