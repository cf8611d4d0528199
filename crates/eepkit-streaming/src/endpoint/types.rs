//! What goes into an [`Endpoint`] and what comes out.

use std::{
    fmt,
    time::{Duration, Instant},
};

use bytes::Bytes;
use eepkit_wire::Destination;
use slotmap::Key as _;

#[cfg(doc)]
use super::Endpoint;
use super::keys::StreamKey;
use crate::{CloseReason, path::PathId};

/// Names a stream of an [`Endpoint`]; never used again for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub(super) StreamKey);

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.data().as_ffi())
    }
}

/// Names a ping of an [`Endpoint`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PingId(pub(super) u32);

/// A packet for the network.
#[derive(Debug, Clone)]
#[must_use]
pub struct Transmit {
    /// Who it is for.
    pub to: Destination,
    /// Our port.
    pub from_port: u16,
    /// Port that it is for.
    pub to_port: u16,
    /// The packet.
    pub packet: Bytes,
    /// Whether deflating it may pay off.
    pub compress: bool,
    /// It opens or answers a stream: our lease set should travel along.
    pub first: bool,
    /// The path to take, as given to [`Endpoint::set_paths`].
    pub path: PathId,
    /// It is of no use after this instant.
    pub deadline: Instant,
}

/// What the endpoint wants next.
#[derive(Debug)]
#[must_use]
pub enum Output {
    /// Send this packet.
    Transmit(Transmit),
    /// Tell the application.
    Event(Event),
    /// Nothing until this instant, if any.
    Timeout(Option<Instant>),
}

/// What the application should know.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The peer answered: an outgoing stream is established.
    Connected(StreamId),
    /// A stream waits to be accepted.
    Incoming {
        /// Our port.
        port: u16,
    },
    /// After [`Read::Pending`], there is something to read, or the end.
    Readable(StreamId),
    /// After a write took less than all, there is room again.
    Writable(StreamId),
    /// The peer has everything that was written.
    Flushed(StreamId),
    /// The stream is over. What arrived before can still be read, unless it was reset.
    Closed {
        /// The stream.
        id: StreamId,
        /// Why.
        reason: CloseReason,
    },
    /// A ping was answered.
    Pong {
        /// The ping.
        id: PingId,
        /// How long it took.
        rtt: Duration,
        /// What came back: at most 32 bytes of what was sent, nothing from old peers.
        payload: Bytes,
    },
    /// A ping was not answered in time.
    PingTimeout(PingId),
    /// Look up the lease set of a peer, whose leases are unknown, expire soon or seem dead. The answer is
    /// due: [`Endpoint::lease_set_found`] or [`Endpoint::lease_set_not_found`].
    LeaseSetLookup {
        /// The peer.
        to: Destination,
    },
}

/// What a read returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// The next bytes, at least one.
    Data(Bytes),
    /// Nothing now; [`Event::Readable`] follows.
    Pending,
    /// The peer closed its side and everything was read.
    End,
}

/// An accepted stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// The stream.
    pub id: StreamId,
    /// Who opened it, proven by signature.
    pub peer: Destination,
    /// Our port.
    pub local_port: u16,
    /// The peer's port.
    pub remote_port: u16,
}
