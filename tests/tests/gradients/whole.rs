//! What a check of a whole function finds: each test hides a fault in one circumstance, and the right function passes.

use ghostlight_autodiff::check::{
    Check, CheckError, Checked, Circumstance, Difference, Subject, values,
};
use ghostlight_autodiff::{Cost, DType, Function, Gradients, KernelError, Step, Tensor, ops};
use ghostlight_kernels::Clamp;
use ghostlight_kernels::conv::dense::{self, ConvOptions, ConvProblem};
use ghostlight_kernels::pointwise::fill;
use ghostlight_tests::{client, has_f64};
use std::cell::Cell;
use std::rc::Rc;

/// What is wrong with a product.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// Two elements of the value are off, by one and by a half.
    Value,
    /// The second input's gradient where the first needs none.
    Alone,
    /// What arrived before is taken, and not added to.
    Dropped,
    /// A window is read one channel early.
    Window,
    /// A gradient that is a window counts twice.
    GradientWindow,
    /// Each call is off by another unit of rounding.
    Restless,
    /// The gradient is written over the first input.
    Overwritten,
    /// 16-bit gradients are cut off, not rounded.
    Halves,
    /// Nothing takes windows.
    NoWindows,
}

/// The product of `[a, b]`, of one shape, computed on the host.
#[derive(Clone)]
struct Product {
    fault: Fault,
    calls: Rc<Cell<u32>>,
}

impl Function for Product {
    type Saved = [Tensor; 2];

    fn name(&self) -> &'static str {
        "product"
    }

    fn reads_windows(&self) -> bool {
        true
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<Self::Saved>, KernelError> {
        let [a, b] = [inputs[0], inputs[1]];
        if self.fault == Fault::NoWindows {
            a.check_whole("product", "a")?;
            b.check_whole("product", "b")?;
        }
        self.calls.set(self.calls.get() + 1);
        let mut y: Vec<f64> = a
            .to_f64()?
            .iter()
            .zip(b.to_f64()?)
            .map(|(a, b)| a * b)
            .collect();
        match self.fault {
            Fault::Value => {
                y[1] += 1.0;
                y[5] -= 0.5;
            }
            Fault::Window if b.is_window() => y.rotate_right(1),
            Fault::Restless => {
                let most = y.len() - 1;
                y[most] *= 1.0 + 1.2e-7 * f64::from(self.calls.get() % 2);
            }
            _ => {}
        }
        Ok(Step {
            output: Tensor::from_f64(a.client(), &y, a.shape(), a.dtype())?,
            saved: [a.clone(), b.clone()],
            cost: Cost::default(),
        })
    }

    fn backward(
        &self,
        saved: Self::Saved,
        grad: &Tensor,
        needs: &[bool],
    ) -> Result<Gradients, KernelError> {
        self.backward_onto(saved, grad, needs, &mut [None, None])
    }

    fn backward_onto(
        &self,
        [a, b]: Self::Saved,
        grad: &Tensor,
        needs: &[bool],
        present: &mut [Option<Tensor>],
    ) -> Result<Gradients, KernelError> {
        let twice = self.fault == Fault::GradientWindow && grad.is_window();
        let g = grad.to_f64()?;
        let gradient = |other: &Tensor, factor: f64| {
            let other = other.to_f64()?;
            let values = other.iter().zip(&g).map(|(x, g)| {
                let exact = factor * x * g;
                match (self.fault, a.dtype().is_half()) {
                    (Fault::Halves, true) => exact * (1.0 - 3.0 * 2f64.powi(-7)),
                    _ => exact,
                }
            });
            let values: Vec<f64> = values.collect();
            Tensor::from_f64(a.client(), &values, a.shape(), a.dtype())
        };
        let wrong = self.fault == Fault::Alone && needs == [false, true];
        let all = [
            gradient(&b, if twice { 2.0 } else { 1.0 })?,
            gradient(&a, if wrong { 1.5 } else { 1.0 })?,
        ];
        if self.fault == Fault::Dropped {
            present[0] = None;
        }
        if self.fault == Fault::Overwritten {
            fill(&a, 0.0);
        }
        Ok(Gradients::needed(needs, all, Cost::default()))
    }
}

fn check(fault: Fault) -> Check<'static, Product> {
    let calls = Rc::new(Cell::new(0));
    let times =
        |a: &[f64], b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| a * b).collect() };
    Check::of(Product { fault, calls })
        .inputs([
            (values(1, 24), vec![2, 3, 4]),
            (values(2, 24), vec![2, 3, 4]),
        ])
        .reference(move |x| times(&x[0], &x[1]))
        .gradient(move |x, g| vec![times(&x[1], g), times(&x[0], g)])
        .linear_in(&[0, 1])
}

fn found(check: Check<Product>) -> Vec<Difference> {
    match check.run(&client()) {
        Err(CheckError::Differs(found)) => found.0,
        other => panic!("{other:?}, wanted differences"),
    }
}

