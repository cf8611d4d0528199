//! Signature checks of received packets, apart from the endpoint.
//!
//! A signature check takes longer than everything else that is done with a packet. An endpoint that is
//! shared behind a lock should not be locked for it. [`Endpoint::receive`] therefore returns a
//! [`Verification`] where handling a packet needs a check, and [`Endpoint::receive_verified`] handles the
//! packet afterwards.
//!
//! The endpoint asks for a check only where it would make one itself in its present state: packets that
//! fail on their ids, the replay guard, the access rules or the limit of answered pings cost none. The
//! state may change before the result comes back. A result that no longer fits, because the stream has
//! another peer or another transient key, is ignored, and the endpoint checks again.

use std::time::Instant;

use super::Endpoint;
use crate::{
    packet::{Identity, Packet, VerifyError},
    received::{Received, Verification, Verified},
};

impl Endpoint {
    /// Handles a packet from the network, unless its signature has to be checked for that: then the check
    /// is returned, to be followed by [`Endpoint::receive_verified`].
    ///
    /// Together they do what [`Endpoint::handle_packet`] does at once.
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

    /// Handles a packet whose signature was checked.
    pub fn receive_verified(&mut self, now: Instant, verified: Verified) {
        let now = self.advance(now);
        let received = verified.received().clone();
        self.verified = Some(verified);
        self.dispatch(now, &received);
        self.verified = None;
    }

    /// Whether handling `packet` involves checking its signature, and against which peer.
    ///
    /// Takes a ping out of the limit of answered pings.
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

    /// Checks the signature of a packet that belongs to no stream yet, unless that was done before.
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

    /// Whether the signature of this packet, which belongs to no stream, was checked before.
    pub(super) fn is_verified(&self, packet: &Packet<'_>) -> bool {
        let before = self.verified.as_ref();
        before.is_some_and(|verified| verified.result(packet, None).is_some())
    }
}
