//! A split that a file lists.

use super::{Labelled, Split};
use crate::data::DataError;
use crate::data::scan::file_of;
use ghostlight_kernels::planted;
use std::collections::BTreeMap;
use std::path::Path;

impl Split {
    /// The split that the text file `list` gives: on each line `train`, `validation` or `test`, a tab, and the path of an image relative to
    /// the data folder, with `/` between its parts. For objects the path of their scene takes all of them: what was cut out of one scene
    /// stays together. Empty lines and those that begin with `#` say nothing. Images that are not listed are in no part.
    ///
    /// Files that are in `dir` and no images of the data set, since they are broken or hold no wanted object, may be listed all the same.
    ///
    /// # Errors
    /// [`DataError::Io`]; [`DataError::SplitList`] for a line that is none, names no file, or names one that was named before, for a class
    /// without a training image, and for a list without test images.
    pub fn listed(of: Labelled, dir: &Path, list: &Path) -> Result<Self, DataError> {
        let text = std::fs::read_to_string(list).map_err(|source| DataError::Io {
            path: list.to_path_buf(),
            source,
        })?;
        let wrong = |line, reason| DataError::SplitList {
            list: list.to_path_buf(),
            line,
            reason,
        };
        let mut images: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (image, name) in of.files.iter().enumerate() {
            images.entry(name).or_default().push(image);
            if file_of(name) != name {
                images.entry(file_of(name)).or_default().push(image);
            }
        }
        let mut split = Self::default();
        let mut lines: BTreeMap<&str, usize> = BTreeMap::new();
        let mut taken: BTreeMap<usize, usize> = BTreeMap::new();
        for (line, text) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
            if text.trim().is_empty() || text.starts_with('#') {
                continue;
            }
            let wanted = "wanted is train, validation or test, a tab, and a path relative to the data folder";
            let Some((part, name)) = text.split_once('\t') else {
                return Err(wrong(Some(line), format!("there is no tab; {wanted}")));
            };
            let part = match part.trim() {
                "train" => &mut split.train,
                "validation" => &mut split.validation,
                "test" => &mut split.test,
                other => return Err(wrong(Some(line), format!("`{other}` is no part; {wanted}"))),
            };
            let name = name.trim();
            let name = name.strip_prefix("./").unwrap_or(name);
            let again = |before: usize| {
                wrong(
                    Some(line),
                    format!("`{name}` stands on line {before} already; an image is in one part"),
                )
            };
            match lines.insert(name, line) {
                Some(before) if !planted::is("listed_twice") => return Err(again(before)),
                _ => {}
            }
            match images.get(name) {
                Some(found) => {
                    for &image in found {
                        match taken.insert(image, line) {
                            Some(before) if !planted::is("listed_twice") => {
                                return Err(again(before));
                            }
                            _ => part.push(image as u32),
                        }
                    }
                }
                None if dir.join(name).is_file() => {}
                None => {
                    return Err(wrong(
                        Some(line),
                        format!("`{name}` is no file of the data folder {}", dir.display()),
                    ));
                }
            }
        }
        for part in [&mut split.train, &mut split.validation, &mut split.test] {
            part.sort_unstable();
        }
        let trains = |label: u32| {
            let mut trained = split.train.iter();
            trained.any(|&image| of.labels[image as usize] == label)
        };
        if let Some((_, class)) = (0..).zip(of.classes).find(|(label, _)| !trains(*label)) {
            return Err(wrong(
                None,
                format!(
                    "it lists no training image of class `{class}`, which could not be learnt; list some"
                ),
            ));
        }
        if split.test.is_empty() {
            return Err(wrong(None, "it lists no test image; list some".to_string()));
        }
        Ok(split)
    }

    /// Number of images in all parts.
    pub fn len(&self) -> usize {
        self.train.len() + self.validation.len() + self.test.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Dataset;
    use std::fs;
    use tempfile::{TempDir, tempdir};

    /// Four images of two classes, or of their objects.
    fn dataset(names: &[&str]) -> Dataset {
        let labels: Vec<u32> = (0..names.len() as u32).map(|i| i % 2).collect();
        let classes = ["a", "b"].map(String::from).to_vec();
        let (pixels, files) = (
            vec![0; names.len() * 3],
            names.iter().map(|n| n.to_string()),
        );
        Dataset::new("t".into(), classes, (1, 1), pixels, labels, files.collect()).unwrap()
    }

    fn folder(list: &str) -> TempDir {
        let dir = tempdir().unwrap();
        fs::write(dir.path().join("list.txt"), list).unwrap();
        fs::write(dir.path().join("broken.png"), "").unwrap();
        dir
    }

    fn read(names: &[&str], list: &str) -> Result<Split, DataError> {
        let dir = folder(list);
        Split::listed(
            dataset(names).labelled(),
            dir.path(),
            &dir.path().join("list.txt"),
        )
    }

    const FILES: [&str; 5] = ["a/1.png", "b/1.png", "a/2.png", "b/2.png", "a/3 x.png"];

    #[test]
    fn a_list_says_which_image_is_in_which_part_and_the_others_are_in_none() {
        let list = "\u{feff}# north trains\r\ntrain\ta/2.png\r\n\r\ntrain\t./b/1.png\r\nvalidation\ta/3 x.png\r\ntest\ta/1.png\r\ntest\tbroken.png\r\n";
        let split = read(&FILES, list).unwrap();
        let wanted = Split {
            train: vec![1, 2],
            validation: vec![4],
            test: vec![0],
        };
        assert_eq!((split.len(), split), (4, wanted));
    }

    #[test]
    fn the_objects_of_a_scene_stay_together() {
        let names = ["s/1.png#1", "s/1.png#2", "s/2.png#1", "s/2.png#3"];
        let split = read(&names, "train\ts/1.png\ntest\ts/2.png#1\n").unwrap();
        assert_eq!((split.train, split.test), (vec![0, 1], vec![2]));
        let twice = read(&names, "train\ts/1.png\ntest\ts/1.png#2\n");
        assert!(twice.unwrap_err().to_string().contains("line 2"));
    }

    #[test]
    fn a_list_that_is_wrong_is_refused_with_its_line() {
        let good = "train\ta/1.png\ntrain\tb/1.png\ntest\ta/2.png\n";
        assert!(read(&FILES, good).is_ok());
        for (more, line, reason) in [
            ("test\ta/9.png", Some(4), "`a/9.png` is no file"),
            ("test\ta/1.png", Some(4), "stands on line 1 already"),
            (
                "test\tbroken.png\ntest\tbroken.png",
                Some(5),
                "stands on line 4",
            ),
            ("dev\tb/2.png", Some(4), "`dev` is no part"),
            ("test b/2.png", Some(4), "no tab"),
        ] {
            let said = read(&FILES, &format!("{good}{more}\n"))
                .unwrap_err()
                .to_string();
            let place = line.map(|line: usize| format!("list.txt, line {line}: "));
            for part in [place.unwrap().as_str(), reason] {
                assert!(said.contains(part), "{part} is not in {said}");
            }
        }
        for (list, reason) in [
            ("train\ta/1.png\ntest\tb/1.png\n", "class `b`"),
            ("train\ta/1.png\ntrain\tb/1.png\n", "no test image"),
        ] {
            let said = read(&FILES, list).unwrap_err().to_string();
            assert!(said.contains(reason) && !said.contains("line"), "{said}");
        }
        let missing = Split::listed(
            dataset(&FILES).labelled(),
            Path::new("."),
            Path::new("no/list.txt"),
        );
        assert!(missing.unwrap_err().to_string().contains("no/list.txt"));
    }
}
