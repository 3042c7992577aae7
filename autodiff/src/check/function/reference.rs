//! What a function should give, and by how much rounding may change that.

use super::super::{rounding, values};
use crate::DType;
use std::cell::OnceCell;

/// The value of a function of its inputs.
pub(super) type Value<'a> = Box<dyn Fn(&[Vec<f64>]) -> Vec<f64> + 'a>;
/// Something of each input, from the inputs and the output's gradient.
pub(super) type Backward<'a> = Box<dyn Fn(&[Vec<f64>], &[f64]) -> Vec<Vec<f64>> + 'a>;

/// How often all operands are moved at once to see what their rounding does.
const PROBES: u64 = 8;
/// The same where a result seems wrong: the verdict is worth the time.
const MORE_PROBES: u64 = 64;
/// Operands of up to this many elements are also moved one by one then.
const ONE_BY_ONE: usize = 4096;
/// Step of the central differences that stand in for a gradient that was not given.
const STEP: f64 = 1e-5;

/// The mathematics of a function in f64.
#[derive(Default)]
pub(super) struct Reference<'a> {
    pub value: Option<Value<'a>>,
    pub gradient: Option<Backward<'a>>,
    pub magnitude: Option<Backward<'a>>,
    pub inference: bool,
}

impl Reference<'_> {
    pub fn value(&self, inputs: &[Vec<f64>]) -> Vec<f64> {
        let value = self.value.as_ref();
        value.expect("the check asked for it before")(inputs)
    }

    /// The value, then the gradient of each input of the value's inner product with `grad`.
    pub fn results(&self, inputs: &[Vec<f64>], grad: &[f64]) -> Vec<Vec<f64>> {
        let mut results = vec![self.value(inputs)];
        if self.inference {
            return results;
        }
        match &self.gradient {
            Some(gradient) => results.extend(gradient(inputs, grad)),
            None => results.extend(self.differences(inputs, grad)),
        }
        results
    }

    /// Central differences of the value, element by element.
    fn differences(&self, inputs: &[Vec<f64>], grad: &[f64]) -> Vec<Vec<f64>> {
        let mut moved = inputs.to_vec();
        let mut at = |input: usize, element: usize, value: f64| {
            moved[input][element] = value;
            let result = self.value(&moved);
            moved[input][element] = inputs[input][element];
            result
        };
        let mut slope = |input: usize, element: usize, x: f64| {
            let (up, down) = (at(input, element, x + STEP), at(input, element, x - STEP));
            let differences = up.iter().zip(&down).zip(grad);
            differences
                .map(|((up, down), g)| (up - down) * g)
                .sum::<f64>()
                / (2.0 * STEP)
        };
        let each = inputs.iter().enumerate().map(|(input, values)| {
            let elements = values.iter().enumerate();
            elements.map(|(i, &x)| slope(input, i, x)).collect()
        });
        each.collect()
    }

    /// Whether gradients are differences, which are off by more than rounding.
    pub fn differentiates(&self) -> bool {
        self.gradient.is_none() && !self.inference
    }
}

/// What is wanted of one problem, and the magnitude of the terms that each result is made of.
pub(super) struct Wanted<'r, 'a> {
    reference: &'r Reference<'a>,
    inputs: &'r [Vec<f64>],
    grad: &'r [f64],
    /// How far operands are moved, relative to their own size.
    step: f64,
    /// The value, then each input's gradient.
    pub results: Vec<Vec<f64>>,
    /// A magnitude that is never too large, and seldom much too small.
    pub likely: Vec<Vec<f64>>,
    sure: OnceCell<Vec<Vec<f64>>>,
}

impl<'r, 'a> Wanted<'r, 'a> {
    pub fn new(
        reference: &'r Reference<'a>,
        inputs: &'r [Vec<f64>],
        grad: &'r [f64],
        dtype: DType,
    ) -> Self {
        let results = reference.results(inputs, grad);
        // As far as rounding goes, so that what changes its mind within it (a ReLU's kink) is seen; not so little that the reference's own rounding shows.
        let least = if reference.differentiates() {
            1e-3
        } else {
            1e-7
        };
        let mut wanted = Self {
            reference,
            inputs,
            grad,
            step: rounding::unit(dtype).max(least),
            likely: results.iter().map(|r| magnitudes(r)).collect(),
            results,
            sure: OnceCell::new(),
        };
        match &reference.magnitude {
            Some(magnitude) => {
                // Of what is not finite there may be none: then only its own bits are right.
                let magnitude = magnitude(inputs, grad).into_iter().flatten();
                for (likely, given) in wanted.likely.iter_mut().flatten().zip(magnitude) {
                    *likely = if given.is_nan() { 0.0 } else { given };
                }
            }
            None => {
                let probed = wanted.probed(0..PROBES);
                add(&mut wanted.likely, &probed);
            }
        }
        wanted
    }

