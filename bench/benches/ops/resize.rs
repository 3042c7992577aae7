//! Bilinear resizing, both phases.

use ghostlight_bench::{Case, Input, Phase, Suite, SuiteError, about, catalogue, values};
use ghostlight_kernels::resize::bilinear::{self, cost, reference};

const OP: &str = "bilinear";

pub fn run(suite: &mut Suite) -> Result<(), SuiteError> {
    for case in suite.cases(OP, catalogue::bilinears())? {
        let name = case.name();
        let problem = case.bilinear().map_err(about(OP, &name))?;
        let alignment = problem.alignment();
        suite.phase(
            Phase::new(
                [OP, &name, "forward"],
                cost::forward(&problem),
                vec![Input::random(1, &problem.input_shape())],
                |v| values(reference::forward(&problem, &v[0])),
                |t| {
                    Ok(vec![bilinear::bilinear(
                        &t[0],
                        [case.oh, case.ow],
                        alignment,
                    )?])
                },
            )
            .for_peers(&case.arguments()),
        )?;
        suite.phase(
            Phase::new(
                [OP, &name, "grad_input"],
                cost::backward(&problem),
                vec![Input::random(2, &problem.output_shape())],
                |v| values(reference::backward(&problem, &v[0])),
                |t| Ok(vec![bilinear::backward(&problem, &t[0])?]),
            )
            .for_peers(&case.arguments()),
        )?;
    }
    Ok(())
}
