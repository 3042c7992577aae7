use super::{Draw, assert_rounded, assert_rounded_once};
use ghostlight_kernels::Affine;
use ghostlight_kernels::Clamp;
use ghostlight_kernels::conv::depthwise::{self, DepthwiseOptions, depthwise};
use ghostlight_kernels::conv::{dense, grouped};
use ghostlight_kernels::ghost::{mix, module};
use ghostlight_kernels::matmul::gemm::{gemm, grad_a, grad_b, grad_bias};
use ghostlight_kernels::norm::batch_norm::BatchNorm;
use proptest::prelude::*;

/// Channels below, at and past whole vectors.
const CHANNELS: [usize; 8] = [1, 3, 8, 16, 20, 32, 36, 50];

fn channels() -> impl Strategy<Value = usize> {
    prop::sample::select(&CHANNELS[..])
}

fn norm(draw: &Draw, channels: usize) -> BatchNorm {
    BatchNorm {
        gamma: draw.row(channels),
        beta: draw.row(channels),
        running_mean: draw.row(channels),
        running_var: draw.positive_row(channels),
        epsilon: 1e-3,
        momentum: 0.1,
    }
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(4))]

    #[test]
    fn dense_convolutions(
        n in 0usize..3, h in 1usize..12, w in 1usize..12, ci in channels(), co in channels(),
        k in prop::sample::select(&[1usize, 3][..]), stride in 1usize..3,
    ) {
        let options = dense::ConvOptions::square(stride, k / 2);
        let out = [h, w].map(|side| (side - 1) / stride + 1);
        assert_rounded_once(|draw| {
            let x = draw.stored(&[n, h, w, ci]);
            let weight = draw.stored(&[k, k, ci, co]);
            let shape = [n, out[0], out[1], co];
            let (g, residual) = (draw.stored(&shape), draw.stored(&shape));
            let affine = Affine {
                centre: &draw.row(co),
                scale: &draw.row(co),
                shift: &draw.row(co),
                residual: Some(&residual),
                clamp: Clamp::Relu,
            };
            vec![
                ("conv", dense::conv(&x, &weight, options).unwrap()),
                ("conv_affine", dense::conv_affine(&x, &weight, options, &affine).unwrap()),
                ("grad_input", dense::grad_input(&x, &weight, &g, options).unwrap()),
                ("grad_weight", dense::grad_weight(&x, &weight, &g, options).unwrap()),
            ]
        });
    }

    #[test]
    fn depthwise_convolutions(
        n in 0usize..3, h in 1usize..14, w in 1usize..14, c in channels(), multiplier in 1usize..4,
        k in prop::sample::select(&[3usize, 5, 7, 9][..]), stride in 1usize..3,
    ) {
        let options = DepthwiseOptions::square(stride, k / 2);
        let out = [h, w].map(|side| (side - 1) / stride + 1);
        let wide = c * multiplier;
        assert_rounded_once(|draw| {
            let x = draw.stored(&[n, h, w, c]);
            let weight = draw.stored(&[k, k, wide]);
            let bias = draw.stored(&[wide]);
            let g = draw.stored(&[n, out[0], out[1], wide]);
            let plus = draw.stored(&[n, h, w, c]);
            let [grad_weight, grad_bias] =
                depthwise::grad_weight_and_bias(&x, &weight, &g, options).unwrap();
            let plus = depthwise::grad_input_plus(&x, &weight, &g, options, &plus);
            vec![
                ("depthwise", depthwise(&x, &weight, Some(&bias), options).unwrap()),
                ("grad_input", depthwise::grad_input(&x, &weight, &g, options).unwrap()),
                ("grad_input_plus", plus.unwrap()),
                ("grad_weight", grad_weight),
                ("grad_bias", grad_bias),
            ]
        });
    }

    #[test]
    fn grouped_convolutions(
        n in 0usize..3, h in 1usize..9, w in 1usize..9, groups in 1usize..5, each in channels(),
        k in prop::sample::select(&[1usize, 3, 5][..]), stride in 1usize..3,
    ) {
        let options = grouped::ConvOptions::square(stride, k / 2);
        let out = [h, w].map(|side| (side - 1) / stride + 1);
        let c = groups * each;
        assert_rounded_once(|draw| {
            let x = draw.stored(&[n, h, w, c]);
            let weight = draw.stored(&[k, k, each, c]);
            let g = draw.stored(&[n, out[0], out[1], c]);
            let affine = Affine {
                centre: &draw.row(c),
                scale: &draw.row(c),
                shift: &draw.row(c),
                residual: None,
                clamp: Clamp::Relu,
            };
            vec![
                ("conv", grouped::conv(&x, &weight, groups, options).unwrap()),
                ("conv_affine", grouped::conv_affine(&x, &weight, groups, options, &affine).unwrap()),
                ("grad_input", grouped::grad_input(&x, &weight, &g, groups, options).unwrap()),
                ("grad_weight", grouped::grad_weight(&x, &weight, &g, groups, options).unwrap()),
            ]
        });
    }

    #[test]
    fn products(m in 0usize..300, k in channels(), n in channels()) {
        assert_rounded_once(|draw| {
            let (a, b) = (draw.stored(&[m, k]), draw.stored(&[k, n]));
            let (bias, g) = (draw.stored(&[n]), draw.stored(&[m, n]));
            vec![
                ("gemm", gemm(&a, &b, Some(&bias)).unwrap()),
                ("grad_a", grad_a(&a, &b, &g).unwrap()),
                ("grad_b", grad_b(&a, &b, &g).unwrap()),
                ("grad_bias", grad_bias(&g).unwrap()),
            ]
        });
    }

    #[test]
    fn ghost_modules(n in 1usize..3, side in 4usize..9, c in channels(), m in 2usize..20, odd in 0usize..2) {
        // The primary half, both products before their norms and every gradient on the way are stored.
        assert_rounded(16.0, |draw| {
            let x = draw.stored(&[n, side, side, c]);
            let (primary, cheap) = (draw.stored(&[1, 1, c, m]), draw.stored(&[3, 3, m]));
            let norms = [norm(draw, m), norm(draw, m)];
            let ghost = module::Ghost {
                primary: &primary,
                primary_norm: &norms[0],
                cheap: &cheap,
                cheap_norm: &norms[1],
                options: dense::ConvOptions::square(1, 0),
                channels: 2 * m - odd,
                clamp: Clamp::None,
            };
            let scales = module::Scales::of(&ghost).unwrap();
            vec![("infer", module::infer(&x, &ghost, &scales).unwrap())]
        });
    }
}

