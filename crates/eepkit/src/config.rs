//! The configuration of a session.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use eepkit_i2cp::{LeaseSetMaker, Options};
use eepkit_streaming::{EndpointConfig, StreamConfig};
use eepkit_wire::{Destination, Zeroizing};
use rand::CryptoRng;

use crate::name_source::NameSource;

/// The settings of a session; [`crate::SessionBuilder`] documents them.
#[derive(Debug, Clone)]
pub(crate) struct SessionConfig {
    pub(crate) options: Options,
    pub(crate) endpoint: EndpointConfig,
    pub(crate) stream: StreamConfig,
    pub(crate) hosts: HashMap<String, Destination>,
    pub(crate) name_source: Option<Arc<dyn NameSource>>,
    pub(crate) backlog: usize,
    pub(crate) accept_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) lookup_timeout: Duration,
    pub(crate) linger: Duration,
    /// Whether the session looks up its own lease set.
    pub(crate) verify: bool,
}

/// The encryption keys of the session's lease sets.
pub(crate) struct EncryptionKeys(Mutex<Shareable>);

struct Shareable {
    /// In the form of `i2cp.leaseSetPrivateKey`.
    keys: Zeroizing<String>,
    /// Whether subsessions use them too.
    are_shared: bool,
}

impl EncryptionKeys {
    pub(crate) fn of(maker: &LeaseSetMaker) -> Self {
        Self(Mutex::new(Shareable {
            keys: maker.private_keys(),
            are_shared: false,
        }))
    }

    /// Returns the keys for a subsession. They do not change any more, because a router requires
    /// the same keys from a session and its subsessions.
    pub(crate) fn share(&self) -> Zeroizing<String> {
        let mut shareable = self.lock();
        shareable.are_shared = true;
        shareable.keys.clone()
    }

    /// Generates new keys for a new session on the router, unless subsessions use the current ones.
    pub(crate) fn renew<R: CryptoRng>(&self, maker: &mut LeaseSetMaker, rng: &mut R) {
        let mut shareable = self.lock();
        if !shareable.are_shared {
            maker.renew_keys(rng);
            shareable.keys = maker.private_keys();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shareable> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for EncryptionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EncryptionKeys")
    }
}
