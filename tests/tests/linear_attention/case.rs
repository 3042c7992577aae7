use ghostlight_kernels::attention::linear::{
    LinearAttentionProblem, backward, linear_attention, reference,
};
use ghostlight_kernels::{DType, Tensor, launch};
use ghostlight_tests::{client, dtypes, naive, poison, reals, skipped, upload};
use proptest::prelude::*;

/// An attention with its operands, on the host.
#[derive(Clone, Debug)]
pub struct Case {
    pub samples: usize,
    pub tokens: usize,
    pub groups: usize,
    pub head: usize,
    pub qkv: Vec<f64>,
    pub grad: Vec<f64>,
    pub epsilon: f64,
}

pub const RESULTS: [&str; 2] = ["y", "grad"];

impl Case {
    /// Values between -1 and 1 for `[samples, tokens, groups, head]`.
    pub fn random([samples, tokens, groups, head]: [usize; 4], seed: u64) -> Self {
        let len = samples * tokens * groups * head;
        Self {
            samples,
            tokens,
            groups,
            head,
            qkv: reals(seed, 3 * len),
            grad: reals(seed + 1, len),
            epsilon: f64::from(1e-3f32),
        }
    }

    /// `[s, n, groups 3 d]`.
    pub fn shape(&self) -> [usize; 3] {
        [self.samples, self.tokens, self.groups * 3 * self.head]
    }

    /// `[s, n, groups d]`.
    pub fn output_shape(&self) -> [usize; 3] {
        [self.samples, self.tokens, self.groups * self.head]
    }

    pub fn extents(&self) -> reference::Extents {
        [self.tokens, self.groups, self.head]
    }

    /// How the errors of the longest sum grow: one over tokens, then one over channels.
    pub fn naive(&self) -> f64 {
        naive(self.tokens) + naive(self.head)
    }

    /// The element types in which the device takes the case: a GPU's cube may have no room for the state of a wide head in f64.
    pub fn dtypes(&self) -> Vec<DType> {
        let takes = |dtype: &DType| {
            let qkv = Tensor::empty(&client(), &[1, 1, 3 * self.head], *dtype);
            let takes = LinearAttentionProblem::new(&qkv, self.head, self.epsilon).is_ok();
            if !takes {
                let wide = *dtype == DType::F64 && self.head > 62;
                assert!(
                    wide && !launch::is_cpu(&client()),
                    "{} in {dtype:?}",
                    self.head
                );
                skipped(
                    "heads of more than 62 channels in f64",
                    "no cube holds their state",
                );
            }
            takes
        };
        dtypes().into_iter().filter(takes).collect()
    }

    /// `qkv` and `grad` on the device.
    pub fn operands(&self, dtype: DType) -> [Tensor; 2] {
        [
            upload(&self.qkv, &self.shape(), dtype),
            upload(&self.grad, &self.output_shape(), dtype),
        ]
    }

    /// Result and gradient on the device, in the order of [`RESULTS`].
    pub fn run(&self, dtype: DType) -> [Tensor; 2] {
        let [qkv, grad] = self.operands(dtype);
        poison(dtype, &[self.qkv.len(), self.grad.len()]);
        let y = linear_attention(&qkv, self.head, self.epsilon).unwrap();
        [y, backward(&qkv, &grad, self.head, self.epsilon).unwrap()]
    }

    /// The same of the reference.
    pub fn reference(&self) -> [Vec<f64>; 2] {
        [
            reference::forward(&self.qkv, self.extents(), self.epsilon),
            reference::backward(&self.qkv, &self.grad, self.extents(), self.epsilon),
        ]
    }

    /// The sizes of the terms that each result is made of: divisors are sums of what is not negative, and off by units of themselves.
    pub fn magnitude(&self) -> [Vec<f64>; 2] {
        let (n, groups, d) = (self.tokens, self.groups, self.head);
        let mut sizes = [vec![0.0; self.grad.len()], vec![0.0; self.qkv.len()]];
        for pair in 0..self.samples * groups {
            let token = |i: usize| (pair / groups * n + i) * groups + pair % groups;
            let part =
                |i: usize, which: usize, c: usize| self.qkv[token(i) * 3 * d + which * d + c];
            let q = |i: usize, c: usize| part(i, 0, c).max(0.0);
            let k = |i: usize, c: usize| part(i, 1, c).max(0.0);
            let v = |i: usize, c: usize| part(i, 2, c).abs();
            let g = |i: usize, c: usize| self.grad[token(i) * d + c].abs();
            let channels = |f: &dyn Fn(usize) -> f64| (0..d).map(f).sum::<f64>();
            let over = |f: &dyn Fn(usize) -> f64| (0..n).map(f).sum::<f64>();
            let table = |f: &dyn Fn(usize, usize) -> f64| -> Vec<Vec<f64>> {
                (0..d).map(|a| (0..d).map(|b| f(a, b)).collect()).collect()
            };
            let state = table(&|a, b| over(&|j| k(j, a) * v(j, b)));
            let keys: Vec<f64> = (0..d).map(|a| over(&|j| k(j, a))).collect();
            let (mut r, mut e, mut w) = (vec![0.0; n], vec![0.0; n], vec![vec![0.0; d]; n]);
            for i in 0..n {
                r[i] = 1.0 / (channels(&|a| q(i, a) * keys[a]) + self.epsilon);
                w[i] = (0..d)
                    .map(|a| channels(&|b| state[a][b] * g(i, b)))
                    .collect();
                e[i] = channels(&|a| q(i, a) * w[i][a]) * r[i] * r[i];
            }
            let by_state = table(&|a, b| over(&|i| q(i, a) * g(i, b) * r[i]));
            let by_keys: Vec<f64> = (0..d).map(|a| over(&|i| q(i, a) * e[i])).collect();
            for i in 0..n {
                for c in 0..d {
                    let y = channels(&|a| q(i, a) * state[a][c]) * r[i];
                    sizes[0][token(i) * d + c] = 2.0 * y;
                    let to = token(i) * 3 * d + c;
                    // The two numbers of a token are off by units of themselves, after a division or two.
                    sizes[1][to] = 2.0 * r[i] * w[i][c] + 3.0 * e[i] * keys[c];
                    let of_state = channels(&|b| v(i, b) * by_state[c][b]);
                    sizes[1][to + d] = 2.0 * of_state + 3.0 * by_keys[c];
                    sizes[1][to + 2 * d] = 2.0 * channels(&|a| k(i, a) * by_state[a][c]);
                }
            }
        }
        sizes
    }
}

/// Heads below a vector, of whole vectors and with a tail; tokens below, at and past a tile and a block.
pub fn cases() -> impl Strategy<Value = Case> {
    let head =
        prop_oneof![3 => 1usize..=64, 2 => prop::sample::select(&[1usize, 8, 16, 32, 64][..])];
    let tokens = prop_oneof![4 => 0usize..10, 2 => 10usize..70, 1 => 120usize..140];
    (0usize..4, tokens, 0usize..4, head, any::<u32>())
        .prop_map(|(s, n, groups, d, seed)| Case::random([s, n, groups, d], seed.into()))
}
