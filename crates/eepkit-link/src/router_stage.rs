//! The stages of a router.

use std::fmt;

use crate::status::{NotReady, Reporter, Stage, Status, StatusWatch};

/// How far a router has come.
///
/// The stages up to [`RouterStage::Ready`] come in order, but any of them may be passed over. A
/// router that loses all of its tunnels goes back to [`RouterStage::Tunnels`] or
/// [`RouterStage::Peers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum RouterStage {
    /// Keys and sockets are prepared.
    Starting,
    /// It knows too few routers and downloads a list of them.
    Reseeding,
    /// It runs and connects to its first routers.
    Peers,
    /// It is connected and builds its first tunnels.
    Tunnels,
    /// It has tunnels in both directions: sessions can be opened and will get theirs.
    Ready,
    /// It was stopped.
    Stopped,
    /// It cannot go on; [`Status::problem`] says why.
    Failed,
}

/// The status of a router.
pub type RouterStatus = Status<RouterStage>;

/// Follows the status of a router.
pub type RouterWatch = StatusWatch<RouterStage>;

/// Why a router is not ready.
pub type RouterNotReady = NotReady<RouterStage>;

/// The counters from which the stage of a router follows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RouterActivity {
    /// Routers connected to now.
    pub peers: usize,
    /// Inbound tunnels of the router and of its sessions that exist now.
    pub inbound_tunnels: usize,
    /// Outbound tunnels of the router and of its sessions that exist now.
    pub outbound_tunnels: usize,
    /// Tunnels of other routers through this one that exist now.
    pub transit_tunnels: usize,
    /// Tunnels built since the start.
    pub tunnels_built: usize,
    /// Tunnels that could not be built since the start.
    pub tunnel_builds_failed: usize,
    /// Connections to other routers that failed since the start.
    pub dials_failed: usize,
}

/// Why a router failed, as its implementation says it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RouterFailure(pub String);

impl Stage for RouterStage {
    type Problem = RouterFailure;
    type Activity = RouterActivity;

    const START: Self = Self::Starting;
    const READY: Self = Self::Ready;
    const SUBJECT: &'static str = "router";

    fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Reseeding => "reseeding",
            Self::Peers => "peers",
            Self::Tunnels => "tunnels",
            Self::Ready => "ready",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }

    fn is_final(self) -> bool {
        matches!(self, Self::Stopped | Self::Failed)
    }

    fn write_activity(activity: &RouterActivity, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RouterActivity {
            peers,
            inbound_tunnels,
            outbound_tunnels,
            ..
        } = activity;
        write!(
            f,
            " ({peers} peers, {inbound_tunnels}+{outbound_tunnels} tunnels)"
        )
    }
}

impl fmt::Display for RouterStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starting => "starting",
            Self::Reseeding => "downloading a list of routers",
            Self::Peers => "connecting to routers",
            Self::Tunnels => "building tunnels",
            Self::Ready => "ready",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        })
    }
}

impl RouterActivity {
    /// The stage that follows from the counters.
    pub const fn stage(&self) -> RouterStage {
        if self.inbound_tunnels > 0 && self.outbound_tunnels > 0 {
            RouterStage::Ready
        } else if self.peers > 0 {
            RouterStage::Tunnels
        } else {
            RouterStage::Peers
        }
    }
}

