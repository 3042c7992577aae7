//! Maps cut into tokens, and put together again.

use ghostlight_bench::{Case, Input, Phase, Suite, SuiteError, about, catalogue, values};
use ghostlight_kernels::attention::partition::{cost, merge, partition, reference};

const OP: &str = "partition";

pub fn run(suite: &mut Suite) -> Result<(), SuiteError> {
    for case in suite.cases(OP, catalogue::partitions())? {
        let name = case.name();
        let problem = case.problem().map_err(about(OP, &name))?;
        let (kind, size, map) = (problem.kind(), problem.size(), [case.h, case.w]);
        suite.phase(
            Phase::new(
                [OP, &name, "partition"],
                cost::partition(&problem),
                vec![Input::random(1, &problem.map_shape())],
                move |v| values(reference::partition(&problem, &v[0])),
                move |t| Ok(vec![partition(&t[0], kind, size)?]),
            )
            .for_peers(&case.arguments()),
        )?;
        suite.phase(
            Phase::new(
                [OP, &name, "merge"],
                cost::merge(&problem),
                vec![Input::random(2, &problem.tokens_shape())],
                move |v| values(reference::merge(&problem, &v[0])),
                move |t| Ok(vec![merge(&t[0], kind, size, map)?]),
            )
            .for_peers(&case.arguments()),
        )?;
    }
    Ok(())
}
