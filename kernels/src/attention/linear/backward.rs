use super::tile::{
    One, Part, Prologue, Tile, dot, lanes_of, multiply, sum_products, sum_tokens, tiles, token,
};
use super::{LinearAttentionProblem, OP};
use crate::clamp::relu_grad;
use crate::lanes::{Lanes, View, channel, load, store};
use crate::norm::row::{fresh, keep};
use crate::{KernelError, Tensor, launch, planted};
use cubecl::prelude::*;

/// The gradient of `qkv`. One unit owns a run of pairs of a sample and a group; its scratch holds two states, two rows, and two numbers a
/// token: what numerator (`r`) and divisor (`e`) get.
#[cube(launch_unchecked)]
fn linear_attention_grad<S: Float, F: Float, N: Size>(
    qkv: &[Vector<S, One>],
    grad: &[Vector<S, One>],
    out: &mut [Vector<S, One>],
    scratch: &mut [Vector<F, One>],
    _unaligned: &[S],
    qkv_view: View,
    grad_view: View,
    out_view: View,
    epsilon: InputScalar,
    tokens: usize,
    groups: usize,
    head: usize,
    pairs: usize,
    run: usize,
    #[comptime] tile: Tile,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let fresh = fresh::<N>(head, comptime!(tile.vectors));
    let epsilon = epsilon.get::<F>();
    let state = ABSOLUTE_POS * (2 * (head + 1) * head + 2 * tokens);
    let turned = state + head * head;
    let keys = turned + head * head;
    let numerators = keys + 2 * head;
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, pairs);
    for pair in first..last {
        let pixel = pair / groups * tokens;
        let offset = pair % groups * head;
        let q = Part::new(&qkv_view, pixel, 3 * offset);
        let k = Part::new(&qkv_view, pixel, 3 * offset + head);
        let v = Part::new(&qkv_view, pixel, 3 * offset + 2 * head);
        let g = Part::new(&grad_view, pixel, offset);
        let to_q = Part::new(&out_view, pixel, 3 * offset);
        let to_k = Part::new(&out_view, pixel, 3 * offset + head);
        let to_v = Part::new(&out_view, pixel, 3 * offset + 2 * head);
        // The state is made with its rows and columns exchanged: `w = S g` is then a row times it.
        let by_value = comptime!(Prologue {
            relu_rows: false,
            relu_lanes: true,
            weighted: false,
        });
        sum_products::<S, S, F, N>(
            qkv, &v, qkv, &k, 0usize, scratch, turned, tokens, head, by_value, tile,
        );
        sum_tokens::<S, F, N>(qkv, &k, 0usize, scratch, keys, tokens, head, false, tile);
        of_queries::<S, F, N>(
            qkv, &q, grad, &g, out, &to_q, scratch, turned, keys, numerators, epsilon, tokens,
            head, fresh, tile,
        );
        let by_query = comptime!(Prologue {
            relu_rows: true,
            relu_lanes: false,
            weighted: true,
        });
        sum_products::<S, S, F, N>(
            qkv, &q, grad, &g, numerators, scratch, state, tokens, head, by_query, tile,
        );
        let by_keys = keys + head;
        sum_tokens::<S, F, N>(
            qkv,
            &q,
            numerators + tokens,
            scratch,
            by_keys,
            tokens,
            head,
            true,
            tile,
        );
        for a in 0..head {
            for b in 0..head {
                scratch[turned + b * head + a] = scratch[state + a * head + b];
            }
        }
        of_keys_and_values::<S, F, N>(
            qkv, &k, &v, out, &to_k, &to_v, &*scratch, state, turned, by_keys, tokens, head, tile,
        );
    }
}