#[test]
fn a_ghost_module_trains() {
    assert_rounded(16.0, |draw| {
        let (x, c, m) = (draw.stored(&[4, 8, 8, 12]), 12, 10);
        let (primary, cheap) = (draw.stored(&[1, 1, c, m]), draw.stored(&[3, 3, m]));
        let norms = [norm(draw, m), norm(draw, m)];
        let ghost = module::Ghost {
            primary: &primary,
            primary_norm: &norms[0],
            cheap: &cheap,
            cheap_norm: &norms[1],
            options: dense::ConvOptions::square(1, 0),
            channels: 19,
            clamp: Clamp::None,
        };
        let g = draw.stored(&[4, 8, 8, 19]);
        let (y, saved) = module::train(&x, &ghost).unwrap();
        let grads = module::backward(&ghost, saved, &g).unwrap();
        let [primary_gamma, _] = grads.primary_norm;
        let [_, cheap_beta] = grads.cheap_norm;
        vec![
            ("y", y),
            ("grad_input", grads.input),
            ("grad_primary", grads.primary),
            ("grad_cheap", grads.cheap),
            ("grad_gamma", primary_gamma),
            ("grad_beta", cheap_beta),
            ("running_mean", norms[1].running_mean.clone()),
            ("running_var", norms[1].running_var.clone()),
        ]
    });
}

#[test]
fn the_ghost_half_of_a_stage() {
    assert_rounded(16.0, |draw| {
        let (maps, p, r) = ([4usize, 6, 6], 20, 8);
        let c = p - r;
        let map = |channels| draw.stored(&[maps[0], maps[1], maps[2], channels]);
        let (x0, features) = (map(p), [map(r), map(r)]);
        let weights = [c, p + 2 * r, c].map(|rows| draw.stored(&[rows, c]));
        let norms = [c; 3].map(|c| norm(draw, c));
        let half = mix::Mix {
            cheap: &weights[0],
            cheap_norm: &norms[0],
            first: &weights[1],
            first_norm: &norms[1],
            second: &weights[2],
            second_norm: &norms[2],
        };
        let features: Vec<_> = features.iter().collect();
        let (out, inferred) = (map(c), map(c));
        let scales = mix::Scales::of(&half).unwrap();
        mix::infer(&x0, &features, &half, &scales, &inferred).unwrap();
        let saved = mix::train(&x0, &features, &half, &out).unwrap();
        let grads = mix::backward(&half, &saved, &map(c)).unwrap();
        let [cheap, gamma, _] = grads.cheap;
        vec![
            ("inferred", inferred),
            ("out", out),
            ("grad_x0", grads.x0),
            ("grad_cheap", cheap),
            ("grad_gamma", gamma),
        ]
    });
}
