//! The table: how a random problem of each operation is drawn, its function, and its f64 reference.

mod attention;
mod conv;
mod ghost;
mod loss;
mod norm;
mod pointwise;
mod pool;

use super::{Draw, Problem};

/// One operation's row.
pub struct Operation {
    /// Its name.
    pub name: &'static str,
    /// Draws a problem with its function and reference.
    pub draw: fn(Draw) -> Problem,
}

const fn row(name: &'static str, draw: fn(Draw) -> Problem) -> Operation {
    Operation { name, draw }
}

/// Every operation of the tape.
pub const OPERATIONS: &[Operation] = &[
    row("activation", pointwise::activation),
    row("activation_into", pointwise::activation_into),
    row("adaptive_average", pool::adaptive_average),
    row("add", pointwise::add),
    row("add_relu", pointwise::add_relu),
    row("attention", attention::attention),
    row("average_pool", pool::average_pool),
    row("batch_norm", norm::batch_norm),
    row("bilinear", pool::bilinear),
    row("conv", conv::conv),
    row("conv_bias", conv::conv_bias),
    row("conv_norm", conv::conv_norm),
    row("convert", pointwise::convert),
    row("cosine", loss::cosine),
    row("cross_entropy", loss::cross_entropy),
    row("depthwise", conv::depthwise),
    row("distill", loss::distill),
    row("dkd", loss::dkd),
    row("dropout", pointwise::dropout),
    row("flip_align", loss::flip_align),
    row("gate", pointwise::gate),
    row("ghost", ghost::ghost),
    row("ghost_mix", ghost::ghost_mix),
    row("global_average", pool::global_average),
    row("grouped_conv", conv::grouped_conv),
    row("kd", loss::kd),
    row("layer_norm", norm::layer_norm),
    row("linear", conv::linear),
    row("linear_attention", attention::linear_attention),
    row("max_pool", pool::max_pool),
    row("merge", pointwise::merge),
    row("norm_conv", norm::norm_conv),
    row("partition", pointwise::partition),
    row("reshape", pointwise::reshape),
    row("separable_attention", attention::separable_attention),
    row("softmax", norm::softmax),
];

/// The number of elements of `shape`.
fn len(shape: &[usize]) -> usize {
    shape.iter().product()
}
