//! What a check found, for a reader.

use super::super::coordinates;
use crate::DType;
use std::fmt;

/// What differs from what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The function's output.
    Value,
    /// The gradient of this input.
    Gradient(usize),
    /// This input itself, which nobody may write to, or the channels around it where it is a window.
    Input(usize),
    /// The inner product of this input, in which the function is linear, with its gradient: wanted is the output's with its own.
    Adjoint(usize),
    /// What the reference says of this input's gradient along a random direction: wanted is what its values say.
    Reference(usize),
}

/// How the function was called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Circumstance {
    /// Gradients of these inputs were wanted.
    Needs(Vec<usize>),
    /// Another gradient had already arrived at every input.
    Arrived,
    /// This input was a channel window of a larger tensor.
    Window(usize),
    /// The output's gradient was a channel window of a larger tensor.
    GradientWindow,
    /// The same call once more, whose bits have to be those of the first.
    Again,
}

/// All elements of one result that are wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Which result.
    pub subject: Subject,
    /// The element type of the operands.
    pub dtype: DType,
    /// How the function was called.
    pub circumstance: Circumstance,
    /// How many elements are wrong.
    pub wrong: usize,
    /// Of how many.
    pub elements: usize,
    /// The largest error of a wrong element; infinite where one is no number.
    pub largest: f64,
    /// The mean error of the wrong elements.
    pub mean: f64,
    /// The coordinates of the element that is wrong by the largest multiple of what it may be.
    pub worst: Vec<usize>,
    /// What was found there.
    pub got: f64,
    /// What should be there.
    pub wanted: f64,
    /// How far the two may lie apart.
    pub allowed: f64,
}

/// Which result of which call is looked at.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub subject: Subject,
    pub dtype: DType,
    pub circumstance: &'a Circumstance,
    pub shape: &'a [usize],
    /// Whether what is not finite only has to be not finite.
    pub spoiled: bool,
}

impl Place<'_> {
    /// The elements of `got` that are not within `allowed` of those of `wanted`; `None` where all are right.
    pub fn near(
        self,
        got: &[f64],
        wanted: &[f64],
        allowed: impl Fn(usize) -> f64,
    ) -> Option<Difference> {
        let right = |i: usize| {
            agrees(self.dtype, got[i], wanted[i], allowed(i))
                || self.spoiled && !got[i].is_finite() && !wanted[i].is_finite()
        };
        self.collect(got, wanted, right, &allowed)
    }

    /// The elements of `got` whose bits are not those of `wanted`; a NaN is a NaN, and the sign of a zero says in which order zeros were
    /// added: a leaf's gradient starts as one.
    pub fn same(self, got: &[f64], wanted: &[f64]) -> Option<Difference> {
        let right = |i: usize| got[i] == wanted[i] || got[i].is_nan() && wanted[i].is_nan();
        self.collect(got, wanted, right, |_| 0.0)
    }

    fn collect(
        self,
        got: &[f64],
        wanted: &[f64],
        right: impl Fn(usize) -> bool,
        allowed: impl Fn(usize) -> f64,
    ) -> Option<Difference> {
        let wrong: Vec<usize> = (0..wanted.len()).filter(|&i| !right(i)).collect();
        let error = |i: usize| match (got[i] - wanted[i]).abs() {
            error if error.is_nan() => f64::INFINITY,
            error => error,
        };
        let excess = |i: usize| error(i) / allowed(i).max(f64::MIN_POSITIVE);
        let by_excess = |&a: &usize, &b: &usize| excess(a).total_cmp(&excess(b));
        let worst = wrong.iter().rev().copied().max_by(by_excess)?;
        Some(Difference {
            subject: self.subject,
            dtype: self.dtype,
            circumstance: self.circumstance.clone(),
            wrong: wrong.len(),
            elements: wanted.len(),
            largest: wrong.iter().fold(0.0, |most, &i| error(i).max(most)),
            mean: wrong.iter().map(|&i| error(i)).sum::<f64>() / wrong.len() as f64,
            worst: coordinates(worst, self.shape),
            got: got[worst],
            wanted: wanted[worst],
            allowed: allowed(worst),
        })
    }
}

/// Whether `got` is `wanted` to within `allowed`, is as little finite, or is infinite where `dtype` holds no such number.
fn agrees(dtype: DType, got: f64, wanted: f64, allowed: f64) -> bool {
    if wanted.is_nan() {
        return got.is_nan();
    }
    if wanted.is_infinite() || got.is_infinite() {
        let at_most = wanted + allowed.copysign(wanted);
        return got == wanted || got == dtype.round(at_most);
    }
    // A NaN fails: it is not within any distance.
    (got - wanted).abs() <= allowed
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value => write!(f, "the value"),
            Self::Gradient(input) => write!(f, "the gradient of input {input}"),
            Self::Input(input) => write!(f, "input {input} itself, or what lies around it,"),
            Self::Adjoint(input) => write!(f, "<input, gradient> of input {input}"),
            Self::Reference(input) => {
                write!(
                    f,
                    "the reference's gradient of input {input} along a direction"
                )
            }
        }
    }
}

impl fmt::Display for Circumstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Needs(inputs) => write!(f, "where inputs {inputs:?} need gradients"),
            Self::Arrived => write!(f, "where gradients had arrived before"),
            Self::Window(input) => write!(f, "where input {input} is a window"),
            Self::GradientWindow => write!(f, "where the output's gradient is a window"),
            Self::Again => write!(f, "in a second call, bit by bit"),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            wrong,
            elements,
            largest,
            mean,
            worst,
            got,
            wanted,
            allowed,
            ..
        } = self;
        write!(
            f,
            "{} in {:?}, {}: {wrong} of {elements} wrong, by {largest:.3e} at most and {mean:.3e} in the mean, worst at {worst:?}: \
             {got}, wanted {wanted} within {allowed:.3e}",
            self.subject, self.dtype, self.circumstance
        )
    }
}

/// Everything that spoke against a function, in the order of element types and calls.
#[derive(Debug, Clone, PartialEq)]
pub struct Differences(pub Vec<Difference>);

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.0.iter().map(Difference::to_string);
        write!(f, "{}", lines.collect::<Vec<_>>().join("\n"))
    }
}
