//! Dense convolutions, all three phases.

use ghostlight_bench::{
    Case, Input, NaiveConv, Phase, Suite, SuiteError, Variant, catalogue, values,
};
use ghostlight_kernels::conv::dense::{
    ConvProblem, Strategy, conv, conv_by, cost, grad_input, grad_input_by, grad_weight,
    grad_weight_by, reference,
};

const OP: &str = "dense";

/// The strategies, by the names of their rows, where there is more than one.
fn strategies(problem: &ConvProblem) -> &'static [(&'static str, Strategy)] {
    let wide = problem.in_channels.min(problem.out_channels) >= 16;
    if wide && problem.kernel == [3, 3] && problem.options.stride == [1, 1] {
        &[
            ("direct", Strategy::Direct),
            ("winograd 2x2", Strategy::Winograd2),
            ("winograd 4x4", Strategy::Winograd4),
        ]
    } else {
        &[]
    }
}

pub fn run(suite: &mut Suite) -> Result<(), SuiteError> {
    for case in suite.cases(OP, catalogue::dense())? {
        let (name, problem, arguments) = (case.name(), case.problem(), case.arguments());
        let options = problem.options;
        let naive = NaiveConv {
            batch: problem.batch,
            input: problem.input,
            output: problem.output(),
            kernel: problem.kernel,
            in_channels: problem.in_channels,
            out_channels: problem.out_channels,
            groups: 1,
            stride: options.stride,
            dilation: [1; 2],
            padding: [options.padding[0], options.padding[1]],
        };
        let x = Input::random(1, &problem.input_shape());
        let w = Input::random(2, &problem.weight_shape());
        let g = Input::random(3, &problem.output_shape());
        let mut forward = Phase::new(
            [OP, &name, "forward"],
            cost::forward(&problem),
            vec![x.clone(), w.clone()],
            |v| values(reference::forward(&problem, &v[0], &v[1])),
            |t| Ok(vec![conv(&t[0], &t[1], options)?]),
        )
        .beside(naive.forward())
        .at_least(naive.least_share())
        .for_peers(&arguments)
        .point(case.sweep.clone());
        let mut backward = Phase::new(
            [OP, &name, "grad_input"],
            cost::grad_input(&problem),
            vec![x.clone(), w.clone(), g.clone()],
            |v| values(reference::grad_input(&problem, &v[1], &v[2])),
            |t| Ok(vec![grad_input(&t[0], &t[1], &t[2], options)?]),
        )
        .beside(naive.grad_input())
        .at_least(naive.least_share())
        .for_peers(&arguments)
        .point(case.sweep.clone());
        let mut weight = Phase::new(
            [OP, &name, "grad_weight"],
            cost::grad_weight(&problem),
            vec![x, w, g],
            |v| values(reference::grad_weight(&problem, &v[0], &v[2])),
            |t| Ok(vec![grad_weight(&t[0], &t[1], &t[2], options)?]),
        )
        .beside(naive.grad_weight())
        .at_least(naive.least_share())
        .for_peers(&arguments)
        .point(case.sweep.clone());
        for &(name, strategy) in strategies(&problem) {
            forward = forward.beside(Variant::new(name, move |t| {
                Ok(vec![conv_by(strategy, &t[0], &t[1], options, None)?])
            }));
            backward = backward.beside(Variant::new(name, move |t| {
                Ok(vec![grad_input_by(
                    strategy, &t[0], &t[1], &t[2], options, None,
                )?])
            }));
            weight = weight.beside(Variant::new(name, move |t| {
                Ok(vec![grad_weight_by(
                    strategy, &t[0], &t[1], &t[2], options,
                )?])
            }));
        }
        suite.phase(forward)?;
        suite.phase(backward)?;
        suite.phase(weight)?;
    }
    Ok(())
}
