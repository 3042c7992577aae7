use super::{Session, TrainError};
use crate::data::{Loader, LoaderOptions};
use crate::metrics::Confusion;
use crate::nn::Mode;
use crate::zoo::Network;
use ghostlight_autodiff::{Tape, Tensor, Var};
use ghostlight_kernels::planted;
use std::time::Instant;

/// A network's answer for one image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answer {
    /// The most probable class.
    pub class: usize,
    /// Its probability.
    pub confidence: f32,
    /// The cross-entropy with the image's label.
    pub loss: f32,
}

/// What a network does on images.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// Images by true and predicted class.
    pub confusion: Confusion,
    /// Whether each image was classified right, in their order.
    pub right: Vec<bool>,
    /// Mean cross-entropy; 0 without images.
    pub loss: f64,
    /// Speed, decoding of the answers included.
    pub images_per_s: f64,
}

/// The position of the largest value of a row; the first of equal ones, and 0 when all are NaN.
pub(super) fn argmax(row: &[f32]) -> usize {
    let larger = |best: usize, (i, &value): (usize, &f32)| {
        if value > row[best] || (row[best].is_nan() && !value.is_nan()) {
            i
        } else {
            best
        }
    };
    let left_out = planted::or("argmax_without_the_last_class", 0, 1);
    row[..row.len() - left_out]
        .iter()
        .enumerate()
        .fold(0, larger)
}

pub(super) fn answer(row: &[f32], label: usize) -> Answer {
    let class = argmax(row);
    let sum: f32 = row.iter().map(|value| (value - row[class]).exp()).sum();
    Answer {
        class,
        confidence: 1.0 / sum,
        loss: sum.ln() - (row[label] - row[class]),
    }
}

/// The network's answers for the images `indices`, in their order, and the seconds it took.
///
/// # Errors
/// Those of the kernels; an index outside of the data set; [`TrainError::NotFinite`]; [`TrainError::Stopped`].
pub fn answers(
    session: &Session,
    network: &Network,
    indices: &[u32],
) -> Result<(Vec<Answer>, f64), TrainError> {
    let options = LoaderOptions {
        batch_size: session.batch(),
        stats: session.stats,
        augment: None,
        first_batch: 0,
        drop_last: planted::is("last_test_batch_dropped"),
        mixup: 0.0,
    };
    let loader = Loader::new(session.dataset.clone(), indices.to_vec(), options)?;
    let (height, width) = (session.dataset.height, session.dataset.width);
    let classes = session.dataset.classes.len();
    let mut found = Vec::with_capacity(indices.len());
    let start = Instant::now();
    for batch in loader {
        let batch = batch?;
        session.check()?;
        let count = batch.labels.len();
        let images = Tensor::from_staged(session.client, batch.images, &[count, height, width, 3])?;
        let logits = network.forward(&Tape::new(), Mode::Infer, &Var::constant(images))?;
        let logits = logits.tensor().to_f32()?;
        if !logits.iter().all(|value| value.is_finite()) {
            let (arch, peak_lr) = (network.arch.clone(), session.recipe.train.peak_lr);
            return Err(TrainError::NotFinite { arch, peak_lr });
        }
        let rows = logits.chunks(classes).zip(&batch.labels);
        found.extend(rows.map(|(row, &label)| answer(row, label as usize)));
        session.progress.advance(count as u64, "");
    }
    Ok((found, start.elapsed().as_secs_f64()))
}

/// Runs the network over the images `indices`.
///
/// # Errors
/// Those of [`answers`].
pub fn evaluate(
    session: &Session,
    network: &Network,
    indices: &[u32],
    what: &str,
) -> Result<Evaluation, TrainError> {
    session.progress.begin(what, 0, indices.len() as u64);
    let result = answers(session, network, indices);
    session.progress.end("");
    let (answers, seconds) = result?;
    let mut confusion = Confusion::new(session.dataset.classes.len());
    let mut right = Vec::with_capacity(indices.len());
    for (&index, answer) in indices.iter().zip(&answers) {
        let truth = session.dataset.labels[index as usize] as usize;
        // Labels and answers are both below the number of classes.
        let _ = match planted::is("confusion_transposed") {
            false => confusion.record(truth, answer.class),
            true => confusion.record(answer.class, truth),
        };
        right.push(answer.class == truth);
    }
    let losses = answers.iter().map(|answer| f64::from(answer.loss));
    Ok(Evaluation {
        confusion,
        right,
        loss: losses.sum::<f64>() / indices.len().max(1) as f64,
        images_per_s: indices.len() as f64 / seconds.max(1e-9),
    })
}

/// [`evaluate`] on the test images after a first batch whose time does not count: kernels compile when they are first launched.
///
/// # Errors
/// Those of [`answers`].
pub fn measure(session: &Session, network: &Network, what: &str) -> Result<Evaluation, TrainError> {
    let test = &session.split.test;
    answers(session, network, &test[..session.batch().min(test.len())])?;
    evaluate(session, network, test, what)
}
