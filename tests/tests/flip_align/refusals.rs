//! What is refused, in the documented order.

use crate::case::{NORMALISATIONS, options};
use ghostlight_kernels::loss::flip_align::{
    FlipOptions, FlipProblem, Group, Normalisation, Selection, Transform, flip_align,
};
use ghostlight_kernels::{DType, Tensor};
use ghostlight_tests::{
    assert_refuses_dtype, assert_refuses_range, assert_refuses_shape, cases, client,
};
use proptest::prelude::*;

fn of(shape: &[usize], dtype: DType) -> Tensor {
    Tensor::zeros(&client(), shape, dtype)
}

#[test]
fn refusals_come_in_the_documented_order() {
    let mixed = |tau| Selection::Mixed { tau };
    let bad = |group, tau| options(group, mixed(tau), Normalisation::Sample);
    let turns = || Group::Each(vec![Transform::TURN_LEFT]);
    let teacher = of(&[2, 3, 5], DType::F64);
    let wide = of(&[2, 3, 4, 5], DType::F32);
    // Each line repairs what the line before it was refused for.
    for shape in [&[6][..], &[2, 0, 4, 5], &[2, 3, 0, 5], &[2, 3, 4, 0]] {
        let student = of(shape, DType::F32);
        assert_refuses_shape(
            flip_align(&student, &teacher, &bad(turns(), 0.0)),
            "student",
            shape,
        );
    }
    assert_refuses_shape(
        flip_align(&wide, &teacher, &bad(turns(), 0.0)),
        "teacher",
        &[2, 3, 5],
    );
    let teacher = of(&[2, 3, 4, 5], DType::F64);
    assert_refuses_dtype(
        flip_align(&wide, &teacher, &bad(turns(), 0.0)),
        "teacher",
        DType::F64,
    );
    let said = "one given transform a sample for maps of 3 x 4";
    assert_refuses_range(flip_align(&wide, &wide, &bad(turns(), 0.0)), "group", said);
    let flip = Group::Each(vec![Transform::HORIZONTAL]);
    assert_refuses_shape(
        flip_align(&wide, &wide, &bad(flip, 0.0)),
        "transforms",
        &[1],
    );
    let flips = || Group::Each(vec![Transform::HORIZONTAL; 2]);
    assert_refuses_range(flip_align(&wide, &wide, &bad(flips(), 0.0)), "tau", 0.0);
    let error = flip_align(&wide, &wide, &bad(flips(), 1.0))
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "flip_align: normalisation is Sample, wanted None for the mixed selection, whose gradient through a norm is not derived"
    );
    assert!(
        flip_align(
            &wide,
            &wide,
            &options(flips(), mixed(1.0), Normalisation::None)
        )
        .is_ok()
    );
}

#[test]
fn maps_that_are_not_square_are_refused_where_a_transform_transposes() {
    let wide = of(&[2, 3, 4, 5], DType::F32);
    let try_group = |group: Group| {
        let options = FlipOptions {
            group,
            ..FlipOptions::default()
        };
        flip_align(&wide, &wide, &options).map(|_| ())
    };
    for (group, name) in [
        (Group::D4, "D4"),
        (Group::Rotations, "rotations"),
        (Group::Random { seed: 1 }, "random"),
        (Group::Fixed(Transform::TRANSPOSE), "fixed transpose"),
    ] {
        assert_refuses_range(
            try_group(group),
            "group",
            format!("{name} for maps of 3 x 4"),
        );
    }
    for group in [
        Group::Flips,
        Group::Identity,
        Group::Fixed(Transform::HALF_TURN),
    ] {
        assert!(try_group(group).is_ok());
    }
}

#[test]
fn a_temperature_that_the_element_type_cannot_hold_or_invert_is_refused() {
    let map = of(&[1, 2, 2, 3], DType::F32);
    for tau in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e40, 1e-42] {
        for selection in [
            Selection::SoftMin { tau },
            Selection::Attention {
                tau,
                detached: true,
            },
            Selection::Mixed { tau },
        ] {
            let options = options(Group::D4, selection, Normalisation::None);
            assert_refuses_range(flip_align(&map, &map, &options), "tau", tau);
        }
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn no_argument_panics(
        student in prop::collection::vec(0usize..4, 0..6),
        teacher in prop::option::of(prop::collection::vec(0usize..4, 0..6)),
        count in 0usize..4,
        code in 0usize..8,
        which in 0usize..7,
        normalisation in prop::sample::select(&NORMALISATIONS[..]),
        tau in prop::num::f64::ANY,
        select in 0usize..4,
    ) {
        let transform = Transform::ALL[code];
        let group = match which {
            0 => Group::D4,
            1 => Group::Flips,
            2 => Group::Rotations,
            3 => Group::Identity,
            4 => Group::Fixed(transform),
            5 => Group::Random { seed: code as u64 },
            _ => Group::Each(vec![transform; count]),
        };
        let selection = match select {
            0 => Selection::Hard,
            1 => Selection::SoftMin { tau },
            2 => Selection::Attention { tau, detached: code % 2 == 0 },
            _ => Selection::Mixed { tau },
        };
        let given = options(group, selection, normalisation);
        let (a, t) = (of(&student, DType::F32), of(teacher.as_ref().unwrap_or(&student), DType::F32));
        if let Ok(problem) = FlipProblem::new(&a, &t, &given) {
            prop_assert_eq!(a.shape(), t.shape());
            prop_assert_eq!(a.shape()[0], problem.batch);
            prop_assert!(problem.height == problem.width || !given.group.transposes());
            problem.cost();
        }
    }
}
