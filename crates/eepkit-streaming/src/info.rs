//! The state of a stream, as reported to the application.

use std::time::Duration;

use eepkit_wire::Destination;

use crate::{error::CloseReason, kind::PeerKind};

/// The two ports of a stream. I2P ports are 0 to 65,535. Port 0 means "any" and is the most common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Ports {
    /// The port of this side.
    pub local: u16,
    /// The port of the peer.
    pub remote: u16,
}

/// The state of a stream, for diagnostics and tests.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct StreamInfo {
    /// The peer.
    pub peer: Destination,
    /// The streaming implementation of the peer, as far as it was recognised.
    pub peer_kind: PeerKind,
    /// The ports.
    pub ports: Ports,
    /// Whether this side opened the stream.
    pub initiator: bool,
    /// Whether the handshake is complete.
    pub established: bool,
    /// Why the stream ended, if it has ended.
    pub closed: Option<CloseReason>,
    /// Smoothed round-trip time. `None` before the first sample.
    pub rtt: Option<Duration>,
    /// Retransmission timeout.
    pub rto: Duration,
    /// Congestion window in packets, for all streams to the peer together.
    pub cwnd: u32,
    /// Pacing rate in packets per second. `None` before the first RTT sample.
    pub pacing_rate: Option<f64>,
    /// Packets of this stream in flight.
    pub in_flight: u32,
    /// Largest payload of a packet in bytes.
    pub mtu: usize,
    /// Whether the peer has requested to stop sending, because it has no room for data.
    pub choked: bool,
    /// Bytes written and not sent yet.
    pub unsent: usize,
    /// Memory of data that was received in order and not read yet, in bytes.
    pub unread: usize,
    /// Bytes accepted from the writer.
    pub bytes_written: u64,
    /// Bytes delivered to the reader.
    pub bytes_read: u64,
    /// Packets with sequence numbers that were sent, including retransmissions.
    pub packets_sent: u64,
    /// Retransmissions.
    pub packets_resent: u64,
    /// Packets received.
    pub packets_received: u64,
}
