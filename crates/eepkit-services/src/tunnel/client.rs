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
    setters::{outgoing_setters, tunnel_definition, tunnel_setters},
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

    tunnel_setters!();
    outgoing_setters!();

    /// Pings the destination at this interval, which keeps its lease set and the tunnels in use.
    #[must_use]
    pub fn keep_alive(mut self, interval: Duration) -> Self {
        self.keep_alive = Some(interval);
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

    tunnel_definition!("client-tunnel", "client tunnel", TABLE);

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
            .flag(Flag::new("destination", "HOST[:PORT]").short('d').hyphen()),
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
