//! Reads TOML with the line of everything that is wrong.

use std::{fmt, str::FromStr};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::keys::Key;
use crate::{args::KeyValue, options::cannot_be};

/// A file that is TOML.
pub(super) struct File<'a> {
    text: &'a str,
    table: DeTable<'a>,
}

/// A section of it.
pub(super) struct Section<'a> {
    name: &'static str,
    text: &'a str,
    /// Where it begins.
    at: usize,
    table: &'a DeTable<'a>,
}

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigError {
    /// The line, counted from 1.
    pub(crate) line: usize,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for ConfigError {}

impl<'a> File<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, ConfigError> {
        match DeTable::parse(text) {
            Ok(table) => Ok(Self {
                text,
                table: table.into_inner(),
            }),
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                Err(wrong(text, at, error.message()))
            }
        }
    }

    /// Refuses sections that nobody reads.
    pub(super) fn check_sections(
        &self,
        known: &[&str],
        section_of: impl Fn(&str) -> Option<&'static str>,
    ) -> Result<(), ConfigError> {
        for (key, value) in &self.table {
            let name: &str = key.get_ref();
            if !known.contains(&name) {
                if let Some(section) = section_of(name)
                    && !value.get_ref().is_table()
                {
                    let why = format!("{name} stands in no section");
                    return Err(wrong(self.text, key.span().start, why)
                        .with_hint(format!("write it below [{section}]")));
                }
                let error = wrong(
                    self.text,
                    key.span().start,
                    format!("there is no section [{name}]"),
                );
                return Err(match nearest(name, known.iter().copied()) {
                    Some(near) => error.with_hint(format!("did you mean [{near}]?")),
                    None => error.with_hint(format!("there are: {}", known.join(", "))),
                });
            }
        }
        Ok(())
    }

    /// The section of this name, or several of them.
    pub(super) fn sections(
        &'a self,
        name: &'static str,
        keys: &[Key],
    ) -> Result<Vec<Section<'a>>, ConfigError> {
        let Some(value) = self.table.get(name) else {
            return Ok(Vec::new());
        };
        let values: Vec<&Spanned<DeValue<'a>>> = match value.get_ref() {
            DeValue::Array(array) => array.iter().collect(),
            _ => vec![value],
        };
        let mut sections = Vec::new();
        for value in values {
            let at = value.span().start;
            let DeValue::Table(table) = value.get_ref() else {
                return Err(wrong(
                    self.text,
                    at,
                    format!("{name} is a section: write [{name}]"),
                ));
            };
            let section = Section {
                name,
                text: self.text,
                at,
                table,
            };
            section.check_keys(keys)?;
            sections.push(section);
        }
        Ok(sections)
    }
}

