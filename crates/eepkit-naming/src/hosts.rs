//! An address book in memory.
//!
//! The application fills it with names and destinations, or loads a `hosts.txt`, or has it continue
//! with stored address books. An embedded router uses it to resolve the names that its clients look
//! up.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, BufReader},
    path::Path,
    sync::{Arc, PoisonError, RwLock},
};

use eepkit_wire::Destination;

use crate::{
    address_book::AddressBook, host_name::HostName, hosts_line::HostsLine,
    hosts_reader::HostsReader, target::Target,
};

/// The largest number of names in a book. Chosen because the largest public lists have about ten
/// thousand. Each name takes about 500 bytes of memory.
const MAX_HOSTS: usize = 100_000;

/// The largest `hosts.txt`, in bytes: [`MAX_HOSTS`] lines of the longest usual kind.
const MAX_FILE: u64 = 100 * 1024 * 1024;

/// Host names and their destinations in memory. Clones share their content.
///
/// A book that was made with [`HostBook::over`] continues with stored address books where it does
/// not have a name itself.
#[derive(Clone, Default)]
pub struct HostBook {
    hosts: Arc<RwLock<BTreeMap<HostName, Destination>>>,
    books: Option<AddressBook>,
}

/// The reason why a name or a file was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// The text is not a host name.
    #[error("not a host name in .i2p: {0:?}")]
    BadName(String),
    /// The book is full.
    #[error("the address book is full ({MAX_HOSTS} names)")]
    Full,
    /// The file cannot be read.
    #[error("cannot read the address book {path}: {source}")]
    File {
        /// The file.
        path: String,
        /// The error that the system reported.
        #[source]
        source: io::Error,
    },
}

impl fmt::Debug for HostBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostBook")
            .field("names", &self.len())
            .field("books", &self.books)
            .finish()
    }
}

impl HostBook {
    /// Creates an empty book.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates an empty book that continues with stored address books. They are not changed through
    /// it.
    pub fn over(books: AddressBook) -> Self {
        Self {
            hosts: Arc::default(),
            books: Some(books),
        }
    }

    /// Adds the names of a `hosts.txt`.
    ///
    /// A line is `name=destination`, with the destination in base64. Text after `#` is ignored:
    /// comments, and the properties of an entry. A line that cannot be parsed is skipped with a
    /// warning, because public lists contain such lines. Returns the number of names that were
    /// added or changed.
    ///
    /// # Errors
    ///
    /// [`HostError::File`] if the file cannot be read or is longer than 100 MiB, and
    /// [`HostError::Full`] if the book becomes full. Names that were added before stay in the book.
    pub fn load(&self, path: &Path) -> Result<usize, HostError> {
        let error = |source| HostError::File {
            path: path.display().to_string(),
            source,
        };
        let file = std::fs::File::open(path).map_err(error)?;
        let mut added = 0;
        for line in HostsReader::with_limit(BufReader::new(file), MAX_FILE) {
            let line = line.map_err(error)?;
            match line.content {
                Ok(HostsLine::Entry {
                    name,
                    target: Target::Destination(destination),
                    ..
                }) => {
                    self.set(name, destination)?;
                    added += 1;
                }
                // A command that removes names is a comment for books without owners.
                Ok(HostsLine::Blank | HostsLine::Removal(_)) => {}
                Ok(HostsLine::Entry { .. }) | Err(_) => {
                    tracing::warn!(
                        line = line.number,
                        "skipping a line of the address book that is not an entry"
                    );
                }
            }
        }
        Ok(added)
    }

    /// Adds a name, or changes its destination. Names are not case-sensitive.
    ///
    /// # Errors
    ///
    /// [`HostError::BadName`] if the text is not a host name in `.i2p`, and [`HostError::Full`] if
    /// the book has 100,000 names.
    pub fn insert(&self, name: &str, destination: Destination) -> Result<(), HostError> {
        let parsed = name.parse();
        self.set(
            parsed.map_err(|_| HostError::BadName(name.to_owned()))?,
            destination,
        )
    }

