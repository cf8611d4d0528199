//! What answers that do not come teach a router about its tunnels.
//!
//! emissary-core uses a tunnel for ten minutes even if none of its tests succeeds. When a hop that
//! its exploratory tunnels share goes away, the router can neither build tunnels nor look anything
//! up until they expire. So the waits of each tunnel pool are counted, and when too many in a row
//! were in vain, all tunnels are given up and the router begins anew.

use std::{
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

/// How long emissary-core waits for the answer to a tunnel build, and for a tunnel test to come
/// back; its only delays of this length.
pub(super) const TUNNEL_PATIENCE: Duration = Duration::from_secs(8);

/// The age at which emissary-core begins to replace a tunnel; its only delay of this length.
pub(super) const TUNNEL_RENEWAL: Duration = Duration::from_secs(9 * 60);

/// The age at which emissary-core drops one of its own tunnels; its only delays of this length.
pub(super) const TUNNEL_LIFETIME: Duration = Duration::from_secs(10 * 60);

/// The shortest time that a private network's router waits. Chosen because answers take five to
/// twenty milliseconds on an idle machine.
const LEAST_PATIENCE: Duration = Duration::from_millis(400);

/// How often [`LEAST_PATIENCE`] may be doubled; then it is [`TUNNEL_PATIENCE`].
const MAX_LEVEL: u32 = 5;

/// Waits in vain, one after the other in one pool, after which the tunnels are given up. On the
/// live network six in ten builds may fail while nothing is wrong; that all of so many do happens
/// once in 200,000 times. In a private network none fails without a reason.
const MAX_IN_VAIN: u32 = 24;
const PRIVATE_MAX_IN_VAIN: u32 = 8;

/// The least time between giving up tunnels and giving them up again: while the machine has no
/// network, beginning anew does not help.
const REST: Duration = Duration::from_secs(2 * 60);
const PRIVATE_REST: Duration = Duration::from_secs(10);

/// A router's experience with its tunnels.
#[derive(Debug)]
pub(crate) struct Tunnels {
    /// Whether the router belongs to a private network.
    private: bool,
    /// How often [`LEAST_PATIENCE`] is doubled.
    level: AtomicU32,
    given_up: watch::Sender<()>,
    given_up_at: Mutex<Option<Instant>>,
}

/// How many waits of one tunnel pool were in vain since the last that was not.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    in_vain: AtomicU32,
}

impl Tunnels {
    pub(crate) fn new(private: bool) -> Self {
        Self {
            private,
            level: AtomicU32::new(0),
            given_up: watch::Sender::new(()),
            given_up_at: Mutex::new(None),
        }
    }

    /// Begins to wait for the answer to a tunnel build or a tunnel test.
    pub(crate) fn patience(&self, pool: Arc<Pool>) -> Patience<'_> {
        Patience {
            tunnels: self,
            pool,
            level: self.level.load(Ordering::Relaxed),
            began: Instant::now(),
            answered: true,
        }
    }

    /// Resolves when the tunnels that stand now are given up. Cancel safe.
    pub(crate) fn given_up(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut given_up = self.given_up.subscribe();
        async move {
            if given_up.changed().await.is_err() {
                // The router is no more, and neither is this task in a moment.
                std::future::pending::<()>().await;
            }
        }
    }

    fn wait(&self, level: u32) -> Duration {
        if self.private {
            let doubled = LEAST_PATIENCE.saturating_mul(1 << level.min(MAX_LEVEL));
            doubled.min(TUNNEL_PATIENCE)
        } else {
            TUNNEL_PATIENCE
        }
    }

    fn in_vain(&self, pool: &Pool) {
        let (most, rest) = if self.private {
            (PRIVATE_MAX_IN_VAIN, PRIVATE_REST)
        } else {
            (MAX_IN_VAIN, REST)
        };
        if pool.in_vain.fetch_add(1, Ordering::Relaxed) + 1 < most {
            return;
        }
        let now = Instant::now();
        let mut at = self
            .given_up_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if at.is_some_and(|at| now - at < rest) {
            return;
        }
        *at = Some(now);
        pool.in_vain.store(0, Ordering::Relaxed);
        tracing::info!(
            "no tunnel was built and no test came back {most} times; all tunnels are replaced"
        );
        self.given_up.send_replace(());
    }

    /// For how long tunnels that were given up are kept: the router first notes that a tunnel
    /// ends, and drops it when its last test is over.
    pub(crate) fn keep(&self) -> Duration {
        self.wait(MAX_LEVEL.min(self.level.load(Ordering::Relaxed) + 1))
    }
}

