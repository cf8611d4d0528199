//! Inputs and outputs of an [`Endpoint`].

use std::{
    fmt,
    ops::Range,
    time::{Duration, Instant},
};

use bytes::Bytes;
use eepkit_wire::{Destination, PrivateKeys};
use slotmap::Key as _;

#[cfg(doc)]
use super::Endpoint;
use super::keys::StreamKey;
use crate::{CloseReason, packet, path::PathId};

/// Identifies a stream of an [`Endpoint`]. An id is never reused for another stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub(super) StreamKey);

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.data().as_ffi())
    }
}

/// Identifies a ping of an [`Endpoint`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PingId(pub(super) u32);

/// A packet for the network.
#[derive(Debug, Clone)]
#[must_use]
pub struct Transmit {
    /// The recipient.
    pub to: Destination,
    /// The source port.
    pub from_port: u16,
    /// The destination port.
    pub to_port: u16,
    /// The packet, which is complete after [`Transmit::sign`].
    pub packet: Bytes,
    /// The place of the missing signature.
    pub(crate) unsigned: Option<Range<usize>>,
    /// Whether the packet should be deflated.
    pub compress: bool,
    /// Whether the packet opens or answers a stream, or belongs to no stream. The session's lease
    /// set should then be bundled with it.
    pub first: bool,
    /// The path, which [`Endpoint::resolve_path`] converts to a tunnel and a lease.
    pub path: PathId,
    /// The packet should be dropped after this instant.
    pub deadline: Instant,
}

impl Transmit {
    /// Adds the signature if the packet is to be signed and has none yet. `keys` are those of the
    /// endpoint. To be called before the packet is sent.
    ///
    /// A signature with Ed25519 takes some tens of microseconds. A driver that locks the endpoint
    /// signs without the lock.
    pub fn sign(&mut self, keys: &PrivateKeys) {
        if let Some(place) = self.unsigned.take() {
            self.packet = packet::sign(std::mem::take(&mut self.packet), place, keys);
        }
    }
}

/// An output of the endpoint.
#[derive(Debug)]
#[must_use]
pub enum Output {
    /// A packet to send.
    Transmit(Transmit),
    /// An event for the application.
    Event(Event),
    /// There is no further output before this instant, or before the next call if it is `None`.
    Timeout(Option<Instant>),
}

/// An event for the application.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The peer answered, and an outgoing stream is established.
    Connected(StreamId),
    /// A stream waits to be accepted.
    Incoming {
        /// The port of this side.
        port: u16,
    },
    /// After [`Read::Pending`], data or the end can be read.
    Readable(StreamId),
    /// After a partial write, there is room again.
    Writable(StreamId),
    /// The peer has acknowledged all written data.
    Flushed(StreamId),
    /// The stream has ended. Data that arrived before can still be read, unless the stream was
    /// reset.
    Closed {
        /// The stream.
        id: StreamId,
        /// The reason.
        reason: CloseReason,
    },
    /// A ping was answered.
    Pong {
        /// The ping.
        id: PingId,
        /// The round-trip time.
        rtt: Duration,
        /// At most 32 bytes of the payload of the ping. Empty if the peer does not echo payloads.
        payload: Bytes,
    },
    /// A ping was not answered in time.
    PingTimeout(PingId),
    /// Requests a look-up of the lease set of a peer, whose leases are unknown, expire soon or seem
    /// to have failed. The caller must answer with [`Endpoint::lease_set_found`] or
    /// [`Endpoint::lease_set_not_found`].
    LeaseSetLookup {
        /// The peer.
        to: Destination,
    },
    /// The encryption session with a peer may be lost, because the router of the peer, or ours, was
    /// restarted. If the router allows it, the caller should begin a new one.
    PeerSilent {
        /// The peer.
        peer: Destination,
        /// How long the peer has answered neither SYN nor pings. Zero if it repeats what was
        /// answered, or if it does not acknowledge data although other packets of it arrive. See
        /// [`Endpoint::is_unheard`].
        silence: Duration,
    },
}

/// The result of a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// The next bytes, at least one.
    Data(Bytes),
    /// No data is available. [`Event::Readable`] follows.
    Pending,
    /// The peer closed its side, and all data was read.
    End,
}

/// An accepted stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// The stream.
    pub id: StreamId,
    /// The peer, which its signature has authenticated.
    pub peer: Destination,
    /// The port of this side.
    pub local_port: u16,
    /// The port of the peer.
    pub remote_port: u16,
}
