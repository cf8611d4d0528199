//! Records of transmissions.

use std::time::Instant;

use crate::{path::PathId, path_table::MAX_ACTIVE_PATHS};

/// One transmission of a packet, until the packet is acknowledged or declared lost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SentPacket {
    /// When the packet was sent.
    pub(crate) sent_at: Instant,
    /// The number of the transmission among all transmissions to this peer.
    pub(crate) order: u64,
    /// Packets that the peer had acknowledged at that time.
    pub(crate) delivered: u64,
    /// When the last of those was acknowledged.
    pub(crate) delivered_at: Instant,
    /// When the oldest packet of the same flight was sent.
    pub(crate) first_sent_at: Instant,
    /// The path. An acknowledgement over one path is no sign of loss on another.
    pub(crate) path: PathId,
    /// Index of the path state that counts the packet as in flight.
    pub(crate) state: u8,
    /// Whether the application, not the network, limited the sending rate at that time.
    pub(crate) app_limited: bool,
    /// It asked for an acknowledgement at once.
    pub(crate) asks: bool,
    /// It took more than one tunnel message.
    pub(crate) is_long: bool,
}

/// A transmission that was acknowledged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AckedPacket {
    pub(crate) sent: SentPacket,
    /// How often the packet was sent.
    pub(crate) transmissions: u8,
    /// The packet was declared lost and not retransmitted yet, so the loss was spurious.
    pub(crate) was_lost: bool,
}

/// Numbers of packets of a stream, by the path state that counts them.
pub(crate) type PerPath = [u32; MAX_ACTIVE_PATHS];
