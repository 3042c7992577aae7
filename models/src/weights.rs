//! Weights as other programs write and read them: safetensors files with PyTorch's keys and layouts.

use crate::run::{NamedTensor, RunError, write_atomic};
use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// PyTorch counts the batches that a norm has seen in a tensor of its own, which nothing here reads.
const COUNTER: &str = "num_batches_tracked";

/// Why a file gives no tensors.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file cannot be read.
    #[error("{}: cannot be read: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        reason: io::Error,
    },
    /// The bytes are no safetensors file.
    #[error("{}: no safetensors file, or a damaged one: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// A tensor of a type that weights do not have.
    #[error("{}: `{name}` is of type {dtype}; F32, F16, BF16 and F64 are read", path.display())]
    Type {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its type.
        dtype: String,
    },
    /// A tensor with a value that no training gives.
    #[error("{}: `{name}` holds {value} at {index}: these weights are of a training that diverged, or of a damaged file", path.display())]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// NaN or an infinity.
        value: f32,
        /// The element's position in the file's order.
        index: usize,
    },
    /// A tensor that the file should hold.
    #[error("{}: there is no tensor `{name}`; the file holds {}", path.display(), listed(found))]
    Missing {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// What it holds.
        found: Vec<String>,
    },
    /// The result cannot be written.
    #[error(transparent)]
    Write(#[from] RunError),
}

/// The first few of `names`.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown = names[..names.len().min(SHOWN)].join(", ");
    match names.len() {
        0 => "none".to_string(),
        len if len > SHOWN => format!("{shown} and {} more", len - SHOWN),
        _ => shown,
    }
}

/// All tensors of the file at `path`, as 32-bit floats, but for PyTorch's counters of batches.
///
/// # Errors
/// In this order: [`WeightsError::Read`], [`WeightsError::Damaged`], then for each tensor [`WeightsError::Type`].
pub fn read(path: &Path) -> Result<Vec<NamedTensor>, WeightsError> {
    let bytes = fs::read(path).map_err(|reason| WeightsError::Read {
        path: path.to_path_buf(),
        reason,
    })?;
    decode(path, &bytes)
}

/// [`read`] of bytes that are already there; `path` is for errors.
///
/// # Errors
/// Those of [`read`], but for the first.
pub fn decode(path: &Path, bytes: &[u8]) -> Result<Vec<NamedTensor>, WeightsError> {
    let file = SafeTensors::deserialize(bytes).map_err(|reason| WeightsError::Damaged {
        path: path.to_path_buf(),
        reason: reason.to_string(),
    })?;
    let mut tensors = Vec::new();
    for (name, view) in file.tensors() {
        if name.rsplit('.').next() == Some(COUNTER) {
            continue;
        }
        let Some(data) = floats(&view) else {
            return Err(WeightsError::Type {
                path: path.to_path_buf(),
                name,
                dtype: view.dtype().to_string(),
            });
        };
        tensors.push(NamedTensor {
            name,
            shape: view.shape().to_vec(),
            data,
        });
    }
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tensors)
}

/// Passes when all values are finite.
///
/// # Errors
/// [`WeightsError::NotFinite`] for the first that is not.
pub fn check_finite(path: &Path, tensors: &[NamedTensor]) -> Result<(), WeightsError> {
    for tensor in tensors {
        if let Some(index) = tensor.data.iter().position(|value| !value.is_finite()) {
            return Err(WeightsError::NotFinite {
                path: path.to_path_buf(),
                name: tensor.name.clone(),
                value: tensor.data[index],
                index,
            });
        }
    }
    Ok(())
}

/// The values of `view`, if they are floats.
fn floats(view: &TensorView) -> Option<Vec<f32>> {
    let bytes = view.data();
    let halves = |convert: fn([u8; 2]) -> f32| {
        let (pairs, _) = bytes.as_chunks::<2>();
        pairs.iter().map(|pair| convert(*pair)).collect()
    };
    Some(match view.dtype() {
        Dtype::F32 => {
            let (words, _) = bytes.as_chunks::<4>();
            words.iter().map(|word| f32::from_le_bytes(*word)).collect()
        }
        Dtype::F64 => {
            let (words, _) = bytes.as_chunks::<8>();
            let narrow = |word: &[u8; 8]| f64::from_le_bytes(*word) as f32;
            words.iter().map(narrow).collect()
        }
        Dtype::F16 => halves(|pair| f16::from_le_bytes(pair).to_f32()),
        Dtype::BF16 => halves(|pair| bf16::from_le_bytes(pair).to_f32()),
        _ => return None,
    })
}

