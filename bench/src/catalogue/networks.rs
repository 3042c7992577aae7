//! How often real networks have a problem of the catalogue: what a ratio is worth depends on it.
//!
//! A network's layers of one operation are all here, so that their times, each times how often it occurs, add up to what the network
//! spends on the operation.

use super::{DenseCase, DepthwiseCase, GroupedCase};
use crate::results::Layer;
use crate::suite::Case;

/// A problem in the order of its catalogue's table, and how often it occurs.
type LayerRow<const N: usize> = ([usize; N], usize);

/// The 3x3 and 1x1 convolutions of CIFAR's ResNets at 64 px (`docs/methods.md` section 7.1): 6 times `n` + 2 layers for `n` blocks a stage, and
/// the shortcuts; `[n, side, ci, co, k, stride]`. The stem reads 3 channels.
const fn resnet(blocks: usize) -> [LayerRow<6>; 8] {
    [
        ([16, 64, 16, 16, 3, 1], 2 * blocks),
        ([16, 64, 3, 16, 3, 1], 1),
        ([16, 64, 16, 32, 3, 2], 1),
        ([16, 64, 16, 32, 1, 2], 1),
        ([16, 32, 32, 32, 3, 1], 2 * blocks - 1),
        ([16, 32, 32, 64, 3, 2], 1),
        ([16, 32, 32, 64, 1, 2], 1),
        ([16, 16, 64, 64, 3, 1], 2 * blocks - 1),
    ]
}

/// The depthwise convolutions of MobileNetV2 at 224 px (Sandler et al. 2018, table 2): `[n, side, c, stride]`, 3x3.
const MOBILENET_V2: [LayerRow<4>; 10] = [
    ([8, 112, 32, 1], 1),
    ([8, 112, 96, 2], 1),
    ([8, 56, 144, 1], 1),
    ([8, 56, 144, 2], 1),
    ([8, 28, 192, 1], 2),
    ([8, 28, 192, 2], 1),
    ([8, 14, 384, 1], 4),
    ([8, 14, 576, 1], 2),
    ([8, 14, 576, 2], 1),
    ([8, 7, 960, 1], 3),
];

/// The grouped convolutions of ResNeXt-50 32x4d at 224 px (Xie et al. 2017, table 1): `[n, side, c, stride]`, 3x3 in 32 groups.
const RESNEXT_50: [LayerRow<4>; 7] = [
    ([8, 56, 128, 1], 3),
    ([8, 56, 256, 2], 1),
    ([8, 28, 256, 1], 3),
    ([8, 28, 512, 2], 1),
    ([8, 14, 512, 1], 5),
    ([8, 14, 1024, 2], 1),
    ([8, 7, 1024, 1], 2),
];

/// The dense problems that networks have.
pub(super) fn dense() -> Vec<DenseCase> {
    resnet(3).map(|(row, _)| DenseCase::of(row)).to_vec()
}

/// The depthwise problems that networks have.
pub(super) fn depthwise() -> Vec<DepthwiseCase> {
    MOBILENET_V2
        .map(|([n, side, c, stride], _)| DepthwiseCase::of([n, side, side, c, 1, 3, stride, 1]))
        .to_vec()
}

/// The grouped problems that networks have.
pub(super) fn grouped() -> Vec<GroupedCase> {
    RESNEXT_50
        .map(|([n, side, c, stride], _)| GroupedCase::of([n, side, c, 32, stride]))
        .to_vec()
}

/// The networks that have the problem `case` of `op`.
pub(crate) fn layers(op: &str, case: &str) -> Vec<Layer> {
    let mut layers = Vec::new();
    for part in networks() {
        let problems = &part.problems;
        let found = problems
            .iter()
            .find(|(name, _)| part.op == op && name == case);
        layers.extend(found.map(|(_, times)| Layer {
            network: part.network.into(),
            times: *times,
            of: problems.iter().map(|(_, times)| times).sum(),
        }));
    }
    layers
}

/// What a network has of an operation.
struct Part {
    network: &'static str,
    op: &'static str,
    /// The problems' names, and how often each occurs.
    problems: Vec<(String, usize)>,
}

fn networks() -> [Part; 4] {
    let with = |blocks: usize| {
        let times = resnet(blocks).map(|(_, times)| times);
        dense().iter().map(Case::name).zip(times).collect()
    };
    let times = MOBILENET_V2.map(|(_, times)| times);
    let mobile = depthwise().iter().map(Case::name).zip(times).collect();
    let times = RESNEXT_50.map(|(_, times)| times);
    let grouped = grouped().iter().map(Case::name).zip(times).collect();
    let part = |network, op, problems| Part {
        network,
        op,
        problems,
    };
    [
        part("ResNet-8", "dense", with(1)),
        part("ResNet-20", "dense", with(3)),
        part("MobileNetV2", "depthwise", mobile),
        part("ResNeXt-50 32x4d", "grouped", grouped),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn macs(rows: &[(u64, usize)]) -> u64 {
        rows.iter().map(|(macs, times)| macs * *times as u64).sum()
    }

    #[test]
    fn the_layers_add_up_to_the_networks() {
        for (blocks, wanted) in [(1, 6 + 1 + 2), (3, 6 * 3 + 1 + 2)] {
            let layers: usize = resnet(blocks).iter().map(|(_, times)| times).sum();
            assert_eq!(layers, wanted, "{blocks} blocks a stage");
        }
        let blocks: usize = MOBILENET_V2.iter().map(|(_, times)| times).sum();
        assert_eq!(blocks, 17, "a depthwise convolution in each block");
        let blocks: usize = RESNEXT_50.iter().map(|(_, times)| times).sum();
        assert_eq!(blocks, 3 + 4 + 6 + 3, "a grouped convolution in each block");
    }

    #[test]
    fn their_products_are_those_of_the_networks() {
        let dense = dense();
        let cost = |blocks| {
            let times = resnet(blocks).map(|(_, times)| times);
            let each = dense.iter().map(|case| case.problem().cost().macs / 16);
            macs(&each.zip(times).collect::<Vec<_>>())
        };
        assert_eq!([cost(1), cost(3)], [50_003_968, 163_250_176]);
    }

    #[test]
    fn a_problem_is_looked_up_by_its_operation_and_name() {
        let name = DenseCase::of([16, 32, 32, 32, 3, 1]).name();
        let times: Vec<usize> = layers("dense", &name).iter().map(|l| l.times).collect();
        assert_eq!(times, [1, 5]);
        assert!(layers("depthwise", &name).is_empty());
        assert!(layers("dense", "another").is_empty());
    }
}
