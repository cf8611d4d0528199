//! The store of the address books.

use std::{
    fmt,
    io::{self, Write},
    path::Path,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

use eepkit_wire::{Codec, Destination, Hash, SigningPublicKey};
use redb::{
    Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable,
    ReadableTableMetadata, WriteTransaction, backends::InMemoryBackend,
};

use crate::{
    book::Book,
    conflict::Conflict,
    edit::Edit,
    entry::{Entry, property},
    host_name::HostName,
    hosts_line::HostsLine,
    store_error::StoreError,
    tables::{self, BLINDED, BY_HASH, BytesTable, CONFLICTS, NameTable, SUBSCRIPTIONS},
    target::Target,
};

/// The address books, in one database file or in memory. Clones share it.
///
/// Only one `AddressBook` can have a file open. Every change is atomic and durable: after a crash,
/// the file has either all of an edit or nothing of it.
///
/// The functions block on the disk. A look-up takes microseconds; edits and exports take longer and
/// should run on a thread for blocking work.
///
/// ```
/// use eepkit_naming::{AddressBook, Book, Entry, HostName};
/// use eepkit_wire::{PrivateKeys, SignatureType};
///
/// let destination = PrivateKeys::generate(SignatureType::ED25519, &mut rand::rng())?
///     .destination()
///     .clone();
/// let name: HostName = "example.i2p".parse()?;
///
/// let books = AddressBook::in_memory()?;
/// books.put(Book::User, &name, &Entry::new(destination.clone()))?;
///
/// let found = books.look_up(&"www.example.i2p".parse()?)?.expect("without www");
/// assert_eq!(found.entry.destination(), Some(&destination));
/// assert_eq!(books.names_of(destination.hash())?, [(Book::User, name)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct AddressBook(Arc<Inner>);

struct Inner {
    /// Locked for writing only while the file is compacted.
    database: RwLock<Database>,
    /// The state that readers share, so that a look-up opens no tables. It is replaced after each
    /// change, because the pages of an old state cannot be used again.
    state: RwLock<Option<Arc<Reader>>>,
}

/// What a look-up found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The book that has the name.
    pub book: Book,
    /// The name in the book, which may lack a leading `www.`.
    pub name: HostName,
    /// The entry.
    pub entry: Entry,
}

/// Which source answers a look-up, and what the others have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// All entries that match, in the order of precedence. The first one answers.
    pub found: Vec<Found>,
    /// What sources proposed in conflict with these entries.
    pub conflicts: Vec<Conflict>,
}

/// A part of a book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The entries, sorted by name.
    pub entries: Vec<(HostName, Entry)>,
    /// The name after which the next page begins; `None` at the end of the book.
    pub next: Option<HostName>,
}

/// The form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExportForm {
    /// `name=destination`, for publication. Only destinations are written, one for each name.
    Plain,
    /// With all targets and properties, for a backup. Importing it restores the book.
    Full,
}

impl AddressBook {
    /// The default size of the cache, in bytes. Chosen because look-ups among a million names then
    /// take microseconds, and the memory of the process stays below 64 MiB.
    pub const CACHE_BYTES: usize = 16 << 20;

