//! Which images are the same: the digest that tells an image again, and the copies in a data set.

use super::{Dataset, Split};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The first 128 bits of the SHA-256 of an image's file.
///
/// Of the file rather than of the pixels: decoders differ by a grey level from version to version and from one machine's vector
/// instructions to another's, and an image that is no longer recognised would be tested on after it was trained on. A file that was renamed or
/// moved is the same image; one that was saved again is another. Drawn images have no file; theirs is the digest of the pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageDigest(u128);

impl ImageDigest {
    /// The digest of a file's contents.
    pub fn of(contents: &[u8]) -> Self {
        Self::from_sha256(&Sha256::digest(contents).into())
    }

    pub(super) fn from_sha256(digest: &[u8; 32]) -> Self {
        let (half, _) = digest
            .split_first_chunk::<16>()
            .expect("32 bytes are two halves");
        Self(u128::from_be_bytes(*half))
    }
}

impl fmt::Display for ImageDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Serialize for ImageDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ImageDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let refused =
            || de::Error::custom(format!("`{text}` is no digest of 32 hexadecimal digits"));
        if text.len() != 32 {
            return Err(refused());
        }
        u128::from_str_radix(&text, 16)
            .map(Self)
            .map_err(|_| refused())
    }
}

/// Images of a data set that lie in it more than once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Duplicates {
    /// Images that are there again, the first of each not counted.
    pub copies: usize,
    /// An image and its first copy, by name.
    pub example: Option<(String, String)>,
    /// Test images that are trained on as well, each with the training image it equals.
    pub straddling: Vec<(String, String)>,
    /// Images that lie in two classes at least.
    pub in_two_classes: Vec<(String, String)>,
}

impl Duplicates {
    /// Looks for them.
    ///
    /// # Panics
    /// When `split` is of another data set.
    pub fn find(dataset: &Dataset, split: &Split) -> Self {
        Self::of(&dataset.files, &dataset.labels, &dataset.digests, split)
    }

    /// [`Duplicates::find`] among images of these names, labels and digests.
    pub(super) fn of(
        files: &[String],
        labels: &[u32],
        digests: &[ImageDigest],
        split: &Split,
    ) -> Self {
        let mut places: BTreeMap<ImageDigest, Vec<usize>> = BTreeMap::new();
        for (image, digest) in digests.iter().enumerate() {
            places.entry(*digest).or_default().push(image);
        }
        let set = |part: &[u32]| -> BTreeSet<usize> { part.iter().map(|&i| i as usize).collect() };
        let (tested, trained) = (set(&split.test), set(&split.train));
        let name = |image: usize| files[image].clone();
        let mut groups: Vec<_> = places
            .into_values()
            .filter(|group| group.len() > 1)
            .collect();
        groups.sort_unstable();
        let mut found = Self::default();
        for group in groups {
            found.copies += group.len() - 1;
            found
                .example
                .get_or_insert((name(group[0]), name(group[1])));
            if let Some(&trained) = group.iter().find(|image| trained.contains(image)) {
                let both = group.iter().filter(|image| tested.contains(image));
                found
                    .straddling
                    .extend(both.map(|&test| (name(test), name(trained))));
            }
            let class = |image: usize| labels[image];
            let other = group.iter().find(|&&image| class(image) != class(group[0]));
            found
                .in_two_classes
                .extend(other.map(|&other| (name(group[0]), name(other))));
        }
        found
    }
}

impl fmt::Display for Duplicates {
    /// A sentence for each kind that there is; nothing without duplicates.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((first, copy)) = &self.example else {
            return Ok(());
        };
        write!(
            f,
            "{} image(s) are exact copies of others, as {copy} of {first}",
            self.copies
        )?;
        if let [(test, train), ..] = self.straddling.as_slice() {
            let count = self.straddling.len();
            write!(
                f,
                "; {count} test image(s) are trained on as well, as {test}, which is {train}: the test accuracy is too good by them"
            )?;
        }
        if let [(one, other), ..] = self.in_two_classes.as_slice() {
            let count = self.in_two_classes.len();
            write!(
                f,
                "; {count} image(s) lie in two classes, as {one} and {other}"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dataset(pictures: &[u8], labels: Vec<u32>) -> Dataset {
        let pixels = pictures.iter().flat_map(|&p| [p; 3]).collect();
        let files = (0..labels.len())
            .map(|i| format!("{}/{i}", labels[i]))
            .collect();
        let classes = vec!["0".to_string(), "1".to_string()];
        Dataset::new("t".into(), classes, (1, 1), pixels, labels, files).unwrap()
    }

    fn split(train: &[u32], test: &[u32]) -> Split {
        Split {
            train: train.to_vec(),
            validation: Vec::new(),
            test: test.to_vec(),
        }
    }

    #[test]
    fn copies_are_counted_and_those_across_the_split_and_the_classes_named() {
        let data = dataset(&[7, 7, 8, 7, 9, 8], vec![0, 0, 0, 1, 1, 0]);
        let found = Duplicates::find(&data, &split(&[0, 1, 4], &[2, 3, 5]));
        let pair = |a: &str, b: &str| (a.to_string(), b.to_string());
        assert_eq!(found.copies, 3);
        assert_eq!(found.straddling, [pair("1/3", "0/0")]);
        assert_eq!(found.in_two_classes, [pair("0/0", "1/3")]);
        let said = found.to_string();
        for part in [
            "3 image(s)",
            "0/1 of 0/0",
            "1 test image(s)",
            "1/3, which is 0/0",
            "0/0 and 1/3",
        ] {
            assert!(said.contains(part), "{said}");
        }
    }

    #[test]
    fn without_copies_there_is_nothing_to_say() {
        let data = dataset(&[1, 2, 3, 4], vec![0, 0, 1, 1]);
        let found = Duplicates::find(&data, &split(&[0, 2], &[1, 3]));
        assert_eq!((found.copies, found.to_string().as_str()), (0, ""));
    }

    #[test]
    fn a_digest_is_read_back_as_it_was_written() {
        // SHA-256 of nothing, FIPS 180-4.
        let digest = ImageDigest::of(b"");
        let written = serde_json::to_string(&digest).unwrap();
        assert_eq!(written, "\"e3b0c44298fc1c149afbf4c8996fb924\"");
        assert_eq!(
            serde_json::from_str::<ImageDigest>(&written).unwrap(),
            digest
        );
        for other in ["\"e3b0\"", "\"+3b0c44298fc1c149afbf4c8996fb92g\"", "7"] {
            assert!(
                serde_json::from_str::<ImageDigest>(other).is_err(),
                "{other}"
            );
        }
    }
}
