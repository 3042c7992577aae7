//! Weights, optimiser and position in one safetensors file: what is one file can never disagree with itself.
//!
//! Weights stand under their PyTorch keys, optimiser tensors under `optimiser/<name>`. The state stands in the header's
//! metadata behind a SHA-256 of everything the file says, so that damage anywhere is noticed. A finished training saves no
//! optimiser, and its file then loads in PyTorch as it is.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorView};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::RunError;
use ghostlight_kernels::planted;

/// Key of the header's metadata. One key only: their order in the file would be random.
const METADATA: &str = "ghostlight";
/// No PyTorch key contains a slash.
const OPTIMISER: &str = "optimiser/";

/// A tensor by its key, row-major as in PyTorch.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor {
    /// The key, as `layer1.0.conv1.weight`.
    pub name: String,
    /// Its extents, outermost first.
    pub shape: Vec<usize>,
    /// As many values as the shape says.
    pub data: Vec<f32>,
}

/// Everything a training needs to go on as if it had never stopped.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    /// Parameters and running statistics. Read back sorted by name.
    pub weights: Vec<NamedTensor>,
    /// The optimiser's memory; empty when the training has finished. Read back sorted by name.
    pub optimiser: Vec<NamedTensor>,
    /// Random generators, position and whatever else the training must remember. Whole numbers come back exactly;
    /// other numbers may lose their last bit.
    pub state: Value,
}

impl Checkpoint {
    /// The file's bytes, the same for the same contents.
    ///
    /// Error: [`RunError::Encode`] if a tensor's values are not as many as its shape says.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, RunError> {
        let weights = self
            .weights
            .iter()
            .map(|tensor| (tensor.name.clone(), tensor));
        let optimiser = self
            .optimiser
            .iter()
            .map(|tensor| (format!("{OPTIMISER}{}", tensor.name), tensor));
        let mut tensors: Vec<(String, &[usize], Vec<u8>)> = weights
            .chain(optimiser)
            .map(|(key, tensor)| {
                (
                    key,
                    &tensor.shape[..],
                    tensor.data.iter().flat_map(|x| x.to_le_bytes()).collect(),
                )
            })
            .collect();
        tensors.sort();
        let state = self.state.to_string();
        let digest = digest(
            &state,
            tensors
                .iter()
                .map(|(key, shape, bytes)| (key.as_str(), *shape, &bytes[..])),
        );
        let views: Result<Vec<_>, SafeTensorError> = tensors
            .iter()
            .map(|(key, shape, bytes)| {
                Ok((
                    key.as_str(),
                    TensorView::new(Dtype::F32, shape.to_vec(), bytes)?,
                ))
            })
            .collect();
        let metadata = HashMap::from([(METADATA.to_string(), format!("{digest} {state}"))]);
        views
            .and_then(|views| safetensors::serialize(views, Some(metadata)))
            .map_err(|reason| RunError::encode("checkpoint".as_ref(), reason))
    }

    /// Reads a file back; the error says what does not fit.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let damaged = |reason: SafeTensorError| match reason {
            SafeTensorError::HeaderTooSmall
            | SafeTensorError::InvalidHeaderLength
            | SafeTensorError::MetadataIncompleteBuffer => {
                "it was cut short, or has grown".to_string()
            }
            other => format!("its header cannot be read ({other})"),
        };
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
        let file = SafeTensors::deserialize(bytes).map_err(damaged)?;
        let (digest_then, state) = header
            .metadata()
            .as_ref()
            .and_then(|metadata| metadata.get(METADATA)?.split_once(' '))
            .ok_or("it was not written by ghostlight, or its header was altered")?;
        let mut tensors = file.tensors();
        tensors.sort_by(|a, b| a.0.cmp(&b.0));
        let digest_now = digest(
            state,
            tensors
                .iter()
                .map(|(key, view)| (key.as_str(), view.shape(), view.data())),
        );
        if digest_now != digest_then {
            return Err("its SHA-256 does not match its contents".into());
        }
        let mut checkpoint = Self {
            state: serde_json::from_str(state)
                .map_err(|reason| format!("its state cannot be read ({reason})"))?,
            ..Self::default()
        };
        for (key, view) in tensors {
            if view.dtype() != Dtype::F32 {
                return Err(format!("`{key}` is of type {}, not F32", view.dtype()));
            }
            let values = view.data().as_chunks::<4>().0;
            let data = values
                .iter()
                .map(|bytes| f32::from_le_bytes(*bytes))
                .collect();
            let shape = view.shape().to_vec();
            match key.strip_prefix(OPTIMISER) {
                Some(name) => checkpoint.optimiser.push(NamedTensor {
                    name: name.into(),
                    shape,
                    data,
                }),
                None => checkpoint.weights.push(NamedTensor {
                    name: key,
                    shape,
                    data,
                }),
            }
        }
        Ok(checkpoint)
    }
}

