//! Addresses on I2P: a destination, its hash or a name, with an optional port.

use std::{fmt, str::FromStr};

use eepkit_wire::{Destination, Hash};

use crate::error::AddressError;

/// A host and a port.
///
/// The text form is one of these, optionally followed by `:port`. The default port is 0; a peer
/// that listens on all ports accepts it.
///
/// * a destination in I2P base64 (516 characters and more),
/// * a base32 address: 52 characters and `.b32.i2p`,
/// * a host name ending in `.i2p`.
///
/// ```
/// use eepkit::{Address, Host};
///
/// let address: Address = "irc.postman.i2p:6667".parse()?;
/// assert_eq!(address.port, 6667);
/// assert_eq!(address.host, Host::Name("irc.postman.i2p".into()));
/// # Ok::<(), eepkit::AddressError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// The host.
    pub host: Host,
    /// The port at the host; 0 if none was given.
    pub port: u16,
}

/// A host on I2P.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Host {
    /// The destination itself, which needs no look-up.
    Destination(Destination),
    /// The hash of a destination (`.b32.i2p`). The destination is looked up in the network
    /// database.
    Hash(Hash),
    /// A host name in lower case, which is looked up in an address book.
    Name(String),
}

impl Address {
    /// An address without a port.
    pub fn new(host: impl Into<Host>) -> Self {
        Self {
            host: host.into(),
            port: 0,
        }
    }

    /// The same host with another port.
    #[must_use]
    pub fn with_port(self, port: u16) -> Self {
        Self { port, ..self }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let address: eepkit_wire::Address = text.parse().map_err(|error| {
            let text = text.trim();
            let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
            refusal(error, host, port)
        })?;
        Ok(Self {
            port: address.port(),
            host: supported(address.into_host())?,
        })
    }
}

impl FromStr for Host {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let host = text.parse().map_err(|error| refusal(error, text, ""))?;
        supported(host)
    }
}

impl fmt::Display for Address {
    /// Writes a form that can be parsed again. A destination is written in full.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Destination(destination) => f.write_str(&destination.to_base64())?,
            Host::Hash(hash) => f.write_str(&hash.to_b32())?,
            Host::Name(name) => f.write_str(name)?,
        }
        match self.port {
            0 => Ok(()),
            port => write!(f, ":{port}"),
        }
    }
}

impl From<Destination> for Host {
    fn from(destination: Destination) -> Self {
        Self::Destination(destination)
    }
}

impl From<&Destination> for Host {
    fn from(destination: &Destination) -> Self {
        Self::Destination(destination.clone())
    }
}

impl From<Hash> for Host {
    fn from(hash: Hash) -> Self {
        Self::Hash(hash)
    }
}

/// Types that convert to an [`Address`]: text, a destination or a hash, or a pair of one of them
/// and a port.
///
/// In a pair, the port replaces a port in the text.
pub trait IntoAddress {
    /// Converts `self`.
    ///
    /// # Errors
    ///
    /// [`AddressError`] if the text is not an address.
    fn into_address(self) -> Result<Address, AddressError>;
}

impl IntoAddress for Address {
    fn into_address(self) -> Result<Address, AddressError> {
        Ok(self)
    }
}

impl IntoAddress for &Address {
    fn into_address(self) -> Result<Address, AddressError> {
        Ok(self.clone())
    }
}

impl IntoAddress for Host {
    fn into_address(self) -> Result<Address, AddressError> {
        Ok(Address::new(self))
    }
}

impl IntoAddress for Destination {
    fn into_address(self) -> Result<Address, AddressError> {
        Ok(Address::new(self))
    }
}

impl IntoAddress for &Destination {
    fn into_address(self) -> Result<Address, AddressError> {
        Ok(Address::new(self))
    }
}

impl IntoAddress for Hash {
    fn into_address(self) -> Result<Address, AddressError> {
        Ok(Address::new(self))
    }
}

impl IntoAddress for &str {
    fn into_address(self) -> Result<Address, AddressError> {
        self.parse()
    }
}

impl IntoAddress for &String {
    fn into_address(self) -> Result<Address, AddressError> {
        self.parse()
    }
}

impl IntoAddress for String {
    fn into_address(self) -> Result<Address, AddressError> {
        self.parse()
    }
}

