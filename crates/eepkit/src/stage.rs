//! The stages of a session.

use std::fmt;

use eepkit_link::LinkStage;

/// How far a session has come.
///
/// The order is the order in which a session usually gets there. [`Lost`](Self::Lost) leads back
/// to [`Connecting`](Self::Connecting).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum SessionStage {
    /// The router is asked for a session.
    Connecting,
    /// The router accepted the session and builds its tunnels.
    BuildingTunnels,
    /// There are tunnels; the lease set was signed and handed to the router to publish.
    LeaseSetHandedOver,
    /// Peers can reach this session, as far as the router can tell.
    Ready,
    /// The link to the router broke, or could not be made; the next attempt follows by itself.
    Lost,
    /// The session cannot be restored by trying again.
    Failed,
    /// This program closed the session.
    Closed,
}

impl SessionStage {
    /// Whether the session has a link to its router.
    pub const fn has_link(self) -> bool {
        matches!(
            self,
            Self::BuildingTunnels | Self::LeaseSetHandedOver | Self::Ready
        )
    }

    /// Whether the session is over: no other stage follows.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Failed | Self::Closed)
    }
}

impl fmt::Display for SessionStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connecting => "connecting to the router",
            Self::BuildingTunnels => "building tunnels",
            Self::LeaseSetHandedOver => "lease set handed over",
            Self::Ready => "ready",
            Self::Lost => "lost, trying again",
            Self::Failed => "failed",
            Self::Closed => "closed",
        })
    }
}

impl From<LinkStage> for SessionStage {
    fn from(stage: LinkStage) -> Self {
        match stage {
            LinkStage::BuildingTunnels => Self::BuildingTunnels,
            LinkStage::LeaseSetHandedOver => Self::LeaseSetHandedOver,
            LinkStage::Ready => Self::Ready,
        }
    }
}
