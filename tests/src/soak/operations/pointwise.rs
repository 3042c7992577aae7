use super::{Draw, Problem, len};
use crate::abs;
use ghostlight_autodiff::check::Check;
use ghostlight_autodiff::ops;
use ghostlight_kernels::attention::partition::{self, PartitionKind, PartitionProblem};
use ghostlight_kernels::pointwise::activation::{Activation, reference as element};
use ghostlight_kernels::pointwise::dropout::{DropoutOptions, reference as dropping};
use ghostlight_kernels::pointwise::{add_relu as relu_sum, gate as gating};
use ghostlight_kernels::{DType, Tensor};

/// The function, its slope, and what rounding may do to both: an exponential is off by a unit of its exponent.
fn elementwise<F: ghostlight_autodiff::Function>(
    check: Check<'static, F>,
    kind: Activation,
) -> Check<'static, F> {
    let off = |x: f64| 2.0 * (1.0 + x.abs());
    check
        .reference(move |x| x[0].iter().map(|&x| element::value(x, kind)).collect())
        .gradient(move |x, g| {
            vec![
                x[0].iter()
                    .zip(g)
                    .map(|(&x, g)| element::slope(x, kind) * g)
                    .collect(),
            ]
        })
        .magnitude(move |x, g| {
            vec![
                x[0].iter()
                    .map(|&x| off(x) * element::value(x, kind).abs())
                    .collect(),
                x[0].iter().zip(g).map(|(&x, g)| off(x) * g.abs()).collect(),
            ]
        })
}

pub fn activation(mut draw: Draw) -> Problem {
    let kind = draw.pick("kind", &Activation::ALL);
    let shape = draw.map();
    let x = draw.values(len(&shape));
    let check = Check::of(ops::Activation { kind }).inputs([(x, shape.to_vec())]);
    draw.problem(elementwise(check, kind), true)
}

pub fn activation_into(mut draw: Draw) -> Problem {
    let kind = draw.pick("kind", &Activation::ALL);
    let shape @ [n, h, w, c] = draw.map();
    let [before, behind] = [draw.extent("before", 0, 5), draw.extent("behind", 0, 5)];
    let x = draw.values(len(&shape));
    let make = move |client: &_, dtype| {
        let whole = Tensor::zeros(client, &[n, h, w, before + c + behind], dtype);
        let into = whole.window(before, c)?;
        Ok(ops::ActivationInto { kind, into })
    };
    let check = Check::with(make).inputs([(x, shape.to_vec())]);
    draw.problem(elementwise(check, kind), true)
}

pub fn add(mut draw: Draw) -> Problem {
    let shape = draw.map();
    let inputs = [(); 2].map(|()| (draw.values(len(&shape)), shape.to_vec()));
    let check = Check::of(ops::Add)
        .inputs(inputs)
        .reference(|x| x[0].iter().zip(&x[1]).map(|(a, b)| a + b).collect())
        .gradient(|_, g| vec![g.to_vec(), g.to_vec()]);
    draw.problem(check, false)
}

pub fn add_relu(mut draw: Draw) -> Problem {
    let shape @ [n, h, w, c] = draw.map();
    let inputs = [
        (draw.values(len(&shape)), shape.to_vec()),
        (draw.values(n * c), vec![n, c]),
    ];
    let check = Check::of(ops::AddRelu)
        .inputs(inputs)
        .reference(move |v| relu_sum::reference::forward(&v[0], &v[1], h * w, c))
        .gradient(move |v, g| {
            let y = relu_sum::reference::forward(&v[0], &v[1], h * w, c);
            relu_sum::reference::backward(&y, g, n, h * w, c).into()
        })
        .terms(h * w);
    draw.problem(check, false)
}

