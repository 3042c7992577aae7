//! What a gradient check found, for a reader.

use ghostlight_kernels::planted;
use std::fmt;

/// Where a derivative was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// By one element of an input, at these coordinates.
    Element(Vec<usize>),
    /// By a whole input, along the random direction of this number.
    Direction(usize),
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Element(coordinates) => write!(f, "element {coordinates:?}"),
            Self::Direction(number) => write!(f, "random direction {number}"),
        }
    }
}

/// One derivative, both ways.
#[derive(Debug, Clone, PartialEq)]
pub struct Derivative {
    /// Which input.
    pub input: usize,
    /// Where in it.
    pub probe: Probe,
    /// What the backward pass says.
    pub analytic: f64,
    /// What two forward passes say.
    pub numeric: f64,
}

impl Derivative {
    /// How far the two lie apart, relative to the larger of 1 and the central difference.
    pub fn error(&self) -> f64 {
        (self.analytic - self.numeric).abs() / self.numeric.abs().max(1.0)
    }
}

impl fmt::Display for Derivative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (input, probe) = (self.input, &self.probe);
        let (analytic, numeric) = (self.analytic, self.numeric);
        write!(
            f,
            "input {input}, {probe}: the derivative is {analytic}, but central differences give {numeric}"
        )
    }
}

/// Everything that spoke against a gradient, in the order of inputs and probes.
#[derive(Debug, Clone, PartialEq)]
pub struct Findings {
    /// How many derivatives were taken.
    pub probes: usize,
    /// Those that differ from their central difference by more than the tolerance, one that is not finite included.
    pub wrong: Vec<Derivative>,
    /// Those that could not be judged, as their central difference is not finite.
    pub unjudged: Vec<Derivative>,
}

impl Findings {
    /// Judges one derivative.
    pub(super) fn add(&mut self, derivative: Derivative, tolerance: f64) {
        self.probes += 1;
        let unjudged = !derivative.numeric.is_finite();
        if unjudged && !planted::is("gradcheck_judges_infinity") {
            self.unjudged.push(derivative);
            return;
        }
        // Written so that a NaN fails. An infinite central difference allows any error.
        let allowed = tolerance * derivative.numeric.abs().max(1.0);
        let agrees = (derivative.analytic - derivative.numeric).abs() <= allowed;
        if !agrees && !planted::is("gradcheck_believes_everything") {
            self.wrong.push(derivative);
        }
    }

    /// The wrong derivative of the largest [`Derivative::error`]; a NaN is larger than any number.
    pub fn worst(&self) -> Option<&Derivative> {
        let error = |derivative: &Derivative| match derivative.error() {
            error if error.is_nan() => f64::INFINITY,
            error => error,
        };
        let wrong = self.wrong.iter().rev();
        wrong.max_by(|a, b| error(a).total_cmp(&error(b)))
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let probes = self.probes;
        if let Some(worst) = self.worst() {
            let count = self.wrong.len();
            write!(
                f,
                "{count} of {probes} derivatives are wrong, worst at {worst}"
            )?;
        }
        if let Some(first) = self.unjudged.first() {
            let and = if self.wrong.is_empty() { "" } else { "; " };
            let count = self.unjudged.len();
            write!(
                f,
                "{and}{count} of {probes} derivatives cannot be judged, first at {first}"
            )?;
        }
        Ok(())
    }
}
