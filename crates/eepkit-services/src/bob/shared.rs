//! The state that all connections of a bridge share.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use eepkit::Router;
use eepkit_bob::{Database, Nickname, Stage, server};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{active::Active, config::BobConfig};
use crate::{lookup_session::LookupSession, serve::Handle};

pub(super) struct Shared {
    /// Runs and ends the tasks of the bridge.
    pub(super) server: Handle,
    pub(super) router: Router,
    pub(super) config: BobConfig,
    /// The protocol configuration of the machines of connections.
    pub(super) protocol: Arc<server::Config>,
    pub(super) lookups: LookupSession,
    /// Notified when the database may have changed.
    pub(super) changed: Notify,
    /// Cancelled when a client stops the bridge.
    pub(super) zapped: CancellationToken,
    /// The revision that is saved. Locked while the file is written.
    pub(super) saved: tokio::sync::Mutex<u64>,
    database: Mutex<Database>,
    active: Mutex<BTreeMap<Nickname, Arc<Active>>>,
}

impl Shared {
    pub(super) fn new(
        server: Handle,
        router: Router,
        config: BobConfig,
        database: Database,
    ) -> Self {
        Self {
            server,
            router,
            protocol: Arc::new(config.protocol()),
            config,
            lookups: LookupSession::default(),
            changed: Notify::new(),
            zapped: CancellationToken::new(),
            saved: tokio::sync::Mutex::new(database.revision()),
            database: Mutex::new(database),
            active: Mutex::default(),
        }
    }

    pub(super) fn database(&self) -> MutexGuard<'_, Database> {
        lock(&self.database)
    }

    pub(super) fn set_stage(&self, nick: &Nickname, stage: Stage) {
        self.database().set_stage(nick, stage);
        self.changed.notify_one();
    }

    /// The number of tunnels with a session.
    pub(super) fn active(&self) -> usize {
        lock(&self.active).len()
    }

    pub(super) fn find(&self, nick: &Nickname) -> Option<Arc<Active>> {
        lock(&self.active).get(nick).cloned()
    }

    pub(super) fn add(&self, nick: Nickname, active: Arc<Active>) {
        lock(&self.active).insert(nick, active);
    }

    pub(super) fn remove(&self, nick: &Nickname) {
        lock(&self.active).remove(nick);
    }

    /// All tunnels with a session.
    pub(super) fn all(&self) -> Vec<(Nickname, Arc<Active>)> {
        let active = lock(&self.active);
        active
            .iter()
            .map(|(nick, active)| (nick.clone(), active.clone()))
            .collect()
    }
}

/// A panic while a lock is held leaves the tables consistent, because each change is one insertion
/// or removal.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
