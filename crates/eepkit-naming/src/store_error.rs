//! Errors of the store.

use eepkit_wire::DecodeError;

/// The reason why the store could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process, or another [`AddressBook`](crate::AddressBook) of this process, has opened
    /// the file.
    #[error("the address book is in use by another program: stop it, or ask it")]
    InUse,
    /// A limit is reached.
    #[error("the address book is full: at most {limit} {what}")]
    Full {
        /// What there are too many of.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// A value of the store is malformed, or was written by a newer version.
    #[error("the address book is damaged: {0}")]
    Damaged(#[from] DecodeError),
    /// The database failed, for example because the disk is full.
    #[error("the address book cannot be read or written: {0}")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StoreError {
    /// Whether the disk is full.
    pub fn is_disk_full(&self) -> bool {
        let Self::Database(error) = self else {
            return false;
        };
        matches!(
            error.downcast_ref::<redb::Error>(),
            Some(redb::Error::Io(error)) if error.kind() == std::io::ErrorKind::StorageFull
        )
    }
}

impl From<redb::Error> for StoreError {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::DatabaseAlreadyOpen => Self::InUse,
            error => Self::Database(Box::new(error)),
        }
    }
}

macro_rules! from_parts {
    ($($part:ty),*) => {
        $(impl From<$part> for StoreError {
            fn from(error: $part) -> Self {
                redb::Error::from(error).into()
            }
        })*
    };
}

from_parts!(
    redb::CommitError,
    redb::CompactionError,
    redb::DatabaseError,
    redb::SetDurabilityError,
    redb::StorageError,
    redb::TableError,
    redb::TransactionError
);