    /// The output's gradient.
    pub fn grad(&self) -> &[f64] {
        self.grad
    }

    /// The magnitude of each element of result number `result`: its own, and how much it would change for each operand's element by itself,
    /// were that moved by as much as it is large.
    pub fn sure(&self, result: usize) -> &[f64] {
        let compute = || {
            if self.reference.magnitude.is_some() {
                return self.likely.clone();
            }
            let mut sum = self.one_by_one();
            let probed = self.probed(PROBES..PROBES + MORE_PROBES);
            for (sum, probed) in sum.iter_mut().flatten().zip(probed.iter().flatten()) {
                *sum = sum.max(*probed);
            }
            let own: Vec<Vec<f64>> = self.results.iter().map(|r| magnitudes(r)).collect();
            add(&mut sum, &own);
            for (sum, likely) in sum.iter_mut().flatten().zip(self.likely.iter().flatten()) {
                *sum = sum.max(*likely);
            }
            sum
        };
        &self.sure.get_or_init(compute)[result]
    }

    /// The largest change of each result, relative to the step, when all operands are moved by at most it.
    fn probed(&self, seeds: std::ops::Range<u64>) -> Vec<Vec<f64>> {
        let mut largest = self.zeros();
        for seed in seeds {
            let moved = |number: u64, operand: &[f64]| -> Vec<f64> {
                let by = values(seed << 32 | number, operand.len());
                let each = operand.iter().zip(by);
                each.map(|(x, by)| x * (1.0 + self.step * by)).collect()
            };
            let inputs = (1..).zip(self.inputs);
            let inputs: Vec<_> = inputs.map(|(number, x)| moved(number, x)).collect();
            let change = self.change(&inputs, &moved(0, self.grad));
            for (largest, change) in largest.iter_mut().flatten().zip(change) {
                *largest = largest.max(change);
            }
        }
        largest
    }

    /// The sum of the changes of each result when one element of an operand is moved by the step at a time.
    fn one_by_one(&self) -> Vec<Vec<f64>> {
        let mut sums = self.zeros();
        let count = self.grad.len() + self.inputs.iter().map(Vec::len).sum::<usize>();
        if count > ONE_BY_ONE {
            return sums;
        }
        let (mut inputs, mut grad) = (self.inputs.to_vec(), self.grad.to_vec());
        let mut add = |change: Vec<f64>| {
            for (sum, change) in sums.iter_mut().flatten().zip(change) {
                *sum += change;
            }
        };
        for operand in 0..inputs.len() {
            for i in 0..inputs[operand].len() {
                let x = inputs[operand][i];
                inputs[operand][i] = x * (1.0 + self.step);
                add(self.change(&inputs, &grad));
                inputs[operand][i] = x;
            }
        }
        for i in 0..grad.len() {
            let g = grad[i];
            grad[i] = g * (1.0 + self.step);
            add(self.change(&inputs, &grad));
            grad[i] = g;
        }
        sums
    }

    /// How far results move, relative to the step; what is not finite says nothing.
    fn change(&self, inputs: &[Vec<f64>], grad: &[f64]) -> Vec<f64> {
        let moved = self.reference.results(inputs, grad);
        let pairs = moved.iter().flatten().zip(self.results.iter().flatten());
        pairs
            .map(|(moved, own)| match (moved - own).abs() / self.step {
                change if change.is_finite() => change,
                _ => 0.0,
            })
            .collect()
    }

    fn zeros(&self) -> Vec<Vec<f64>> {
        self.results.iter().map(|r| vec![0.0; r.len()]).collect()
    }
}

fn magnitudes(values: &[f64]) -> Vec<f64> {
    values.iter().map(|v| v.abs()).collect()
}

fn add(to: &mut [Vec<f64>], what: &[Vec<f64>]) {
    for (to, what) in to.iter_mut().flatten().zip(what.iter().flatten()) {
        *to += what;
    }
}
