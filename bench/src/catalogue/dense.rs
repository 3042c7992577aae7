use ghostlight_autodiff::DType;
use ghostlight_kernels::conv::dense::{ConvOptions, ConvProblem};

/// Dense convolutions, each with its name: `[n, side, in, out, kernel, stride]`.
pub fn dense() -> Vec<(String, ConvProblem)> {
    [
        // CIFAR ResNets at 64 px.
        [16, 64, 16, 16, 3, 1],
        [16, 32, 32, 32, 3, 1],
        [16, 16, 64, 64, 3, 1],
        [16, 64, 16, 32, 3, 2],
        // VGG, ResNet-18, bottlenecks.
        [8, 32, 128, 128, 3, 1],
        [4, 56, 64, 64, 3, 1],
        [8, 56, 64, 128, 1, 1],
        [8, 28, 512, 512, 1, 1],
        // Ghost modules: narrow, and no multiples of a register.
        [8, 56, 24, 36, 1, 1],
        [8, 28, 40, 60, 1, 1],
        [8, 14, 112, 336, 1, 1],
    ]
    .into_iter()
    .map(|[batch, side, ci, co, kernel, stride]| {
        let problem = ConvProblem {
            batch,
            input: [side; 2],
            kernel: [kernel; 2],
            in_channels: ci,
            out_channels: co,
            options: ConvOptions::square(stride, kernel / 2),
            dtype: DType::F32,
        };
        (
            format!("n{batch} {side}x{side} {ci}->{co} k{kernel} s{stride} g1"),
            problem,
        )
    })
    .collect()
}
