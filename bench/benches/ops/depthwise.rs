//! Depthwise convolutions, all three phases.

use ghostlight_bench::{Case, Input, NaiveConv, Phase, Suite, SuiteError, catalogue, values};
use ghostlight_kernels::conv::depthwise::{cost, depthwise, grad_input, grad_weight, reference};

const OP: &str = "depthwise";

pub fn run(suite: &mut Suite) -> Result<(), SuiteError> {
    for case in suite.cases(OP, catalogue::depthwise())? {
        let (name, problem, arguments) = (case.name(), case.problem(), case.arguments());
        let options = problem.options;
        let naive = NaiveConv::depthwise(&problem);
        let x = Input::random(1, &problem.input_shape());
        let w = Input::random(2, &problem.weight_shape());
        let g = Input::random(3, &problem.output_shape());
        suite.phase(
            Phase::new(
                [OP, &name, "forward"],
                cost::forward(&problem),
                vec![x.clone(), w.clone()],
                |v| values(reference::forward(&problem, &v[0], &v[1], None)),
                |t| Ok(vec![depthwise(&t[0], &t[1], None, options)?]),
            )
            .beside(naive.forward())
            .at_least(naive.least_share())
            .for_peers(&arguments)
            .point(case.sweep.clone()),
        )?;
        suite.phase(
            Phase::new(
                [OP, &name, "grad_input"],
                cost::grad_input(&problem),
                vec![x.clone(), w.clone(), g.clone()],
                |v| values(reference::grad_input(&problem, &v[1], &v[2])),
                |t| Ok(vec![grad_input(&t[0], &t[1], &t[2], options)?]),
            )
            .beside(naive.grad_input())
            .at_least(naive.least_share())
            .for_peers(&arguments)
            .point(case.sweep.clone()),
        )?;
        suite.phase(
            Phase::new(
                [OP, &name, "grad_weight"],
                cost::grad_weight(&problem),
                vec![x, w, g],
                |v| values(reference::grad_weight(&problem, &v[0], &v[2])),
                |t| Ok(vec![grad_weight(&t[0], &t[1], &t[2], options)?]),
            )
            .beside(naive.grad_weight())
            .at_least(naive.least_share())
            .for_peers(&arguments)
            .point(case.sweep.clone()),
        )?;
    }
    Ok(())
}
