//! The frame of tunnels from local programs to destinations.

use std::{fmt, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use eepkit::{Destination, Stream};
use eepkit_link::LogLimit;
use tracing::{debug, warn};

use super::{
    irc_filter::{Filter, Filtered},
    local::LocalConfig,
    relaying,
    session::SessionConfig,
};
use crate::{
    counters::Counters,
    relay::Prefixed,
    serve::{Addresses, Connection, Handle, Limits, Listeners, Server, Socket},
    service::{Context, ServiceError, Statistic},
    shared_sessions::SharedSession,
    tls::Identity,
};

/// What a kind of tunnel does with the connection of a local program.
pub(crate) trait Local: Send + Sync + 'static {
    /// Serves the connection until it ends. The tunnel waits for the future when it stops, and drops
    /// it after some seconds.
    fn serve(&self, tunnel: &Outgoing, connection: Connection) -> impl Future<Output = ()> + Send;

    /// Runs beside the connections until the tunnel stops.
    fn run(&self, tunnel: &Outgoing) -> impl Future<Output = ()> + Send {
        let _ = tunnel;
        std::future::pending()
    }
}

/// What the connections of a tunnel share.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// The name of the tunnel, for the log.
    pub(crate) name: String,
    pub(crate) session: SharedSession,
    pub(crate) server: Handle,
    pub(crate) counters: Arc<Counters>,
    idle: Option<Duration>,
    failures: LogLimit,
}

impl Outgoing {
    /// Copies between a program and a stream until both have ended. `read` was read from the
    /// program before.
    pub(crate) async fn relay(&self, socket: Socket, read: Bytes, stream: Stream) {
        let local = Prefixed::new(read, socket);
        let closing = self.server.closing();
        relaying::relay(local, stream, self.idle, &self.counters, closing).await;
    }

    /// Copies between a filtered connection of a program and a stream until both have ended.
    pub(crate) async fn relay_filtered<F: Filter>(&self, local: Filtered<F>, stream: Stream) {
        let closing = self.server.closing();
        relaying::relay(local, stream, self.idle, &self.counters, closing).await;
    }

    /// Logs why a program gets no stream, at level warn for the first of many.
    pub(crate) fn log_failure(&self, error: &dyn fmt::Display) {
        match self.failures.admit() {
            Some(left_out) => warn!(tunnel = self.name, %error, left_out, "no stream"),
            None => debug!(tunnel = self.name, %error, "no stream"),
        }
    }
}

/// A running tunnel from local programs to destinations.
///
/// It stops with [`ClientTunnel::stop`], or when it is dropped. All connections end then.
pub struct ClientTunnel {
    shared: Arc<Outgoing>,
    addresses: Addresses,
    identity: Option<Identity>,
    server: Server,
}

impl ClientTunnel {
    /// Starts a tunnel.
    ///
    /// # Errors
    ///
    /// [`ServiceError`] if an address, a file or a session option cannot be used.
    pub(crate) async fn launch<L: Local>(
        context: &Context,
        name: &str,
        local: &LocalConfig,
        session: &SessionConfig,
        idle: Option<Duration>,
        kind: L,
    ) -> Result<Self, ServiceError> {
        let identity = local.identity()?;
        let listeners = local.bind(identity.as_ref()).await?;
        let session = context
            .sessions
            .open(&context.router, session.plan(name))
            .map_err(eepkit::Error::from)?;
        let limits = Limits::new(local.max_connections);
        let tunnel = Self::launch_on(session, name, listeners, limits, idle, kind);
        Ok(Self { identity, ..tunnel })
    }

    /// Starts a tunnel on a session, with addresses that are bound already.
    pub(crate) fn launch_on<L: Local>(
        session: SharedSession,
        name: &str,
        listeners: Listeners,
        limits: Limits,
        idle: Option<Duration>,
        kind: L,
    ) -> Self {
        let addresses = listeners.addresses().clone();
        let server = Server::new(limits);
        let shared = Arc::new(Outgoing {
            name: name.to_owned(),
            session,
            server: server.handle(),
            counters: Arc::default(),
            idle,
            failures: LogLimit::new(),
        });
        let kind = Arc::new(kind);
        let (tunnel, serving) = (shared.clone(), kind.clone());
        server.serve(listeners, move |connection| {
            let (tunnel, kind) = (tunnel.clone(), serving.clone());
            async move { kind.serve(&tunnel, connection).await }
        });
        let tunnel = shared.clone();
        server.handle().spawn(async move {
            tokio::select! {
                () = kind.run(&tunnel) => {}
                () = tunnel.server.closing().cancelled() => {}
            }
        });
        Self {
            shared,
            addresses,
            identity: None,
            server,
        }
    }

    /// The TCP addresses for programs.
    pub fn tcp_addrs(&self) -> &[SocketAddr] {
        &self.addresses.tcp
    }

    /// The paths of Unix sockets for programs.
    pub fn unix_paths(&self) -> &[PathBuf] {
        &self.addresses.unix
    }

    /// The destination from which streams are opened. It changes while the tunnel runs only if it is
    /// told to use new keys after being idle.
    pub fn destination(&self) -> Destination {
        self.shared.session.destination()
    }

    /// Closes all connections, and the session unless another tunnel shares it. Returns when this is
    /// done, after some seconds at most.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the tunnel stops in the background.
    pub async fn stop(&self) {
        self.server.shutdown(STOP_LIMIT).await;
        let closing = self.shared.session.release();
        let _ = tokio::time::timeout(STOP_LIMIT, closing).await;
    }

    /// The addresses for programs.
    pub fn addresses(&self) -> Addresses {
        self.addresses.clone()
    }

    /// The current statistics.
    pub fn statistics(&self) -> Vec<Statistic> {
        self.shared.counters.statistics(&self.shared.server, 1)
    }

    /// Reads the certificate and the key again.
    ///
    /// # Errors
    ///
    /// [`ServiceError`] if they cannot be used. The old ones then stay in use.
    pub(crate) fn reload(&self, local: &LocalConfig) -> Result<(), ServiceError> {
        if let (Some(identity), Some(new)) = (&self.identity, local.identity()?) {
            identity.replace(new.current());
        }
        Ok(())
    }
}

impl fmt::Debug for ClientTunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTunnel")
            .field("name", &self.shared.name)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

/// The time limit for stopping. Chosen as longer than a session needs to close.
const STOP_LIMIT: Duration = Duration::from_secs(5);
