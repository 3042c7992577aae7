//! Work and traffic of a sum of losses. Kept exponentials and second reads are left out: they live in caches.

use super::{DistillOptions, DistillProblem};
use crate::Cost;
use crate::loss::cosine::{self, Comparison};
use crate::loss::dkd;

/// Bytes of one label.
const LABEL: u64 = size_of::<u32>() as u64;

/// What is asked of one network's softmax at one temperature.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Asked {
    /// Its probabilities.
    Probabilities,
    /// Their logarithms too.
    Logarithms,
    /// Those of the target against the rest, and of the rest.
    Decoupled,
}

/// The softmaxes that the terms look at: of each network, the student being none of the teachers, each temperature once.
fn softmaxes(options: &DistillOptions) -> Vec<(Option<usize>, f64, Asked)> {
    let mut found: Vec<(Option<usize>, f64, Asked)> = Vec::new();
    let mut ask = |network, temperature, asked| {
        let known = found
            .iter_mut()
            .find(|(other, at, _)| (*other, *at) == (network, temperature));
        match known {
            Some((_, _, most)) if *most < asked => *most = asked,
            Some(_) => {}
            None => found.push((network, temperature, asked)),
        }
    };
    if options.cross_entropy.is_some() {
        ask(None, 1.0, Asked::Logarithms);
    }
    for (teacher, terms) in options.teachers.iter().enumerate() {
        let kd = terms.kd.map(|term| (term.temperature, Asked::Logarithms));
        let dkd = terms.dkd.map(|term| (term.temperature, Asked::Decoupled));
        let cosine = terms.cosine.and_then(|term| match term.between {
            Comparison::Softmaxes(temperature) => Some((temperature, Asked::Probabilities)),
            Comparison::Rows | Comparison::CentredRows => None,
        });
        for (temperature, asked) in [kd, dkd, cosine].into_iter().flatten() {
            ask(None, temperature, asked);
            ask(Some(teacher), temperature, asked);
        }
    }
    found
}

/// The arithmetic of all terms, without traffic.
fn arithmetic(problem: &DistillProblem) -> Cost {
    let &DistillProblem {
        batch,
        classes,
        ref options,
        ..
    } = problem;
    let mut sum = Cost::default();
    for (_, _, asked) in softmaxes(options) {
        sum += match asked {
            Asked::Probabilities => Cost::of_softmaxes(batch, classes),
            Asked::Logarithms => Cost::of_softmaxes(batch, classes).with_logarithms(batch),
            Asked::Decoupled => dkd::cost::decoupled(batch, classes),
        };
    }
    for terms in &options.teachers {
        if let Some(term) = terms.cosine {
            sum += cosine::cost::lengths(batch, term.between);
        }
    }
    sum
}

/// Reads the logits of each network that a term is about once however many terms there are, the labels where a term knows them, and
/// the factors; writes every term and one gradient. Of each network a softmax is taken once for each temperature, whatever number of terms
/// look at it.
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
        ..floats + arithmetic(problem)
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
        let of = |problem: DistillProblem| {
            let cost = problem.cost();
            (cost.bytes_read / 4, cost.bytes_written / 4)
        };
        // Two times 15 logits and 3 labels come in; 15 gradients and 4 times 3 losses go out; all of 4 bytes.
        assert_eq!(of(problem(&[all], 0)), (33, 27));
        // 15 logits and 3 labels come in; 15 gradients and 3 losses go out.
        assert_eq!(of(problem(&[], 0)), (18, 18));
        // Three times 15 logits, 3 labels, and for each of the 3 samples 4 factors; the teacher in the middle is not read.
        let two = [all, TeacherTerms::default(), all];
        assert_eq!(of(problem(&two, 3)), (60, 36));
    }
    #[test]
    fn a_softmax_that_several_terms_look_at_is_taken_once() {
        let kd = |temperature| {
            Some(KdOptions {
                temperature,
                ..KdOptions::default()
            })
        };
        let dkd = |temperature| {
            Some(DkdOptions {
                temperature,
                ..DkdOptions::default()
            })
        };
        let arithmetic = |teachers: &[TeacherTerms]| {
            let cost = arithmetic(&DistillProblem {
                batch: 3,
                classes: 5,
                options: DistillOptions {
                    cross_entropy: Some(CrossEntropyOptions::default()),
                    teachers: teachers.to_vec(),
                },
                factors: 0,
                dtype: DType::F32,
            });
            [
                cost.exponentials,
                cost.logarithms,
                cost.divisions,
                cost.compares,
            ]
        };
        let terms = |kd, dkd| TeacherTerms {
            kd,
            dkd,
            cosine: None,
        };
        // The student at 1, student and teacher at 4: 15 exponentials each, a sum a sample, four comparisons a sample.
        assert_eq!(arithmetic(&[terms(kd(4.0), None)]), [45, 9, 9, 36]);
        // At 1, the cross-entropy's softmax is the student's of the divergence.
        assert_eq!(arithmetic(&[terms(kd(1.0), None)]), [30, 6, 6, 24]);
        // Told apart, each of the two at 4 has two sums a sample, which serve both terms.
        assert_eq!(arithmetic(&[terms(kd(4.0), dkd(4.0))]), [45, 15, 15, 36]);
        // A second teacher at 4 brings its own softmax alone.
        let both = [terms(kd(4.0), None), terms(kd(4.0), None)];
        assert_eq!(arithmetic(&both), [60, 12, 12, 48]);
        // Of lengths, two roots and two reciprocals a sample.
        let cosine = TeacherTerms {
            cosine: Some(CosineOptions::default()),
            ..TeacherTerms::default()
        };
        assert_eq!(arithmetic(&[cosine]), [15, 3, 3 + 12, 12 + 6]);
    }
}
