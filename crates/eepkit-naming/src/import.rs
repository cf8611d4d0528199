//! Imports of the user's own files.

use std::{
    collections::HashSet,
    fs,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use crate::{
    address_book::AddressBook,
    book::Book,
    edit::Edit,
    entry::{Entry, Record, property},
    host_name::HostName,
    hosts_line::HostsLine,
    hosts_reader::{HostsReader, NumberedLine},
    properties::Properties,
    report::{Outcome, Refusal, Report},
    store_error::StoreError,
    subscription_state::SubscriptionState,
    subscription_url::SubscriptionUrl,
};

/// How a file of the user is imported into a book.
///
/// In contrast to a [`Merge`](crate::Merge), the user is trusted: no import rules apply, signatures
/// are not needed, and properties are kept. If the file has a name twice, the first line counts,
/// except for lines with [`property::ALTERNATIVE`] that follow it.
#[derive(Debug, Clone)]
pub struct Import<'a> {
    pub(crate) book: Book,
    pub(crate) source: &'a str,
    pub(crate) now: u64,
    is_overwriting: bool,
}

impl<'a> Import<'a> {
    /// Creates an import into a book. `source` is stored with entries that have no source: the name
    /// of the file. `now` is the time in seconds since the epoch.
    pub fn new(book: Book, source: &'a str, now: u64) -> Self {
        Self {
            book,
            source,
            now,
            is_overwriting: false,
        }
    }

    /// Sets whether names that the book has are overwritten. Default: they stay, and lines with
    /// another target are reported as conflicts.
    #[must_use]
    pub fn with_overwriting(mut self, overwriting: bool) -> Self {
        self.is_overwriting = overwriting;
        self
    }

    /// Imports a `hosts.txt`. A file of at most 50,000 lines takes effect at once or not at all;
    /// of a longer one, every 50,000 lines do.
    ///
    /// # Errors
    ///
    /// [`ImportError`] if the file cannot be read or the store fails.
    pub fn run(&self, books: &AddressBook, file: impl BufRead) -> Result<Report, ImportError> {
        self.run_file(books, "", file)
    }

    pub(crate) fn run_file(
        &self,
        books: &AddressBook,
        file: &str,
        lines: impl BufRead,
    ) -> Result<Report, ImportError> {
        let mut lines = HostsReader::new(lines);
        let mut writer = Writer::new(self);
        let mut report = Report::default();
        loop {
            let mut is_last = true;
            books.edit(|edit| {
                for number in 1.. {
                    let Some(line) = lines.next() else {
                        break;
                    };
                    writer.apply(edit, &mut report, file, line?)?;
                    if number == BATCH_LINES {
                        is_last = false;
                        break;
                    }
                }
                Ok::<_, ImportError>(())
            })?;
            if is_last {
                return Ok(report);
            }
        }
    }

    /// Writes one record. `is_alternative` adds it to the entry that the import wrote before.
    pub(crate) fn properties(&self, mut properties: Properties) -> Properties {
        properties.remove(property::ALTERNATIVE);
        for (key, value) in [
            (property::ADDED, self.now.saturating_mul(1000).to_string()),
            (property::SOURCE, self.source.to_owned()),
        ] {
            if properties.get(key).is_none() {
                // A full set of properties stays as it is.
                let _ = properties.insert(key, &value);
            }
        }
        properties
    }
}

/// What was imported from the directory of another router.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RouterImport {
    /// What happened to the names.
    pub report: Report,
    /// The subscriptions with their states.
    pub subscriptions: Vec<(SubscriptionUrl, SubscriptionState)>,
    /// The files that were read.
    pub files: Vec<PathBuf>,
    /// Settings that were found and are not imported, with the reason.
    pub warnings: Vec<String>,
    /// The time between fetches, in seconds, if it was configured.
    pub interval: Option<u64>,
    /// The file to which the shared book was published, if it was.
    pub publish: Option<PathBuf>,
}

