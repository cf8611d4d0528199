//! A SOCKS proxy: versions 4, 4a and 5, on one port.
//!
//! Programs reach hosts on I2P by name. Hosts of the public Internet are refused, unless an outproxy
//! is configured. Local addresses are refused in any case. The proxy never resolves a name outside of
//! I2P.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use eepkit_services::socks::{SocksConfig, SocksProxy};
//!
//! let router = eepkit::Router::attach("i2cp://127.0.0.1:7654")?;
//! let proxy = SocksProxy::start(router, SocksConfig::new()).await?;
//! println!("curl --proxy socks5h://{} http://i2p-projekt.i2p/", proxy.tcp_addrs()[0]);
//! # proxy.stop().await;
//! # Ok(())
//! # }
//! ```

mod associate;
mod config;
mod connection;
mod local;
mod outproxy;
mod shared;
mod virtual_addresses;

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use eepkit::Router;

pub use self::config::{DEFAULT_PORT, SocksConfig};
use self::shared::Shared;
use crate::{
    client_sessions::ClientSessions,
    serve::{Addresses, Endpoint, Limits, Listeners, Server},
    service::{Running, ServiceError, Statistic},
    users::Gate,
};

/// A running proxy.
///
/// It stops with [`SocksProxy::stop`], or when it is dropped. All connections end then.
pub struct SocksProxy {
    shared: Arc<Shared>,
    server: Server,
    addresses: Addresses,
}

impl SocksProxy {
    /// Starts a proxy on `router`, which need not be ready yet.
    ///
    /// # Errors
    ///
    /// [`ServiceError`] if an address or a file cannot be used.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub async fn start(router: Router, config: SocksConfig) -> Result<Self, ServiceError> {
        let (required, users) = config.load_users()?;
        let tcp = config.addresses().iter().copied().map(Endpoint::Tcp);
        let unix = config.unix_paths().iter().cloned().map(Endpoint::Unix);
        let listeners = Listeners::bind(tcp.chain(unix)).await?;
        if listeners.is_empty() {
            return Err(ServiceError::NoAddress);
        }
        let addresses = listeners.addresses().clone();
        let server = Server::new(Limits::new(config.connections()));
        let (limit, idle) = config.sessions();
        let sessions = ClientSessions::new(router, "SOCKS")
            .options(config.session_options().clone())
            .connect_timeout(config.connect_limit())
            .isolated(limit, idle);
        let gate = Arc::new(Gate::new(users));
        let shared = Arc::new(Shared::new(
            server.handle(),
            config,
            sessions,
            gate,
            required,
        ));
        let proxy = shared.clone();
        server.serve(listeners, move |accepted| {
            connection::serve(proxy.clone(), accepted)
        });
        let closer = shared.clone();
        server.handle().spawn(async move {
            tokio::select! {
                () = closer.sessions.close_unused() => {}
                () = closer.server.closing().cancelled() => {}
            }
        });
        Ok(Self {
            shared,
            server,
            addresses,
        })
    }

    /// The TCP addresses for programs.
    pub fn tcp_addrs(&self) -> &[SocketAddr] {
        &self.addresses.tcp
    }

    /// The current statistics.
    pub fn stats(&self) -> SocksStats {
        let (streams, bytes_sent, bytes_received) = self.shared.traffic();
        SocksStats {
            connections: self.shared.server.connections(),
            sessions: self.shared.sessions.len(),
            streams,
            refused: self.shared.server.refused(),
            datagrams_dropped: self.shared.dropped(),
            bytes_sent,
            bytes_received,
        }
    }

    /// Closes all connections and sessions. Returns when all of them are closed, after some seconds
    /// at most.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the proxy stops in the background.
    pub async fn stop(&self) {
        self.server.shutdown(STOP_LIMIT).await;
        let closing = self.shared.sessions.close();
        let _ = tokio::time::timeout(STOP_LIMIT, closing).await;
    }
}

impl Running<SocksConfig> for SocksProxy {
    fn addresses(&self) -> Addresses {
        self.addresses.clone()
    }

    fn statistics(&self) -> Vec<Statistic> {
        self.stats().statistics()
    }

    fn reload(&self, config: &SocksConfig) -> Result<(), ServiceError> {
        let (required, users) = config.load_users()?;
        self.shared.gate.replace(users);
        self.shared.set_requires_password(required);
        Ok(())
    }

    async fn stop(&self) {
        Self::stop(self).await;
    }
}

impl fmt::Debug for SocksProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocksProxy")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

/// The statistics of a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SocksStats {
    /// Open connections of programs.
    pub connections: usize,
    /// Sessions: the common one, and one for each isolated user.
    pub sessions: usize,
    /// Open streams.
    pub streams: usize,
    /// Connections refused because there were too many.
    pub refused: u64,
    /// Datagrams that were dropped.
    pub datagrams_dropped: u64,
    /// Bytes sent by programs into streams that have ended.
    pub bytes_sent: u64,
    /// Bytes received by programs from streams that have ended.
    pub bytes_received: u64,
}

impl SocksStats {
    fn statistics(&self) -> Vec<Statistic> {
        vec![
            Statistic::gauge("connections", "Connections of programs", self.connections),
            Statistic::gauge("sessions", "Sessions of programs", self.sessions),
            Statistic::gauge("streams", "Streams of programs", self.streams),
            Statistic::counter(
                "connections_refused_total",
                "Connections refused because there were too many",
                self.refused,
            ),
            Statistic::counter(
                "datagrams_dropped_total",
                "Datagrams of programs that were not sent",
                self.datagrams_dropped,
            ),
            Statistic::counter(
                "bytes_sent_total",
                "Bytes from programs into streams that have ended",
                self.bytes_sent,
            ),
            Statistic::counter(
                "bytes_received_total",
                "Bytes to programs from streams that have ended",
                self.bytes_received,
            ),
        ]
    }
}

/// The time limit for stopping. Chosen as longer than a session needs to close.
const STOP_LIMIT: Duration = Duration::from_secs(5);
