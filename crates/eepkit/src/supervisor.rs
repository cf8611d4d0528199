//! The supervisor task of a session. It opens the link, drives it, and reopens it after a loss.

use std::{sync::Arc, time::Duration};

use eepkit_i2cp::LeaseSetMaker;
use eepkit_link::{
    self as link, Connector, Link, LostReason, Progress, Setup, changes::Watch, clock,
};
use eepkit_streaming::Endpoint;
use rand::{Rng as _, RngExt as _, rngs::StdRng};
use tokio::time::{Instant, sleep};
use tracing::{Instrument as _, debug, info, info_span, warn};

use crate::{
    driver::{Driver, End},
    error::OpenError,
    idling,
    shared::{Ending, Shared},
    stage::SessionStage,
    status::{SessionActivity, SessionProblem},
    verify,
};

/// Starts the task, which ends with the session. Must be called within a tokio runtime.
pub(crate) fn spawn(
    connector: Arc<dyn Connector>,
    shared: Arc<Shared>,
    maker: LeaseSetMaker,
    rng: StdRng,
) {
    let span = info_span!("session", destination = %shared.keys.destination());
    let supervisor = Supervisor {
        connector,
        shared,
        maker,
        backoff: Backoff::new(),
        was_ready: false,
        rng,
    };
    tokio::spawn(supervisor.run().instrument(span));
}

/// Waits until the session is ready, for at most `limit`.
pub(crate) async fn wait_ready(shared: &Shared, limit: Duration) -> Result<(), OpenError> {
    shared.idle.touch();
    // The common case needs no watch.
    if shared.stage() == SessionStage::Ready {
        return Ok(());
    }
    shared.watch().ready(limit).await?;
    Ok(())
}

/// Waits as [`wait_ready`] does, but returns an error when the first attempt fails. If the router
/// still has an earlier session of the destination, it waits for its end.
///
/// A session that is opened by its first use does not wait.
pub(crate) async fn wait_opened(shared: &Shared, limit: Duration) -> Result<(), OpenError> {
    if shared.idle.policy().delays_open() {
        return Ok(());
    }
    let watch = shared.watch();
    let interrupted = async {
        let mut watch = watch.clone();
        let mut status = watch.current();
        let began = Instant::now();
        let continues = |problem: &SessionProblem| match problem {
            // The attempt continues: the router may still build tunnels and request a lease set.
            SessionProblem::Unreachable(_) => true,
            SessionProblem::Open(error) => {
                matches!(**error, link::LinkError::Duplicate) && began.elapsed() < CLOSING
            }
            _ => false,
        };
        while status.problem().is_none_or(continues) {
            match watch.changed().await {
                Some(next) => status = next,
                None => break,
            }
        }
    };
    let status = tokio::select! {
        biased;
        status = watch.ready(limit) => status,
        // The error contains the status, which has the reason.
        () = interrupted => watch.ready(Duration::ZERO).await,
    };
    status?;
    Ok(())
}

struct Supervisor {
    connector: Arc<dyn Connector>,
    shared: Arc<Shared>,
    maker: LeaseSetMaker,
    backoff: Backoff,
    /// Whether the session was ready before. The router supported its options then.
    was_ready: bool,
    rng: StdRng,
}

impl Supervisor {
    async fn run(mut self) {
        // Ends the session on a panic too, so that nothing waits for it forever.
        let guard = EndOnDrop(self.shared.clone());
        let failure = self.supervise().await;
        match &failure {
            None => info!("session closed"),
            Some(error) => warn!(kind = %error.kind(), "session failed"),
        }
        self.shared.end(failure);
        drop(guard);
    }

    /// Restores the session after each loss until it is closed (`None`) or a permanent error
    /// occurs.
    async fn supervise(&mut self) -> Option<Arc<OpenError>> {
        if self.shared.idle.policy().delays_open() && !self.wait_for_use(0).await {
            return None;
        }
        loop {
            let opened = tokio::select! {
                biased;
                () = self.shared.closing.notified() => return None,
                opened = self.connector.open(self.setup()) => opened,
            };
            let problem = match opened {
                Ok(link) => match self.drive(link).await {
                    End::Closed => return None,
                    End::Idle { uses } => match self.wait_for_use(uses).await {
                        true => continue,
                        false => return None,
                    },
                    End::Unusable(error) => return Some(Arc::new(error)),
                    End::Refused(error) if self.is_permanent(&error) => {
                        return Some(Arc::new(error.into()));
                    }
                    End::Refused(error) => SessionProblem::Open(Arc::new(error)),
                    End::Lost(reason) => SessionProblem::Lost(reason),
                },
                Err(error) if self.is_permanent(&error) => return Some(Arc::new(error.into())),
                Err(error) => SessionProblem::Open(Arc::new(error)),
            };
            if !self.shared.lock("state").lifecycle.is_open() {
                return None;
            }
            let pause = self.backoff.next_pause(&mut self.rng);
            info!(retry_in = ?pause, "no link to the router");
            // At level debug, because messages of routers and of the system may contain addresses.
            debug!(router = self.connector.name(), %problem, "no link to the router");
            self.shared
                .status
                .interrupt(SessionStage::Lost, problem, Some(pause));
            let mut changes = Watch::clocks_and_network();
            tokio::select! {
                biased;
                () = self.shared.closing.notified() => return None,
                () = sleep(pause) => {}
                change = changes.changed() => {
                    info!(%change, "trying again at once");
                    self.backoff = Backoff::new();
                }
            }
            self.shared
                .status
                .update(|activity| *activity = SessionActivity::default());
            self.shared.status.retry(SessionStage::Connecting);
        }
    }

