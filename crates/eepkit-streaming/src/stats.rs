//! Counters of an endpoint.

/// Counters of dropped and refused packets and streams, for diagnostics and tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Packets that cannot be parsed, or that violate the protocol.
    pub malformed: u64,
    /// Packets whose required signature is missing or invalid.
    pub bad_signatures: u64,
    /// First packets that were signed for another destination.
    pub replays: u64,
    /// Packets that belong to no stream.
    pub unknown_stream: u64,
    /// Acknowledgements of packets that were never sent.
    pub bad_acks: u64,
    /// Packets that had arrived before.
    pub duplicates: u64,
    /// Packets dropped because the receive buffer was full.
    pub no_room: u64,
    /// Incoming streams of peers that the access rules exclude.
    pub denied: u64,
    /// Incoming streams beyond a limit.
    pub limited: u64,
    /// Incoming streams to ports without a listener, or with a full backlog.
    pub refused: u64,
}
