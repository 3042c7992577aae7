//! Traffic of a sum of losses. Kept exponentials and second reads are left out: they live in caches.

use super::DistillProblem;
use crate::Cost;

/// Bytes of one label.
const LABEL: u64 = size_of::<u32>() as u64;

/// Reads the logits of each network that a term is about once however many terms there are, the labels where a term knows them, and
/// the factors; writes every term and one gradient.
pub fn fused(problem: &DistillProblem) -> Cost {
    let &DistillProblem {
        batch,
        classes,
        ref options,
        factors,
        dtype,
    } = problem;
    let teachers = options.teachers.iter().filter(|terms| terms.terms() > 0);
    let networks = 1 + teachers.count();
    let logits = batch * classes;
    let floats = Cost::of_loss(networks * logits, logits + options.terms() * batch, dtype);
    let mixed = options.mixed().map_or(0, |_| batch);
    let labels = mixed + if options.needs_labels() { batch } else { 0 };
    let factors = factors * (1 + options.teachers.len()) * dtype.accumulator().size();
    Cost {
        bytes_read: floats.bytes_read + labels as u64 * LABEL + factors as u64,
        ..floats
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;
    use crate::loss::cosine::CosineOptions;
    use crate::loss::distill::{CrossEntropyOptions, DistillOptions, TeacherTerms};
    use crate::loss::{dkd::DkdOptions, kd::KdOptions};

    #[test]
    fn hand_computed_cases() {
        let all = TeacherTerms {
            kd: Some(KdOptions::default()),
            dkd: Some(DkdOptions::default()),
            cosine: Some(CosineOptions::default()),
        };
        let problem = |teachers: &[TeacherTerms], factors| DistillProblem {
            batch: 3,
            classes: 5,
            options: DistillOptions {
                cross_entropy: Some(CrossEntropyOptions::default()),
                teachers: teachers.to_vec(),
            },
            factors,
            dtype: DType::F32,
        };
        let of = |read: u64, written: u64| Cost {
            macs: 0,
            bytes_read: 4 * read,
            bytes_written: 4 * written,
        };
        // Two times 15 logits and 3 labels come in; 15 gradients and 4 times 3 losses go out; all of 4 bytes.
        assert_eq!(problem(&[all], 0).cost(), of(33, 27));
        // 15 logits and 3 labels come in; 15 gradients and 3 losses go out.
        assert_eq!(problem(&[], 0).cost(), of(18, 18));
        // Three times 15 logits, 3 labels, and for each of the 3 samples 4 factors; the teacher in the middle is not read.
        let two = [all, TeacherTerms::default(), all];
        assert_eq!(problem(&two, 3).cost(), of(60, 36));
    }
}
