//! An address book in memory.
//!
//! The application fills it with names and destinations, or loads a `hosts.txt`. An embedded router
//! uses it to resolve the names that its clients look up.

use std::{
    collections::BTreeMap,
    fmt, io,
    path::Path,
    sync::{Arc, PoisonError, RwLock},
};

use eepkit_wire::{Destination, Host};

/// The largest number of names in a book. Chosen because the largest public lists have about ten
/// thousand. Each name takes about 500 bytes of memory.
const MAX_HOSTS: usize = 100_000;

/// The largest `hosts.txt`, in bytes: [`MAX_HOSTS`] lines of the longest usual kind.
const MAX_FILE: u64 = 100 * 1024 * 1024;

/// Host names and their destinations. Clones share their content.
#[derive(Clone, Default)]
pub struct HostBook {
    hosts: Arc<RwLock<BTreeMap<String, Destination>>>,
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
            .finish()
    }
}

impl HostBook {
    /// Creates an empty book.
    pub fn new() -> Self {
        Self::default()
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
        let file = |source| HostError::File {
            path: path.display().to_string(),
            source,
        };
        let length = std::fs::metadata(path).map_err(file)?.len();
        if length > MAX_FILE {
            let why = format!("{length} bytes are more than {MAX_FILE}");
            return Err(file(io::Error::new(io::ErrorKind::FileTooLarge, why)));
        }
        let text = std::fs::read_to_string(path).map_err(file)?;
        let mut added = 0;
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let entry = line.split_once('=').and_then(|(name, destination)| {
                Some((name, Destination::from_base64(destination.trim()).ok()?))
            });
            match entry.map(|(name, destination)| self.insert(name.trim(), destination)) {
                Some(Ok(())) => added += 1,
                Some(Err(error @ HostError::Full)) => return Err(error),
                Some(Err(_)) | None => {
                    tracing::warn!(
                        line = number + 1,
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
        let name = normal(name).ok_or_else(|| HostError::BadName(name.to_owned()))?;
        let mut hosts = self.hosts.write().unwrap_or_else(PoisonError::into_inner);
        if hosts.len() >= MAX_HOSTS && !hosts.contains_key(&name) {
            return Err(HostError::Full);
        }
        hosts.insert(name, destination);
        Ok(())
    }

    /// Removes a name and returns its destination.
    pub fn remove(&self, name: &str) -> Option<Destination> {
        let mut hosts = self.hosts.write().unwrap_or_else(PoisonError::into_inner);
        hosts.remove(&normal(name)?)
    }

    /// The destination of a name, or `None` if the name is not in the book.
    pub fn get(&self, name: &str) -> Option<Destination> {
        let hosts = self.hosts.read().unwrap_or_else(PoisonError::into_inner);
        hosts.get(&normal(name)?).cloned()
    }

    /// The number of names.
    pub fn len(&self) -> usize {
        self.hosts
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// Whether there are no names.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The form in which a name is stored; `None` if it is not a host name.
fn normal(name: &str) -> Option<String> {
    match name.parse() {
        // Addresses below `b32.i2p` are hashes and not names, so `b32.i2p` is not a name either.
        Ok(Host::Name(name)) if name != "b32.i2p" => Some(name),
        _ => None,
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
            "\u{e9}.i2p",
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
}
