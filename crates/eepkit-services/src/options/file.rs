//! The configuration file, and its errors with line numbers.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::value::{Input, Located, Mistake};

/// A configuration file.
#[derive(Debug)]
pub struct File<'a> {
    text: &'a str,
    directory: PathBuf,
    table: DeTable<'a>,
}

/// A section of a configuration file.
#[derive(Debug)]
pub struct Section<'a> {
    name: &'a str,
    text: &'a str,
    directory: &'a Path,
    /// The position of its header.
    at: usize,
    table: &'a DeTable<'a>,
}

/// An error in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileError {
    /// The line, counted from 1.
    pub line: usize,
    /// The description of the error.
    pub message: String,
    /// The name that was probably meant, or a pointer to further information.
    pub hint: Option<String>,
}

/// The errors of a configuration file, in the order of their lines.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileErrors(Vec<FileError>);

impl FileErrors {
    /// Creates an empty list.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds an error. Beyond a hundred errors, further ones are dropped.
    pub fn push(&mut self, error: FileError) {
        if self.0.len() < MAX_ERRORS {
            let at = self.0.partition_point(|other| other.line <= error.line);
            self.0.insert(at, error);
        }
    }

    /// Adds errors.
    pub fn extend(&mut self, errors: Self) {
        for error in errors.0 {
            self.push(error);
        }
    }

    /// The number of errors.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The errors.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &FileError> {
        self.0.iter()
    }

    /// Whether there are no errors.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the first error, if there is one.
    ///
    /// # Errors
    ///
    /// The first error.
    pub fn first(self) -> Result<(), FileError> {
        self.0.into_iter().next().map_or(Ok(()), Err)
    }
}

/// A line for each error.
impl fmt::Display for FileErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, error) in self.0.iter().enumerate() {
            let separator = if number == 0 { "" } else { "\n" };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for FileErrors {}

impl From<FileError> for FileErrors {
    fn from(error: FileError) -> Self {
        Self(vec![error])
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for FileError {}

impl<'a> File<'a> {
    /// Parses the text of a file in `directory`, against which its relative paths are resolved.
    ///
    /// # Errors
    ///
    /// [`FileError`] if the text is not TOML.
    pub fn parse(text: &'a str, directory: impl Into<PathBuf>) -> Result<Self, FileError> {
        match DeTable::parse(text) {
            Ok(table) => Ok(Self {
                text,
                directory: directory.into(),
                table: table.into_inner(),
            }),
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                Err(wrong(text, at, error.message()))
            }
        }
    }

    /// Reports unknown sections to `errors`. `section_of` returns the section to which a key
    /// belongs.
    pub fn check_sections(
        &self,
        known: &[&str],
        section_of: impl Fn(&str) -> Option<&'static str>,
        errors: &mut FileErrors,
    ) {
        for (key, value) in &self.table {
            let name: &str = key.get_ref();
            if known.contains(&name) {
                continue;
            }
            let at = key.span().start;
            if let Some(section) = section_of(name)
                && !value.get_ref().is_table()
            {
                let error = wrong(self.text, at, format!("{name} stands in no section"));
                errors.push(error.with_hint(format!("write it below [{section}]")));
                continue;
            }
            let error = wrong(self.text, at, format!("there is no section [{name}]"));
            errors.push(match nearest(name, known.iter().copied()) {
                Some(near) => error.with_hint(format!("did you mean [{near}]?")),
                None => error.with_hint(format!("there are: {}", known.join(", "))),
            });
        }
    }

    /// Returns the section of this name, or several of them.
    ///
    /// # Errors
    ///
    /// [`FileError`] if the name is used for something other than a section.
    pub fn sections(&'a self, name: &'a str) -> Result<Vec<Section<'a>>, FileError> {
        let mut errors = FileErrors::new();
        let sections = self.valid_sections(name, &mut errors);
        errors.first().map(|()| sections)
    }

    /// Returns the section of this name, or several of them. Reports to `errors` where the name is
    /// used for something else.
    pub fn valid_sections(&'a self, name: &'a str, errors: &mut FileErrors) -> Vec<Section<'a>> {
        let Some(value) = self.table.get(name) else {
            return Vec::new();
        };
        let values: Vec<&Spanned<DeValue<'a>>> = match value.get_ref() {
            DeValue::Array(array) => array.iter().collect(),
            _ => vec![value],
        };
        let section = |value: &'a Spanned<DeValue<'a>>| {
            let at = value.span().start;
            let DeValue::Table(table) = value.get_ref() else {
                let why = format!("{name} is a section: write [{name}]");
                errors.push(wrong(self.text, at, why));
                return None;
            };
            Some(Section {
                name,
                text: self.text,
                directory: &self.directory,
                at,
                table,
            })
        };
        values.into_iter().filter_map(section).collect()
    }
}

