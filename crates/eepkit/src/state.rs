//! How far a session has come, and how to wait for it.

use std::{fmt, sync::Arc, time::Duration};

use eepkit_link as link;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

/// How far a session has come.
///
/// The order is the order in which a session usually gets there; [`Lost`](Self::Lost) leads back
/// to [`Connecting`](Self::Connecting).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Stage {
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

impl Stage {
    /// Whether nothing follows.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Failed | Self::Closed)
    }

    /// Whether the session has a link to its router.
    pub const fn has_link(self) -> bool {
        matches!(
            self,
            Self::BuildingTunnels | Self::LeaseSetHandedOver | Self::Ready
        )
    }

    /// The stage's name in lower case with underscores, for machine-readable output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::BuildingTunnels => "building_tunnels",
            Self::LeaseSetHandedOver => "lease_set_handed_over",
            Self::Ready => "ready",
            Self::Lost => "lost",
            Self::Failed => "failed",
            Self::Closed => "closed",
        }
    }
}

impl fmt::Display for Stage {
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

impl From<link::Stage> for Stage {
    fn from(stage: link::Stage) -> Self {
        match stage {
            link::Stage::LeaseSetHandedOver => Self::LeaseSetHandedOver,
            link::Stage::Ready => Self::Ready,
            // A stage that this version does not know comes before ready.
            _ => Self::BuildingTunnels,
        }
    }
}

/// A session's state at one moment.
#[derive(Debug, Clone)]
pub struct State {
    stage: Stage,
    started: Instant,
    entered: Instant,
    attempt: u32,
    retry_in: Option<Duration>,
    problem: Option<Problem>,
}

/// What interrupted a session last.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The router did not open the session.
    #[error(transparent)]
    Open(Arc<link::OpenError>),
    /// The link broke.
    #[error(transparent)]
    Lost(link::LostReason),
}

impl State {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            stage: Stage::Connecting,
            started: now,
            entered: now,
            attempt: 1,
            retry_in: None,
            problem: None,
        }
    }

    /// How far the session has come.
    pub const fn stage(&self) -> Stage {
        self.stage
    }

    /// How long after its start the session got to this stage.
    pub fn reached_after(&self) -> Duration {
        self.entered.saturating_duration_since(self.started)
    }

    /// How long the session has been at this stage.
    pub fn age(&self) -> Duration {
        self.entered.elapsed()
    }

    /// How often a link was attempted, this time included; starts again at 1 when the session has
    /// become ready.
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// How long after entering [`Stage::Lost`] the next attempt comes.
    pub const fn retry_in(&self) -> Option<Duration> {
        self.retry_in
    }

    /// What interrupted the session last; `None` once it is ready again.
    pub const fn problem(&self) -> Option<&Problem> {
        self.problem.as_ref()
    }

    pub(crate) fn enter(&mut self, stage: Stage, now: Instant) {
        self.stage = stage;
        self.entered = now;
        self.retry_in = None;
        if stage == Stage::Ready {
            self.attempt = 1;
            self.problem = None;
        }
    }

    pub(crate) fn lose(&mut self, problem: Problem, retry_in: Duration, now: Instant) {
        self.enter(Stage::Lost, now);
        self.problem = Some(problem);
        self.retry_in = Some(retry_in);
    }

    pub(crate) fn try_again(&mut self, now: Instant) {
        self.enter(Stage::Connecting, now);
        self.attempt = self.attempt.saturating_add(1);
    }
}

/// Follows the state of a session; from [`Session::watch`](crate::Session::watch).
///
/// It keeps no session open.
#[derive(Debug, Clone)]
pub struct StateWatch {
    pub(crate) receiver: watch::Receiver<State>,
}

impl StateWatch {
    /// The state now.
    pub fn current(&self) -> State {
        self.receiver.borrow().clone()
    }

    /// Waits for the next change and returns the state then; `None` when the session is gone.
    ///
    /// Short stages may be skipped: only the newest state is kept.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a change that was not returned is returned by the next call.
    pub async fn changed(&mut self) -> Option<State> {
        self.receiver.changed().await.ok()?;
        Some(self.receiver.borrow_and_update().clone())
    }

    /// Waits until the session is at `stage`, at a later one short of [`Stage::Lost`], or at an
    /// end; returns the state then, or the state at the end of `limit`.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn reached(&mut self, stage: Stage, limit: Duration) -> State {
        let there = |state: &State| {
            let at = state.stage();
            at.is_final() || (at >= stage && at <= Stage::Ready) || at == stage
        };
        // At the limit, or when the session is gone, the state tells what is missing.
        let _ = timeout(limit, self.receiver.wait_for(there)).await.is_ok();
        self.current()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn becoming_ready_clears_what_went_wrong_before() {
        let mut state = State::new(Instant::now());
        state.lose(
            Problem::Lost(link::LostReason::Stopped),
            Duration::from_secs(1),
            Instant::now(),
        );
        tokio::time::advance(Duration::from_secs(1)).await;
        state.try_again(Instant::now());
        assert_eq!(state.attempt(), 2);
        assert!(state.problem().is_some());
        state.enter(Stage::Ready, Instant::now());
        assert_eq!(state.attempt(), 1);
        assert!(state.problem().is_none());
        assert_eq!(state.reached_after(), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_a_stage_ends_at_its_limit() {
        let (sender, receiver) = watch::channel(State::new(Instant::now()));
        let mut watch = StateWatch { receiver };
        let state = watch.reached(Stage::Ready, Duration::from_secs(5)).await;
        assert_eq!(state.stage(), Stage::Connecting);
        sender.send_modify(|state| state.enter(Stage::Failed, Instant::now()));
        let state = watch.reached(Stage::Ready, Duration::from_secs(5)).await;
        assert_eq!(state.stage(), Stage::Failed);
    }
}
