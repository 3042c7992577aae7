//! Max, average and adaptive average pooling, both phases.

use ghostlight_bench::{Case, Input, Phase, Suite, SuiteError, Variant, about, catalogue, values};
use ghostlight_kernels::pool::{adaptive_average, average, max};

pub fn max_pools(suite: &mut Suite) -> Result<(), SuiteError> {
    const OP: &str = "max_pool";
    for case in suite.cases(OP, catalogue::max_pools())? {
        let name = case.name();
        let problem = case.max().map_err(about(OP, &name))?;
        let options = problem.options();
        let x = Input::random(1, &problem.input_shape());
        let g = Input::random(2, &problem.output_shape());
        let forward = |v: &[Vec<f64>]| values(max::reference::forward(&problem, &v[0]));
        suite.phase(
            Phase::new(
                [OP, &name, "inference"],
                max::cost::inference(&problem),
                vec![x.clone()],
                forward,
                |t| Ok(vec![max::max_pool(&t[0], options)?]),
            )
            .for_peers(&case.arguments()),
        )?;
        suite.phase(
            Phase::new(
                [OP, &name, "forward"],
                max::cost::forward(&problem),
                vec![x.clone()],
                forward,
                |t| Ok(vec![max::train(&t[0], options)?.0]),
            )
            .for_peers(&case.arguments()),
        )?;
        let ours = Variant::prepared("ours", move |t| {
            let (_, winners) = max::train(&t[0], options)?;
            Ok(Box::new(move || Ok(vec![max::backward(&winners, &t[1])?])))
        });
        suite.phase(
            Phase::of(
                [OP, &name, "grad_input"],
                max::cost::backward(&problem),
                vec![x, g],
                |v| values(max::reference::backward(&problem, &v[0], &v[1])),
                ours,
            )
            .for_peers(&case.arguments()),
        )?;
    }
    Ok(())
}

pub fn average_pools(suite: &mut Suite) -> Result<(), SuiteError> {
    const OP: &str = "average_pool";
    for case in suite.cases(OP, catalogue::average_pools())? {
        let name = case.name();
        let problem = case.average().map_err(about(OP, &name))?;
        let options = problem.options();
        suite.phase(
            Phase::new(
                [OP, &name, "forward"],
                average::cost::forward(&problem),
                vec![Input::random(1, &problem.input_shape())],
                |v| values(average::reference::forward(&problem, &v[0])),
                |t| Ok(vec![average::average_pool(&t[0], options)?]),
            )
            .for_peers(&case.arguments()),
        )?;
        suite.phase(
            Phase::new(
                [OP, &name, "grad_input"],
                average::cost::backward(&problem),
                vec![Input::random(2, &problem.output_shape())],
                |v| values(average::reference::backward(&problem, &v[0])),
                |t| Ok(vec![average::backward(&problem, &t[0])?]),
            )
            .for_peers(&case.arguments()),
        )?;
    }
    Ok(())
}

pub fn adaptive_averages(suite: &mut Suite) -> Result<(), SuiteError> {
    const OP: &str = "adaptive_average";
    for case in suite.cases(OP, catalogue::adaptive_averages())? {
        let name = case.name();
        let problem = case.adaptive_average().map_err(about(OP, &name))?;
        suite.phase(
            Phase::new(
                [OP, &name, "forward"],
                adaptive_average::cost::forward(&problem),
                vec![Input::random(1, &problem.input_shape())],
                |v| values(adaptive_average::reference::forward(&problem, &v[0])),
                |t| {
                    Ok(vec![adaptive_average::adaptive_average(
                        &t[0],
                        [case.oh, case.ow],
                    )?])
                },
            )
            .for_peers(&case.arguments()),
        )?;
        suite.phase(
            Phase::new(
                [OP, &name, "grad_input"],
                adaptive_average::cost::backward(&problem),
                vec![Input::random(2, &problem.output_shape())],
                |v| values(adaptive_average::reference::backward(&problem, &v[0])),
                |t| Ok(vec![adaptive_average::backward(&problem, &t[0])?]),
            )
            .for_peers(&case.arguments()),
        )?;
    }
    Ok(())
}
