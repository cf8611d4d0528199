//! The state that all connections of a bridge share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eepkit::{DatagramSocket, Listener, Router, Session, StreamConfig};
use eepkit_link::LogLimit;
use eepkit_sam::{
    SessionParams, Version,
    server::{Config, Directory, SessionKey},
};
use tokio::sync::Semaphore;
use tokio_rustls::rustls;
use tokio_util::sync::CancellationToken;

use super::{SamConfig, SamStats, key_store::KeyStore, udp_sockets::UdpSockets};
use crate::{
    counters::Counters,
    lookup_session::LookupSession,
    serve::Handle,
    users::{Gate, Users},
};

pub(super) struct Shared {
    /// Runs and ends the tasks of the bridge.
    pub(super) server: Handle,
    /// The protocol configuration of the machines of connections.
    pub(super) protocol: Arc<Config>,
    pub(super) config: SamConfig,
    pub(super) router: Router,
    directory: Mutex<Directory<Live>>,
    pub(super) gate: Arc<Gate>,
    /// The keys of destinations that clients of SAM 1.0 and 2.0 name.
    pub(super) key_store: Arc<KeyStore>,
    /// Limits the lines of the log about these clients.
    pub(super) older_clients: LogLimit,
    /// The certificates to trust for streams that are forwarded over TLS.
    trust: Mutex<Option<Arc<rustls::ClientConfig>>>,
    pub(super) lookups: LookupSession,
    pub(super) udp: UdpSockets,
    /// Datagrams whose destination is being looked up.
    pub(super) unresolved: Arc<Semaphore>,
    pub(super) counters: Arc<Counters>,
}

/// An open session or subsession.
#[derive(Clone)]
pub(super) struct Live {
    /// For subsessions, that of the primary session.
    pub(super) session: Session,
    pub(super) is_subsession: bool,
    /// The stream configuration, if it differs from that of the session.
    pub(super) streams: Option<StreamConfig>,
    pub(super) params: SessionParams,
    pub(super) version: Version,
    pub(super) listener: Option<Arc<Listener>>,
    pub(super) datagrams: Option<DatagramSocket>,
    /// Cancelled when the session ends. Everything that belongs to the session then ends.
    pub(super) token: CancellationToken,
    /// Cancelled once the session has been closed.
    pub(super) gone: CancellationToken,
}

impl Shared {
    pub(super) fn new(
        server: Handle,
        protocol: Config,
        config: SamConfig,
        router: Router,
        users: Users,
        key_store: KeyStore,
        udp: UdpSockets,
    ) -> Self {
        let mut directory = Directory::default();
        directory.set_auth_required(users.is_required());
        Self {
            server,
            protocol: Arc::new(protocol),
            config,
            router,
            directory: Mutex::new(directory),
            gate: Arc::new(Gate::new(users)),
            key_store: Arc::new(key_store),
            older_clients: LogLimit::new(),
            trust: Mutex::default(),
            lookups: LookupSession::default(),
            udp,
            unresolved: Arc::new(Semaphore::new(MAX_UNRESOLVED)),
            counters: Arc::default(),
        }
    }

    pub(super) fn directory(&self) -> MutexGuard<'_, Directory<Live>> {
        lock(&self.directory)
    }

    pub(super) fn live(&self, session: SessionKey) -> Option<Live> {
        self.directory().attachment(session).cloned()
    }

    pub(super) fn trust(&self) -> Option<Arc<rustls::ClientConfig>> {
        lock(&self.trust).clone()
    }

    pub(super) fn set_trust(&self, trust: Option<Arc<rustls::ClientConfig>>) {
        *lock(&self.trust) = trust;
    }

    pub(super) fn set_users(&self, users: Users) {
        let is_required = users.is_required();
        self.gate.replace(users);
        self.directory().set_auth_required(is_required);
    }

    pub(super) fn drop_datagram(&self, why: &dyn std::fmt::Display) {
        tracing::debug!(%why, "dropped a datagram of a client");
        self.counters.count_dropped();
    }

    pub(super) fn stats(&self) -> SamStats {
        let directory = self.directory();
        SamStats {
            connections: self.server.connections(),
            sessions: directory.sessions(),
            subsessions: directory.subsessions(),
            streams: self.counters.streams(),
            tasks: self.server.tasks(),
            refused: self.server.refused(),
            datagrams_dropped: self.counters.datagrams_dropped(),
            bytes_sent: self.counters.bytes_sent(),
            bytes_received: self.counters.bytes_received(),
        }
    }
}

/// A panic while the lock is held leaves the table consistent, because each change is one insertion
/// or removal.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The maximum number of datagrams whose destination is being looked up. Further ones are dropped.
/// Chosen as two megabytes of the largest datagrams.
const MAX_UNRESOLVED: usize = 64;
