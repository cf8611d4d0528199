//! The stages of a router.

use std::fmt;

use crate::status::{NotReady, Reporter, Stage, Status, StatusWatch};

/// The progress of a router.
///
/// The stages up to [`RouterStage::Ready`] are reached in order, but any of them may be skipped. A
/// router that loses all of its tunnels returns to [`RouterStage::Tunnels`] or
/// [`RouterStage::Peers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum RouterStage {
    /// The router prepares its keys and sockets.
    Starting,
    /// The router has too few router infos and downloads a list of routers.
    Reseeding,
    /// The router runs and connects to its first peers.
    Peers,
    /// The router is connected and builds its first tunnels.
    Tunnels,
    /// The router has tunnels in both directions, so sessions can be opened.
    Ready,
    /// The router was stopped.
    Stopped,
    /// The router failed; [`Status::problem`] contains the reason.
    Failed,
}

/// The status of a router.
pub type RouterStatus = Status<RouterStage>;

/// A handle that follows the status of a router.
pub type RouterWatch = StatusWatch<RouterStage>;

/// The error of waiting for a router to become ready.
pub type RouterNotReady = NotReady<RouterStage>;

/// The counters that determine the stage of a router.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RouterActivity {
    /// Number of routers to which this router is connected now.
    pub peers: usize,
    /// Number of inbound tunnels of the router and its sessions now.
    pub inbound_tunnels: usize,
    /// Number of outbound tunnels of the router and its sessions now.
    pub outbound_tunnels: usize,
    /// Number of tunnels of other routers through this router now.
    pub transit_tunnels: usize,
    /// Number of tunnels built since the start.
    pub tunnels_built: usize,
    /// Number of tunnels that could not be built since the start.
    pub tunnel_builds_failed: usize,
    /// Number of failed connections to other routers since the start.
    pub dials_failed: usize,
}

/// The reason why a router failed, as its implementation reports it.
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

    fn waits_for(self, activity: &RouterActivity) -> Option<String> {
        let failed = |count: usize, what: &str| match count {
            0 => String::new(),
            1 => format!(" (1 {what} failed)"),
            _ => format!(" ({count} {what}s failed)"),
        };
        let builds = activity.tunnel_builds_failed;
        Some(match self {
            Self::Starting => "its keys and sockets".to_owned(),
            Self::Reseeding => "the download of a list of routers".to_owned(),
            Self::Peers => {
                let dials = failed(activity.dials_failed, "attempt");
                format!("a first connection to another router{dials}")
            }
            Self::Tunnels if activity.inbound_tunnels > 0 => {
                format!("an outbound tunnel{}", failed(builds, "build"))
            }
            Self::Tunnels if activity.outbound_tunnels > 0 => {
                format!("an inbound tunnel{}", failed(builds, "build"))
            }
            Self::Tunnels => {
                format!("tunnels in both directions{}", failed(builds, "build"))
            }
            Self::Ready | Self::Stopped | Self::Failed => return None,
        })
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
    /// The stage that the counters determine.
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
    /// Reports that the router failed.
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
    async fn counters_determine_the_stage_and_the_time_of_the_first_entry_is_kept() {
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
    async fn waiting_ends_at_its_limit_with_the_stage_of_the_router() {
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
            "the router is not ready after 7s: building tunnels for 7s (3 peers, 0+0 tunnels), \
             waiting for tunnels in both directions"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_reason_for_waiting_counts_failures_and_ends_with_readiness() {
        let reporter = Reporter::new();
        let watch = reporter.watch();
        let waits = || watch.current().waiting_for();
        assert_eq!(waits().as_deref(), Some("its keys and sockets"));
        let mut counted = RouterActivity {
            dials_failed: 1,
            ..RouterActivity::default()
        };
        count(&reporter, (counted, counted.stage()));
        assert_eq!(
            waits().as_deref(),
            Some("a first connection to another router (1 attempt failed)")
        );
        counted.peers = 2;
        counted.inbound_tunnels = 1;
        counted.tunnel_builds_failed = 4;
        count(&reporter, (counted, counted.stage()));
        assert_eq!(
            waits().as_deref(),
            Some("an outbound tunnel (4 builds failed)")
        );
        counted.outbound_tunnels = 1;
        count(&reporter, (counted, counted.stage()));
        assert_eq!(waits(), None);
        reporter.fail(&"out of memory");
        assert_eq!(waits(), None);
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
    async fn the_times_of_a_restarted_router_count_from_the_restart() {
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
    async fn counters_do_not_change_the_stage_of_a_stopped_router() {
        let reporter = Reporter::new();
        reporter.enter(RouterStage::Stopped);

        count(&reporter, activity(1, 1, 1));

        assert_eq!(reporter.watch().stage(), RouterStage::Stopped);
    }

    #[tokio::test(start_paused = true)]
    async fn the_stream_begins_with_the_current_status_and_ends_with_the_reporter() {
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
