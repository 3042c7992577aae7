use crate::DType;
use std::ops::{Add, AddAssign};

/// The work of one launch or of a sum of launches, as a function of the problem alone.
///
/// Arithmetic is what the formula asks for at least, each number once: what a kernel computes a second time instead of keeping it, or
/// by a polynomial, counts as the formula has it. A row that is divided by a number takes one division, a reciprocal. All of it is
/// done in the [accumulator](DType::accumulator) of the element type. Conversions from 16 bits and back come with their loads and
/// stores and are not counted, nor are additions by themselves, nor what is fused into an epilogue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Multiply-accumulates of convolutions and matrix products (biases, norms and activations are not counted).
    pub macs: u64,
    /// Exponentials.
    pub exponentials: u64,
    /// Logarithms.
    pub logarithms: u64,
    /// Divisions, reciprocals and square roots.
    pub divisions: u64,
    /// Comparisons, each with the choice that is made by it: `n - 1` for the largest of `n` numbers.
    pub compares: u64,
    /// Bytes that must be read at least once.
    pub bytes_read: u64,
    /// Bytes that must be written at least once.
    pub bytes_written: u64,
}

/// A kind of arithmetic, each of which a device does at a speed of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Work {
    /// A product and a sum in one.
    MultiplyAdds,
    /// `exp`.
    Exponentials,
    /// `ln`.
    Logarithms,
    /// Divisions, reciprocals and square roots.
    Divisions,
    /// Comparisons, each with the choice that is made by it.
    Compares,
}

impl Work {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::MultiplyAdds,
        Self::Exponentials,
        Self::Logarithms,
        Self::Divisions,
        Self::Compares,
    ];
}

impl Cost {
    /// A cost without arithmetic, for `read` and `written` elements of `size` bytes.
    pub fn traffic(read: usize, written: usize, size: usize) -> Self {
        Self {
            bytes_read: (read * size) as u64,
            bytes_written: (written * size) as u64,
            ..Self::default()
        }
    }

    /// The cost of a loss, which reads `read` elements of `dtype` and writes `written` of its accumulator.
    pub(crate) fn of_loss(read: usize, written: usize, dtype: DType) -> Self {
        Self {
            bytes_written: (written * dtype.accumulator().size()) as u64,
            ..Self::traffic(read, 0, dtype.size())
        }
    }

    /// The same with `macs` multiply-accumulates.
    pub fn with_macs(self, macs: usize) -> Self {
        Self {
            macs: macs as u64,
            ..self
        }
    }

    /// The same with so many exponentials.
    pub fn with_exponentials(self, exponentials: usize) -> Self {
        Self {
            exponentials: exponentials as u64,
            ..self
        }
    }

    /// The same with so many logarithms.
    pub fn with_logarithms(self, logarithms: usize) -> Self {
        Self {
            logarithms: logarithms as u64,
            ..self
        }
    }

    /// The same with so many divisions, reciprocals and square roots.
    pub fn with_divisions(self, divisions: usize) -> Self {
        Self {
            divisions: divisions as u64,
            ..self
        }
    }

    /// The same with so many comparisons.
    pub fn with_compares(self, compares: usize) -> Self {
        Self {
            compares: compares as u64,
            ..self
        }
    }

    /// The arithmetic of `rows` softmaxes of `length` elements each, without traffic: the largest element, an exponential of each
    /// distance to it, and one reciprocal.
    pub(crate) fn of_softmaxes(rows: usize, length: usize) -> Self {
        Self::default()
            .with_exponentials(rows * length)
            .with_divisions(rows)
            .with_compares(rows * length.saturating_sub(1))
    }

    /// How much there is of one kind of arithmetic.
    pub fn count(&self, work: Work) -> u64 {
        match work {
            Work::MultiplyAdds => self.macs,
            Work::Exponentials => self.exponentials,
            Work::Logarithms => self.logarithms,
            Work::Divisions => self.divisions,
            Work::Compares => self.compares,
        }
    }
}

impl Add for Cost {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            macs: self.macs + other.macs,
            exponentials: self.exponentials + other.exponentials,
            logarithms: self.logarithms + other.logarithms,
            divisions: self.divisions + other.divisions,
            compares: self.compares + other.compares,
            bytes_read: self.bytes_read + other.bytes_read,
            bytes_written: self.bytes_written + other.bytes_written,
        }
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_has_the_work_of_both_kind_by_kind() {
        let one = Cost::traffic(1, 2, 4)
            .with_macs(3)
            .with_exponentials(4)
            .with_logarithms(5)
            .with_divisions(6)
            .with_compares(7);
        assert_eq!(Work::ALL.map(|work| one.count(work)), [3, 4, 5, 6, 7]);
        let two = one + one;
        assert_eq!(Work::ALL.map(|work| two.count(work)), [6, 8, 10, 12, 14]);
        assert_eq!((two.bytes_read, two.bytes_written), (8, 16));
    }

    #[test]
    fn a_softmax_of_one_element_compares_nothing() {
        let of = |rows, length| {
            let cost = Cost::of_softmaxes(rows, length);
            Work::ALL.map(|work| cost.count(work))
        };
        assert_eq!(of(3, 5), [0, 15, 0, 3, 12]);
        assert_eq!(of(3, 1), [0, 3, 0, 3, 0]);
        assert_eq!(of(3, 0), [0, 0, 0, 3, 0]);
    }
}
