//! The interface to a router implementation.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use eepkit_i2cp::RouterKind;
use eepkit_link::{BoxFuture, RouterStage, status::Reporter};
use tokio::sync::mpsc;

use super::{clients::Clients, config::RouterConfig};
use crate::error::StartError;

/// A router implementation.
pub(crate) trait Backend: fmt::Debug + Send + Sync + 'static {
    /// Starts a router, which reports its stages to `reporter`.
    ///
    /// Dropping the future stops everything that was started.
    fn start(
        &self,
        config: RouterConfig,
        reporter: Arc<Reporter<RouterStage>>,
    ) -> BoxFuture<Result<Arc<dyn Instance>, StartError>>;

    /// Returns the router info that a router with this configuration has when it starts, for other
    /// routers. It publishes the NTCP2 address of the configuration, which must have one.
    fn router_info(&self, config: &RouterConfig) -> Vec<u8>;

    /// The kind of router, which determines the I2CP quirks of the routers.
    fn kind(&self) -> RouterKind;
}

/// A running router. Dropping it stops the router without waiting.
pub(crate) trait Instance: fmt::Debug + Send + Sync + 'static {
    /// The addresses at which the router listens.
    fn addresses(&self) -> Addresses;

    /// The router's own router info as of its start.
    fn router_info(&self) -> &[u8];

    /// A handle that opens I2CP connections to the router in memory.
    fn clients(&self) -> Clients;

    /// A channel that accepts the external addresses of the router as they are discovered.
    fn external_addresses(&self) -> mpsc::Sender<Ipv4Addr>;

    /// Allows a router that was started without [`RouterConfig::build_tunnels`] to build tunnels.
    fn allow_tunnels(&self);

    /// Stops the router. Dropping the future stops it too. When the future completes, the router's
    /// sockets are closed and its tasks have ended.
    fn stop(&self) -> BoxFuture<()>;
}

/// The addresses at which a running router listens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Addresses {
    pub(crate) ntcp2_port: Option<u16>,
    pub(crate) ssu2_port: Option<u16>,
    pub(crate) i2cp: Option<SocketAddr>,
    pub(crate) sam_tcp: Option<SocketAddr>,
    pub(crate) sam_udp: Option<SocketAddr>,
}
