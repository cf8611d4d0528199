//! The builder of a simulated network and its presets.

use eepkit_i2cp::ApiVersion;
use eepkit_netem::{LinkModel, Loss, Rate};
use tokio::time::Duration;

use super::SimNet;

/// The character of a network: a set of initial values for [`Builder`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Profile {
    /// No delay, no loss and no limits. Tunnels are built immediately. For tests of an
    /// application's logic rather than its tolerance of the network. The default.
    #[default]
    Ideal,
    /// A small private network of routers on one machine: 1 ms one way, tunnels built in 50 ms.
    Local,
    /// Good conditions on the live network: 200 to 400 ms one way, 40 ms of jitter, 1 % of loss in
    /// short bursts, little reordering, 256 KiB/s per path, tunnels built in 3 s. Chosen within the
    /// range that i2pd and Java routers report for their tunnels.
    Live,
    /// Bad conditions: 300 ms to 1.5 s one way, 5 % of loss in bursts, reordering, duplicates, 48
    /// KiB/s per path, and tunnels that fail, one in three of them without notice.
    Harsh,
}

/// Builds a [`SimNet`]. The default of every value is that of [`Profile::Ideal`].
///
/// A value that is set after [`Builder::profile`] replaces the value of the profile.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use std::time::Duration;
/// use eepkit_sim::{Profile, SimNet};
///
/// let net = SimNet::builder()
///     .profile(Profile::Live)
///     .seed(7)
///     .loss(0.05)
///     .tunnel_lifetime(Duration::from_secs(30))
///     .start();
/// # net.stop();
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "a network exists once it is started"]
pub struct Builder {
    pub(super) config: Config,
}

/// The values of a network.
#[derive(Debug, Clone)]
pub(super) struct Config {
    pub(super) seed: u64,
    pub(super) link: LinkModel,
    pub(super) hop_delay: Duration,
    pub(super) uplink: Option<Rate>,
    pub(super) downlink: Option<Rate>,
    pub(super) downlink_queue: Duration,
    pub(super) spray: bool,
    pub(super) i2cp_version: ApiVersion,
    pub(super) credits: u32,
    pub(super) tunnel_lifetime: Duration,
    pub(super) tunnel_overlap: Option<Duration>,
    pub(super) build_time: Duration,
    pub(super) publish_time: Duration,
    pub(super) lookup_time: Duration,
    pub(super) failures: Option<Duration>,
    pub(super) failure_notice: Duration,
    pub(super) blackholes: Option<Duration>,
    /// The silence of a peer after which a router begins a new encryption session with it.
    pub(super) least_silence: Duration,
    pub(super) log: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seed: 0,
            link: LinkModel::default(),
            hop_delay: Duration::ZERO,
            uplink: None,
            downlink: None,
            downlink_queue: HOST_QUEUE,
            spray: false,
            i2cp_version: ApiVersion::OURS,
            credits: CREDITS,
            tunnel_lifetime: TUNNEL_LIFETIME,
            tunnel_overlap: None,
            build_time: Duration::ZERO,
            publish_time: Duration::ZERO,
            lookup_time: Duration::ZERO,
            failures: None,
            failure_notice: Duration::ZERO,
            blackholes: None,
            least_silence: Duration::ZERO,
            log: 0,
        }
    }
}

