use ghostlight_autodiff::DType;
use ghostlight_kernels::conv::depthwise::{DepthwiseOptions, DepthwiseProblem};

/// Depthwise convolutions, each with its name: `[n, h, w, channels, multiplier, kernel, stride, dilation]`.
pub fn depthwise() -> Vec<(String, DepthwiseProblem)> {
    [
        // MobileNets, GhostNets, EfficientNets, and the 7x7 of ConvNeXt.
        [8, 112, 112, 32, 1, 3, 1, 1],
        [8, 56, 56, 128, 1, 3, 1, 1],
        [32, 32, 32, 64, 1, 3, 1, 1],
        [8, 14, 14, 512, 1, 3, 1, 1],
        [8, 56, 56, 144, 1, 3, 2, 1],
        [8, 28, 28, 240, 1, 5, 1, 1],
        [8, 28, 28, 240, 1, 5, 2, 1],
        [8, 28, 28, 192, 1, 7, 1, 1],
        // Nobody tuned for these: channels that are no multiple of a register, odd sides, single images.
        [8, 56, 56, 36, 1, 3, 1, 1],
        [8, 28, 28, 20, 1, 3, 1, 1],
        [4, 37, 53, 100, 1, 3, 1, 1],
        [1, 56, 56, 128, 1, 3, 1, 1],
        [1, 75, 75, 60, 1, 3, 2, 1],
        [4, 7, 7, 960, 1, 5, 1, 1],
        [2, 31, 45, 72, 1, 7, 1, 1],
        // Dilated, of a multiplier (Ghost ratios 3 and 4), and of a large kernel.
        [8, 28, 28, 128, 1, 3, 1, 2],
        [8, 56, 56, 24, 2, 3, 1, 1],
        [8, 28, 28, 20, 3, 3, 1, 1],
        [2, 28, 28, 64, 1, 13, 1, 1],
    ]
    .into_iter()
    .map(
        |[batch, h, w, channels, multiplier, kernel, stride, dilation]| {
            let problem = DepthwiseProblem {
                batch,
                input: [h, w],
                kernel: [kernel; 2],
                channels,
                multiplier,
                options: DepthwiseOptions {
                    dilation: [dilation; 2],
                    ..DepthwiseOptions::square(stride, dilation * (kernel / 2))
                },
                dtype: DType::F32,
            };
            let name = format!(
                "n{batch} {h}x{w} c{channels} m{multiplier} k{kernel} s{stride} d{dilation}"
            );
            (name, problem)
        },
    )
    .collect()
}
