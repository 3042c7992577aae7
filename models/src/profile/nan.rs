use ghostlight_autodiff::{DType, Event, Phase, Tensor};
use std::fmt;

/// A result that is not finite.
#[derive(Debug, Clone, PartialEq)]
pub struct NotFinite {
    /// The operation.
    pub op: &'static str,
    /// The direction.
    pub phase: Phase,
    /// How many operations ran before it.
    pub number: usize,
    /// The result's extents.
    pub shape: Vec<usize>,
    /// Elements that are NaN, and those that are infinite.
    pub counts: [usize; 2],
    /// Coordinates of the first of either.
    pub first: Vec<usize>,
}

impl fmt::Display for NotFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = match self.phase {
            Phase::Forward => "the forward pass",
            Phase::Backward => "the gradient that came into the backward pass",
        };
        let [nan, infinite] = self.counts;
        write!(
            f,
            "{direction} of {} (operation {}) has {nan} NaN and {infinite} infinite among its {:?}, the first at {:?}",
            self.op,
            self.number + 1,
            self.shape,
            self.first
        )
    }
}

/// Looks through `output`; windows and tensors that cannot be read count as finite.
pub(super) fn look(event: &Event, output: &Tensor, number: usize) -> Option<NotFinite> {
    let values: Vec<f64> = match output.dtype() {
        DType::F32 => output.to_f32().ok()?.into_iter().map(f64::from).collect(),
        _ => output.to_f64().ok()?,
    };
    let first = values.iter().position(|value| !value.is_finite())?;
    let count = |what: fn(&f64) -> bool| values.iter().filter(|value| what(value)).count();
    let mut rest = first;
    let mut coordinates: Vec<usize> = Vec::new();
    for extent in output.shape().iter().rev() {
        coordinates.insert(0, rest % extent.max(&1));
        rest /= extent.max(&1);
    }
    Some(NotFinite {
        op: event.op,
        phase: event.phase,
        number,
        shape: output.shape().to_vec(),
        counts: [
            count(|value| value.is_nan()),
            count(|value| value.is_infinite()),
        ],
        first: coordinates,
    })
}