impl Config {
    /// How long before the end of a tunnel the build of its replacement starts.
    pub(super) fn overlap(&self) -> Duration {
        self.tunnel_overlap
            .unwrap_or_else(|| LONGEST_OVERLAP.min(self.tunnel_lifetime / 4))
            .saturating_add(self.build_time)
            // With a longer overlap, a new replacement would itself be replaced immediately.
            .min(self.tunnel_lifetime * 3 / 4)
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// A builder with [`Profile::Ideal`] and seed 0.
    pub fn new() -> Self {
        Self {
            config: Config::default(),
        }
    }

    /// Starts the network. Its one task runs on the current tokio runtime until [`SimNet::stop`],
    /// or until the last handle, router and session of the network is dropped.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its clock enabled.
    pub fn start(self) -> SimNet {
        SimNet::start(self.config)
    }

    /// Sets the values of a profile. The seed and the log settings do not change.
    pub fn profile(mut self, profile: Profile) -> Self {
        let Config { seed, log, .. } = self.config;
        self.config = Config {
            seed,
            log,
            ..Config::default()
        };
        // As the embedded router, which treats a private network differently.
        self.config.least_silence = match profile {
            Profile::Ideal | Profile::Local => Duration::ZERO,
            Profile::Live | Profile::Harsh => Duration::from_secs(45),
        };
        match profile {
            Profile::Ideal => self,
            Profile::Local => self
                .delay(Duration::from_millis(1))
                .build_time(Duration::from_millis(50))
                .lookup_time(Duration::from_millis(2))
                .publish_time(Duration::from_millis(2)),
            Profile::Live => self
                .delay(Duration::from_millis(300))
                .spread(Duration::from_millis(100))
                .jitter(Duration::from_millis(40))
                .loss(Loss::bursts(0.01, 2.0))
                .reorder(0.01, Duration::from_millis(30))
                .rate(Rate::kib_per_second(256))
                .build_time(Duration::from_secs(3))
                .lookup_time(Duration::from_millis(800))
                .publish_time(Duration::from_secs(1)),
            Profile::Harsh => self
                .delay(Duration::from_millis(900))
                .spread(Duration::from_millis(600))
                .jitter(Duration::from_millis(200))
                .loss(Loss::bursts(0.05, 4.0))
                .reorder(0.05, Duration::from_millis(150))
                .duplicate(0.01)
                .rate(Rate::kib_per_second(48))
                .build_time(Duration::from_secs(8))
                .lookup_time(Duration::from_secs(3))
                .publish_time(Duration::from_secs(4))
                .tunnel_failures(Duration::from_secs(900))
                .failure_notice(Duration::from_secs(20))
                .tunnel_blackholes(Duration::from_secs(1800)),
        }
    }

    /// The seed of the network's random numbers. Default: 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.config.seed = seed;
        self
    }

    /// Sets the complete [`LinkModel`]. It applies to each path separately: each pair of an
    /// outbound tunnel and a lease has its own state.
    pub fn link(mut self, model: LinkModel) -> Self {
        self.config.link = model;
        self
    }

    /// Sets [`LinkModel::delay`].
    pub fn delay(mut self, delay: Duration) -> Self {
        self.config.link = self.config.link.delay(delay);
        self
    }

    /// Sets [`LinkModel::spread`].
    pub fn spread(mut self, spread: Duration) -> Self {
        self.config.link = self.config.link.spread(spread);
        self
    }

    /// Sets [`LinkModel::jitter`].
    pub fn jitter(mut self, jitter: Duration) -> Self {
        self.config.link = self.config.link.jitter(jitter);
        self
    }

    /// Sets [`LinkModel::loss`]. A number is a probability of random loss.
    pub fn loss(mut self, loss: impl Into<Loss>) -> Self {
        self.config.link = self.config.link.loss(loss.into());
        self
    }

    /// Sets [`LinkModel::rate`]: the bottleneck of each path inside the network. The sender cannot
    /// observe its queue. [`Builder::host_rate`] sets a bottleneck that the sender can observe.
    pub fn rate(mut self, rate: impl Into<Option<Rate>>) -> Self {
        self.config.link = self.config.link.rate(rate);
        self
    }

    /// Sets [`LinkModel::queue`].
    pub fn queue(mut self, longest: Duration) -> Self {
        self.config.link = self.config.link.queue(longest);
        self
    }

    /// Sets [`LinkModel::reorder`].
    pub fn reorder(mut self, probability: f64, by: Duration) -> Self {
        self.config.link = self.config.link.reorder(probability, by);
        self
    }

    /// Sets [`LinkModel::duplicate`].
    pub fn duplicate(mut self, probability: f64) -> Self {
        self.config.link = self.config.link.duplicate(probability);
        self
    }

    /// The delay that each hop of both tunnels of a path adds to the link's delay, so that the
    /// tunnel lengths that a session requests have an effect. Default: zero.
    pub fn hop_delay(mut self, delay: Duration) -> Self {
        self.config.hop_delay = delay.min(LONGEST);
        self
    }

    /// The rates of each destination's connection to the network in both directions. All tunnels of
    /// the destination share it. Default: no limit.
    ///
    /// Outbound messages queue in the router of the session. The session can observe this: credits
    /// are returned, and [`Event::Sent`](eepkit_link::Event::Sent) is reported, when messages
    /// leave. Inbound messages queue in the network for up to 500 ms. Messages that would queue
    /// longer are dropped.
    pub fn host_rate(mut self, up: impl Into<Option<Rate>>, down: impl Into<Option<Rate>>) -> Self {
        self.config.uplink = up.into();
        self.config.downlink = down.into();
        self
    }

    /// How routers send messages for which the session did not choose a path
    /// ([`PathChoice::Auto`](eepkit_link::PathChoice::Auto), and all messages over I2CP). With
    /// `true` a router selects a random tunnel and lease for each message, as emissary does. With
    /// `false` it uses one pair of them for up to two minutes, as i2pd does, unless the peer does not
    /// receive a lease set of the session for 4 s. Default: `false`.
    pub fn spray(mut self, spray: bool) -> Self {
        self.config.spray = spray;
        self
    }

