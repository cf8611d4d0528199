//! The tables of the store.

use eepkit_wire::Hash;
use redb::TableDefinition;

use crate::{book::Book, host_name::HostName};

/// A table from names to values that the value's type encodes.
pub(crate) type NameTable = TableDefinition<'static, &'static str, &'static [u8]>;

/// A table with keys that are encoded.
pub(crate) type BytesTable = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// The entries of a book.
pub(crate) fn entries(book: Book) -> NameTable {
    TableDefinition::new(match book {
        Book::Private => "entries.private",
        Book::User => "entries.user",
        Book::Shared => "entries.shared",
    })
}

/// The names of each hash: see [`hash_key`]. The values are empty.
pub(crate) const BY_HASH: BytesTable = TableDefinition::new("by_hash");

/// The guards of names.
pub(crate) const GUARDS: NameTable = TableDefinition::new("guards");

/// The conflicts, by `Conflict::key`.
pub(crate) const CONFLICTS: BytesTable = TableDefinition::new("conflicts");

/// The state of each subscription, by its URL.
pub(crate) const SUBSCRIPTIONS: NameTable = TableDefinition::new("subscriptions");

/// The destinations of keys with encrypted lease sets, by the encoded key.
pub(crate) const BLINDED: BytesTable = TableDefinition::new("blinded");

/// The key in [`BY_HASH`]: the start of the hash, the book, the name.
///
/// The start distinguishes destinations except in an attack, so the entry is compared as well.
pub(crate) fn hash_key(hash: Hash, book: Book, name: &HostName) -> Vec<u8> {
    [
        &hash_prefix(hash)[..],
        &[book as u8],
        name.as_str().as_bytes(),
    ]
    .concat()
}

/// The start of all keys of a hash in [`BY_HASH`].
pub(crate) fn hash_prefix(hash: Hash) -> [u8; HASH_PREFIX] {
    let mut prefix = [0; HASH_PREFIX];
    prefix.copy_from_slice(&hash.as_bytes()[..HASH_PREFIX]);
    prefix
}

/// The book and the name of a key in [`BY_HASH`].
pub(crate) fn book_and_name(key: &[u8]) -> Option<(Book, HostName)> {
    let (&book, name) = key.get(HASH_PREFIX..)?.split_first()?;
    let book = Book::ALL.into_iter().find(|&other| other as u8 == book)?;
    Some((
        book,
        HostName::from_checked(std::str::from_utf8(name).ok()?),
    ))
}

/// The number of bytes of a hash in keys.
const HASH_PREFIX: usize = 8;
