/// Ghost modules, `[n, side, in, out]`: those of GhostNet 1.0x, from its first bottleneck to its last stage; ratio 2, kernels 1 and 3.
pub fn ghost() -> Vec<[usize; 4]> {
    vec![
        [8, 112, 16, 16],
        [8, 56, 24, 72],
        [8, 28, 40, 120],
        [8, 14, 112, 672],
        [8, 7, 160, 960],
        // Half the width, and a width that drops a channel.
        [8, 28, 20, 60],
        [8, 14, 56, 183],
    ]
}