    /// The API version that routers report over I2CP. Clients use only what this version has; from
    /// 0.9.66 on, they look up lease sets. Default: the newest version.
    pub fn i2cp_version(mut self, version: ApiVersion) -> Self {
        self.config.i2cp_version = version;
        self
    }

    /// The number of messages over chosen paths that may wait for each outbound tunnel
    /// ([`Event::Credit`](eepkit_link::Event::Credit)). At least 1. Default: 64.
    pub fn credits(mut self, messages: u32) -> Self {
        self.config.credits = messages.max(1);
        self
    }

    /// The lifetime of a tunnel, 4 s to one day. Default: ten minutes, as in I2P. With a short
    /// lifetime, tunnels are replaced every few seconds.
    pub fn tunnel_lifetime(mut self, lifetime: Duration) -> Self {
        self.config.tunnel_lifetime = lifetime.clamp(SHORTEST_LIFETIME, LONGEST);
        self
    }

    /// How long before the end of a tunnel its replacement is up. The overlap and the [build
    /// time](Self::build_time) together are at most three quarters of the lifetime. Default: a
    /// quarter of the lifetime, at most one minute.
    pub fn tunnel_overlap(mut self, overlap: Duration) -> Self {
        self.config.tunnel_overlap = Some(overlap.min(LONGEST));
        self
    }

    /// The time to build a tunnel. Default: zero.
    pub fn build_time(mut self, time: Duration) -> Self {
        self.config.build_time = time.min(LONGEST);
        self
    }

    /// The time from publishing a lease set until others can find it. Default: zero.
    pub fn publish_time(mut self, time: Duration) -> Self {
        self.config.publish_time = time.min(LONGEST);
        self
    }

    /// The time to look up a destination or a lease set, whether it is found or not. The first
    /// message to a destination waits for this look-up, too. Look-ups of names complete
    /// immediately. Default: zero.
    pub fn lookup_time(mut self, time: Duration) -> Self {
        self.config.lookup_time = time.min(LONGEST);
        self
    }

    /// Makes tunnels fail at random, on average after `mean` (at least 1 s). Messages in them are
    /// lost. [`Builder::failure_notice`] later, the failure is reported to the owner. Default:
    /// never.
    pub fn tunnel_failures(mut self, mean: impl Into<Option<Duration>>) -> Self {
        self.config.failures = mean.into().map(|mean| mean.max(SHORTEST_MEAN));
        self
    }

    /// The time from the failure of a tunnel to its report, for random failures and
    /// [`SimNet::kill_tunnel`]. Default: zero.
    pub fn failure_notice(mut self, time: Duration) -> Self {
        self.config.failure_notice = time.min(LONGEST);
        self
    }

    /// Makes tunnels black holes at random, on average after `mean` (at least 1 s). Messages in
    /// them are lost without notice. Default: never.
    pub fn tunnel_blackholes(mut self, mean: impl Into<Option<Duration>>) -> Self {
        self.config.blackholes = mean.into().map(|mean| mean.max(SHORTEST_MEAN));
        self
    }

    /// The number of most recent log entries that [`SimNet::take_log`] returns. Default: 0, no log.
    pub fn log(mut self, entries: usize) -> Self {
        self.config.log = entries;
        self
    }
}

/// The lifetime of tunnels ("Tunnel Implementation", tunnel lifetime).
const TUNNEL_LIFETIME: Duration = Duration::from_secs(600);

/// Chosen because dates in lease sets are whole seconds, and rounding would leave nothing of a
/// shorter lifetime.
const SHORTEST_LIFETIME: Duration = Duration::from_secs(4);

/// Chosen as a failure rate at which some tunnels of the shortest lifetime do not fail.
const SHORTEST_MEAN: Duration = Duration::from_secs(1);

/// Chosen because routers start to build a replacement one to two minutes before a tunnel ends.
const LONGEST_OVERLAP: Duration = Duration::from_secs(60);

/// The limit of every duration in a network. Chosen so that sums of durations cannot overflow.
const LONGEST: Duration = Duration::from_secs(86_400);

/// Chosen between the 333 ms of Java's transit queues and the seconds of a home router's queue.
const HOST_QUEUE: Duration = Duration::from_millis(500);

/// Chosen as half the largest cwnd of Java's streaming library. This is enough to keep a path busy
/// while the session's task is not running, and small enough to keep the queueing delay short.
const CREDITS: u32 = 64;
