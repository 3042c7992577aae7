//! ReLU linear attention, both phases.

use ghostlight_bench::{Case, DTYPE, Input, Phase, Suite, SuiteError, Variant, catalogue, values};
use ghostlight_kernels::attention::linear::{
    LinearAttentionProblem, backward, cost, linear_attention, reference,
};

const OP: &str = "linear_attention";
const EPSILON: f64 = 1e-5;

pub fn run(suite: &mut Suite) -> Result<(), SuiteError> {
    for case in suite.cases(OP, catalogue::linear_attentions())? {
        let (name, head) = (case.name(), case.head);
        let channels = case.groups * head;
        let problem = LinearAttentionProblem {
            samples: case.n,
            tokens: case.tokens,
            groups: case.groups,
            head,
            dtype: DTYPE,
        };
        let extents = [case.tokens, case.groups, head];
        let qkv = Input::random(1, &[case.n, case.tokens, 3 * channels]);
        let g = Input::random(2, &[case.n, case.tokens, channels]);
        suite.phase(
            Phase::new(
                [OP, &name, "forward"],
                cost::forward(&problem),
                vec![qkv.clone()],
                |v| values(reference::forward(&v[0], extents, EPSILON)),
                |t| Ok(vec![linear_attention(&t[0], head, EPSILON)?]),
            )
            .for_peers(&case.arguments()),
        )?;
        let ours = Variant::new("ours", |t| Ok(vec![backward(&t[0], &t[1], head, EPSILON)?]));
        suite.phase(
            Phase::of(
                [OP, &name, "backward"],
                cost::backward(&problem),
                vec![qkv, g],
                |v| values(reference::backward(&v[0], &v[1], extents, EPSILON)),
                ours,
            )
            .for_peers(&case.arguments()),
        )?;
    }
    Ok(())
}
