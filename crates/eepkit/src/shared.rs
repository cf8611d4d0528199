//! State that the handles of a session share with its driver.
//!
//! One [`Endpoint`](eepkit_streaming::Endpoint) contains the streams of a session. It does not wait
//! and does not depend on tokio. Handles call it under the lock of [`Core`] and register a waker
//! where they have to wait. The driver ([`crate::driver`]) transfers packets between the endpoint
//! and the link and wakes the handles. No lock is held across an await, nor while the driver signs
//! a lease set or verifies a packet.

mod commands;
mod core;
mod datagrams;
mod lifecycle;
mod listeners;
mod lock;
mod lookups;
mod pings;
mod sockets;
mod streams;
mod waker;

use std::{sync::Arc, time::Duration};

use eepkit_link::{Layer, status::Reporter};
use eepkit_wire::{Hash, PrivateKeys};
use tokio::{
    sync::{Notify, Semaphore},
    time::Instant,
};

use crate::{
    config::{EncryptionKeys, SessionConfig},
    error::{OpenError, StreamError, TimedOut},
    idle::{Idle, IdlePolicy},
    names::Names,
    stage::SessionStage,
    status::{SessionProblem, SessionWatch},
};

pub use datagrams::DatagramStats;

pub(crate) use self::{
    core::{Core, Reopened},
    datagrams::{Mailbox, Outgoing, Packet, Taken, router_format},
    lifecycle::{Ending, Gone},
    sockets::SocketKey,
    waker::DriverWaker,
};

/// Shared by the handles of a session, its supervisor and its driver.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) keys: Arc<PrivateKeys>,
    pub(crate) encryption_keys: EncryptionKeys,
    pub(crate) config: SessionConfig,
    pub(crate) names: Names,
    /// What the links of the session carry.
    pub(crate) layer: Layer,
    /// Limits the number of concurrent look-ups.
    pub(crate) lookup_permits: Semaphore,
    core: lock::Mutex<Core>,
    pub(crate) driver: Arc<DriverWaker>,
    pub(crate) idle: Idle,
    pub(crate) status: Reporter<SessionStage>,
    /// Notifies the supervisor that the session is to end.
    pub(crate) closing: Notify,
}

impl Shared {
    pub(crate) fn new(
        keys: Arc<PrivateKeys>,
        encryption_keys: EncryptionKeys,
        config: SessionConfig,
        layer: Layer,
    ) -> Self {
        let driver = Arc::<DriverWaker>::default();
        Self {
            keys,
            layer,
            encryption_keys,
            names: Names::new(config.hosts.clone()),
            idle: Idle::new(IdlePolicy::new(&config.options, layer)),
            config,
            lookup_permits: Semaphore::new(MAX_LOOKUPS),
            core: lock::Mutex::new(Core::new(layer, driver.clone())),
            driver,
            status: Reporter::new(),
            closing: Notify::new(),
        }
    }

    /// Locks the session for `purpose`, the name under which `lock_tracking` counts it.
    pub(crate) fn lock(&self, purpose: &'static str) -> lock::Guard<'_, Core> {
        self.core.lock(purpose)
    }

    /// Whether a stream is open or being opened.
    pub(crate) fn has_streams(&self) -> bool {
        self.lock("idle").streams.len() > 0
    }

    /// Hash of the session's own destination.
    pub(crate) fn own_hash(&self) -> Hash {
        self.keys.destination().hash()
    }

    pub(crate) fn watch(&self) -> SessionWatch {
        self.status.watch()
    }

    pub(crate) fn stage(&self) -> SessionStage {
        self.status.stage()
    }

    /// A time limit that passed, with the status of the session.
    pub(crate) fn timed_out(&self, after: Duration) -> TimedOut {
        TimedOut::new(after, self.watch().current().account())
    }

    /// Starts to close the session: new calls fail, and written data is sent for at most `linger`.
    pub(crate) fn begin_close(&self, linger: Duration) {
        let sockets = self.lock("close").begin_close(Instant::now() + linger);
        for (socket, draining) in sockets {
            socket.close(StreamError::SessionClosed, linger, draining);
        }
        self.closing.notify_one();
    }

    /// Ends the session, because of `failure` or because it was closed. Wakes all waiting tasks.
    pub(crate) fn end(&self, failure: Option<Arc<OpenError>>) {
        self.lock("end").end(failure.clone());
        match failure {
            None => self.status.enter(SessionStage::Closed),
            Some(failure) => {
                let problem = SessionProblem::Failed(failure);
                self.status.interrupt(SessionStage::Failed, problem, None);
            }
        }
    }
}

/// Closes the session in the background when the last session, listener, stream and socket handle
/// is dropped. The handles share it in an [`Arc`].
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.begin_close(self.shared.config.linger);
    }
}

/// Concurrent look-ups; further ones wait. Chosen because routers answer look-ups of names at once
/// and search the network for a few tens of hashes at a time.
const MAX_LOOKUPS: usize = 64;
