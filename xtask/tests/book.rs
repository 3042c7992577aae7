//! The book and what refers to it: sections that code cites, files that pages link to or name.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const METHODS: &str = "docs/methods.md";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Files of the checkout with this extension, build output, runs and hidden folders left out.
fn files(extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        for path in entries.map(|entry| entry.expect("a readable entry").path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() {
                if !name.starts_with('.') && !["target", "runs", "shared"].contains(&&*name) {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|it| it == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The numbers that the headings of a page begin with.
fn sections(page: &str) -> BTreeSet<&str> {
    page.lines()
        .filter_map(|line| {
            line.strip_prefix('#')?
                .trim_start_matches('#')
                .split_whitespace()
                .next()
        })
        .filter(|word| word.starts_with(|c: char| c.is_ascii_digit()))
        .collect()
}

/// What is wrong with the citations of the methods' page in a Rust file, one sentence each.
fn wrong_citations(source: &str, sections: &BTreeSet<&str>) -> Vec<String> {
    // A citation may be broken over two lines of a comment.
    let lines = source
        .lines()
        .map(|line| line.trim_start().trim_start_matches("//"));
    let text: String = lines
        .flat_map(|line| [line.trim_start_matches(['!', '/']).trim(), " "])
        .collect();
    let mut wrong = Vec::new();
    for (offset, name) in text.match_indices("methods.md") {
        if !text[..offset].ends_with("docs/") {
            wrong.push(format!("`{name}` is cited without its folder, `docs/`"));
            continue;
        }
        let rest = text[offset + name.len()..]
            .trim_start_matches('`')
            .trim_start();
        let number = rest.strip_prefix("section ").map(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
            rest[..end.unwrap_or(rest.len())].trim_end_matches('.')
        });
        match number {
            None => wrong.push(format!("{METHODS} is cited without a section")),
            Some(number) if !sections.contains(number) => {
                wrong.push(format!("{METHODS} has no section {number:?}"));
            }
            Some(_) => {}
        }
    }
    wrong
}

/// The targets of a page's links that are files of the checkout, without anchors.
fn links(page: &str) -> impl Iterator<Item = &str> {
    page.split("](").skip(1).filter_map(|rest| {
        let target = rest.split(')').next()?.split('#').next()?;
        (!target.is_empty() && !target.contains("://")).then_some(target)
    })
}

/// The files that a page names in backticks by their path from the root, as `kernels/src/lib.rs`.
fn named_files(page: &str) -> impl Iterator<Item = &str> {
    const PACKAGES: [&str; 7] = [
        "kernels/",
        "autodiff/",
        "models/",
        "bench/",
        "tests/",
        "xtask/",
        "docs/",
    ];
    page.split('`').skip(1).step_by(2).filter(|name| {
        let extension = Path::new(name).extension().and_then(|it| it.to_str());
        PACKAGES.iter().any(|package| name.starts_with(package))
            && extension.is_some_and(|it| ["rs", "md", "py", "toml"].contains(&it))
            && !name.contains(['<', '*', '{', ' '])
    })
}

#[test]
fn every_cited_section_of_the_methods_exists() {
    let page = read(&root().join(METHODS));
    let sections = sections(&page);
    let (mut cited, mut wrong) = (0, Vec::new());
    for path in files("rs")
        .iter()
        .filter(|path| !path.ends_with("tests/book.rs"))
    {
        let source = read(path);
        cited += usize::from(source.contains(METHODS));
        let here = wrong_citations(&source, &sections);
        wrong.extend(
            here.into_iter()
                .map(|it| format!("{}: {it}", path.display())),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cited > 10, "only {cited} files cite {METHODS}");
}

#[test]
fn a_citation_of_a_missing_section_is_found() {
    let sections =
        sections("# Methods\n## 2 Logits\n### 2.2 DKD (confirmed)\ntext 2.3\n#### no number");
    assert_eq!(sections, BTreeSet::from(["2", "2.2"]));
    let wrong = |source| wrong_citations(source, &sections);
    assert_eq!(wrong("// see `docs/methods.md` section 2.2."), [""; 0]);
    assert_eq!(
        wrong("//! see `docs/methods.md`\n    //! section 2, and on"),
        [""; 0]
    );
    assert_eq!(
        wrong("/// (`docs/methods.md` section 2.3)"),
        ["docs/methods.md has no section \"2.3\""]
    );
    assert_eq!(
        wrong("// `docs/methods.md`"),
        ["docs/methods.md is cited without a section"]
    );
    assert_eq!(
        wrong("// methods.md section 2"),
        ["`methods.md` is cited without its folder, `docs/`"]
    );
}

#[test]
fn pages_link_to_and_name_files_that_exist() {
    let mut missing = Vec::new();
    for path in files("md") {
        let page = read(&path);
        let folder = path.parent().expect("a file lies in a folder");
        let linked = links(&page).map(|link| (link, folder.join(link)));
        let named = named_files(&page).map(|name| (name, root().join(name)));
        for (name, file) in linked.chain(named) {
            if !file.exists() {
                missing.push(format!("{}: {name}", path.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn links_and_names_of_files_are_told_from_other_words() {
    let page = "[a](b.md#c) [d](https://e.f) [g](#h) `kernels/src/lib.rs` `kernels/src/<op>/mod.rs` `lib.rs` `docs/`";
    assert_eq!(links(page).collect::<Vec<_>>(), ["b.md"]);
    assert_eq!(
        named_files(page).collect::<Vec<_>>(),
        ["kernels/src/lib.rs"]
    );
}

/// A Rust file's comment at its top, as one line of text.
fn note(source: &str) -> String {
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    lines.map(str::trim).collect::<Vec<_>>().join(" ")
}

/// The sentences of a note that hold a measured speed of another library, or a ratio to it.
fn foreign_speeds(note: &str) -> Vec<&str> {
    const LIBRARIES: [&str; 6] = ["PyTorch", "oneDNN", "burn", "candle", "CubeK", "cuDNN"];
    const SPEEDS: [&str; 5] = [" ms", "GFLOP/s", "GB/s", " times ", "ratio"];
    let sentences = note.split(". ").filter(|sentence| {
        let holds = |words: &[&str]| words.iter().any(|word| sentence.contains(word));
        holds(&LIBRARIES) && holds(&SPEEDS) && sentence.contains(|c: char| c.is_ascii_digit())
    });
    sentences.collect()
}

#[test]
fn no_note_of_a_kernel_holds_the_speed_of_another_library() {
    let mut found = Vec::new();
    for path in files("rs")
        .iter()
        .filter(|path| path.starts_with(root().join("kernels/src")))
    {
        let note = note(&read(path));
        let speeds = foreign_speeds(&note).into_iter();
        found.extend(speeds.map(|sentence| format!("{}: {sentence}", path.display())));
    }
    assert!(
        found.is_empty(),
        "they age there; docs/speed.md is renewed by a run:\n{}",
        found.join("\n")
    );
    assert_eq!(
        foreign_speeds("As PyTorch does, of 2 rows. It took 3 ms, PyTorch 4. Ours: 5 ms.").len(),
        1
    );
}

/// What is wrong with a note's map of its folder: files it names that are not there, and kernels' files that it leaves out.
fn wrong_map(note: &str, folder: &[String]) -> Vec<String> {
    const EVERYWHERE: [&str; 3] = ["mod.rs", "cost.rs", "reference.rs"];
    let Some((_, map)) = note.split_once("**Map.**") else {
        return Vec::new();
    };
    let map = map.split(" **").next().unwrap_or(map);
    let names: BTreeSet<&str> = map
        .split('`')
        .skip(1)
        .step_by(2)
        .map(|name| name.trim_end_matches('/'))
        .collect();
    let missing = folder
        .iter()
        .filter(|file| !EVERYWHERE.contains(&file.as_str()) && !names.contains(file.as_str()));
    let unknown = names
        .iter()
        .filter(|name| name.ends_with(".rs") && !folder.iter().any(|file| file == *name));
    missing
        .map(|file| format!("leaves out {file}"))
        .chain(unknown.map(|name| format!("names {name}")))
        .collect()
}

#[test]
fn the_map_of_a_large_operation_names_every_file_of_its_folder() {
    let (mut maps, mut wrong) = (0, Vec::new());
    let shared: BTreeSet<String> = names(&root().join("kernels/src")).into_iter().collect();
    for path in files("rs").iter().filter(|path| path.ends_with("mod.rs")) {
        let note = note(&read(path));
        maps += usize::from(note.contains("**Map.**"));
        let folder = names(path.parent().expect("a file lies in a folder"));
        for fault in wrong_map(&note, &folder) {
            let elsewhere = fault
                .strip_prefix("names ")
                .is_some_and(|name| shared.contains(name));
            if !elsewhere {
                wrong.push(format!("{}: its map {fault}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(maps > 5, "only {maps} notes have a map");
    let folder = ["mod.rs", "a.rs", "b.rs", "c"].map(String::from);
    assert_eq!(
        wrong_map("x **Map.** `a.rs`, `c/`, `d.rs` **Why** `b.rs`", &folder),
        ["leaves out b.rs", "names d.rs"]
    );
}

/// The names of what lies in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut names: Vec<String> = entries
        .map(|entry| {
            entry
                .expect("a readable entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}
