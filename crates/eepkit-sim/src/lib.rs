//! A simulated network for tests of applications.
//!
//! [`SimNet`] connects destinations directly inside this process and models the behaviour of I2P
//! between them:
//!
//! * delay, jitter, random loss and bursts of loss, limited rates and queues, reordering,
//!   duplicates;
//! * tunnels that are built, replaced, and fail with or without notice;
//! * lease sets that expire;
//! * partitions, and hosts that disappear.
//!
//! Nothing is encrypted, and nothing leaves the process. The sessions are real: they sign their
//! lease sets, which are verified, look each other up, and lose messages when their tunnels fail.
//!
//! The network is deterministic. All random numbers come from one seed, and time is tokio's clock.
//! In a runtime with paused time, an hour of traffic takes only the processor time of its messages,
//! and two runs have the same result.
//!
//! ```
//! # use std::{future::poll_fn, sync::Arc, time::Duration};
//! # use eepkit_i2cp::{LeaseSetMaker, Options};
//! # use eepkit_wire::{PrivateKeys, SignatureType};
//! use eepkit_link::{Command, Connector, Event, LinkStage, Progress, Setup, clock};
//! use eepkit_sim::SimNet;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), eepkit_link::LinkError> {
//! let net = SimNet::builder()
//!     .seed(7)
//!     .delay(Duration::from_millis(20))
//!     .loss(0.01)
//!     .start();
//!
//! // A router for each party. (The crate `eepkit` provides sessions and streams on top. This is
//! // what it does internally.)
//! let router = net.router();
//! # let keys = Arc::new(PrivateKeys::generate(SignatureType::ED25519, &mut rand::rng()).unwrap());
//! # let options = Options::new();
//! # let mut maker = LeaseSetMaker::new(Arc::clone(&keys), &options, &mut rand::rng()).unwrap();
//! let (timeout, progress) = (Duration::from_secs(10), Progress::default());
//! let mut link = router
//!     .open(Setup { keys, options, timeout, progress })
//!     .await?;
//! loop {
//!     match poll_fn(|cx| link.poll_event(cx)).await {
//!         Event::LeaseSetWanted { leases, router_time } => {
//!             let signed = maker.make(&leases, router_time).unwrap();
//!             link.submit(Command::PublishLeaseSet(signed));
//!         }
//!         Event::Stage(LinkStage::Ready) => break,
//!         _ => {}
//!     }
//! }
//! assert_eq!(net.stats().sessions, 1);
//! # Ok(()) }
//! ```
//!
//! # In tests
//!
//! With paused time (`#[tokio::test(start_paused = true)]`, tokio's feature `test-util`) a test
//! never waits: whenever every task is idle, the clock advances to the next timer. The test causes
//! faults while it runs. [`Stats`] and the [log](SimNet::take_log) report their effects:
//!
//! ```
//! # use std::time::Duration;
//! # use eepkit_sim::{Profile, SimNet};
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! # let (client, server) = (some_destination(), some_destination());
//! let net = SimNet::new(Profile::Live);
//! // ... the client sends to the server, then ...
//! net.partition(&client, &server);
//! tokio::time::sleep(Duration::from_secs(90)).await;
//! net.heal(&client, &server);
//! net.set_loss(0.1);
//! for tunnel in net.tunnels(&server) {
//!     net.blackhole(tunnel.id);
//! }
//! // ... and the test asserts what the application did.
//! assert_eq!(net.stats().dropped.inbox_full, 0);
//! # }
//! # fn some_destination() -> eepkit_wire::Destination {
//! #     use eepkit_wire::{PrivateKeys, SignatureType};
//! #     let keys = PrivateKeys::generate(SignatureType::ED25519, &mut rand::rng());
//! #     keys.unwrap().destination().clone()
//! # }
//! ```
//!
//! # What is simulated, and how far
//!
//! Each destination is a host with its own router. Its session has as many inbound and outbound
//! tunnels as its options request (`inbound.quantity`, `outbound.length`, ...). A message leaves
//! through one outbound tunnel and arrives at one lease of the peer. Each such pair is a path with
//! its own [`LinkModel`](eepkit_netem::LinkModel) state and its own random delay. The router of a
//! session has only those leases of a peer that it looked up or received with messages of the peer.
//! It may therefore have leases whose tunnels no longer exist, as in reality.
//!
//! Not simulated are the routers in between, encryption, padding and fragmentation, congestion that
//! paths share inside the network, and encrypted lease sets. A [`Rate`](eepkit_netem::Rate) counts
//! bytes of application data. Paths share only a [host's connection](Builder::host_rate).
//!
//! # Interfaces
//!
//! - [`SimNet::router`]: the direct link, which exposes its tunnels.
//! - [`SimNet::i2cp_router`]: the same sessions over I2CP in memory, as with a router in another
//!   process.
//! - [`SimNet::i2cp_listen`]: I2CP over TCP, for clients other than this library.

mod config;
mod faults;
mod i2cp;
mod link;
mod log;
mod schedule;
mod stats;
#[cfg(test)]
mod tests;
mod world;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use config::Config;
use eepkit_link::{BoxFuture, Connector, Link, LinkError, Setup, clock};
use world::World;

