use crate::lanes::{Lanes, View, channel, load, store};
use crate::share::{Share, Shares};
use crate::{KernelError, Tensor, launch};
use cubecl::prelude::*;

/// `out = full`, or zeros, with `part` added to its channels from `start` on. One unit owns a share of the pixels.
/// Shared channels of overlapping vectors are computed twice from the operands, never from what was written; where vectors share none and
/// each is a unit's own, it is written once.
#[cube(launch_unchecked)]
fn add_at_kernel<S: Float, F: Float, B: Size, N: Size>(
    full: &[Vector<S, B>],
    part: &[Vector<S, B>],
    out: &mut [Vector<S, B>],
    _unaligned: &[S],
    full_view: View,
    part_view: View,
    share: Share,
    channels: usize,
    start: usize,
    count: usize,
    part_vectors: usize,
    #[comptime] once: bool,
    #[comptime] has_full: bool,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    for pixel in share.first()..share.end() {
        let (from, to) = (full_view.at(pixel), pixel * channels);
        for v in share.from()..share.to() {
            let c = channel::<N>(v, channels);
            let mut value = Vector::<F, N>::new(F::new(0.0f32));
            if has_full {
                value = load::<S, F, B, N>(full, from + c);
            }
            if comptime!(once) {
                if c >= start && c < start + count {
                    value += load::<S, F, B, N>(part, part_view.at(pixel) + c - start);
                }
            }
            store::<S, F, B, N>(out, to + c, value);
        }
        if comptime!(!once) {
            for v in 0..part_vectors {
                let c = channel::<N>(v, count);
                let mut value = load::<S, F, B, N>(part, part_view.at(pixel) + c);
                if has_full {
                    value += load::<S, F, B, N>(full, from + start + c);
                }
                store::<S, F, B, N>(out, to + start + c, value);
            }
        }
    }
}

/// A tensor of `full`'s shape, or of `part`'s pixels and `channels` channels where there is none: `full`, or zeros, with `part` added to the
/// channels from `start` on. Both may be windows; with `start` 0 and all channels it is a sum, or a window made whole. One launch.
///
/// # Errors
/// In this order: `part` has no channel; it reaches past `channels`; shape and element type of `full`; a result past
/// [`Tensor::MOST_ELEMENTS`].
pub fn add_at(
    full: Option<&Tensor>,
    part: &Tensor,
    start: usize,
    channels: usize,
) -> Result<Tensor, KernelError> {
    const OP: &str = "add_at";
    let mut shape = part.shape().to_vec();
    let count = shape.last().copied().unwrap_or(0);
    let reach = start.checked_add(count).filter(|_| count > 0);
    if reach.is_none_or(|end| end > channels) {
        let (got, wanted) = (
            shape,
            format!("[.., c] with 1 to {channels} - {start} channels"),
        );
        return Err(KernelError::Shape {
            op: OP,
            tensor: "part",
            got,
            wanted,
        });
    }
    if let Some(last) = shape.last_mut() {
        *last = channels;
    }
    if let Some(full) = full {
        full.check_view(OP, "full", &shape, part.dtype())?;
    }
    let (client, dtype) = (part.client(), part.dtype());
    let out = Tensor::room(OP, "result", client, &shape, dtype)?;
    if out.is_empty() {
        return Ok(out);
    }
    let source = full.unwrap_or(part);
    let target = out.window(start, count)?;
    let lanes = Lanes::of(client, dtype, count, &[part, source, &target]);
    let vectors = channels.div_ceil(lanes.width);
    let shares = Shares::over(client, out.pixels(), vectors);
    // SAFETY: all three have the same pixels; without `full` that argument is never read.
    unsafe {
        add_at_kernel::launch_unchecked(
            client,
            shares.count.clone(),
            shares.dim,
            lanes.item,
            lanes.width,
            lanes.arg(source),
            lanes.arg(part),
            lanes.arg(&out),
            lanes.unaligned(part),
            source.view(),
            part.view(),
            shares.arg(),
            channels,
            start,
            count,
            lanes.vectors(),
            !launch::is_cpu(client),
            full.is_some(),
            dtype.elems(),
        );
    }
    launch::throttle(client);
    Ok(out)
}
