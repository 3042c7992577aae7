//! Maxima and minima over `f64` that a NaN passes, where [`f64::max`] and [`f64::min`] would drop it.

use crate::Clamp;

/// The larger of two numbers, the first of equal ones; NaN where one is.
pub(crate) fn larger(a: f64, b: f64) -> f64 {
    if b > a || b.is_nan() { b } else { a }
}

/// The largest number, minus infinity of none; NaN where one is.
pub(crate) fn largest(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().fold(f64::NEG_INFINITY, larger)
}

/// The smallest number, infinity of none; NaN where one is.
pub(crate) fn smallest(values: impl IntoIterator<Item = f64>) -> f64 {
    -largest(values.into_iter().map(|value| -value))
}

/// `max(value, 0)`, and NaN where `value` is.
pub(crate) fn relu(value: f64) -> f64 {
    larger(value, 0.0)
}

/// `value` within the bounds of `clamp`, and NaN where it is.
pub(crate) fn clamped(value: f64, clamp: Clamp) -> f64 {
    match clamp {
        Clamp::None => value,
        Clamp::Relu => relu(value),
        Clamp::Relu6 => -larger(-relu(value), -6.0),
    }
}

/// The gradient of [`clamped`], whose operand or result is `value`: 0 at a bound and past it, else `grad`.
pub(crate) fn clamped_grad(value: f64, grad: f64, clamp: Clamp) -> f64 {
    match clamp {
        Clamp::None => grad,
        Clamp::Relu6 if value >= 6.0 => 0.0,
        Clamp::Relu | Clamp::Relu6 => relu_grad(value, grad),
    }
}

/// The gradient of [`relu`], whose operand or result is `value`: 0 where that is 0 or below, else `grad`.
pub(crate) fn relu_grad(value: f64, grad: f64) -> f64 {
    if value <= 0.0 { 0.0 } else { grad }
}

#[cfg(test)]
mod tests {
    use super::*;
    const NAN: f64 = f64::NAN;
    const INFINITY: f64 = f64::INFINITY;

    #[test]
    fn a_nan_is_the_larger_the_largest_and_the_smallest_wherever_it_stands() {
        for row in [[NAN, 1.0, 2.0], [1.0, NAN, 2.0], [1.0, 2.0, NAN]] {
            assert!(largest(row).is_nan() && smallest(row).is_nan());
        }
        assert!(larger(NAN, INFINITY).is_nan() && larger(INFINITY, NAN).is_nan());
        assert_eq!(
            [largest([-1.0, 3.0, 2.0]), smallest([4.0, -1.0, 3.0])],
            [3.0, -1.0]
        );
        assert_eq!([largest([]), smallest([])], [-INFINITY, INFINITY]);
    }

    #[test]
    fn a_relu_keeps_a_nan_and_lets_its_gradient_pass() {
        assert!(relu(NAN).is_nan());
        assert_eq!(
            [-INFINITY, -2.0, 0.0, 2.0, INFINITY].map(relu),
            [0.0, 0.0, 0.0, 2.0, INFINITY]
        );
        let passed = [NAN, -2.0, -0.0, 0.0, 2.0].map(|value| relu_grad(value, 5.0));
        assert_eq!(passed, [5.0, 0.0, 0.0, 0.0, 5.0]);
        let bounded = [-2.0, 2.0, 6.0, INFINITY].map(|value| clamped(value, Clamp::Relu6));
        assert_eq!(bounded, [0.0, 2.0, 6.0, 6.0]);
        assert!(clamped(NAN, Clamp::Relu6).is_nan());
        let passed = [NAN, -2.0, 0.0, 2.0, 6.0, 7.0].map(|v| clamped_grad(v, 5.0, Clamp::Relu6));
        assert_eq!(passed, [5.0, 0.0, 0.0, 5.0, 0.0, 0.0]);
    }
}
