//! Traffic of a sum of losses. Kept exponentials and second reads are left out: they live in caches.

use super::DistillProblem;
use crate::Cost;

/// Bytes of one label.
const LABEL: u64 = size_of::<u32>() as u64;

/// Reads the logits of each network once however many terms there are, and the labels where a term knows them; writes every term
/// and one gradient.
pub fn fused(problem: &DistillProblem) -> Cost {
    let &DistillProblem {
        batch,
        classes,
        options,
        dtype,
    } = problem;
    let networks = 1 + usize::from(options.needs_teacher());
    let logits = batch * classes;
    let floats = Cost::of_loss(networks * logits, logits + options.terms() * batch, dtype);
    let labels = if options.needs_labels() { batch } else { 0 };
    Cost {
        bytes_read: floats.bytes_read + labels as u64 * LABEL,
        ..floats
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;
    use crate::loss::distill::{CrossEntropyOptions, DistillOptions};
    use crate::loss::{dkd::DkdOptions, kd::KdOptions};

    #[test]
    fn hand_computed_cases() {
        let all = DistillOptions {
            cross_entropy: Some(CrossEntropyOptions::default()),
            kd: Some(KdOptions::default()),
            dkd: Some(DkdOptions::default()),
        };
        let problem = |options| DistillProblem {
            batch: 3,
            classes: 5,
            options,
            dtype: DType::F32,
        };
        // Two times 15 logits and 3 labels come in; 15 gradients and 3 times 3 losses go out; all of 4 bytes.
        let wanted = Cost {
            macs: 0,
            bytes_read: 4 * 33,
            bytes_written: 4 * 24,
        };
        assert_eq!(problem(all).cost(), wanted);
        // 15 logits and 3 labels come in; 15 gradients and 3 losses go out.
        let entropy = DistillOptions {
            kd: None,
            dkd: None,
            ..all
        };
        let wanted = Cost {
            macs: 0,
            bytes_read: 4 * 18,
            bytes_written: 4 * 18,
        };
        assert_eq!(problem(entropy).cost(), wanted);
    }
}