impl Section<'_> {
    /// Something about the section as a whole.
    pub(super) fn error(&self, message: &str) -> ConfigError {
        wrong(self.text, self.at, format!("[{}]: {message}", self.name))
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<String>, ConfigError> {
        self.read(key, "text in quotes", |value| {
            value.as_str().map(str::to_owned)
        })
    }

    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, ConfigError> {
        self.read(key, "true or false", |value| value.as_bool())
    }

    pub(super) fn count(&self, key: &str) -> Result<Option<usize>, ConfigError> {
        self.read(key, "a whole number, 1 or more", |value| {
            let number = value.as_integer()?;
            usize::from_str_radix(number.as_str(), number.radix())
                .ok()
                .filter(|number| *number > 0)
        })
    }

    /// A text that is something else.
    pub(super) fn parsed<T>(&self, key: &str) -> Result<Option<T>, ConfigError>
    where
        T: FromStr<Err: fmt::Display>,
    {
        let Some(value) = self.table.get(key) else {
            return Ok(None);
        };
        self.parse_one(key, value).map(Some)
    }

    /// A list of texts that are something else.
    pub(super) fn list<T>(&self, key: &str) -> Result<Option<Vec<T>>, ConfigError>
    where
        T: FromStr<Err: fmt::Display>,
    {
        let Some(value) = self.table.get(key) else {
            return Ok(None);
        };
        match value.get_ref() {
            DeValue::Array(array) => array
                .iter()
                .map(|value| self.parse_one(key, value))
                .collect::<Result<_, _>>()
                .map(Some),
            // One is a list of one.
            DeValue::String(_) => self.parse_one(key, value).map(|one| Some(vec![one])),
            _ => Err(self.mistaken(key, value, "a list of texts in quotes")),
        }
    }

    /// A table of session options. Numbers and flags stand for their text.
    pub(super) fn options(&self, key: &str) -> Result<Vec<KeyValue>, ConfigError> {
        let Some(value) = self.table.get(key) else {
            return Ok(Vec::new());
        };
        let DeValue::Table(table) = value.get_ref() else {
            return Err(self.mistaken(key, value, "a table: { \"inbound.length\" = 2 }"));
        };
        let mut options = Vec::new();
        self.flatten("", table, &mut options)?;
        Ok(options)
    }

    /// Dots in keys that are not quoted make tables of tables.
    fn flatten(
        &self,
        prefix: &str,
        table: &DeTable<'_>,
        options: &mut Vec<KeyValue>,
    ) -> Result<(), ConfigError> {
        for (name, value) in table {
            let name = format!("{prefix}{}", name.get_ref());
            let text = match value.get_ref() {
                DeValue::String(text) => text.clone().into_owned(),
                DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
                DeValue::Boolean(flag) => flag.to_string(),
                DeValue::Table(inner) => {
                    self.flatten(&format!("{name}."), inner, options)?;
                    continue;
                }
                _ => return Err(self.mistaken(&name, value, "a text, a number or a flag")),
            };
            if let Some(why) = cannot_be(&name, &text) {
                return Err(wrong(self.text, value.span().start, why));
            }
            options.push(KeyValue {
                key: name,
                value: text,
            });
        }
        Ok(())
    }

    fn parse_one<T>(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Result<T, ConfigError>
    where
        T: FromStr<Err: fmt::Display>,
    {
        let Some(text) = value.get_ref().as_str() else {
            return Err(self.mistaken(key, value, "text in quotes"));
        };
        text.parse().map_err(|error| {
            wrong(
                self.text,
                value.span().start,
                format!("{key} cannot be {text:?}: {error}"),
            )
        })
    }

    fn read<T>(
        &self,
        key: &str,
        expected: &str,
        read: impl FnOnce(&DeValue<'_>) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.table.get(key) else {
            return Ok(None);
        };
        match read(value.get_ref()) {
            Some(value) => Ok(Some(value)),
            None => Err(self.mistaken(key, value, expected)),
        }
    }

    fn mistaken(&self, key: &str, value: &Spanned<DeValue<'_>>, expected: &str) -> ConfigError {
        wrong(
            self.text,
            value.span().start,
            format!("{key} takes {expected}"),
        )
    }

    fn check_keys(&self, known: &[Key]) -> Result<(), ConfigError> {
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if !known.iter().any(|key| key.name == name) {
                let error = wrong(
                    self.text,
                    key.span().start,
                    format!("[{}] has no key {name}", self.name),
                );
                let names = known.iter().map(|key| key.name);
                return Err(match nearest(name, names) {
                    Some(near) => error.with_hint(format!("did you mean {near}?")),
                    None => error.with_hint("`eepkit run --print-config` shows every key"),
                });
            }
        }
        Ok(())
    }
}

impl ConfigError {
    fn with_hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }
}

fn wrong(text: &str, at: usize, message: impl Into<String>) -> ConfigError {
    let before = text.get(..at).unwrap_or(text);
    ConfigError {
        line: before.matches('\n').count() + 1,
        message: message.into(),
        hint: None,
    }
}

/// The word that was probably meant: one that differs in at most a third of its letters.
fn nearest<'w>(word: &str, known: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    known
        .map(|other| (distance(word, other), other))
        .filter(|(distance, other)| *distance <= other.len().max(3) / 3)
        .min()
        .map(|(_, other)| other)
}

/// How many letters have to be added, removed or changed (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.to_lowercase().replace('-', "_").chars().collect();
    let mut row: Vec<usize> = (0..=a.len()).collect();
    for (line, other) in b.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, letter) in a.iter().enumerate() {
            let changed = diagonal + usize::from(*letter != other);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[a.len()]
}