pub fn gate(mut draw: Draw) -> Problem {
    let gates = [
        Activation::Identity,
        Activation::Sigmoid,
        Activation::HardSigmoid,
    ];
    let kind = draw.pick("gate", &gates);
    let shape @ [n, h, w, c] = draw.map();
    let (x, s) = (draw.values(len(&shape)), draw.values(n * c));
    let check = Check::of(ops::Gate { activation: kind })
        .inputs([(x, shape.to_vec()), (s, vec![n, c])])
        .reference(move |v| gating::reference::forward(&v[0], &v[1], h * w, c, kind))
        .gradient(move |v, g| gating::reference::backward(&v[0], &v[1], g, h * w, c, kind).into())
        .magnitude(move |v, g| {
            // The gate is the reciprocal of a sum, to a unit or two, and of an exponential of `s`.
            let gate = |v: &[f64], s: &[f64]| -> Vec<f64> {
                let row = |i: usize| s[i / (h * w * c) * c + i % c].abs().max(1.0);
                v.iter()
                    .enumerate()
                    .map(|(i, v)| 2.0 * v.abs() * row(i))
                    .collect()
            };
            let (x, bare) = (abs(&v[0]), abs(g));
            let [_, sums] =
                gating::reference::backward(&x, &v[1], &bare, h * w, c, Activation::Identity);
            vec![
                gate(&v[0], &v[1]),
                gate(g, &v[1]),
                sums.iter().map(|v| 2.0 * v).collect(),
            ]
        })
        .linear_in(if kind == Activation::Identity {
            &[0, 1]
        } else {
            &[0]
        })
        .terms(h * w);
    draw.problem(check, true)
}

pub fn convert(mut draw: Draw) -> Problem {
    let to = draw.pick("to", &[DType::F32, DType::Bf16]);
    let shape = draw.map();
    let x = draw.values(len(&shape));
    let check = Check::of(ops::Convert { to })
        .inputs([(x, shape.to_vec())])
        .reference(|x| x[0].clone())
        .gradient(|_, g| vec![g.to_vec()])
        .linear_in(&[0]);
    draw.problem(check, false)
}

pub fn reshape(mut draw: Draw) -> Problem {
    let shape @ [n, h, w, c] = draw.map();
    let x = draw.values(len(&shape));
    let check = Check::of(ops::Reshape {
        shape: vec![n * h, w * c],
    })
    .inputs([(x, shape.to_vec())])
    .reference(|x| x[0].clone())
    .gradient(|_, g| vec![g.to_vec()])
    .linear_in(&[0]);
    draw.problem(check, false)
}

pub fn dropout(mut draw: Draw) -> Problem {
    let rate = draw.any("rate", &[0.0, 0.1, 0.5, 0.9]);
    let shape = draw.map();
    let x = draw.values(len(&shape));
    let options = DropoutOptions {
        rate,
        seed: x.len() as u64 * 77,
    };
    let check = Check::of(ops::Dropout { options })
        .inputs([(x, shape.to_vec())])
        .reference(move |x| dropping::forward(&x[0], options))
        .gradient(move |_, g| vec![dropping::forward(g, options)])
        .linear_in(&[0]);
    draw.problem(check, false)
}

fn blocks(draw: &mut Draw) -> (PartitionKind, [usize; 2], [usize; 4]) {
    let kind = draw.any("kind", &[PartitionKind::Block, PartitionKind::Grid]);
    let size = [draw.extent("block h", 1, 4), draw.extent("block w", 1, 4)];
    (kind, size, draw.map())
}

fn of_map(map: [usize; 4], kind: PartitionKind, size: [usize; 2]) -> PartitionProblem {
    PartitionProblem::new(map, DType::F64, kind, size).expect("blocks have pixels")
}

pub fn partition(mut draw: Draw) -> Problem {
    let (kind, size, map) = blocks(&mut draw);
    let x = draw.values(len(&map));
    let problem = of_map(map, kind, size);
    let check = Check::of(ops::Partition { kind, size })
        .inputs([(x, map.to_vec())])
        .reference(move |x| partition::reference::partition(&problem, &x[0]))
        .gradient(move |_, g| vec![partition::reference::merge(&problem, g)])
        .linear_in(&[0]);
    draw.problem(check, false)
}

pub fn merge(mut draw: Draw) -> Problem {
    let (kind, size, map) = blocks(&mut draw);
    let problem = of_map(map, kind, size);
    let shape = problem.tokens_shape();
    let x = draw.values(len(&shape));
    let merge = ops::Merge {
        kind,
        size,
        map: [map[1], map[2]],
    };
    let check = Check::of(merge)
        .inputs([(x, shape.to_vec())])
        .reference(move |x| partition::reference::merge(&problem, &x[0]))
        .gradient(move |_, g| vec![partition::reference::partition(&problem, g)])
        .linear_in(&[0]);
    draw.problem(check, false)
}
