//! Listening for local programs, in the same way for every service.
//!
//! [`Listeners`] binds any number of TCP, TLS and Unix sockets. A [`Server`] accepts on all of them
//! and runs a handler for each connection. It limits the number of connections, which includes TLS
//! handshakes and connections that have sent nothing yet. It keeps accepting when the system runs
//! out of file descriptors, and it stops gracefully.

mod accept;
mod clients;
mod listeners;
mod socket;
#[cfg(unix)]
mod unix;

use std::{
    fmt,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use eepkit_link::LogLimit;
use tokio::{
    io::AsyncWriteExt as _,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

use self::{
    accept::accept_on,
    clients::{Clients, Place},
    listeners::Transport,
    socket::Incoming,
};
pub use self::{
    listeners::{Addresses, BindError, Endpoint, Listeners},
    socket::{Socket, close_gently, prepare},
};

/// A connection of a local program.
#[derive(Debug)]
pub struct Connection {
    /// The connection, after the TLS handshake if there is one.
    pub socket: Socket,
    /// The address of the program, with IPv4-mapped addresses as IPv4; `None` for Unix sockets.
    pub client: Option<IpAddr>,
}

/// The limits of a [`Server`].
#[derive(Debug, Clone)]
pub struct Limits {
    connections: usize,
    per_client: usize,
    handshake: Duration,
    refusal: Bytes,
    client_refusal: Bytes,
}

impl Limits {
    /// Sets the maximum number of connections. All accepted connections count, including those
    /// whose TLS handshake is not complete and those that have sent nothing yet.
    pub fn new(connections: usize) -> Self {
        Self {
            connections: connections.min(Semaphore::MAX_PERMITS),
            per_client: usize::MAX,
            handshake: HANDSHAKE,
            refusal: Bytes::new(),
            client_refusal: Bytes::new(),
        }
    }

    /// Sets the maximum number of connections of one client; no limit by default. A client is an
    /// address, or the first 64 bits of an IPv6 address. All Unix sockets are one client. `words` is
    /// the message to clients that have too many, as for [`Limits::refusal`].
    #[must_use]
    pub fn per_client(mut self, connections: usize, words: impl Into<Bytes>) -> Self {
        (self.per_client, self.client_refusal) = (connections, words.into());
        self
    }

    /// Sets the time limit of a TLS handshake; 10 s by default.
    #[must_use]
    pub fn handshake(mut self, limit: Duration) -> Self {
        self.handshake = limit;
        self
    }

    /// Sets the message to clients that are refused because there are too many connections. Empty
    /// by default. TLS clients get no message, because that would require a handshake.
    #[must_use]
    pub fn refusal(mut self, words: impl Into<Bytes>) -> Self {
        self.refusal = words.into();
        self
    }
}

/// Accepts connections and tracks their tasks.
///
/// If it is dropped, it stops as [`Server::shutdown`] does without a grace period, in the
/// background.
#[derive(Debug)]
pub struct Server {
    handle: Handle,
    #[cfg(unix)]
    files: std::sync::Mutex<Vec<unix::SocketFile>>,
}

impl Server {
    /// Creates a server that does not listen yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            handle: Handle {
                inner: Arc::new(Inner {
                    slots: Arc::new(Semaphore::new(limits.connections)),
                    clients: Clients::new(limits.per_client),
                    refusals: Arc::new(Semaphore::new(REFUSALS)),
                    limits,
                    refused: AtomicU64::new(0),
                    closing: CancellationToken::new(),
                    abort: CancellationToken::new(),
                    tasks: TaskTracker::new(),
                }),
            },
            #[cfg(unix)]
            files: std::sync::Mutex::default(),
        }
    }

    /// Returns a handle for the tasks of the service.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Accepts on `listeners` and runs `handler` for each connection, in a separate task, until the
    /// server stops.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub fn serve<H, F>(&self, listeners: Listeners, handler: H)
    where
        H: Fn(Connection) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        for listener in listeners.list {
            #[cfg(unix)]
            if let Some(file) = listener.file {
                self.files
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner)
                    .push(file);
            }
            let server = self.handle.clone();
            let handler = handler.clone();
            let transport = listener.transport;
            self.handle.inner.tasks.spawn(async move {
                let taken = |incoming| server.take(incoming, &transport, handler.clone());
                tokio::select! {
                    () = server.inner.closing.cancelled() => {}
                    () = accept_on(&listener.socket, taken) => {}
                }
            });
        }
    }

    /// Runs `handler` for a connection that was made in another way than by a listener. Returns
    /// whether the connection was accepted: not if the server is closed, or has the most connections
    /// that [`Limits`] allows.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub fn serve_one<H, F>(&self, socket: Socket, handler: H) -> bool
    where
        H: FnOnce(Connection) -> F,
        F: Future<Output = ()> + Send + 'static,
    {
        let inner = &self.handle.inner;
        if inner.closing.is_cancelled() {
            return false;
        }
        let Ok(slot) = inner.slots.clone().try_acquire_owned() else {
            inner.refused.fetch_add(1, Ordering::Relaxed);
            return false;
        };
        let client = None;
        let handling = handler(Connection { socket, client });
        self.handle.spawn(async move {
            let slot: OwnedSemaphorePermit = slot;
            handling.await;
            drop(slot);
        });
        true
    }

    /// Stops the server. It accepts no further connections and removes the files of Unix sockets.
    /// Handlers learn of the stop through [`Handle::closing`]. Connections and tasks that have not
    /// ended after `grace` are aborted.
    ///
    /// Returns when all of them have ended.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, no further connections are accepted, and running tasks are not
    /// aborted before the server is dropped.
    pub async fn shutdown(&self, grace: Duration) {
        self.close();
        let tasks = &self.handle.inner.tasks;
        if timeout(grace, tasks.wait()).await.is_err() {
            debug!(
                left = tasks.len(),
                "aborts connections at the end of the grace period"
            );
            self.handle.inner.abort.cancel();
            tasks.wait().await;
        }
    }

    fn close(&self) {
        self.handle.inner.closing.cancel();
        self.handle.inner.tasks.close();
        #[cfg(unix)]
        self.files
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clear();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.close();
        self.handle.inner.abort.cancel();
    }
}