impl<T: IntoAddress> IntoAddress for (T, u16) {
    fn into_address(self) -> Result<Address, AddressError> {
        Ok(self.0.into_address()?.with_port(self.1))
    }
}

fn supported(host: eepkit_wire::Host) -> Result<Host, AddressError> {
    match host {
        eepkit_wire::Host::Destination(destination) => Ok(Host::Destination(destination)),
        eepkit_wire::Host::Hash(hash) => Ok(Host::Hash(hash)),
        eepkit_wire::Host::Name(name) => Ok(Host::Name(name)),
        _ => Err(AddressError::EncryptedLeaseSet),
    }
}

/// Converts the error, and adds a part of the text for the message.
fn refusal(error: eepkit_wire::ParseAddressError, host: &str, port: &str) -> AddressError {
    match error {
        eepkit_wire::ParseAddressError::Empty => AddressError::Empty,
        eepkit_wire::ParseAddressError::Port => AddressError::Port(abbreviated(port)),
        eepkit_wire::ParseAddressError::Base64(why) => AddressError::Destination(why.to_string()),
        eepkit_wire::ParseAddressError::Name(why) => AddressError::Name {
            name: abbreviated(&host.to_ascii_lowercase()),
            why,
        },
        eepkit_wire::ParseAddressError::NotI2p => AddressError::NotI2p(abbreviated(host)),
        other => AddressError::Base32(other.to_string()),
    }
}

/// Shortens input for an error message.
fn abbreviated(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}...", &text[..at]),
    }
}

/// Characters of the input in an error message. Chosen so that a message fits on one line.
const SHOWN_CHARS: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed_in_lower_case_with_a_port() {
        let address: Address = " Example.I2P:80 ".parse().expect("valid");
        assert_eq!(address.host, Host::Name("example.i2p".to_owned()));
        assert_eq!(address.port, 80);
        assert_eq!(address.to_string(), "example.i2p:80");
    }

    #[test]
    fn base32_is_parsed_in_either_case() {
        let hash = Hash::of(b"someone");
        let text = hash.to_b32();
        let parsed: Address = text.to_ascii_uppercase().parse().expect("valid");
        assert_eq!(parsed.host, Host::Hash(hash));
        assert_eq!(parsed.port, 0);
    }

    #[test]
    fn every_kind_of_wrong_address_has_its_own_error() {
        let wrong = |text: &str| text.parse::<Address>().expect_err(text);
        assert_eq!(wrong(""), AddressError::Empty);
        assert_eq!(wrong(":80"), AddressError::Empty);
        assert!(matches!(wrong("a.i2p:http"), AddressError::Port(_)));
        assert!(matches!(wrong("a.i2p:65536"), AddressError::Port(_)));
        assert!(matches!(wrong("example.com"), AddressError::NotI2p(_)));
        assert!(matches!(wrong("127.0.0.1:80"), AddressError::NotI2p(_)));
        assert!(matches!(wrong("a_b.i2p"), AddressError::Name { .. }));
        assert!(matches!(wrong(".i2p"), AddressError::Name { .. }));
        assert!(matches!(wrong("short.b32.i2p"), AddressError::Base32(_)));
        let blinded = "rj4s2aabaibqibiga4eascqlbqgq4dyqcejbgfavcylrqgi2dmob2hq7";
        assert_eq!(
            wrong(&format!("{blinded}.b32.i2p")),
            AddressError::EncryptedLeaseSet
        );
        let mistyped = format!("s{}.b32.i2p", &blinded[1..]);
        assert!(matches!(wrong(&mistyped), AddressError::Base32(_)));
        assert!(matches!(
            wrong(&"A".repeat(200)),
            AddressError::Destination(_)
        ));
        assert!(matches!(
            wrong(&"!".repeat(600)),
            AddressError::Destination(_)
        ));
    }

    #[test]
    fn errors_do_not_repeat_long_input() {
        let error = "x".repeat(90).parse::<Address>().expect_err("no address");
        assert!(error.to_string().len() < 100, "{error}");
    }

    #[test]
    fn a_separate_port_replaces_that_in_the_text() {
        let address = ("a.i2p:1", 2).into_address().expect("valid");
        assert_eq!(address.port, 2);
    }
}
