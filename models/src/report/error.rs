/// Why a report could not be drawn.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A class without a name, or a confusion matrix of another size than there are classes.
    #[error("{what} speaks of {found} classes, but the data has {classes}")]
    Classes {
        /// The part of the report.
        what: String,
        /// Classes it needs.
        found: usize,
        /// Classes with a name.
        classes: usize,
    },
    /// A comparison of a network that is not there.
    #[error("a comparison speaks of network {place}, counted from 0, but the report has {models}")]
    Place {
        /// Its place, from 0.
        place: usize,
        /// Networks of the report.
        models: usize,
    },
    /// A sample without an answer of every network.
    #[error("sample {sample} has {found} predictions, but the report has {models} networks")]
    Predictions {
        /// Position among the samples, from 0.
        sample: usize,
        /// Its predictions.
        found: usize,
        /// Networks of the report.
        models: usize,
    },
    /// A comparison of students that their confusion matrices do not bear out.
    #[error(
        "{taught} and {alone} are compared on {images} images with a difference of {difference} right answers, but their confusion matrices speak of {matrix_images} and {matrix_difference}"
    )]
    Students {
        /// The taught student's name in files.
        taught: String,
        /// The name in files of the same network alone.
        alone: String,
        /// Images compared.
        images: u64,
        /// Right answers of the taught student less those of the one alone.
        difference: i128,
        /// Images in the taught student's matrix.
        matrix_images: u64,
        /// The difference by the matrices.
        matrix_difference: i128,
    },
    /// A sample whose bytes do not fill its size.
    #[error("sample {sample} has {bytes} bytes, but {width} x {height} RGB pixels need {}", 3 * u64::from(*width) * u64::from(*height))]
    SampleSize {
        /// Position among the samples, from 0.
        sample: usize,
        /// Its bytes.
        bytes: usize,
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
    },
    /// The PNG encoder refused a sample.
    #[error("sample {sample} cannot be encoded: {reason}")]
    Encode {
        /// Position among the samples, from 0.
        sample: usize,
        /// The encoder's reason.
        reason: image::ImageError,
    },
    /// The plotter refused a chart.
    #[error("the chart of {chart} cannot be drawn: {reason}")]
    Chart {
        /// Title of the chart.
        chart: String,
        /// The plotter's reason.
        reason: String,
    },
}
