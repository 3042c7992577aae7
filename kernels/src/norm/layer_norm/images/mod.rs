//! Group norm on a GPU: samples of many pixels, which many cubes share.
//!
//! **Forward** cubes take the moments of runs of an image's pixels, slice by slice of the channels (`norm/moments.rs`); a team an image
//! merges them, over runs and channels; a map over vectors normalises.
//!
//! **Backward** per image and channel, the sums of `grad n` and of `grad` are what the gradients of `gamma` and `beta` are made of, and times
//! `gamma` they add up to what the gradient of `x` takes from its image: the sum of `h n` and that of `h`, `h = grad gamma`. So cubes sum
//! runs of an image's pixels; a team an image adds those up, times `gamma`; a map over vectors makes the gradient of `x`; and cubes add up
//! the runs of all images.
//!
//! **Why this shape.** Where a team owned an image, or backward a partial sum over some, 32 images were work for 32 cubes and for 4. Backward the
//! price is one more reading of `x` and `grad`, of which a card's last cache holds some; forward an image is read twice and not three times.

mod backward;
mod forward;

pub(super) use backward::launch_backward;
pub(super) use forward::launch_layer_norm;
