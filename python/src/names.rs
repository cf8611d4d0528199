//! The address books of the user.

use std::{fs::File, io::BufReader, path::PathBuf};

use eepkit::{ErrorKind, clock};
use eepkit_naming::{Book, Entry, HostName, Import, StoreError};
use pyo3::prelude::*;

use crate::{failure::Failure, keys::Destination, runtime::Owned};

/// Address books in a file, or in memory.
#[pyclass(frozen, module = "eepkit._native")]
pub(crate) struct AddressBook {
    inner: Owned<eepkit::AddressBook>,
}

impl AddressBook {
    pub(crate) fn inner(&self) -> PyResult<eepkit::AddressBook> {
        self.inner.get().cloned()
    }
}

#[pymethods]
impl AddressBook {
    /// Opens or creates a file. Without a path the books are in memory.
    #[new]
    #[pyo3(signature = (path = None))]
    fn new(py: Python<'_>, path: Option<PathBuf>) -> PyResult<Self> {
        let opened = py.detach(|| match &path {
            Some(path) => eepkit::AddressBook::open(path),
            None => eepkit::AddressBook::in_memory(),
        });
        let inner = Owned::new(opened.map_err(store)?);
        Ok(Self { inner })
    }

    /// The destination of a name in the first book that has it.
    fn get(&self, name: &str) -> PyResult<Option<Destination>> {
        let found = self.inner.get()?.look_up(&host(name)?).map_err(store)?;
        let destination = found.and_then(|found| found.entry.destination().cloned());
        Ok(destination.map(Destination::from))
    }

    /// Sets the destination of a name in a book.
    #[pyo3(signature = (name, destination, book = "user"))]
    fn put(&self, name: &str, destination: &Destination, book: &str) -> PyResult<()> {
        let entry = Entry::new(destination.inner().clone());
        let put = self
            .inner
            .get()?
            .put(parse_book(book)?, &host(name)?, &entry);
        put.map_err(store)?;
        Ok(())
    }

    /// Removes a name from a book. Returns whether it was there.
    #[pyo3(signature = (name, book = "user"))]
    fn remove(&self, name: &str, book: &str) -> PyResult<bool> {
        let removed = self.inner.get()?.remove(parse_book(book)?, &host(name)?);
        Ok(removed.map_err(store)?.is_some())
    }

    /// At most `limit` names of a book after a name, with their destinations.
    #[pyo3(signature = (book = "user", after = None, limit = 1000))]
    fn list(
        &self,
        book: &str,
        after: Option<&str>,
        limit: usize,
    ) -> PyResult<Vec<(String, Option<Destination>)>> {
        let after = after.map(host).transpose()?;
        let page = self
            .inner
            .get()?
            .list(parse_book(book)?, after.as_ref(), limit);
        let page = page.map_err(store)?;
        let entries = page.entries.into_iter().map(|(name, entry)| {
            let destination = entry.destination().cloned();
            (name.as_str().to_owned(), destination.map(Destination::from))
        });
        Ok(entries.collect())
    }

    /// The names of a destination, each with its book.
    fn names_of(&self, destination: &Destination) -> PyResult<Vec<(String, String)>> {
        let names = self.inner.get()?.names_of(destination.inner().hash());
        let names = names.map_err(store)?.into_iter();
        Ok(names
            .map(|(book, name)| (book.to_string(), name.as_str().to_owned()))
            .collect())
    }

    /// Adds the names of a `hosts.txt` to a book. Returns the numbers of added, unchanged and
    /// refused lines. Names that have another destination are refused.
    #[pyo3(signature = (path, book = "shared"))]
    fn import_hosts(&self, py: Python<'_>, path: PathBuf, book: &str) -> PyResult<(u64, u64, u64)> {
        let books = self.inner.get()?;
        let book = parse_book(book)?;
        let now = clock::unix_now().as_secs();
        let source = path.display().to_string();
        let report = py.detach(|| {
            let file = File::open(&path)
                .map_err(|error| Failure::new(ErrorKind::Io, format!("{source}: {error}")))?;
            let import = Import::new(book, &source, now);
            import
                .run(books, BufReader::new(file))
                .map_err(|error| Failure::new(ErrorKind::Io, error))
        })?;
        Ok((
            report.added,
            report.unchanged,
            report.refused + report.conflicts,
        ))
    }

    /// The number of names in a book.
    #[pyo3(signature = (book = "user"))]
    fn count(&self, book: &str) -> PyResult<u64> {
        Ok(self.inner.get()?.len(parse_book(book)?).map_err(store)?)
    }
}

pub(crate) fn host(name: &str) -> PyResult<HostName> {
    name.parse()
        .map_err(|error| Failure::bad_input(format!("host name {name:?}: {error}")).into())
}

fn parse_book(name: &str) -> PyResult<Book> {
    name.parse().map_err(|_| {
        let text = format!("{name:?} is not a book: use \"private\", \"user\" or \"shared\"");
        Failure::bad_input(text).into()
    })
}

fn store(error: StoreError) -> Failure {
    let kind = match &error {
        StoreError::InUse => ErrorKind::AddressInUse,
        _ => ErrorKind::Io,
    };
    Failure::new(kind, error)
}
