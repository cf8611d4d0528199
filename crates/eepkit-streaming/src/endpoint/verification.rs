//! Signature checks of received packets outside of the endpoint.
//!
//! A signature check takes longer than all other processing of a packet. An endpoint behind a lock
//! should not be locked during the check. If handling a packet needs a check,
//! [`Endpoint::receive`] therefore returns a [`Verification`]. [`Endpoint::receive_verified`] then
//! handles the packet.
//!
//! The endpoint requests a check only if it would make one itself in its present state. Packets
//! that are refused because of their ids, the replay guard, the access rules or the limit of
//! answered pings need no check. The state may change before the result is available. If the result
//! does not apply any more, because the stream has another peer or another transient key, the
//! endpoint ignores it and checks again.

use std::time::Instant;

use super::Endpoint;
use crate::{
    packet::{Identity, Packet, VerifyError},
    received::{Received, Verification, Verified},
};

impl Endpoint {
    /// Handles a packet from the network, if that needs no signature check. Otherwise returns the
    /// check. The caller must pass its result to [`Endpoint::receive_verified`].
    ///
    /// [`Endpoint::handle_packet`] combines both calls.
    pub fn receive(&mut self, now: Instant, received: Received) -> Option<Verification> {
        let now = self.advance(now);
        if let Ok(packet) = Packet::parse(&received.packet)
            && packet.is_signed()
            && let Some(known) = self.wants_check(now, &packet)
        {
            return Some(Verification::new(received, known, self.unix_now(now)));
        }
        self.dispatch(now, &received);
        None
    }

    /// Handles a packet after its signature was checked.
    pub fn receive_verified(&mut self, now: Instant, verified: Verified) {
        let now = self.advance(now);
        let received = verified.received().clone();
        self.verified = Some(verified);
        self.dispatch(now, &received);
        self.verified = None;
    }

    /// Whether handling `packet` needs a signature check. The inner value is the peer to check
    /// against.
    ///
    /// Counts a ping against the limit of answered pings.
    fn wants_check(&mut self, now: Instant, packet: &Packet<'_>) -> Option<Option<Identity>> {
        if packet.flags().is_echo() {
            return (packet.send_id() != 0 && self.admits_ping(now, packet)).then_some(None);
        }
        let key = if packet.send_id() != 0 {
            self.by_local.get(&packet.send_id()).copied()
        } else if packet.recv_id() == 0 {
            None
        } else if packet.flags().is_syn() {
            return self.admits_syn(packet).then_some(None);
        } else {
            match self.by_remote.get(&packet.recv_id()).map(Vec::as_slice) {
                Some([key]) => Some(*key),
                _ => None,
            }
        };
        let connection = &self.streams.get(key?)?.connection;
        connection
            .checks_signature(packet)
            .then(|| Some(connection.identity().clone()))
    }

    /// Verifies the signature of a packet that belongs to no stream yet, unless this was done
    /// before.
    pub(super) fn verify(
        &self,
        now: Instant,
        packet: &Packet<'_>,
    ) -> Result<Identity, VerifyError> {
        let before = self.verified.as_ref();
        match before.and_then(|verified| verified.result(packet, None)) {
            Some(result) => result.clone(),
            None => packet.verify(None, self.unix_now(now)),
        }
    }

    /// Whether the signature of a packet that belongs to no stream was checked before.
    pub(super) fn is_verified(&self, packet: &Packet<'_>) -> bool {
        let before = self.verified.as_ref();
        before.is_some_and(|verified| verified.result(packet, None).is_some())
    }
}
