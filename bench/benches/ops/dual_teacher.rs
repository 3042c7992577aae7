//! The dual-teacher loss with its gradient, the weighing of the teachers included.

use ghostlight_bench::{Case, DTYPE, Expected, Input, Phase, Suite, SuiteError, catalogue};
use ghostlight_kernels::loss::dual_teacher::{
    DualTeacherOptions, DualTeacherProblem, Teachers, cost, dual_teacher, reference,
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
        // Far enough apart that the teachers are confident, and the divergences count.
        let logits = |seed| Input::between(seed, &shape, -32.0, 32.0);
        suite.phase(
            Phase::new(
                [OP, &name, "loss+grad"],
                cost::weigh(&problem) + cost::fused(&problem),
                vec![
                    logits(1),
                    logits(2),
                    logits(3),
                    Input::labels(case.n, case.c),
                ],
                |v| {
                    let labels: Vec<u32> = v[3].iter().map(|&label| label as u32).collect();
                    let sure = |teacher: &[f64]| {
                        reference::confidence(teacher, case.c, options.temperature)
                    };
                    let weights = reference::weights([sure(&v[1]), sure(&v[2])], &options);
                    let (loss, grad) =
                        reference::dual_teacher(&problem, &v[0], [&v[1], &v[2]], &labels, weights);
                    vec![Expected::Sum(loss.iter().sum()), Expected::Values(grad)]
                },
                |t| {
                    let teachers = Teachers::weigh(&t[1], &t[2], &options)?;
                    let out = dual_teacher(&t[0], &teachers, t.labels())?;
                    Ok(vec![out.loss, out.grad])
                },
            )
            .for_peers(&case.arguments()),
        )?;
    }
    Ok(())
}
