//! The flip alignment of feature maps, with its gradient.

use ghostlight_bench::catalogue::{self, Chosen};
use ghostlight_bench::{Case, DTYPE, Expected, Input, Phase, Suite, SuiteError};
use ghostlight_kernels::loss::flip_align::{
    FlipOptions, FlipProblem, Normalisation, Selection, cost, flip_align, reference,
};

const OP: &str = "flip_align";

fn options(chosen: Chosen) -> FlipOptions {
    let hard = FlipOptions::default();
    match chosen {
        Chosen::Hard => hard,
        Chosen::HardByPosition => FlipOptions {
            normalisation: Normalisation::Position,
            ..hard
        },
        Chosen::SoftMin => FlipOptions {
            selection: Selection::SoftMin { tau: 0.1 },
            ..hard
        },
        Chosen::Mixed => FlipOptions {
            selection: Selection::Mixed { tau: 0.1 },
            normalisation: Normalisation::None,
            ..hard
        },
    }
}

pub fn run(suite: &mut Suite) -> Result<(), SuiteError> {
    for case in suite.cases(OP, catalogue::flips())? {
        let (name, shape) = (case.name(), [case.n, case.h, case.w, case.c]);
        let problem = FlipProblem {
            batch: case.n,
            height: case.h,
            width: case.w,
            channels: case.c,
            options: options(case.selection),
            dtype: DTYPE,
        };
        let problem = &problem;
        suite.phase(
            Phase::new(
                [OP, &name, "loss+grad"],
                cost::fused(problem),
                vec![Input::random(1, &shape), Input::random(2, &shape)],
                move |v| {
                    let out = reference::flip_align(problem, &v[0], &v[1]);
                    vec![
                        Expected::Sum(out.loss.iter().sum()),
                        Expected::Values(out.grad),
                    ]
                },
                move |t| {
                    let out = flip_align(&t[0], &t[1], &problem.options)?;
                    Ok(vec![out.loss, out.grad])
                },
            )
            .for_peers(&case.arguments()),
        )?;
    }
    Ok(())
}
