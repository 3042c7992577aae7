use ghostlight_kernels::pointwise::activation::Activation;
use proptest::prelude::*;

/// The functions of `s` that gates use.
pub const GATES: [Activation; 3] = [
    Activation::Identity,
    Activation::Sigmoid,
    Activation::HardSigmoid,
];

/// `[n, h, w, c]`, with blocks of pixels that end with an image, before it, and in its middle.
pub fn shapes() -> impl Strategy<Value = [usize; 4]> {
    let channels = prop::sample::select(&[1usize, 3, 10, 16, 36, 60, 100][..]);
    let side = || prop_oneof![1 => Just(1usize), 4 => 2usize..8, 2 => 8usize..20];
    (0usize..4, side(), side(), channels).prop_map(|(n, h, w, c)| [n, h, w, c])
}

/// The rows `[n, c]` of images `[n, h, w, c]`.
pub fn rows([n, _, _, c]: [usize; 4]) -> [usize; 2] {
    [n, c]
}
