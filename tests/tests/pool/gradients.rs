//! The poolings as differentiable functions.

use ghostlight_autodiff::check::{GradcheckOptions, adjointness, gradcheck, values};
use ghostlight_autodiff::ops::{AdaptiveAverage, AveragePool, MaxPool};
use ghostlight_autodiff::{Tape, Var};
use ghostlight_kernels::pool::average::AveragePoolOptions;
use ghostlight_kernels::pool::max::MaxPoolOptions;
use ghostlight_tests::{cases, client, dtypes};
use proptest::prelude::*;

fn options(ceil_mode: bool, count_include_pad: bool) -> AveragePoolOptions {
    AveragePoolOptions {
        ceil_mode,
        count_include_pad,
        ..AveragePoolOptions::square(3, 2, 1)
    }
}

proptest! {
    #![proptest_config(cases(12))]

    #[test]
    fn the_gradients_of_both_averages_are_their_derivatives_and_their_adjoints(
        shape in [1usize..3, 2usize..6, 2usize..6, 1usize..4],
        output in [1usize..7, 1usize..7],
        ceil_mode in any::<bool>(),
        include in any::<bool>(),
    ) {
        if dtypes().len() < 2 {
            return Ok(());
        }
        let (client, options) = (client(), options(ceil_mode, include));
        let input = [(values(1, shape.iter().product()), shape.to_vec())];
        let average = |tape: &Tape, x: &Var| tape.apply(AveragePool { options }, &[x]);
        let adaptive = |tape: &Tape, x: &Var| tape.apply(AdaptiveAverage { output }, &[x]);
        gradcheck(&client, &input, |t, v| average(t, &v[0]), GradcheckOptions::default())?;
        gradcheck(&client, &input, |t, v| adaptive(t, &v[0]), GradcheckOptions::default())?;
        adjointness(&client, &shape, 2, average)?;
        adjointness(&client, &shape, 3, adaptive)?;
    }

    #[test]
    fn the_gradient_of_a_maximum_is_its_derivative(
        shape in [1usize..3, 3usize..6, 3usize..6, 1usize..4],
        [ky, kx] in [1usize..4, 1usize..4],
        stride in [1usize..3, 1usize..3],
        ceil_mode in any::<bool>(),
    ) {
        if dtypes().len() < 2 {
            return Ok(());
        }
        let options = MaxPoolOptions {
            kernel: [ky, kx],
            stride,
            padding: [ky / 2, kx / 2],
            dilation: [1, 1],
            ceil_mode,
        };
        // No two alike, and none closer than many steps of the differences: a maximum has a kink where two meet.
        let len: usize = shape.iter().product();
        let apart = (0..len).map(|i| (i * 7919 % 1009) as f64 / 1009.0).collect();
        let apply = |tape: &Tape, v: &[Var]| tape.apply(MaxPool { options }, &[&v[0]]);
        gradcheck(&client(), &[(apart, shape.to_vec())], apply, GradcheckOptions::default())?;
    }
}
