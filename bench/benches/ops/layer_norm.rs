//! Layer norm, and group norm of one group, both phases.

use ghostlight_bench::{
    Case, DTYPE, Expected, Input, Phase, Suite, SuiteError, Variant, catalogue, values,
};
use ghostlight_kernels::norm::layer_norm::{
    LayerNormProblem, Sample, backward, cost, layer_norm, reference,
};

const EPSILON: f64 = 1e-5;

pub fn layer_norms(suite: &mut Suite) -> Result<(), SuiteError> {
    norms(suite, "layer_norm", Sample::Pixel)
}

pub fn group_norms(suite: &mut Suite) -> Result<(), SuiteError> {
    norms(suite, "group_norm", Sample::Image)
}

fn norms(suite: &mut Suite, op: &str, sample: Sample) -> Result<(), SuiteError> {
    for case in suite.cases(op, catalogue::normed(sample))? {
        let (name, shape) = (case.name(), [case.n, case.pixels, case.c]);
        // Pixels of a sample, and samples.
        let (pixels, samples) = match sample {
            Sample::Pixel => (1, case.n * case.pixels),
            Sample::Image => (case.pixels, case.n),
        };
        let problem = LayerNormProblem {
            samples,
            pixels,
            channels: case.c,
            dtype: DTYPE,
        };
        let x = Input::random(1, &shape);
        let gamma = Input::between(2, &[case.c], 0.5, 1.5);
        let beta = Input::random(3, &[case.c]);
        let g = Input::random(4, &shape);
        suite.phase(
            Phase::new(
                [op, &name, "forward"],
                cost::forward(&problem),
                vec![x.clone(), gamma.clone(), beta.clone()],
                |v| values(reference::forward(&v[0], &v[1], &v[2], pixels, EPSILON)),
                |t| Ok(vec![layer_norm(&t[0], &t[1], &t[2], EPSILON, sample)?.0]),
            )
            .for_peers(&case.arguments()),
        )?;
        let ours = Variant::prepared("ours", move |t| {
            let (_, saved) = layer_norm(&t[0], &t[1], &t[2], EPSILON, sample)?;
            Ok(Box::new(move || {
                let grads = backward(&saved, &t[3])?;
                Ok(vec![grads.x, grads.gamma, grads.beta])
            }))
        });
        suite.phase(
            Phase::of(
                [op, &name, "backward"],
                cost::backward(&problem),
                vec![x, gamma, beta, g],
                |v| {
                    reference::backward(&v[0], &v[1], &v[3], pixels, EPSILON)
                        .map(Expected::Values)
                        .into()
                },
                ours,
            )
            .for_peers(&case.arguments()),
        )?;
    }
    Ok(())
}
