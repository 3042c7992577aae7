//! One step of AdamW over all parameters of a model.

use ghostlight_bench::{Case, DTYPE, Expected, Input, Phase, Suite, SuiteError, catalogue};
use ghostlight_kernels::optim::adamw::{AdamWOptions, AdamWState, cost, reference, step};

const OP: &str = "adamw";
/// Of the step: the bias of the moments is nearly gone.
const NUMBER: u64 = 100;

pub fn run(suite: &mut Suite) -> Result<(), SuiteError> {
    let options = AdamWOptions::default();
    for case in suite.cases(OP, catalogue::parameters())? {
        let (name, shape) = (case.name(), [case.len]);
        suite.phase(
            Phase::new(
                [OP, &name, "train"],
                cost::step(case.len, DTYPE),
                vec![
                    Input::random(1, &shape),
                    Input::random(2, &shape),
                    Input::between(3, &shape, 0.5, 1.0),
                    Input::random(4, &shape),
                    Input::between(5, &shape, 1.0, 1.0),
                ],
                |v| {
                    let [mut params, mut first, mut second] = [0, 1, 2].map(|i| v[i].clone());
                    let state = [&mut params[..], &mut first, &mut second];
                    reference::step(state, &v[3], &v[4], &options, NUMBER);
                    [params, first, second].map(Expected::Values).into()
                },
                |t| {
                    let state = AdamWState {
                        params: &t[0],
                        first: &t[1],
                        second: &t[2],
                    };
                    step(state, &t[3], &t[4], &options, NUMBER)?;
                    Ok([0, 1, 2].map(|i| t[i].clone()).into())
                },
            )
            .in_place()
            .for_peers(&case.arguments()),
        )?;
    }
    Ok(())
}
