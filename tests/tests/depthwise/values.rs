//! Values that are not finite, and values that must not depend on chance.

use super::case::{Operands, RESULTS, problem};
use ghostlight_kernels::DType;
use ghostlight_kernels::conv::depthwise::DepthwiseProblem;
use ghostlight_tests::{
    Fingerprint, assert_near, assert_same_bits_on_one_core, download, dtypes, finishes_loops, reals,
};

fn several() -> [DepthwiseProblem; 4] {
    let one = [1, 1];
    [
        problem([3, 11, 19], [3, 3], [36, 1], one, one, [1; 4]),
        problem([3, 12, 9], [3, 3], [10, 1], [2, 2], one, [1, 0, 1, 0]),
        problem([3, 9, 9], [3, 3], [12, 2], one, one, [1; 4]),
        problem([3, 14, 14], [9, 11], [3, 1], one, one, [4, 4, 5, 5]),
    ]
}

#[test]
fn what_is_not_finite_spoils_the_results_that_read_it_and_nothing_else() {
    for problem in several() {
        let clean = Operands::draw(&problem, 3, reals);
        for value in [f64::NAN, f64::INFINITY] {
            // A corner of the second image of x, and the last pixel of all of the gradient: padding multiplies neither.
            let mut spoiled = clean.clone();
            spoiled.x[problem.input.iter().product::<usize>() * problem.channels] = value;
            *spoiled.g.last_mut().unwrap() = value;
            let reference = spoiled.reference(&problem);
            for dtype in dtypes() {
                let (got, before) = (spoiled.run(&problem, dtype), clean.run(&problem, dtype));
                for i in 0..4 {
                    let (got, before) = (download(&got[i]), download(&before[i]));
                    assert!(reference[i].iter().any(|v| !v.is_finite()));
                    for (j, wanted) in reference[i].iter().enumerate() {
                        let right = match wanted.is_finite() {
                            true => got[j].to_bits() == before[j].to_bits(),
                            false => !got[j].is_finite(),
                        };
                        assert!(right, "{} {j}: {}, wanted {wanted}", RESULTS[i], got[j]);
                    }
                }
            }
        }
    }
}

#[test]
fn one_core_gives_the_same_bits_as_all() {
    let mut fingerprint = Fingerprint::default();
    for problem in several() {
        let operands = Operands::draw(&problem, 6, reals);
        for dtype in dtypes() {
            for result in operands.run(&problem, dtype) {
                fingerprint.add(&result);
            }
        }
    }
    assert_same_bits_on_one_core("values::one_core_gives_the_same_bits_as_all", &fingerprint);
}

#[test]
fn the_weights_gradient_adds_up_a_million_equal_products() {
    if !finishes_loops("weights of a million pixels", 1_000_000) {
        return;
    }
    // Added one by one, equal products round their sum the same way, thousands of times in a row.
    let image = problem([1, 1000, 1000], [3, 3], [1, 2], [1, 1], [1, 1], [1; 4]);
    let line = problem(
        [1, 1, 1_000_000],
        [1, 3],
        [3, 1],
        [1, 1],
        [1, 1],
        [0, 0, 1, 1],
    );
    let walked = problem([1, 10, 100_000], [4, 11], [1, 1], [1, 1], [1, 1], [0; 4]);
    for problem in [image, line, walked] {
        let mut operands = Operands::draw(&problem, 3, reals);
        operands.x.fill(1.0);
        operands.g.fill(f64::from(0.1f32));
        let (got, wanted) = (
            operands.run(&problem, DType::F32),
            operands.reference(&problem),
        );
        for i in [2, 3] {
            assert_near(RESULTS[i], &got[i], &wanted[i], &wanted[i], 160.0);
        }
    }
}