#[test]
fn a_right_function_passes_and_the_check_says_what_it_looked_at() {
    let checked = check(Fault::None).run(&client()).unwrap();
    assert_eq!(checked.windows, [0, 1]);
    let types = DType::ALL.iter().filter(|dtype| dtype.is_on(&client()));
    assert_eq!(checked.dtypes, types.copied().collect::<Vec<_>>());
    // All needed, each alone, arrived, gradient a window, each a window, again.
    assert_eq!(checked.calls, 8 * checked.dtypes.len());
    assert_eq!(checked.elements, (8 * 3 - 2) * 24 * checked.dtypes.len());
    let Checked { windows, .. } = check(Fault::NoWindows).run(&client()).unwrap();
    assert!(windows.is_empty());
}

#[test]
fn every_fault_is_found_where_it_hides_and_nowhere_else() {
    use Circumstance::{Again, Arrived, GradientWindow, Needs, Window};
    for (fault, subject, circumstance) in [
        (Fault::Alone, Subject::Gradient(1), Needs(vec![1])),
        (Fault::Dropped, Subject::Gradient(0), Arrived),
        (Fault::Window, Subject::Value, Window(1)),
        (Fault::GradientWindow, Subject::Gradient(0), GradientWindow),
        (Fault::Restless, Subject::Value, Again),
    ] {
        let check = check(fault).dtypes(&[DType::F32]);
        // Rounding does not show what is off by a unit: its bits do, in every call that has to give the first one's.
        let found = found(check);
        let hidden = |it: &Difference| it.subject == subject && it.circumstance == circumstance;
        assert!(found.iter().any(hidden), "{fault:?}: {found:?}");
        let elsewhere = found.iter().filter(|it| it.circumstance != circumstance);
        assert!(
            fault == Fault::Restless || elsewhere.count() == 0,
            "{fault:?}: {found:?}"
        );
    }
}

#[test]
fn all_wrong_elements_are_reported_with_the_worst_one_and_not_the_first() {
    let found = found(check(Fault::Value).dtypes(&[DType::F32]));
    let plain = Circumstance::Needs(vec![0, 1]);
    let first = &found[0];
    assert_eq!(
        (first.subject, &first.circumstance),
        (Subject::Value, &plain)
    );
    assert_eq!((first.wrong, first.elements), (2, 24));
    assert!(
        (first.largest - 1.0).abs() < 1e-6 && (first.mean - 0.75).abs() < 1e-6,
        "{first:?}"
    );
    let [a, b] = [values(1, 24), values(2, 24)];
    let sizes = [1, 5].map(|i| (a[i] * b[i]).abs());
    let worst = if 1.0 / sizes[0] > 0.5 / sizes[1] {
        vec![0, 0, 1]
    } else {
        vec![0, 1, 1]
    };
    assert_eq!(first.worst, worst);
    let said = first.to_string();
    assert!(
        said.starts_with("the value in F32, where inputs [0, 1] need gradients: 2 of 24 wrong"),
        "{said}"
    );
    // The same in every other call, and both inner products with it.
    let values = found
        .iter()
        .filter(|it| it.subject == Subject::Value)
        .count();
    let adjoints = found
        .iter()
        .filter(|it| matches!(it.subject, Subject::Adjoint(_)))
        .count();
    assert_eq!((values, adjoints), (8, 2));
}

#[test]
fn an_input_that_was_written_to_is_found() {
    let found = found(check(Fault::Overwritten).dtypes(&[DType::F32]));
    assert!(
        found.iter().any(|it| it.subject == Subject::Input(0)),
        "{found:?}"
    );
}

#[test]
fn low_precision_is_held_to_its_own_rounding_where_there_are_no_64_bits() {
    let halves: Vec<DType> = [DType::F16, DType::Bf16]
        .into_iter()
        .filter(|half| half.is_on(&client()))
        .collect();
    if halves.is_empty() {
        return;
    }
    check(Fault::None).dtypes(&halves).run(&client()).unwrap();
    let found = found(check(Fault::Halves).dtypes(&halves));
    assert!(
        found
            .iter()
            .all(|it| matches!(it.subject, Subject::Gradient(_) | Subject::Adjoint(_)))
    );
    assert!(
        check(Fault::Halves)
            .dtypes(&[DType::F32])
            .run(&client())
            .is_ok()
    );
}

#[test]
fn without_a_gradient_the_reference_is_differentiated_and_a_wrong_one_is_found() {
    let times =
        |a: &[f64], b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| a * b).collect() };
    let inputs = || [(values(1, 12), vec![3, 4]), (values(2, 12), vec![3, 4])];
    let product = |fault| Product {
        fault,
        calls: Rc::default(),
    };
    let bare = |fault| {
        Check::of(product(fault))
            .inputs(inputs())
            .reference(move |x| times(&x[0], &x[1]))
    };
    assert!(bare(Fault::None).run(&client()).is_ok());
    assert!(matches!(
        bare(Fault::Alone).run(&client()),
        Err(CheckError::Differs(_))
    ));
    let wrong = bare(Fault::None).gradient(move |x, g| vec![times(&x[1], g), times(&x[1], g)]);
    let found = found(wrong);
    assert!(
        found.iter().any(|it| it.subject == Subject::Reference(1)),
        "{found:?}"
    );
    assert!(
        found.iter().all(|it| it.subject != Subject::Reference(0)),
        "{found:?}"
    );
}

