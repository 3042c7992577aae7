//! Outputs and gradients beside the reference.

use ghostlight_kernels::attention::softmax::{
    AttentionGrads, AttentionOptions, AttentionProblem, attention, backward, backward_packed,
    packed, reference,
};
use ghostlight_kernels::{DType, Tensor};
use ghostlight_tests::{
    GRADIENT, VALUE, Windowed, abs, assert_near, assert_same_bits, download, dtypes_with_exp,
    naive, poison, reals, upload,
};
use proptest::prelude::*;

/// Extents on the host; offsets where there is a bias.
pub fn problem(
    [samples, tokens, heads]: [usize; 3],
    [dim, dim_v]: [usize; 2],
    offsets: Option<[usize; 2]>,
) -> AttentionProblem {
    AttentionProblem {
        samples,
        tokens,
        dim,
        dim_v,
        options: AttentionOptions {
            heads,
            scale: 1.0 / (dim as f64).sqrt(),
            offsets,
        },
        dtype: DType::F64,
    }
}

/// Tokens as the pixels of a map, with a bias or without.
fn problems() -> impl Strategy<Value = AttentionProblem> {
    let map = prop_oneof![
        (1usize..8, 1usize..8),
        Just((4, 4)),
        Just((7, 7)),
        Just((8, 8)),
        Just((0, 3)),
        Just((10, 13)),
    ];
    let dims = (
        prop::sample::select(&[1usize, 3, 16, 20, 30, 36][..]),
        1usize..40,
    );
    (0usize..4, map, 1usize..4, dims, any::<bool>()).prop_map(
        |(samples, (h, w), heads, (dim, dim_v), bias)| {
            problem(
                [samples, h * w, heads],
                [dim, dim_v],
                bias.then_some([h, w]),
            )
        },
    )
}

/// Inputs and the output's gradient on the host; no bias is an empty one.
pub struct Operands {
    pub q: Vec<f64>,
    pub k: Vec<f64>,
    pub v: Vec<f64>,
    pub bias: Vec<f64>,
    pub g: Vec<f64>,
}

impl Operands {
    pub fn draw(problem: &AttentionProblem, seed: u64) -> Self {
        let &AttentionProblem {
            samples,
            tokens,
            dim,
            dim_v,
            options,
            ..
        } = problem;
        let rows = samples * tokens * options.heads;
        let biases = options.offsets.map_or(0, |_| options.heads * tokens);
        // Scores that differ by several units, so that probabilities do.
        let wide = |values: Vec<f64>| values.iter().map(|v| 4.0 * v).collect();
        Self {
            q: wide(reals(seed, rows * dim)),
            k: reals(seed + 1, rows * dim),
            v: reals(seed + 2, rows * dim_v),
            bias: wide(reals(seed + 3, biases)),
            g: reals(seed + 4, rows * dim_v),
        }
    }

    /// The output and the gradients on the device.
    pub fn run(&self, problem: &AttentionProblem, dtype: DType) -> (Tensor, AttentionGrads) {
        let &AttentionProblem {
            samples,
            tokens,
            dim,
            options,
            ..
        } = problem;
        let narrow = [samples, tokens, options.heads * dim];
        let [q, k] = [&self.q, &self.k].map(|values| upload(values, &narrow, dtype));
        let [v, g] = [&self.v, &self.g].map(|values| upload(values, &problem.output(), dtype));
        let bias = (options.offsets).map(|_| upload(&self.bias, &[options.heads, tokens], dtype));
        poison(
            dtype,
            &[q.len(), v.len(), samples * options.heads * tokens * tokens],
        );
        let (out, saved) = attention(&q, &k, &v, bias.as_ref(), options).unwrap();
        (out, backward(saved, &g).unwrap())
    }
}

/// What rounding may do to each result: magnitudes of its sums, times what an error of the scores makes of a probability.
struct Magnitudes {
    out: Vec<f64>,
    grads: reference::Grads,
}

