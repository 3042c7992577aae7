//! Logits at the edge of what is allowed, and past it.

use crate::case::{Case, all, bits};
use ghostlight_kernels::DType;

#[test]
fn hostile_but_finite_logits_give_finite_results() {
    for classes in [2, 3, 10, 1000, 3000] {
        for temperature in [0.1, 1.0, 100.0] {
            for scale in [0.0, 1e-30, 1.0, 1e4] {
                let mut case = Case::spread(4, classes, scale, all(temperature, temperature));
                // The first label far above all others, the second far below, the third network pair in opposition.
                let target = |n: usize| n * classes + case.labels[n] as usize;
                let (above, below, apart) = (target(0), target(1), target(2));
                case.student[above] = scale;
                case.student[below] = -scale;
                (case.student[apart], case.teachers[0][apart]) = (scale, -scale);
                let (losses, grad) = case.run(DType::F32);
                assert!(
                    losses.iter().all(|v| v.is_finite() && *v >= 0.0),
                    "{losses:?}"
                );
                assert!(
                    grad.iter().all(|v| v.is_finite()),
                    "{classes} {temperature} {scale}"
                );
                for (got, wanted) in losses.iter().zip(case.reference().0) {
                    let tolerance = 1e-4 * wanted + 1e-6 * case.units().0;
                    assert!((got - wanted).abs() <= tolerance, "{got}, wanted {wanted}");
                }
            }
        }
    }
}

#[test]
fn an_offset_shared_by_all_logits_of_a_network_costs_no_digits() {
    // 4096 leaves 2^-11 of a logit: on that grid the offset changes no difference.
    let mut case = Case::spread(4, 100, 2.0, all(4.0, 4.0));
    let snap = |v: f64| (v * 2048.0).round() / 2048.0;
    case.student = case.student.iter().map(|&v| snap(v)).collect();
    case.teachers[0].iter_mut().for_each(|v| *v = snap(*v));
    let plain = case.run(DType::F32);
    for v in &mut case.student {
        *v += 4096.0;
    }
    assert_eq!(case.run(DType::F32), plain);
}

#[test]
fn a_logit_that_is_not_finite_spoils_its_own_row_alone() {
    for (dtype, classes) in [
        (DType::F32, 16),
        (DType::F32, 10),
        (DType::F32, 31),
        (DType::F32, 37),
        (DType::F32, 3000),
        (DType::F32, 2),
    ] {
        // The spoiled row lies in the second vector of rows, which is not full.
        let (rows, spoiled) = (19, 17);
        let clean = Case::spread(rows, classes, 5.0, all(1.0, 4.0));
        let (clean_losses, clean_grad) = clean.run(dtype);
        let target = clean.labels[spoiled] as usize;
        for class in [target, (target + 1) % classes, classes - 1, 0] {
            for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                for in_teacher in [false, true] {
                    let mut case = clean.clone();
                    let logits = if in_teacher {
                        &mut case.teachers[0]
                    } else {
                        &mut case.student
                    };
                    logits[spoiled * classes + class] = value;
                    let (losses, grad) = case.run(dtype);
                    // The cross-entropy does not know the teacher.
                    let terms = if in_teacher { 1..3 } else { 0..3 };
                    for term in terms {
                        assert!(
                            losses[rows * term + spoiled].is_nan(),
                            "term {term}: {value} at {class}"
                        );
                    }
                    let row = spoiled * classes..(spoiled + 1) * classes;
                    assert!(grad[row].iter().all(|g| g.is_nan()), "{value} at {class}");
                    for row in (0..rows).filter(|&row| row != spoiled) {
                        let span = row * classes..(row + 1) * classes;
                        for term in 0..3 {
                            let i = rows * term + row;
                            assert_eq!(losses[i].to_bits(), clean_losses[i].to_bits());
                        }
                        assert_eq!(bits(&grad[span.clone()]), bits(&clean_grad[span]));
                    }
                }
            }
        }
    }
}
