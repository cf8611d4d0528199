//! Changes to the store that take effect together.

use eepkit_wire::Hash;
use redb::{ReadableTable, ReadableTableMetadata, Table, WriteTransaction};

use crate::{
    book::Book,
    conflict::Conflict,
    entry::Entry,
    guard::Guard,
    host_name::HostName,
    store_error::StoreError,
    tables::{self, BY_HASH, CONFLICTS, GUARDS},
    target::Target,
};

/// Changes to the address books that take effect together, or not at all. See
/// [`AddressBook::edit`](crate::AddressBook::edit).
///
/// Every read returns what the changes before it wrote.
#[derive(Debug)]
pub struct Edit<'a> {
    entries: [Table<'a, &'static str, &'static [u8]>; 3],
    by_hash: Table<'a, &'static [u8], &'static [u8]>,
    guards: Table<'a, &'static str, &'static [u8]>,
    conflicts: Table<'a, &'static [u8], &'static [u8]>,
}

impl<'a> Edit<'a> {
    /// The largest number of names in a book. Chosen as four times the size at which look-ups are
    /// measured.
    pub const MAX_NAMES: u64 = 4_000_000;

    /// The largest number of conflicts. Chosen so that a hostile source takes at most a few
    /// megabytes. Further ones are not kept.
    pub const MAX_CONFLICTS: u64 = 10_000;

    /// Opens the tables of a transaction.
    pub(crate) fn new(transaction: &'a WriteTransaction) -> Result<Self, StoreError> {
        let open = |book| transaction.open_table(tables::entries(book));
        Ok(Self {
            entries: [open(Book::Private)?, open(Book::User)?, open(Book::Shared)?],
            by_hash: transaction.open_table(BY_HASH)?,
            guards: transaction.open_table(GUARDS)?,
            conflicts: transaction.open_table(CONFLICTS)?,
        })
    }

    /// Sets the entry of a name, and returns the previous one. Conflicts of the name that the entry
    /// resolves are removed.
    ///
    /// # Errors
    ///
    /// [`StoreError::Full`] if the book has [`Edit::MAX_NAMES`] names.
    pub fn put(
        &mut self,
        book: Book,
        name: &HostName,
        entry: &Entry,
    ) -> Result<Option<Entry>, StoreError> {
        let previous = self.get(book, name)?;
        if previous.is_none() && self.entries[book as usize].len()? >= Self::MAX_NAMES {
            return Err(StoreError::Full {
                what: "names in a book",
                limit: Self::MAX_NAMES,
            });
        }
        if let Some(previous) = &previous {
            self.remove_hashes(book, name, previous)?;
        }
        for hash in hashes(entry) {
            let key = tables::hash_key(hash, book, name);
            self.by_hash.insert(&*key, &[][..])?;
            let key = [&Conflict::prefix(name)[..], &tables::hash_prefix(hash)].concat();
            self.conflicts.remove(&*key)?;
        }
        self.entries[book as usize].insert(name.as_str(), &*entry.to_bytes())?;
        Ok(previous)
    }

    /// Sets the entry of a name unless the book has one. Returns whether it was set.
    ///
    /// # Errors
    ///
    /// As for [`Edit::put`].
    pub fn put_if_absent(
        &mut self,
        book: Book,
        name: &HostName,
        entry: &Entry,
    ) -> Result<bool, StoreError> {
        if self.get(book, name)?.is_some() {
            return Ok(false);
        }
        self.put(book, name, entry)?;
        Ok(true)
    }

    /// Removes a name, and returns its entry.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn remove(&mut self, book: Book, name: &HostName) -> Result<Option<Entry>, StoreError> {
        let Some(entry) = self.get(book, name)? else {
            return Ok(None);
        };
        self.remove_hashes(book, name, &entry)?;
        self.entries[book as usize].remove(name.as_str())?;
        Ok(Some(entry))
    }

    /// The entry of a name.
    ///
    /// # Errors
    ///
    /// If the database fails or the entry is damaged.
    pub fn get(&self, book: Book, name: &HostName) -> Result<Option<Entry>, StoreError> {
        let value = self.entries[book as usize].get(name.as_str())?;
        let entry = value.map(|value| Entry::from_bytes(value.value()));
        Ok(entry.transpose()?)
    }

    /// Removes the conflicts of a name, and returns their number.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn clear_conflicts(&mut self, name: &HostName) -> Result<usize, StoreError> {
        let prefix = Conflict::prefix(name);
        let mut keys = Vec::new();
        for found in self.conflicts.range(&*prefix..)? {
            let key = found?.0.value().to_vec();
            if !key.starts_with(&prefix) {
                break;
            }
            keys.push(key);
        }
        for key in &keys {
            self.conflicts.remove(&**key)?;
        }
        Ok(keys.len())
    }

    /// Forgets which destinations a name gave up and how old its newest command is, so that the
    /// next source decides.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn forget_commands(&mut self, name: &HostName) -> Result<(), StoreError> {
        self.guards.remove(name.as_str())?;
        Ok(())
    }

    /// Keeps a conflict. It replaces the one with the same name and destination.
    pub(crate) fn add_conflict(&mut self, conflict: &Conflict) -> Result<(), StoreError> {
        let key = conflict.key();
        let is_known = self.conflicts.get(&*key)?.is_some();
        if is_known || self.conflicts.len()? < Self::MAX_CONFLICTS {
            self.conflicts.insert(&*key, &*conflict.to_bytes())?;
        }
        Ok(())
    }

    /// The guard of a name.
    pub(crate) fn guard(&self, name: &HostName) -> Result<Guard, StoreError> {
        match self.guards.get(name.as_str())? {
            None => Ok(Guard::default()),
            Some(value) => Ok(Guard::from_bytes(value.value())?),
        }
    }

    /// Sets the guard of a name.
    pub(crate) fn set_guard(&mut self, name: &HostName, guard: &Guard) -> Result<(), StoreError> {
        if guard.is_empty() {
            self.guards.remove(name.as_str())?;
        } else {
            if self.guards.len()? >= Self::MAX_NAMES {
                return Err(StoreError::Full {
                    what: "names with commands",
                    limit: Self::MAX_NAMES,
                });
            }
            self.guards.insert(name.as_str(), &*guard.to_bytes())?;
        }
        Ok(())
    }

    /// The names of a target in a book.
    pub(crate) fn names_of(
        &self,
        book: Book,
        target: &Target,
    ) -> Result<Vec<HostName>, StoreError> {
        let Some(hash) = target.hash() else {
            return Ok(Vec::new());
        };
        let prefix = tables::hash_prefix(hash);
        let mut names = Vec::new();
        for found in self.by_hash.range(&prefix[..]..)? {
            let key = found?.0;
            if !key.value().starts_with(&prefix) {
                break;
            }
            names.extend(tables::book_and_name(key.value()));
        }
        let mut found = Vec::new();
        for (of, name) in names {
            if of == book && self.get(book, &name)?.is_some_and(|e| e.contains(target)) {
                found.push(name);
            }
        }
        Ok(found)
    }

    fn remove_hashes(
        &mut self,
        book: Book,
        name: &HostName,
        entry: &Entry,
    ) -> Result<(), StoreError> {
        for hash in hashes(entry) {
            self.by_hash.remove(&*tables::hash_key(hash, book, name))?;
        }
        Ok(())
    }
}

/// The hashes of an entry's targets.
fn hashes(entry: &Entry) -> impl Iterator<Item = Hash> {
    let records = entry.records().iter();
    records.filter_map(|record| record.target.hash())
}
