//! Detection and replacement of dead tunnels.
//!
//! emissary-core uses a tunnel for ten minutes even if none of its tests succeeds. When a hop that
//! its exploratory tunnels share disappears, the router can neither build tunnels nor look anything
//! up until they expire. This module counts the tunnel builds and tests of each pool that time out.
//! After too many consecutive timeouts, all tunnels of the router are replaced.

use std::{
    cell::Cell,
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

/// How long emissary-core waits for the reply to a tunnel build and for the return of a tunnel
/// test. It has no other delays of this length.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(8);

/// How long emissary-core waits for the answer to a look-up before it asks another router. It has
/// no other delay of this length.
pub(super) const QUERY_TIMEOUT: Duration = Duration::from_millis(1600);

/// The file of emissary-core that publishes the lease set of a client, and verifies that it was
/// stored.
pub(super) const PUBLICATION: &str = "destination/lease_set.rs";

/// How much faster its timers are in a private network. Chosen because a lease set that was sent
/// through a dead tunnel is published again only after it could not be verified, which takes 12 to
/// 25 s, and because look-ups in a private network take milliseconds.
const PRIVATE_PUBLICATION_SPEED: u32 = 10;

/// How often a lease set is published again before it is verified.
///
/// emissary-core accepts an older lease set as the proof that the new one was stored. If the new one
/// is lost, peers that look it up receive the old one until it expires. Each repetition goes to
/// another floodfill. Chosen so that a single lost message on the live network is not enough.
const REPETITIONS: u32 = 1;

/// The same in a private network. The new lease set is lost if the client has no working outbound
/// tunnel when it is published, which is common just after a router was killed. Chosen so that the
/// repetitions cover the time in which the tunnels are built anew.
const PRIVATE_REPETITIONS: u32 = 3;

/// Repetitions after a longer pause belong to another lease set. On the live network two successive
/// publications are at least ten seconds apart.
const REPETITION_GAP: Duration = Duration::from_secs(25);
const PRIVATE_REPETITION_GAP: Duration = Duration::from_secs(5);

/// The repeated publications of the lease set of one client.
#[derive(Debug, Default)]
pub(crate) struct Publication(Cell<Option<(Instant, u32)>>);

impl Publication {
    /// Handles a new lease set of the client. A client of SAM does not send any; a pause then
    /// separates its lease sets.
    pub(crate) fn on_lease_set(&self) {
        self.0.set(None);
    }

    /// Handles the verification that began at `at`. Returns how often the lease set was published
    /// again before.
    fn begin_verification(&self, at: Instant, gap: Duration) -> u32 {
        let count = match self.0.get() {
            Some((last, count)) if at == last => return count,
            Some((last, count)) if at - last < gap => count.saturating_add(1),
            _ => 0,
        };
        self.0.set(Some((at, count)));
        count
    }
}

/// The file of emissary-core that builds the tunnels of a pool.
pub(super) const POOL: &str = "tunnel/pool/mod.rs";

/// How often a tunnel pool of emissary-core builds the tunnels that it lacks. It has one timer of
/// this length in [`POOL`].
pub(super) const POOL_INTERVAL: Duration = Duration::from_secs(10);

/// The time from the replacement of tunnels to the building of new ones. Chosen above the time in
/// which the pool records that its tunnels end, which takes a few scheduler rounds.
pub(super) const REPLACEMENT_DELAY: Duration = Duration::from_millis(50);

/// The age at which emissary-core begins to replace a tunnel. It has no other delay of this length.
pub(super) const TUNNEL_RENEWAL: Duration = Duration::from_secs(9 * 60);

/// The age at which emissary-core drops one of its own tunnels. It has no other delays of this
/// length.
pub(super) const TUNNEL_LIFETIME: Duration = Duration::from_secs(10 * 60);

/// The shortest timeout of a router in a private network. Chosen because answers take five to
/// twenty milliseconds on an idle machine.
const MIN_ANSWER_TIMEOUT: Duration = Duration::from_millis(400);

/// How often [`MIN_ANSWER_TIMEOUT`] may be doubled. After that it is [`ANSWER_TIMEOUT`].
const MAX_DOUBLINGS: u32 = 5;

/// Consecutive timeouts of one pool after which the tunnels are replaced. On the live network six
/// of ten builds may fail without a fault, so that 24 consecutive failures have a probability of 1
/// in 200,000. In a private network no build fails without a fault.
const MAX_TIMEOUTS: u32 = 24;
const PRIVATE_MAX_TIMEOUTS: u32 = 8;

/// The shortest time between two replacements. Chosen because replacing tunnels does not help while
/// the machine has no network.
const MIN_REPLACEMENT_INTERVAL: Duration = Duration::from_secs(2 * 60);
const PRIVATE_MIN_REPLACEMENT_INTERVAL: Duration = Duration::from_secs(10);

/// The timeouts of one router, and the time when its tunnels were last replaced.
#[derive(Debug)]
pub(crate) struct Tunnels {
    /// Whether the router belongs to a private network.
    private: bool,
    /// How often [`MIN_ANSWER_TIMEOUT`] is doubled.
    doublings: AtomicU32,
    replaced: watch::Sender<()>,
    replaced_at: Mutex<Option<Instant>>,
}

/// The number of consecutive answers to one tunnel pool that have timed out.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    timeouts: AtomicU32,
}

