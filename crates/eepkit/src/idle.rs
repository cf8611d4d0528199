//! Idle sessions: they keep fewer tunnels, or are closed until their next use.
//!
//! A message in either direction is use, and so is a call that needs the network. The times and
//! numbers are session options (I2CP overview, "Client-side options").

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use eepkit_i2cp::Options;
use eepkit_link::Layer;
use tokio::time::Instant;

use crate::uses::Uses;

/// What a session does when it is idle.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct IdlePolicy {
    /// After this time, keep this number of tunnels in each direction.
    pub(crate) reduce: Option<(Duration, u8)>,
    /// After this time, close the link to the router.
    pub(crate) close: Option<Duration>,
    /// Open the first link on the first use.
    delay_open: bool,
}

impl IdlePolicy {
    /// The policy in the options. A router that makes the streams (SAM) gets the options itself,
    /// because it alone observes the messages.
    pub(crate) fn new(options: &Options, layer: Layer) -> Self {
        if layer == Layer::Streams {
            return Self::default();
        }
        let reduce = options.reduce_on_idle().then(|| {
            let after = Duration::from_millis(options.reduce_idle_time());
            (after, options.reduce_quantity())
        });
        let close = options
            .close_on_idle()
            .then(|| Duration::from_millis(options.close_idle_time()));
        Self {
            reduce,
            close,
            delay_open: options.delay_open(),
        }
    }

    /// Whether the first link is opened on the first use.
    pub(crate) const fn delays_open(&self) -> bool {
        self.delay_open
    }

    const fn is_active(&self) -> bool {
        self.reduce.is_some() || self.close.is_some() || self.delay_open
    }
}

/// The last use of a session.
#[derive(Debug)]
pub(crate) struct Idle {
    policy: IdlePolicy,
    start: Instant,
    /// Milliseconds from `start` to the last use.
    last: AtomicU64,
    uses: Uses,
    /// Held by this value and by the subsessions, which use the link without the session.
    holders: Arc<()>,
}

impl Idle {
    pub(crate) fn new(policy: IdlePolicy) -> Self {
        Self {
            policy,
            start: Instant::now(),
            last: AtomicU64::new(0),
            uses: Uses::new(),
            holders: Arc::new(()),
        }
    }

    pub(crate) const fn policy(&self) -> &IdlePolicy {
        &self.policy
    }

    /// Records a use, which opens a closed session again.
    pub(crate) fn touch(&self) {
        if !self.policy.is_active() {
            return;
        }
        let since = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(since, Ordering::Relaxed);
        self.uses.add();
    }

    /// Keeps the session from being idle as long as the value exists.
    pub(crate) fn hold(&self) -> Arc<()> {
        self.touch();
        self.holders.clone()
    }

    /// The number of uses so far.
    pub(crate) fn uses(&self) -> u64 {
        self.uses.count()
    }

    /// Waits until there were more than `uses`.
    pub(crate) async fn used_after(&self, uses: u64) {
        self.uses.after(uses).await;
    }

    /// The time since the last use.
    pub(crate) fn quiet(&self) -> Duration {
        if Arc::strong_count(&self.holders) > 1 {
            return Duration::ZERO;
        }
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        self.start.elapsed().saturating_sub(last)
    }
}
