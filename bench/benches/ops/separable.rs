//! Separable self-attention, both phases.

use ghostlight_bench::{Case, Input, Phase, Suite, SuiteError, Variant, catalogue, values};
use ghostlight_kernels::attention::separable::{backward, cost, reference, separable_attention};

const OP: &str = "separable";

pub fn run(suite: &mut Suite) -> Result<(), SuiteError> {
    for case in suite.cases(OP, catalogue::separables())? {
        let (name, problem) = (case.name(), case.problem());
        let (tokens, channels) = (case.n, case.c);
        let qkv = Input::between(1, &[case.s, tokens, 1 + 2 * channels], -2.0, 2.0);
        let grad = Input::random(2, &problem.output_shape());
        suite.phase(
            Phase::new(
                [OP, &name, "forward"],
                cost::forward(&problem),
                vec![qkv.clone()],
                move |v| values(reference::forward(&v[0], tokens, channels)),
                |t| Ok(vec![separable_attention(&t[0])?.0]),
            )
            .for_peers(&case.arguments()),
        )?;
        let ours = Variant::prepared("ours", |t| {
            let (_, saved) = separable_attention(&t[0])?;
            Ok(Box::new(move || Ok(vec![backward(&saved, &t[1])?])))
        });
        suite.phase(
            Phase::of(
                [OP, &name, "backward"],
                cost::backward(&problem),
                vec![qkv, grad],
                move |v| values(reference::backward(&v[0], &v[1], tokens, channels)),
                ours,
            )
            .for_peers(&case.arguments()),
        )?;
    }
    Ok(())
}