impl Tunnels {
    pub(crate) fn new(private: bool) -> Self {
        Self {
            private,
            doublings: AtomicU32::new(0),
            replaced: watch::Sender::new(()),
            replaced_at: Mutex::new(None),
        }
    }

    /// Starts a wait for the answer to a tunnel build or a tunnel test.
    pub(crate) fn begin_wait(&self, pool: Arc<Pool>) -> AnswerWait<'_> {
        AnswerWait {
            tunnels: self,
            pool,
            doublings: self.doublings.load(Ordering::Relaxed),
            began: Instant::now(),
            answered: true,
        }
    }

    /// Completes when the current tunnels must be replaced. Cancel safe.
    pub(crate) fn replaced(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut replaced = self.replaced.subscribe();
        async move {
            if replaced.changed().await.is_err() {
                // The router has stopped, and this task ends with it.
                std::future::pending::<()>().await;
            }
        }
    }

    fn timeout(&self, doublings: u32) -> Duration {
        if self.private {
            let doubled = MIN_ANSWER_TIMEOUT.saturating_mul(1 << doublings.min(MAX_DOUBLINGS));
            doubled.min(ANSWER_TIMEOUT)
        } else {
            ANSWER_TIMEOUT
        }
    }

    /// How long the router waits for the answer to a look-up. In a private network it is shorter,
    /// for the reason at [`AnswerWait`]: the look-up may have been sent through a dead tunnel.
    pub(crate) fn query_timeout(&self) -> Duration {
        self.timeout(self.doublings.load(Ordering::Relaxed))
            .min(QUERY_TIMEOUT)
    }

    /// The time since the verification of a published lease set began at `at`, as emissary-core sees
    /// it. It is beyond every limit while the lease set is to be published again instead.
    pub(crate) fn publication_time(&self, at: Instant, publication: &Publication) -> Duration {
        let (repetitions, gap) = if self.private {
            (PRIVATE_REPETITIONS, PRIVATE_REPETITION_GAP)
        } else {
            (REPETITIONS, REPETITION_GAP)
        };
        if publication.begin_verification(at, gap) < repetitions {
            return Duration::MAX;
        }
        at.elapsed().saturating_mul(self.publication_speed())
    }

    /// How much faster than on the live network the timers of publications are.
    pub(crate) const fn publication_speed(&self) -> u32 {
        if self.private {
            PRIVATE_PUBLICATION_SPEED
        } else {
            1
        }
    }

    /// Whether the router belongs to a private network.
    pub(crate) const fn are_private(&self) -> bool {
        self.private
    }

    /// Returns to the shortest timeout of answers. To be called after a router of the private network
    /// was lost: the last answers were missing because of it, and not because the machine is busy.
    pub(crate) fn forget_timeouts(&self) {
        self.doublings.store(0, Ordering::Relaxed);
    }

    /// Counts a timeout, and replaces the tunnels after too many of them.
    fn count_timeout(&self, pool: &Pool) {
        let (most, interval) = if self.private {
            (PRIVATE_MAX_TIMEOUTS, PRIVATE_MIN_REPLACEMENT_INTERVAL)
        } else {
            (MAX_TIMEOUTS, MIN_REPLACEMENT_INTERVAL)
        };
        if pool.timeouts.fetch_add(1, Ordering::Relaxed) + 1 < most {
            return;
        }
        let now = Instant::now();
        let mut at = self
            .replaced_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if at.is_some_and(|at| now - at < interval) {
            return;
        }
        *at = Some(now);
        pool.timeouts.store(0, Ordering::Relaxed);
        tracing::info!(
            "no tunnel was built and no test came back {most} times; all tunnels are replaced"
        );
        self.replaced.send_replace(());
    }

    /// How long replaced tunnels are kept. The router first records that a tunnel ends, and drops
    /// it after its last test.
    pub(crate) fn keep(&self) -> Duration {
        self.timeout(MAX_DOUBLINGS.min(self.doublings.load(Ordering::Relaxed) + 1))
    }
}

