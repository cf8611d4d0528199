//! Received packets, and the checks of their signatures.

use bytes::Bytes;

use crate::packet::{Identity, Packet, VerifyError};

/// A packet from the network.
#[derive(Debug, Clone)]
pub struct Received {
    /// The source port.
    pub from_port: u16,
    /// The destination port.
    pub to_port: u16,
    /// The packet. Its payload is delivered without copying, so it should not be a slice of a much
    /// larger buffer.
    pub packet: Bytes,
}

/// A received packet whose signature must be checked before the packet is handled.
#[derive(Debug)]
#[must_use = "the packet is handled by `Endpoint::receive_verified`"]
pub struct Verification {
    received: Received,
    known: Option<Identity>,
    unix_now: u32,
}

/// A received packet and the result of its signature check.
#[derive(Debug, Clone)]
#[must_use = "the packet is handled by `Endpoint::receive_verified`"]
pub struct Verified {
    received: Received,
    known: Option<Identity>,
    result: Result<Identity, VerifyError>,
}

impl Verification {
    pub(crate) const fn new(received: Received, known: Option<Identity>, unix_now: u32) -> Self {
        Self {
            received,
            known,
            unix_now,
        }
    }

    /// Verifies the signature. This takes tens of microseconds with Ed25519 keys, and up to
    /// milliseconds with older signature types.
    pub fn check(self) -> Verified {
        let result = match Packet::parse(&self.received.packet) {
            Ok(packet) => packet.verify(self.known.as_ref(), self.unix_now),
            Err(error) => Err(error.into()),
        };
        Verified {
            received: self.received,
            known: self.known,
            result,
        }
    }
}

impl Verified {
    pub(crate) const fn received(&self) -> &Received {
        &self.received
    }

    /// The result, if it applies to `packet` and was checked against the same peer.
    pub(crate) fn result(
        &self,
        packet: &Packet<'_>,
        known: Option<&Identity>,
    ) -> Option<&Result<Identity, VerifyError>> {
        let same = packet.is_of(&self.received.packet) && known == self.known.as_ref();
        same.then_some(&self.result)
    }
}
