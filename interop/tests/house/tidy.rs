//! The form of files.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The maximum number of lines of a source file. Chosen because a longer file has more than one
/// subject.
const LONGEST_SOURCE: usize = 1000;

/// The maximum number of lines of a README. Chosen because users read it before they decide to read
/// on.
const LONGEST_README: usize = 150;

#[test]
fn source_files_are_short() {
    let mut long = Vec::new();
    for (path, text) in files("rs") {
        let lines = text.lines().count();
        if lines > LONGEST_SOURCE {
            long.push(format!("{}: {lines} lines", path.display()));
        }
    }
    assert!(
        long.is_empty(),
        "longer than {LONGEST_SOURCE} lines: {long:#?}"
    );
}

#[test]
fn no_unfinished_code_remains() {
    // Concatenated here, so that this file does not contain the marks.
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X:"),
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("#[", "ignore"),
    ];
    let mut found = Vec::new();
    for (path, text) in ["rs", "toml", "md", "c", "sh"].into_iter().flat_map(files) {
        for (number, line) in text.lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark)) {
                found.push(format!(
                    "{}:{}: {}",
                    path.display(),
                    number + 1,
                    line.trim()
                ));
            }
        }
    }
    assert!(found.is_empty(), "half done: {found:#?}");
}

#[test]
fn source_files_begin_with_their_subject() {
    let mut found = Vec::new();
    for (path, text) in files("rs") {
        let top: String = text
            .lines()
            .take(5)
            .collect::<Vec<_>>()
            .join("\n")
            .to_lowercase();
        if ["copyright", "spdx-", "licensed under"]
            .iter()
            .any(|words| top.contains(words))
        {
            found.push(format!("{} has a licence header", path.display()));
        }
        // The subject of unit tests is the file beside them.
        let about_another = path.file_name().is_some_and(|name| name == "tests.rs")
            || path.parent().is_some_and(|dir| dir.ends_with("tests"));
        if !about_another && !text.starts_with("//!") && !text.starts_with("#!") {
            found.push(format!(
                "{} does not begin with what it is about",
                path.display()
            ));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn the_readme_is_short() {
    let readme = fs::read_to_string(root().join("README.md")).expect("there is a README.md");
    let lines = readme.lines().count();
    assert!(lines < LONGEST_README, "README.md has {lines} lines");
}

#[test]
fn every_crate_uses_the_lints_of_the_workspace() {
    for (path, text) in files("toml") {
        if path.file_name().is_some_and(|name| name == "Cargo.toml") && text.contains("[package]") {
            assert!(
                text.contains("[lints]\nworkspace = true") || path.starts_with(root().join("fuzz")),
                "{} does not take the workspace's lints",
                path.display()
            );
        }
    }
}

/// Returns the files of the repository with this extension, and their text.
pub(crate) fn files(extension: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    collect(&root(), extension, &mut found);
    assert!(
        !found.is_empty() || extension == "sh",
        "no .{extension} files under {:?}",
        root()
    );
    found
}

fn collect(dir: &Path, extension: &str, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(dir).expect("the repository can be read") {
        let path = entry.expect("the repository can be read").path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() {
            // Skips build output and files outside the repository: .git, caches, scratch
            // directories.
            if !name.starts_with('.') && !["target", "corpus", "artifacts"].contains(&name.as_str())
            {
                collect(&path, extension, found);
            }
        } else if path.extension().is_some_and(|found| found == extension) {
            // A file may have been deleted concurrently.
            if let Ok(text) = fs::read_to_string(&path) {
                found.push((path, text));
            }
        }
    }
}

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    root.expect("this crate lies in the workspace").to_owned()
}
