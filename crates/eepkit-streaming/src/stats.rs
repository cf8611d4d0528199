//! Counters of an endpoint.

/// Counters of what was dropped or refused, for people and for tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Packets that are not streaming packets, or make no sense.
    pub malformed: u64,
    /// Missing or wrong signatures where one is required.
    pub bad_signatures: u64,
    /// First packets that were made for another destination.
    pub replays: u64,
    /// Packets of no stream.
    pub unknown_stream: u64,
    /// Acknowledgements of packets never sent.
    pub bad_acks: u64,
    /// Packets that had arrived before.
    pub duplicates: u64,
    /// Packets dropped because the reader was too slow.
    pub no_room: u64,
    /// Incoming streams of peers that may not connect.
    pub denied: u64,
    /// Incoming streams beyond a limit.
    pub limited: u64,
    /// Incoming streams to ports where nobody listens, or with a full queue.
    pub refused: u64,
}
