//! Softmax attention, both phases, and the products that it is made of, a phase for each form.

use ghostlight_bench::{
    Case, DTYPE, Expected, Input, Phase, Suite, SuiteError, Variant, catalogue, values,
};
use ghostlight_kernels::Tensor;
use ghostlight_kernels::attention::softmax::{
    AttentionProblem, attention, backward, cost, reference,
};
use ghostlight_kernels::matmul::batched::{
    self, BatchedOptions, BatchedProblem, Form, batched_into,
};

pub fn attentions(suite: &mut Suite) -> Result<(), SuiteError> {
    for case in suite.cases("attention", catalogue::attentions())? {
        let (name, problem) = (case.name(), case.problem());
        let AttentionProblem {
            samples,
            tokens,
            dim,
            options,
            ..
        } = problem;
        let narrow = [samples, tokens, options.heads * dim];
        let wide = problem.output();
        let mut inputs = vec![
            Input::between(1, &narrow, -2.0, 2.0),
            Input::between(2, &narrow, -2.0, 2.0),
            Input::random(3, &wide),
        ];
        if options.offsets.is_some() {
            inputs.push(Input::random(4, &[options.heads, tokens]));
        }
        let count = inputs.len();
        let learned = move |v: &[Vec<f64>]| match count {
            4 => v[3].clone(),
            _ => Vec::new(),
        };
        let probabilities =
            move |v: &[Vec<f64>]| reference::probabilities(&problem, &v[0], &v[1], &learned(v));
        suite.phase(
            Phase::new(
                ["attention", &name, "forward"],
                cost::forward(&problem),
                inputs.clone(),
                move |v| values(reference::forward(&problem, &probabilities(v), &v[2])),
                move |t| {
                    let bias = (count == 4).then(|| &t[3]);
                    Ok(vec![attention(&t[0], &t[1], &t[2], bias, options)?.0])
                },
            )
            .for_peers(&case.arguments()),
        )?;
        inputs.push(Input::random(5, &wide));
        let ours = Variant::prepared("ours", move |t| {
            let bias = (count == 4).then(|| &t[3]);
            let (_, saved) = attention(&t[0], &t[1], &t[2], bias, options)?;
            Ok(Box::new(move || {
                let grads = backward(saved.clone(), &t[count])?;
                let bias = grads.bias.into_iter();
                Ok([grads.q, grads.k, grads.v]
                    .into_iter()
                    .chain(bias)
                    .collect())
            }))
        });
        suite.phase(
            Phase::of(
                ["attention", &name, "backward"],
                cost::backward(&problem),
                inputs,
                move |v| {
                    let qkv = [&v[0][..], &v[1], &v[2]];
                    let grads = reference::backward(&problem, &probabilities(v), qkv, &v[count]);
                    let bias = Some(grads.bias).filter(|bias| !bias.is_empty());
                    let all = [grads.q, grads.k, grads.v].into_iter().chain(bias);
                    all.map(Expected::Values).collect()
                },
                ours,
            )
            .for_peers(&case.arguments()),
        )?;
    }
    Ok(())
}

/// Scores of queries and keys, the mean of values by probabilities, and that by the other axis, which is a gradient.
pub fn products(suite: &mut Suite) -> Result<(), SuiteError> {
    for case in suite.cases("batched", catalogue::attentions())? {
        let (name, problem) = (case.name(), case.problem());
        let AttentionProblem {
            samples,
            tokens,
            dim,
            dim_v,
            ..
        } = problem;
        let heads = problem.options.heads;
        let square = [samples, heads, tokens, tokens];
        for (phase, form, columns) in [
            ("transposed_b", Form::TransposedB, dim),
            ("plain", Form::Plain, dim_v),
            ("transposed_a", Form::TransposedA, dim_v),
        ] {
            let rows = [samples, tokens, heads * columns];
            let [a, out] = match form {
                Form::TransposedB => [&rows[..], &square],
                _ => [&square[..], &rows],
            };
            let (m, k) = (
                tokens,
                if form == Form::TransposedB {
                    columns
                } else {
                    tokens
                },
            );
            let product = BatchedProblem {
                samples,
                m,
                k,
                n: tokens * columns / k,
                options: BatchedOptions {
                    heads,
                    form,
                    alpha: 1.0,
                },
                dtype: DTYPE,
            };
            // Heads that lie side by side, as an axis, and back.
            let apart = move |v: &[f64]| swapped(v, [samples, tokens, heads, columns]);
            let beside = move |v: &[f64]| swapped(v, [samples, heads, tokens, columns]);
            suite.phase(
                Phase::new(
                    ["batched", &name, phase],
                    batched::cost::forward(&product),
                    vec![Input::random(1, a), Input::random(2, &rows)],
                    move |v| {
                        let b = apart(&v[1]);
                        values(match form {
                            Form::TransposedB => {
                                batched::reference::forward(&product, &apart(&v[0]), &b, &[])
                            }
                            _ => beside(&batched::reference::forward(&product, &v[0], &b, &[])),
                        })
                    },
                    move |t| {
                        let c = Tensor::empty(t[0].client(), out, DTYPE);
                        batched_into(&t[0], &t[1], None, product.options, &c)?;
                        Ok(vec![c])
                    },
                )
                .for_peers(&case.arguments()),
            )?;
        }
    }
    Ok(())
}

/// `values` with the second axis behind the third.
fn swapped(values: &[f64], [outer, a, b, inner]: [usize; 4]) -> Vec<f64> {
    let at = move |i: usize| {
        let (c, a_i, b_i, o) = (
            i % inner,
            i / inner % a,
            i / inner / a % b,
            i / inner / a / b,
        );
        ((o * a + a_i) * b + b_i) * inner + c
    };
    (0..outer * a * b * inner).map(|i| values[at(i)]).collect()
}
