//! How far a router has come.
//!
//! A router reports its stages through a [`ReadinessWatch`]: each with the time at which it was
//! first reached, so that a program can show progress and say what it waits for. Nothing here
//! guesses; the stages follow from what the router counts (see [`Activity`]).

use std::{fmt, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

/// How far a router has come.
///
/// The stages up to [`RouterStage::Ready`] come in order, but any of them may be passed over, and
/// a router that loses all of its tunnels goes back to [`RouterStage::Tunnels`] or
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
    /// It cannot go on; [`Progress::failure`] says why.
    Failed,
}

impl RouterStage {
    /// What the router does in this stage, in a few words for a progress line.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Reseeding => "downloading a list of routers",
            Self::Peers => "connecting to routers",
            Self::Tunnels => "building tunnels",
            Self::Ready => "ready",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }

    /// Whether the router will not leave this stage by itself.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Stopped | Self::Failed)
    }
}

impl fmt::Display for RouterStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.describe())
    }
}

/// What a router counts, of the things that tell how it is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Activity {
    /// Routers connected to now.
    pub peers: usize,
    /// Inbound tunnels of the router and of its sessions that stand now.
    pub inbound_tunnels: usize,
    /// Outbound tunnels of the router and of its sessions that stand now.
    pub outbound_tunnels: usize,
    /// Tunnels of other routers that lead through this one now.
    pub transit_tunnels: usize,
    /// Tunnels built since the start.
    pub tunnels_built: usize,
    /// Tunnels that could not be built since the start.
    pub tunnel_builds_failed: usize,
    /// Connections to other routers that failed since the start.
    pub dials_failed: usize,
}

/// The state of a router.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Progress {
    /// How far it is.
    pub stage: RouterStage,
    /// The stages since the last start and how long after it each was first reached, in the order
    /// of time. At most one entry for each stage.
    pub reached: Vec<(RouterStage, Duration)>,
    /// What it counts.
    pub activity: Activity,
    /// Why it failed.
    pub failure: Option<String>,
    /// When the router began to start.
    started: Instant,
}

impl Progress {
    /// How long after the start the router reached `stage` for the first time.
    pub fn time_of(&self, stage: RouterStage) -> Option<Duration> {
        self.reached
            .iter()
            .find(|(reached, _)| *reached == stage)
            .map(|(_, time)| *time)
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Activity {
            peers,
            inbound_tunnels,
            outbound_tunnels,
            ..
        } = self.activity;
        write!(f, "{}", self.stage)?;
        match &self.failure {
            Some(failure) => write!(f, ": {failure}"),
            None => write!(
                f,
                " ({peers} peers, {inbound_tunnels}+{outbound_tunnels} tunnels)"
            ),
        }
    }
}

/// Why [`ReadinessWatch::wait_ready`] gave up.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum NotReady {
    /// The deadline passed.
    #[error("the router is not ready after {waited:?}: {progress}")]
    Timeout {
        /// How long it was waited for.
        waited: Duration,
        /// How far the router is.
        progress: Box<Progress>,
    },
    /// The router cannot go on.
    #[error("the router failed: {0}")]
    Failed(String),
    /// The router was stopped.
    #[error("the router was stopped")]
    Stopped,
}

impl NotReady {
    /// The same, where the wait for this router was the last part of one for several.
    pub fn waited_since(self, whole: Duration) -> Self {
        match self {
            Self::Timeout { progress, .. } => Self::Timeout {
                waited: whole,
                progress,
            },
            other => other,
        }
    }
}

/// Follows the state of one router. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ReadinessWatch {
    states: watch::Receiver<Progress>,
}

impl ReadinessWatch {
    /// The state now.
    pub fn progress(&self) -> Progress {
        self.states.borrow().clone()
    }

    /// The stage now.
    pub fn stage(&self) -> RouterStage {
        self.states.borrow().stage
    }

    /// Waits until the state is another than the one last seen through this handle, and returns
    /// it; `None` when the router is gone for good. Cancel safe.
    pub async fn changed(&mut self) -> Option<Progress> {
        self.states.changed().await.ok()?;
        Some(self.states.borrow_and_update().clone())
    }

    /// Waits until the router is ready, at most for `deadline`. Cancel safe.
    pub async fn wait_ready(&self, deadline: Duration) -> Result<Progress, NotReady> {
        let mut states = self.states.clone();
        let ready = states
            .wait_for(|progress| progress.stage == RouterStage::Ready || progress.stage.is_final());
        let progress = match timeout_at(Instant::now() + deadline, ready).await {
            Ok(Ok(progress)) => progress.clone(),
            Ok(Err(_)) => return Err(NotReady::Stopped),
            Err(_) => {
                return Err(NotReady::Timeout {
                    waited: deadline,
                    progress: Box::new(self.progress()),
                });
            }
        };
        match progress.stage {
            RouterStage::Ready => Ok(progress),
            RouterStage::Failed => Err(NotReady::Failed(progress.failure.unwrap_or_default())),
            _ => Err(NotReady::Stopped),
        }
    }
}

/// The reporting end of a [`ReadinessWatch`].
#[derive(Debug)]
pub struct Reporter {
    states: watch::Sender<Progress>,
}

impl Default for Reporter {
    fn default() -> Self {
        Self::new()
    }
}