/// Hexadecimal SHA-256 of a network's weights: equal exactly when it answers alike.
pub fn weights_digest(weights: &[NamedTensor]) -> String {
    let bytes = |tensor: &NamedTensor| -> Vec<u8> {
        tensor.data.iter().flat_map(|x| x.to_le_bytes()).collect()
    };
    let mut sorted: Vec<_> = weights
        .iter()
        .map(|tensor| (tensor.name.as_str(), &tensor.shape[..], bytes(tensor)))
        .collect();
    sorted.sort();
    digest(
        "",
        sorted
            .iter()
            .map(|(name, shape, bytes)| (*name, *shape, &bytes[..])),
    )
}

/// Hexadecimal SHA-256 of a text.
pub(crate) fn digest_of(text: &str) -> String {
    digest(text, std::iter::empty())
}

/// SHA-256 over the state and every tensor's key, shape and bytes, each preceded by its length, so that no two different
/// checkpoints are the same stream.
fn digest<'a>(
    state: &str,
    tensors: impl Iterator<Item = (&'a str, &'a [usize], &'a [u8])>,
) -> String {
    let mut sha = Sha256::new();
    let number = |sha: &mut Sha256, n: usize| sha.update((n as u64).to_le_bytes());
    let field = |sha: &mut Sha256, bytes: &[u8]| {
        number(sha, bytes.len());
        sha.update(bytes);
    };
    field(&mut sha, state.as_bytes());
    for (key, shape, bytes) in tensors {
        field(&mut sha, key.as_bytes());
        number(&mut sha, shape.len());
        shape.iter().for_each(|extent| number(&mut sha, *extent));
        field(&mut sha, planted::or("digest_without_values", bytes, &[]));
    }
    sha.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tensor(name: &str, shape: &[usize]) -> NamedTensor {
        let data = (0..shape.iter().product())
            .map(|i| (i as f32).sin())
            .collect();
        NamedTensor {
            name: name.into(),
            shape: shape.into(),
            data,
        }
    }

    fn example() -> Checkpoint {
        Checkpoint {
            weights: vec![
                tensor("bn1.bias", &[3]),
                tensor("conv1.weight", &[3, 2, 1, 1]),
            ],
            optimiser: vec![tensor("momentum", &[9])],
            state: json!({"epoch": 3, "rng": u64::MAX, "quote": "\"ü\""}),
        }
    }

    #[test]
    fn a_checkpoint_reads_back_as_it_was() {
        let bytes = example().to_bytes().unwrap();
        assert_eq!(Checkpoint::from_bytes(&bytes).unwrap(), example());
        let empty = Checkpoint::default();
        assert_eq!(
            Checkpoint::from_bytes(&empty.to_bytes().unwrap()).unwrap(),
            empty
        );
    }

    #[test]
    fn the_same_contents_are_the_same_bytes_in_whatever_order_they_come() {
        let mut shuffled = example();
        shuffled.weights.reverse();
        assert_eq!(shuffled.to_bytes().unwrap(), example().to_bytes().unwrap());
    }

    #[test]
    fn the_digest_of_weights_changes_with_any_of_them_and_with_nothing_else() {
        let weights = example().weights;
        let then = weights_digest(&weights);
        let reversed: Vec<_> = weights.iter().rev().cloned().collect();
        assert_eq!(then, weights_digest(&reversed));
        for (tensor, value) in [(0, 2), (1, 5)] {
            let mut other = weights.clone();
            other[tensor].data[value] += 1e-6;
            assert_ne!(then, weights_digest(&other));
        }
    }

    #[test]
    fn any_reader_of_safetensors_finds_the_weights_by_key() {
        let bytes = example().to_bytes().unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(file.tensor("conv1.weight").unwrap().shape(), [3, 2, 1, 1]);
    }

    #[test]
    fn a_file_cut_short_anywhere_is_refused() {
        let bytes = example().to_bytes().unwrap();
        for length in 0..bytes.len() {
            assert!(
                Checkpoint::from_bytes(&bytes[..length]).is_err(),
                "{length} of {} bytes",
                bytes.len()
            );
        }
        let message = Checkpoint::from_bytes(&bytes[..bytes.len() - 1]).unwrap_err();
        assert!(message.contains("cut short"), "{message}");
    }

    #[test]
    fn a_flipped_bit_never_changes_what_is_read() {
        let bytes = example().to_bytes().unwrap();
        for at in 0..bytes.len() * 8 {
            let mut altered = bytes.clone();
            altered[at / 8] ^= 1 << (at % 8);
            // Padding of the header carries nothing: a file that still reads must read the same.
            if let Ok(read) = Checkpoint::from_bytes(&altered) {
                assert_eq!(read, example(), "bit {at}");
            }
        }
        let mut altered = bytes;
        *altered.last_mut().unwrap() ^= 1;
        assert!(
            Checkpoint::from_bytes(&altered)
                .unwrap_err()
                .contains("SHA-256")
        );
    }

    #[test]
    fn values_that_do_not_fill_their_shape_are_refused() {
        let mut wrong = example();
        wrong.weights[0].data.pop();
        assert!(matches!(wrong.to_bytes(), Err(RunError::Encode { .. })));
    }
}