impl Section<'_> {
    /// An error about the section as a whole.
    pub fn error(&self, message: impl fmt::Display) -> FileError {
        wrong(self.text, self.at, format!("[{}]: {message}", self.name))
    }

    /// The line of its header, counted from 1.
    pub fn line(&self) -> usize {
        line_of(self.text, self.at)
    }

    /// Reports keys other than these to `errors`.
    pub fn check_keys<'k>(
        &self,
        known: impl Iterator<Item = &'k str> + Clone,
        errors: &mut FileErrors,
    ) {
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if known.clone().any(|key| key == name) {
                continue;
            }
            let why = format!("[{}] has no key {name}", self.name);
            let error = wrong(self.text, key.span().start, why);
            errors.push(match nearest(name, known.clone()) {
                Some(near) => error.with_hint(format!("did you mean {near}?")),
                None => error.with_hint("`eepkit run --print-config` shows every key"),
            });
        }
    }

    /// Passes the value of a key to `set`, with the directory of the file, if the key is present.
    ///
    /// # Errors
    ///
    /// [`FileError`] with the line of the error that `set` returns.
    pub fn set(
        &self,
        key: &str,
        set: impl FnOnce(&Input<'_>, &Path) -> Result<(), Mistake>,
    ) -> Result<(), FileError> {
        let Some(value) = self.table.get(key) else {
            return Ok(());
        };
        set(&input(value.get_ref()), self.directory).map_err(|mistake| {
            let Mistake { at, what, with_key } = mistake;
            let message = match with_key {
                true => format!("{key} {what}"),
                false => what,
            };
            wrong(self.text, at.unwrap_or_else(|| value.span().start), message)
        })
    }
}

impl FileError {
    fn with_hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }
}

/// Converts a value of TOML to the input of an option.
fn input<'a>(value: &'a DeValue<'_>) -> Input<'a> {
    match value {
        DeValue::String(text) => Input::Text(text),
        DeValue::Boolean(flag) => Input::Flag(*flag),
        DeValue::Integer(number) if number.radix() == 10 => Input::Number(number.as_str()),
        DeValue::Array(array) => Input::List(
            array
                .iter()
                .map(|one| Located {
                    at: Some(one.span().start),
                    value: input(one.get_ref()),
                })
                .collect(),
        ),
        DeValue::Table(table) => {
            let mut pairs = Vec::new();
            flatten("", table, &mut pairs);
            // The order does not depend on which names are in quotes.
            pairs.sort_by(|(name, _), (other, _)| name.cmp(other));
            Input::Pairs(pairs)
        }
        _ => Input::Other,
    }
}

/// Joins nested tables. TOML parses a key with dots outside of quotes as nested tables.
fn flatten<'a>(
    prefix: &str,
    table: &'a DeTable<'_>,
    pairs: &mut Vec<(String, Located<Input<'a>>)>,
) {
    for (name, value) in table {
        let name = format!("{prefix}{}", name.get_ref());
        match value.get_ref() {
            DeValue::Table(inner) => flatten(&format!("{name}."), inner, pairs),
            one => pairs.push((
                name,
                Located {
                    at: Some(value.span().start),
                    value: input(one),
                },
            )),
        }
    }
}

fn wrong(text: &str, at: usize, message: impl Into<String>) -> FileError {
    FileError {
        line: line_of(text, at),
        message: printable(&message.into()),
        hint: None,
    }
}

fn line_of(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or(text);
    before.matches('\n').count() + 1
}

/// Replaces control characters, and shortens a text that repeats a long part of the file.
fn printable(text: &str) -> String {
    let replaced = |c: char| match c {
        '\n' | '\t' => ' ',
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    let mut shown: String = text.chars().map(replaced).take(MAX_MESSAGE).collect();
    if text.chars().nth(MAX_MESSAGE).is_some() {
        shown.push_str("...");
    }
    shown
}

/// Returns the word that was probably meant: the most similar one, if it differs in at most a third
/// of its letters.
fn nearest<'w>(word: &str, known: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    if word.len() > MAX_MEANT {
        return None;
    }
    let word = word.to_lowercase().replace('-', "_");
    known
        .map(|other| (strsim::levenshtein(&word, other), other))
        .filter(|(distance, other)| *distance <= other.len().max(3) / 3)
        .min()
        .map(|(_, other)| other)
}

/// The longest word for which a similar one is searched, in bytes. Chosen as several times the longest
/// key. The search takes time in proportion to the length.
const MAX_MEANT: usize = 100;

/// Chosen as more than anyone mends at a time.
const MAX_ERRORS: usize = 100;

/// The longest description of an error, in characters. Chosen as a few lines of a terminal. Those of
/// mistakes in short values are shorter.
const MAX_MESSAGE: usize = 400;
