//! What all connections of a bridge share.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use eepkit::{DatagramSocket, Listener, Router, Session, StreamConfig};
use eepkit_sam::{
    SessionParams, Version,
    server::{Config, Directory, SessionKey},
};
use tokio::sync::Semaphore;
use tokio_rustls::rustls;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{SamStats, lookups::Lookups, udp::UdpSockets, users::Users};

pub(super) struct Shared {
    pub(super) config: Arc<Config>,
    pub(super) settings: Settings,
    pub(super) router: Router,
    directory: Mutex<Directory<Live>>,
    pub(super) users: Mutex<Users>,
    pub(super) lookups: Lookups,
    pub(super) udp: UdpSockets,
    /// Datagrams whose destination is being looked up.
    pub(super) unresolved: Arc<Semaphore>,
    /// Passwords that are being checked.
    pub(super) hashing: Arc<Semaphore>,
    pub(super) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
    pub(super) counters: Counters,
}

/// What the program that runs the bridge chose.
pub(super) struct Settings {
    /// Options of every session that a client does not set.
    pub(super) defaults: Vec<(String, String)>,
    /// Options of every session, whatever a client sets.
    pub(super) overrides: Vec<(String, String)>,
    pub(super) open_timeout: Duration,
    pub(super) max_connections: usize,
    /// With what streams are forwarded by TLS.
    pub(super) forward_tls: Option<Arc<rustls::ClientConfig>>,
}

/// A session or subsession that is online.
#[derive(Clone)]
pub(super) struct Live {
    /// That of the primary session, for subsessions.
    pub(super) session: Session,
    pub(super) is_subsession: bool,
    /// How its streams are opened, where not as the session's.
    pub(super) streams: Option<StreamConfig>,
    pub(super) params: SessionParams,
    pub(super) version: Version,
    pub(super) listener: Option<Arc<Listener>>,
    pub(super) datagrams: Option<DatagramSocket>,
    /// Ends with the session, and with it everything that belongs to it.
    pub(super) token: CancellationToken,
    /// Cancelled once the session has been closed.
    pub(super) gone: CancellationToken,
}

#[derive(Default)]
pub(super) struct Counters {
    pub(super) connections: AtomicUsize,
    pub(super) streams: AtomicUsize,
    pub(super) refused: AtomicU64,
    pub(super) datagrams_dropped: AtomicU64,
}

/// One of what a counter counts, for as long as it lives.
pub(super) struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    pub(super) fn new(counter: &'a AtomicUsize) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(counter)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    pub(super) fn new(
        config: Config,
        settings: Settings,
        router: Router,
        users: Users,
        udp: UdpSockets,
    ) -> Self {
        let mut directory = Directory::default();
        directory.set_auth_required(users.is_required());
        Self {
            config: Arc::new(config),
            settings,
            router,
            directory: Mutex::new(directory),
            users: Mutex::new(users),
            lookups: Lookups::default(),
            udp,
            unresolved: Arc::new(Semaphore::new(MAX_UNRESOLVED)),
            hashing: Arc::new(Semaphore::new(MAX_HASHING)),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            counters: Counters::default(),
        }
    }

    pub(super) fn directory(&self) -> MutexGuard<'_, Directory<Live>> {
        lock(&self.directory)
    }

    pub(super) fn live(&self, session: SessionKey) -> Option<Live> {
        self.directory().attachment(session).cloned()
    }

    pub(super) fn drop_datagram(&self, why: &dyn std::fmt::Display) {
        tracing::debug!(%why, "dropped a datagram of a client");
        self.counters
            .datagrams_dropped
            .fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn stats(&self) -> SamStats {
        let directory = self.directory();
        SamStats {
            connections: self.counters.connections.load(Ordering::Relaxed),
            sessions: directory.sessions(),
            subsessions: directory.subsessions(),
            streams: self.counters.streams.load(Ordering::Relaxed),
            tasks: self.tasks.len(),
            refused: self.counters.refused.load(Ordering::Relaxed),
            datagrams_dropped: self.counters.datagrams_dropped.load(Ordering::Relaxed),
        }
    }
}

/// A panic while a lock was held left nothing half done: each change is one insertion or removal.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Datagrams whose destination is being looked up, at most; further ones are dropped. Chosen as two
/// megabytes of the largest.
const MAX_UNRESOLVED: usize = 64;

/// Passwords that are checked at once. Each takes 19 MiB for some milliseconds.
const MAX_HASHING: usize = 2;
