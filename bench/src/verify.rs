//! What a contender must show in this very run before it gets a time.

use crate::contender::Contender;
use crate::input::{Content, Input, draw};
use ghostlight_kernels::launch;

/// How far an output may lie from the f64 reference, relative to the reference's largest magnitude: a hundred times the error of a
/// naive f32 sum over the longest sums here, and a tenth of the smallest mistake in an algorithm.
const TOLERANCE: f64 = 5e-4;
/// More of a reference's elements than this may not be NaN, which admits anything. The most is a Ghost module's training, whose gradient
/// has no one value around the corners of two ReLUs.
const MOST_UNCHECKED: f64 = 0.25;

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
    /// How far `got` lies off at worst, in units of what it may: at most 1; or what it is instead.
    fn error(&self, got: &[f64]) -> Result<f64, String> {
        match self {
            Self::Values(values) => furthest(got, values, |_| 0.0),
            Self::Within(values, slack) => furthest(got, values, |i| slack[i]),
            Self::Sum(sum) => {
                let found: f64 = got.iter().sum();
                let error = (found - sum).abs() / (TOLERANCE * sum.abs().max(1e-6));
                match error <= 1.0 {
                    true => Ok(error),
                    false => Err(format!("the sum is {found:e} instead of {sum:e}")),
                }
            }
        }
    }
}

/// The largest difference in units of its element's budget, the tolerance and its slack; a NaN of the contender is near nothing.
fn furthest(got: &[f64], wanted: &[f64], slack: impl Fn(usize) -> f64) -> Result<f64, String> {
    if got.len() != wanted.len() {
        let (got, wanted) = (got.len(), wanted.len());
        return Err(format!("{got} values where {wanted} belong"));
    }
    let largest = wanted
        .iter()
        .fold(0.0f64, |most, value| most.max(value.abs()));
    let mut most = 0.0f64;
    for (i, (&got, &wanted)) in got.iter().zip(wanted).enumerate() {
        // Equal first: nothing may be off where all of the reference is 0.
        if wanted.is_nan() || got == wanted {
            continue;
        }
        let error = (got - wanted).abs() / (TOLERANCE * largest + slack(i));
        if error.is_nan() || error > 1.0 {
            return Err(format!("element {i} is {got:e} instead of {wanted:e}"));
        }
        most = most.max(error);
    }
    Ok(most)
}

/// What a contender showed.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// The largest error of its outputs, in units of what they may be off.
    pub error: f64,
    /// A digest of the bits of its outputs on the first draw, the same wherever and whenever they are the same.
    pub digest: String,
    /// The share of the reference's elements that are NaN.
    pub unchecked: f64,
    /// The time of its very first call in ms, which compiles what no contender before it did.
    pub first_ms: f64,
    /// The most that our own tensors held at once from before its operands were there to the end of that call, in bytes: operands, results
    /// and scratch. Of a peer, which has none of these, nothing.
    pub peak_bytes: u64,
}

/// The share of elements that admit anything.
fn unchecked(expected: &[Expected]) -> f64 {
    let (nan, all) = expected.iter().fold((0, 0), |(nan, all), one| match one {
        Expected::Values(values) | Expected::Within(values, _) => {
            let more = values.iter().filter(|value| value.is_nan()).count();
            (nan + more, all + values.len())
        }
        Expected::Sum(sum) => (nan + usize::from(sum.is_nan()), all + 1),
    });
    nan as f64 / f64::max(all as f64, 1.0)
}

/// FNV-1a over the bits of all values, and over the lengths of their lists.
pub(crate) fn digest<'a>(lists: impl Iterator<Item = &'a [f32]>) -> String {
    fnv(lists.flat_map(|list| {
        let bits = list.iter().map(|value| u64::from(value.to_bits()));
        std::iter::once(list.len() as u64).chain(bits)
    }))
}

/// FNV-1a over words, the same in every build.
pub(crate) fn fnv(words: impl Iterator<Item = u64>) -> String {
    let hash = words.fold(0xcbf2_9ce4_8422_2325u64, |hash, word| {
        (hash ^ word).wrapping_mul(0x100_0000_01b3)
    });
    format!("{hash:016x}")
}

