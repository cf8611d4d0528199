//! The stages of a session.

use std::fmt;

use eepkit_link::LinkStage;

/// The stage of a session.
///
/// The order of the variants is the usual order of the stages. [`Connecting`](Self::Connecting)
/// follows [`Lost`](Self::Lost).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum SessionStage {
    /// The session is connecting to the router.
    Connecting,
    /// The router answered. The session waits until the router accepts it.
    Opening,
    /// The router accepted the session and builds its tunnels.
    BuildingTunnels,
    /// The session has tunnels. Its lease set was signed and passed to the router, which publishes
    /// it.
    LeaseSetSent,
    /// Peers can reach this session, as far as the router reports.
    Ready,
    /// The link to the router was lost, or could not be established. The session retries
    /// automatically.
    Lost,
    /// The session has no link to its router because it is not in use. Its next use opens it:
    /// a stream, a datagram, a ping or a look-up.
    Idle,
    /// The session failed with an error that retrying cannot resolve.
    Failed,
    /// This program closed the session.
    Closed,
}

impl SessionStage {
    /// Whether the session has a link to its router.
    pub const fn has_link(self) -> bool {
        matches!(
            self,
            Self::BuildingTunnels | Self::LeaseSetSent | Self::Ready
        )
    }

    /// Whether the session has ended, so that no other stage follows.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Failed | Self::Closed)
    }
}

impl fmt::Display for SessionStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connecting => "connecting to the router",
            Self::Opening => "opening the session",
            Self::BuildingTunnels => "building tunnels",
            Self::LeaseSetSent => "lease set sent",
            Self::Ready => "ready",
            Self::Lost => "lost, trying again",
            Self::Idle => "closed while it is idle",
            Self::Failed => "failed",
            Self::Closed => "closed",
        })
    }
}

impl From<LinkStage> for SessionStage {
    fn from(stage: LinkStage) -> Self {
        match stage {
            LinkStage::BuildingTunnels => Self::BuildingTunnels,
            LinkStage::LeaseSetSent => Self::LeaseSetSent,
            LinkStage::Ready => Self::Ready,
        }
    }
}
