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
use super::entries::StreamKey;
use crate::{CloseReason, PeerKind, path::PathId};

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

/// The two ports of a stream. I2P ports are 0 to 65,535; 0 is "any" and the usual one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Ports {
    /// Ours.
    pub local: u16,
    /// The peer's.
    pub remote: u16,
}

/// A packet from the network.
#[derive(Debug, Clone)]
pub struct Received {
    /// Port of the sender.
    pub from_port: u16,
    /// Port that it is for.
    pub to_port: u16,
    /// The packet. Payloads are handed on without copying, so it should not be part of a much larger
    /// buffer.
    pub packet: Bytes,
}

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

/// A stream's state, for people and for tests.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct StreamInfo {
    /// The peer.
    pub peer: Destination,
    /// Which software the peer seems to run.
    pub peer_kind: PeerKind,
    /// The ports.
    pub ports: Ports,
    /// We opened it.
    pub initiator: bool,
    /// Both sides know of it.
    pub established: bool,
    /// Why it is over, if it is.
    pub closed: Option<CloseReason>,
    /// Smoothed round-trip time, once measured.
    pub rtt: Option<Duration>,
    /// Retransmission timeout.
    pub rto: Duration,
    /// Packets that may be on their way to the peer, of all its streams.
    pub cwnd: u32,
    /// Packets per second that leave at most, once known.
    pub pacing_rate: Option<f64>,
    /// Packets of this stream on their way.
    pub in_flight: u32,
    /// Largest payload of a packet in bytes.
    pub mtu: usize,
    /// The peer has no room for data.
    pub choked: bool,
    /// Bytes written that were never sent.
    pub unsent: usize,
    /// Memory held for the reader, in bytes.
    pub unread: usize,
    /// Bytes taken from the writer.
    pub bytes_written: u64,
    /// Bytes given to the reader.
    pub bytes_read: u64,
    /// Packets sent that have sequence numbers, retransmissions included.
    pub packets_sent: u64,
    /// Retransmissions.
    pub packets_resent: u64,
    /// Packets received.
    pub packets_received: u64,
}
