//! The SAM bridge: versions 3.0 to 3.3, and 1.0 and 2.0 if they are enabled.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use eepkit_services::sam::{SamBridge, SamConfig};
//!
//! let router = eepkit::Router::attach("i2cp://127.0.0.1:7654")?;
//! let bridge = SamBridge::start(router, SamConfig::new()).await?;
//! println!("SAM at {:?}", bridge.tcp_addrs());
//! # bridge.stop().await;
//! # Ok(())
//! # }
//! ```

mod auth;
mod config;
mod connection;
mod done;
mod joining;
mod key_store;
mod lookups;
mod older;
mod options;
mod sessions;
mod shared;
mod streams;
mod udp;
mod udp_sockets;
mod waiting;

#[cfg(unix)]
use std::io;
use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use eepkit::Router;
pub use eepkit_sam::server::Config;
use tokio::net::UdpSocket;
#[cfg(unix)]
use tokio::net::UnixStream;
use tracing::{debug, warn};

pub use self::config::{DEFAULT_TCP_PORT, DEFAULT_UDP_PORT, SamConfig};
use self::{
    config::{Files, loopback},
    key_store::KeyStore,
    shared::Shared,
    udp_sockets::UdpSockets,
};
#[cfg(unix)]
use crate::serve::Socket;
use crate::{
    serve::{Addresses, BindError, Endpoint, Limits, Listeners, Server},
    service::{Running, ServiceError, Statistic},
    tls::Identity,
};

/// A running bridge.
///
/// It stops with [`SamBridge::stop`], or when it is dropped. All sessions of its clients end then.
pub struct SamBridge {
    shared: Arc<Shared>,
    server: Server,
    /// The certificate of the TLS addresses.
    identity: Option<Identity>,
    addresses: Addresses,
}

impl SamBridge {
    /// Starts a bridge on `router`, which need not be ready yet.
    ///
    /// # Errors
    ///
    /// [`ServiceError`] if an address or a file cannot be used.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub async fn start(router: Router, config: SamConfig) -> Result<Self, ServiceError> {
        let Files { tls, trust, users } = config.files_in_use()?;
        let key_store = KeyStore::open(config.older_keys_file())?;
        let identity = tls.map(Identity::new);
        let listeners = listen(&config, identity.as_ref()).await?;
        if listeners.is_empty() && !config.is_in_process() {
            return Err(ServiceError::NoAddress);
        }
        let sockets = bind_udp(config.udp_addresses()).await?;
        let mut addresses = listeners.addresses().clone();
        addresses.udp = sockets
            .iter()
            .filter_map(|socket| socket.local_addr().ok())
            .collect();
        let (all, of_client) = (config.connections(), config.connections_per_client());
        let limits = Limits::new(all)
            .refusal(too_many("the bridge", all, "its option max_connections"))
            .per_client(
                of_client,
                too_many(
                    "this address",
                    of_client,
                    "the bridge's option max_connections_per_client",
                ),
            );
        let server = Server::new(limits);
        let mut protocol = config.protocol().clone();
        protocol.udp.clone_from(&addresses.udp);
        let shared = Arc::new(Shared::new(
            server.handle(),
            protocol,
            config,
            router,
            users,
            key_store,
            UdpSockets::new(sockets.clone()),
        ));
        if shared.protocol.older_versions {
            warn!(
                "SAM 1.0 and 2.0 are enabled, which only old programs need; SAM 3 is their successor"
            );
        }
        shared.set_trust(trust);
        let bridge = shared.clone();
        server.serve(listeners, move |accepted| {
            connection::serve(bridge.clone(), accepted)
        });
        for socket in sockets {
            shared.server.spawn(udp::serve(shared.clone(), socket));
        }
        Ok(Self {
            shared,
            server,
            identity,
            addresses,
        })
    }

    /// The TCP addresses for clients.
    pub fn tcp_addrs(&self) -> &[SocketAddr] {
        &self.addresses.tcp
    }

    /// The UDP addresses for datagrams of clients.
    pub fn udp_addrs(&self) -> &[SocketAddr] {
        &self.addresses.udp
    }

    /// The paths of the Unix sockets for clients.
    pub fn unix_paths(&self) -> impl Iterator<Item = &Path> {
        self.addresses.unix.iter().map(PathBuf::as_path)
    }

    /// Connects a client in this process, and returns its end of the connection, a Unix socket in
    /// blocking mode. The connection counts towards [`SamConfig::max_connections`].
    ///
    /// # Errors
    ///
    /// An error of the system, such as too many open files, and
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) if the bridge has too many
    /// connections or was stopped.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    #[cfg(unix)]
    pub fn connect(&self) -> io::Result<std::os::unix::net::UnixStream> {
        let (client, ours) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let socket = Socket::Unix(UnixStream::from_std(ours)?);
        let bridge = self.shared.clone();
        let taken = self
            .server
            .serve_one(socket, move |accepted| connection::serve(bridge, accepted));
        match taken {
            true => Ok(client),
            false => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }

    /// The current statistics.
    pub fn stats(&self) -> SamStats {
        self.shared.stats()
    }

    /// Closes all connections and sessions. Returns when all of them are closed, after some seconds
    /// at most.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the bridge stops in the background.
    pub async fn stop(&self) {
        // Handlers end when the server begins to stop. A session that does not close in time is
        // left to the router.
        self.server.shutdown(STOP_LIMIT).await;
    }
}

