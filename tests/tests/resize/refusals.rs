//! What resizing refuses, in which order, and that nothing else stops it.

use ghostlight_kernels::resize::bilinear::{Alignment, BilinearProblem, backward, bilinear};
use ghostlight_kernels::{DType, Tensor};
use ghostlight_tests::{assert_refuses_dtype, assert_refuses_shape, client};
use proptest::prelude::*;

const HALF: Alignment = Alignment::HalfPixel;

fn of(shape: &[usize], dtype: DType) -> Tensor {
    Tensor::empty(&client(), shape, dtype)
}

#[test]
fn refusals_come_in_the_documented_order() {
    assert_refuses_shape(
        bilinear(&of(&[4, 4, 3], DType::F32), [0, 0], HALF),
        "x",
        &[4, 4, 3],
    );
    for shape in [
        [2, 0, 4, 3],
        [2, 4, 32_768, 3],
        [2, 4, 4, 0],
        [usize::MAX, 4, 4, 3],
    ] {
        let refused = BilinearProblem::new(shape, DType::F32, [0, 0], HALF);
        assert_refuses_shape(refused, "x", &shape);
    }
    let x = of(&[2, 4, 4, 3], DType::F32);
    assert_refuses_shape(bilinear(&x, [0, 3], HALF), "output", &[2, 0, 3, 3]);
    assert_refuses_shape(
        bilinear(&x, [3, 32_768], HALF),
        "output",
        &[2, 3, 32_768, 3],
    );
    let problem = BilinearProblem::new([2, 4, 4, 3], DType::F32, [2, 5], HALF).unwrap();
    for shape in [&[2, 2, 5][..], &[2, 5, 2, 3], &[2, 4, 4, 3]] {
        assert_refuses_shape(backward(&problem, &of(shape, DType::F64)), "grad", shape);
    }
    let double = of(&[2, 2, 5, 3], DType::F64);
    assert_refuses_dtype(backward(&problem, &double), "grad", DType::F64);
    assert!(backward(&problem, &of(&[2, 2, 5, 3], DType::F32)).is_ok());
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(512))]

    #[test]
    fn no_shape_panics(
        input in prop::array::uniform4(prop_oneof![12 => 0usize..9, 1 => any::<usize>(), 1 => 32_760usize..32_775]),
        output in prop::array::uniform2(prop_oneof![12 => 0usize..9, 1 => any::<usize>(), 1 => 32_760usize..32_775]),
    ) {
        let largest = 32_767;
        match BilinearProblem::new(input, DType::F64, output, HALF) {
            Ok(problem) => {
                prop_assert_eq!(problem.input_shape(), input);
                prop_assert!(output.iter().all(|side| (1..=largest).contains(side)));
            }
            Err(error) => prop_assert!(error.to_string().starts_with("bilinear: "), "{}", error),
        }
    }
}