#[test]
fn a_check_of_nothing_does_not_pass() {
    let said = |check: Check<Product>| match check.run(&client()) {
        Err(CheckError::Unprobed(said)) => said,
        other => panic!("{other:?}, wanted that nothing was checked"),
    };
    let product = || {
        Check::of(Product {
            fault: Fault::None,
            calls: Rc::default(),
        })
    };
    assert!(said(product()).contains("`Check::reference`"));
    let nothing = || {
        product()
            .inputs([(vec![], vec![0, 3]), (vec![], vec![0, 3])])
            .reference(|_| vec![])
    };
    assert!(said(nothing()).contains("no result has elements"));
    let short = check(Fault::None).reference(|_| vec![1.0; 23]);
    assert!(said(short).contains("23 elements of the value, which has the shape [2, 3, 4]"));
    let refused = check(Fault::None)
        .inputs([(vec![1.0; 3], vec![2]), (vec![], vec![0])])
        .run(&client());
    assert!(
        matches!(refused, Err(CheckError::Failed(..))),
        "{refused:?}"
    );
}

#[test]
fn what_is_not_a_number_has_to_be_none_in_the_same_places() {
    let mut a = values(1, 24);
    (a[3], a[7]) = (f64::NAN, f64::INFINITY);
    let inputs = || [(a.clone(), vec![2, 3, 4]), (values(2, 24), vec![2, 3, 4])];
    assert!(check(Fault::None).inputs(inputs()).run(&client()).is_ok());
    let found = found(check(Fault::Window).inputs(inputs()).dtypes(&[DType::F32]));
    let value = found
        .iter()
        .find(|it| it.subject == Subject::Value)
        .unwrap();
    assert_eq!((value.largest, value.mean), (f64::INFINITY, f64::INFINITY));
}

#[test]
fn a_sampled_check_finds_over_many_seeds_what_a_whole_one_finds() {
    let caught = |fault: Fault| {
        (0..64)
            .filter(|&seed| check(fault).sampled().seed(seed).run(&client()).is_err())
            .count()
    };
    assert_eq!(caught(Fault::None), 0);
    assert_eq!(caught(Fault::Value), 64);
    for fault in [
        Fault::Alone,
        Fault::Dropped,
        Fault::Window,
        Fault::GradientWindow,
    ] {
        let caught = caught(fault);
        assert!((1..64).contains(&caught), "{fault:?}: {caught}");
    }
    let one = check(Fault::None).sampled().run(&client()).unwrap();
    assert_eq!((one.calls, one.dtypes.len()), (2, 1));
    assert!(has_f64() || one.dtypes != [DType::F64]);
}

#[test]
fn a_sum_with_a_constant_has_one_gradient() {
    let inputs = [(values(1, 6), vec![2, 3]), (values(2, 6), vec![2, 3])];
    Check::of(ops::Add)
        .inputs(inputs)
        .reference(|x| x[0].iter().zip(&x[1]).map(|(a, b)| a + b).collect())
        .run(&client())
        .unwrap();
}

#[test]
fn the_bias_of_a_convolution_in_16_bits_is_held_and_learned_in_32() {
    let options = ConvOptions::square(1, 0);
    let shapes = [[1, 2, 3, 4], [1, 1, 4, 5]];
    let problem = ConvProblem {
        batch: 1,
        input: [2, 3],
        kernel: [1, 1],
        in_channels: 4,
        out_channels: 5,
        options,
        dtype: DType::F64,
    };
    let inputs = shapes.map(|shape| (values(1, shape.iter().product()), shape.to_vec()));
    let row = |client: &_, value: f64, dtype: DType| {
        Tensor::from_f64(client, &[value; 5], &[5], dtype.accumulator())
    };
    let make = |client: &_, dtype| {
        Ok(ops::ConvBias {
            options,
            clamp: Clamp::None,
            zeros: row(client, 0.0, dtype)?,
            ones: row(client, 1.0, dtype)?,
        })
    };
    Check::with(make)
        .inputs(inputs.into_iter().chain([(values(3, 5), vec![5])]))
        .wide(&[2])
        .reference(|v| {
            let products = dense::reference::forward(&problem, &v[0], &v[1]);
            products
                .iter()
                .enumerate()
                .map(|(i, y)| y + v[2][i % 5])
                .collect()
        })
        .terms(6)
        .run(&client())
        .unwrap();
}
