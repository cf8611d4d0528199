//! Tunnels from local ports to destinations.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use bytes::Bytes;
use eepkit::{Address, Preset};

use super::{
    destinations::Destinations,
    local::LocalConfig,
    outgoing::{ClientTunnel, Local, Outgoing},
    outgoing_options,
    session::SessionConfig,
};
use crate::{
    options::{Access, Flag, Opt, Table},
    serve::{Addresses, Connection},
    service::{Context, Definition, Running, ServiceError, Statistic},
};

/// The configuration of a tunnel from local ports to one or several destinations.
///
/// The default listens nowhere and has no destination. Both must be set.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientTunnelConfig {
    name: Option<String>,
    enabled: bool,
    local: LocalConfig,
    session: SessionConfig,
    destinations: Vec<Address>,
    connect_timeout: Duration,
    idle_timeout: Option<Duration>,
    keep_alive: Option<Duration>,
}

impl ClientTunnelConfig {
    /// Creates the default configuration.
    pub fn new() -> Self {
        Self {
            name: None,
            enabled: true,
            local: LocalConfig::new(),
            session: SessionConfig::new(Preset::Standard),
            destinations: Vec::new(),
            connect_timeout: CONNECT_TIMEOUT,
            idle_timeout: None,
            keep_alive: None,
        }
    }

    /// Sets the name, which is also that of the session in the router's console.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Listens on these TCP addresses. With port 0 the system selects a port; see
    /// [`ClientTunnel::tcp_addrs`].
    #[must_use]
    pub fn listen(mut self, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.local.listen = addresses.into_iter().collect();
        self
    }

    /// Also listens on a Unix socket. Only the user of this process can connect.
    #[must_use]
    pub fn listen_unix(mut self, path: impl Into<PathBuf>) -> Self {
        self.local.listen_unix.push(path.into());
        self
    }

    /// Adds a destination. Each connection reaches one of them, chosen at random. If it cannot be
    /// reached, the others are tried.
    #[must_use]
    pub fn destination(mut self, address: Address) -> Self {
        self.destinations.push(address);
        self
    }

    /// Uses the destination of a private key file, which is created if it does not exist. By default
    /// the destination of the tunnel is new at each start.
    #[must_use]
    pub fn keys(mut self, file: impl Into<PathBuf>) -> Self {
        self.session.keys = Some(file.into());
        self
    }

    /// Shares the session with the other tunnels of this group, which were launched with clones of
    /// the same [`Context`].
    #[must_use]
    pub fn shared(mut self, group: impl Into<String>) -> Self {
        self.session.shared = Some(group.into());
        self
    }

    /// Opens the session with the first connection.
    #[must_use]
    pub fn delay_open(mut self) -> Self {
        self.session.delay_open = true;
        self
    }

    /// Closes the session after this time without traffic, until the next connection. With
    /// `new_keys` it comes back with a new destination.
    #[must_use]
    pub fn close_idle(mut self, after: Duration, new_keys: bool) -> Self {
        (self.session.close_idle, self.session.new_keys) = (Some(after), new_keys);
        self
    }

    /// Keeps this number of tunnels in each direction after this time without traffic.
    #[must_use]
    pub fn reduce_idle(mut self, after: Duration, tunnels: usize) -> Self {
        self.session.reduce_idle = Some(after);
        self.session.reduce_quantity = Some(tunnels);
        self
    }

    /// Sets the time limit for reaching one destination, which includes the time until the session
    /// is ready; 60 s by default.
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// Sets the maximum number of connections of local programs; 4096 by default.
    #[must_use]
    pub fn max_connections(mut self, limit: usize) -> Self {
        self.local.max_connections = limit;
        self
    }

    /// Ends connections on which no byte moves for this time. By default there is no limit.
    #[must_use]
    pub fn idle_timeout(mut self, limit: Duration) -> Self {
        self.idle_timeout = Some(limit);
        self
    }

    /// Pings the destination at this interval, which keeps its lease set and the tunnels in use.
    #[must_use]
    pub fn keep_alive(mut self, interval: Duration) -> Self {
        self.keep_alive = Some(interval);
        self
    }

    /// Sets an option of the session. An invalid value is an error at the start.
    #[must_use]
    pub fn option(mut self, key: &str, value: impl std::fmt::Display) -> Self {
        self.session.options.push(key, value.to_string());
        self
    }
}

impl Default for ClientTunnelConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl Definition for ClientTunnelConfig {
    type Running = ClientTunnel;

