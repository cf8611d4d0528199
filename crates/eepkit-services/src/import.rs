//! Import of the tunnels of other routers: i2pd's `tunnels.conf` and Java I2P's `i2ptunnel.config`.
//!
//! [`Imported::from_i2pd`] and [`Imported::from_java`] convert files to sections of `eepkit.toml`,
//! and report what became of each setting: it was taken over, changed, or refused. A section is only
//! written if it is valid.

mod draft;
#[cfg(any(test, feature = "_fuzzing"))]
pub(crate) mod fuzzing;
mod i2pd;
mod ini;
mod java;
mod kinds;
mod options;

use std::{
    collections::BTreeSet,
    fmt,
    path::{Path, PathBuf},
};

use self::draft::{Draft, Setting, Settings};
use crate::{
    options::{File, FileError},
    users::Users,
};

/// A file to import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The name, for the report.
    pub name: String,
    /// The content.
    pub text: String,
}

/// The result of an import.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Imported {
    sections: Vec<String>,
    notes: Vec<Note>,
    tunnels: usize,
    names: BTreeSet<(&'static str, String)>,
    key_files: BTreeSet<PathBuf>,
    users: Vec<(String, Users)>,
}

/// What became of one setting, or of a whole tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The name of the file.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The name of the tunnel.
    pub tunnel: String,
    /// The setting; `None` for the whole tunnel.
    pub key: Option<String>,
    /// What became of it.
    pub outcome: Outcome,
    /// The new setting, or the reason.
    pub text: String,
}

/// What became of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It has the same effect.
    Taken,
    /// It has a similar effect, or no effect here is needed.
    Changed,
    /// It has no effect.
    Refused,
}

/// Why a file cannot be imported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}, line {line}: {why}")]
pub struct ImportError {
    /// The name of the file.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub why: String,
}

impl Imported {
    /// Imports the tunnels of i2pd: `tunnels.conf`, and the files of `tunnels.d`. Relative paths of
    /// key files are resolved against `directory`, which is i2pd's data directory.
    ///
    /// # Errors
    ///
    /// [`ImportError`] if a file is one that i2pd cannot read.
    pub fn from_i2pd(files: &[Source], directory: &Path) -> Result<Self, ImportError> {
        let mut imported = Self::default();
        for file in files {
            for (name, line, settings) in ini::read(file)? {
                let draft = Draft::new(&file.name, name, line, settings);
                imported.add(i2pd::convert(draft, directory));
            }
        }
        Ok(imported)
    }

    /// Imports the tunnels of Java I2P: `i2ptunnel.config`, and the files of `i2ptunnel.config.d`.
    /// Relative paths of key files are resolved against `directory`, which is Java I2P's
    /// configuration directory.
    ///
    /// # Errors
    ///
    /// [`ImportError`] if a file is too long.
    pub fn from_java(files: &[Source], directory: &Path) -> Result<Self, ImportError> {
        let mut imported = Self::default();
        for file in files {
            for (name, line, settings) in java::read(file)? {
                let draft = Draft::new(&file.name, name, line, settings);
                imported.add(java::convert(draft, directory));
            }
        }
        Ok(imported)
    }

    /// The sections as text of `eepkit.toml`, without the tunnels that were refused.
    pub fn to_toml(&self) -> String {
        self.sections.join("\n")
    }

    /// What became of each setting, in the order of the files.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// The number of tunnels in the files.
    pub const fn tunnels(&self) -> usize {
        self.tunnels
    }

    /// The number of sections.
    pub fn sections(&self) -> usize {
        self.sections.len()
    }

    /// The private key files of the tunnels. A tunnel whose file does not exist gets a new
    /// destination when it starts.
    pub fn key_files(&self) -> impl Iterator<Item = &Path> {
        self.key_files.iter().map(PathBuf::as_path)
    }

    /// The users of proxies that require a password, by the name of the file that the section has,
    /// relative to that of the configuration file.
    pub fn users(&self) -> impl Iterator<Item = (&str, &Users)> {
        self.users
            .iter()
            .map(|(file, users)| (file.as_str(), users))
    }

    fn add(&mut self, mut draft: Draft) {
        self.tunnels += 1;
        draft.make_unique(self.tunnels, &self.names);
        let id = (draft.kind(), draft.name().to_owned());
        let key_files = draft.keys().to_vec();
        let users = draft.file_of_users();
        let (section, notes) = draft.finish();
        if let Some(section) = section {
            self.names.insert(id);
            self.key_files.extend(key_files);
            self.users.extend(users);
            self.sections.push(section);
        }
        self.notes.extend(notes);
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, line {}: [{}]", self.file, self.line, self.tunnel)?;
        if let Some(key) = &self.key {
            write!(f, " {key}")?;
        }
        write!(f, " {}: {}", self.outcome, self.text)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Taken => "taken over",
            Self::Changed => "changed",
            Self::Refused => "not taken over",
        })
    }
}

/// Checks that the services of a text can be read.
fn check(text: &str) -> Result<(), FileError> {
    crate::read_plans(&File::parse(text, "/")?).map(drop)
}

#[cfg(test)]
mod tests;