/// That of outputs, as f32 has them.
fn digest_of(outputs: &[Vec<f64>]) -> String {
    let narrow = |output: &Vec<f64>| output.iter().map(|&value| value as f32).collect();
    let outputs: Vec<Vec<f32>> = outputs.iter().map(narrow).collect();
    digest(outputs.iter().map(Vec::as_slice))
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
/// Why the contender gets no time: it failed; an output differs from `expected`, most of which is NaN, or is made of operands that
/// were loaded after the call; an operand was changed by a pure call; the outputs of a second draw are those of the first, so that they were
/// not computed.
pub fn verify(
    contender: &mut dyn Contender,
    inputs: &[Input],
    expected: &[Expected],
    effect: Effect,
) -> Result<Verified, String> {
    let unchecked = unchecked(expected);
    if unchecked > MOST_UNCHECKED {
        return Err(format!(
            "{:.0} % of the reference is NaN, which admits anything; at most {:.0} % may be",
            100.0 * unchecked,
            100.0 * MOST_UNCHECKED
        ));
    }
    let [values, second] = [0, 1].map(|number| draw(inputs, number));
    // The second draw goes first: what it leaves in caches and buffers is wrong for the first.
    let [held, _] = launch::held_and_peak();
    launch::reset_peak();
    contender.load(&second)?;
    let first_ms = contender.call()?;
    let [_, peak] = launch::held_and_peak();
    let other = contender.outputs()?;
    contender.forget()?;
    contender.load(&values)?;
    contender.call()?;
    if effect == Effect::Pure {
        unchanged(contender, inputs, &values)?;
    }
    let outputs = outputs_after(contender, &second, effect)?;
    if outputs.iter().any(|output| !output.is_empty()) && outputs == other {
        return Err(
            "the outputs are those of other operands than the call had: they were not computed by it"
                .into(),
        );
    }
    Ok(Verified {
        error: error(&outputs, expected)?,
        digest: digest_of(&outputs),
        unchecked,
        first_ms,
        peak_bytes: peak.saturating_sub(held),
    })
}

/// The largest error of the outputs of the last call, which was on the operands that `expected` belongs to.
///
/// # Errors
/// They differ from it, or cannot be read.
pub(crate) fn last_call(
    contender: &mut dyn Contender,
    expected: &[Expected],
    next: &[Vec<f32>],
    effect: Effect,
) -> Result<f64, String> {
    error(&outputs_after(contender, next, effect)?, expected)
}

/// The outputs of the last call, read after other operands were loaded: what is made only when it is read is made of those.
fn outputs_after(
    contender: &mut dyn Contender,
    next: &[Vec<f32>],
    effect: Effect,
) -> Result<Vec<Vec<f64>>, String> {
    // What is updated in place is the operands.
    if effect == Effect::Pure {
        contender.load(next)?;
    }
    contender.outputs()
}

fn error(outputs: &[Vec<f64>], expected: &[Expected]) -> Result<f64, String> {
    if outputs.len() != expected.len() {
        let (got, wanted) = (outputs.len(), expected.len());
        return Err(format!("{got} outputs where {wanted} belong"));
    }
    let mut most = 0.0f64;
    for (i, (output, expected)) in outputs.iter().zip(expected).enumerate() {
        let off = expected
            .error(output)
            .map_err(|how| format!("output {i} differs from the reference: {how}"))?;
        most = most.max(off);
    }
    Ok(most)
}

/// Whether the operands are still `values`.
fn unchanged(
    contender: &mut dyn Contender,
    inputs: &[Input],
    values: &[Vec<f32>],
) -> Result<(), String> {
    let given = inputs
        .iter()
        .zip(values)
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
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_off_by_more_than_the_tolerance_is_named_with_its_place() {
        let expected = Expected::Values(vec![1.0, 2.0, f64::NAN]);
        let error = expected.error(&[1.0, 2.0005, 7.0]).expect("within it");
        assert!(
            (error - 0.5).abs() < 1e-9,
            "half of what it may be off: {error}"
        );
        let off = expected.error(&[1.0, 2.1, 7.0]).expect_err("it is off");
        assert!(off.contains("element 1 is 2.1e0 instead of 2e0"), "{off}");
        let missing = expected.error(&[1.0]).expect_err("two are missing");
        assert!(missing.contains("1 values where 3 belong"), "{missing}");
    }

    #[test]
    fn slack_is_given_to_its_own_element_alone() {
        let expected = Expected::Within(vec![1.0, 1.0], vec![0.5, 0.0]);
        assert!(
            expected
                .error(&[1.4, 1.0])
                .is_ok_and(|error| 0.7 < error && error < 0.8)
        );
        assert!(expected.error(&[1.0, 1.4]).is_err());
    }

    #[test]
    fn nothing_that_is_not_a_number_passes_for_one() {
        assert!(Expected::Values(vec![1.0]).error(&[f64::NAN]).is_err());
        assert!(Expected::Sum(1.0).error(&[f64::NAN]).is_err());
    }

    #[test]
    fn what_admits_anything_is_counted() {
        let all = [
            Expected::Values(vec![f64::NAN, 1.0, 2.0]),
            Expected::Within(vec![f64::NAN; 2], vec![0.0; 2]),
            Expected::Sum(1.0),
        ];
        assert_eq!(unchecked(&all), 0.5);
        assert_eq!(unchecked(&[]), 0.0);
    }

    #[test]
    fn zeros_may_be_off_by_nothing() {
        assert_eq!(Expected::Values(vec![0.0; 2]).error(&[0.0, -0.0]), Ok(0.0));
        assert!(Expected::Values(vec![0.0; 2]).error(&[0.0, 1e-30]).is_err());
    }

    #[test]
    fn a_digest_is_of_the_bits_and_of_where_outputs_end() {
        let one = digest_of(&[vec![1.0, 2.0], vec![3.0]]);
        assert_eq!(one, digest_of(&[vec![1.0, 2.0], vec![3.0]]));
        let next = f64::from(f32::from_bits(1f32.to_bits() + 1));
        for other in [
            vec![vec![next, 2.0], vec![3.0]],
            vec![vec![2.0, 1.0], vec![3.0]],
            vec![vec![1.0], vec![2.0, 3.0]],
            vec![vec![1.0, 2.0, 3.0]],
        ] {
            assert_ne!(one, digest_of(&other), "{other:?}");
        }
        assert_eq!(digest_of(&[]), "cbf29ce484222325");
    }

    #[test]
    fn a_loss_may_come_by_sample_or_summed() {
        let loss = Expected::Sum(3.0);
        assert_eq!(loss.error(&[1.0, 2.0]), Ok(0.0));
        assert_eq!(loss.error(&[3.0]), Ok(0.0));
        assert!(loss.error(&[3.1]).is_err());
    }
}