    /// Opens or creates a file with the default cache. A new file can be read only by its owner.
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`] if the file is open already, and [`StoreError::Database`] if it cannot
    /// be read or created or is not an address book.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_with_cache(path, Self::CACHE_BYTES)
    }

    /// Opens or creates a file, as [`AddressBook::open`] does, with a cache of at most this many
    /// bytes.
    ///
    /// # Errors
    ///
    /// As for [`AddressBook::open`].
    pub fn open_with_cache(path: impl AsRef<Path>, bytes: usize) -> Result<Self, StoreError> {
        let mut options = std::fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        // The database creates its tables in an empty file.
        drop(options.open(&path).map_err(redb::Error::Io)?);
        let mut builder = Database::builder();
        Self::with_database(builder.set_cache_size(bytes).create(path)?)
    }

    /// Creates address books in memory.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] if memory cannot be allocated.
    pub fn in_memory() -> Result<Self, StoreError> {
        let mut builder = Database::builder();
        builder.set_cache_size(MEMORY_CACHE_BYTES);
        Self::with_database(builder.create_with_backend(InMemoryBackend::new())?)
    }

    /// Creates all tables, so that readers find them.
    fn with_database(database: Database) -> Result<Self, StoreError> {
        let exists = database
            .begin_read()?
            .list_tables()?
            .any(|table| redb::TableHandle::name(&table) == redb::TableHandle::name(&BLINDED));
        if !exists {
            let transaction = database.begin_write()?;
            Edit::new(&transaction)?;
            transaction.open_table(SUBSCRIPTIONS)?;
            transaction.open_table(BLINDED)?;
            transaction.commit()?;
        }
        Ok(Self(Arc::new(Inner {
            database: RwLock::new(database),
            state: RwLock::new(None),
        })))
    }

    /// Applies changes that take effect together. If `change` fails, nothing is changed.
    ///
    /// Other edits wait until this one has ended. Readers use the state before it. `change` must read
    /// through the [`Edit`]: calls of this `AddressBook` in it may block for ever.
    ///
    /// # Errors
    ///
    /// The error of `change`, and any [`StoreError`] if the changes cannot be written.
    pub fn edit<T, E: From<StoreError>>(
        &self,
        change: impl FnOnce(&mut Edit<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let database = self.read_lock();
        let mut transaction = database.begin_write().map_err(StoreError::from)?;
        // Makes opening fast after a crash. Otherwise the whole file would be read.
        transaction.set_quick_repair(true);
        let result = change(&mut Edit::new(&transaction)?)?;
        self.commit(transaction)?;
        Ok(result)
    }

    /// Sets the entry of a name, and returns the previous one.
    ///
    /// # Errors
    ///
    /// As for [`Edit::put`].
    pub fn put(
        &self,
        book: Book,
        name: &HostName,
        entry: &Entry,
    ) -> Result<Option<Entry>, StoreError> {
        self.edit(|edit| edit.put(book, name, entry))
    }

    /// Removes a name, and returns its entry.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn remove(&self, book: Book, name: &HostName) -> Result<Option<Entry>, StoreError> {
        self.edit(|edit| edit.remove(book, name))
    }

    /// Reduces the file to the space that its entries need. Useful after large imports and
    /// removals. Other calls wait until it ends.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn compact(&self) -> Result<(), StoreError> {
        let mut database = self
            .0
            .database
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        // Nobody else has it: reading locks the database as well.
        self.forget_state();
        database.compact()?;
        Ok(())
    }

    /// The entry of a name in one book.
    ///
    /// # Errors
    ///
    /// If the database fails or the entry is damaged.
    pub fn get(&self, book: Book, name: &HostName) -> Result<Option<Entry>, StoreError> {
        self.read(|reader| reader.get(book, name))
    }

    /// Looks up a name in all books. The first book with the name answers. If none has it, the name
    /// without a leading `www.` is looked up.
    ///
    /// # Errors
    ///
    /// If the database fails or the entry is damaged.
    pub fn look_up(&self, name: &HostName) -> Result<Option<Found>, StoreError> {
        self.read(|reader| {
            for name in [Some(name), name.without_www().as_ref()]
                .into_iter()
                .flatten()
            {
                for book in Book::ALL {
                    if let Some(entry) = reader.get(book, name)? {
                        let name = name.clone();
                        return Ok(Some(Found { book, name, entry }));
                    }
                }
            }
            Ok(None)
        })
    }

    /// Looks up a name in all books, and returns every entry and every conflict.
    ///
    /// # Errors
    ///
    /// If the database fails or an entry is damaged.
    pub fn explain(&self, name: &HostName) -> Result<Explanation, StoreError> {
        self.read(|reader| {
            let (mut found, mut conflicts) = (Vec::new(), Vec::new());
            for name in [Some(name), name.without_www().as_ref()]
                .into_iter()
                .flatten()
            {
                for book in Book::ALL {
                    if let Some(entry) = reader.get(book, name)? {
                        let name = name.clone();
                        found.push(Found { book, name, entry });
                    }
                }
                let prefix = Conflict::prefix(name);
                reader.conflicts(&prefix, |conflict| {
                    let is_of_name = conflict.name == *name;
                    if is_of_name {
                        conflicts.push(conflict);
                    }
                    is_of_name
                })?;
            }
            Ok(Explanation { found, conflicts })
        })
    }

    /// The names of a destination, in all books.
    ///
    /// # Errors
    ///
    /// If the database fails or an entry is damaged.
    pub fn names_of(&self, hash: Hash) -> Result<Vec<(Book, HostName)>, StoreError> {
        self.read(|reader| {
            let mut names = Vec::new();
            reader.entries_of(hash, |book, name, _| {
                names.push((book, name));
                true
            })?;
            Ok(names)
        })
    }

    /// The destination with this hash, if any book has it.
    ///
    /// # Errors
    ///
    /// If the database fails or an entry is damaged.
    pub fn destination(&self, hash: Hash) -> Result<Option<Destination>, StoreError> {
        self.read(|reader| {
            let mut found = None;
            reader.entries_of(hash, |_, _, entry| {
                let mut records = entry.records().iter();
                found = records
                    .find_map(|record| record.target.destination().filter(|d| d.hash() == hash))
                    .cloned();
                found.is_none()
            })?;
            Ok(found)
        })
    }

    /// The number of names in a book.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn len(&self, book: Book) -> Result<u64, StoreError> {
        self.read(|reader| Ok(reader.entries[book as usize].len()?))
    }

    /// Whether a book has no names.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn is_empty(&self, book: Book) -> Result<bool, StoreError> {
        Ok(self.len(book)? == 0)
    }

    /// Returns at most `limit` entries of a book, sorted by name, that follow `after`.
    ///
    /// # Errors
    ///
    /// If the database fails or an entry is damaged.
    pub fn list(
        &self,
        book: Book,
        after: Option<&HostName>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        self.page(book, after, limit, |_| true)
    }

    /// Returns at most `limit` entries of a book that follow `after` and whose name contains
    /// `text`, in any case.
    ///
    /// A call compares at most 100,000 names, so a page may have fewer entries although there are
    /// more: the last page is the one without [`Page::next`].
    ///
    /// # Errors
    ///
    /// If the database fails or an entry is damaged.
    pub fn search(
        &self,
        book: Book,
        text: &str,
        after: Option<&HostName>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let text = text.to_lowercase();
        let matches = |name: &HostName| {
            let is_found = name.as_str().contains(&text);
            is_found || (!text.is_ascii() && name.to_unicode().contains(&text))
        };
        self.page(book, after, limit, matches)
    }

    /// Returns at most `limit` conflicts, sorted by name, that follow the name `after`.
    ///
    /// # Errors
    ///
    /// If the database fails or a conflict is damaged.
    pub fn conflicts(
        &self,
        after: Option<&HostName>,
        limit: usize,
    ) -> Result<Vec<Conflict>, StoreError> {
        // All keys of the name continue with a zero byte.
        let start = after.map_or_else(Vec::new, |name| [name.as_str().as_bytes(), &[1]].concat());
        self.read(|reader| {
            let mut conflicts = Vec::new();
            if limit > 0 {
                reader.conflicts(&start, |conflict| {
                    conflicts.push(conflict);
                    conflicts.len() < limit
                })?;
            }
            Ok(conflicts)
        })
    }

    /// Writes a book as `hosts.txt`, sorted by name. Returns the number of lines.
    ///
    /// The export has the state of one moment. Edits are not delayed.
    ///
    /// # Errors
    ///
    /// [`ExportError`] if the database or the output fails.
    pub fn export(
        &self,
        book: Book,
        form: ExportForm,
        out: &mut impl Write,
    ) -> Result<u64, ExportError> {
        let database = self.read_lock();
        let reader = self.state(&database)?;
        let table = &reader.entries[book as usize];
        let mut lines = 0;
        for found in table.iter().map_err(StoreError::from)? {
            let (name, value) = found.map_err(StoreError::from)?;
            let name = HostName::from_checked(name.value());
            let entry = Entry::from_bytes(value.value()).map_err(StoreError::from)?;
            for line in lines_of(&name, &entry, form) {
                writeln!(out, "{line}")?;
                lines += 1;
            }
        }
        Ok(lines)
    }

    /// Writes a book to a file, as [`AddressBook::export`] does. The file is replaced only when the
    /// export is complete and on disk. Only its owner can access it.
    ///
    /// # Errors
    ///
    /// As for [`AddressBook::export`].
    pub fn export_file(
        &self,
        book: Book,
        form: ExportForm,
        path: impl AsRef<Path>,
    ) -> Result<u64, ExportError> {
        eepkit_files::replace_with(path.as_ref(), |mut out| self.export(book, form, &mut out))
    }

    /// Remembers the destination of a key whose lease set is encrypted, so that its address
    /// resolves without a look-up.
    ///
    /// # Errors
    ///
    /// [`StoreError::Full`] if 10,000 are remembered.
    pub fn remember_blinded(&self, destination: &Destination) -> Result<(), StoreError> {
        let key = blinded_key(destination.signing_key());
        let database = self.read_lock();
        let transaction = database.begin_write()?;
        {
            let mut table = transaction.open_table(BLINDED)?;
            if table.len()? >= MAX_BLINDED && table.get(&*key)?.is_none() {
                return Err(StoreError::Full {
                    what: "destinations with encrypted lease sets",
                    limit: MAX_BLINDED,
                });
            }
            table.insert(&*key, destination.as_bytes())?;
        }
        self.commit(transaction)
    }

    /// The remembered destination of a key whose lease set is encrypted.
    ///
    /// # Errors
    ///
    /// If the database fails or the value is damaged.
    pub fn blinded_destination(
        &self,
        key: &SigningPublicKey,
    ) -> Result<Option<Destination>, StoreError> {
        self.read(|reader| {
            let value = reader.bytes(BLINDED)?.get(&*blinded_key(key))?;
            let destination = value.map(|value| Destination::from_bytes(value.value()));
            Ok(destination.transpose()?)
        })
    }

    /// Stores the state of a subscription, or removes it.
    pub(crate) fn put_subscription(
        &self,
        url: &str,
        state: Option<&[u8]>,
    ) -> Result<(), StoreError> {
        let database = self.read_lock();
        let transaction = database.begin_write()?;
        {
            let mut table = transaction.open_table(SUBSCRIPTIONS)?;
            match state {
                Some(state) => drop(table.insert(url, state)?),
                None => drop(table.remove(url)?),
            }
        }
        self.commit(transaction)
    }

    /// The stored states of subscriptions with their URLs.
    pub(crate) fn subscriptions(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.read(|reader| {
            let table = reader.names(SUBSCRIPTIONS)?;
            let states = table.iter()?.map(|found| {
                let (url, state) = found?;
                Ok((url.value().to_owned(), state.value().to_vec()))
            });
            states.collect()
        })
    }

    fn page(
        &self,
        book: Book,
        after: Option<&HostName>,
        limit: usize,
        matches: impl Fn(&HostName) -> bool,
    ) -> Result<Page, StoreError> {
        let start = after.map_or(std::ops::Bound::Unbounded, |name| {
            std::ops::Bound::Excluded(name.as_str())
        });
        self.read(|reader| {
            let table = &reader.entries[book as usize];
            let mut page = Page {
                entries: Vec::new(),
                next: None,
            };
            let mut last = after.cloned();
            for (number, found) in table
                .range::<&str>((start, std::ops::Bound::Unbounded))?
                .enumerate()
            {
                if page.entries.len() >= limit || number >= MAX_COMPARED {
                    page.next = last;
                    break;
                }
                let (name, value) = found?;
                let name = HostName::from_checked(name.value());
                if matches(&name) {
                    let entry = Entry::from_bytes(value.value())?;
                    page.entries.push((name.clone(), entry));
                }
                last = Some(name);
            }
            Ok(page)
        })
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        // Held until the end, so that compacting finds no readers.
        let database = self.read_lock();
        let state = self.state(&database)?;
        read(&state)
    }

    /// The state after the last change. The caller keeps the lock of the database while it uses the
    /// state.
    fn state(&self, database: &Database) -> Result<Arc<Reader>, StoreError> {
        let slot = self.0.state.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = &*slot {
            return Ok(Arc::clone(state));
        }
        drop(slot);
        // The lock is held while the state is made. A change that is committed meanwhile removes
        // the state afterwards.
        let mut slot = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = &*slot {
            return Ok(Arc::clone(state));
        }
        let state = Arc::new(Reader::new(database.begin_read()?)?);
        *slot = Some(Arc::clone(&state));
        Ok(state)
    }

    fn commit(&self, transaction: WriteTransaction) -> Result<(), StoreError> {
        let result = transaction.commit();
        self.forget_state();
        Ok(result?)
    }

    fn forget_state(&self) {
        let mut slot = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
        *slot = None;
    }

    fn read_lock(&self) -> RwLockReadGuard<'_, Database> {
        self.0
            .database
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for AddressBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("AddressBook");
        for book in Book::ALL {
            out.field(book.as_str(), &self.len(book).ok());
        }
        out.finish_non_exhaustive()
    }
}

/// The reason why an export failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The output cannot be written.
    #[error("cannot write the export: {0}")]
    Write(#[from] io::Error),
}

/// Reads one state of the store.
struct Reader {
    transaction: ReadTransaction,
    entries: [ReadOnlyTable<&'static str, &'static [u8]>; 3],
}

impl Reader {
    fn new(transaction: ReadTransaction) -> Result<Self, StoreError> {
        let open = |book| transaction.open_table(tables::entries(book));
        let entries = [open(Book::Private)?, open(Book::User)?, open(Book::Shared)?];
        Ok(Self {
            transaction,
            entries,
        })
    }

    fn names(
        &self,
        table: NameTable,
    ) -> Result<ReadOnlyTable<&'static str, &'static [u8]>, StoreError> {
        Ok(self.transaction.open_table(table)?)
    }

    fn bytes(
        &self,
        table: BytesTable,
    ) -> Result<ReadOnlyTable<&'static [u8], &'static [u8]>, StoreError> {
        Ok(self.transaction.open_table(table)?)
    }

    fn get(&self, book: Book, name: &HostName) -> Result<Option<Entry>, StoreError> {
        let value = self.entries[book as usize].get(name.as_str())?;
        let entry = value.map(|value| Entry::from_bytes(value.value()));
        Ok(entry.transpose()?)
    }

    /// Calls `each` for the entries with this hash until it returns false.
    fn entries_of(
        &self,
        hash: Hash,
        mut each: impl FnMut(Book, HostName, Entry) -> bool,
    ) -> Result<(), StoreError> {
        let prefix = tables::hash_prefix(hash);
        for found in self.bytes(BY_HASH)?.range(&prefix[..]..)? {
            let key = found?.0;
            if !key.value().starts_with(&prefix) {
                break;
            }
            let Some((book, name)) = tables::book_and_name(key.value()) else {
                continue;
            };
            let entry = self.get(book, &name)?;
            let is_of_hash = |entry: &Entry| entry.contains(&Target::Hash(hash));
            if let Some(entry) = entry.filter(is_of_hash)
                && !each(book, name, entry)
            {
                break;
            }
        }
        Ok(())
    }

    /// Calls `each` for the conflicts from `start` on until it returns false.
    fn conflicts(
        &self,
        start: &[u8],
        mut each: impl FnMut(Conflict) -> bool,
    ) -> Result<(), StoreError> {
        for found in self.bytes(CONFLICTS)?.range(start..)? {
            let (key, value) = found?;
            if !each(Conflict::from_bytes(key.value(), value.value())?) {
                break;
            }
        }
        Ok(())
    }
}

/// The lines of an entry in an export.
fn lines_of(name: &HostName, entry: &Entry, form: ExportForm) -> Vec<HostsLine> {
    let line = |target, properties| HostsLine::Entry {
        name: name.clone(),
        target,
        properties,
    };
    match form {
        ExportForm::Plain => {
            let destination = entry.destination().cloned();
            let target = destination.map(Target::Destination);
            target
                .map(|target| line(target, crate::Properties::new()))
                .into_iter()
                .collect()
        }
        ExportForm::Full => {
            let records = entry.records().iter().enumerate();
            records
                .map(|(number, record)| {
                    let mut properties = record.properties.clone();
                    if number > 0 {
                        // A full set of properties has no room; the target is then not restored
                        // as an alternative.
                        let _ = properties.insert(property::ALTERNATIVE, "true");
                    }
                    line(record.target.clone(), properties)
                })
                .collect()
        }
    }
}

/// The key in [`BLINDED`]: the type and the bytes of a signing key.
fn blinded_key(key: &SigningPublicKey) -> Vec<u8> {
    [&key.signature_type().0.to_be_bytes()[..], key.as_bytes()].concat()
}

/// The largest number of names that a page compares. Chosen because it takes about 0.1 s.
const MAX_COMPARED: usize = 100_000;

/// The largest number of remembered destinations with encrypted lease sets. Chosen because each is
/// added by a look-up of the user, and takes about 500 bytes.
const MAX_BLINDED: u64 = 10_000;

/// The size of the cache of address books in memory, in bytes. Chosen because the data are in
/// memory already.
const MEMORY_CACHE_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests;