impl Running<SamConfig> for SamBridge {
    fn addresses(&self) -> Addresses {
        self.addresses.clone()
    }

    fn statistics(&self) -> Vec<Statistic> {
        let SamStats {
            sessions,
            subsessions,
            ..
        } = self.stats();
        let counters = &self.shared.counters;
        let mut statistics = counters.statistics(&self.shared.server, sessions);
        statistics.insert(
            2,
            Statistic::gauge("subsessions", "Subsessions of programs", subsessions),
        );
        statistics.push(counters.datagram_statistic());
        statistics
    }

    fn reload(&self, config: &SamConfig) -> Result<(), ServiceError> {
        let Files { tls, trust, users } = config.files_in_use()?;
        if let (Some(identity), Some(tls)) = (&self.identity, tls) {
            identity.replace(tls);
        }
        self.shared.set_trust(trust);
        self.shared.set_users(users);
        Ok(())
    }

    async fn stop(&self) {
        Self::stop(self).await;
    }
}

impl fmt::Debug for SamBridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SamBridge")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

/// The statistics of a bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SamStats {
    /// Open connections of clients, including streams and TLS handshakes.
    pub connections: usize,
    /// Sessions, without subsessions.
    pub sessions: usize,
    /// Subsessions.
    pub subsessions: usize,
    /// Streams that are joined to a connection.
    pub streams: usize,
    /// Running tasks.
    pub tasks: usize,
    /// Connections refused because there were too many.
    pub refused: u64,
    /// Datagrams of clients that were dropped because they were malformed or could not be sent.
    pub datagrams_dropped: u64,
    /// Bytes sent by clients into streams that have ended.
    pub bytes_sent: u64,
    /// Bytes received by clients from streams that have ended.
    pub bytes_received: u64,
}

/// Binds the addresses for clients.
async fn listen(
    config: &SamConfig,
    identity: Option<&Identity>,
) -> Result<Listeners, ServiceError> {
    let mut listeners = Listeners::new();
    match config.plain_addresses() {
        Some(addresses) => {
            for address in addresses {
                listeners.add(Endpoint::Tcp(*address)).await?;
            }
        }
        None => {
            let [v4, v6] = loopback(DEFAULT_TCP_PORT);
            listeners.add(Endpoint::Tcp(v4)).await?;
            // Some programs resolve `localhost` to this address only.
            if let Err(error) = listeners.add(Endpoint::Tcp(v6)).await {
                debug!(error = %error.source, "no SAM on ::1");
            }
        }
    }
    for address in config.tls_addresses() {
        let identity = identity.ok_or_else(|| {
            ServiceError::Invalid("an address for TLS needs a certificate and its key".to_owned())
        })?;
        listeners
            .add(Endpoint::Tls(*address, identity.clone()))
            .await?;
    }
    for path in config.unix_paths() {
        listeners.add(Endpoint::Unix(path.clone())).await?;
    }
    Ok(listeners)
}

/// Binds the addresses for datagrams.
async fn bind_udp(addresses: Option<&[SocketAddr]>) -> Result<Vec<Arc<UdpSocket>>, BindError> {
    let bind = async |address: SocketAddr| match UdpSocket::bind(address).await {
        Ok(socket) => Ok(Arc::new(socket)),
        Err(source) => Err(BindError {
            address: address.to_string(),
            source,
        }),
    };
    let Some(addresses) = addresses else {
        let [v4, v6] = loopback(DEFAULT_UDP_PORT);
        let mut sockets = vec![bind(v4).await?];
        // Some programs that send to `localhost` try this address first.
        match bind(v6).await {
            Ok(socket) => sockets.push(socket),
            Err(error) => debug!(error = %error.source, "no datagrams of SAM on ::1"),
        }
        return Ok(sockets);
    };
    let mut sockets = Vec::new();
    for address in addresses {
        sockets.push(bind(*address).await?);
    }
    Ok(sockets)
}

/// The time limit for stopping. Chosen as longer than a session needs to close.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// The answer to a client that exceeds the limit.
fn too_many(who: &str, connections: usize, option: &str) -> String {
    let why = format!("{who} has {connections} connections, the most that {option} allows");
    format!("HELLO REPLY RESULT=I2P_ERROR MESSAGE=\"{why}\"\n")
}
