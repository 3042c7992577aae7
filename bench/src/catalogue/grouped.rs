use ghostlight_autodiff::DType;
use ghostlight_kernels::conv::grouped::{ConvOptions, GroupedProblem};

/// Grouped 3x3 convolutions, each with its name: `[n, side, channels, groups, stride]`.
pub fn grouped() -> Vec<(String, GroupedProblem)> {
    [
        // ResNeXt-50 32x4d: 4, 8 and 16 channels a group.
        [8, 56, 128, 32, 1],
        [8, 28, 256, 32, 1],
        [8, 14, 512, 32, 1],
        // RegNetX and G-Ghost stages: 48, 56, 24, 36 and 12 a group.
        [8, 56, 96, 2, 1],
        [8, 28, 224, 4, 1],
        [8, 28, 240, 10, 1],
        [8, 28, 216, 6, 1],
        [8, 14, 192, 16, 1],
        // Strides and odd sides; 6, 8, 40 and 120 a group.
        [8, 56, 128, 32, 2],
        [8, 56, 96, 4, 2],
        [8, 57, 36, 6, 1],
        [3, 25, 152, 19, 1],
        [8, 15, 240, 6, 2],
        [8, 13, 720, 6, 1],
    ]
    .into_iter()
    .map(|[batch, side, channels, groups, stride]| {
        let problem = GroupedProblem {
            batch,
            input: [side; 2],
            kernel: [3; 2],
            in_channels: channels,
            out_channels: channels,
            groups,
            options: ConvOptions::square(stride, 1),
            dtype: DType::F32,
        };
        let each = channels / groups;
        let name =
            format!("n{batch} {side}x{side} {channels}ch k3 s{stride} g{groups} ({each} a group)");
        (name, problem)
    })
    .collect()
}
