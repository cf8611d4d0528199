//! Addresses in requests, replies and datagrams.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use crate::reader::{Fields, Incomplete};

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// The host.
    pub host: Host,
    /// The port. Port 0 is valid in replies only.
    pub port: u16,
}

/// A host: a name or an IP address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name of 1 to 255 bytes. It is UTF-8 and contains no control characters. Whether it is a
    /// valid host name was not checked.
    Name(String),
    /// An IP address.
    Ip(IpAddr),
}

/// The address of a SOCKS 5 message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AddressError {
    Incomplete,
    /// The address type is unknown.
    Type(u8),
    /// The name is empty, not UTF-8, or contains control characters.
    Name,
}

impl From<Incomplete> for AddressError {
    fn from(Incomplete: Incomplete) -> Self {
        Self::Incomplete
    }
}

pub(crate) const IPV4: u8 = 1;
pub(crate) const NAME: u8 = 3;
pub(crate) const IPV6: u8 = 4;

impl Address {
    /// Creates an address.
    pub const fn new(host: Host, port: u16) -> Self {
        Self { host, port }
    }

    /// Reads the address type, the address and the port (RFC 1928, section 5).
    pub(crate) fn read(fields: &mut Fields<'_>) -> Result<Self, AddressError> {
        let host = match fields.byte()? {
            IPV4 => Host::Ip(IpAddr::from(fields.array::<4>()?)),
            IPV6 => Host::Ip(IpAddr::from(fields.array::<16>()?)),
            NAME => Host::Name(name(fields.counted()?).ok_or(AddressError::Name)?),
            other => return Err(AddressError::Type(other)),
        };
        let port = fields.port()?;
        Ok(Self { host, port })
    }

    /// Appends the address type, the address and the port. A name of more than 255 bytes is cut,
    /// which [`Host::name`] prevents.
    pub(crate) fn write(&self, to: &mut Vec<u8>) {
        match &self.host {
            Host::Ip(IpAddr::V4(ip)) => {
                to.push(IPV4);
                to.extend(ip.octets());
            }
            Host::Ip(IpAddr::V6(ip)) => {
                to.push(IPV6);
                to.extend(ip.octets());
            }
            Host::Name(name) => {
                let name = name.as_bytes();
                let length = u8::try_from(name.len()).unwrap_or(u8::MAX);
                to.extend([NAME, length]);
                to.extend(name.iter().take(usize::from(length)));
            }
        }
        to.extend(self.port.to_be_bytes());
    }
}

impl Host {
    /// The host with this name; `None` if the name is empty, longer than 255 bytes, or contains
    /// control characters.
    pub fn name(text: &str) -> Option<Self> {
        name(text.as_bytes()).map(Self::Name)
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::new(Host::Ip(address.ip()), address.port())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(ip) => SocketAddr::new(*ip, self.port).fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// A name from a message.
pub(crate) fn name(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let is_valid =
        !text.is_empty() && text.len() <= MAX_NAME && !text.chars().any(char::is_control);
    is_valid.then(|| text.to_owned())
}

/// The address `0.0.0.0:0`, which replies contain if there is no other.
pub(crate) const fn unspecified() -> Address {
    Address::new(Host::Ip(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), 0)
}

/// The IPv4 form of an address, as far as it has one.
pub(crate) fn to_ipv4(host: &Host) -> Ipv4Addr {
    match host {
        Host::Ip(IpAddr::V4(ip)) => *ip,
        Host::Ip(IpAddr::V6(ip)) => ip.to_ipv4_mapped().unwrap_or(Ipv4Addr::UNSPECIFIED),
        Host::Name(_) => Ipv4Addr::UNSPECIFIED,
    }
}

/// An IPv6 address that contains an IPv4 address is that address.
pub(crate) fn canonical(host: Host) -> Host {
    match host {
        Host::Ip(IpAddr::V6(ip)) => Host::Ip(canonical_ip(ip)),
        host => host,
    }
}

fn canonical_ip(ip: Ipv6Addr) -> IpAddr {
    ip.to_canonical()
}

/// The length of a name fits in one byte (RFC 1928, section 5).
pub(crate) const MAX_NAME: usize = 255;
