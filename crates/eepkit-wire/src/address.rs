//! Addresses in text form: a destination, a hash or a host name, with an optional port.

use std::{fmt, str::FromStr};

use crate::{
    blinded_address::{self, BlindedAddress, BlindedAddressError},
    codec::DecodeError,
    destination::Destination,
    hash::{B32_HASH_CHARS, Hash, strip_b32_suffix},
};

/// A host and a port.
///
/// The text form is the host, followed by `:port` unless the port is 0.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    host: Host,
    port: u16,
}

impl Address {
    /// The address of a host, with port 0.
    pub const fn new(host: Host) -> Self {
        Self { host, port: 0 }
    }

    /// Sets the port; 0 stands for none.
    #[must_use]
    pub fn with_port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// The host.
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// The port; 0 if the text has none.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The host, without the port.
    pub fn into_host(self) -> Host {
        self.host
    }
}

impl FromStr for Address {
    type Err = ParseAddressError;

    /// Parses a host and an optional port. White space around the text is ignored.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let (host, port) = match text.rsplit_once(':') {
            None => (text, 0),
            Some((host, port)) => (host, port.parse().map_err(|_| ParseAddressError::Port)?),
        };
        Ok(Self {
            host: host.parse()?,
            port,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.host.fmt(f)?;
        match self.port {
            0 => Ok(()),
            port => write!(f, ":{port}"),
        }
    }
}

/// A destination, or a hash, key or name by which a destination can be looked up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Host {
    /// The destination itself, in base64.
    Destination(Destination),
    /// `<52 characters>.b32.i2p`: the hash of a destination.
    Hash(Hash),
    /// `<56 characters or more>.b32.i2p`: the key of a destination whose lease set is encrypted.
    Blinded(BlindedAddress),
    /// A host name in an address book, in lower case, such as `stats.i2p`.
    Name(String),
}

impl Host {
    /// The largest length of a name, in characters: naming specification, section "Hostnames".
    pub const MAX_NAME: usize = 67;

    /// The smallest number of characters of a destination in base64, which has at least 387 bytes.
    pub const MIN_BASE64: usize = 516;
}

impl FromStr for Host {
    type Err = ParseAddressError;

    /// Parses any of the forms. Names and base32 may be in either case.
    ///
    /// # Errors
    ///
    /// [`ParseAddressError`]. Its variant depends on the form that the text resembles. A base32 address
    /// of the wrong length is an error, not a name.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(ParseAddressError::Empty);
        }
        let label = strip_b32_suffix(text);
        if label.len() != text.len() {
            return match label.len() {
                B32_HASH_CHARS => Hash::from_b32(label)
                    .map(Self::Hash)
                    .map_err(ParseAddressError::Base32),
                blinded_address::MIN_CHARS.. => Ok(Self::Blinded(BlindedAddress::from_b33(label)?)),
                length => Err(ParseAddressError::B32Length(length)),
            };
        }
        let lower = text.to_ascii_lowercase();
        if lower.ends_with(NAME_SUFFIX) {
            return check_name(lower).map(Self::Name);
        }
        if text.len() >= LOOKS_LIKE_BASE64_CHARS && !text.contains('.') {
            return Destination::from_base64(text)
                .map(Self::Destination)
                .map_err(ParseAddressError::Base64);
        }
        Err(ParseAddressError::NotI2p)
    }
}

impl fmt::Display for Host {
    /// Writes the text form, which can be parsed again. A destination is written in full.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Destination(destination) => f.write_str(&destination.to_base64()),
            Self::Hash(hash) => f.write_str(&hash.to_b32()),
            Self::Blinded(blinded) => f.write_str(&blinded.to_b33()),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// The reason why a text is not an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ParseAddressError {
    /// The text is empty, or there is nothing before the port.
    #[error("the address is empty")]
    Empty,
    /// The text after the colon is not a port.
    #[error("the port is not a number from 0 to 65535")]
    Port,
    /// The text is neither base64 nor a name that ends in `.i2p`.
    #[error("not an i2p host name: it does not end with .i2p")]
    NotI2p,
    /// The text resembles a destination in base64, but is not valid.
    #[error(transparent)]
    Base64(DecodeError),
    /// The text resembles the hash of a destination in base32, but is not valid.
    #[error(transparent)]
    Base32(DecodeError),
    /// A base32 address has neither 52 characters nor 56 or more.
    #[error("b32 address has {0} characters, expected 52, or 56 and more for encrypted lease sets")]
    B32Length(usize),
    /// The text resembles the address of an encrypted lease set, but is not valid.
    #[error(transparent)]
    Blinded(#[from] BlindedAddressError),
    /// A host name violates this rule.
    #[error("not an i2p host name: {0}")]
    Name(&'static str),
}

/// Checks a host name that ends in `.i2p`, in lower case: naming specification, section
/// "Hostnames".
fn check_name(name: String) -> Result<String, ParseAddressError> {
    let error = |why| Err(ParseAddressError::Name(why));
    let labels = name.strip_suffix(NAME_SUFFIX).unwrap_or(&name);
    if name.len() > Host::MAX_NAME {
        return error("it has more than 67 characters");
    }
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    for label in labels.split('.') {
        if label.is_empty() {
            return error("a part between dots is empty");
        }
        if !label.chars().all(allowed) {
            return error("only a-z, 0-9, - and dots are allowed");
        }
        if label.starts_with('-') || label.ends_with('-') {
            return error("a part between dots begins or ends with -");
        }
    }
    Ok(name)
}

/// The suffix of host names.
const NAME_SUFFIX: &str = ".i2p";

/// The length from which text without a dot is treated as a destination, and not as a mistyped
/// name. Chosen between the 67 characters of the longest name and the 516 of the shortest
/// destination.
const LOOKS_LIKE_BASE64_CHARS: usize = 100;

#[cfg(test)]
mod tests;
