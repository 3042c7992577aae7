use super::ConvProblem;
use crate::{Client, KernelError, launch, planted};

/// Channels, of input and output, from which on the transforms of a tile are repaid by the products that they save: 64 images of 32 x 32
/// with 16 channels take 0.65 ms instead of 0.92.
const FEWEST_CHANNELS: usize = 16;
/// Tiles that share a transform of the weight, about.
const BLOCK: usize = 96;
/// Images that the choice is made for, whatever the batch: what a network answers to an image must not depend on the images beside it.
const IMAGES: usize = 16;

/// Products of a weight's gradient that reading and writing one of its sums takes the time of, where all of them are [`NEAR`] elements at
/// most, and where they are more: between those with which the choice is the faster one for 16 images, 64 to 512 channels and sides of 2 to 16.
const POINT: usize = 60;
const FAR_POINT: usize = 110;
const NEAR: usize = 1 << 21;

/// How [`conv`](super::conv) and its gradients are computed. Each gives the same bits on any number of cores;
/// they differ from each other by rounding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// The one with the fewest products, as channels and sides have it; a batch of any size takes the same.
    #[default]
    Auto,
    /// Every product of the sum.
    Direct,
    /// Winograd's F(2x2, 3x3): 16 products for 4 outputs instead of 36.
    Winograd2,
    /// Winograd's F(4x4, 3x3): 36 products for 16 outputs instead of 144.
    Winograd4,
}

impl Strategy {
    /// Passes when the problem can be computed so on `client`'s device.
    ///
    /// # Errors
    /// [`KernelError::Range`] for Winograd where the kernel is not 3 x 3, the stride not 1, or the device not a CPU.
    pub(super) fn check(
        self,
        op: &'static str,
        problem: &ConvProblem,
        client: &Client,
    ) -> Result<(), KernelError> {
        let forced = matches!(self, Self::Winograd2 | Self::Winograd4);
        if forced && !(takes_winograd(problem) && has_winograd(client)) {
            return Err(KernelError::range(
                op,
                "strategy",
                format!("{self:?}"),
                "Auto or Direct: Winograd takes kernels of 3 x 3 with stride 1, on a CPU",
            ));
        }
        Ok(())
    }

    /// The side of Winograd's tile of outputs of the gradient with respect to the weight, or none for the direct sum.
    pub(super) fn weight_outputs(self, problem: &ConvProblem, client: &Client) -> Option<usize> {
        match self {
            Self::Direct => None,
            Self::Winograd2 => Some(2),
            Self::Winograd4 => Some(4),
            Self::Auto if has_winograd(client) => fewest_products_of_weight(problem),
            Self::Auto => None,
        }
    }

    /// The side of Winograd's tile of outputs, or none for the direct sum. `transposed` for the gradient with respect to the input.
    pub(super) fn outputs(
        self,
        problem: &ConvProblem,
        client: &Client,
        transposed: bool,
    ) -> Option<usize> {
        match self {
            Self::Direct => None,
            Self::Winograd2 => Some(2),
            Self::Winograd4 => Some(4),
            Self::Auto if has_winograd(client) => fewest_products(problem, transposed),
            Self::Auto => None,
        }
    }
}

fn takes_winograd(problem: &ConvProblem) -> bool {
    problem.kernel == [3, 3] && problem.options.stride == [1, 1]
}

fn has_winograd(client: &Client) -> bool {
    launch::is_cpu(client) && client.properties().features.unaligned_io
}

/// The tile that takes the fewest products, those beyond a map's edge and those that a transform of the weight takes the time of
/// (measured: 10 or 9 for each point) included.
fn fewest_products(problem: &ConvProblem, transposed: bool) -> Option<usize> {
    let channels = problem.in_channels.min(problem.out_channels);
    if !takes_winograd(problem) || channels < FEWEST_CHANNELS {
        return None;
    }
    let sides = if transposed {
        problem.input
    } else {
        problem.output()
    };
    let images = planted::or("winograd_chosen_by_the_batch", IMAGES, problem.batch);
    let products = |outputs: Option<usize>| match outputs {
        None => 9 * images * sides[0] * sides[1],
        Some(outputs) => {
            let [down, across] = sides.map(|side| side.div_ceil(outputs));
            let tiles = (images * down * across).next_multiple_of(8);
            (outputs + 2) * (outputs + 2) * (tiles + 10 * tiles.div_ceil(BLOCK))
        }
    };
    [None, Some(2), Some(4)]
        .into_iter()
        .min_by_key(|&outputs| products(outputs))
        .flatten()
}

/// The same for the gradient with respect to the weight, whose points are kept for all tiles. It is a sum over the batch, and may be chosen
/// by it.
fn fewest_products_of_weight(problem: &ConvProblem) -> Option<usize> {
    let channels = problem.in_channels.min(problem.out_channels);
    if !takes_winograd(problem) || channels < FEWEST_CHANNELS {
        return None;
    }
    let far = 36 * problem.in_channels * problem.out_channels > NEAR;
    let point = if far { FAR_POINT } else { POINT };
    let products = |outputs: Option<usize>| match outputs {
        None => 9 * (problem.batch * problem.output().iter().product::<usize>() + point),
        Some(outputs) => {
            let tiles = problem.output().map(|side| side.div_ceil(outputs));
            let tiles = problem.batch * tiles.iter().product::<usize>();
            (outputs + 2) * (outputs + 2) * (tiles + point)
        }
    };
    [None, Some(2), Some(4)]
        .into_iter()
        .min_by_key(|&outputs| products(outputs))
        .flatten()
}