/// Writes `tensors` to the file at `path`, replacing it whole.
///
/// # Errors
/// [`WeightsError::Write`].
pub fn write(path: &Path, tensors: &[NamedTensor]) -> Result<(), WeightsError> {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|tensor| tensor.data.iter().flat_map(|x| x.to_le_bytes()).collect())
        .collect();
    let views = tensors.iter().zip(&bytes).map(|(tensor, bytes)| {
        let view = TensorView::new(Dtype::F32, tensor.shape.clone(), bytes)?;
        Ok((tensor.name.as_str(), view))
    });
    let encoded = views
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .and_then(|views| safetensors::serialize(views, None))
        .map_err(|reason| RunError::encode(path, reason))?;
    Ok(write_atomic(path, &encoded)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, stream};
    use rand::RngExt;

    /// Files that were altered at random, unless `GHOSTLIGHT_FUZZED` names another number.
    const FUZZED: u64 = 1_000_000;

    fn file() -> Vec<u8> {
        let tensor = |name: &str, dtype, shape: &[usize], bytes| {
            let view = TensorView::new(dtype, shape.to_vec(), bytes).unwrap();
            (name.to_string(), view)
        };
        let zeros = [0; 64];
        let tensors = [
            tensor("conv.weight", Dtype::F32, &[2, 1, 2, 2], &zeros[..32]),
            tensor("bn.running_var", Dtype::F16, &[4], &zeros[..8]),
            tensor("bn.weight", Dtype::BF16, &[4], &zeros[..8]),
            tensor("fc.bias", Dtype::F64, &[3], &zeros[..24]),
            tensor("bn.num_batches_tracked", Dtype::I64, &[], &zeros[..8]),
        ];
        safetensors::serialize(tensors, None).unwrap()
    }

    #[test]
    fn every_float_type_is_read_and_counters_are_passed_over() {
        let tensors = decode(Path::new("it"), &file()).unwrap();
        let names: Vec<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        assert_eq!(
            names,
            ["bn.running_var", "bn.weight", "conv.weight", "fc.bias"]
        );
        let halves = [(Dtype::F16, 0x3e00u16), (Dtype::BF16, 0x3fc0)];
        for (dtype, bits) in halves {
            let bytes = bits.to_le_bytes();
            let view = TensorView::new(dtype, vec![1], &bytes).unwrap();
            assert_eq!(floats(&view), Some(vec![1.5]));
        }
    }

    #[test]
    fn whole_numbers_are_no_weights() {
        let view = TensorView::new(Dtype::I32, vec![1], &[0; 4]).unwrap();
        let bytes = safetensors::serialize([("n", view)], None).unwrap();
        let refused = decode(Path::new("it"), &bytes).unwrap_err();
        assert!(
            refused.to_string().contains("`n` is of type I32"),
            "{refused}"
        );
    }

    /// Bytes changed, cut, doubled and inserted, most of them in the header.
    #[test]
    fn an_altered_file_is_refused_or_read_and_never_asks_for_more_memory_than_it_has() {
        let count = std::env::var("GHOSTLIGHT_FUZZED").ok();
        let count = count.map_or(FUZZED, |count| count.parse().expect("a number of files"));
        let whole = file();
        let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
        for case in 0..count {
            let mut random = stream(1, Purpose::Synthetic, 0, case);
            let mut bytes = whole.clone();
            for _ in 0..random.random_range(1..=4) {
                let end = if random.random_range(0..4) > 0 {
                    header
                } else {
                    bytes.len()
                };
                let i = random.random_range(0..end.min(bytes.len()).max(1));
                match random.random_range(0..5) {
                    0 => bytes.truncate(i),
                    1 => bytes.insert(i, random.random()),
                    2 => bytes.extend_from_within(i..),
                    3 => bytes[i] = b"0123456789[]{}:,\""[random.random_range(0..17usize)],
                    _ => bytes[i] ^= 1 << random.random_range(0..8),
                }
                if bytes.is_empty() {
                    break;
                }
            }
            if let Ok(tensors) = decode(Path::new("it"), &bytes) {
                let values: usize = tensors.iter().map(|tensor| tensor.data.len()).sum();
                // Two bytes an element at least.
                assert!(2 * values <= bytes.len(), "case {case}: {values} values");
                for tensor in tensors {
                    let wanted: usize = tensor.shape.iter().product();
                    assert_eq!(tensor.data.len(), wanted, "case {case}: {}", tensor.name);
                }
            }
        }
    }
}
