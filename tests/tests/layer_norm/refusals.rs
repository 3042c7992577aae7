//! What a norm refuses, in which order, and that nothing else stops it.

use ghostlight_kernels::norm::layer_norm::{LayerNormProblem, Sample, backward, layer_norm};
use ghostlight_kernels::{DType, KernelError, Tensor};
use ghostlight_tests::{assert_refuses_dtype, assert_refuses_range, assert_refuses_shape, client};
use proptest::prelude::*;

fn of(shape: &[usize]) -> Tensor {
    Tensor::zeros(&client(), shape, DType::F32)
}

fn double(shape: &[usize]) -> Tensor {
    Tensor::zeros(&client(), shape, DType::F64)
}

#[test]
fn refusals_come_in_the_documented_order() {
    let wide = of(&[2, 3, 9]).window(1, 4).unwrap();
    let (x, good) = (of(&[2, 3, 4]), of(&[4]));
    for sample in [Sample::Pixel, Sample::Image] {
        let refuse = |x: &Tensor, gamma: &Tensor, beta: &Tensor, epsilon| {
            layer_norm(x, gamma, beta, epsilon, sample).map(|(y, _)| y)
        };
        let bad = double(&[5]);
        assert_refuses_shape(refuse(&of(&[]), &bad, &bad, 0.0), "x", &[]);
        assert_refuses_shape(refuse(&of(&[2, 3, 0]), &bad, &bad, 0.0), "x", &[2, 3, 0]);
        let window = refuse(&wide, &bad, &bad, 0.0).unwrap_err();
        assert!(
            matches!(window, KernelError::Window { tensor: "x", .. }),
            "{window}"
        );
        assert_refuses_shape(refuse(&x, &bad, &bad, 0.0), "gamma", &[5]);
        assert_refuses_dtype(refuse(&x, &double(&[4]), &bad, 0.0), "gamma", DType::F64);
        assert_refuses_shape(refuse(&x, &good, &bad, 0.0), "beta", &[5]);
        assert_refuses_dtype(refuse(&x, &good, &double(&[4]), 0.0), "beta", DType::F64);
        for epsilon in [0.0, -1e-5, f64::NAN, f64::INFINITY, 1e-60] {
            assert_refuses_range(refuse(&x, &good, &good, epsilon), "epsilon", epsilon);
        }
        let (_, saved) = layer_norm(&x, &good, &good, 1e-5, sample).unwrap();
        let back = |grad: &Tensor| backward(&saved, grad).map(|found| found.x);
        assert_refuses_shape(back(&double(&[2])), "grad", &[2]);
        assert_refuses_dtype(back(&double(&[2, 3, 4])), "grad", DType::F64);
        let window = back(&wide).unwrap_err();
        assert!(
            matches!(window, KernelError::Window { tensor: "grad", .. }),
            "{window}"
        );
        assert!(back(&x).is_ok());
    }
    let images =
        |shape: &[usize]| layer_norm(&of(shape), &good, &good, 1e-5, Sample::Image).map(|(y, _)| y);
    assert_refuses_shape(images(&[4]), "x", &[4]);
    assert_refuses_shape(images(&[2, 0, 4]), "x", &[2, 0, 4]);
    assert!(images(&[2, 4]).is_ok());
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(256))]

    #[test]
    fn no_shape_and_no_number_panics(
        x in prop::collection::vec(0usize..4, 0..5),
        [gamma, beta] in [1usize..4, 1usize..4],
        epsilon in prop_oneof![4 => 0.0..1.0, 1 => prop::num::f64::ANY],
        image: bool,
    ) {
        let sample = if image { Sample::Image } else { Sample::Pixel };
        match LayerNormProblem::new(&of(&x), &of(&[gamma]), &of(&[beta]), epsilon, sample) {
            Ok(p) => {
                prop_assert_eq!(p.samples * p.pixels * p.channels, x.iter().product::<usize>());
                prop_assert!(epsilon as f32 > 0.0 && gamma == p.channels && beta == p.channels);
            }
            Err(error) => {
                let op = if image { "group_norm: " } else { "layer_norm: " };
                prop_assert!(error.to_string().starts_with(op), "{}", error);
            }
        }
    }
}