impl Reporter<RouterStage> {
    /// The router cannot go on.
    pub fn fail(&self, why: &dyn fmt::Display) {
        self.interrupt(RouterStage::Failed, RouterFailure(why.to_string()), None);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn activity(
        peers: usize,
        inbound_tunnels: usize,
        outbound_tunnels: usize,
    ) -> (RouterActivity, RouterStage) {
        let activity = RouterActivity {
            peers,
            inbound_tunnels,
            outbound_tunnels,
            ..RouterActivity::default()
        };
        (activity, activity.stage())
    }

    fn count(reporter: &Reporter<RouterStage>, counted: (RouterActivity, RouterStage)) {
        reporter.count(counted.0, counted.1);
    }

    #[tokio::test(start_paused = true)]
    async fn stages_follow_from_counters_and_keep_the_time_of_their_first_entry() {
        let reporter = Reporter::new();
        let watch = reporter.watch();
        let second = Duration::from_secs(1);

        count(&reporter, activity(0, 0, 0));
        assert_eq!(watch.stage(), RouterStage::Peers);
        tokio::time::advance(second).await;
        count(&reporter, activity(2, 0, 1));
        assert_eq!(watch.stage(), RouterStage::Tunnels);
        tokio::time::advance(second).await;
        count(&reporter, activity(2, 1, 1));
        assert_eq!(watch.stage(), RouterStage::Ready);
        tokio::time::advance(second).await;
        count(&reporter, activity(2, 0, 1));
        count(&reporter, activity(2, 1, 1));

        let status = watch.current();
        assert_eq!(status.time_of(RouterStage::Tunnels), Some(second));
        assert_eq!(status.time_of(RouterStage::Ready), Some(2 * second));
        assert_eq!(status.reached_after(), 3 * second);
        let history: Vec<RouterStage> = status.history().map(|step| step.stage).collect();
        assert_eq!(
            history,
            [
                RouterStage::Starting,
                RouterStage::Peers,
                RouterStage::Tunnels,
                RouterStage::Ready,
                RouterStage::Tunnels,
                RouterStage::Ready,
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_history_keeps_the_most_recent_stages() {
        let reporter = Reporter::new();
        for _ in 0..100 {
            count(&reporter, activity(1, 1, 1));
            count(&reporter, activity(1, 0, 1));
        }
        let status = reporter.watch().current();
        assert_eq!(status.history().count(), 32);
        assert_eq!(
            status.history().next_back().map(|step| step.stage),
            Some(RouterStage::Tunnels)
        );
        assert_eq!(status.time_of(RouterStage::Starting), Some(Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_when_the_router_is_ready() {
        let reporter = Reporter::new();
        let watch = reporter.watch();
        let waiting = tokio::spawn(async move { watch.ready(Duration::from_secs(60)).await });
        tokio::task::yield_now().await;

        count(&reporter, activity(1, 1, 1));

        assert!(waiting.await.unwrap().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_at_its_limit_and_says_how_far_the_router_is() {
        let reporter = Reporter::new();
        count(&reporter, activity(3, 0, 0));

        let error = reporter
            .watch()
            .ready(Duration::from_secs(7))
            .await
            .unwrap_err();

        assert!(error.is_timeout());
        assert_eq!(
            error.to_string(),
            "the router is not ready after 7s: building tunnels (3 peers, 0+0 tunnels)"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_when_the_router_fails_or_stops() {
        let reporter = Reporter::new();
        let watch = reporter.watch();
        reporter.fail(&"no reseed host answers");
        let error = watch.ready(Duration::from_secs(7)).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the router failed: no reseed host answers"
        );

        drop(reporter);
        let stopped = Reporter::new();
        stopped.enter(RouterStage::Stopped);
        let error = stopped
            .watch()
            .ready(Duration::from_secs(7))
            .await
            .unwrap_err();
        assert_eq!(error.status().stage(), RouterStage::Stopped);
        assert_eq!(error.to_string(), "the router stopped");
    }

    #[tokio::test(start_paused = true)]
    async fn a_restarted_router_counts_its_times_anew() {
        let reporter = Reporter::new();
        let watch = reporter.watch();
        count(&reporter, activity(1, 1, 1));
        reporter.enter(RouterStage::Stopped);
        tokio::time::advance(Duration::from_secs(100)).await;

        reporter.restart();
        assert_eq!(watch.stage(), RouterStage::Starting);
        tokio::time::advance(Duration::from_secs(3)).await;
        count(&reporter, activity(1, 1, 1));

        assert_eq!(
            watch.current().time_of(RouterStage::Ready),
            Some(Duration::from_secs(3))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_stopped_router_stays_stopped_whatever_is_still_counted() {
        let reporter = Reporter::new();
        reporter.enter(RouterStage::Stopped);

        count(&reporter, activity(1, 1, 1));

        assert_eq!(reporter.watch().stage(), RouterStage::Stopped);
    }

    #[tokio::test(start_paused = true)]
    async fn the_stream_begins_with_the_present_and_ends_with_the_reporter() {
        let reporter = Reporter::new();
        let mut statuses = std::pin::pin!(reporter.watch().into_stream());
        let mut next = async || {
            std::future::poll_fn(|cx| futures_core::Stream::poll_next(statuses.as_mut(), cx))
                .await
                .map(|status| status.stage())
        };
        assert_eq!(next().await, Some(RouterStage::Starting));
        reporter.enter(RouterStage::Ready);
        assert_eq!(next().await, Some(RouterStage::Ready));
        drop(reporter);
        assert_eq!(next().await, None);
    }
}