impl Magnitudes {
    fn of(problem: &AttentionProblem, operands: &Operands, p: &[f64]) -> Self {
        let &AttentionProblem {
            samples,
            tokens,
            dim,
            dim_v,
            options,
            ..
        } = problem;
        let Operands { q, k, v, bias, g } = operands;
        let [q, k, v, bias, g] = [q, k, v, bias, g].map(|values| abs(values));
        let largest = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
        // A score is off by rounding of its terms, and a probability, relatively, by as much and as much again for its sum.
        let score = largest(&q) * largest(&k) * dim as f64 * options.scale + largest(&bias);
        let loose: Vec<f64> = p.iter().map(|p| p * (2.0 + 2.0 * score)).collect();
        let mut grads = reference::Grads {
            q: vec![0.0; q.len()],
            k: vec![0.0; k.len()],
            v: vec![0.0; v.len()],
            bias: vec![0.0; bias.len()],
        };
        for matrix in 0..samples * options.heads {
            let (sample, head) = (matrix / options.heads, matrix % options.heads);
            let row = |token: usize| (sample * tokens + token) * options.heads + head;
            for i in 0..tokens {
                let of = |values: &[f64], j: usize| values[(matrix * tokens + i) * tokens + j];
                let by_p: Vec<f64> = (0..tokens)
                    .map(|j| {
                        (0..dim_v)
                            .map(|c| g[row(i) * dim_v + c] * v[row(j) * dim_v + c])
                            .sum()
                    })
                    .collect();
                let mean: f64 = (0..tokens).map(|j| of(p, j) * by_p[j]).sum();
                for j in 0..tokens {
                    for c in 0..dim_v {
                        grads.v[row(j) * dim_v + c] += of(&loose, j) * g[row(i) * dim_v + c];
                    }
                    let slope = of(&loose, j) * (by_p[j] + mean);
                    for c in 0..dim {
                        grads.q[row(i) * dim + c] += options.scale * slope * k[row(j) * dim + c];
                        grads.k[row(j) * dim + c] += options.scale * slope * q[row(i) * dim + c];
                    }
                    if let Some([_, w]) = options.offsets {
                        let offset = (i / w).abs_diff(j / w) * w + (i % w).abs_diff(j % w);
                        grads.bias[head * tokens + offset] += slope;
                    }
                }
            }
        }
        Self {
            out: reference::forward(problem, &loose, &v),
            grads,
        }
    }
}

/// Asserts that outputs and gradients are the reference's.
fn assert_right(problem: &AttentionProblem, operands: &Operands) {
    let Operands { q, k, v, bias, g } = operands;
    let p = reference::probabilities(problem, q, k, bias);
    let out = reference::forward(problem, &p, v);
    let grads = reference::backward(problem, &p, [q, k, v], g);
    let most = Magnitudes::of(problem, operands, &p);
    let terms = problem.tokens + problem.dim + problem.dim_v;
    for dtype in dtypes_with_exp() {
        let (got, found) = operands.run(problem, dtype);
        let (value, gradient) = (VALUE * naive(terms), GRADIENT * naive(terms));
        assert_near("out", &got, &out, &most.out, value);
        assert_near("q", &found.q, &grads.q, &most.grads.q, gradient);
        assert_near("k", &found.k, &grads.k, &most.grads.k, gradient);
        assert_near("v", &found.v, &grads.v, &most.grads.v, gradient);
        assert_eq!(found.bias.is_some(), problem.options.offsets.is_some());
        if let Some(bias) = &found.bias {
            let gradient = GRADIENT * naive(terms + problem.samples * problem.tokens);
            assert_near("bias", bias, &grads.bias, &most.grads.bias, gradient);
        }
    }
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(40))]

    #[test]
    fn outputs_and_gradients_differ_from_the_reference_by_no_more_than_rounding(
        problem in problems(),
        seed: u32,
    ) {
        assert_right(&problem, &Operands::draw(&problem, seed.into()));
    }

    #[test]
    fn queries_keys_and_values_side_by_side_give_what_they_give_apart(
        ([samples, tokens, heads], dim) in ([1usize..4, 1usize..40, 1usize..4], 1usize..40),
        (before, after) in (0usize..20, 0usize..20),
        seed: u32,
    ) {
        let problem = problem([samples, tokens, heads], [dim, dim], None);
        let operands = Operands::draw(&problem, seed.into());
        let width = heads * dim;
        let rows = |values: &[f64], row: usize| values[row * width..][..width].to_vec();
        let side = |[q, k, v]: [&[f64]; 3]| -> Vec<f64> {
            (0..samples * tokens).flat_map(|row| [rows(q, row), rows(k, row), rows(v, row)].concat()).collect()
        };
        for dtype in dtypes_with_exp() {
            let all = side([&operands.q, &operands.k, &operands.v]);
            let qkv = Windowed::of(&all, &[samples, tokens, 3 * width], dtype, before, after);
            let g = Windowed::of(&operands.g, &problem.output(), dtype, after, before);
            let [q, k, v] = packed(&qkv.window, heads).unwrap();
            let (out, saved) = attention(&q, &k, &v, None, problem.options).unwrap();
            let (grad, bias) = backward_packed(saved, &g.window).unwrap();
            let (apart, grads) = operands.run(&problem, dtype);
            assert_same_bits("out", &out, &apart);
            prop_assert!(bias.is_none());
            let [q, k, v] = [grads.q, grads.k, grads.v].map(|grad| download(&grad));
            prop_assert_eq!(download(&grad), side([&q, &k, &v]));
        }
    }
}

