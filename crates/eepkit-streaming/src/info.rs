//! The state of a stream as its application sees it.

use std::time::Duration;

use eepkit_wire::Destination;

use crate::{error::CloseReason, kind::PeerKind};

/// The two ports of a stream. I2P ports are 0 to 65,535; 0 is "any" and the usual one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Ports {
    /// Ours.
    pub local: u16,
    /// The peer's.
    pub remote: u16,
}

/// The state of a stream, for diagnostics and tests.
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
    /// Congestion window in packets, of all streams to the peer.
    pub cwnd: u32,
    /// Pacing rate in packets per second, once known.
    pub pacing_rate: Option<f64>,
    /// Packets of this stream in flight.
    pub in_flight: u32,
    /// Largest payload of a packet in bytes.
    pub mtu: usize,
    /// The peer has no room for data.
    pub choked: bool,
    /// Bytes written that were never sent.
    pub unsent: usize,
    /// Memory held for the reader, in bytes.
    pub unread: usize,
    /// Bytes accepted from the writer.
    pub bytes_written: u64,
    /// Bytes delivered to the reader.
    pub bytes_read: u64,
    /// Packets sent that have sequence numbers, retransmissions included.
    pub packets_sent: u64,
    /// Retransmissions.
    pub packets_resent: u64,
    /// Packets received.
    pub packets_received: u64,
}
