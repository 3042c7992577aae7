use ghostlight_kernels::norm::layer_norm::Sample;
use ghostlight_kernels::pointwise::activation::Activation;

/// `[n, h, w, c]` of activations and gates: a wide early map, and the late ones of light networks.
pub fn activated() -> Vec<[usize; 4]> {
    vec![[32, 56, 56, 64], [32, 14, 14, 672], [16, 28, 28, 120]]
}

/// The activations that are timed.
pub fn activations() -> [Activation; 3] {
    [Activation::Relu, Activation::Silu, Activation::HardSwish]
}

/// `[rows, length]` of softmaxes: classifiers, and the attention of small transformers.
pub fn rows() -> Vec<[usize; 2]> {
    vec![[4096, 1000], [16_384, 49], [64, 16_384]]
}

/// `[n, pixels, c]` of norms over a pixel or an image, as MobileViT and MobileViTv2 have them.
pub fn normed() -> Vec<(Sample, [usize; 3])> {
    vec![
        (Sample::Pixel, [32, 256, 192]),
        (Sample::Pixel, [64, 256, 144]),
        (Sample::Image, [32, 1024, 128]),
        (Sample::Image, [64, 256, 100]),
    ]
}

/// Parameters of a step: a light student whose number is odd, and GhostNet.
pub fn parameters() -> [usize; 2] {
    [272_475, 5_000_000]
}
