//! The operation of `docs/your-own-operation.md`, and that the page shows it as it is compiled here.

#[path = "../../docs/examples/soft_sign.rs"]
mod soft_sign;

// ANCHOR: test
use ghostlight_autodiff::check::{Check, values};
use ghostlight_kernels::pointwise::{map, map_backward};
use ghostlight_tests::{
    GRADIENT, VALUE, abs, assert_launches, assert_near, assert_refuses_shape, assert_same_bits,
    client, dtypes, reals, upload,
};
use proptest::prelude::*;
use soft_sign::{SoftSign, reference, soft_sign_by_hand};

proptest! {
    #![proptest_config(ghostlight_tests::cases(32))]

    #[test]
    fn values_and_slopes_are_those_of_the_reference(len in 0usize..100, seed: u32) {
        let (x, g) = (reals(seed.into(), len), reals(1, len));
        let wanted: Vec<f64> = x.iter().map(|&x| reference(x)[0]).collect();
        let slopes: Vec<f64> = x.iter().zip(&g).map(|(&x, g)| reference(x)[1] * g).collect();
        for dtype in dtypes() {
            let (x, g) = (upload(&x, &[len], dtype), upload(&g, &[len], dtype));
            let y = assert_launches("forward", len.min(1), || map(&x, SoftSign));
            assert_near("value", &y, &wanted, &abs(&wanted), VALUE);
            assert_same_bits("by hand", &soft_sign_by_hand(&x).unwrap(), &y);
            let grad = map_backward("soft_sign", &x, &g, SoftSign).unwrap();
            assert_near("slope", &grad, &slopes, &abs(&slopes), 2.0 * GRADIENT);
        }
    }
}
// ANCHOR_END: test

// ANCHOR: whole
#[test]
fn the_whole_function_is_right() {
    Check::of(SoftSign)
        .inputs([(values(3, 24), vec![4, 6])])
        .reference(|x| x[0].iter().map(|&x| reference(x)[0]).collect())
        .run(&client())
        .unwrap();
}
// ANCHOR_END: whole

#[test]
fn a_gradient_of_another_shape_is_refused() {
    for dtype in dtypes() {
        let x = upload(&[0.5; 6], &[2, 3], dtype);
        let g = upload(&[0.5; 6], &[3, 2], dtype);
        let refused = map_backward("soft_sign", &x, &g, SoftSign);
        assert_refuses_shape(refused, "grad", &[3, 2]);
    }
}

/// The code between an anchor's marks in `source`.
fn anchored<'a>(source: &'a str, name: &str) -> Option<&'a str> {
    let (_, after) = source.split_once(&format!("// ANCHOR: {name}\n"))?;
    Some(after.split_once(&format!("// ANCHOR_END: {name}"))?.0)
}

#[test]
fn the_page_shows_the_code_that_is_compiled() {
    let page = include_str!("../../docs/your-own-operation.md");
    let sources = [
        include_str!("../../docs/examples/soft_sign.rs"),
        include_str!("your_own_operation.rs"),
        include_str!("../../bench/benches/ops/soft_sign.rs"),
    ];
    for name in [
        "formula",
        "reference",
        "function",
        "test",
        "whole",
        "bench",
        "kernel",
        "host",
    ] {
        let code = sources.iter().find_map(|source| anchored(source, name));
        let code = code.unwrap_or_else(|| panic!("no anchor {name}"));
        let shown = format!("```rust\n{}\n```", code.trim());
        assert!(
            page.contains(&shown),
            "the page does not show this:\n{shown}"
        );
    }
}
