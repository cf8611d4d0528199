//! A datagram that was received.

use bytes::Bytes;
use eepkit_datagram::{ClaimedSender, Datagram};
use eepkit_link::Payload;
use eepkit_wire::Destination;

/// A datagram and where it came in; from [`DatagramSocket::recv_from`](crate::DatagramSocket).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedDatagram {
    datagram: Datagram,
    protocol: u8,
    from_port: u16,
    to_port: u16,
}

impl ReceivedDatagram {
    pub(super) fn new(datagram: Datagram, payload: &Payload) -> Self {
        Self {
            datagram,
            protocol: payload.protocol,
            from_port: payload.from_port,
            to_port: payload.to_port,
        }
    }

    /// The datagram. What is known of its sender is in its variants.
    pub fn datagram(&self) -> &Datagram {
        &self.datagram
    }

    /// The datagram, without the rest.
    pub fn into_datagram(self) -> Datagram {
        self.datagram
    }

    /// The payload.
    pub fn payload(&self) -> &Bytes {
        self.datagram.payload()
    }

    /// The sender, if authenticated: in Datagram1 and 2, but not over SAM on emissary, which
    /// delivers raw datagrams that look signed as signed ones.
    pub fn sender(&self) -> Option<&Destination> {
        match &self.datagram {
            Datagram::Authenticated(datagram) => Some(datagram.sender()),
            Datagram::Anonymous(_) | Datagram::Claimed(_) => None,
        }
    }

    /// The claimed sender: in Datagram3, and in Datagram1 over SAM on emissary. The claim is not
    /// authenticated.
    pub fn claimed_sender(&self) -> Option<ClaimedSender> {
        match &self.datagram {
            Datagram::Claimed(datagram) => Some(datagram.claimed_sender()),
            Datagram::Anonymous(_) | Datagram::Authenticated(_) => None,
        }
    }

    /// The I2CP protocol number it came with.
    pub fn protocol(&self) -> u8 {
        self.protocol
    }

    /// The port it came from. No signature covers it.
    pub fn from_port(&self) -> u16 {
        self.from_port
    }

    /// The port it came to. No signature covers it.
    pub fn to_port(&self) -> u16 {
        self.to_port
    }
}
