//! The names that services resolve: the address books of this program, and names that a user has
//! confirmed for the running time of the program.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use eepkit::{Host, LookupError, NameSource, ResolveFuture};
use eepkit_naming::{
    AddressBook, AddressHelper, Book, Entry, HelperStatus, HostName, Query, ResolveError,
    StoreError, Target, property,
};

/// The names of a program. Clones share them.
#[derive(Clone, Default)]
pub struct Names(Arc<Inner>);

#[derive(Default)]
struct Inner {
    books: Option<AddressBook>,
    once: Mutex<BTreeMap<HostName, Target>>,
}

impl Names {
    /// Creates names without address books: names are only those of the router, and those that a
    /// user confirms.
    pub fn none() -> Self {
        Self::default()
    }

    /// Creates names from address books.
    pub fn of(books: AddressBook) -> Self {
        Self(Arc::new(Inner {
            books: Some(books),
            once: Mutex::default(),
        }))
    }

    /// The address books, if there are any.
    pub fn books(&self) -> Option<&AddressBook> {
        self.0.books.as_ref()
    }

    /// Resolves a name or a base32 address. Returns `None` if a router must look it up.
    ///
    /// The store blocks for microseconds.
    ///
    /// # Errors
    ///
    /// [`ResolveError`] if the text is neither a name nor an address, or if the store fails.
    pub fn resolve(&self, text: &str) -> Result<Option<Target>, ResolveError> {
        let query: Query = text.parse()?;
        if let Query::Name(name) = &query
            && let Some(target) = self.once().get(name)
        {
            return Ok(Some(target.clone()));
        }
        let Some(books) = &self.0.books else {
            return Ok(match query {
                Query::Name(_) => None,
                Query::Target(target) => Some(target),
            });
        };
        match books.resolve_query(query) {
            Ok(resolution) => Ok(Some(resolution.target)),
            Err(ResolveError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Compares an address helper with the names.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails.
    pub(crate) fn compare(&self, helper: &AddressHelper) -> Result<Known, StoreError> {
        if let Some(target) = self.once().get(&helper.name) {
            return Ok(match target.is_same(&helper.target) {
                true => Known::Same,
                false => Known::Other(target.clone()),
            });
        }
        let Some(books) = &self.0.books else {
            return Ok(Known::New);
        };
        Ok(match helper.compare(books)? {
            HelperStatus::New => Known::New,
            HelperStatus::Known(_) => Known::Same,
            HelperStatus::Conflict(found) => Known::Other(found.entry.target().clone()),
        })
    }

    /// Uses the destination of a helper for its name until the program ends.
    pub(crate) fn remember(&self, helper: &AddressHelper) {
        let mut once = self.once();
        if once.len() >= MAX_ONCE && !once.contains_key(&helper.name) {
            once.pop_first();
        }
        once.insert(helper.name.clone(), helper.target.clone());
    }

    /// Adds the name of a helper to a book, and replaces its entry there.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails.
    pub(crate) async fn add(&self, book: Book, helper: &AddressHelper) -> Result<(), StoreError> {
        let Some(books) = self.0.books.clone() else {
            return Err(StoreError::Full {
                what: "address books",
                limit: 0,
            });
        };
        let (name, mut entry) = (helper.name.clone(), helper.entry());
        for record in entry.records_mut() {
            // The properties are short texts, which are always valid.
            let _ = record.properties.insert(property::SOURCE, "address helper");
        }
        let entry: Entry = entry;
        let writing = tokio::task::spawn_blocking(move || books.put(book, &name, &entry));
        match writing.await {
            Ok(written) => written.map(drop)?,
            // The runtime stops.
            Err(_) => return Ok(()),
        }
        self.once().remove(&helper.name);
        Ok(())
    }

    /// The names that are used until the program ends.
    pub(crate) fn once_names(&self) -> Vec<HostName> {
        self.once().keys().cloned().collect()
    }

    /// A panic while the lock is held leaves the map consistent: each change is one insertion or
    /// removal.
    fn once(&self) -> MutexGuard<'_, BTreeMap<HostName, Target>> {
        self.0.once.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NameSource for Names {
    fn resolve<'a>(&'a self, name: &'a str) -> ResolveFuture<'a> {
        let found = match Self::resolve(self, name) {
            Ok(Some(target)) => match Host::try_from(target) {
                Ok(host) => Ok(Some(host)),
                Err(error) => Err(LookupError::from(error)),
            },
            Ok(None) => Ok(None),
            Err(ResolveError::Store(error)) => Err(LookupError::NameSource(error.to_string())),
            // The router may have the name, or an error of its own for it.
            Err(_) => Ok(None),
        };
        Box::pin(std::future::ready(found))
    }
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Names")
            .field("books", &self.0.books)
            .field("once", &self.once().len())
            .finish()
    }
}

/// What the names have for a helper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Known {
    /// Nothing.
    New,
    /// The same destination.
    Same,
    /// Another destination.
    Other(Target),
}

/// Names that are used until the program ends. Chosen as more than a user confirms by hand.
const MAX_ONCE: usize = 1024;
