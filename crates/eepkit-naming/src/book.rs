//! The address books of a store.

use std::{fmt, str::FromStr};

/// One of the address books. A look-up uses the first book that has the name, in the order of
/// [`Book::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Book {
    /// Names that are never published: Java's `privatehosts.txt`.
    Private,
    /// Names that the user added: Java's `userhosts.txt`, i2pd's `local.csv`.
    User,
    /// Names from subscriptions: Java's `hosts.txt`, i2pd's `addresses.csv`.
    Shared,
}

impl Book {
    /// All books, in the order of look-ups: naming specification, section "Hosts.txt Naming
    /// Service".
    pub const ALL: [Self; 3] = [Self::Private, Self::User, Self::Shared];

    /// The name of the book in commands and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::User => "user",
            Self::Shared => "shared",
        }
    }

    /// The name of Java's file for the book.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Private => "privatehosts.txt",
            Self::User => "userhosts.txt",
            Self::Shared => "hosts.txt",
        }
    }
}

impl fmt::Display for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Book {
    type Err = UnknownBook;

    /// Parses the name of a book, or of Java's file for it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut books = Self::ALL.into_iter();
        books
            .find(|book| text == book.as_str() || text == book.file_name())
            .ok_or(UnknownBook)
    }
}

/// The text is not the name of a book.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such address book: expected private, user or shared")]
pub struct UnknownBook;
