//! The problems that the benches time: layers of real networks, and shapes that nobody tuned for.

mod around;
mod dense;
mod depthwise;
mod distilled;
mod ghost;
mod grouped;
mod pool;

pub use around::{activated, activations, normed, parameters, rows};
pub use dense::dense;
pub use depthwise::depthwise;
pub use distilled::{distilled_logits, features};
pub use ghost::ghost;
pub use grouped::grouped;
pub use pool::{adaptive_averages, average_pools, bilinears, max_pools};

/// `(batch, classes)` of the losses: data sets of remote sensing, ImageNet, and vocabularies far beyond.
pub fn logits() -> Vec<(usize, usize)> {
    vec![
        (64, 10),
        (64, 45),
        (64, 100),
        (128, 1000),
        (4096, 100),
        (4096, 1000),
        (1024, 16_384),
        (256, 131_072),
    ]
}

/// `[n, h, w, c]` of batch norms: the stems and last stages of the networks trained here.
pub fn maps() -> Vec<[usize; 4]> {
    vec![
        [128, 64, 64, 16],
        [32, 56, 56, 64],
        [32, 14, 14, 512],
        [16, 28, 28, 120],
    ]
}

/// `[n, h, w, c]` of the maps that feature distillation compares: last stages of ResNets at 64 to 448 px.
pub fn feature_maps() -> Vec<[usize; 4]> {
    vec![
        [64, 2, 2, 512],
        [64, 16, 16, 64],
        [128, 7, 7, 256],
        [32, 14, 14, 512],
    ]
}
