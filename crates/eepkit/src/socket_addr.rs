//! One end of a stream: a destination and a port.

use std::fmt;

use eepkit_wire::Destination;

use crate::{
    address::{Address, IntoAddress},
    error::AddressError,
};

/// A destination and a port, the counterpart of [`SocketAddr`](std::net::SocketAddr) for streams on
/// I2P. Returned by [`Stream::peer_addr`](crate::Stream::peer_addr) and
/// [`Stream::local_addr`](crate::Stream::local_addr).
///
/// Cheap to clone. The text form consists of the `.b32.i2p` address and the port. It can be parsed
/// as an [`Address`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct I2pSocketAddr {
    destination: Destination,
    port: u16,
}

impl I2pSocketAddr {
    /// Combines a destination and a port.
    pub const fn new(destination: Destination, port: u16) -> Self {
        Self { destination, port }
    }

    /// The destination.
    pub const fn destination(&self) -> &Destination {
        &self.destination
    }

    /// The port; 0 if none was given.
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
