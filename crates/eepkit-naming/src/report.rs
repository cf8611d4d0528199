//! Reports of merges and imports.

use std::fmt;

use crate::{
    command::CommandError, host_name::HostNameError, hosts_line::HostsLineError,
    import_rule::ImportRule,
};

/// What a line of a feed or file caused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// A name was added.
    Added,
    /// An entry was changed.
    Changed,
    /// This many names were removed.
    Removed(u64),
    /// The books have what the line says.
    Unchanged,
    /// The line proposes another destination for a name. The entry stays, the conflict is kept.
    Conflict,
    /// The line was refused.
    Refused(Refusal),
}

/// The reason why a line was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The line is malformed.
    #[error(transparent)]
    Line(#[from] HostsLineError),
    /// The name is not a host name.
    #[error(transparent)]
    Name(#[from] HostNameError),
    /// The name or the destination violates an import rule.
    #[error(transparent)]
    Rule(#[from] ImportRule),
    /// The command is malformed or not signed by its destinations.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A feed has an address where it must have a destination.
    #[error("expected a destination in base64, found a .b32.i2p address")]
    NotDestination,
    /// The command is older than one that was applied to the name, or it restores a destination that
    /// the name gave up and is not newer.
    #[error("the command is older than one that was applied, or has no date")]
    Replay,
    /// The owner of the name gave up this destination.
    #[error("the name gave up this destination")]
    Superseded,
    /// The command has expired.
    #[error("the command has expired")]
    Expired,
    /// The date of the command is more than a day in the future.
    #[error("the date of the command is in the future")]
    Future,
    /// The command refers to another destination than the books have for the name.
    #[error("the name has another destination than the command says")]
    OtherDestination,
    /// The command changes a name that the books do not have.
    #[error("the name is not in the address book")]
    UnknownName,
    /// The name of a subdomain is not below the name that permits it.
    #[error("the name is not below the name of oldname")]
    NotBelow,
    /// The entry has the largest number of alternatives.
    #[error("the name has the largest number of destinations already")]
    TooManyDestinations,
    /// A further name for a destination, where the policy permits only one.
    #[error("the destination has another name already")]
    SecondName,
    /// The source has something that cannot be imported.
    #[error("{0}")]
    Source(String),
}

/// What a merge or import did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// The number of names that were added.
    pub added: u64,
    /// The number of entries that were changed.
    pub changed: u64,
    /// The number of names that were removed.
    pub removed: u64,
    /// The number of lines that the books agree with.
    pub unchanged: u64,
    /// The number of lines that propose another destination for a name.
    pub conflicts: u64,
    /// The number of lines that were refused.
    pub refused: u64,
    /// The first [`Report::MAX_PROBLEMS`] lines with conflicts or refusals.
    pub problems: Vec<Problem>,
}

/// A line that was not merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, if the import has several; empty otherwise.
    pub file: String,
    /// The number of the line. The first one is 1. It is 0 if the file has no lines.
    pub line: u64,
    /// What is wrong, and with which name.
    pub reason: String,
}

impl Report {
    /// The largest number of problems that are kept. Chosen because nobody reads more.
    pub const MAX_PROBLEMS: usize = 100;

    /// Adds the outcome of a line. `what` names the line in messages.
    pub(crate) fn add(&mut self, file: &str, line: u64, what: &str, outcome: Outcome) {
        let reason = match outcome {
            Outcome::Added => {
                self.added += 1;
                return;
            }
            Outcome::Changed => {
                self.changed += 1;
                return;
            }
            Outcome::Removed(names) => {
                self.removed += names;
                return;
            }
            Outcome::Unchanged => {
                self.unchanged += 1;
                return;
            }
            Outcome::Conflict => {
                self.conflicts += 1;
                "another destination is in the address book and stays".to_owned()
            }
            Outcome::Refused(refusal) => {
                self.refused += 1;
                refusal.to_string()
            }
        };
        if self.problems.len() < Self::MAX_PROBLEMS {
            let separator = if what.is_empty() { "" } else { ": " };
            self.problems.push(Problem {
                file: file.to_owned(),
                line,
                reason: format!("{what}{separator}{reason}"),
            });
        }
    }

    /// Adds the counts and problems of another report.
    pub fn merge(&mut self, other: Self) {
        self.added += other.added;
        self.changed += other.changed;
        self.removed += other.removed;
        self.unchanged += other.unchanged;
        self.conflicts += other.conflicts;
        self.refused += other.refused;
        let room = Self::MAX_PROBLEMS.saturating_sub(self.problems.len());
        self.problems.extend(other.problems.into_iter().take(room));
    }
}

impl fmt::Display for Report {
    /// Writes the counts in one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} added, {} changed, {} removed, {} unchanged, {} in conflict, {} refused",
            self.added, self.changed, self.removed, self.unchanged, self.conflicts, self.refused
        )
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            write!(f, "{}: ", self.file)?;
        }
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        f.write_str(&self.reason)
    }
}
