//! The status of a session.

use std::{fmt, sync::Arc, time::Duration};

use eepkit_link::{
    LinkError, LostReason, RouterIdentity,
    status::{NotReady, Stage, Status, StatusWatch},
};

use crate::{
    error::{Error, OpenError},
    stage::SessionStage,
};

/// The status of a session. Returned by [`Session::status`](crate::Session::status).
pub type SessionStatus = Status<SessionStage>;

/// Watches the status of a session. Returned by [`Session::watch`](crate::Session::watch).
pub type SessionWatch = StatusWatch<SessionStage>;

/// Why a session is not ready.
pub type SessionNotReady = NotReady<SessionStage>;

/// What interrupted or ended a session.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SessionProblem {
    /// The router did not open the session. The session retries automatically.
    #[error(transparent)]
    Open(Arc<LinkError>),
    /// The link was lost. The session retries automatically.
    #[error(transparent)]
    Lost(LostReason),
    /// Peers cannot reach the session for now, for this reason, although its router is connected.
    /// The session continues, and is opened again if the reason lasts.
    #[error("peers cannot reach the session: {0}")]
    Unreachable(String),
    /// The session failed with an error that retrying cannot resolve.
    #[error(transparent)]
    Failed(Arc<OpenError>),
}

/// What is known about a session beside its stage. Returned by [`Status::activity`].
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct SessionActivity {
    /// What the router reported about itself on the current link.
    pub router: Option<RouterIdentity>,
    /// Whether the network has the lease set of the current link.
    pub verification: Verification,
    /// Whether the session keeps fewer tunnels because it is idle (`i2cp.reduceOnIdle`).
    pub tunnels_reduced: bool,
}

/// Whether a look-up through the router found the session's own lease set.
///
/// A session looks up its own destination a few seconds after it became ready, and repeats the
/// look-up until it succeeds. i2pd and emissary search the network for it, or answer from what they
/// have published; Java I2P answers from its own store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verification {
    /// No look-up has ended yet.
    #[default]
    Pending,
    /// The lease set was found.
    Found {
        /// The time from the start of the session until it was found.
        after: Duration,
    },
    /// The lease set was not found yet. The look-up is repeated.
    NotFound {
        /// The number of look-ups that failed.
        lookups: u32,
    },
    /// The router cannot look up lease sets, or the session is told not to do so
    /// ([`SessionBuilder::verify`](crate::SessionBuilder::verify)).
    Unavailable,
}

impl Verification {
    /// Whether the lease set was found.
    pub const fn is_found(self) -> bool {
        matches!(self, Self::Found { .. })
    }
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pending => f.write_str("the lease set was not looked up yet"),
            Self::Found { .. } => f.write_str("a look-up found the lease set"),
            Self::NotFound { lookups: 1 } => f.write_str("a look-up did not find the lease set"),
            Self::NotFound { lookups } => {
                write!(f, "{lookups} look-ups did not find the lease set")
            }
            Self::Unavailable => f.write_str("the lease set cannot be looked up"),
        }
    }
}

impl Stage for SessionStage {
    type Problem = SessionProblem;
    type Activity = SessionActivity;

    const START: Self = Self::Connecting;
    const READY: Self = Self::Ready;
    const SUBJECT: &'static str = "session";

    fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Opening => "opening",
            Self::BuildingTunnels => "building_tunnels",
            Self::LeaseSetSent => "lease_set_sent",
            Self::Ready => "ready",
            Self::Lost => "lost",
            Self::Idle => "idle",
            Self::Failed => "failed",
            Self::Closed => "closed",
        }
    }

    fn is_final(self) -> bool {
        self.is_over()
    }

    fn write_activity(activity: &SessionActivity, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match activity.verification {
            _ if activity.tunnels_reduced => f.write_str(" (idle, with fewer tunnels)"),
            Verification::NotFound { .. } => write!(f, " ({})", activity.verification),
            _ => Ok(()),
        }
    }

    fn waits_for(self, activity: &SessionActivity) -> Option<String> {
        let router = || match &activity.router {
            Some(RouterIdentity {
                program: Some(program),
                ..
            }) => format!("the router ({program})"),
            _ => "the router".to_owned(),
        };
        Some(match self {
            Self::Connecting => "the router's answer".to_owned(),
            Self::Opening => format!("{} to accept the session", router()),
            Self::BuildingTunnels => format!("{} to build tunnels", router()),
            Self::LeaseSetSent => format!("{} to publish the lease set", router()),
            Self::Lost => "the next attempt".to_owned(),
            Self::Idle => "its next use".to_owned(),
            Self::Ready | Self::Failed | Self::Closed => return None,
        })
    }
}

impl From<SessionNotReady> for OpenError {
    fn from(error: SessionNotReady) -> Self {
        let status = error.status();
        let waited = error.waited();
        match (status.stage(), status.problem()) {
            (_, Some(SessionProblem::Failed(failure))) => Self::clone(failure),
            (SessionStage::Closed | SessionStage::Failed, _) => Self::Closed,
            (_, Some(SessionProblem::Open(error))) => Self::Router(error.clone()),
            (_, Some(SessionProblem::Lost(reason))) => Self::Lost(reason.clone()),
            (_, Some(SessionProblem::Unreachable(why))) => Self::Unreachable(why.clone()),
            (SessionStage::BuildingTunnels, None) => Self::NoTunnels(waited),
            _ => Self::Timeout {
                after: waited,
                reached: status.stage(),
                account: status.account(),
            },
        }
    }
}

impl From<SessionNotReady> for Error {
    fn from(error: SessionNotReady) -> Self {
        Self::Open(error.into())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use eepkit_link::status::Reporter;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn becoming_ready_clears_earlier_problems() {
        let reporter: Reporter<SessionStage> = Reporter::new();
        let watch = reporter.watch();
        let second = Duration::from_secs(1);
        let lost = SessionProblem::Lost(LostReason::Stopped);
        reporter.interrupt(SessionStage::Lost, lost, Some(second));
        assert_eq!(watch.current().retry_in(), Some(second));
        tokio::time::advance(second).await;
        reporter.retry(SessionStage::Connecting);
        let status = watch.current();
        assert_eq!(status.attempt(), 2);
        assert!(status.problem().is_some() && status.retry_in().is_none());
        reporter.enter(SessionStage::Ready);
        let status = watch.current();
        assert_eq!(status.attempt(), 1);
        assert!(status.problem().is_none());
        assert_eq!(status.reached_after(), second);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_at_its_limit_and_at_the_end_of_the_session() {
        let reporter: Reporter<SessionStage> = Reporter::new();
        let watch = reporter.watch();
        let limit = Duration::from_secs(5);
        let error = watch.ready(limit).await.expect_err("not ready");
        assert!(error.is_timeout());
        let error = OpenError::from(error);
        assert!(matches!(&error, OpenError::Timeout { after, .. } if *after == limit));
        assert_eq!(
            error.to_string(),
            "the session was not ready after 5s: connecting to the router for 5s, waiting for the \
             router's answer"
        );
        let failure = OpenError::Option {
            key: "inbound.length".to_owned(),
            why: "9 is outside 0 to 7".to_owned(),
        };
        let problem = SessionProblem::Failed(Arc::new(failure));
        reporter.interrupt(SessionStage::Failed, problem, None);
        let error = watch.ready(limit).await.expect_err("failed");
        assert_eq!(
            error.to_string(),
            "the session failed: session option inbound.length: 9 is outside 0 to 7"
        );
        assert!(matches!(OpenError::from(error), OpenError::Option { .. }));
    }
}
