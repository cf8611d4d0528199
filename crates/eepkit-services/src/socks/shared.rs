//! What all connections of a proxy share.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use eepkit_socks::{Authentication, Host, Request};
use rand::seq::IndexedRandom as _;

use super::{SocksConfig, virtual_addresses::VirtualAddresses};
use crate::{
    client_sessions::{ClientSession, ClientSessions, IsolationKey, SessionError},
    serve::Handle,
    target::Target,
    users::Gate,
};

pub(super) struct Shared {
    pub(super) server: Handle,
    pub(super) config: SocksConfig,
    pub(super) sessions: ClientSessions,
    pub(super) gate: Arc<Gate>,
    pub(super) virtual_addresses: VirtualAddresses,
    requires_password: AtomicBool,
    streams: AtomicUsize,
    bytes_sent: AtomicU64,
    bytes_received: AtomicU64,
    dropped: AtomicU64,
}

/// Counts a stream as long as it exists.
pub(super) struct Counted<'a>(&'a AtomicUsize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    pub(super) fn new(
        server: Handle,
        config: SocksConfig,
        sessions: ClientSessions,
        gate: Arc<Gate>,
        requires_password: bool,
    ) -> Self {
        Self {
            server,
            config,
            sessions,
            gate,
            virtual_addresses: VirtualAddresses::default(),
            requires_password: AtomicBool::new(requires_password),
            streams: AtomicUsize::new(0),
            bytes_sent: AtomicU64::new(0),
            bytes_received: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    /// Whether programs need a name and a password.
    pub(super) fn authentication(&self) -> Authentication {
        match self.requires_password.load(Ordering::Relaxed) {
            true => Authentication::Required,
            false => Authentication::Optional,
        }
    }

    pub(super) fn set_requires_password(&self, required: bool) {
        self.requires_password.store(required, Ordering::Relaxed);
    }

    /// The session for the user of a request.
    pub(super) fn session(&self, request: &Request) -> Result<ClientSession, SessionError> {
        let key = request
            .credentials
            .as_ref()
            .filter(|_| self.config.isolates());
        let key = key.map(|named| -> IsolationKey {
            let password = match self.authentication() {
                // The password was verified, and is the same for all connections of the user.
                Authentication::Required => &[],
                Authentication::Optional => named.password(),
            };
            // The length separates the two parts.
            let length = u8::try_from(named.user().len()).unwrap_or(u8::MAX);
            [&[length], named.user(), password].concat()
        });
        self.sessions.get(key)
    }

    /// The host of a request, with the names of virtual addresses.
    pub(super) fn target(&self, host: &Host) -> Target {
        match host {
            Host::Name(name) => Target::of(name),
            Host::Ip(ip) => match self.virtual_addresses.name_of(*ip) {
                Some(name) => Target::I2p(name),
                None => Target::of_ip(*ip),
            },
        }
    }

    /// An outproxy for a connection, chosen at random.
    pub(super) fn outproxy(&self) -> Option<&str> {
        let chosen = self.config.outproxies().choose(&mut rand::rng());
        chosen.map(String::as_str)
    }

    pub(super) fn count_stream(&self) -> Counted<'_> {
        self.streams.fetch_add(1, Ordering::Relaxed);
        Counted(&self.streams)
    }

    pub(super) fn count_bytes(&self, sent: u64, received: u64) {
        self.bytes_sent.fetch_add(sent, Ordering::Relaxed);
        self.bytes_received.fetch_add(received, Ordering::Relaxed);
    }

    pub(super) fn count_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Datagrams that were dropped.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Open streams, and bytes sent and received by streams that have ended.
    pub(super) fn traffic(&self) -> (usize, u64, u64) {
        (
            self.streams.load(Ordering::Relaxed),
            self.bytes_sent.load(Ordering::Relaxed),
            self.bytes_received.load(Ordering::Relaxed),
        )
    }
}
