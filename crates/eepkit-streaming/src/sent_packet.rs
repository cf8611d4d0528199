//! What is remembered about the transmissions of packets.

use std::time::Instant;

use crate::{path::PathId, path_table::MAX_ACTIVE_PATHS};

/// One transmission of a packet, until its fate is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SentPacket {
    /// When it left.
    pub(crate) sent_at: Instant,
    /// Its number among all transmissions to this peer.
    pub(crate) order: u64,
    /// Packets that the peer had acknowledged by then.
    pub(crate) delivered: u64,
    /// When the last of those was acknowledged.
    pub(crate) delivered_at: Instant,
    /// When the oldest packet of the flight that it belongs to left.
    pub(crate) first_sent_at: Instant,
    /// Its path. Packets of different paths prove nothing about each other.
    pub(crate) path: PathId,
    /// Index of the path state that counts it as in flight.
    pub(crate) state: u8,
    /// Whether the application, not the network, limited the sending rate then.
    pub(crate) app_limited: bool,
}

/// A transmission that was acknowledged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AckedPacket {
    pub(crate) sent: SentPacket,
    /// How often the packet was sent.
    pub(crate) transmissions: u8,
    /// It was declared lost and not retransmitted yet: the loss was spurious.
    pub(crate) was_lost: bool,
}

/// Packets of a stream, by the path state that counts them.
pub(crate) type PerPath = [u32; MAX_ACTIVE_PATHS];