    /// Waits without a link until there were more than `uses`. Returns false if the session is to
    /// end.
    async fn wait_for_use(&self, uses: u64) -> bool {
        self.shared.status.enter(SessionStage::Idle);
        tokio::select! {
            biased;
            () = self.shared.closing.notified() => return false,
            () = self.shared.idle.used_after(uses) => {}
        }
        if !self.shared.lock("state").lifecycle.is_open() {
            return false;
        }
        self.shared
            .status
            .update(|activity| *activity = SessionActivity::default());
        self.shared.status.enter(SessionStage::Connecting);
        true
    }

    /// Whether another attempt would fail with the same error until the user changes something.
    ///
    /// | error | first attempts | after the session was ready |
    /// |---|---|---|
    /// | `Denied` | final | final: the router's users changed |
    /// | `BadOption`, `Unsupported` | final | retried: the router was replaced by another version |
    /// | `Unreachable`, `NotARouter`, `Timeout`, `Stopped` | retried | retried |
    /// | `Duplicate`: the router still has an earlier session | retried | retried |
    /// | `Refused`: the router stops, or has too many sessions | retried | retried |
    fn is_permanent(&self, error: &link::LinkError) -> bool {
        match error {
            link::LinkError::Denied(_) => true,
            link::LinkError::BadOption { .. } | link::LinkError::Unsupported(_) => !self.was_ready,
            _ => false,
        }
    }

    fn setup(&self) -> Setup {
        Setup {
            keys: self.shared.keys.clone(),
            options: self.shared.config.options.clone(),
            timeout: self.shared.config.accept_timeout,
            progress: self.progress(),
        }
    }

    /// Reports the router's answer in the status.
    fn progress(&self) -> Progress {
        let shared = Arc::downgrade(&self.shared);
        Progress::new(move |router| {
            let Some(shared) = shared.upgrade() else {
                return;
            };
            let activity = SessionActivity {
                router: Some(router),
                ..SessionActivity::default()
            };
            shared.status.count(activity, SessionStage::Opening);
        })
    }

    /// Drives one link until it ends.
    async fn drive(&mut self, link: Box<dyn Link>) -> End {
        debug!(
            router = self.connector.name(),
            "router accepted the session"
        );
        let now = Instant::now();
        let is_restored = self.shared.lock("epoch").lifecycle.epoch() > 0;
        if is_restored && link.wants_new_keys() {
            let keys = &self.shared.encryption_keys;
            keys.renew(&mut self.maker, &mut self.rng);
        }
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        let endpoint = Endpoint::new(
            self.shared.keys.clone(),
            self.shared.config.endpoint.clone(),
            seed,
            now.into_std(),
            clock::unix_now(),
        );
        self.shared
            .lock("begin link")
            .begin_epoch(endpoint, link.as_ref());
        self.shared.status.enter(SessionStage::BuildingTunnels);
        let mut driver = Driver::new(self.shared.clone(), link, &mut self.maker);
        let end = tokio::select! {
            biased;
            end = std::future::poll_fn(|cx| driver.poll(cx)) => end,
            never = verify::run(&self.shared) => match never {},
            uses = idling::run(&self.shared) => End::Idle { uses },
        };
        let became_ready = driver.became_ready();
        // Dropping the link notifies the router.
        drop(driver);
        if became_ready {
            self.backoff = Backoff::new();
            self.was_ready = true;
        }
        match &end {
            End::Lost(reason) => self.shared.lock("end link").end_epoch(reason.clone()),
            End::Refused(error) => {
                let reason = LostReason::Closed(error.to_string());
                self.shared.lock("end link").end_epoch(reason);
            }
            End::Idle { .. } => {
                let reason = LostReason::Closed("the session was idle".to_owned());
                self.shared.lock("end link").end_epoch(reason);
            }
            End::Closed | End::Unusable(_) => {}
        }
        end
    }
}

struct EndOnDrop(Arc<Shared>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        let over = matches!(self.0.lock("state").lifecycle.ending(), Ending::Over(_));
        if !over {
            self.0.end(None);
        }
    }
}

/// Pauses between attempts. The pause doubles each time and has jitter, so that the applications of
/// a machine do not all connect to a restarted router at the same time.
#[derive(Debug)]
struct Backoff {
    next: Duration,
}

impl Backoff {
    fn new() -> Self {
        Self { next: FIRST_PAUSE }
    }

    fn next_pause(&mut self, rng: &mut StdRng) -> Duration {
        let base = self.next;
        self.next = (base * 2).min(LONGEST_PAUSE);
        base.mul_f64(rng.random_range(1.0 - JITTER..=1.0))
    }
}

/// How long the destination may still have an earlier session on the router when a session is
/// opened. Chosen because routers close sessions within a few seconds after their client.
const CLOSING: Duration = Duration::from_secs(5);
/// Chosen because a restarted router accepts connections after a few seconds.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Chosen so that a session reconnects within minutes to a router that was stopped for hours.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// The largest fraction by which jitter shortens a pause.
const JITTER: f64 = 0.25;

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn pauses_double_up_to_five_minutes_and_differ() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut backoff = Backoff::new();
        let pauses: Vec<Duration> = (0..12).map(|_| backoff.next_pause(&mut rng)).collect();
        for (number, pause) in pauses.iter().enumerate() {
            let base = FIRST_PAUSE * 2_u32.pow(number as u32);
            let base = base.min(LONGEST_PAUSE);
            assert!(*pause <= base, "{pause:?} of {base:?}");
            assert!(
                *pause >= base.mul_f64(1.0 - JITTER),
                "{pause:?} of {base:?}"
            );
        }
        let mut other = StdRng::seed_from_u64(2);
        assert_ne!(Backoff::new().next_pause(&mut other), pauses[0]);
    }
}
