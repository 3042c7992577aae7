//! 16-bit storage. Kernels compute in 32 bits whatever their tensors store, so of operands that 16 bits hold every operation gives in
//! them what it gives in 32, rounded: once, or once more for each tensor that it stores on the way.

mod conversions;
mod convolutions;
mod losses;
mod maps;
mod norms;

use ghostlight_kernels::{DType, Labels, Tensor};
use ghostlight_tests::{client, download, poison, reals, skipped, upload};
use std::cell::Cell;

/// The 16-bit types of the device; a missing one is said on standard error.
fn halves() -> Vec<DType> {
    let all = [DType::F16, DType::Bf16].into_iter();
    let on_device = all.filter(|half| {
        let has = half.is_on(&client());
        if !has {
            skipped(&format!("{half:?}"), "this device does not store them");
        }
        has
    });
    on_device.collect()
}

/// Draws the same numbers, which 16 bits hold, in 16 or in 32 bits.
struct Draw {
    half: DType,
    stored: DType,
    seed: Cell<u64>,
}

impl Draw {
    fn new(half: DType, stored: DType) -> Self {
        Self {
            half,
            stored,
            seed: Cell::new(1),
        }
    }

    fn values(&self, len: usize) -> Vec<f64> {
        self.seed.set(self.seed.get() + 1);
        let values = reals(self.seed.get(), len);
        values.into_iter().map(|v| self.half.round(v)).collect()
    }

    /// What an operation stores: maps, weights, logits.
    fn stored(&self, shape: &[usize]) -> Tensor {
        upload(&self.values(shape.iter().product()), shape, self.stored)
    }

    /// [`Draw::stored`], `scale` times as large; a power of two.
    fn scaled(&self, shape: &[usize], scale: f64) -> Tensor {
        let values = self.values(shape.iter().product());
        let values: Vec<f64> = values.iter().map(|v| v * scale).collect();
        upload(&values, shape, self.stored)
    }

    /// What belongs to a channel and is kept in 32 bits.
    fn row(&self, len: usize) -> Tensor {
        upload(&self.values(len), &[len], self.stored.accumulator())
    }

    /// A row of numbers above 1/4.
    fn positive_row(&self, len: usize) -> Tensor {
        let values: Vec<f64> = self.values(len).iter().map(|v| v.abs() + 0.25).collect();
        upload(&values, &[len], self.stored.accumulator())
    }

    fn labels(&self, batch: usize, classes: usize) -> Labels {
        let labels: Vec<u32> = (0..batch).map(|n| (n * 7 % classes) as u32).collect();
        Labels::new(&client(), &labels, classes).unwrap()
    }
}

/// A result with its name.
type Named = (&'static str, Tensor);

/// Asserts that `run` gives in 16 bits what it gives in 32, rounded once.
///
/// The operands are finite, and so must be the results: a NaN fails.
fn assert_rounded_once(run: impl Fn(&Draw) -> Vec<Named>) {
    assert_rounded(0.0, run);
}

/// Units of rounding of 32 bits by which a compiler may tell the same operations on converted operands apart: it fuses products and
/// sums as it likes.
const FUSED: f64 = 64.0;

/// Asserts that `run` gives in 16 bits what rounding makes of a number that is off what it gives in 32 by no more than `units` units
/// of 16 bits of the largest element: what it stores on the way is rounded as well.
fn assert_rounded(units: f64, run: impl Fn(&Draw) -> Vec<Named>) {
    for half in halves() {
        let wide = run(&Draw::new(half, DType::F32));
        poison(half, &wide.iter().map(|(_, t)| t.len()).collect::<Vec<_>>());
        let narrow = run(&Draw::new(half, half));
        assert_eq!(narrow.len(), wide.len());
        for ((name, narrow), (_, wide)) in narrow.iter().zip(&wide) {
            assert_eq!(narrow.shape(), wide.shape(), "{name} in {half:?}");
            let stored = narrow.dtype();
            assert!(stored == half || stored == DType::F32, "{name}: {stored:?}");
            let (narrow, wide) = (download(narrow), download(wide));
            let largest = wide.iter().fold(0.0, |top: f64, v| top.max(v.abs()));
            let off = (units * unit(half) + FUSED * f64::from(f32::EPSILON)) * largest;
            for (i, (&got, &wide)) in narrow.iter().zip(&wide).enumerate() {
                let (low, high) = (stored.round(wide - off), stored.round(wide + off));
                assert!(
                    (low..=high).contains(&got),
                    "{name} in {half:?}, element {i}: {got}, in 32 bits {wide}, wanted {low} to {high}"
                );
            }
        }
    }
}

/// The distance from 1 to the next number.
fn unit(half: DType) -> f64 {
    match half {
        DType::F16 => half::f16::EPSILON.to_f64(),
        _ => half::bf16::EPSILON.to_f64(),
    }
}
