//! What a contender must show in this very run before it gets a time.

use crate::contender::Contender;
use crate::input::{Content, Input, draw};

/// How far an output may lie from the f64 reference, relative to the reference's largest magnitude: a hundred times the error of a
/// naive f32 sum over the longest sums here, and a tenth of the smallest mistake in an algorithm.
const TOLERANCE: f64 = 5e-4;
/// A time that beats the roofline this many times was not taken from the work.
pub const TOO_FAST: f64 = 10.0;

/// What an output must be.
#[derive(Debug, Clone, PartialEq)]
pub enum Expected {
    /// These values, in this order. A NaN admits anything: what hangs on the sign of a number next to 0 has no one value.
    Values(Vec<f64>),
    /// These values, each give or take its slack and the tolerance: sums over numbers whose sign nobody knows.
    Within(Vec<f64>, Vec<f64>),
    /// Any number of values with this sum: a loss, per sample or already summed.
    Sum(f64),
}

impl Expected {
    /// Whether `got` is that, or what it is instead.
    fn admits(&self, got: &[f64]) -> Result<(), String> {
        match self {
            Self::Values(values) => near(got, values, |_| 0.0),
            Self::Within(values, slack) => near(got, values, |i| slack[i]),
            Self::Sum(sum) => {
                let found: f64 = got.iter().sum();
                if (found - sum).abs() <= TOLERANCE * sum.abs().max(1e-6) {
                    Ok(())
                } else {
                    Err(format!("the sum is {found:e} instead of {sum:e}"))
                }
            }
        }
    }
}

/// Whether every value is the wanted one, within its slack and the tolerance; a NaN of the contender is near nothing.
fn near(got: &[f64], wanted: &[f64], slack: impl Fn(usize) -> f64) -> Result<(), String> {
    if got.len() != wanted.len() {
        let (got, wanted) = (got.len(), wanted.len());
        return Err(format!("{got} values where {wanted} belong"));
    }
    let largest = wanted
        .iter()
        .fold(0.0f64, |most, value| most.max(value.abs()));
    let is_near = |i: usize| {
        wanted[i].is_nan() || (got[i] - wanted[i]).abs() <= TOLERANCE * largest + slack(i)
    };
    match (0..got.len()).find(|&i| !is_near(i)) {
        None => Ok(()),
        Some(i) => Err(format!(
            "element {i} is {:e} instead of {:e}",
            got[i], wanted[i]
        )),
    }
}

/// What the call must do to its operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: they are the same afterwards.
    Pure,
    /// It updates them in place, as an optimiser does.
    InPlace,
}

/// Loads the first draw, calls once, and compares everything.
///
/// # Errors
/// Why the contender gets no time: it failed; an output differs from `expected`; an operand was changed by a pure call; the outputs
/// of a second draw are those of the first, so that they were not computed.
pub fn verify(
    contender: &mut dyn Contender,
    inputs: &[Input],
    expected: &[Expected],
    effect: Effect,
) -> Result<(), String> {
    // The second draw goes first: what it leaves in caches and buffers is wrong for the first.
    contender.load(&draw(inputs, 1))?;
    contender.call()?;
    let other = contender.outputs()?;
    let values = draw(inputs, 0);
    contender.load(&values)?;
    contender.call()?;
    let outputs = contender.outputs()?;
    if outputs.len() != expected.len() {
        return Err(format!(
            "{} outputs where {} belong",
            outputs.len(),
            expected.len()
        ));
    }
    if outputs.iter().any(|output| !output.is_empty()) && outputs == other {
        return Err("the outputs do not depend on the operands: they were not computed".into());
    }
    for (i, (output, expected)) in outputs.iter().zip(expected).enumerate() {
        expected
            .admits(output)
            .map_err(|how| format!("output {i} differs from the reference: {how}"))?;
    }
    if effect == Effect::Pure {
        let given = inputs
            .iter()
            .zip(&values)
            .filter(|(input, _)| matches!(input.content, Content::Uniform { .. }))
            .map(|(_, values)| values);
        for (i, (now, given)) in contender.operands()?.iter().zip(given).enumerate() {
            let same = now
                .iter()
                .zip(given)
                .all(|(now, given)| *now == f64::from(*given));
            if !same {
                return Err(format!("operand {i} was changed by the call"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_off_by_more_than_the_tolerance_is_named_with_its_place() {
        let expected = Expected::Values(vec![1.0, 2.0, f64::NAN]);
        assert_eq!(expected.admits(&[1.0, 2.0005, 7.0]), Ok(()));
        let off = expected.admits(&[1.0, 2.1, 7.0]).expect_err("it is off");
        assert!(off.contains("element 1 is 2.1e0 instead of 2e0"), "{off}");
        let missing = expected.admits(&[1.0]).expect_err("two are missing");
        assert!(missing.contains("1 values where 3 belong"), "{missing}");
    }

    #[test]
    fn slack_is_given_to_its_own_element_alone() {
        let expected = Expected::Within(vec![1.0, 1.0], vec![0.5, 0.0]);
        assert_eq!(expected.admits(&[1.4, 1.0]), Ok(()));
        assert!(expected.admits(&[1.0, 1.4]).is_err());
    }

    #[test]
    fn nothing_that_is_not_a_number_passes_for_one() {
        assert!(Expected::Values(vec![1.0]).admits(&[f64::NAN]).is_err());
        assert!(Expected::Sum(1.0).admits(&[f64::NAN]).is_err());
    }

    #[test]
    fn a_loss_may_come_by_sample_or_summed() {
        let loss = Expected::Sum(3.0);
        assert_eq!(loss.admits(&[1.0, 2.0]), Ok(()));
        assert_eq!(loss.admits(&[3.0]), Ok(()));
        assert!(loss.admits(&[3.1]).is_err());
    }
}
