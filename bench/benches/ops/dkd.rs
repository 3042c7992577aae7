//! The decoupled distillation loss with its gradient.

use ghostlight_bench::{Case, DTYPE, Expected, Input, Phase, Suite, SuiteError, catalogue};
use ghostlight_kernels::loss::dkd::{DkdOptions, DkdProblem, cost, dkd, reference};

const OP: &str = "dkd";

pub fn run(suite: &mut Suite) -> Result<(), SuiteError> {
    let options = DkdOptions::default();
    for case in suite.cases(OP, catalogue::logits())? {
        let (name, shape) = (case.name(), [case.n, case.c]);
        let problem = DkdProblem {
            batch: case.n,
            classes: case.c,
            options,
            dtype: DTYPE,
        };
        suite.phase(
            Phase::new(
                [OP, &name, "loss+grad"],
                cost::fused(&problem),
                vec![
                    Input::between(1, &shape, -4.0, 4.0),
                    Input::between(2, &shape, -4.0, 4.0),
                    Input::labels(case.n, case.c),
                ],
                |v| {
                    let labels: Vec<u32> = v[2].iter().map(|&label| label as u32).collect();
                    let (loss, grad) = reference::dkd(&problem, &v[0], &v[1], &labels);
                    vec![Expected::Sum(loss.iter().sum()), Expected::Values(grad)]
                },
                |t| {
                    let out = dkd(&t[0], &t[1], t.labels(), &options)?;
                    Ok(vec![out.loss, out.grad])
                },
            )
            .for_peers(&case.arguments())
            .point(case.sweep.clone()),
        )?;
    }
    Ok(())
}
