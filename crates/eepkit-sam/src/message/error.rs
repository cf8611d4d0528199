//! Errors of parsing a line.

/// The reason why a line is not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The line is empty.
    #[error("the line is empty")]
    Empty,
    /// A quote is not closed.
    #[error("a quote is not closed")]
    UnclosedQuote,
    /// No space follows a closing quote.
    #[error("no space after a closing quote")]
    AfterQuote,
    /// The line ends with a backslash.
    #[error("nothing follows a backslash")]
    DanglingEscape,
    /// A value has no key.
    #[error("a value has no key")]
    NoKey,
    /// A key occurs twice.
    #[error("a key is there twice")]
    DuplicateKey,
    /// There are too many parameters.
    #[error("more than {MAX_PARAMS} parameters")]
    TooMany,
}

/// The maximum number of parameters of a line.
pub(super) const MAX_PARAMS: usize = 288;
