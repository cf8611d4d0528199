//! One end of a stream: a destination and a port.

use std::fmt;

use eepkit_wire::Destination;

use crate::{
    address::{Address, IntoAddress},
    error::AddressError,
};

/// A destination and a port: for streams on I2P what [`SocketAddr`](std::net::SocketAddr) is for
/// TCP. From [`Stream::peer_addr`](crate::Stream::peer_addr) and
/// [`Stream::local_addr`](crate::Stream::local_addr).
///
/// Cheap to clone. The text form has the `.b32.i2p` address and the port, and parses as an
/// [`Address`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct I2pSocketAddr {
    destination: Destination,
    port: u16,
}

impl I2pSocketAddr {
    /// The end at `port` of `destination`.
    pub const fn new(destination: Destination, port: u16) -> Self {
        Self { destination, port }
    }

    /// The destination.
    pub const fn destination(&self) -> &Destination {
        &self.destination
    }

    /// The port; 0 where none was said.
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for I2pSocketAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.destination.to_b32(), self.port)
    }
}

impl From<I2pSocketAddr> for Address {
    fn from(addr: I2pSocketAddr) -> Self {
        Self::new(addr.destination).with_port(addr.port)
    }
}

impl IntoAddress for I2pSocketAddr {
    fn into_address(self) -> Result<Address, AddressError> {
        Ok(self.into())
    }
}

impl IntoAddress for &I2pSocketAddr {
    fn into_address(self) -> Result<Address, AddressError> {
        Ok(self.clone().into())
    }
}
