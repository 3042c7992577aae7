//! Activations, both phases.

use ghostlight_bench::{Case, DTYPE, Input, Phase, Suite, SuiteError, catalogue, values};
use ghostlight_kernels::pointwise::activation::{activation, backward, cost, reference};

const OP: &str = "activation";

pub fn run(suite: &mut Suite) -> Result<(), SuiteError> {
    for case in suite.cases(OP, catalogue::activations())? {
        let (name, kind, shape) = (
            case.name(),
            case.kind.activation(),
            [case.n, case.h, case.w, case.c],
        );
        let len = shape.iter().product();
        let x = Input::between(1, &shape, -6.0, 6.0);
        let g = Input::random(2, &shape);
        suite.phase(
            Phase::new(
                [OP, &name, "forward"],
                cost::forward(len, DTYPE, kind),
                vec![x.clone()],
                |v| values(v[0].iter().map(|&x| reference::value(x, kind)).collect()),
                |t| Ok(vec![activation(&t[0], kind)]),
            )
            .for_peers(&case.arguments()),
        )?;
        suite.phase(
            Phase::new(
                [OP, &name, "backward"],
                cost::backward(len, DTYPE, kind),
                vec![x, g],
                |v| {
                    let both = v[0].iter().zip(&v[1]);
                    values(both.map(|(&x, g)| g * reference::slope(x, kind)).collect())
                },
                |t| Ok(vec![backward(&t[0], &t[1], kind)?]),
            )
            .for_peers(&case.arguments()),
        )?;
    }
    Ok(())
}
