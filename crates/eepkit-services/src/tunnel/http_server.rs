//! Tunnels from destinations to local web servers.

use std::{path::PathBuf, sync::Arc, time::Duration};

use eepkit::{Address, Preset, Session, Stream};

use super::{
    http_gateway::{self, Gateway, GatewayConfig, PortHosts},
    incoming::{Incoming, IncomingConfig, Remote, ServerTunnel},
    incoming_options,
    session::SessionConfig,
    setters::{incoming_setters, tunnel_definition, tunnel_setters},
    target::Target,
};
use crate::{
    options::Table,
    serve::Addresses,
    service::{Context, Definition, Running, ServiceError, Statistic},
    shared_sessions::SharedSession,
};

/// The configuration of a tunnel from a destination to a local web server, which filters headers.
///
/// The default has no target. One must be set. Streams to port 443 are passed on unchanged.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpServerTunnelConfig {
    name: Option<String>,
    enabled: bool,
    incoming: IncomingConfig,
    session: SessionConfig,
    gateway: GatewayConfig,
}

impl HttpServerTunnelConfig {
    /// Creates the default configuration.
    pub fn new() -> Self {
        Self {
            name: None,
            enabled: true,
            incoming: IncomingConfig::new(),
            session: SessionConfig::new(Preset::Server),
            gateway: GatewayConfig::new(),
        }
    }

    tunnel_setters!();
    incoming_setters!();

    /// Sets the `Host` header of requests to this port of the destination, instead of that of
    /// [`HttpServerTunnelConfig::host`].
    #[must_use]
    pub fn host_for_port(mut self, port: u16, host: impl Into<String>) -> Self {
        self.gateway.hosts.push(port, host.into());
        self
    }

    /// Sets the `Host` header that the server receives. By default it is the one of the request.
    #[must_use]
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.gateway.host = Some(host.into());
        self
    }

    /// Sets whether texts are compressed for peers whose proxy accepts it; true by default.
    #[must_use]
    pub fn compress(mut self, compress: bool) -> Self {
        self.gateway.compress = compress;
        self
    }

    /// Refuses requests of proxies that are reachable from the public Internet.
    #[must_use]
    pub fn reject_inproxy(mut self) -> Self {
        self.gateway.reject_inproxy = true;
        self
    }

    /// Refuses requests whose `Referer` is a URL with a host.
    #[must_use]
    pub fn reject_referer(mut self) -> Self {
        self.gateway.reject_referer = true;
        self
    }

    /// Refuses requests whose `User-Agent` contains this text. `none` stands for a missing one.
    #[must_use]
    pub fn reject_user_agent(mut self, text: impl Into<String>) -> Self {
        self.gateway.reject_user_agents.push(text.into());
        self
    }

    /// Limits the POST and PUT requests of one peer, and of all, in five minutes.
    #[must_use]
    pub fn max_posts(mut self, of_a_peer: usize, all: usize) -> Self {
        let posts = &mut self.gateway.posts;
        (posts.of_peer, posts.total) = (Some(of_a_peer), Some(all));
        self
    }

    /// Sets the time limit for the answer of the server; 5 minutes by default.
    #[must_use]
    pub fn response_timeout(mut self, limit: Duration) -> Self {
        self.gateway.response_timeout = limit;
        self
    }
}

impl HttpServerTunnelConfig {
    /// Starts the tunnel on a session that is open, whose options apply. The session stays open when
    /// the tunnel stops.
    ///
    /// # Errors
    ///
    /// [`ServiceError`] if the options conflict, or if a file or the port cannot be used.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub async fn start_on(&self, session: &Session) -> Result<ServerTunnel, ServiceError> {
        self.validate().map_err(ServiceError::Invalid)?;
        let name = self.name.as_deref().unwrap_or(Self::KIND);
        let web = Web(Gateway::new(self.gateway.clone()));
        ServerTunnel::launch_on(
            SharedSession::of(session.clone()),
            Vec::new(),
            name,
            &self.incoming,
            web,
        )
        .await
    }
}

impl Default for HttpServerTunnelConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl Definition for HttpServerTunnelConfig {
    type Running = ServerTunnel;

    tunnel_definition!("http-server-tunnel", "HTTP server tunnel", TABLE);

    fn validate(&self) -> Result<(), String> {
        self.incoming.validate()?;
        self.gateway.validate()?;
        self.session.validate()
    }

    fn check(&self) -> Result<(), ServiceError> {
        self.incoming.check()?;
        self.session.check()
    }

    async fn launch(&self, context: &Context) -> Result<ServerTunnel, ServiceError> {
        self.validate().map_err(ServiceError::Invalid)?;
        let name = self.name.as_deref().unwrap_or(Self::KIND);
        let web = Web(Gateway::new(self.gateway.clone()));
        ServerTunnel::launch(context, name, &self.incoming, &self.session, web).await
    }
}

impl Running<HttpServerTunnelConfig> for ServerTunnel {
    fn addresses(&self) -> Addresses {
        self.addresses()
    }

    fn statistics(&self) -> Vec<Statistic> {
        self.statistics()
    }

    fn reload(&self, config: &HttpServerTunnelConfig) -> Result<(), ServiceError> {
        self.reload(&config.incoming)
    }

    async fn stop(&self) {
        Self::stop(self).await;
    }
}

/// Passes requests to the targets.
pub(crate) struct Web(pub(crate) Gateway);

impl Remote for Web {
    async fn serve(&self, tunnel: &Arc<Incoming>, stream: Stream) {
        self.0.serve(tunnel, stream).await;
    }

    async fn refuse(&self, _tunnel: &Arc<Incoming>, stream: Stream) {
        self.0.refuse(stream).await;
    }
}

static TABLE: Table<HttpServerTunnelConfig> = Table {
    section: "http-server-tunnel",
    doc: "A tunnel from a destination to a local web server. For several, write [[http-server-tunnel]] before each.",
    defaults: HttpServerTunnelConfig::new,
    options: incoming_options!(
        HttpServerTunnelConfig,
        [
            http_gateway::host(access!(
                HttpServerTunnelConfig,
                Option<String>,
                gateway.host
            )),
            http_gateway::hosts(access!(HttpServerTunnelConfig, PortHosts, gateway.hosts)),
            http_gateway::compress(access!(HttpServerTunnelConfig, bool, gateway.compress)),
            http_gateway::peer_headers(access!(HttpServerTunnelConfig, bool, gateway.peer_headers)),
            http_gateway::reject_inproxy(access!(
                HttpServerTunnelConfig,
                bool,
                gateway.reject_inproxy
            )),
            http_gateway::reject_referer(access!(
                HttpServerTunnelConfig,
                bool,
                gateway.reject_referer
            )),
            http_gateway::reject_user_agents(access!(
                HttpServerTunnelConfig,
                Vec<String>,
                gateway.reject_user_agents
            )),
            http_gateway::max_posts(access!(
                HttpServerTunnelConfig,
                Option<usize>,
                gateway.posts.of_peer
            )),
            http_gateway::max_total_posts(access!(
                HttpServerTunnelConfig,
                Option<usize>,
                gateway.posts.total
            )),
            http_gateway::post_window(access!(
                HttpServerTunnelConfig,
                Duration,
                gateway.posts.window
            )),
            http_gateway::post_ban(access!(HttpServerTunnelConfig, Duration, gateway.posts.ban)),
            http_gateway::post_total_ban(access!(
                HttpServerTunnelConfig,
                Duration,
                gateway.posts.total_ban
            )),
            http_gateway::response_timeout(access!(
                HttpServerTunnelConfig,
                Duration,
                gateway.response_timeout
            )),
        ]
    ),
};