#[test]
fn attention_of_networks_agrees_with_the_reference() {
    for (extents, dims, offsets) in [
        // MobileViT at 256 px and at 64, EfficientViT-M at 224 and at 64.
        ([1, 256, 4], [36, 36], None),
        ([2, 64, 4], [20, 20], None),
        ([9, 4, 4], [60, 60], None),
        ([5, 1, 4], [24, 24], None),
        ([3, 49, 1], [16, 32], Some([7, 7])),
        ([4, 16, 1], [16, 64], Some([4, 4])),
        // More than a core's caches hold.
        ([2, 260, 1], [130, 128], Some([13, 20])),
    ] {
        let problem = problem(extents, dims, offsets);
        assert_right(&problem, &Operands::draw(&problem, 3));
    }
}

#[test]
fn queries_beside_the_last_tile_and_keys_beside_the_last_vector_count_once() {
    for (tokens, offsets) in [(31, None), (23, None), (11, Some([1, 11])), (2, None)] {
        let problem = problem([2, tokens, 2], [20, 17], offsets);
        assert_right(&problem, &Operands::draw(&problem, 4));
    }
}

#[test]
fn values_and_gradients_are_pytorchs() {
    // scaled_dot_product_attention in float64 with timm's bias of a map of 2 x 2 as its mask, and the gradients of the sum weighted by G.
    const Q: [f64; 16] = [
        -0.22, 0.15, 0.67, -0.51, -1.59, -0.75, 0.65, 0.91, 0.15, -0.81, 1.59, -0.35, 0.55, 1.15,
        -0.12, 0.55,
    ];
    const K: [f64; 16] = [
        -0.46, 1.06, -2.22, -0.47, -1.35, -0.28, 0.17, 0.76, 0.18, 0.63, 1.0, -0.22, -0.58, -1.22,
        -0.27, 0.2,
    ];
    const V: [f64; 24] = [
        -0.09, -0.35, -0.42, -1.66, -0.35, -0.77, -0.7, -1.91, -0.02, -0.5, 0.94, 1.08, 0.29, 0.08,
        0.09, 0.18, 0.92, -0.76, 0.07, -0.0, -0.45, 0.91, 0.11, 0.37,
    ];
    const BIAS: [f64; 8] = [-1.97, -2.03, 0.57, -0.12, -0.92, -0.74, 0.17, 0.01];
    const G: [f64; 24] = [
        1.63, -0.24, -1.44, -2.12, -1.66, -0.0, -0.49, 0.47, -1.62, 0.74, 0.41, -0.5, 0.9, -0.28,
        0.76, -0.92, 0.7, -0.33, -2.07, -0.48, 0.51, -0.08, 0.83, -0.47,
    ];
    const OUT: [f64; 24] = [
        0.1588957492742926,
        -0.05954786915570007,
        -0.10066499326035212,
        0.13102876994075732,
        0.5597503749603425,
        -0.15726655394733874,
        0.056503473965726914,
        -0.11924175030555949,
        -0.3201511661276715,
        0.17534517299481933,
        0.4909503546048517,
        -0.03992448319949071,
        -0.2723786588118673,
        -0.846106653090738,
        -0.2593075776995137,
        -0.3382587951824064,
        0.5393276569732866,
        0.15498616196085982,
        -0.3643782640202307,
        -1.0855994503543618,
        -0.19282899392809938,
        -0.5899134766815509,
        0.419399036152487,
        0.14011040916589246,
    ];
    const GRAD_Q: [f64; 16] = [
        -0.0009119269441460725,
        -0.03483693857169839,
        -0.3337899502215764,
        -0.03495424492774735,
        -0.012448905265285068,
        -0.07150767817041395,
        0.11007444645586412,
        -0.01828071916309091,
        -0.0032325429611737705,
        -0.01094386566465163,
        -0.07555986810845217,
        -0.025585492424718557,
        -0.14502272566172048,
        -0.15500762167111864,
        0.053458593454147656,
        -0.005812480612265402,
    ];
    const GRAD_K: [f64; 16] = [
        -0.06279407235248237,
        -0.11290813149434253,
        0.13503668603360577,
        -0.11383880320541256,
        0.10871530100732689,
        0.17078967687765942,
        0.01434613546721818,
        -0.049385435292340504,
        0.04078035947280615,
        -0.013027444513114474,
        -0.0170368974796267,
        0.09920687118398042,
        -0.08670158812765066,
        -0.04485410087020243,
        -0.13234592402119721,
        0.06401736731377258,
    ];
    const GRAD_V: [f64; 24] = [
        -0.29969102084063337,
        -0.3466638706313974,
        0.49709482978213815,
        -0.33693755618146426,
        0.28852524414787717,
        -0.2637639679924403,
        -0.6684613971889007,
        -0.3156247693036612,
        0.34290680905450843,
        -0.5846660601928021,
        0.44639443519259664,
        -0.4027148965698313,
        0.8175897431596943,
        -0.09912748877158022,
        -1.1105126654076463,
        -0.9395300564190201,
        -0.3343841803211683,
        -0.32672705212202696,
        0.12056267486984003,
        0.2314161287066389,
        -1.5194889734290002,
        -0.5188663272067136,
        -0.12053549901930581,
        -0.30679408331570146,
    ];
    const GRAD_BIAS: [f64; 8] = [
        -0.0821409837269165,
        -0.15568971804787604,
        0.659660711776192,
        -0.42183001000139964,
        0.31772619835322813,
        -0.16951935692628495,
        -0.0811040411338555,
        -0.06710280029308754,
    ];
    let problem = AttentionProblem {
        options: AttentionOptions {
            scale: 0.25,
            heads: 2,
            offsets: Some([2, 2]),
        },
        ..problem([1, 4, 2], [2, 3], Some([2, 2]))
    };
    let operands = Operands {
        q: Q.to_vec(),
        k: K.to_vec(),
        v: V.to_vec(),
        bias: BIAS.to_vec(),
        g: G.to_vec(),
    };
    for dtype in dtypes_with_exp() {
        let (out, grads) = operands.run(&problem, dtype);
        let bias = grads.bias.unwrap();
        for (name, got, wanted) in [
            ("out", &out, &OUT[..]),
            ("q", &grads.q, &GRAD_Q),
            ("k", &grads.k, &GRAD_K),
            ("v", &grads.v, &GRAD_V),
            ("bias", &bias, &GRAD_BIAS),
        ] {
            assert_near(name, got, wanted, &vec![1.0; wanted.len()], 16.0);
        }
    }
}
