//! Tunnels from destinations to local servers.

use std::{path::PathBuf, sync::Arc, time::Duration};

use eepkit::{Address, Preset, Stream};

use super::{
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

    tunnel_setters!();
    incoming_setters!();
}

impl Default for ServerTunnelConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl Definition for ServerTunnelConfig {
    type Running = ServerTunnel;

    tunnel_definition!("server-tunnel", "server tunnel", TABLE);

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
