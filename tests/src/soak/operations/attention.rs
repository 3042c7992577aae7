use super::{Draw, Problem, len};
use ghostlight_autodiff::check::Check;
use ghostlight_autodiff::ops;
use ghostlight_kernels::DType;
use ghostlight_kernels::attention::softmax::{self, AttentionOptions, AttentionProblem};
use ghostlight_kernels::attention::{linear, separable};

/// What probabilities that are stored, and shares of sums, cost beside the rounding of the operands.
const FACTOR: f64 = 8.0;

/// Gradients of shares are differences from their mean.
const FLOOR: f64 = 0.015625;

pub fn attention(mut draw: Draw) -> Problem {
    draw.finite();
    let heads = draw.extent("heads", 1, 3);
    let [dim, dim_v] = draw.pick("dims", &[[1, 1], [3, 5], [4, 4], [16, 16], [20, 17]]);
    let samples = draw.extent("samples", 1, 3);
    let [h, w] = [draw.extent("h", 1, 5), draw.extent("w", 1, 5)];
    let bias = draw.any("bias", &[false, true]);
    let (tokens, offsets) = (h * w, bias.then_some([h, w]));
    let scale = 1.0 / (dim as f64).sqrt();
    let options = AttentionOptions {
        heads,
        scale,
        offsets,
    };
    let problem = AttentionProblem {
        samples,
        tokens,
        dim,
        dim_v,
        options,
        dtype: DType::F64,
    };
    let (narrow, wide) = ([samples, tokens, heads * dim], problem.output());
    let mut inputs = vec![
        (draw.exact(len(&narrow)), narrow.to_vec()),
        (draw.exact(len(&narrow)), narrow.to_vec()),
        (draw.values(len(&wide)), wide.to_vec()),
    ];
    if bias {
        inputs.push((draw.exact(heads * tokens), vec![heads, tokens]));
    }
    let probabilities = move |v: &[Vec<f64>]| {
        softmax::reference::probabilities(
            &problem,
            &v[0],
            &v[1],
            v.get(3).map_or(&[], Vec::as_slice),
        )
    };
    let check = Check::of(ops::Attention {
        heads,
        scale,
        offsets,
    })
    .inputs(inputs)
    .reference(move |v| softmax::reference::forward(&problem, &probabilities(v), &v[2]))
    .gradient(move |v, g| {
        let p = probabilities(v);
        let found = softmax::reference::backward(&problem, &p, [&v[0], &v[1], &v[2]], g);
        let all = [found.q, found.k, found.v].into_iter();
        all.chain(v.get(3).map(|_| found.bias)).collect()
    })
    .linear_in(&[2])
    .factor(FACTOR)
    .floor(FLOOR)
    .terms(tokens + dim + dim_v);
    draw.problem(check, true)
}

pub fn linear_attention(mut draw: Draw) -> Problem {
    draw.finite();
    let head = draw.pick("head", &[1, 3, 8, 16, 20]);
    let [samples, tokens, groups] = [
        draw.extent("samples", 1, 3),
        draw.extent("tokens", 1, 20),
        draw.extent("groups", 1, 3),
    ];
    let epsilon = 0.125;
    let shape = [samples, tokens, groups * 3 * head];
    let qkv = draw.values(len(&shape));
    let extents = [tokens, groups, head];
    let check = Check::of(ops::LinearAttention {
        head,
        epsilon,
        into: None,
    })
    .inputs([(qkv, shape.to_vec())])
    .reference(move |x| linear::reference::forward(&x[0], extents, epsilon))
    .gradient(move |x, g| vec![linear::reference::backward(&x[0], g, extents, epsilon)])
    .factor(FACTOR)
    .floor(FLOOR)
    .terms(tokens * head);
    draw.problem(check, false)
}

pub fn separable_attention(mut draw: Draw) -> Problem {
    draw.finite();
    let [samples, tokens] = [draw.extent("samples", 1, 4), draw.extent("tokens", 1, 20)];
    let channels = draw.channels("c");
    let shape = [samples, tokens, 1 + 2 * channels];
    let qkv = draw.exact(len(&shape));
    let check = Check::of(ops::SeparableAttention)
        .inputs([(qkv, shape.to_vec())])
        .reference(move |x| separable::reference::forward(&x[0], tokens, channels))
        .gradient(move |x, g| vec![separable::reference::backward(&x[0], g, tokens, channels)])
        .factor(FACTOR)
        .floor(FLOOR)
        .terms(tokens + channels);
    draw.problem(check, true)
}
