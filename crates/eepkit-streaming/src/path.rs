//! Paths and their names.

use std::time::Instant;

use eepkit_wire::LeaseId;

/// Names a path to a peer. Names of different peers may be equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct PathId(pub u64);

impl PathId {
    /// The anonymous path: the router chooses tunnel and lease of each message.
    pub const ANY: Self = Self(0);

    /// Whether this is [`PathId::ANY`].
    pub const fn is_any(self) -> bool {
        self.0 == Self::ANY.0
    }
}

/// Names an outbound tunnel of this session. The number means nothing to the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TunnelId(pub u64);

/// A path to a peer: an outbound tunnel of this session with a lease of the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path {
    /// Its name; not [`PathId::ANY`].
    pub id: PathId,
    /// The outbound tunnel.
    pub tunnel: TunnelId,
    /// The lease.
    pub lease: LeaseId,
    /// When the first of the two ends, if that is known.
    pub expires: Option<Instant>,
}

/// A lease of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerLease {
    /// Its name.
    pub id: LeaseId,
    /// When it ends.
    pub expires: Instant,
}