impl Reporter {
    /// A router that begins to start.
    pub fn new() -> Self {
        let progress = Progress {
            stage: RouterStage::Starting,
            reached: vec![(RouterStage::Starting, Duration::ZERO)],
            activity: Activity::default(),
            failure: None,
            started: Instant::now(),
        };
        Self {
            states: watch::Sender::new(progress),
        }
    }

    /// A handle that follows this router.
    pub fn watch(&self) -> ReadinessWatch {
        ReadinessWatch {
            states: self.states.subscribe(),
        }
    }

    /// The router starts anew, after it was stopped.
    pub fn restart(&self) {
        self.states.send_modify(|progress| {
            progress.started = Instant::now();
            progress.reached.clear();
            progress.activity = Activity::default();
            progress.failure = None;
            Self::enter(progress, RouterStage::Starting);
        });
    }

    /// The router is in `stage`.
    pub fn reach(&self, stage: RouterStage) {
        self.states
            .send_if_modified(|progress| Self::enter(progress, stage));
    }

    /// The router counts `activity`; its stage follows from that.
    pub fn count(&self, activity: Activity) {
        let stage = if activity.inbound_tunnels > 0 && activity.outbound_tunnels > 0 {
            RouterStage::Ready
        } else if activity.peers > 0 {
            RouterStage::Tunnels
        } else {
            RouterStage::Peers
        };
        self.states.send_if_modified(|progress| {
            let counted = std::mem::replace(&mut progress.activity, activity) != activity;
            let moved = !progress.stage.is_final() && Self::enter(progress, stage);
            counted || moved
        });
    }

    /// The router cannot go on.
    pub fn fail(&self, why: &dyn fmt::Display) {
        self.states.send_modify(|progress| {
            progress.failure = Some(why.to_string());
            Self::enter(progress, RouterStage::Failed);
        });
    }

    fn enter(progress: &mut Progress, stage: RouterStage) -> bool {
        let moved = progress.stage != stage;
        progress.stage = stage;
        if progress.time_of(stage).is_none() {
            progress.reached.push((stage, progress.started.elapsed()));
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn activity(peers: usize, inbound_tunnels: usize, outbound_tunnels: usize) -> Activity {
        Activity {
            peers,
            inbound_tunnels,
            outbound_tunnels,
            ..Activity::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn stages_follow_what_the_router_counts_and_keep_their_first_times() {
        let reporter = Reporter::new();
        let watch = reporter.watch();
        let second = Duration::from_secs(1);

        reporter.count(activity(0, 0, 0));
        assert_eq!(watch.stage(), RouterStage::Peers);
        tokio::time::advance(second).await;
        reporter.count(activity(2, 0, 1));
        assert_eq!(watch.stage(), RouterStage::Tunnels);
        tokio::time::advance(second).await;
        reporter.count(activity(2, 1, 1));
        assert_eq!(watch.stage(), RouterStage::Ready);
        tokio::time::advance(second).await;
        reporter.count(activity(2, 0, 1));
        reporter.count(activity(2, 1, 1));

        let progress = watch.progress();
        assert_eq!(progress.time_of(RouterStage::Tunnels), Some(second));
        assert_eq!(progress.time_of(RouterStage::Ready), Some(2 * second));
        assert_eq!(progress.reached.len(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_when_the_router_is_ready() {
        let reporter = Reporter::new();
        let watch = reporter.watch();
        let waiting = tokio::spawn(async move { watch.wait_ready(Duration::from_secs(60)).await });
        tokio::task::yield_now().await;

        reporter.count(activity(1, 1, 1));

        assert!(waiting.await.unwrap().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_at_its_deadline_and_says_how_far_the_router_is() {
        let reporter = Reporter::new();
        reporter.count(activity(3, 0, 0));

        let error = reporter
            .watch()
            .wait_ready(Duration::from_secs(7))
            .await
            .unwrap_err();

        let text = error.to_string();
        assert!(
            text.contains("7s") && text.contains("building tunnels (3 peers"),
            "{text}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_when_the_router_fails_or_stops() {
        let reporter = Reporter::new();
        let watch = reporter.watch();
        reporter.fail(&"no reseed host answers");
        let error = watch.wait_ready(Duration::from_secs(7)).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the router failed: no reseed host answers"
        );

        drop(reporter);
        let stopped = Reporter::new();
        stopped.reach(RouterStage::Stopped);
        let error = stopped
            .watch()
            .wait_ready(Duration::from_secs(7))
            .await
            .unwrap_err();
        assert!(matches!(error, NotReady::Stopped));
    }

    #[tokio::test(start_paused = true)]
    async fn a_restarted_router_counts_its_times_anew() {
        let reporter = Reporter::new();
        let watch = reporter.watch();
        reporter.count(activity(1, 1, 1));
        reporter.reach(RouterStage::Stopped);
        tokio::time::advance(Duration::from_secs(100)).await;

        reporter.restart();
        assert_eq!(watch.stage(), RouterStage::Starting);
        tokio::time::advance(Duration::from_secs(3)).await;
        reporter.count(activity(1, 1, 1));

        assert_eq!(
            watch.progress().time_of(RouterStage::Ready),
            Some(Duration::from_secs(3))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_stopped_router_stays_stopped_whatever_is_still_counted() {
        let reporter = Reporter::new();
        reporter.reach(RouterStage::Stopped);

        reporter.count(activity(1, 1, 1));

        assert_eq!(reporter.watch().stage(), RouterStage::Stopped);
    }
}
