//! A datagram that was received.

use bytes::Bytes;
use eepkit_datagram::{ClaimedSender, Datagram};
use eepkit_link::Payload;
use eepkit_wire::Destination;

/// A received datagram with its protocol number and ports. Returned by
/// [`DatagramSocket::recv_from`](crate::DatagramSocket).
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

    /// The datagram. Its variant states how far the sender is verified.
    pub fn datagram(&self) -> &Datagram {
        &self.datagram
    }

    /// Returns the datagram without the protocol number and the ports.
    pub fn into_datagram(self) -> Datagram {
        self.datagram
    }

    /// The payload.
    pub fn payload(&self) -> &Bytes {
        self.datagram.payload()
    }

    /// The authenticated sender, of Datagram1 and Datagram2. `None` over SAM on emissary, because
    /// emissary delivers a raw datagram that has the form of a signed one as a signed one.
    pub fn sender(&self) -> Option<&Destination> {
        match &self.datagram {
            Datagram::Authenticated(datagram) => Some(datagram.sender()),
            Datagram::Anonymous(_) | Datagram::Claimed(_) => None,
        }
    }

    /// The claimed sender, of Datagram3, and of Datagram1 over SAM on emissary. The claim is not
    /// authenticated.
    pub fn claimed_sender(&self) -> Option<ClaimedSender> {
        match &self.datagram {
            Datagram::Claimed(datagram) => Some(datagram.claimed_sender()),
            Datagram::Anonymous(_) | Datagram::Authenticated(_) => None,
        }
    }

    /// The I2CP protocol number of the message.
    pub fn protocol(&self) -> u8 {
        self.protocol
    }

    /// The source port. No signature covers it.
    pub fn from_port(&self) -> u16 {
        self.from_port
    }

    /// The destination port. No signature covers it.
    pub fn to_port(&self) -> u16 {
        self.to_port
    }
}
