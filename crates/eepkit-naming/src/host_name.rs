//! Host names: their syntax, the forms in which users type them, and the forms that are shown.

use std::{borrow::Borrow, fmt, str::FromStr};

use eepkit_wire::{Host, ParseAddressError};

use crate::idn;

/// A host name in `.i2p`, in lower-case ASCII.
///
/// Parsing converts upper case, converts international names to punycode (UTS 46), and removes
/// `.alt` from names in `.i2p.alt` (RFC 9476). `Display` writes the ASCII form, which every
/// protocol uses. [`HostName::to_unicode`] returns the form for users.
///
/// A name has at most 67 characters. Its labels consist of `a-z`, `0-9` and `-`, and neither begin
/// nor end with `-`. Base32 addresses are not names. These rules apply to every name. The rules of
/// [`check_import`](crate::check_import) apply only to names that other people propose.
///
/// ```
/// use eepkit_naming::HostName;
///
/// let name: HostName = "Bücher.i2p.alt".parse()?;
/// assert_eq!(name.as_str(), "xn--bcher-kva.i2p");
/// assert_eq!(name.to_unicode(), "bücher.i2p");
/// # Ok::<(), eepkit_naming::HostNameError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostName(Box<str>);

impl HostName {
    /// The largest length, in characters: naming specification, section "Naming Rules".
    pub const MAX_LENGTH: usize = Host::MAX_NAME;

    /// The name in ASCII.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name for users: international labels in Unicode if they cannot be mistaken for other
    /// labels, and in punycode otherwise.
    ///
    /// A label is shown in Unicode if its characters are allowed in identifiers, its scripts are
    /// those of one language (UTS 39, "Highly Restrictive"), and it does not look like an ASCII
    /// label.
    pub fn to_unicode(&self) -> String {
        idn::to_unicode(&self.0)
    }

    /// The name without a leading `www.`, or `None` if it has none or would not remain a name.
    pub fn without_www(&self) -> Option<Self> {
        let rest = self.0.strip_prefix("www.")?;
        rest.parse().ok()
    }

    /// Whether this name is `parent` with further labels in front.
    pub fn is_below(&self, parent: &Self) -> bool {
        let rest = self.0.strip_suffix(&*parent.0);
        rest.is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
    }

    /// The labels in front of `.i2p`.
    pub(crate) fn labels(&self) -> impl Iterator<Item = &str> {
        self.0.strip_suffix(".i2p").unwrap_or(&self.0).split('.')
    }

    /// Creates a name from text that was checked before, such as a key of the store.
    pub(crate) fn from_checked(text: &str) -> Self {
        Self(text.into())
    }
}

impl FromStr for HostName {
    type Err = HostNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAX_TYPED_BYTES {
            return Err(HostNameError::TooLong(text.len()));
        }
        let mut ascii = idn::to_ascii(text).ok_or(HostNameError::International)?;
        if ascii.ends_with(".i2p.alt") {
            ascii.truncate(ascii.len() - ".alt".len());
        }
        match ascii.parse()? {
            // Addresses below `b32.i2p` are hashes, so `b32.i2p` is not a name either.
            Host::Name(name) if name != "b32.i2p" => Ok(Self(name.into())),
            _ => Err(HostNameError::Address),
        }
    }
}

impl AsRef<str> for HostName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for HostName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostName({})", self.0)
    }
}

/// The reason why a text is not a host name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum HostNameError {
    /// The text is longer than any name.
    #[error("not an i2p host name: {0} bytes are too long, a name has at most 67 characters")]
    TooLong(usize),
    /// The text has characters outside ASCII that have no valid punycode.
    #[error("not an i2p host name: its international characters are not valid (UTS 46)")]
    International,
    /// The text is an address, not a name.
    #[error("not an i2p host name: it is an address or reserved for addresses")]
    Address,
    /// The text violates the syntax of names.
    #[error(transparent)]
    Syntax(#[from] ParseAddressError),
}

/// The largest text that is converted, in bytes. Chosen because 67 characters of punycode come from
/// fewer than 67 characters of at most four bytes.
const MAX_TYPED_BYTES: usize = 4 * HostName::MAX_LENGTH;

#[cfg(test)]
mod tests;