/// A wait for the answer to a tunnel build or a tunnel test.
///
/// On the live network it takes as long as the router wants. In a private network answers take
/// milliseconds, so that what has not come soon is lost, and a new attempt should not wait for
/// eight seconds. How soon is soon depends on how busy the machine is: the time doubles when it
/// was waited in vain, and halves when the answer took a small part of it.
#[derive(Debug)]
pub(crate) struct Patience<'a> {
    tunnels: &'a Tunnels,
    pool: Arc<Pool>,
    /// How often the time was doubled.
    level: u32,
    began: Instant,
    answered: bool,
}

impl Patience<'_> {
    /// How long to wait.
    pub(crate) fn time(&self) -> Duration {
        self.tunnels.wait(self.level)
    }

    /// The time is up.
    pub(crate) fn ended(mut self) {
        self.answered = false;
        let longer = (self.level + 1).min(MAX_LEVEL);
        self.tunnels.level.fetch_max(longer, Ordering::Relaxed);
        self.tunnels.in_vain(&self.pool);
    }
}

impl Drop for Patience<'_> {
    /// The answer came, or nobody waits for it any more.
    fn drop(&mut self) {
        if !self.answered {
            return;
        }
        self.pool.in_vain.store(0, Ordering::Relaxed);
        if self.began.elapsed() < self.time() / 4 {
            let shorter = self.level.saturating_sub(1);
            self.tunnels.level.fetch_min(shorter, Ordering::Relaxed);
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

    /// What the future has to say without waiting.
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
    async fn patience_grows_when_waiting_was_in_vain_and_shrinks_when_answers_come_soon() {
        let tunnels = Tunnels::new(true);
        assert_eq!(tunnels.patience(pool()).time(), LEAST_PATIENCE);

        // Several at the same time count as one.
        let (first, second) = (tunnels.patience(pool()), tunnels.patience(pool()));
        first.ended();
        second.ended();
        let longer = tunnels.patience(pool());
        assert_eq!(longer.time(), LEAST_PATIENCE * 2);
        tokio::time::advance(LEAST_PATIENCE).await;
        drop(longer);
        assert_eq!(
            tunnels.patience(pool()).time(),
            LEAST_PATIENCE * 2,
            "that was not soon"
        );

        drop(tunnels.patience(pool()));
        assert_eq!(tunnels.patience(pool()).time(), LEAST_PATIENCE);
        for _ in 0..20 {
            tunnels.patience(pool()).ended();
        }
        assert_eq!(tunnels.patience(pool()).time(), TUNNEL_PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn on_the_live_network_patience_is_what_the_router_wants() {
        let tunnels = Tunnels::new(false);
        tunnels.patience(pool()).ended();
        drop(tunnels.patience(pool()));
        assert_eq!(tunnels.patience(pool()).time(), TUNNEL_PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn tunnels_are_given_up_when_nothing_comes_back_any_more() {
        for (private, most, rest) in [
            (true, PRIVATE_MAX_IN_VAIN, PRIVATE_REST),
            (false, MAX_IN_VAIN, REST),
        ] {
            let tunnels = Tunnels::new(private);
            let (mine, other) = (pool(), pool());
            let mut given_up = Box::pin(tunnels.given_up());
            for _ in 1..most {
                tunnels.patience(Arc::clone(&mine)).ended();
                // What another pool sees says nothing about this one.
                drop(tunnels.patience(Arc::clone(&other)));
            }
            assert_eq!(now(given_up.as_mut()), None);

            tunnels.patience(Arc::clone(&mine)).ended();
            assert!(now(given_up.as_mut()).is_some());
            assert!(tunnels.keep() > Duration::ZERO && tunnels.keep() <= TUNNEL_PATIENCE);

            // Not those that were built since, and not again at once.
            let mut again = Box::pin(tunnels.given_up());
            for _ in 0..2 * most {
                tunnels.patience(Arc::clone(&mine)).ended();
            }
            assert_eq!(now(again.as_mut()), None);
            tokio::time::advance(rest).await;
            tunnels.patience(mine).ended();
            assert!(now(again.as_mut()).is_some());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_answer_is_enough_to_keep_the_tunnels() {
        let tunnels = Tunnels::new(true);
        let pool = pool();
        let mut given_up = Box::pin(tunnels.given_up());
        for wait in 0..100 {
            let patience = tunnels.patience(Arc::clone(&pool));
            if wait % (PRIVATE_MAX_IN_VAIN - 1) == 0 {
                drop(patience);
            } else {
                patience.ended();
            }
        }
        assert_eq!(now(given_up.as_mut()), None);
    }
}
