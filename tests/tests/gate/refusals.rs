//! What both operations refuse, in which order, and that nothing else stops them.

use ghostlight_kernels::pointwise::activation::Activation;
use ghostlight_kernels::pointwise::{add_relu, gate};
use ghostlight_kernels::{DType, KernelError, Tensor};
use ghostlight_tests::{assert_refuses_dtype, assert_refuses_shape, client};
use proptest::prelude::*;

fn of(shape: &[usize]) -> Tensor {
    Tensor::zeros(&client(), shape, DType::F32)
}

fn double(shape: &[usize]) -> Tensor {
    Tensor::zeros(&client(), shape, DType::F64)
}

#[test]
fn refusals_come_in_the_documented_order() {
    let kind = Activation::Sigmoid;
    let wide = of(&[2, 5]).window(1, 4).unwrap();
    let x = of(&[2, 3, 3, 4]);
    for name in ["s", "m"] {
        let refuse = |x: &Tensor, s: &Tensor, y: &Tensor| match name {
            "s" => gate::gate_into(x, s, kind, y),
            _ => add_relu::add_relu_into(x, s, y),
        };
        assert_refuses_shape(
            refuse(&of(&[2, 4]), &double(&[2]), &double(&[3])),
            "x",
            &[2, 4],
        );
        assert_refuses_shape(refuse(&x, &double(&[2, 3]), &double(&[3])), name, &[2, 3]);
        assert_refuses_dtype(
            refuse(&x, &double(&[2, 4]), &double(&[3])),
            name,
            DType::F64,
        );
        let window = refuse(&x, &wide, &double(&[3])).unwrap_err();
        assert!(
            matches!(window, KernelError::Window { tensor, .. } if tensor == name),
            "{window}"
        );
        assert_refuses_shape(refuse(&x, &of(&[2, 4]), &double(&[3])), "y", &[3]);
        assert_refuses_dtype(
            refuse(&x, &of(&[2, 4]), &double(&[2, 3, 3, 4])),
            "y",
            DType::F64,
        );
        assert!(refuse(&x, &of(&[2, 4]), &of(&[2, 3, 3, 4])).is_ok());
    }
    let s = of(&[2, 4]);
    assert_refuses_shape(gate::backward(&x, &s, kind, &double(&[2])), "grad", &[2]);
    assert_refuses_dtype(
        gate::backward(&x, &s, kind, &double(&[2, 3, 3, 4])),
        "grad",
        DType::F64,
    );
    assert_refuses_shape(add_relu::backward(&s, &double(&[2])), "y", &[2, 4]);
    assert_refuses_shape(add_relu::backward(&x, &double(&[2])), "grad", &[2]);
    assert_refuses_dtype(
        add_relu::backward(&x, &double(&[2, 3, 3, 4])),
        "grad",
        DType::F64,
    );
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(256))]

    #[test]
    fn no_shape_panics(
        x in prop::collection::vec(0usize..4, 3..6),
        s in prop::collection::vec(0usize..4, 1..4),
        g in prop::option::of(prop::collection::vec(0usize..4, 3..6)),
    ) {
        let fits = x.len() == 4 && s == [x[0], x[3]];
        let (x_t, s_t) = (of(&x), of(&s));
        prop_assert_eq!(gate::gate(&x_t, &s_t, Activation::HardSigmoid).is_ok(), fits);
        prop_assert_eq!(add_relu::add_relu(&x_t, &s_t).is_ok(), fits);
        let g = g.unwrap_or(x.clone());
        let back = gate::backward(&x_t, &s_t, Activation::HardSigmoid, &of(&g));
        prop_assert_eq!(back.is_ok(), fits && g == x);
        prop_assert_eq!(add_relu::backward(&x_t, &of(&g)).is_ok(), x.len() == 4 && g == x);
    }
}