/// The gradients of the queries, and what numerator and divisor of each token get, to `numerators` and `tokens` elements behind.
#[cube]
fn of_queries<S: Float, F: Float, N: Size>(
    qkv: &[Vector<S, One>],
    q: &Part,
    grad: &[Vector<S, One>],
    g: &Part,
    out: &mut [Vector<S, One>],
    to: &Part,
    scratch: &mut [Vector<F, One>],
    turned: usize,
    keys: usize,
    numerators: usize,
    epsilon: F,
    tokens: usize,
    head: usize,
    fresh: Vector<bool, N>,
    #[comptime] tile: Tile,
) {
    let (vectors, many) = comptime!((tile.vectors, tile.tokens));
    for index in 0..tiles(tokens, tile) {
        let w = multiply::<S, F, N>(grad, g, &*scratch, turned, index, tokens, head, false, tile);
        #[unroll]
        for t in 0..many {
            let i = token(index, t, tokens, tile);
            let mut tilt = Vector::<F, N>::new(F::new(0.0f32));
            #[unroll]
            for v in 0..vectors {
                let value = lanes_of::<S, F, N>(qkv, q.at(i) + channel::<N>(v, head), true);
                let product = value * w[t * vectors + v];
                tilt += if comptime!(v + 1 == vectors) {
                    keep::<F, N>(fresh, product)
                } else {
                    product
                };
            }
            let divisor =
                dot::<S, F, N>(qkv, q.at(i), &*scratch, keys, head, fresh, tile) + epsilon;
            let numerator = F::new(1.0f32) / divisor;
            let mut below = F::new(0.0f32) - tilt.vector_sum() * numerator * numerator;
            if comptime!(planted::is("linear_attention_divisor_is_constant")) {
                below *= F::new(0.0f32);
            }
            scratch[numerators + i] = Vector::new(numerator);
            scratch[numerators + tokens + i] = Vector::new(below);
            #[unroll]
            for v in 0..vectors {
                let c = channel::<N>(v, head);
                let of_divisor = load::<F, F, One, N>(&*scratch, keys + c) * Vector::new(below);
                let value = fma(w[t * vectors + v], Vector::new(numerator), of_divisor);
                let before = lanes_of::<S, F, N>(qkv, q.at(i) + c, false);
                store::<S, F, One, N>(out, to.at(i) + c, relu_grad::<F, N>(before, value));
            }
        }
    }
}

/// The gradients of keys and values, from those of the state, as it is and `turned`, and of the sum of keys.
#[cube]
fn of_keys_and_values<S: Float, F: Float, N: Size>(
    qkv: &[Vector<S, One>],
    k: &Part,
    v: &Part,
    out: &mut [Vector<S, One>],
    to_k: &Part,
    to_v: &Part,
    scratch: &[Vector<F, One>],
    state: usize,
    turned: usize,
    by_keys: usize,
    tokens: usize,
    head: usize,
    #[comptime] tile: Tile,
) {
    let (vectors, many) = comptime!((tile.vectors, tile.tokens));
    for index in 0..tiles(tokens, tile) {
        let of_k = multiply::<S, F, N>(qkv, v, scratch, turned, index, tokens, head, false, tile);
        let of_v = multiply::<S, F, N>(qkv, k, scratch, state, index, tokens, head, true, tile);
        #[unroll]
        for t in 0..many {
            let i = token(index, t, tokens, tile);
            #[unroll]
            for j in 0..vectors {
                let c = channel::<N>(j, head);
                let value = of_k[t * vectors + j] + load::<F, F, One, N>(scratch, by_keys + c);
                let before = lanes_of::<S, F, N>(qkv, k.at(i) + c, false);
                store::<S, F, One, N>(out, to_k.at(i) + c, relu_grad::<F, N>(before, value));
                store::<S, F, One, N>(out, to_v.at(i) + c, of_v[t * vectors + j]);
            }
        }
    }
}

/// Launches the gradient of `qkv` into `out`.
pub(super) fn launch_backward(
    problem: &LinearAttentionProblem,
    qkv: &Tensor,
    grad: &Tensor,
    epsilon: f64,
    out: &Tensor,
) -> Result<(), KernelError> {
    let (client, dtype, head) = (qkv.client(), problem.dtype, problem.head);
    let lanes = Lanes::of(client, dtype, head, &[qkv, grad, out]);
    let grid = launch::grid(client, problem.pairs());
    let room = [grid.units, 2 * (head + 1) * head + 2 * problem.tokens];
    let scratch = Tensor::room(OP, "scratch", client, &room, dtype.accumulator())?;
    // SAFETY: `LinearAttentionProblem` relates the extents; each unit has two states, two rows and two numbers a token in `scratch`.
    unsafe {
        linear_attention_grad::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            lanes.width,
            lanes.arg(qkv),
            lanes.arg(grad),
            lanes.arg(out),
            scratch.arg(1),
            lanes.unaligned(qkv),
            qkv.view(),
            grad.view(),
            out.view(),
            dtype.scalar(epsilon),
            problem.tokens,
            problem.groups,
            head,
            problem.pairs(),
            grid.run,
            Tile::of(&lanes),
            dtype.elems(),
        );
    }
    launch::throttle(client);
    Ok(())
}
