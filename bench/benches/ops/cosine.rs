//! The cosine losses with their gradients: between softmaxes, between centred logits, and between features.

use ghostlight_bench::catalogue::{self, Compared};
use ghostlight_bench::{Case, DTYPE, Expected, Input, Phase, Suite, SuiteError};
use ghostlight_kernels::loss::cosine::{
    Comparison, CosineOptions, CosineProblem, cosine, cost, reference,
};

const OP: &str = "cosine";

pub fn run(suite: &mut Suite) -> Result<(), SuiteError> {
    for case in suite.cases(OP, catalogue::cosines())? {
        let (name, shape) = (case.name(), [case.n, case.c]);
        let options = CosineOptions::of(match case.between {
            Compared::Softmaxes => Comparison::Softmaxes(case.temperature),
            Compared::Centred => Comparison::CentredRows,
            Compared::Features => Comparison::Rows,
        });
        let problem = CosineProblem {
            batch: case.n,
            length: case.c,
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
                ],
                |v| {
                    let (loss, grad) = reference::cosine(&problem, &v[0], &v[1]);
                    vec![Expected::Sum(loss.iter().sum()), Expected::Values(grad)]
                },
                |t| {
                    let out = cosine(&t[0], &t[1], &options)?;
                    Ok(vec![out.loss, out.grad])
                },
            )
            .for_peers(&case.arguments()),
        )?;
    }
    Ok(())
}