    /// Removes a name and returns its destination. Stored address books are not changed.
    pub fn remove(&self, name: &str) -> Option<Destination> {
        let mut hosts = self.hosts.write().unwrap_or_else(PoisonError::into_inner);
        hosts.remove(&name.parse::<HostName>().ok()?)
    }

    /// The destination of a name, or `None` if neither the book nor the address books behind it have
    /// a destination for the name.
    ///
    /// Errors of the store are logged, and count as unknown names.
    pub fn get(&self, name: &str) -> Option<Destination> {
        let name: HostName = name.parse().ok()?;
        let hosts = self.hosts.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(destination) = hosts.get(&name) {
            return Some(destination.clone());
        }
        drop(hosts);
        match self.books.as_ref()?.look_up(&name) {
            Ok(found) => found?.entry.destination().cloned(),
            Err(error) => {
                tracing::warn!(%error, "cannot look up a name in the address books");
                None
            }
        }
    }

    /// The number of names in memory.
    pub fn len(&self) -> usize {
        self.hosts
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// Whether there are no names in memory.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn set(&self, name: HostName, destination: Destination) -> Result<(), HostError> {
        let mut hosts = self.hosts.write().unwrap_or_else(PoisonError::into_inner);
        if hosts.len() >= MAX_HOSTS && !hosts.contains_key(&name) {
            return Err(HostError::Full);
        }
        hosts.insert(name, destination);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use eepkit_wire::{PrivateKeys, SignatureType};

    use super::*;

    fn destination() -> Destination {
        let keys = PrivateKeys::generate(SignatureType::ED25519, &mut rand::rng());
        keys.unwrap().destination().clone()
    }

    #[test]
    fn names_are_found_in_any_case_until_they_are_removed() {
        let book = HostBook::new();
        let destination = destination();
        book.insert("Forum.I2P", destination.clone()).unwrap();

        let other = book.clone();
        assert_eq!(other.get("forum.i2p"), Some(destination.clone()));
        assert_eq!(other.remove("FORUM.i2p"), Some(destination));
        assert!(book.is_empty());
    }

    #[test]
    fn text_that_is_not_a_host_name_is_refused() {
        let book = HostBook::new();
        let long = format!("{}.i2p", "x".repeat(64));
        for name in [
            "",
            ".i2p",
            "i2p",
            "forum.com",
            "-a.i2p",
            "a-.i2p",
            "a..b.i2p",
            "a b.i2p",
            "b32.i2p",
            "abc.b32.i2p",
            &long,
        ] {
            let error = book.insert(name, destination()).unwrap_err();
            assert!(matches!(error, HostError::BadName(_)), "{name}: {error}");
        }
    }

    #[test]
    fn comments_and_malformed_lines_of_a_hosts_file_are_skipped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hosts.txt");
        let (a, b) = (destination(), destination());
        let text = format!(
            "# a list\n\na.i2p={}\r\nb.i2p = {}#!sig=x\nc.i2p=nonsense\nno line\nd.com={}\n",
            a.to_base64(),
            b.to_base64(),
            a.to_base64(),
        );
        std::fs::write(&path, text).unwrap();
        let book = HostBook::new();

        assert_eq!(book.load(&path).unwrap(), 2);
        assert_eq!(book.get("a.i2p"), Some(a));
        assert_eq!(book.get("b.i2p"), Some(b));
        assert!(book.load(&dir.path().join("none")).is_err());
    }

    #[test]
    fn a_book_over_stored_books_answers_first() {
        let books = AddressBook::in_memory().unwrap();
        let (mine, stored) = (destination(), destination());
        for name in ["a.i2p", "b.i2p"] {
            let entry = crate::Entry::new(stored.clone());
            books
                .put(crate::Book::Shared, &name.parse().unwrap(), &entry)
                .unwrap();
        }
        let book = HostBook::over(books);
        book.insert("a.i2p", mine.clone()).unwrap();

        assert_eq!(book.get("a.i2p"), Some(mine));
        assert_eq!(book.get("www.B.i2p"), Some(stored.clone()));
        assert_eq!(book.get("c.i2p"), None);
        book.remove("a.i2p");
        assert_eq!(book.get("a.i2p"), Some(stored));
    }
}