pub use config::{Builder, Profile};
/// The link emulator of the network.
#[doc(no_inline)]
pub use eepkit_netem as netem;
pub use faults::TunnelInfo;
pub use link::{SimLink, SimRouter};
pub use log::{Happening, HostId, LogEntry};
pub use stats::{Cause, Drops, Stats};

/// A simulated network. Cheap to clone; all clones are the same network.
///
/// See the [module documentation](self). The methods below cause faults. They identify a host by
/// its [`Destination`](eepkit_wire::Destination), which need not have a session.
#[derive(Clone)]
pub struct SimNet {
    shared: Arc<Shared>,
}

impl SimNet {
    /// Starts a network with the values of a profile and seed 0.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its clock enabled.
    pub fn new(profile: Profile) -> Self {
        Builder::new().profile(profile).start()
    }

    /// Returns a [`Builder`].
    pub fn builder() -> Builder {
        Builder::new()
    }

    fn start(config: Config) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                world: World::new(config, Instant::now(), clock::unix_now()),
                armed: None,
            }),
            changed: Arc::new(Notify::new()),
            stop: watch::Sender::new(false),
        });
        tokio::spawn(drive(Arc::downgrade(&shared), Arc::clone(&shared.changed)));
        Self { shared }
    }

    /// A router on this network that opens sessions. There may be any number of routers. They do
    /// not differ, because every destination has its own host regardless of the router that opened
    /// its session.
    pub fn router(&self) -> SimRouter {
        SimRouter::new(Arc::clone(&self.shared))
    }

    /// The counters since the start of the network.
    pub fn stats(&self) -> Stats {
        self.shared.with(|world, _| world.stats)
    }

    /// Removes and returns the log entries since the last call, up to the limit of
    /// [`Builder::log`].
    pub fn take_log(&self) -> Vec<LogEntry> {
        self.shared.with(|world, _| world.log.take())
    }

    /// Stops the network. Every session is lost with
    /// [`LostReason::Stopped`](eepkit_link::LostReason::Stopped), new sessions fail, and listeners
    /// close.
    pub fn stop(&self) {
        self.shared.with(|world, now| world.stop(now));
        self.shared.changed.notify_one();
        self.shared.stop.send_replace(true);
    }
}

/// Opens sessions as [`SimNet::router`] does, so that a network can be used as a router.
impl Connector for SimNet {
    fn open(&self, setup: Setup) -> BoxFuture<Result<Box<dyn Link>, LinkError>> {
        self.router().open(setup)
    }

    fn name(&self) -> String {
        self.router().name()
    }

    fn exposes_tunnels(&self) -> bool {
        self.router().exposes_tunnels()
    }
}

impl fmt::Debug for SimNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimNet").finish_non_exhaustive()
    }
}

/// The state that the handles, the sessions and the task of a network share.
struct Shared {
    state: Mutex<State>,
    changed: Arc<Notify>,
    /// Whether the network has stopped, for listeners.
    stop: watch::Sender<bool>,
}

struct State {
    world: World,
    /// The time at which the task wakes by itself.
    armed: Option<Instant>,
}

impl Shared {
    /// Applies an operation to the current state of the world, and processes its consequences.
    fn with<R>(&self, act: impl FnOnce(&mut World, Instant) -> R) -> R {
        let now = Instant::now();
        let mut state = self.lock();
        state.world.advance(now);
        let result = act(&mut state.world, now);
        state.world.advance(now);
        let next = state.world.next_due();
        let sooner = match (next, state.armed) {
            (Some(next), Some(armed)) => next < armed,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if sooner {
            // The task sets this time again. Until then it needs no second notification.
            state.armed = next;
        }
        let wakers = state.world.take_wakers();
        drop(state);
        if sooner {
            self.changed.notify_one();
        }
        for waker in wakers {
            waker.wake();
        }
        result
    }

    /// Runs the task once. Returns the time of its next run, or `None` if the network has stopped.
    fn turn(&self) -> Option<Option<Instant>> {
        let mut state = self.lock();
        state.world.advance(Instant::now());
        let next = state.world.next_due();
        state.armed = next;
        let stopped = state.world.is_stopped();
        let wakers = state.world.take_wakers();
        drop(state);
        for waker in wakers {
            waker.wake();
        }
        (!stopped).then_some(next)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No invariant spans two steps of the world, so a panic in another thread does not
        // invalidate it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.changed.notify_one();
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimNet")
    }
}

/// The task of a network, which wakes when an event is due. Ends when the network is stopped or its
/// last handle is dropped.
async fn drive(shared: Weak<Shared>, changed: Arc<Notify>) {
    loop {
        let Some(next) = shared.upgrade().and_then(|shared| shared.turn()) else {
            return;
        };
        // The order is fixed, so that two runs have the same result.
        match next {
            Some(next) => tokio::select! {
                biased;
                () = changed.notified() => {}
                () = tokio::time::sleep_until(next) => {}
            },
            None => changed.notified().await,
        }
    }
}
