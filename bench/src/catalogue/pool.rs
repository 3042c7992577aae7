use ghostlight_autodiff::DType;
use ghostlight_kernels::pool::adaptive_average::AdaptiveAverageProblem;
use ghostlight_kernels::pool::average::{AveragePoolOptions, AveragePoolProblem};
use ghostlight_kernels::pool::max::{MaxPoolOptions, MaxPoolProblem};
use ghostlight_kernels::resize::bilinear::{Alignment, BilinearProblem};

fn images([n, h, w, c]: [usize; 4]) -> String {
    format!("n{n} {h}x{w} {c}")
}

/// Max poolings, each with its name: the stem of a ResNet and VGG's, one of them narrow.
pub fn max_pools() -> Vec<(String, MaxPoolProblem)> {
    [
        ([8, 112, 112, 64], [3, 2, 1]),
        ([16, 64, 64, 64], [2, 2, 0]),
        ([16, 56, 56, 36], [3, 2, 1]),
    ]
    .into_iter()
    .filter_map(|(input, [k, s, p])| {
        let options = MaxPoolOptions::square(k, s, p);
        let problem = MaxPoolProblem::new(input, DType::F32, options).ok()?;
        Some((format!("{} k{k} s{s} p{p}", images(input)), problem))
    })
    .collect()
}

/// Average poolings, each with its name.
pub fn average_pools() -> Vec<(String, AveragePoolProblem)> {
    [([16, 64, 64, 64], [2, 2, 0]), ([16, 56, 56, 36], [3, 2, 1])]
        .into_iter()
        .filter_map(|(input, [k, s, p])| {
            let options = AveragePoolOptions::square(k, s, p);
            let problem = AveragePoolProblem::new(input, DType::F32, options).ok()?;
            Some((format!("{} k{k} s{s} p{p}", images(input)), problem))
        })
        .collect()
}

/// Adaptive average poolings, each with its name: a CIFAR student's head, VGG's at 256 px, a feature map made to fit a teacher's.
pub fn adaptive_averages() -> Vec<(String, AdaptiveAverageProblem)> {
    [
        ([64, 16, 16, 64], [3, 3]),
        ([16, 8, 8, 512], [7, 7]),
        ([32, 28, 28, 128], [14, 14]),
    ]
    .into_iter()
    .filter_map(|(input, output)| {
        let problem = AdaptiveAverageProblem::new(input, DType::F32, output).ok()?;
        Some((
            format!("{} to {}x{}", images(input), output[0], output[1]),
            problem,
        ))
    })
    .collect()
}

/// Bilinear resizings, each with its name: feature maps made to fit a teacher's, and the odd map of a MobileViTv2.
pub fn bilinears() -> Vec<(String, BilinearProblem)> {
    [
        ([16, 14, 14, 256], [28, 28], Alignment::HalfPixel),
        ([32, 8, 8, 64], [56, 56], Alignment::HalfPixel),
        ([32, 7, 7, 512], [8, 8], Alignment::Corners),
    ]
    .into_iter()
    .filter_map(|(input, output, alignment)| {
        let problem = BilinearProblem::new(input, DType::F32, output, alignment).ok()?;
        let alignment = match alignment {
            Alignment::HalfPixel => "half-pixel",
            Alignment::Corners => "corners",
        };
        Some((
            format!(
                "{} to {}x{} {alignment}",
                images(input),
                output[0],
                output[1]
            ),
            problem,
        ))
    })
    .collect()
}
