//! ReLU linear attention and its gradient over `f64` slices: a sample after the other, a group after the other.

use crate::clamp::reference::{relu, relu_grad};

/// Tokens, groups and channels of a head.
pub type Extents = [usize; 3];

/// Query, key and value of one sample and group, each token by token.
struct Heads {
    q: Vec<Vec<f64>>,
    k: Vec<Vec<f64>>,
    v: Vec<Vec<f64>>,
}

/// The heads of group `group` of a sample `[n, groups 3 d]`.
fn heads(sample: &[f64], [_, groups, d]: Extents, group: usize) -> Heads {
    let tokens = || {
        sample
            .chunks(groups * 3 * d)
            .map(|token| &token[group * 3 * d..][..3 * d])
    };
    let part = |which: usize, map: fn(f64) -> f64| {
        tokens()
            .map(|token| token[which * d..][..d].iter().map(|&x| map(x)).collect())
            .collect()
    };
    Heads {
        q: part(0, relu),
        k: part(1, relu),
        v: part(2, |x| x),
    }
}

/// `sum over tokens of a_i b_j`.
fn outer(a: &[Vec<f64>], b: &[Vec<f64>], i: usize, j: usize) -> f64 {
    a.iter().zip(b).map(|(a, b)| a[i] * b[j]).sum()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

impl Heads {
    /// The state, row by row, and the sum of the keys.
    fn state(&self, d: usize) -> (Vec<Vec<f64>>, Vec<f64>) {
        let row = |a: usize| (0..d).map(|b| outer(&self.k, &self.v, a, b)).collect();
        let keys = |a: usize| self.k.iter().map(|k| k[a]).sum();
        ((0..d).map(row).collect(), (0..d).map(keys).collect())
    }
}

/// The results `[s, n, groups d]` of `qkv` `[s, n, groups 3 d]`.
pub fn forward(qkv: &[f64], extents: Extents, epsilon: f64) -> Vec<f64> {
    let [n, groups, d] = extents;
    let mut y = vec![0.0; qkv.len() / 3];
    for (s, sample) in qkv.chunks((n * groups * 3 * d).max(1)).enumerate() {
        for group in 0..groups {
            let heads = heads(sample, extents, group);
            let (state, keys) = heads.state(d);
            for (i, q) in heads.q.iter().enumerate() {
                let divisor = dot(q, &keys) + epsilon;
                for b in 0..d {
                    let sum: f64 = (0..d).map(|a| q[a] * state[a][b]).sum();
                    y[((s * n + i) * groups + group) * d + b] = sum / divisor;
                }
            }
        }
    }
    y
}

/// The gradient with respect to `qkv`, from that of the result.
pub fn backward(qkv: &[f64], grad: &[f64], extents: Extents, epsilon: f64) -> Vec<f64> {
    let [n, groups, d] = extents;
    let mut out = vec![0.0; qkv.len()];
    for (s, sample) in qkv.chunks((n * groups * 3 * d).max(1)).enumerate() {
        for group in 0..groups {
            let heads = heads(sample, extents, group);
            let (state, keys) = heads.state(d);
            let first = |i: usize| (s * n + i) * groups + group;
            // What numerator and divisor of each token get.
            let (mut above, mut below) = (Vec::new(), Vec::new());
            for (i, q) in heads.q.iter().enumerate() {
                let divisor = dot(q, &keys) + epsilon;
                let g = &grad[first(i) * d..][..d];
                above.push(g.iter().map(|g| g / divisor).collect::<Vec<_>>());
                let tilt: f64 = (0..d).map(|a| q[a] * dot(&state[a], g)).sum();
                below.push(-tilt / (divisor * divisor));
            }
            let of_state = |a: usize, b: usize| outer(&heads.q, &above, a, b);
            let of_keys = |a: usize| heads.q.iter().zip(&below).map(|(q, e)| q[a] * e).sum();
            let by_state: Vec<Vec<f64>> = (0..d)
                .map(|a| (0..d).map(|b| of_state(a, b)).collect())
                .collect();
            let by_keys: Vec<f64> = (0..d).map(of_keys).collect();
            for i in 0..n {
                let token = first(i) * 3 * d;
                for c in 0..d {
                    let by_q = dot(&state[c], &above[i]) + below[i] * keys[c];
                    let by_k = dot(&by_state[c], &heads.v[i]) + by_keys[c];
                    let by_v = (0..d).map(|a| heads.k[i][a] * by_state[a][c]).sum();
                    out[token + c] = relu_grad(qkv[token + c], by_q);
                    out[token + d + c] = relu_grad(qkv[token + d + c], by_k);
                    out[token + 2 * d + c] = by_v;
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two tokens of one group of one channel, query, key, value: (1, 2, 3) and (-1, 1, 5).
    const QKV: [f64; 6] = [1.0, 2.0, 3.0, -1.0, 1.0, 5.0];

    #[test]
    fn a_hand_computed_case() {
        // The state is 2 * 3 + 1 * 5 = 11, the keys sum to 3; the second query is off.
        assert_eq!(forward(&QKV, [2, 1, 1], 1.0), [11.0 / 4.0, 0.0]);
        // Of token 0: r = 1 / 4, w = 11 * 8 = 88, e = -88 / 16; of token 1, whose query is off, nothing arrives but at values.
        let (r, e) = (0.25, -5.5);
        let (by_state, by_keys) = (8.0 * r, e);
        let wanted = [
            88.0 * r + e * 3.0,
            3.0 * by_state + by_keys,
            2.0 * by_state,
            0.0,
            5.0 * by_state + by_keys,
            by_state,
        ];
        assert_eq!(backward(&QKV, &[8.0, 7.0], [2, 1, 1], 1.0), wanted);
    }
}
