//! Tunnels from destinations to local servers.

use std::{path::PathBuf, sync::Arc, time::Duration};

use eepkit::{Address, Preset, Stream};

use super::{
    incoming::{Incoming, IncomingConfig, Remote, ServerTunnel},
    incoming_options,
    session::SessionConfig,
    target::{PortTargets, Target},
};
use crate::{
    options::Table,
    serve::Addresses,
    service::{Context, Definition, Running, ServiceError, Statistic},
};

/// The configuration of a tunnel from a destination to local servers.
///
/// The default has no target. One must be set.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerTunnelConfig {
    name: Option<String>,
    enabled: bool,
    incoming: IncomingConfig,
    session: SessionConfig,
}

impl ServerTunnelConfig {
    /// Creates the default configuration.
    pub fn new() -> Self {
        Self {
            name: None,
            enabled: true,
            incoming: IncomingConfig::new(),
            session: SessionConfig::new(Preset::Server),
        }
    }

    /// Sets the name, which is also that of the session in the router's console.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Accepts streams to this port of the destination only. By default those to all ports are
    /// accepted.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.incoming.port = Some(port);
        self
    }

    /// Connects peers with this local server.
    #[must_use]
    pub fn target(mut self, target: Target) -> Self {
        self.incoming.target.target = Some(target);
        self
    }

    /// Connects streams to this port of the destination with this local server.
    #[must_use]
    pub fn target_for_port(mut self, port: u16, target: Target) -> Self {
        let PortTargets(targets) = &mut self.incoming.target.targets;
        targets.push((port, target));
        self
    }

    /// Verifies the certificates of targets with TLS: they must be in this PEM file. By default any
    /// certificate is accepted, and only of targets on this machine.
    #[must_use]
    pub fn trust(mut self, file: impl Into<PathBuf>) -> Self {
        self.incoming.target.trust = Some(file.into());
        self
    }

    /// Connects with the target from an address in 127.0.0.0/8 for each peer.
    #[must_use]
    pub fn unique_local(mut self) -> Self {
        self.incoming.target.unique_local = true;
        self
    }

    /// Uses the destination of a private key file, which is created if it does not exist. By default
    /// the destination is new at each start. Tunnels with the same file that were launched with
    /// clones of the same [`Context`] share a session; each needs a port of its own.
    #[must_use]
    pub fn keys(mut self, file: impl Into<PathBuf>) -> Self {
        self.session.keys = Some(file.into());
        self
    }

    /// Allows only these peers.
    #[must_use]
    pub fn allow(mut self, peers: impl IntoIterator<Item = Address>) -> Self {
        self.incoming.admission.allow.extend(peers);
        self
    }

    /// Denies these peers.
    #[must_use]
    pub fn deny(mut self, peers: impl IntoIterator<Item = Address>) -> Self {
        self.incoming.admission.deny.extend(peers);
        self
    }

    /// Applies the rules of a filter file, in the language of Java I2P's access filters.
    #[must_use]
    pub fn filter(mut self, file: impl Into<PathBuf>) -> Self {
        self.incoming.admission.filter = Some(file.into());
        self
    }

    /// Limits the new streams of one peer in a minute. The option `ban` has the time for which a peer
    /// that exceeds it is refused.
    #[must_use]
    pub fn peer_per_minute(mut self, streams: usize, ban: Option<Duration>) -> Self {
        self.incoming.admission.per_peer.minute = Some(streams);
        self.incoming.admission.ban = ban;
        self
    }

    /// Limits the open streams, of all peers and of each.
    #[must_use]
    pub fn max_streams(mut self, all: usize, of_a_peer: usize) -> Self {
        self.incoming.admission.max_streams = all;
        self.incoming.admission.max_peer_streams = of_a_peer;
        self
    }

    /// Ends connections on which no byte moves for this time. By default there is no limit.
    #[must_use]
    pub fn idle_timeout(mut self, limit: Duration) -> Self {
        self.incoming.idle_timeout = Some(limit);
        self
    }

    /// Keeps this number of tunnels in each direction after this time without traffic.
    #[must_use]
    pub fn reduce_idle(mut self, after: Duration, tunnels: usize) -> Self {
        self.session.reduce_idle = Some(after);
        self.session.reduce_quantity = Some(tunnels);
        self
    }

    /// Also leads from the destination of this private key file to the same server.
    #[must_use]
    pub fn alternative_keys(mut self, file: impl Into<PathBuf>) -> Self {
        self.incoming.alternative_keys.push(file.into());
        self
    }

    /// Sets an option of the session. An invalid value is an error at the start.
    #[must_use]
    pub fn option(mut self, key: &str, value: impl std::fmt::Display) -> Self {
        self.session.options.push(key, value.to_string());
        self
    }
}

impl Default for ServerTunnelConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl Definition for ServerTunnelConfig {
    type Running = ServerTunnel;

    const KIND: &'static str = "server-tunnel";
    const TITLE: &'static str = "server tunnel";
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
        self.incoming.validate()?;
        self.session.validate()
    }

    fn check(&self) -> Result<(), ServiceError> {
        self.incoming.check()?;
        self.session.check()
    }

    async fn launch(&self, context: &Context) -> Result<ServerTunnel, ServiceError> {
        self.validate().map_err(ServiceError::Invalid)?;
        let name = self.name.as_deref().unwrap_or(Self::KIND);
        ServerTunnel::launch(context, name, &self.incoming, &self.session, Plain).await
    }
}

impl Running<ServerTunnelConfig> for ServerTunnel {
    fn addresses(&self) -> Addresses {
        self.addresses()
    }

    fn statistics(&self) -> Vec<Statistic> {
        self.statistics()
    }

    fn reload(&self, config: &ServerTunnelConfig) -> Result<(), ServiceError> {
        self.reload(&config.incoming)
    }

    async fn stop(&self) {
        Self::stop(self).await;
    }
}

/// Connects each stream with its target, and copies bytes.
struct Plain;

impl Remote for Plain {
    async fn serve(&self, tunnel: &Arc<Incoming>, stream: Stream) {
        tunnel.join(stream).await;
    }
}

static TABLE: Table<ServerTunnelConfig> = Table {
    section: "server-tunnel",
    doc: "A tunnel from a destination to local servers. For several, write [[server-tunnel]] before each.",
    defaults: ServerTunnelConfig::new,
    options: incoming_options!(ServerTunnelConfig, []),
};
