//! The functions of the fuzz targets. Each accepts any bytes, and panics if it finds a bug.

use std::fmt::Write as _;

use crate::{
    KINDS,
    options::{File, FileError, FileErrors, Table},
    read_all_plans, read_plans,
    sam::SamConfig,
    service::Definition,
};

pub use crate::import::fuzzing::import;
pub use crate::{
    http_proxy::fuzzing::http_request, tunnel::filter::language::fuzz as filter,
    users::fuzzing::users,
};

/// Checks that every error in a configuration file names a line of the file in a short text, and
/// that a configuration is the same after it was written and read again.
///
/// # Panics
///
/// If a check fails.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Err(error) = read(text) {
        check(&error, text);
    }
}

fn check(error: &FileError, text: &str) {
    let lines = text.matches('\n').count() + 1;
    assert!((1..=lines).contains(&error.line), "{error}");
    for text in [&error.to_string(), &error.hint.clone().unwrap_or_default()] {
        assert!(text.chars().count() < 1000, "{text}");
        assert!(!text.contains(char::is_control), "{text:?}");
    }
}

/// Reads every section of a file.
fn read(text: &str) -> Result<(), FileError> {
    let file = File::parse(text, DIRECTORY)?;
    let sections: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
    let section_of = |key: &str| {
        let kind = KINDS.iter().find(|kind| kind.has_key(key));
        kind.map(|kind| kind.name)
    };
    let mut errors = FileErrors::new();
    file.check_sections(&sections, section_of, &mut errors);
    read_all_plans(&file, &mut errors);
    for error in errors.iter() {
        check(error, text);
    }
    errors.first()?;
    round_trip(&file, SamConfig::table())?;
    let plans = read_plans(&file)?;
    for (number, plan) in plans.iter().enumerate() {
        let same = |other: &&_| (plan.kind(), plan.name()) == name_of(other);
        assert_eq!(plans.iter().filter(same).count(), 1, "service {number}");
    }
    Ok(())
}

fn name_of(plan: &std::sync::Arc<dyn crate::Plan>) -> (&'static str, &str) {
    (plan.kind(), plan.name())
}

/// Writes the configuration of each section and reads it again.
fn round_trip<C>(file: &File<'_>, table: &Table<C>) -> Result<(), FileError> {
    for section in file.sections(table.section)? {
        let written = write(table, &table.read(&section)?);
        let file = File::parse(&written, DIRECTORY).expect("a written file can be parsed");
        let sections = file.sections(table.section).expect("the section is there");
        let again = table.read(&sections[0]).expect("written values are valid");
        assert_eq!(write(table, &again), written);
    }
    Ok(())
}

/// Writes a section with every key that is set.
fn write<C>(table: &Table<C>, config: &C) -> String {
    let mut text = format!("[{}]\n", table.section);
    for option in table.options {
        if let Some(value) = (option.access.get)(config) {
            let _ = writeln!(text, "{} = {value}", option.key);
        }
    }
    text
}

/// The directory of the files. Absolute, so that written paths are read as the same paths.
const DIRECTORY: &str = "/etc/eepkit";

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::Index};

    use super::*;

    /// A file with every key of every kind.
    fn example() -> String {
        let files = KINDS.iter().map(|kind| (kind.example_file)());
        files
            .map(|file| {
                file.lines()
                    .map(|line| match line.strip_prefix('#') {
                        Some(key) if !key.starts_with(' ') => format!("{key}\n"),
                        _ => format!("{line}\n"),
                    })
                    .collect::<String>()
            })
            .collect()
    }

    #[test]
    fn the_example_reveals_no_bug() {
        config(example().as_bytes());
        config(b"[[sam]]\n[[sam]]\nname = \"x\"\n[[sam]]\nname = \"x\"\n");
    }

    #[test]
    fn names_that_are_there_twice_reveal_no_bug() {
        for table in [
            "options = { outbound.length = 2, \"outbound.length\" = 2 }",
            "overrides = { \"inbound.length\" = 2, inbound.length = 3, inbound.quantity = 1 }",
        ] {
            config(format!("[sam]\nudp = []\n{table}\n").as_bytes());
        }
    }

    #[test]
    fn deeply_nested_tables_and_lists_are_refused() {
        for (open, close) in [("a.", ""), ("[", "]"), ("{a=", "}")] {
            for depth in [10, 1_000, 200_000] {
                let value = |open: &str| open.repeat(depth);
                let text = match open {
                    "a." => format!("[sam]\noptions.{}a = \"1\"\n", value(open)),
                    _ => format!("[sam]\noptions = {}1{}\n", value(open), close.repeat(depth)),
                };
                config(text.as_bytes());
            }
        }
        let header = format!("[{}a]\nx = 1\n", "a.".repeat(200_000));
        config(header.as_bytes());
    }

    #[test]
    fn errors_repeat_only_the_beginning_of_a_long_text_and_no_control_characters() {
        let long = "x".repeat(100_000);
        for text in [
            format!("{long} = 1\n"),
            format!("[sam]\n{long} = 1\n"),
            format!("[sam]\nlisten = \"{long}\"\n"),
            format!("[sam]\noptions = {{ \"{long}\" = \"1\" }}\n"),
            "[sam]\n\"\\u001b[2J\" = 1\n".to_owned(),
            "[\"\\u001b[2J\"]\n".to_owned(),
        ] {
            config(text.as_bytes());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn arbitrary_text_reveals_no_bug(text in ".{0,300}", section: bool) {
            let header = if section { "[sam]\n" } else { "" };
            config(format!("{header}{text}").as_bytes());
        }

        #[test]
        fn modified_files_reveal_no_bug(
            changes in vec((any::<Index>(), any::<u8>()), 0..6),
            length in prop::option::of(any::<Index>()),
        ) {
            let mut data = example().into_bytes();
            for (at, byte) in changes {
                *at.get_mut(&mut data) = byte & 0x7f;
            }
            if let Some(length) = length {
                data.truncate(length.index(data.len() + 1));
            }
            config(&data);
        }
    }
}
