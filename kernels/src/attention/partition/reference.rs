//! Partitions over `f64` slices.

use super::{PartitionKind, PartitionProblem};

/// For each token, in their order, the pixel of the map that it is, or `None` where the map was filled up.
pub fn sources(problem: &PartitionProblem) -> Vec<Option<usize>> {
    let ([n, h, w, _], [gh, gw], [bh, bw]) =
        (problem.map_shape(), problem.blocks(), problem.size());
    let mut sources = Vec::new();
    let mut push = |image: usize, y: usize, x: usize| {
        sources.push((y < h && x < w).then_some((image * h + y) * w + x));
    };
    for image in 0..n {
        match problem.kind() {
            PartitionKind::Block => {
                for (gy, gx) in pairs(gh, gw) {
                    for (by, bx) in pairs(bh, bw) {
                        push(image, gy * bh + by, gx * bw + bx);
                    }
                }
            }
            PartitionKind::Grid => {
                for (by, bx) in pairs(bh, bw) {
                    for (gy, gx) in pairs(gh, gw) {
                        push(image, gy * bh + by, gx * bw + bx);
                    }
                }
            }
        }
    }
    sources
}

fn pairs(rows: usize, columns: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..rows).flat_map(move |row| (0..columns).map(move |column| (row, column)))
}

/// `map` `[n, h, w, c]` to its tokens.
pub fn partition(problem: &PartitionProblem, map: &[f64]) -> Vec<f64> {
    let [.., c] = problem.map_shape();
    let token = |source: Option<usize>| match source {
        Some(pixel) => map[pixel * c..][..c].to_vec(),
        None => vec![0.0; c],
    };
    sources(problem).into_iter().flat_map(token).collect()
}

/// Tokens to the map `[n, h, w, c]`.
pub fn merge(problem: &PartitionProblem, tokens: &[f64]) -> Vec<f64> {
    let [.., c] = problem.map_shape();
    let mut map = vec![0.0; problem.map_shape().iter().product()];
    for (token, source) in tokens.chunks(c).zip(sources(problem)) {
        if let Some(pixel) = source {
            map[pixel * c..][..c].copy_from_slice(token);
        }
    }
    map
}