/// A wait for the answer to a tunnel build or a tunnel test.
///
/// On the live network the timeout is that of the router. In a private network answers take
/// milliseconds, and a lost answer should not delay the next attempt by eight seconds. The right
/// timeout depends on the load of the machine. It therefore doubles when an answer does not arrive,
/// and halves when one arrives in less than a quarter of it.
#[derive(Debug)]
pub(crate) struct AnswerWait<'a> {
    tunnels: &'a Tunnels,
    pool: Arc<Pool>,
    /// How often the timeout was doubled.
    doublings: u32,
    began: Instant,
    answered: bool,
}

impl AnswerWait<'_> {
    /// The timeout of this wait.
    pub(crate) fn timeout(&self) -> Duration {
        self.tunnels.timeout(self.doublings)
    }

    /// Records that no answer arrived.
    pub(crate) fn timed_out(mut self) {
        self.answered = false;
        let longer = (self.doublings + 1).min(MAX_DOUBLINGS);
        self.tunnels.doublings.fetch_max(longer, Ordering::Relaxed);
        self.tunnels.count_timeout(&self.pool);
    }
}

impl Drop for AnswerWait<'_> {
    /// Records that the answer arrived, or that it is no longer awaited.
    fn drop(&mut self) {
        if !self.answered {
            return;
        }
        self.pool.timeouts.store(0, Ordering::Relaxed);
        if self.began.elapsed() < self.timeout() / 4 {
            let shorter = self.doublings.saturating_sub(1);
            self.tunnels.doublings.fetch_min(shorter, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::Pin,
        task::{Context, Poll, Waker},
    };

    use super::*;

    /// Polls a future once and returns its output if it is ready.
    fn now<F: Future + ?Sized>(future: Pin<&mut F>) -> Option<F::Output> {
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    fn pool() -> Arc<Pool> {
        Arc::default()
    }

    #[tokio::test(start_paused = true)]
    async fn the_timeout_grows_without_answers_and_shrinks_with_fast_ones() {
        let tunnels = Tunnels::new(true);
        assert_eq!(tunnels.begin_wait(pool()).timeout(), MIN_ANSWER_TIMEOUT);

        // Several simultaneous timeouts double the timeout once.
        let (first, second) = (tunnels.begin_wait(pool()), tunnels.begin_wait(pool()));
        first.timed_out();
        second.timed_out();
        let longer = tunnels.begin_wait(pool());
        assert_eq!(longer.timeout(), MIN_ANSWER_TIMEOUT * 2);
        tokio::time::advance(MIN_ANSWER_TIMEOUT).await;
        drop(longer);
        assert_eq!(
            tunnels.begin_wait(pool()).timeout(),
            MIN_ANSWER_TIMEOUT * 2,
            "that was not soon"
        );

        drop(tunnels.begin_wait(pool()));
        assert_eq!(tunnels.begin_wait(pool()).timeout(), MIN_ANSWER_TIMEOUT);
        for _ in 0..20 {
            tunnels.begin_wait(pool()).timed_out();
        }
        assert_eq!(tunnels.begin_wait(pool()).timeout(), ANSWER_TIMEOUT);
        tunnels.forget_timeouts();
        assert_eq!(tunnels.begin_wait(pool()).timeout(), MIN_ANSWER_TIMEOUT);
    }

    /// The number of verifications, `pause` apart, that are replaced by another publication.
    async fn repetitions(tunnels: &Tunnels, publication: &Publication, pause: Duration) -> u32 {
        for count in 0.. {
            let at = Instant::now();
            // The router reads the time more than once.
            let times = [(); 2].map(|()| tunnels.publication_time(at, publication));
            assert_eq!(times[0], times[1]);
            tokio::time::advance(pause).await;
            if times[0] == Duration::ZERO {
                let speed = tunnels.publication_speed();
                assert_eq!(tunnels.publication_time(at, publication), pause * speed);
                return count;
            }
        }
        unreachable!()
    }

    #[tokio::test(start_paused = true)]
    async fn each_lease_set_is_published_several_times_before_it_is_verified() {
        for (private, pause, expected) in [
            (true, Duration::from_secs(1), PRIVATE_REPETITIONS),
            (false, Duration::from_secs(10), REPETITIONS),
        ] {
            let (tunnels, publication) = (Tunnels::new(private), Publication::default());
            assert_eq!(repetitions(&tunnels, &publication, pause).await, expected);
            assert_eq!(
                repetitions(&tunnels, &publication, pause).await,
                0,
                "the same"
            );
            publication.on_lease_set();
            assert_eq!(repetitions(&tunnels, &publication, pause).await, expected);
            tokio::time::advance(REPETITION_GAP).await;
            assert_eq!(repetitions(&tunnels, &publication, pause).await, expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn on_the_live_network_the_timeout_is_that_of_the_router() {
        let tunnels = Tunnels::new(false);
        tunnels.begin_wait(pool()).timed_out();
        drop(tunnels.begin_wait(pool()));
        assert_eq!(tunnels.begin_wait(pool()).timeout(), ANSWER_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn tunnels_are_replaced_when_answers_stop() {
        for (private, most, rest) in [
            (true, PRIVATE_MAX_TIMEOUTS, PRIVATE_MIN_REPLACEMENT_INTERVAL),
            (false, MAX_TIMEOUTS, MIN_REPLACEMENT_INTERVAL),
        ] {
            let tunnels = Tunnels::new(private);
            let (mine, other) = (pool(), pool());
            let mut replaced = Box::pin(tunnels.replaced());
            for _ in 1..most {
                tunnels.begin_wait(Arc::clone(&mine)).timed_out();
                // Answers to another pool do not reset the count of this pool.
                drop(tunnels.begin_wait(Arc::clone(&other)));
            }
            assert_eq!(now(replaced.as_mut()), None);

            tunnels.begin_wait(Arc::clone(&mine)).timed_out();
            assert!(now(replaced.as_mut()).is_some());
            assert!(tunnels.keep() > Duration::ZERO && tunnels.keep() <= ANSWER_TIMEOUT);

            // Tunnels that were built since are not replaced, and there is no second replacement
            // immediately after the first.
            let mut again = Box::pin(tunnels.replaced());
            for _ in 0..2 * most {
                tunnels.begin_wait(Arc::clone(&mine)).timed_out();
            }
            assert_eq!(now(again.as_mut()), None);
            tokio::time::advance(rest).await;
            tunnels.begin_wait(mine).timed_out();
            assert!(now(again.as_mut()).is_some());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_answer_is_enough_to_keep_the_tunnels() {
        let tunnels = Tunnels::new(true);
        let pool = pool();
        let mut replaced = Box::pin(tunnels.replaced());
        for round in 0..100 {
            let wait = tunnels.begin_wait(Arc::clone(&pool));
            if round % (PRIVATE_MAX_TIMEOUTS - 1) == 0 {
                drop(wait);
            } else {
                wait.timed_out();
            }
        }
        assert_eq!(now(replaced.as_mut()), None);
    }
}