/// The interface of a [`Server`] for the tasks of its service.
#[derive(Clone)]
pub struct Handle {
    inner: Arc<Inner>,
}

struct Inner {
    limits: Limits,
    slots: Arc<Semaphore>,
    clients: Clients,
    /// The number of refused clients to which the message is being sent.
    refusals: Arc<Semaphore>,
    refused: AtomicU64,
    closing: CancellationToken,
    abort: CancellationToken,
    tasks: TaskTracker,
}

impl Handle {
    /// Cancelled when the server begins to stop. A handler that does not end by itself should end
    /// then.
    pub fn closing(&self) -> &CancellationToken {
        &self.inner.closing
    }

    /// The number of open connections, including TLS handshakes.
    pub fn connections(&self) -> usize {
        self.inner
            .limits
            .connections
            .saturating_sub(self.inner.slots.available_permits())
    }

    /// The number of connections that were refused because there were too many.
    pub fn refused(&self) -> u64 {
        self.inner.refused.load(Ordering::Relaxed)
    }

    /// The number of running tasks: one for each connection, one for each address, and those of
    /// [`Handle::spawn`].
    pub fn tasks(&self) -> usize {
        self.inner.tasks.len()
    }

    /// Runs a task of the service. When the server stops, it waits for the task, and aborts it at
    /// the end of the grace period.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let abort = self.inner.abort.clone();
        self.inner.tasks.spawn(async move {
            tokio::select! {
                () = abort.cancelled() => {}
                () = task => {}
            }
        });
    }

    /// Serves an accepted connection, if the limit allows it.
    fn take<H, F>(&self, incoming: Incoming, transport: &Transport, handler: H)
    where
        H: Fn(Connection) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let Ok(slot) = self.inner.slots.clone().try_acquire_owned() else {
            static LIMIT: LogLimit = LogLimit::new();
            if let Some(left_out) = LIMIT.admit() {
                let connections = self.inner.limits.connections;
                warn!(
                    connections,
                    left_out, "refuses connections: max_connections are open"
                );
            }
            return self.refuse(incoming, transport, &self.inner.limits.refusal);
        };
        let Ok((client, incoming)) = incoming.prepared() else {
            // The connection is already closed.
            return;
        };
        let Some(place) = self.inner.clients.admit(client) else {
            static LIMIT: LogLimit = LogLimit::new();
            if let Some(left_out) = LIMIT.admit() {
                let connections = self.inner.limits.per_client;
                warn!(
                    connections,
                    left_out,
                    "refuses connections of a client: max_connections_per_client are open"
                );
            }
            return self.refuse(incoming, transport, &self.inner.limits.client_refusal);
        };
        let tls = match transport {
            Transport::Plain => None,
            Transport::Tls(identity) => Some(identity.acceptor()),
        };
        let limit = self.inner.limits.handshake;
        self.spawn(async move {
            let (slot, place): (OwnedSemaphorePermit, Place) = (slot, place);
            if let Some(socket) = incoming.handshake(tls, limit).await {
                handler(Connection { socket, client }).await;
            }
            drop((slot, place));
        });
    }

    /// Counts a refused client, and sends it the message, unless too many such messages are being
    /// sent.
    fn refuse(&self, incoming: Incoming, transport: &Transport, words: &Bytes) {
        self.inner.refused.fetch_add(1, Ordering::Relaxed);
        if let Transport::Tls(_) = transport {
            return;
        }
        let words = words.clone();
        let Ok(permit) = self.inner.refusals.clone().try_acquire_owned() else {
            return;
        };
        if words.is_empty() {
            return;
        }
        self.spawn(async move {
            let Some(mut socket) = incoming.handshake(None, REFUSAL_LIMIT).await else {
                return;
            };
            let told = async {
                if socket.write_all(&words).await.is_ok() {
                    close_gently(&mut socket).await;
                }
            };
            let _ = timeout(REFUSAL_LIMIT, told).await;
            drop(permit);
        });
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("connections", &self.connections())
            .field("refused", &self.refused())
            .field("tasks", &self.tasks())
            .field("closing", &self.inner.closing.is_cancelled())
            .finish_non_exhaustive()
    }
}

/// The default of [`Limits::handshake`]. Chosen because no human takes part, and the slowest
/// machine on a loopback or local network needs less than a second.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The maximum number of refused clients to which the message is sent at a time. Further clients
/// are closed without a message. Chosen so that a flood does not use more files or tasks than this.
const REFUSALS: usize = 32;

/// The time limit for sending the message to a refused client.
const REFUSAL_LIMIT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
