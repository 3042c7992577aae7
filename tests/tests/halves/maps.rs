use super::{assert_rounded, assert_rounded_once};
use ghostlight_kernels::attention::partition::{PartitionKind, merge, partition};
use ghostlight_kernels::pointwise::activation::{self, Activation};
use ghostlight_kernels::pointwise::dropout::{self, DropoutOptions};
use ghostlight_kernels::pointwise::{add, add_at, add_into, add_relu, fill, gate, scale};
use ghostlight_kernels::pool::adaptive_average::{self, AdaptiveAverageProblem};
use ghostlight_kernels::pool::average::{self, AveragePoolOptions, AveragePoolProblem};
use ghostlight_kernels::pool::global_average;
use ghostlight_kernels::pool::max::{self, MaxPoolOptions};
use ghostlight_kernels::resize::bilinear::{self, Alignment, BilinearProblem};

const SHAPE: [usize; 4] = [3, 9, 11, 20];

#[test]
fn activations() {
    for function in Activation::ALL {
        assert_rounded_once(|draw| {
            let (x, g) = (draw.scaled(&SHAPE, 8.0), draw.stored(&SHAPE));
            vec![
                ("activation", activation::activation(&x, function)),
                ("backward", activation::backward(&x, &g, function).unwrap()),
            ]
        });
    }
}

#[test]
fn partitions() {
    let [_, h, w, _] = SHAPE;
    for kind in [PartitionKind::Block, PartitionKind::Grid] {
        assert_rounded_once(|draw| {
            let tokens = partition(&draw.stored(&SHAPE), kind, [2, 4]).unwrap();
            let others = draw.stored(tokens.shape());
            let map = merge(&others, kind, [2, 4], [h, w]).unwrap();
            vec![("tokens", tokens), ("map", map)]
        });
    }
}

#[test]
fn dropout() {
    assert_rounded_once(|draw| {
        let options = DropoutOptions { rate: 0.3, seed: 1 };
        let dropped = dropout::dropout(&draw.stored(&SHAPE), options);
        vec![("dropout", dropped.unwrap())]
    });
}

#[test]
fn sums_and_products() {
    assert_rounded_once(|draw| {
        let (a, b) = (draw.stored(&SHAPE), draw.stored(&SHAPE));
        let sum = add(&a, &b).unwrap();
        let filled = draw.stored(&SHAPE);
        fill(&filled.window(3, 7).unwrap(), 1.0 / 3.0);
        let part = draw.stored(&[3, 9, 11, 5]);
        let scaled = scale(&a, &draw.row(1)).unwrap();
        let into = draw.stored(&SHAPE);
        add_into(&into, &b).unwrap();
        vec![
            ("add", sum),
            ("fill", filled),
            ("add_at", add_at(Some(&a), &part, 4, 20).unwrap()),
            ("scale", scaled),
            ("add_into", into),
        ]
    });
}

#[test]
fn gates_and_sums_with_a_row() {
    assert_rounded_once(|draw| {
        let (x, s, g) = (
            draw.stored(&SHAPE),
            draw.stored(&[3, 20]),
            draw.stored(&SHAPE),
        );
        let function = Activation::HardSigmoid;
        let gated = gate::backward(&x, &s, function, &g).unwrap();
        let y = add_relu::add_relu(&x, &s).unwrap();
        // The mask is the same in both: no sum of two of these numbers is too small for 16 bits.
        let summed = add_relu::backward(&y, &g).unwrap();
        vec![
            ("gate", gate::gate(&x, &s, function).unwrap()),
            ("gate, x", gated.x),
            ("gate, s", gated.s),
            ("add_relu", y),
            ("add_relu, x", summed.x),
            ("add_relu, m", summed.m),
        ]
    });
}

#[test]
fn pools() {
    assert_rounded_once(|draw| {
        let x = draw.stored(&SHAPE);
        let dtype = x.dtype();
        let options = AveragePoolOptions::square(3, 2, 1);
        let mean = average::average_pool(&x, options).unwrap();
        let problem = AveragePoolProblem::new(SHAPE, dtype, options).unwrap();
        let to_mean = average::backward(&problem, &draw.stored(mean.shape())).unwrap();
        let (largest, winners) = max::train(&x, MaxPoolOptions::square(3, 2, 1)).unwrap();
        let to_largest = max::backward(&winners, &draw.stored(largest.shape())).unwrap();
        let few = adaptive_average::adaptive_average(&x, [4, 5]).unwrap();
        let problem = AdaptiveAverageProblem::new(SHAPE, dtype, [4, 5]).unwrap();
        let to_few = adaptive_average::backward(&problem, &draw.stored(few.shape())).unwrap();
        let row = draw.stored(&[3, 20]);
        vec![
            ("average", mean),
            ("average, x", to_mean),
            ("max", largest),
            ("max, x", to_largest),
            ("adaptive", few),
            ("adaptive, x", to_few),
            ("global", global_average::global_average(&x).unwrap()),
            ("global sum", global_average::global_sum(&x).unwrap()),
            ("global, x", global_average::backward(&x, &row).unwrap()),
        ]
    });
}

#[test]
fn a_place_past_what_16_bits_count() {
    // In bf16 the places from 256 on would be rounded, and the gradient go to a neighbour.
    assert_rounded_once(|draw| {
        let x = draw.stored(&[1, 40, 40, 3]);
        let (y, winners) = max::train(&x, MaxPoolOptions::square(40, 1, 0)).unwrap();
        let g = draw.stored(y.shape());
        vec![("x", max::backward(&winners, &g).unwrap())]
    });
}

#[test]
fn resizing() {
    for alignment in [Alignment::Corners, Alignment::HalfPixel] {
        assert_rounded(0.0, |draw| {
            let x = draw.stored(&SHAPE);
            let y = bilinear::bilinear(&x, [13, 6], alignment).unwrap();
            let problem = BilinearProblem::new(SHAPE, x.dtype(), [13, 6], alignment).unwrap();
            let to_x = bilinear::backward(&problem, &draw.stored(y.shape())).unwrap();
            vec![("bilinear", y), ("bilinear, x", to_x)]
        });
    }
}
