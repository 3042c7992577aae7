//! Softmax over the last axis, both phases.

use ghostlight_bench::{Case, DTYPE, Input, Phase, Suite, SuiteError, Variant, catalogue, values};
use ghostlight_kernels::norm::softmax::{backward, cost, reference, softmax};

const OP: &str = "softmax";

pub fn run(suite: &mut Suite) -> Result<(), SuiteError> {
    for case in suite.cases(OP, catalogue::rows())? {
        let (name, length, len) = (case.name(), case.length, case.rows * case.length);
        let shape = [case.rows, length];
        let x = Input::between(1, &shape, -4.0, 4.0);
        let g = Input::random(2, &shape);
        suite.phase(
            Phase::new(
                [OP, &name, "forward"],
                cost::forward(&shape, DTYPE),
                vec![x.clone()],
                |v| values(reference::forward(&v[0], length)),
                |t| Ok(vec![softmax(&t[0])?]),
            )
            .for_peers(&case.arguments()),
        )?;
        let ours = Variant::prepared("ours", |t| {
            let y = softmax(&t[0])?;
            Ok(Box::new(move || Ok(vec![backward(&y, &t[1])?])))
        });
        suite.phase(
            Phase::of(
                [OP, &name, "backward"],
                cost::backward(len, DTYPE),
                vec![x, g],
                |v| {
                    let y = reference::forward(&v[0], length);
                    values(reference::backward(&y, &v[1], length))
                },
                ours,
            )
            .for_peers(&case.arguments()),
        )?;
    }
    Ok(())
}
