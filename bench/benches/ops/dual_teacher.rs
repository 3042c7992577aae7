//! The dual-teacher loss with its gradient, the weighing of the teachers included.

use ghostlight_bench::{Case, DTYPE, Expected, Input, Phase, Suite, SuiteError, catalogue};
use ghostlight_kernels::loss::distill::{self, DistillProblem, distill};
use ghostlight_kernels::loss::dual_teacher::{
    DualTeacherOptions, DualTeacherProblem, reference, weigh,
};

const OP: &str = "dual_teacher";

pub fn run(suite: &mut Suite) -> Result<(), SuiteError> {
    let options = DualTeacherOptions::default();
    for case in suite.cases(OP, catalogue::distilled_logits())? {
        let (name, shape) = (case.name(), [case.n, case.c]);
        let problem = DualTeacherProblem {
            batch: case.n,
            classes: case.c,
            options,
            dtype: DTYPE,
        };
        let terms = options.loss();
        let loss = DistillProblem {
            batch: case.n,
            classes: case.c,
            options: terms.clone(),
            factors: 1,
            dtype: DTYPE,
        };
        // Far enough apart that the teachers are confident, and the divergences count.
        let logits = |seed| Input::between(seed, &shape, -32.0, 32.0);
        suite.phase(
            Phase::new(
                [OP, &name, "loss+grad"],
                problem.cost() + loss.cost(),
                vec![
                    logits(1),
                    logits(2),
                    logits(3),
                    Input::labels(case.n, case.c),
                ],
                |v| {
                    let labels: Vec<u32> = v[3].iter().map(|&label| label as u32).collect();
                    let (_, factors) = reference::weigh(&problem, &v[1], &v[2]);
                    let teachers = [&v[1][..], &v[2]];
                    let (losses, grad) = distill::reference::distill(
                        &loss,
                        &v[0],
                        &teachers,
                        &labels,
                        &[],
                        &factors,
                    );
                    vec![Expected::Sum(losses.iter().sum()), Expected::Values(grad)]
                },
                |t| {
                    let found = weigh(&t[1], &t[2], &options)?;
                    let teachers = [t[1].clone(), t[2].clone()];
                    let (labels, factors) = (Some(t.labels()), Some(&found.factors));
                    let out = distill(&t[0], &teachers, labels, factors, &terms)?;
                    Ok(vec![out.losses, out.grad])
                },
            )
            .for_peers(&case.arguments()),
        )?;
    }
    Ok(())
}
