//! The status of a session.

use std::{fmt, sync::Arc};

use eepkit_link::{
    LinkError, LostReason,
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
    /// The session failed with an error that retrying cannot resolve.
    #[error(transparent)]
    Failed(Arc<OpenError>),
}

impl Stage for SessionStage {
    type Problem = SessionProblem;
    type Activity = ();

    const START: Self = Self::Connecting;
    const READY: Self = Self::Ready;
    const SUBJECT: &'static str = "session";

    fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::BuildingTunnels => "building_tunnels",
            Self::LeaseSetSent => "lease_set_sent",
            Self::Ready => "ready",
            Self::Lost => "lost",
            Self::Failed => "failed",
            Self::Closed => "closed",
        }
    }

    fn is_final(self) -> bool {
        self.is_over()
    }

    fn write_activity((): &(), _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
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
            (SessionStage::BuildingTunnels, None) => Self::NoTunnels(waited),
            (reached, None) => Self::Timeout {
                after: waited,
                reached,
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
        assert!(matches!(
            OpenError::from(error),
            OpenError::Timeout { reached: SessionStage::Connecting, after } if after == limit
        ));
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