    const KIND: &'static str = "client-tunnel";
    const TITLE: &'static str = "client tunnel";
    const BY_DEFAULT: bool = false;
    const WITHOUT_FILE: bool = false;

    fn table() -> &'static Table<Self> {
        &TABLE
    }

    fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    fn is_enabled(&self) -> bool {
        self.enabled
    }

    fn validate(&self) -> Result<(), String> {
        self.local.validate()?;
        if self.destinations.is_empty() {
            return Err("needs a destination: destination = \"HOST.i2p:PORT\"".to_owned());
        }
        if self.keep_alive.is_some() && self.session.close_idle.is_some() {
            return Err("keep_alive excludes close_idle: the session is never idle".to_owned());
        }
        self.session.validate()
    }

    fn check(&self) -> Result<(), ServiceError> {
        self.local.identity()?;
        self.session.check()
    }

    async fn launch(&self, context: &Context) -> Result<ClientTunnel, ServiceError> {
        self.validate().map_err(ServiceError::Invalid)?;
        let client = Client {
            destinations: Destinations::new(self.destinations.clone(), self.connect_timeout),
            keep_alive: self.keep_alive,
        };
        let name = self.name.as_deref().unwrap_or(Self::KIND);
        ClientTunnel::launch(
            context,
            name,
            &self.local,
            &self.session,
            self.idle_timeout,
            client,
        )
        .await
    }
}

impl Running<ClientTunnelConfig> for ClientTunnel {
    fn addresses(&self) -> Addresses {
        self.addresses()
    }

    fn statistics(&self) -> Vec<Statistic> {
        self.statistics()
    }

    fn reload(&self, config: &ClientTunnelConfig) -> Result<(), ServiceError> {
        self.reload(&config.local)
    }

    async fn stop(&self) {
        Self::stop(self).await;
    }
}

/// Connects each program with a destination.
struct Client {
    destinations: Destinations,
    keep_alive: Option<Duration>,
}

impl Local for Client {
    async fn serve(&self, tunnel: &Outgoing, connection: Connection) {
        let opening = async {
            let used = tunnel.session.get().map_err(eepkit::Error::from)?;
            let stream = self.destinations.connect(used.session()).await?;
            Ok::<_, eepkit::Error>((used, stream))
        };
        let opened = tokio::select! {
            opened = opening => opened,
            () = tunnel.server.closing().cancelled() => return connection.socket.abort(),
        };
        match opened {
            Ok((_used, stream)) => tunnel.relay(connection.socket, Bytes::new(), stream).await,
            Err(error) => {
                tunnel.log_failure(&error);
                connection.socket.abort();
            }
        }
    }

    async fn run(&self, tunnel: &Outgoing) {
        let Some(interval) = self.keep_alive else {
            return std::future::pending().await;
        };
        let session = || tunnel.session.session();
        self.destinations.keep_alive(session, interval).await;
    }
}

static TABLE: Table<ClientTunnelConfig> = Table {
    section: "client-tunnel",
    doc: "A tunnel from local ports to destinations. For several, write [[client-tunnel]] before each.",
    defaults: ClientTunnelConfig::new,
    options: outgoing_options!(
        ClientTunnelConfig,
        [
            Opt::new(
                "destination",
                access!(ClientTunnelConfig, Vec<Address>, destinations),
                "The destination, or several of which each connection reaches one: HOST or HOST:PORT.\n\
                 One is chosen at random; the others are tried if it cannot be reached.",
            )
            .example("[\"irc.postman.i2p:6667\"]")
            .flag(Flag::new("destination", "HOST[:PORT]").short('d')),
            connect_timeout(access!(ClientTunnelConfig, Duration, connect_timeout)),
            idle_timeout(access!(ClientTunnelConfig, Option<Duration>, idle_timeout)),
            Opt::new(
                "keep_alive",
                access!(ClientTunnelConfig, Option<Duration>, keep_alive),
                "Interval of pings to the destinations, which keep tunnels and lease sets in use.\n\
                 Default: no pings.",
            )
            .example("\"60s\""),
        ]
    ),
};

pub(crate) const fn connect_timeout<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "connect_timeout",
        access,
        "Maximum time to wait for a stream, and for the tunnels that it needs.",
    )
}

pub(crate) const fn idle_timeout<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "idle_timeout",
        access,
        "Time without a byte in either direction after which a connection ends.\n\
         Default: no limit.",
    )
    .example("\"10m\"")
}

/// Source: the default of streams; Java's tunnels wait as long.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);
