//! What a 16-bit tensor holds, the conversions between types, and who refuses 16 bits.

use super::halves;
use ghostlight_autodiff::{Tape, Var, ops};
use ghostlight_kernels::matmul::gemm::grad_b;
use ghostlight_kernels::optim::{adamw, sgd};
use ghostlight_kernels::pointwise::convert;
use ghostlight_kernels::{DType, KernelError, Tensor};
use ghostlight_tests::{assert_refuses_range, client, download, reals, upload};

/// Around every corner of both types: ties, the least and the largest numbers, zeros, infinities and NaN.
fn corners() -> Vec<f64> {
    let mut corners = vec![
        0.0,
        1.0 + f64::powi(2.0, -11),
        1.0 + 3.0 * f64::powi(2.0, -11),
        1.0 + f64::powi(2.0, -8),
        1.0 + 3.0 * f64::powi(2.0, -8),
        65_504.0,
        65_519.0,
        65_520.0,
        1e30,
        3.4e38,
        f64::powi(2.0, -14),
        f64::powi(2.0, -24),
        f64::INFINITY,
        f64::NAN,
    ];
    corners.extend(corners.clone().iter().map(|v| -v));
    corners.extend(reals(3, 100));
    corners
}

fn same(got: &[f64], wanted: &[f64]) {
    assert_eq!(got.len(), wanted.len());
    for (i, (got, wanted)) in got.iter().zip(wanted).enumerate() {
        let same = got == wanted || got.is_nan() && wanted.is_nan();
        assert!(same, "element {i}: {got}, wanted {wanted}");
    }
}

#[test]
fn a_tensor_holds_the_nearest_numbers() {
    let values = corners();
    for half in halves() {
        let wanted: Vec<f64> = values.iter().map(|&v| half.round(v)).collect();
        let tensor = upload(&values, &[values.len()], half);
        same(&download(&tensor), &wanted);
        let narrow: Vec<f64> = tensor
            .to_f32()
            .unwrap()
            .into_iter()
            .map(f64::from)
            .collect();
        same(&narrow, &wanted);
        assert_eq!(half.size(), 2);
    }
}

#[test]
fn a_slice_and_a_window_hold_their_own_numbers() {
    for half in halves() {
        let values = reals(5, 512 * 4);
        let whole = upload(&values, &[512, 4], half);
        let rounded: Vec<f64> = values.iter().map(|&v| half.round(v)).collect();
        let start = Tensor::slice_alignment(&client(), half);
        let slice = whole.slice(start, &[40]).unwrap();
        same(&download(&slice), &rounded[start..start + 40]);
        let window = whole.window(1, 2).unwrap();
        let wanted: Vec<f64> = rounded.chunks(4).flat_map(|p| [p[1], p[2]]).collect();
        same(&download(&window), &wanted);
    }
}

#[test]
fn the_device_rounds_as_the_host_does() {
    // A shader may take numbers below the smallest normal one for 0, and the infinite and NaN for anything.
    let values: Vec<f64> = corners()
        .into_iter()
        .filter(|v| v.is_finite() && v.abs() < 1e38 && (*v == 0.0 || v.abs() > 1e-4))
        .collect();
    for half in halves() {
        let largest = if half == DType::F16 { 65_504.0 } else { 1e38 };
        let values: Vec<f64> = values
            .iter()
            .copied()
            .filter(|v| v.abs() <= largest)
            .collect();
        let wide = upload(&values, &[values.len()], DType::F32);
        let narrow = convert(&wide, half).unwrap();
        let wanted: Vec<f64> = download(&wide).iter().map(|&v| half.round(v)).collect();
        same(&download(&narrow), &wanted);
        let back = convert(&narrow, DType::F32).unwrap();
        assert_eq!(back.dtype(), DType::F32);
        same(&download(&back), &wanted);
        let empty = convert(&upload(&[], &[0, 3], DType::F32), half).unwrap();
        assert_eq!((empty.shape(), empty.dtype()), (&[0, 3][..], half));
    }
}

#[test]
fn a_conversion_refuses_windows_and_types_that_the_device_lacks() {
    let x = upload(&reals(1, 12), &[3, 4], DType::F32);
    let refused = convert(&x.window(1, 2).unwrap(), DType::F32);
    assert!(
        matches!(refused, Err(KernelError::Window { .. })),
        "{refused:?}"
    );
    for dtype in DType::ALL
        .into_iter()
        .filter(|dtype| !dtype.is_on(&client()))
    {
        assert_refuses_range(convert(&x, dtype), "dtype", format!("{dtype:?}"));
    }
}

#[test]
fn parameters_of_32_bits_serve_a_pass_in_16_and_get_their_gradients_in_32() {
    for half in halves() {
        let tape = Tape::new();
        let weight = upload(&reals(2, 5 * 3), &[5, 3], DType::F32);
        let grad = Tensor::zeros(&client(), &[5, 3], DType::F32);
        let leaf = tape.leaf(&weight, &grad).unwrap();
        let narrow = tape.apply(ops::Convert { to: half }, &[&leaf]).unwrap();
        assert_eq!(narrow.tensor().dtype(), half);
        let x = Var::constant(upload(&reals(1, 6 * 5), &[6, 5], half));
        let bias = Var::constant(upload(&reals(4, 3), &[3], half));
        let y = tape.apply(ops::Linear, &[&x, &narrow, &bias]).unwrap();
        let g = upload(&reals(3, 18), &[6, 3], half);
        tape.backward_from(&[(&y, g.clone())]).unwrap();
        let direct = grad_b(x.tensor(), narrow.tensor(), &g).unwrap();
        assert_eq!(grad.dtype(), DType::F32);
        same(&download(&grad), &download(&direct));
    }
}

#[test]
fn optimizers_refuse_parameters_of_16_bits() {
    for half in halves() {
        let of = |seed| upload(&reals(seed, 8), &[8], half);
        let [params, grads, first, second, decayed] = [1, 2, 3, 4, 5].map(of);
        let name = "element type of params";
        let options = sgd::SgdOptions {
            learning_rate: 0.1,
            momentum: 0.9,
            weight_decay: 0.0,
            nesterov: false,
        };
        let refused = sgd::step(&params, &grads, &first, &decayed, &options);
        assert_refuses_range(refused, name, format!("{half:?}"));
        let state = adamw::AdamWState {
            params: &params,
            first: &first,
            second: &second,
        };
        let refused = adamw::step(state, &grads, &decayed, &Default::default(), 1);
        assert_refuses_range(refused, name, format!("{half:?}"));
    }
}
