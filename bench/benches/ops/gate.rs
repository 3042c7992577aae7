//! The gate of squeeze-and-excitation, and the sum with ReLU of a G-Ghost stage, both phases.

use ghostlight_bench::{Case, DTYPE, Expected, Input, Phase, Suite, SuiteError, catalogue, values};
use ghostlight_kernels::pointwise::activation::Activation;
use ghostlight_kernels::pointwise::{add_relu, gate};

const KIND: Activation = Activation::HardSigmoid;

pub fn gates(suite: &mut Suite) -> Result<(), SuiteError> {
    const OP: &str = "gate";
    for case in suite.cases(OP, catalogue::activated())? {
        let (name, shape, pixels, c) = (case.name(), case.shape(), case.h * case.w, case.c);
        let x = Input::random(1, &shape);
        let s = Input::random(2, &[case.n, c]);
        let g = Input::random(3, &shape);
        suite.phase(
            Phase::new(
                [OP, &name, "forward"],
                gate::cost::forward(shape, DTYPE, KIND),
                vec![x.clone(), s.clone()],
                |v| values(gate::reference::forward(&v[0], &v[1], pixels, c, KIND)),
                |t| Ok(vec![gate::gate(&t[0], &t[1], KIND)?]),
            )
            .for_peers(&case.arguments()),
        )?;
        suite.phase(
            Phase::new(
                [OP, &name, "backward"],
                gate::cost::backward(shape, DTYPE, KIND),
                vec![x, s, g],
                |v| {
                    gate::reference::backward(&v[0], &v[1], &v[2], pixels, c, KIND)
                        .map(Expected::Values)
                        .into()
                },
                |t| {
                    let grads = gate::backward(&t[0], &t[1], KIND, &t[2])?;
                    Ok(vec![grads.x, grads.s])
                },
            )
            .for_peers(&case.arguments()),
        )?;
    }
    Ok(())
}

pub fn sums(suite: &mut Suite) -> Result<(), SuiteError> {
    const OP: &str = "add_relu";
    for case in suite.cases(OP, catalogue::activated())? {
        let (name, shape, pixels, c) = (case.name(), case.shape(), case.h * case.w, case.c);
        let (n, x) = (case.n, Input::random(1, &shape));
        let g = Input::random(3, &shape);
        suite.phase(
            Phase::new(
                [OP, &name, "forward"],
                add_relu::cost::forward(shape, DTYPE),
                vec![x.clone(), Input::random(2, &[n, c])],
                |v| values(add_relu::reference::forward(&v[0], &v[1], pixels, c)),
                |t| Ok(vec![add_relu::add_relu(&t[0], &t[1])?]),
            )
            .for_peers(&case.arguments()),
        )?;
        suite.phase(
            // Its operand is the output, whose sign is that of the sum.
            Phase::new(
                [OP, &name, "backward"],
                add_relu::cost::backward(shape, DTYPE),
                vec![x, g],
                |v| {
                    add_relu::reference::backward(&v[0], &v[1], n, pixels, c)
                        .map(Expected::Values)
                        .into()
                },
                |t| {
                    let grads = add_relu::backward(&t[0], &t[1])?;
                    Ok(vec![grads.x, grads.m])
                },
            )
            .for_peers(&case.arguments()),
        )?;
    }
    Ok(())
}
