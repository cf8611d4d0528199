//! The header of datagrams that a SOCKS 5 proxy relays.

use crate::{
    address::{Address, AddressError, canonical},
    reader::Fields,
};

/// The header of a datagram between a program and the relay (RFC 1928, section 7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UdpHeader {
    /// The receiver of a datagram from the program; the sender of a datagram to it.
    pub address: Address,
}

/// The reason why a datagram cannot be relayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UdpError {
    /// The datagram is shorter than its header.
    #[error("the datagram is shorter than its header")]
    TooShort,
    /// The datagram is a fragment. RFC 1928 allows a relay to drop these.
    #[error("the datagram is a fragment")]
    Fragment,
    /// The type of the address is unknown.
    #[error("address type {0:#04x} is unknown")]
    AddressType(u8),
    /// The name is empty, not UTF-8, or contains control characters.
    #[error("the host name is invalid")]
    Name,
}

impl UdpHeader {
    /// Separates the header from the payload.
    ///
    /// # Errors
    ///
    /// [`UdpError`]. The datagram must be dropped.
    pub fn decode(datagram: &[u8]) -> Result<(Self, &[u8]), UdpError> {
        let mut fields = Fields::new(datagram);
        let header = fields.array().map_err(|_| UdpError::TooShort)?;
        let [_, _, fragment] = header;
        if fragment != 0 {
            return Err(UdpError::Fragment);
        }
        let address = Address::read(&mut fields).map_err(|error| match error {
            AddressError::Incomplete => UdpError::TooShort,
            AddressError::Type(kind) => UdpError::AddressType(kind),
            AddressError::Name => UdpError::Name,
        })?;
        let address = Address::new(canonical(address.host), address.port);
        Ok((Self { address }, fields.rest()))
    }

    /// Returns a datagram: this header, and the payload.
    pub fn encode(&self, payload: &[u8]) -> Vec<u8> {
        let mut datagram = vec![0, 0, 0];
        self.address.write(&mut datagram);
        datagram.extend_from_slice(payload);
        datagram
    }
}
