//! Paths and their ids.

use std::time::Instant;

use eepkit_wire::LeaseId;

/// Identifies a path to a peer. Paths to different peers may have the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct PathId(pub u64);

impl PathId {
    /// The anonymous path, on which the router chooses tunnel and lease of each message.
    pub const ANY: Self = Self(0);

    /// Whether this is [`PathId::ANY`].
    pub const fn is_any(self) -> bool {
        self.0 == Self::ANY.0
    }
}

/// Identifies an outbound tunnel of this session. The endpoint does not interpret the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TunnelId(pub u64);

/// A path to a peer: an outbound tunnel of this session with a lease of the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path {
    /// The id of the path; not [`PathId::ANY`].
    pub id: PathId,
    /// The outbound tunnel.
    pub tunnel: TunnelId,
    /// The lease.
    pub lease: LeaseId,
    /// When the tunnel or the lease expires, whichever is first. `None` if unknown.
    pub expires: Option<Instant>,
}

/// A lease of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerLease {
    /// The id of the lease.
    pub id: LeaseId,
    /// When the lease expires.
    pub expires: Instant,
}
