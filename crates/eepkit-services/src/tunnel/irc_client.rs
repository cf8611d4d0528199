//! Tunnels from local IRC clients to IRC servers on I2P.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use bytes::Bytes;
use eepkit::{Address, Preset};
use eepkit_irc::ClientFilter;

use super::{
    client::{CONNECT_TIMEOUT, connect_timeout, idle_timeout},
    destinations::Destinations,
    irc_filter::Filtered,
    local::LocalConfig,
    outgoing::{ClientTunnel, Local, Outgoing},
    outgoing_options,
    session::SessionConfig,
    setters::{outgoing_setters, tunnel_definition, tunnel_setters},
};
use crate::{
    options::{Flag, Opt, Table},
    relay::Prefixed,
    serve::{Addresses, Connection},
    service::{Context, Definition, Running, ServiceError, Statistic},
};

/// The configuration of a tunnel from local IRC clients to IRC servers on I2P.
///
/// What reveals the host of a client is removed, see [`eepkit_irc::ClientFilter`]. The default has no
/// address and no destination. Both must be set.
#[derive(Debug, Clone, PartialEq)]
pub struct IrcClientConfig {
    name: Option<String>,
    enabled: bool,
    local: LocalConfig,
    session: SessionConfig,
    destinations: Vec<Address>,
    hide_user: bool,
    connect_timeout: Duration,
    idle_timeout: Option<Duration>,
}

impl IrcClientConfig {
    /// Creates the default configuration.
    pub fn new() -> Self {
        Self {
            name: None,
            enabled: true,
            local: LocalConfig::new(),
            session: SessionConfig::new(Preset::Interactive),
            destinations: Vec::new(),
            hide_user: false,
            connect_timeout: CONNECT_TIMEOUT,
            idle_timeout: None,
        }
    }

    tunnel_setters!();
    outgoing_setters!();

    /// Replaces the user name and the real name that clients send.
    #[must_use]
    pub fn hide_user(mut self) -> Self {
        self.hide_user = true;
        self
    }
}

impl Default for IrcClientConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl Definition for IrcClientConfig {
    type Running = ClientTunnel;

    tunnel_definition!("irc-client", "IRC client tunnel", TABLE);

    fn validate(&self) -> Result<(), String> {
        self.local.validate()?;
        if self.destinations.is_empty() {
            return Err("needs a destination: destination = \"HOST.i2p:6667\"".to_owned());
        }
        self.session.validate()
    }

    fn check(&self) -> Result<(), ServiceError> {
        self.local.identity()?;
        self.session.check()
    }

    async fn launch(&self, context: &Context) -> Result<ClientTunnel, ServiceError> {
        self.validate().map_err(ServiceError::Invalid)?;
        let client = IrcClient {
            destinations: Destinations::new(self.destinations.clone(), self.connect_timeout),
            hide_user: self.hide_user,
        };
        let name = self.name.as_deref().unwrap_or(Self::KIND);
        let (local, session) = (&self.local, &self.session);
        ClientTunnel::launch(context, name, local, session, self.idle_timeout, client).await
    }
}

impl Running<IrcClientConfig> for ClientTunnel {
    fn addresses(&self) -> Addresses {
        self.addresses()
    }

    fn statistics(&self) -> Vec<Statistic> {
        self.statistics()
    }

    fn reload(&self, config: &IrcClientConfig) -> Result<(), ServiceError> {
        self.reload(&config.local)
    }

    async fn stop(&self) {
        Self::stop(self).await;
    }
}

/// Connects each IRC client with a server.
struct IrcClient {
    destinations: Destinations,
    hide_user: bool,
}

impl Local for IrcClient {
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
            Ok((_used, stream)) => {
                let socket = Prefixed::new(Bytes::new(), connection.socket);
                let filter = ClientFilter::new().hide_user(self.hide_user);
                tunnel
                    .relay_filtered(Filtered::new(socket, filter, None), stream)
                    .await;
            }
            Err(error) => {
                tunnel.log_failure(&error);
                connection.socket.abort();
            }
        }
    }
}

static TABLE: Table<IrcClientConfig> = Table {
    section: "irc-client",
    doc: "A tunnel from local IRC clients to IRC servers. For several, write [[irc-client]] before each.",
    defaults: IrcClientConfig::new,
    options: outgoing_options!(
        IrcClientConfig,
        [
            Opt::new(
                "destination",
                access!(IrcClientConfig, Vec<Address>, destinations),
                "The server, or several of which each connection reaches one: HOST or HOST:PORT.\n\
                 One is chosen at random; the others are tried if it cannot be reached.",
            )
            .example("[\"irc.postman.i2p:6667\"]")
            .flag(Flag::new("destination", "HOST[:PORT]").short('d').hyphen()),
            Opt::new(
                "hide_user",
                access!(IrcClientConfig, bool, hide_user),
                "Whether the user name and the real name of clients are replaced by \"user\".\n\
                 Many clients send the name of the login and the full name of the person.",
            )
            .flag(Flag::new("hide-user", "")),
            connect_timeout(access!(IrcClientConfig, Duration, connect_timeout)),
            idle_timeout(access!(IrcClientConfig, Option<Duration>, idle_timeout)),
        ]
    ),
};
