//! The operation on a tape.

use ghostlight_autodiff::check::{GradcheckOptions, gradcheck, values};
use ghostlight_autodiff::ops::Depthwise;
use ghostlight_kernels::conv::depthwise::DepthwiseOptions;
use ghostlight_tests::client;

#[test]
fn the_gradients_of_input_weight_and_bias_are_the_derivatives() {
    let same = DepthwiseOptions::square(1, 1);
    let odd = DepthwiseOptions {
        stride: [2, 2],
        dilation: [2, 1],
        padding: [1, 2, 0, 1],
    };
    for (options, multiplier) in [(same, 1), (odd, 1), (same, 2), (odd, 3)] {
        let (x, w) = (vec![2, 6, 5, 3], vec![3, 3, 3 * multiplier]);
        let of = |seed, shape: Vec<usize>| (values(seed, shape.iter().product()), shape);
        let inputs = [of(1, x), of(2, w), of(3, vec![3 * multiplier])];
        let depthwise = Depthwise { options };
        let with_bias = GradcheckOptions::default();
        gradcheck(
            &client(),
            &inputs,
            |tape, v| tape.apply(depthwise, &[&v[0], &v[1], &v[2]]),
            with_bias,
        )
        .unwrap();
        gradcheck(
            &client(),
            &inputs[..2],
            |tape, v| tape.apply(depthwise, &[&v[0], &v[1]]),
            with_bias,
        )
        .unwrap();
    }
}