/// The reason why an import failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// Input cannot be read.
    #[error("cannot read the list of names: {0}")]
    Read(#[from] io::Error),
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The error that the system reported.
        #[source]
        source: io::Error,
    },
    /// The directory has none of the files of an address book.
    #[error("{} has no files of an address book", path.display())]
    NothingFound {
        /// The directory.
        path: PathBuf,
    },
    /// A Java blockfile is damaged.
    #[error(transparent)]
    Blockfile(#[from] crate::blockfile::BlockfileError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Writes records into a book by the policy of an import.
pub(crate) struct Writer<'a> {
    import: &'a Import<'a>,
    /// The names that the import wrote, if it overwrites: a later line for one is a repetition.
    written: HashSet<HostName>,
    /// The name of the record before, if it was written.
    last: Option<HostName>,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(import: &'a Import<'a>) -> Self {
        Self {
            import,
            written: HashSet::new(),
            last: None,
        }
    }

    fn apply(
        &mut self,
        edit: &mut Edit<'_>,
        report: &mut Report,
        file: &str,
        line: NumberedLine,
    ) -> Result<(), StoreError> {
        let (what, outcome) = match line.content {
            Ok(HostsLine::Entry {
                name,
                target,
                properties,
            }) => {
                let is_alternative = properties.get(property::ALTERNATIVE).is_some();
                let record = Record {
                    target,
                    properties: self.import.properties(properties),
                };
                let outcome = if is_alternative && self.last.as_ref() == Some(&name) {
                    add_alternative(edit, self.import.book, &name, record)?
                } else {
                    let entry = Entry::with_properties(record.target, record.properties);
                    self.put(edit, &name, &entry)?
                };
                (name.to_string(), outcome)
            }
            // A command that removes names is a comment in a file of the user.
            Ok(HostsLine::Blank | HostsLine::Removal(_)) => return Ok(()),
            Err(error) => (String::new(), Outcome::Refused(Refusal::Line(error))),
        };
        report.add(file, line.number, &what, outcome);
        Ok(())
    }

    /// Writes an entry unless the policy keeps the one of the book.
    pub(crate) fn put(
        &mut self,
        edit: &mut Edit<'_>,
        name: &HostName,
        entry: &Entry,
    ) -> Result<Outcome, StoreError> {
        self.last = None;
        let book = self.import.book;
        let existing = edit.get(book, name)?;
        let outcome = match existing {
            None => Outcome::Added,
            Some(existing) if existing == *entry => Outcome::Unchanged,
            Some(_) if self.import.is_overwriting && !self.written.contains(name) => {
                Outcome::Changed
            }
            Some(existing) if existing.contains(entry.target()) => return Ok(Outcome::Unchanged),
            Some(_) => return Ok(Outcome::Conflict),
        };
        if self.import.is_overwriting {
            self.written.insert(name.clone());
        }
        if outcome != Outcome::Unchanged {
            edit.put(book, name, entry)?;
        }
        self.last = Some(name.clone());
        Ok(outcome)
    }
}

fn add_alternative(
    edit: &mut Edit<'_>,
    book: Book,
    name: &HostName,
    record: Record,
) -> Result<Outcome, StoreError> {
    let Some(mut entry) = edit.get(book, name)? else {
        return Ok(Outcome::Refused(Refusal::UnknownName));
    };
    if entry.record(&record.target) == Some(&record) {
        return Ok(Outcome::Unchanged);
    }
    if !entry.add(record) {
        return Ok(Outcome::Refused(Refusal::TooManyDestinations));
    }
    edit.put(book, name, &entry)?;
    Ok(Outcome::Changed)
}

/// Opens a file of another router, or returns `None` if it does not exist.
pub(crate) fn open(path: &Path) -> Result<Option<BufReader<fs::File>>, ImportError> {
    match fs::File::open(path) {
        Ok(file) => Ok(Some(BufReader::new(file))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ImportError::File {
            path: path.to_owned(),
            source,
        }),
    }
}

/// Reads a small text file of another router, or returns `None` if it does not exist.
pub(crate) fn read_text(path: &Path) -> Result<Option<String>, ImportError> {
    let Some(file) = open(path)? else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, MAX_TEXT_FILE), &mut bytes).map_err(
        |source| ImportError::File {
            path: path.to_owned(),
            source,
        },
    )?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// Parses a file with one address of a subscription per line. Malformed lines become warnings.
pub(crate) fn subscriptions(
    file: &str,
    text: &str,
    warnings: &mut Vec<String>,
) -> Vec<SubscriptionUrl> {
    let mut urls = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        match line.parse() {
            Ok(url) if !urls.contains(&url) => urls.push(url),
            Ok(_) => {}
            Err(error) => warnings.push(format!("{file}: line {number}: {error}")),
        }
    }
    urls
}

/// The number of lines that take effect together. Chosen above the size of public lists; a
/// transaction keeps about 1 KiB for each line in memory.
const BATCH_LINES: usize = 50_000;

/// The largest text file with settings that is read, in bytes. What follows is ignored. Chosen far
/// above a hundred lines with addresses.
const MAX_TEXT_FILE: u64 = 1 << 20;

#[cfg(test)]
mod tests;
